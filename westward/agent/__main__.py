"""``python -m westward.agent --server URL --site NAME --state DIR``: one site's agent.

Exit codes: 0 told to end (SIGTERM, SIGINT), 2 wrong arguments or refused by the server, 3 a newer
agent has taken the site over, 4 another agent uses the state folder.
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

from westward.agent.agent import Agent, Superseded, listen
from westward.agent.engines.base import Engine
from westward.agent.engines.processes import boot_ms
from westward.agent.engines.registry import MODULES, open_engine
from westward.agent.link import Refused, ServerLink

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
        return json.dumps(line, ensure_ascii=False)


def main() -> int:
    options = _parse(sys.argv[1:])
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=options.log_level.upper(), handlers=[handler])
    options.state.mkdir(parents=True, exist_ok=True)
    lock = os.open(options.state / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"another agent uses {options.state}", file=sys.stderr)
        return 4
    try:
        engine = open_engine(options.engine, options.state, options.site, dict(options.option))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return asyncio.run(_run(options, engine))
    except Superseded as error:
        log.error("stopping: %s", error)
        return 3
    except Refused as error:
        log.error("refused: %s", error)
        return 2
    finally:
        engine.close()


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="westward.agent", description="One site's agent.")
    parser.add_argument("--server", required=True, help="the server's URL")
    parser.add_argument("--site", required=True, help="the site's name in the network folder")
    parser.add_argument("--state", required=True, type=Path, help="a folder for this agent alone")
    parser.add_argument("--pool", action="append", default=[], help="a pool served (default: all)")
    parser.add_argument("--engine", default="local", choices=sorted(MODULES))
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="for the engine: grace_ms (from TERM to KILL), reading_ms (metering step), ...",
    )
    parser.add_argument(
        "--metrics-port", type=int, metavar="N", help="answer Prometheus there (0: any free port)"
    )
    parser.add_argument("--metrics-host", default="127.0.0.1", help="(default: %(default)s)")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning"])
    return parser.parse_args(arguments)


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


async def _run(options: argparse.Namespace, engine: Engine) -> int:
    rng = random.Random()
    link = ServerLink(options.server, rng)
    agent = Agent(
        site=options.site,
        agent_id=f"agt_{uuid.uuid4().hex}",
        pools=tuple(options.pool),
        engine=engine,
        link=link,
        clock=boot_ms,
        rng=rng,
    )
    if options.metrics_port is not None:
        from westward.agent.metrics import AgentCollector, serve

        collector = AgentCollector(options.site, agent.counts, lambda: len(agent.shippers))
        try:
            port = serve(collector, options.metrics_host, options.metrics_port)
        except OSError as error:
            await link.close()
            raise SystemExit(f"--metrics-port {options.metrics_port}: {error.strerror}") from error
        log.info("metrics at http://%s:%d/metrics", options.metrics_host, port)
    fifo = engine.wake_fd()
    if fifo is not None:
        listen(fifo, agent)
    work = asyncio.create_task(agent.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await work
    finally:
        await link.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
