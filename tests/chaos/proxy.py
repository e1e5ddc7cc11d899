"""TCP lines between processes that can be cut, slowed, and made to lose answers while they are used.

Every party dials a ``Line`` of its own. A line goes to whichever of its upstreams answers, so it is
also what stands before several servers. User space: bytes, not packets. A cut line keeps what was
sent and delivers it when it is healed, as TCP's repetitions do; until then nothing gets through.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

CHUNK = 2**18


@dataclass
class Line:
    """One party's way to the servers. Change ``delay_s``, ``lose`` and ``cut`` at any time."""

    name: str
    upstreams: Callable[[], list[int]]
    """Ports of servers on loopback, asked anew for every connection."""
    rng: random.Random
    delay_s: float = 0.0
    """Added to every chunk, both ways."""
    lose: float = 0.0
    """The part of answers that never arrive: their connection is closed instead."""
    cut: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    lost: int = 0
    """Answers lost so far."""
    healed: asyncio.Event = field(default_factory=asyncio.Event)
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class Lines:
    """All lines, served by one thread."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lines", daemon=True)
        self._thread.start()

    def add(self, name: str, upstreams: Callable[[], list[int]], host: str = "127.0.0.1") -> Line:
        """``host``: the address it listens on."""
        line = Line(name, upstreams, random.Random(self.rng.random()), host=host)

        async def listen() -> None:
            server = await asyncio.start_server(
                lambda reader, writer: self._carry(line, reader, writer), host, 0
            )
            line.port = server.sockets[0].getsockname()[1]

        asyncio.run_coroutine_threadsafe(listen(), self._loop).result(10)
        return line

    def cut(self, line: Line) -> None:
        line.healed.clear()
        line.cut = True

    def heal(self, line: Line) -> None:
        """Nothing is cut, slow or lossy any more."""
        line.cut, line.delay_s, line.lose = False, 0.0, 0.0
        self._loop.call_soon_threadsafe(line.healed.set)

    def reset(self, line: Line) -> None:
        """Every open connection is closed at once."""

        def close() -> None:
            for writer in tuple(line.open):
                writer.transport.abort()

        self._loop.call_soon_threadsafe(close)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        with contextlib.suppress(RuntimeError):
            self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _carry(
        self, line: Line, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        line.open.add(to_client)
        to_server = None
        try:
            if line.cut:
                await line.healed.wait()
            server, to_server = await _dial(line)
            line.open.add(to_server)
            up = asyncio.create_task(_pump(line, client, to_server, answers=False))
            try:
                await _pump(line, server, to_client, answers=True)
            finally:
                up.cancel()
        except OSError:
            pass
        finally:
            for writer in (to_client, to_server):
                if writer is not None:
                    line.open.discard(writer)
                    writer.close()


async def _dial(line: Line) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    ports = line.upstreams()
    line.rng.shuffle(ports)
    for port in ports:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection("127.0.0.1", port)
    raise ConnectionRefusedError("no server answers")


async def _pump(
    line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            if line.cut:
                await line.healed.wait()
            if line.delay_s:
                await asyncio.sleep(line.delay_s)
            if answers and line.lose and line.rng.random() < line.lose:
                line.lost += 1
                return
            writer.write(data)
            await writer.drain()
        if not answers:
            writer.write_eof()
