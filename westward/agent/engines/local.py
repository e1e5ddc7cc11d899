"""Runs jobs as process groups on this machine, each under its own supervisor process.

A run is a folder below ``STATE/runs``; creating the folder is the guard against a second start.
Everything about a run is in its folder, so a new agent process takes over from the files alone.
Acknowledged runs are moved to ``STATE/finished``, where outputs stay for a while.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from westward.agent.engines import processes
from westward.agent.engines.base import (
    DiscoveredPool,
    LeaseTimes,
    RunStatus,
    RunView,
    read_result,
)
from westward.agent.engines.folders import (
    FolderEngine,
    RunFolders,
    claim,
    job_env,
    note_stop,
    open_wake,
    write_order,
)
from westward.agent.engines.options import whole_numbers
from westward.model.wire import Grant, Outcome

READING_EVERY_MS = 5_000
GRACE_MS = 5_000
"""Between TERM and KILL, unless the lease ends earlier."""
SOURCE_ROOT = str(Path(__file__).resolve().parents[3])


@dataclass
class LocalEngine(FolderEngine):
    """One site's local engine; ``state`` is the agent's own folder on a local disk."""

    state: Path
    site: str
    reading_every_ms: int = READING_EVERY_MS
    grace_ms: int = GRACE_MS
    _supervisors: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _wake_fd: int = -1

    def __post_init__(self) -> None:
        self.state = self.state.resolve()
        self.runs = RunFolders(self.state)
        self._wake_fd = open_wake(self.wake)

    @property
    def wake(self) -> Path:
        """Supervisors write a byte here when something happened; read it without blocking."""
        return self.state / "wake"

    def wake_fd(self) -> int:
        return self._wake_fd

    def close(self) -> None:
        os.close(self._wake_fd)

    def discover(self) -> tuple[DiscoveredPool, ...]:
        """This machine. Its accelerators are not asked for: the operator names them."""
        memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
        return (
            DiscoveredPool(
                name="local",
                nodes=1,
                cpus_milli_per_node=1000 * len(os.sched_getaffinity(0)),
                memory_mib_per_node=memory_mib,
            ),
        )

    def start(self, grant: Grant, lease: LeaseTimes) -> None:
        folder = self.runs.take(grant.run_id)
        try:
            write_order(
                folder,
                grant,
                env=job_env(folder, grant, self.site),
                wake=self.wake,
                grace_ms=self.grace_ms,
                reading_every_ms=self.reading_every_ms,
            )
            self.extend(grant.run_id, lease)
            self._supervisors[grant.run_id] = _launch(folder)
        except (OSError, ValueError):  # nothing runs: a text that cannot be written, no process
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def extend(self, run_id: str, lease: LeaseTimes) -> None:
        folder = self.folder(run_id)
        with contextlib.suppress(FileNotFoundError):
            processes.write_atomic(
                str(folder / "deadline.json"),
                json.dumps({"term_at": lease.term_at, "kill_at": lease.kill_at}),
            )

    def stop(self, run_id: str, outcome: Outcome) -> None:
        folder = self.folder(run_id)
        if not note_stop(folder, outcome):
            return
        supervisor = processes.read_json(str(folder / "supervisor.json"))
        if supervisor is not None and _is_locked(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(supervisor["pid"]), signal.SIGTERM)

    def look(self, run_id: str) -> RunView:
        folder = self.folder(run_id)
        alive = self._supervisor_lives(run_id, folder)  # before exit.json: the file comes last
        begun = processes.read_json(str(folder / "started.json"))
        started = begun is not None
        ago_ms = max(0, processes.boot_ms() - int(begun["at"])) if begun is not None else 0
        ended = processes.read_json(str(folder / "exit.json"))
        if ended is not None:
            return RunView(
                status=RunStatus.ENDED,
                started=started,
                result=read_result(ended),
                engine_state="exited",
                started_ago_ms=ago_ms,
            )
        if not alive:
            return RunView(
                status=RunStatus.VANISHED, started=started, result=None, engine_state="vanished"
            )
        status = RunStatus.RUNNING if started else RunStatus.STARTING
        return RunView(
            status=status,
            started=started,
            result=None,
            engine_state="supervised",
            started_ago_ms=ago_ms,
        )

    def _supervisor_lives(self, run_id: str, folder: Path) -> bool:
        mine = self._supervisors.get(run_id)
        if mine is not None and mine.poll() is None:
            return True
        return _is_locked(folder)

    def clean(self, run_id: str, detail: str) -> None:
        """For a run whose supervisor vanished (killed, or the machine was restarted).

        Taking ``supervisor.json`` first keeps a late supervisor from starting after us. Reported
        as "lease-expired": the job did not fail by its own doing and may be tried again.
        """
        folder = self.folder(run_id)
        claim(folder)
        while left := processes.marked_processes(f"WESTWARD_RUN_ID={run_id}"):
            processes.signal_each(left, signal.SIGKILL)
        ended = {"outcome": "lease-expired", "exit_code": None, "detail": detail, "wall_ms": 0}
        processes.write_atomic(str(folder / "exit.json"), json.dumps(ended), durable=True)

    def forget(self, run_id: str) -> None:
        self.runs.forget(run_id)
        supervisor = self._supervisors.pop(run_id, None)
        if supervisor is not None:
            supervisor.wait()
        self.runs.prune()


def from_options(state: Path, site: str, options: Mapping[str, str]) -> LocalEngine:
    """``grace_ms`` and ``reading_ms``, both whole milliseconds. ValueError names what is wrong."""
    values = whole_numbers(options, ("grace_ms", "reading_ms"))
    return LocalEngine(
        state,
        site,
        reading_every_ms=values.get("reading_ms", READING_EVERY_MS),
        grace_ms=values.get("grace_ms", GRACE_MS),
    )


def _launch(folder: Path) -> subprocess.Popen[bytes]:
    """Start the supervisor in its own session: signals to the agent do not reach it."""
    with open(folder / "supervisor.log", "ab") as log:
        return subprocess.Popen(
            processes.supervisor_command(SOURCE_ROOT, str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )


def _is_locked(folder: Path) -> bool:
    """Whether a supervisor holds the run's lock; it is released by the kernel when it dies."""
    try:
        with open(folder / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
