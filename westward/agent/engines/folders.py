"""A run's folder: what is ordered, what the supervisor noted, what was printed and metered.

Used by engines whose jobs run under a supervisor that sees the same folder (local, Slurm).
``ROOT/runs/RUN`` holds a run until it is acknowledged, then ``ROOT/finished/RUN`` for a while.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from westward.agent import job_files
from westward.agent.engines import processes
from westward.agent.engines.base import AlreadyStarted, whole_number
from westward.model.wire import Grant, HeldRun, Outcome, Reading

log = logging.getLogger("westward.agent")

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


@dataclass
class RunFolders:
    """All runs below ``root``."""

    root: Path
    _reading_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By run: a line of its readings file and the byte at which that line begins."""
    _pruning: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Others on the machine see nothing of it: logs, work and secrets of many lie below."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("runs", "finished"):
            (self.root / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def folder(self, run_id: str) -> Path:
        return self.root / "runs" / run_id

    def take(self, run_id: str) -> Path:
        """The new, empty folder of a run. AlreadyStarted; ValueError for a name that is none."""
        refuse_known(self.root, run_id)
        folder = self.folder(run_id)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise AlreadyStarted(run_id) from None
        return folder

    def order(self, run_id: str) -> dict[str, Any] | None:
        return processes.read_json(str(self.folder(run_id) / "order.json"))

    def read_log(self, run_id: str, rank: int, offset: int, most: int) -> bytes:
        return read_log(self.folder(run_id), rank, offset, most)

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
        order = self.order(run_id)
        return int(order["nodes"]) if order else 0

    def forget(self, run_id: str) -> None:
        finished = self.root / "finished"
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.folder(run_id), finished / run_id)
        self._reading_at.pop(run_id, None)

    def prune(self) -> None:
        """Remove the oldest folders of finished runs."""
        with self._pruning:
            prune(self.root / "finished")

    def recover(self) -> tuple[HeldRun, ...]:
        held = []
        for folder in sorted((self.root / "runs").iterdir()):
            order = self.order(folder.name)
            token = whole_number(order, "token")
            if order is None and not (folder / "order.json").exists():
                # The agent died before it was written: nothing was started.
                job_files.remove(folder)
            elif token is None:  # not as we wrote it: its lease ends, and with it what runs
                log.error("run %s: its order.json is spoiled; it is left alone", folder.name)
            else:
                held.append(HeldRun(run_id=folder.name, token=token))
        return tuple(held)


class Runs(Protocol):
    """Runs as files: ``RunFolders`` beside a supervisor, ``watched.WatchedRuns`` elsewhere."""

    def read_log(self, run_id: str, rank: int, offset: int, most: int) -> bytes: ...

    def readings(self, run_id: str, after: int) -> tuple[Reading, ...]: ...

    def ranks(self, run_id: str) -> int: ...

    def recover(self) -> tuple[HeldRun, ...]: ...


class AnswersFromFiles:
    """What every engine (``base.Engine``) answers from its runs' files alone."""

    runs: Runs

    def read_log(self, run_id: str, rank: int, offset: int, most: int) -> bytes:
        return self.runs.read_log(run_id, rank, offset, most)

    def readings(self, run_id: str, after: int) -> tuple[Reading, ...]:
        return self.runs.readings(run_id, after)

    def ranks(self, run_id: str) -> int:
        return self.runs.ranks(run_id)

    def recover(self) -> tuple[HeldRun, ...]:
        return self.runs.recover()


class FolderEngine(AnswersFromFiles):
    """An engine whose jobs see the folders of its runs under the agent's own paths."""

    runs: RunFolders

    def folder(self, run_id: str) -> Path:
        return self.runs.folder(run_id)

    def output_folder(self, run_id: str) -> Path:
        """What the run was told as WESTWARD_OUTPUT."""
        return self.folder(run_id) / "output"

    def data_root(self) -> Path:
        """Data sets lie here; jobs see them as links (``agent.data``)."""
        return self.runs.root / "data"

    def checkpoint_root(self) -> Path:
        """What jobs save (``agent.checkpoints``)."""
        return self.runs.root / "checkpoints"


def refuse_known(root: Path, run_id: str) -> None:
    """AlreadyStarted for a run that is over; ValueError for a name that can be no folder's."""
    if not run_id.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"run id {run_id!r} cannot be a folder name")
    if (root / "finished" / run_id).exists():
        raise AlreadyStarted(run_id)


