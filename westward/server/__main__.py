"""``python -m westward.server --network DIR --data DIR [--port N]``.

Listens on loopback unless told otherwise. Once it answers, ``DATA/server.json`` holds
``{"url", "pid"}``. Exit codes: 0 told to end, 2 bad network folder, arguments or ``--store``, 4 the
data folder is in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn
from sqlalchemy.exc import DBAPIError

from westward.logs import OneLine
from westward.memory import keep_little
from westward.model.faults import InputFaults
from westward.server.app import create_app
from westward.server.core import Core
from westward.server.options import parse
from westward.server.patience import PatientProtocol

SWITCH_S = 0.0005
"""How long a thread that computes keeps others from running. The writer lets go at every database
call: at Python's 5 ms each of them would wait that long for a thread that plans."""
SHUTDOWN_S = 2
"""Requests still open at shut-down are given this long."""
ANNOUNCE_AGAIN_S = 1.0

log = logging.getLogger("westward.server")


class AnnouncingServer(uvicorn.Server):
    """Says where it listens once it does, and lets held requests go when it stops."""

    def __init__(self, config: uvicorn.Config, data: Path, core: Core):
        super().__init__(config)
        self.data = data
        self.core = core
        self._announcing: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        scheme = "https" if self.config.is_ssl else "http"
        text = json.dumps({"url": f"{scheme}://{host}:{port}", "pid": os.getpid()})
        print(f"westward server: {text}", file=sys.stderr, flush=True)
        try:
            self.announce(text)
        except OSError as error:  # disk full: agents and users know where it is all the same
            log.error("server.json cannot be written, tried again until it can: %s", error)
            self._announcing = asyncio.create_task(self._announce_later(text))

    def announce(self, text: str) -> None:
        temporary = self.data / f"server.json.{os.getpid()}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.data / "server.json")

    async def _announce_later(self, text: str) -> None:
        while True:
            await asyncio.sleep(ANNOUNCE_AGAIN_S)
            with contextlib.suppress(OSError):
                self.announce(text)
                return

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.core.closing = True
        self.core.sites.ring_all()
        self.core.jobs.ring_all()
        await super().shutdown(sockets)


def main(arguments: list[str] | None = None) -> int:
    try:
        settings, log_level = parse(sys.argv[1:] if arguments is None else arguments)
    except InputFaults as error:
        print(error, file=sys.stderr)
        return 2
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=log_level.upper(), handlers=[handler])
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises it anew once it is done
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    keep_little()
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(settings.data / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"another server uses {settings.data}", file=sys.stderr)
        return 4
    try:
        app = create_app(settings)
    except InputFaults as error:
        print(error, file=sys.stderr)
        return 2
    except (DBAPIError, ValueError) as error:
        if settings.store is None:
            raise
        print(f"--store: {getattr(error, 'orig', None) or error}", file=sys.stderr)
        return 2
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=PatientProtocol,
        ws="none",
        loop="uvloop",
        log_level=log_level,
        access_log=False,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    sys.setswitchinterval(SWITCH_S)
    AnnouncingServer(config, settings.data, app.state.core).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
