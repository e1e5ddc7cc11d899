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
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from westward.agent.engines import processes
from westward.agent.engines.base import (
    AlreadyStarted,
    DiscoveredPool,
    LeaseTimes,
    RunResult,
    RunStatus,
    RunView,
)
from westward.agent.engines.options import whole_numbers
from westward.model.wire import Grant, HeldRun, Outcome, Reading

READING_EVERY_MS = 5_000
GRACE_MS = 5_000
"""Between TERM and KILL, unless the lease ends earlier."""
KEEP_FINISHED = 1_000
"""Folders of acknowledged runs kept, newest first."""
INHERITED = [
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TMPDIR",
    "TZ",
    "USER",
    "CUDA_HOME",
    "XDG_CACHE_HOME",
]
"""Of the agent's environment, all that jobs see."""
LAUNCH = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from westward.agent.engines.supervisor import main; sys.exit(main(sys.argv[2]))"
)
SOURCE_ROOT = str(Path(__file__).resolve().parents[3])


@dataclass
class LocalEngine:
    """One site's local engine; ``state`` is the agent's own folder on a local disk."""

    state: Path
    site: str
    reading_every_ms: int = READING_EVERY_MS
    grace_ms: int = GRACE_MS
    _supervisors: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _reading_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By run: a line of its readings file and the byte at which that line begins."""
    _pruning: threading.Lock = field(default_factory=threading.Lock)
    _wake_fd: int = -1

    def __post_init__(self) -> None:
        self.state = self.state.resolve()
        for name in ("runs", "finished"):
            (self.state / name).mkdir(parents=True, exist_ok=True)
        if not self.wake.exists():
            os.mkfifo(self.wake)
        self._wake_fd = os.open(self.wake, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

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

    def checkpoint_root(self) -> Path:
        """Jobs here see the agent's own files (``agent.checkpoints``)."""
        return self.state / "checkpoints"

    def folder(self, run_id: str) -> Path:
        return self.state / "runs" / run_id

    def start(self, grant: Grant, lease: LeaseTimes) -> None:
        if not grant.run_id.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"run id {grant.run_id!r} cannot be a folder name")
        if (self.state / "finished" / grant.run_id).exists():
            raise AlreadyStarted(grant.run_id)
        folder = self.folder(grant.run_id)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise AlreadyStarted(grant.run_id) from None
        try:
            self._write_order(folder, grant)
            self.extend(grant.run_id, lease)
            self._supervisors[grant.run_id] = _launch(folder)
        except (OSError, ValueError):  # nothing runs: a text that cannot be written, no process
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _write_order(self, folder: Path, grant: Grant) -> None:
        for name in ("work", "home", "output"):
            (folder / name).mkdir()
        (folder / "run.sh").write_text(grant.work.run, encoding="utf-8")
        (folder / "setup.sh").write_text(grant.work.setup, encoding="utf-8")
        order = {
            "run_id": grant.run_id,
            "token": grant.token,
            "job_id": grant.job_id,
            "nodes": grant.nodes,
            "devices_per_node_milli": grant.devices_per_node_milli,
            "memory_per_node_mib": grant.memory_per_node_mib,
            "time_limit_ms": grant.time_limit_ms,
            "setup": bool(grant.work.setup.strip()),
            "workdir": grant.work.workdir,
            "file_mounts": [
                {"target": mount.target, "source": mount.source, "mode": mount.mode}
                for mount in grant.work.file_mounts
            ],
            "env": self._env(folder, grant),
            "wake": str(self.wake),
            "grace_ms": self.grace_ms if grant.grace_ms is None else grant.grace_ms,
            "stop_signal": processes.signal_number(grant.stop_signal),
            "reading_every_ms": self.reading_every_ms,
        }
        processes.write_atomic(str(folder / "order.json"), json.dumps(order))

    def _env(self, folder: Path, grant: Grant) -> dict[str, str]:
        """Inherited, then the job's own, then ours (which a job cannot override)."""
        env = {name: os.environ[name] for name in INHERITED if name in os.environ}
        env["HOME"] = str(folder / "home")
        env.update(grant.work.envs)
        env.update(
            SKYPILOT_NUM_NODES=str(grant.nodes),
            SKYPILOT_NODE_IPS="\n".join(["127.0.0.1"] * grant.nodes),
            SKYPILOT_NUM_GPUS_PER_NODE=str(grant.gpus_per_node),
            SKYPILOT_TASK_ID=grant.run_id,
            WESTWARD_JOB_ID=grant.job_id,
            WESTWARD_RUN_ID=grant.run_id,
            WESTWARD_ATTEMPT=str(grant.attempt),
            WESTWARD_TOKEN=str(grant.token),
            WESTWARD_SITE=self.site,
            WESTWARD_POOL=grant.pool,
            WESTWARD_ACCELERATOR=grant.accelerator or "",
            WESTWARD_PYTHON=sys.executable,
            WESTWARD_OUTPUT=str(folder / "output"),
            PYTHONUNBUFFERED="1",
        )
        return env

    def extend(self, run_id: str, lease: LeaseTimes) -> None:
        folder = self.folder(run_id)
        with contextlib.suppress(FileNotFoundError):
            processes.write_atomic(
                str(folder / "deadline.json"),
                json.dumps({"term_at": lease.term_at, "kill_at": lease.kill_at}),
            )

    def stop(self, run_id: str, outcome: Outcome) -> None:
        folder = self.folder(run_id)
        try:
            with open(folder / "stop", "x", encoding="utf-8") as file:
                file.write(outcome)
        except (FileExistsError, FileNotFoundError):
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
            result = RunResult(
                outcome=cast(Outcome, ended["outcome"]),
                exit_code=ended["exit_code"],
                detail=str(ended["detail"]),
            )
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
        with contextlib.suppress(FileExistsError), open(folder / "supervisor.json", "x") as file:
            file.write("{}")
        while left := processes.marked_processes(f"WESTWARD_RUN_ID={run_id}"):
            processes.signal_each(left, signal.SIGKILL)
        ended = {"outcome": "lease-expired", "exit_code": None, "detail": detail, "wall_ms": 0}
        processes.write_atomic(str(folder / "exit.json"), json.dumps(ended), durable=True)

    def read_log(self, run_id: str, rank: int, offset: int, most: int) -> bytes:
        try:
            with open(self.folder(run_id) / f"rank{rank}.log", "rb") as file:
                file.seek(offset)
                return file.read(most)
        except FileNotFoundError:
            return b""

    def readings(self, run_id: str, after: int) -> tuple[Reading, ...]:
        """Line n of the file is reading n. Reads on from where the last call was."""
        first = after + 1
        line, offset = self._reading_at.get(run_id, (0, 0))
        if line > first:
            line, offset = 0, 0
        try:
            with open(self.folder(run_id) / "readings.jsonl", "rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return ()
        whole = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
        skipped = whole[: first - line]
        self._reading_at[run_id] = (line + len(skipped), offset + sum(map(len, skipped)))
        return tuple(Reading(**json.loads(text)) for text in whole[first - line :])

    def ranks(self, run_id: str) -> int:
        order = self._order(run_id)
        return int(order["nodes"]) if order else 0

    def _order(self, run_id: str) -> dict[str, Any] | None:
        return processes.read_json(str(self.folder(run_id) / "order.json"))

    def forget(self, run_id: str) -> None:
        finished = self.state / "finished"
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.folder(run_id), finished / run_id)
        self._reading_at.pop(run_id, None)
        supervisor = self._supervisors.pop(run_id, None)
        if supervisor is not None:
            supervisor.wait()
        with self._pruning:
            _prune(finished)

    def recover(self) -> tuple[HeldRun, ...]:
        held = []
        for folder in sorted((self.state / "runs").iterdir()):
            order = self._order(folder.name)
            if order is None:  # the agent died while writing it: nothing was started
                shutil.rmtree(folder, ignore_errors=True)
            else:
                held.append(HeldRun(run_id=folder.name, token=int(order["token"])))
        return tuple(held)


def from_options(state: Path, site: str, options: Mapping[str, str]) -> LocalEngine:
    """``grace_ms`` and ``reading_ms``, both whole milliseconds. ValueError names what is wrong."""
    values = whole_numbers(options, ("grace_ms", "reading_ms"))
    return LocalEngine(
        state,
        site,
        reading_every_ms=values.get("reading_ms", READING_EVERY_MS),
        grace_ms=values.get("grace_ms", GRACE_MS),
    )


def _prune(finished: Path) -> None:
    names = os.listdir(finished)
    if len(names) <= KEEP_FINISHED:
        return
    by_age = sorted(names, key=lambda name: ((finished / name).stat().st_mtime_ns, name))
    for name in by_age[:-KEEP_FINISHED]:
        shutil.rmtree(finished / name, ignore_errors=True)


def _launch(folder: Path) -> subprocess.Popen[bytes]:
    """Start the supervisor in its own session: signals to the agent do not reach it."""
    with open(folder / "supervisor.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LAUNCH, SOURCE_ROOT, str(folder)],
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
