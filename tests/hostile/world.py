"""A real server process that tells users apart, with a caller for every role of the access table.

The folder is made by ``people_world`` (two projects, one person a role, a joined site, a programme,
things to ask about); then the server is started over it like any other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.harness import until
from tests.unit.people_world import CALLERS, billed_run, disputed, peopled

SERVER_OPTIONS = ("--users", "--require-credentials", "--lease", "15s")


@dataclass
class Served:
    """``secrets``: what each caller shows (``none`` shows nothing). ``known``: names of things
    that are there, by the parameter that takes them."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    secrets: dict[str, str]
    known: dict[str, str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def alive(self) -> bool:
        return self.process.poll() is None

    def tracebacks(self) -> list[str]:
        """Where the server's log tells of an error nobody expected."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if "Traceback" in line or "internal error" in line]


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Served]:
    """The server with its callers; ended at the end."""
    data = folder / "data"
    data.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        world = peopled(data, patch)
        run_id = billed_run(world)
        known = {
            "job_id": world.job(),
            "array_id": world.array(),
            "task_id": world.task().removeprefix("job_tes-"),
            "run_id": run_id,
            "dispute_id": disputed(world),
            "project": "vision",
            "organisation": "acme",
            "site": "harbor",
            "earner": "harbor",
            "name": "images",
            "rule": "city",
            "month": "2026-11",
        }
        secrets = dict(world.secrets)
        world.core.close()
    assert set(secrets) | {"none"} == set(CALLERS)
    announced = data / "server.json"
    log = folder / "server.log"
    with open(log, "ab") as out:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "westward.server", "--network", str(data / "network"),
                "--data", str(data), *(options or SERVER_OPTIONS),
            ],
            stdout=out,
            stderr=out,
        )  # fmt: skip
    try:
        until(lambda: announced.exists() or process.poll() is not None, "the server listens")
        assert process.poll() is None, log.read_text()[-2000:]
        url = json.loads(announced.read_text())["url"]
        yield Served(url, process, log, secrets, known)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
