"""A supervisor that waits for its run: what it starts is as if started anew, and it never stays."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from westward.agent.engines import local, processes
from westward.agent.engines.base import LeaseTimes, RunStatus
from westward.agent.engines.local import LocalEngine
from westward.model.job import Work
from westward.model.wire import Grant

PATIENCE_S = 60


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"gave up waiting until {what}"
        time.sleep(0.01)


def grant(number: int, script: str) -> Grant:
    return Grant(
        run_id=f"run_{number}", job_id="job_1", attempt=1, token=number, ttl_ms=15_000, pool="p",
        nodes=1, devices_per_node_milli=0, accelerator=None, cpus_per_node_milli=1000,
        memory_per_node_mib=0, time_limit_ms=None, work=Work(run=script),
    )  # fmt: skip


def lease(left_ms: int = 15_000) -> LeaseTimes:
    now = processes.boot_ms()
    return LeaseTimes(term_at=now + left_ms, kill_at=now + left_ms + 1_000)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalEngine]:
    engine = LocalEngine(tmp_path / "state", "a")
    yield engine
    engine.close()


def spare(engine: LocalEngine) -> subprocess.Popen[bytes]:
    """The next one, once it is there."""
    until(lambda: engine._spares._spare is not None, "a spare is there")
    found = engine._spares._spare
    assert found is not None
    return found


def ended(engine: LocalEngine, run_id: str) -> str:
    until(lambda: engine.look(run_id).status is RunStatus.ENDED, f"{run_id} ends")
    result = engine.look(run_id).result
    assert result is not None
    return result.outcome


def test_a_run_is_handed_to_the_spare(engine: LocalEngine) -> None:
    engine.start(grant(1, "echo one"), lease())
    waiting = spare(engine)
    engine.start(grant(2, 'echo two; pwd; [ -t 0 ] || cat; test "$PPID" -gt 1'), lease())
    assert engine._supervisors["run_2"] is waiting
    assert ended(engine, "run_2") == "succeeded"
    folder = engine.folder("run_2")
    assert engine.read_log("run_2", 0, 0, 1_000).decode() == f"two\n{folder / 'work'}\n"
    assert (folder / "supervisor.log").read_bytes() == b""
    engine.forget("run_2")
    assert waiting.poll() == 0


def test_a_run_in_a_spare_ends_with_its_lease(engine: LocalEngine) -> None:
    engine.start(grant(1, "true"), lease())
    spare(engine)
    engine.start(grant(2, "sleep 600"), lease(300))
    assert ended(engine, "run_2") == "lease-expired"


def test_a_run_whose_spare_was_killed_starts_without(engine: LocalEngine) -> None:
    engine.start(grant(1, "true"), lease())
    gone = spare(engine)
    os.kill(gone.pid, signal.SIGKILL)
    gone.wait()
    engine.start(grant(2, "true"), lease())
    assert engine._supervisors["run_2"] is not gone
    assert ended(engine, "run_2") == "succeeded"


def test_a_spare_ends_with_the_agent(engine: LocalEngine) -> None:
    engine.start(grant(1, "true"), lease())
    waiting = spare(engine)
    assert waiting.poll() is None
    assert waiting.stdin is not None
    waiting.stdin.close()  # as the kernel does when the agent is killed
    assert waiting.wait(PATIENCE_S) == 0
    engine._spares._spare = None
    local_spares = local.Spares()
    local_spares.renew_soon()
    until(lambda: local_spares._spare is not None, "a spare is there")
    kept = local_spares._spare
    local_spares.close()
    assert kept is not None
    assert kept.poll() == 0
