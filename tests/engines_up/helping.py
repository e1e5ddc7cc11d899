"""What tests of real engines share: grants, waiting, an engine with its state folder."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from westward.agent.engines.base import Engine, LeaseTimes, RunResult, RunStatus
from westward.agent.engines.processes import boot_ms
from westward.model.job import Work
from westward.model.wire import Grant

PATIENCE_S = int(os.environ.get("WESTWARD_TEST_PATIENCE_S", "60"))
LOOK_EVERY_S = 0.02
"""Other processes and their files tell nobody when they change: they are looked at this often."""
LONG = LeaseTimes(term_at=2**60, kill_at=2**60)
WORK_KEYS = ("setup", "envs", "workdir", "file_mounts")


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"gave up waiting until {what}"
        time.sleep(LOOK_EVERY_S)


def lease(ttl_ms: int) -> LeaseTimes:
    """One lease of ``ttl_ms`` from now, as an agent takes it."""
    now = boot_ms()
    return LeaseTimes(term_at=now + ttl_ms * 8 // 10, kill_at=now + ttl_ms * 9 // 10)


def grant(script: str, **changes: Any) -> Grant:
    """With a run id of its own; ``changes`` are fields of the grant or of its work."""
    work = {key: changes.pop(key) for key in WORK_KEYS if key in changes}
    values: dict[str, Any] = {
        "run_id": f"run_{uuid.uuid4().hex[:12]}", "job_id": "job_1", "attempt": 1, "token": 7,
        "ttl_ms": 60_000, "pool": "p", "nodes": 1, "devices_per_node_milli": 1000,
        "accelerator": None, "cpus_per_node_milli": 1000, "memory_per_node_mib": 0,
        "time_limit_ms": None, "work": Work(run=script, **work),
    }  # fmt: skip
    return Grant(**(values | changes))


def ended(engine: Engine, run_id: str) -> RunResult:
    """Once it has; what vanished is cleaned up, as the agent does."""

    def is_over() -> bool:
        view = engine.look(run_id)
        if view.status is RunStatus.VANISHED:
            engine.clean(run_id, "vanished")
        return view.result is not None

    until(is_over, f"{run_id} has ended")
    result = engine.look(run_id).result
    assert result is not None
    return result


def output(engine: Engine, run_id: str, rank: int = 0) -> str:
    return engine.read_log(run_id, rank, 0, 10**6).decode()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def pid_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().endswith("\n"), f"{path} is written")
    return int(path.read_text())
