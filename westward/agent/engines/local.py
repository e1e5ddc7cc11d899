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
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from westward.agent.engines import processes
from westward.agent.engines.base import (
    DiscoveredPool,
    LeaseTimes,
    RunStatus,
    RunView,
    result_noted,
    whole_number,
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
from westward.agent.engines.options import known, whole_numbers
from westward.agent.engines.sandbox import OPTIONS, Sandbox, sandbox_of
from westward.model.wire import Grant, Outcome

READING_EVERY_MS = 5_000
SPARE_AFTER_S = 0.1
"""The next spare supervisor is started so long after a run: both would want the processors."""
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
    sandbox: Sandbox | None = None
    """What jobs run in; None: they are processes of the agent's user like any other."""
    _supervisors: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _wake_fd: int = -1
    _spares: Spares = field(default_factory=lambda: Spares())

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
        self._spares.close()
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
                more=self._confinement(grant, folder),
            )
            self.extend(grant.run_id, lease)
            self._supervisors[grant.run_id] = self._spares.take(folder) or _launch(folder)
            self._spares.renew_soon()
        except (OSError, ValueError):  # nothing runs: a text that cannot be written, no process
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _confinement(self, grant: Grant, folder: Path) -> dict[str, list[str]]:
        """Files of the agent's own are brought to no job, sandbox or not."""
        if self.sandbox is None:
            return {"hidden": [str(self.state)]}
        return {
            "sandbox": self.sandbox.command(grant, folder, self.state),
            "hidden": self.sandbox.hidden(self.state),
            "shown": self.sandbox.shown(),
        }

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
        supervisor = whole_number(processes.read_json(str(folder / "supervisor.json")), "pid")
        if supervisor is not None and supervisor > 1 and _is_locked(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor, signal.SIGTERM)

    def look(self, run_id: str) -> RunView:
        folder = self.folder(run_id)
        alive = self._supervisor_lives(run_id, folder)  # before exit.json: the file comes last
        begun_at = whole_number(processes.read_json(str(folder / "started.json")), "at")
        started = begun_at is not None
        ago_ms = 0 if begun_at is None else max(0, processes.boot_ms() - begun_at)
        result = result_noted(processes.read_json(str(folder / "exit.json")))
        if result is not None:
            return RunView(
                status=RunStatus.ENDED,
                started=started,
                result=result,
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
    """``grace_ms`` and ``reading_ms``, both whole milliseconds; ``sandbox`` and its options
    (``sandbox.OPTIONS``). ValueError names what is wrong."""
    known(options, ("grace_ms", "reading_ms", *OPTIONS))
    times = {name: text for name, text in options.items() if name not in OPTIONS}
    values = whole_numbers(times, ("grace_ms", "reading_ms"))
    return LocalEngine(
        state,
        site,
        reading_every_ms=values.get("reading_ms", READING_EVERY_MS),
        grace_ms=values.get("grace_ms", GRACE_MS),
        sandbox=sandbox_of(options),
    )


class Spares:
    """One supervisor that has loaded all it needs and waits on a pipe for the folder of its run.

    To start Python takes most of a short start. A spare has no run, lock or file; it ends when the
    agent does, for then the pipe is closed. Given a folder it does what a new one does from its
    first line on (``supervisor.main``): it takes the lock, and ``supervisor.json`` exclusively.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spare: subprocess.Popen[bytes] | None = None
        self._timer: threading.Timer | None = None
        self._closed = False

    def take(self, folder: Path) -> subprocess.Popen[bytes] | None:
        """The supervisor of the run in ``folder``; None: there is none ready."""
        told = os.fsencode(folder)
        if b"\n" in told:  # would be two lines
            return None
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is None:
            return None
        try:
            assert spare.stdin is not None
            with spare.stdin as pipe:
                pipe.write(told + b"\n")
        except OSError:  # it was killed, and heard nothing
            spare.kill()
            spare.wait()
            return None
        return spare

    def renew_soon(self) -> None:
        with self._lock:
            if self._spare is None and self._timer is None and not self._closed:
                self._timer = threading.Timer(SPARE_AFTER_S, self._renew)
                self._timer.daemon = True
                self._timer.start()

    def _renew(self) -> None:
        with self._lock:
            self._timer = None
            if self._closed or self._spare is not None:
                return
            with contextlib.suppress(OSError):  # runs start without one
                self._spare = subprocess.Popen(
                    processes.spare_command(SOURCE_ROOT),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    bufsize=0,
                    start_new_session=True,
                )

    def close(self) -> None:
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, None
            if self._timer is not None:
                self._timer.cancel()
        if spare is not None:
            assert spare.stdin is not None
            spare.stdin.close()
            spare.wait()


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
