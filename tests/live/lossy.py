"""A TCP proxy that delivers requests and loses some of the answers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading


class LossyProxy:
    """Forwards to ``port`` on loopback. Each connection is cut after 0 to 5 answers were let
    through: the request that follows reaches the server, its answer never comes back."""

    def __init__(self, port: int, seed: int):
        self.target = port
        self.rng = random.Random(seed)
        self.cut = 0
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        async def serve() -> None:
            server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()

        self._loop.create_task(serve())
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connection(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        answers_left = self.rng.randint(0, 5)
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            to_client.close()
            return
        upward = asyncio.create_task(_pump(client, to_server))
        try:
            while data := await server.read(2**20):
                if answers_left == 0:
                    self.cut += 1
                    break
                answers_left -= 1
                to_client.write(data)
                await to_client.drain()
        except OSError:
            pass
        finally:
            upward.cancel()
            to_client.close()
            to_server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(2**20):
            writer.write(data)
            await writer.drain()
        writer.close()
