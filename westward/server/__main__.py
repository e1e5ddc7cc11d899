"""``python -m westward.server --network DIR --data DIR [--port N]``.

Listens on loopback unless told otherwise. Once it answers, ``DATA/server.json`` holds
``{"url", "pid"}``. Exit codes: 0 told to end, 2 bad network folder or arguments, 4 the data
folder is in use.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

import uvicorn

from westward.logs import OneLine
from westward.model.faults import InputFaults
from westward.model.units import parse_bytes, parse_duration_ms
from westward.server.app import create_app
from westward.server.core import Core
from westward.server.memory import keep_little
from westward.server.patience import PatientProtocol
from westward.server.settings import Settings

SWITCH_S = 0.0005
"""How long a thread that computes keeps others from running. The writer lets go at every database
call: at Python's 5 ms each of them would wait that long for a thread that plans."""
SHUTDOWN_S = 2
"""Requests still open at shut-down are given this long."""


class AnnouncingServer(uvicorn.Server):
    """Says where it listens once it does, and lets held requests go when it stops."""

    def __init__(self, config: uvicorn.Config, data: Path, core: Core):
        super().__init__(config)
        self.data = data
        self.core = core

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        scheme = "https" if self.config.is_ssl else "http"
        text = json.dumps({"url": f"{scheme}://{host}:{port}", "pid": os.getpid()})
        temporary = self.data / f"server.json.{os.getpid()}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.data / "server.json")
        print(f"westward server: {text}", file=sys.stderr, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.core.closing = True
        self.core.sites.ring_all()
        self.core.jobs.ring_all()
        await super().shutdown(sockets)


def main(arguments: list[str] | None = None) -> int:
    settings, log_level = _parse(sys.argv[1:] if arguments is None else arguments)
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


def _parse(arguments: list[str]) -> tuple[Settings, str]:
    parser = argparse.ArgumentParser(prog="westward.server", description="The control service.")
    parser.add_argument("--network", required=True, type=Path, help="the network folder")
    parser.add_argument("--data", required=True, type=Path, help="where the database is kept")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one, see server.json")
    parser.add_argument("--lease", default="15s", help="lease time, for example 15s")
    parser.add_argument("--margin", default="1s", help="between a lease's end and the next run")
    parser.add_argument("--tls-cert", type=Path, help="PEM file: HTTPS with this certificate")
    parser.add_argument("--tls-key", type=Path, help="PEM file: its key")
    parser.add_argument(
        "--require-credentials",
        action="store_true",
        help="agents on this machine must have joined too",
    )
    parser.add_argument(
        "--open-to-users",
        action="store_true",
        help="take users' requests from other machines: anyone who reaches the port is a user",
    )
    parser.add_argument(
        "--users",
        action="store_true",
        help="tell users apart: everyone but agents needs a token (see docs/howto/people.md)",
    )
    parser.add_argument("--rotate", default="1d", help="age at which credentials are followed")
    parser.add_argument(
        "--tes-host-image",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a container image that GA4GH TES tasks may name (alpine*): its commands then run as "
        "processes on a site's host; may be given several times (default: only 'host')",
    )
    parser.add_argument(
        "--tes-organization-url", default="http://localhost", help="for TES's service info"
    )
    parser.add_argument(
        "--preempt",
        action="store_true",
        help="stop runs of lower priority that save checkpoints for a waiting job of higher",
    )
    parser.add_argument(
        "--reconsider",
        metavar="TIME",
        help="so often move running jobs that save checkpoints to where going on costs less; off",
    )
    parser.add_argument(
        "--checkpoint-most",
        default="4GB",
        metavar="SIZE",
        help="of one job, kept here between its runs; a larger one stays at its site",
    )
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning"])
    options = parser.parse_args(arguments)
    try:
        ttl_ms, margin_ms = parse_duration_ms(options.lease), parse_duration_ms(options.margin)
        rotate_ms = parse_duration_ms(options.rotate)
        checkpoint_most_bytes = parse_bytes(options.checkpoint_most)
        reconsider_ms = parse_duration_ms(options.reconsider) if options.reconsider else 0
    except ValueError as error:
        parser.error(str(error))
    if ttl_ms < 1_000:
        parser.error("--lease: at least 1s")
    if rotate_ms < 1_000:
        parser.error("--rotate: at least 1s")
    if options.users and options.open_to_users:
        parser.error(
            "--users lets users of other machines in by their tokens: leave --open-to-users out"
        )
    if (options.tls_cert is None) != (options.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    for path in (options.tls_cert, options.tls_key):
        if path is not None and not path.is_file():
            parser.error(f"there is no file {path}")
    if options.tls_cert is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                options.tls_cert, options.tls_key
            )
        except (OSError, ssl.SSLError) as error:
            parser.error(f"--tls-cert {options.tls_cert}: not a certificate with its key: {error}")
    if options.reconsider and reconsider_ms < 1_000:
        parser.error("--reconsider: at least 1s")
    settings = Settings(
        network=options.network,
        data=options.data,
        lease_ttl_ms=ttl_ms,
        margin_ms=margin_ms,
        checkpoint_most_bytes=checkpoint_most_bytes,
        preempt=options.preempt,
        reconsider_ms=reconsider_ms,
        host=options.host,
        port=options.port,
        require_credentials=options.require_credentials,
        open_to_users=options.open_to_users,
        users=options.users,
        rotate_ms=rotate_ms,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        tes_host_images=tuple(options.tes_host_image),
        tes_organization_url=options.tes_organization_url,
    )
    return settings, options.log_level


if __name__ == "__main__":
    sys.exit(main())
