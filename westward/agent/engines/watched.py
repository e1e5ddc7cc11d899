"""Runs that live on somebody else's machines, as files of the agent.

An engine whose work runs elsewhere (Ray, Kubernetes) keeps what it knows of a run in a folder below
``STATE/runs``: what was ordered, until when the lease holds, whether it was told to stop, what was
printed and metered, how it ended. A thread of the engine asks and writes; the agent's own loop only
reads, and so never waits. The folder appears whole, by a rename: it is the guard against a second
start, and a new agent process goes on from the files alone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from westward.agent.engines import processes
from westward.agent.engines.base import (
    AlreadyStarted,
    LeaseTimes,
    RunResult,
    RunStatus,
    RunView,
    read_result,
)
from westward.agent.engines.folders import (
    AnswersFromFiles,
    note_stop,
    prune,
    read_log,
    refuse_known,
)
from westward.model.wire import Grant, HeldRun, Outcome, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the engine's thread last heard of a run that has not ended."""

    status: RunStatus
    engine_state: str


@dataclass
class WatchedRuns:
    """The runs of one engine. Every method may be called from any thread."""

    root: Path
    told: dict[str, Told] = field(default_factory=dict)
    _metered: dict[str, tuple[int, list[Reading]]] = field(default_factory=dict)
    """By run: the size of its readings file, and what stands in it."""
    _orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _wake_read: int = -1
    _wake_write: int = -1

    def __post_init__(self) -> None:
        self.root = self.root.resolve()
        shutil.rmtree(self.root / "new", ignore_errors=True)  # an agent died while noting a run
        for name in ("new", "runs", "finished"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._wake_read)
        os.close(self._wake_write)

    # -- news for the agent

    def wake_fd(self) -> int:
        return self._wake_read

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # full: it will look anyway
            os.write(self._wake_write, b".")

    # -- a run begins

    def folder(self, run_id: str) -> Path:
        return self.root / "runs" / run_id

    def take(self, grant: Grant, lease: LeaseTimes, order: Mapping[str, Any]) -> None:
        """Note the run; from here on ``recover`` lists it. AlreadyStarted, OSError, ValueError."""
        refuse_known(self.root, grant.run_id)
        folder = self.folder(grant.run_id)
        if folder.exists():
            raise AlreadyStarted(grant.run_id)
        whole = {"run_id": grant.run_id, "token": grant.token, "nodes": grant.nodes, **order}
        being_made = self.root / "new" / f"{grant.run_id}.{uuid.uuid4().hex}"
        being_made.mkdir(mode=0o700)
        try:
            processes.write_atomic(str(being_made / "deadline.json"), _lease_text(lease))
            processes.write_atomic(str(being_made / "order.json"), json.dumps(whole), durable=True)
            os.rename(being_made, folder)
        except OSError as error:
            shutil.rmtree(being_made, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise AlreadyStarted(grant.run_id) from None
            raise
        with self._lock:
            self._orders[grant.run_id] = whole
        self.told[grant.run_id] = Told(status=RunStatus.STARTING, engine_state="ordered")

    def order(self, run_id: str) -> dict[str, Any] | None:
        with self._lock:
            kept = self._orders.get(run_id)
        if kept is not None:
            return kept
        read = processes.read_json(str(self.folder(run_id) / "order.json"))
        if read is not None:
            with self._lock:
                self._orders[run_id] = read
        return read

    def held(self) -> tuple[str, ...]:
        """Runs taken and not forgotten."""
        return tuple(sorted(os.listdir(self.root / "runs")))

    def recover(self) -> tuple[HeldRun, ...]:
        found = []
        for run_id in self.held():
            order = self.order(run_id)
            if order is not None:
                found.append(HeldRun(run_id=run_id, token=int(order["token"])))
        return tuple(found)

    def mark(self, run_id: str, name: str, value: Mapping[str, Any]) -> None:
        """Keep a fact about the run over restarts."""
        with contextlib.suppress(FileNotFoundError):
            path = str(self.folder(run_id) / f"{name}.json")
            processes.write_atomic(path, json.dumps(value), durable=True)

    def marked(self, run_id: str, name: str) -> dict[str, Any] | None:
        return processes.read_json(str(self.folder(run_id) / f"{name}.json"))

    # -- its lease and its stop

    def extend(self, run_id: str, lease: LeaseTimes) -> None:
        with contextlib.suppress(FileNotFoundError):
            processes.write_atomic(str(self.folder(run_id) / "deadline.json"), _lease_text(lease))

    def lease(self, run_id: str) -> LeaseTimes:
        """The lease on this machine's ``boot_ms``; one of an earlier boot is over."""
        read = processes.read_json(str(self.folder(run_id) / "deadline.json"))
        if read is None or read.get("boot") != processes.boot_id():
            return LeaseTimes(term_at=0, kill_at=0)
        return LeaseTimes(term_at=int(read["term_at"]), kill_at=int(read["kill_at"]))

    def stop(self, run_id: str, outcome: Outcome) -> bool:
        """Note that the run is to end so. True only for the first who says it."""
        return note_stop(self.folder(run_id), outcome)

    def stopping(self, run_id: str) -> Outcome | None:
        try:
            text = (self.folder(run_id) / "stop").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        return cast(Outcome, text or "lease-expired")

    # -- what is heard of it

    def note_started(self, run_id: str, ago_ms: int = 0) -> None:
        path = self.folder(run_id) / "started.json"
        if not path.exists():
            at = {"at": processes.boot_ms() - ago_ms, "boot": processes.boot_id()}
            with contextlib.suppress(FileNotFoundError):
                processes.write_atomic(str(path), json.dumps(at))
            self.wake()

    def started_ago_ms(self, run_id: str) -> int | None:
        """How long ago; None = not started. 0 when this machine was restarted since."""
        begun = processes.read_json(str(self.folder(run_id) / "started.json"))
        if begun is None:
            return None
        if begun.get("boot") != processes.boot_id():
            return 0
        return max(0, processes.boot_ms() - int(begun["at"]))

    def note_ended(self, run_id: str, result: RunResult) -> None:
        """The first word stands."""
        path = self.folder(run_id) / "exit.json"
        if not path.exists():
            with contextlib.suppress(FileNotFoundError):
                processes.write_atomic(str(path), json.dumps(asdict(result)), durable=True)
        self.told.pop(run_id, None)
        self.wake()

    def has_ended(self, run_id: str) -> bool:
        return (self.folder(run_id) / "exit.json").exists()

    def look(self, run_id: str) -> RunView:
        told = self.told.get(run_id)  # before exit.json: the file comes last
        ago_ms = self.started_ago_ms(run_id)
        ended = processes.read_json(str(self.folder(run_id) / "exit.json"))
        if ended is not None:
            result, status, engine_state = read_result(ended), RunStatus.ENDED, "ended"
        elif told is None:  # an agent that was just started has not asked yet
            result, status, engine_state = None, RunStatus.UNKNOWN, "not asked yet"
        else:
            result, status, engine_state = None, told.status, told.engine_state
        return RunView(
            status=status,
            started=ago_ms is not None,
            result=result,
            engine_state=engine_state,
            started_ago_ms=ago_ms or 0,
        )

    def clean(self, run_id: str, detail: str) -> None:
        self.note_ended(run_id, RunResult(outcome="lease-expired", exit_code=None, detail=detail))

    # -- what it prints and uses

    def log_size(self, run_id: str, rank: int) -> int:
        try:
            return (self.folder(run_id) / f"rank{rank}.log").stat().st_size
        except FileNotFoundError:
            return 0

    def append_log(self, run_id: str, rank: int, data: bytes) -> None:
        if data:
            with (
                contextlib.suppress(FileNotFoundError),
                open(self.folder(run_id) / f"rank{rank}.log", "ab") as file,
            ):
                file.write(data)
            self.wake()

    def read_log(self, run_id: str, rank: int, offset: int, most: int) -> bytes:
        return read_log(self.folder(run_id), rank, offset, most)

    def readings(self, run_id: str, after: int) -> tuple[Reading, ...]:
        """Line n of ``readings.jsonl`` is reading n."""
        with self._lock:
            return tuple(self._readings(run_id)[after + 1 :])

    def _readings(self, run_id: str) -> list[Reading]:
        path = self.folder(run_id) / "readings.jsonl"
        try:
            size = path.stat().st_size
            known = self._metered.get(run_id)
            if known is None or known[0] != size:
                text = path.read_text(encoding="utf-8")
                known = size, [Reading(**json.loads(line)) for line in text.splitlines()]
                self._metered[run_id] = known
        except FileNotFoundError:
            return []
        return known[1]

    def add_reading(self, run_id: str, reading: Reading) -> bool:
        """Note the next reading; one noted before changes nothing. False: one before is missing."""
        with self._lock:
            known = self._readings(run_id)
            if reading.sequence != len(known):
                return reading.sequence < len(known)
            line = json.dumps(asdict(reading)) + "\n"
            try:
                processes.append_whole(str(self.folder(run_id) / "readings.jsonl"), line)
            except OSError:  # disk full, or forgotten: told again
                return False
            # What was read stays known: the file of a run of weeks is not read anew each time.
            size_bytes = self._metered.get(run_id, (0, known))[0] + len(line)  # ASCII
            known.append(reading)
            self._metered[run_id] = (size_bytes, known)
        return True

    def meter(self, run_id: str, ran_ms: int, most_age_ms: int) -> None:
        """For engines that tell no more than how long a run holds its devices: note what was not
        yet metered of ``ran_ms`` once it is ``most_age_ms`` long."""
        order = self.order(run_id)
        if order is None:
            return
        seen = self.readings(run_id, -1)
        wall_ms = ran_ms - sum(reading.wall_ms for reading in seen)
        if wall_ms <= 0 or wall_ms < most_age_ms:
            return
        held_milli = int(order["devices_per_node_milli"]) * int(order["nodes"])
        self.add_reading(
            run_id,
            Reading(
                sequence=len(seen),
                wall_ms=wall_ms,
                device_milli_ms=wall_ms * held_milli,
                cpu_ms=0,
                max_rss_kib=0,
            ),
        )

    def ranks(self, run_id: str) -> int:
        order = self.order(run_id)
        return int(order["nodes"]) if order else 0

    # -- it is over

    def forget(self, run_id: str) -> None:
        finished = self.root / "finished"
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.folder(run_id), finished / run_id)
        with self._lock:
            self._metered.pop(run_id, None)
            self._orders.pop(run_id, None)
            self.told.pop(run_id, None)
            prune(finished)


def _lease_text(lease: LeaseTimes) -> str:
    return json.dumps(
        {"term_at": lease.term_at, "kill_at": lease.kill_at, "boot": processes.boot_id()}
    )


class WatchedEngine(AnswersFromFiles):
    """What an engine with ``WatchedRuns`` answers without asking anybody."""

    runs: WatchedRuns

    def wake_fd(self) -> int:
        return self.runs.wake_fd()

    def look(self, run_id: str) -> RunView:
        return self.runs.look(run_id)


def refuse_files(grant: Grant, engine: str) -> None:
    """ValueError where the job wants files brought along, which ``engine`` cannot."""
    wants = [f"file_mounts {mount.target}" for mount in grant.work.file_mounts]
    if grant.work.workdir is not None:
        wants.insert(0, f"workdir {grant.work.workdir}")
    if wants:
        raise ValueError(
            f"the {engine} engine brings no files to its nodes: {', '.join(wants)}. "
            "Let the job fetch them, or send it to a site with a local or Slurm engine"
        )