def prune(finished: Path) -> None:
    """Keep the newest folders of acknowledged runs."""
    names = os.listdir(finished)
    if len(names) <= KEEP_FINISHED:
        return
    by_age = sorted(names, key=lambda name: ((finished / name).stat().st_mtime_ns, name))
    for name in by_age[:-KEEP_FINISHED]:
        job_files.remove(finished / name)


def note_stop(folder: Path, outcome: Outcome) -> bool:
    """Note that the run is to end so. True only for the first who says it; not of a run gone."""
    try:
        with open(folder / "stop", "x", encoding="utf-8") as file:
            file.write(outcome)
    except (FileExistsError, FileNotFoundError):
        return False
    return True


def claim(folder: Path) -> bool:
    """Take the supervisor's place, so that one that comes late does not work. False: one has."""
    try:
        with open(folder / "supervisor.json", "x", encoding="utf-8") as file:
            file.write("{}")
    except FileExistsError:
        return False
    return True


def open_wake(fifo: Path) -> int:
    """Made if need be, and opened both ways without blocking: writers need no reader, nor we one."""
    if not fifo.exists():
        os.mkfifo(fifo)
    return os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def write_order(
    folder: Path,
    grant: Grant,
    *,
    env: Mapping[str, str],
    wake: Path,
    grace_ms: int,
    reading_every_ms: int,
    more: Mapping[str, object] | None = None,
) -> None:
    """All that a supervisor needs to know. ``more``: of the engine's own (``sandbox``, ``hidden``,
    ``shown``). ValueError for an unknown signal; OSError."""
    for name in ("work", "home", "output", "tmp"):
        (folder / name).mkdir()
    (folder / "run.sh").write_text(grant.work.run, encoding="utf-8")
    (folder / "setup.sh").write_text(grant.work.setup, encoding="utf-8")
    order = supervisor_order(grant, env=env, grace_ms=grace_ms, reading_every_ms=reading_every_ms)
    processes.write_atomic(
        str(folder / "order.json"), json.dumps({**order, **(more or {}), "wake": str(wake)})
    )


def supervisor_order(
    grant: Grant, *, env: Mapping[str, str], grace_ms: int, reading_every_ms: int
) -> dict[str, Any]:
    """A supervisor's ``order.json``, but for where it tells its news. ``grace_ms``: the engine's,
    for jobs that ask for none. ValueError for an unknown signal."""
    return {
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
        "env": dict(env),
        "grace_ms": grace_ms if grant.grace_ms is None else grant.grace_ms,
        "stop_signal": processes.signal_number(grant.stop_signal),
        "reading_every_ms": reading_every_ms,
    }


def job_env(folder: Path, grant: Grant, site: str) -> dict[str, str]:
    """Of a run in ``folder``: what is inherited, then what every job is told."""
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env["HOME"] = str(folder / "home")
    env.update(told_env(grant, site))
    env.update(
        SKYPILOT_NODE_IPS="\n".join(["127.0.0.1"] * grant.nodes),
        WESTWARD_PYTHON=sys.executable,
        WESTWARD_OUTPUT=str(folder / "output"),
    )
    return env


def told_env(grant: Grant, site: str) -> dict[str, str]:
    """What every job is told: its own variables, then ours (which it cannot override). Addresses,
    ranks and folders are the engine's to add."""
    env = dict(grant.work.envs)
    env.update(
        SKYPILOT_NUM_NODES=str(grant.nodes),
        SKYPILOT_NUM_GPUS_PER_NODE=str(grant.gpus_per_node),
        SKYPILOT_TASK_ID=grant.run_id,
        WESTWARD_JOB_ID=grant.job_id,
        WESTWARD_RUN_ID=grant.run_id,
        WESTWARD_ATTEMPT=str(grant.attempt),
        WESTWARD_TOKEN=str(grant.token),
        WESTWARD_SITE=site,
        WESTWARD_POOL=grant.pool,
        WESTWARD_ACCELERATOR=grant.accelerator or "",
        PYTHONUNBUFFERED="1",
    )
    return env


def read_log(folder: Path, rank: int, offset: int, most: int) -> bytes:
    """Up to ``most`` bytes of a rank's output in a run's folder; none where there is none."""
    try:
        with open(folder / f"rank{rank}.log", "rb") as file:
            file.seek(offset)
            return file.read(most)
    except FileNotFoundError:
        return b""
