"""A whole network on this machine: one server and one agent per site, as separate processes.

Nothing is restarted here: a child that dies is told, and the caller ends the rest.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from westward.cli.client import Client
from westward.cli.fail import EXIT_INPUT, EXIT_JOB, Failure
from westward.cli.server_option import SERVER_FILE

READY_WITHIN_S = 120.0
"""The first start after an install compiles the kernels."""
STOP_WITHIN_S = 8.0
LOOK_EVERY_S = 0.05
LOG_LINES_SHOWN = 12
_SERVER_FOLDER_IN_USE = 4
_PR_SET_PDEATHSIG = 1


class Ended(Failure):
    """A child process ended that should not have."""


@dataclass(slots=True)
class Child:
    """One process: ``name`` is for people, ``log`` holds what it writes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> list[str]:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return [f"  {line}" for line in text.splitlines()[-LOG_LINES_SHOWN:]]


@dataclass(slots=True)
class LocalNetwork:
    """Processes started so far; the server is the first."""

    data: Path
    url: str = ""
    children: list[Child] = field(default_factory=list)

    def check(self) -> None:
        """Raise Ended if a child is gone."""
        for child in self.children:
            code = child.process.poll()
            if code is not None:
                raise Ended(
                    f"{child.name} ended by itself (exit code {code}). Its log, {child.log}, ends:",
                    *child.tail(),
                    code=EXIT_JOB,
                )

    def stop(self) -> None:
        """Agents first, then the server; whoever does not end in time, or at once on a second
        Ctrl-C, is killed."""
        for child in reversed(self.children):
            if child.process.poll() is None:
                child.process.terminate()
        end = time.monotonic() + STOP_WITHIN_S
        try:
            for child in reversed(self.children):
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0.0, end - time.monotonic()))
        finally:
            for child in self.children:
                if child.process.poll() is None:
                    child.process.kill()
                    child.process.wait()
            if self.url:  # else the announcement is another server's
                (self.data / SERVER_FILE).unlink(missing_ok=True)


@contextmanager
def local_network(
    folder: Path, data: Path, sites: Sequence[str], *, port: int = 0, policy: Path | None = None
) -> Iterator[LocalNetwork]:
    """Start everything and wait until every site is open; stop everything on the way out.

    ``data`` keeps database, logs and the sites' own folders. ``policy``: a file for the server's
    ``--policy``. Raises Failure when a child does not come up: bad network folder, data folder in
    use, port taken.
    """
    data.mkdir(parents=True, exist_ok=True)
    network = LocalNetwork(data)
    try:
        _start_server(network, folder, port, policy)
        for site in sites:
            state = data / "sites" / site
            arguments = ["westward.agent", "--server", network.url]
            arguments += ["--site", site, "--state", str(state)]
            _start(network, f"the agent of {site}", arguments, data / "sites" / f"{site}.log")
        _wait_for_sites(network, sites)
        yield network
    finally:
        network.stop()


def _start(network: LocalNetwork, name: str, arguments: list[str], log: Path) -> Child:
    """A child in its own session, so that Ctrl-C reaches only us and we end things in order."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    child = Child(name, process, log)
    network.children.append(child)
    return child


def _end_with_parent() -> None:
    """In the child, before it becomes the program: SIGTERM when the parent dies, even by
    SIGKILL. Else a killed ``up`` would leave a network behind that nobody watches."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _start_server(network: LocalNetwork, folder: Path, port: int, policy: Path | None) -> None:
    refuse_second(network.data)
    announcement = network.data / SERVER_FILE
    log = network.data / "server.log"
    log.unlink(missing_ok=True)
    arguments = ["westward.server", "--network", str(folder), "--data", str(network.data)]
    if policy is not None:
        arguments += ["--policy", str(policy)]
    server = _start(network, "the server", [*arguments, "--port", str(port)], log)
    end = time.monotonic() + READY_WITHIN_S
    while not announcement.exists():
        code = server.process.poll()
        if code == _SERVER_FOLDER_IN_USE:
            raise Failure(f"another server uses {network.data}. End it, or give --data DIR.")
        if code is not None:
            lines = [line.strip() for line in server.tail()]
            raise Failure(f"the server did not start (exit code {code}):", *lines, code=EXIT_INPUT)
        if time.monotonic() > end:
            raise Failure(f"the server is not ready after {READY_WITHIN_S:g} s; see {log}")
        time.sleep(LOOK_EVERY_S)
    network.url = json.loads(announcement.read_text(encoding="utf-8"))["url"]


def refuse_second(data: Path) -> None:
    """A server that is gone leaves its announcement behind; one that lives is not disturbed."""
    announcement = data / SERVER_FILE
    try:
        known = json.loads(announcement.read_text(encoding="utf-8"))
        os.kill(int(known["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        announcement.unlink(missing_ok=True)
        return
    try:
        Client(known["url"]).get("/healthz")
    except Failure:
        announcement.unlink(missing_ok=True)
        return
    raise Failure(
        f"a network already runs on {data} at {known['url']} (process {known['pid']}). Use it "
        "(westward sites), end it, or give --data DIR for a second one."
    )


def _wait_for_sites(network: LocalNetwork, sites: Sequence[str]) -> None:
    client = Client(network.url)
    end = time.monotonic() + READY_WITHIN_S
    while True:
        network.check()
        seen = client.get("/v1/sites")["sites"]
        missing = [one["site"] for one in seen if one["last_seen_ms"] is None]
        silent = [name for name in sites if name in missing]
        if not silent and all(one["status"] == "open" for one in seen if one["site"] in sites):
            return
        if time.monotonic() > end:
            raise Failure(f"not connected after {READY_WITHIN_S:g} s: {', '.join(silent) or 'all'}")
        time.sleep(LOOK_EVERY_S)
