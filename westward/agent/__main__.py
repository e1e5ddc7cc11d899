"""``python -m westward.agent --server URL --site NAME --state DIR``: one site's agent.

With ``--state`` alone: the agent of a site that has joined (``westward site join``), whose server,
engine and offer stand in the folder; SIGHUP makes it read ``site.yaml`` again.

Exit codes: 0 told to end (SIGTERM, SIGINT), 2 wrong arguments or refused by the server, 3 a newer
agent has taken the site over, 4 another agent uses the state folder, 5 the server does not admit
it any more (the site was revoked, its credential is over).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import random
import signal
import sys
import uuid
from pathlib import Path

from westward.agent import credential as credentials
from westward.agent.agent import Agent, Superseded, listen
from westward.agent.data import DataSettings, take_settings
from westward.agent.engines.base import Engine
from westward.agent.engines.processes import boot_ms
from westward.agent.engines.registry import MODULES, open_engine
from westward.agent.joining import Link, load_link, load_site_file
from westward.agent.link import NotAdmitted, Refused, ServerLink
from westward.agent.member import Member
from westward.agent.site_file import SiteFile
from westward.logs import harmless
from westward.memory import keep_little
from westward.model.faults import InputFaults

log = logging.getLogger("westward.agent")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and a traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return harmless(json.dumps(line, ensure_ascii=False))


def main(arguments: list[str] | None = None) -> int:
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=options.log_level.upper(), handlers=[handler])
    keep_little()
    options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(options.state / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"another agent uses {options.state}", file=sys.stderr)
        return 4
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())  # whom ``site apply`` wakes
    try:
        joined = _joined(options) if options.server is None else None
        given = dict(options.option)
        data = take_settings(given)
        engine = open_engine(options.engine, options.state, options.site, given)
    except (ValueError, OSError, InputFaults) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        member = None
        if joined is not None:
            link, known, file = joined
            member = Member(options.state, link.site, known, file, engine.discover)
        return asyncio.run(_run(options, engine, joined[0] if joined else None, member, data))
    except Superseded as error:
        log.error("stopping: %s", error)
        return 3
    except NotAdmitted as error:
        log.error("not admitted: %s: %s", error.code, error)
        return 5
    except Refused as error:
        log.error("refused: %s", error)
        return 2
    finally:
        engine.close()


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="westward.agent", description="One site's agent.")
    parser.add_argument(
        "--server",
        metavar="URL[,URL...]",
        help="the server's URL, or those of servers with one store (default: the one joined)",
    )
    parser.add_argument("--site", help="the site's name in the network folder")
    parser.add_argument("--state", required=True, type=Path, help="a folder for this agent alone")
    parser.add_argument("--pool", action="append", default=[], help="a pool served (default: all)")
    parser.add_argument("--engine", default="local", choices=sorted(MODULES))
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="store=URL (where outputs of jobs are kept), cache=SIZE (of data sets, 50GB); for the "
        "engine: grace_ms (from TERM to KILL), reading_ms (metering step), ...",
    )
    parser.add_argument(
        "--metrics-port", type=int, metavar="N", help="answer Prometheus there (0: any free port)"
    )
    parser.add_argument("--metrics-host", default="127.0.0.1", help="(default: %(default)s)")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning"])
    options = parser.parse_args(arguments)
    if (options.server is None) != (options.site is None):
        parser.error("--server and --site go together")
    return options


def _joined(options: argparse.Namespace) -> tuple[Link, credentials.Credential, SiteFile]:
    """What joining left in the state folder; engine and its options come from there. Raises
    ValueError, OSError, InputFaults."""
    link = load_link(options.state)
    known = credentials.load(options.state)
    if link is None or known is None:
        raise ValueError(
            f"{options.state} has not joined a network. Join with: westward site join URL --token "
            "TOKEN --state DIR, or give --server and --site."
        )
    file = load_site_file(options.state, link.site)
    options.server, options.site = link.server, link.site
    options.engine, options.option = file.engine, list(file.options)
    return link, known, file


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


async def _run(
    options: argparse.Namespace,
    engine: Engine,
    joined: Link | None,
    member: Member | None,
    data: DataSettings,
) -> int:
    rng = random.Random()
    if joined is None or member is None:
        link = ServerLink(options.server, rng)
    else:
        secret = member.credential.secret
        link = ServerLink(joined.server, rng, secret=secret, ca=joined.ca, proxy=joined.proxy)
    agent = Agent(
        site=options.site,
        agent_id=f"agt_{uuid.uuid4().hex}",
        pools=tuple(options.pool),
        engine=engine,
        link=link,
        clock=boot_ms,
        rng=rng,
        member=member,
        store=data.store,
        cache_bytes=data.cache_bytes,
    )
    if options.metrics_port is not None:
        from westward.agent.metrics import AgentCollector, serve

        collector = AgentCollector(options.site, agent.counts, lambda: len(agent.shippers))
        try:
            port = serve(collector, options.metrics_host, options.metrics_port)
        except OSError as error:
            await link.close()
            print(f"--metrics-port {options.metrics_port}: {error.strerror}", file=sys.stderr)
            return 2
        log.info("metrics at http://%s:%d/metrics", options.metrics_host, port)
    fifo = engine.wake_fd()
    if fifo is not None:
        listen(fifo, agent)
    work = asyncio.create_task(agent.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    if member is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, member.reload)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await work
    finally:
        await link.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
