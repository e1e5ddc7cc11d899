"""The threads that talk to Slurm, so that the agent's own loop never waits for it.

One hands jobs in and calls them off, one after another. The other asks squeue once a second for
all runs together, decides what ended runs came to, and answers the nodes' questions about leases
(``slurm_lease``). Both leave what they learn in the runs' folders, so that the next agent goes on:

    sbatch.json  what is to be handed in          slurm.json   Slurm's number of the job
    sbatch.sent  sbatch was, or may have been, started
    result.json  the end, where the supervisor's own exit.json is not the last word
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from westward.agent.engines import processes
from westward.agent.engines.base import result_noted
from westward.agent.engines.folders import RunFolders, claim
from westward.agent.engines.slurm_accounting import AccountKeeper, Foretold, note_wait
from westward.agent.engines.slurm_commands import (
    WAITING,
    Commands,
    QueuedJob,
    SlurmAway,
    SlurmRefused,
    SlurmSilent,
)
from westward.agent.engines.slurm_verdict import verdict

ASK_EVERY_S = 1.0
TICK_S = 0.2
"""How often the nodes' questions are looked for."""
ANSWER_AGE_S = 4.0
"""Longer without an answer, and what is known of a run's state counts as unknown."""
ABSENT_ANSWERS = 3
"""A job missing from so many answers in a row is gone, or was never taken."""
SETTLE_ANSWERS = 3
"""So many answers call a job ended before its supervisor's silence counts: files may be late."""
SETTLE_S = 60.0
"""A supervisor's own word stands after so long, though Slurm does not add to it."""
RETRY_S = 2.0
NEVER = ("PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit", "BadConstraints")
"""Reasons with which Slurm keeps a job waiting that it could not start as things stand."""
DOUBTFUL = ("NODE_FAIL", "REVOKED")
"""Ends of which Slurm does not know that they are so: a node that is cut off works on."""
OTHER_BOOT_SLACK_S = 60.0
NEVER_S = 30.0
"""After so long with such a reason the run is handed back: another site may take it."""
CANCEL_SLACK_S = 15.0
"""A stop that the job has not heeded its grace and this later is done by scancel."""

log = logging.getLogger("westward.agent")


@dataclass
class Tracked:
    """What is known of one run."""

    run_id: str
    job_id: int | None = None
    sent: bool = False
    """sbatch was, or may have been, started."""
    job: QueuedJob | None = None
    absent: int = 0
    over: int = 0
    exit_seen: float | None = None
    stop_seen: float | None = None
    never_seen: float | None = None
    refused: str = ""
    doubtful: bool = False
    """Something of the run may live on a node that nobody can reach: its lease is not renewed any
    more, and its end is not told before the lease is over."""
    started_seen: float | None = None
    seen: dict[str, int] = field(default_factory=dict)
    """By node: the newest question that the lease file answers."""


class Watch:
    """All runs of one engine. Its maps are written by one thread each and read by any."""

    def __init__(
        self, folders: RunFolders, state: Path, commands: Commands, wake: Callable[[], None]
    ):
        self.folders = folders
        self.state = state
        self.commands = commands
        self.wake = wake
        self.runs: dict[str, Tracked] = {}
        self.accounts = AccountKeeper(commands, folders.root)
        self.answered_at = 0.0
        self.silent = ""
        """Why Slurm gives no answer; empty = it does."""
        self.lock = threading.Lock()
        """Held while a lease file is written."""
        self.orders: queue.Queue[tuple[str, str]] = queue.Queue()
        self.closing = threading.Event()
        self.earlier_over = False
        """Whether no sbatch of an earlier agent can still be at work."""
        self.threads: list[threading.Thread] = []

    def begin(self) -> None:
        """Take up what earlier agents left, and start the threads."""
        for held in self.folders.recover():
            folder = self.folders.folder(held.run_id)
            if (folder / "result.json").exists():
                self.accounts.later(held.run_id)
                continue
            self._take_up(held.run_id, folder)
        for name in os.listdir(self.folders.root / "finished"):
            self.accounts.later(name)
        for work in (self._hand_in, self._follow):
            thread = threading.Thread(target=work, name=f"slurm {work.__name__}", daemon=True)
            thread.start()
            self.threads.append(thread)

    def _take_up(self, run_id: str, folder: Path) -> None:
        run = Tracked(run_id)
        known = processes.read_json(str(folder / "slurm.json"))
        if known is not None:
            run.job_id = int(known["job_id"])
        run.sent = known is not None or (folder / "sbatch.sent").exists()
        self.runs[run_id] = run
        if not run.sent:
            self.orders.put(("submit", run_id))

    def close(self) -> None:
        self.closing.set()
        self.orders.put(("", ""))
        for thread in self.threads:
            thread.join(timeout=2)

    # -- asked by the engine

    def add(self, run_id: str) -> None:
        self.runs[run_id] = Tracked(run_id)
        self.orders.put(("submit", run_id))

    def cancel_waiting(self, run_id: str) -> None:
        self.orders.put(("cancel", run_id))

    def forget(self, run_id: str) -> None:
        """The run's folder has been moved; its account may still be to come."""
        self.runs.pop(run_id, None)
        self.accounts.later(run_id)

    @property
    def knows(self) -> bool:
        return not self.silent and time.monotonic() < self.answered_at + ANSWER_AGE_S

    # -- handing in and calling off

    def _hand_in(self) -> None:
        while not self.closing.is_set():
            what, run_id = self.orders.get()
            run = self.runs.get(run_id)
            if run is None:
                continue
            try:
                if what == "submit":
                    self._submit(run)
                elif run.job_id is not None:
                    self.commands.cancel("--state=PENDING", str(run.job_id))
            except SlurmRefused as error:
                self._conclude(run, "lease-expired", None, f"Slurm refused the job: {error}")
            except SlurmAway as error:
                self.silent = str(error)
                if what == "submit":
                    self._unmark(run)
                    again = threading.Timer(RETRY_S, self.orders.put, [(what, run_id)])
                    again.daemon = True
                    again.start()
            except SlurmSilent as error:  # found out by name; a stop is repeated by the follower
                log.warning("run %s: %s", run_id, error)
            except FileNotFoundError:
                pass  # forgotten meanwhile
            except OSError as error:
                log.error("run %s cannot be noted: %s", run_id, error)
            except Exception:  # a broken run must not leave all others waiting
                log.critical("run %s: handing it to Slurm", run_id, exc_info=True)

    def _submit(self, run: Tracked) -> None:
        folder = self.folders.folder(run.run_id)
        arguments = processes.read_json(str(folder / "sbatch.json"))
        if arguments is None:
            self._conclude(run, "lease-expired", None, "what was to be handed in is lost")
            return
        if (stop := _word(folder / "stop")) is not None:
            self._conclude(run, stop, None, "stopped before it was handed to Slurm")
            return
        # Held by sbatch itself: a later agent waits for it before it asks what became of the job.
        lock = os.open(self.state / "sbatch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            foretold = Foretold(self.commands, arguments["arguments"])
            with open(folder / "sbatch.sent", "xb") as file:
                os.fsync(file.fileno())
            run.sent = True
            run.job_id = self.commands.submit(arguments["arguments"], lock)
        finally:
            os.close(lock)
        self._note_job(run)
        at = time.time()
        waits = {"submitted_s": at, "foretold_start_s": foretold.result()}
        processes.write_atomic(str(folder / "waits.json"), json.dumps(waits))

    def _unmark(self, run: Tracked) -> None:
        run.sent = False
        with contextlib.suppress(OSError):
            os.unlink(self.folders.folder(run.run_id) / "sbatch.sent")

    def _note_job(self, run: Tracked) -> None:
        path = self.folders.folder(run.run_id) / "slurm.json"
        processes.write_atomic(str(path), json.dumps({"job_id": run.job_id}), durable=True)

    # -- following

    def _follow(self) -> None:
        ask_at = 0.0
        while not self.closing.wait(TICK_S):
            try:
                self._answer_nodes()
                now = time.monotonic()
                if now >= ask_at and (self.runs or self.accounts.wanted):
                    ask_at = now + ASK_EVERY_S
                    self._ask()
            except Exception:  # a broken run must not leave all others unwatched
                log.critical("following Slurm's jobs", exc_info=True)

    def _ask(self) -> None:
        try:
            jobs = self.commands.queue()
        except SlurmSilent as error:
            if not self.silent:
                log.warning("Slurm does not answer: %s", error)
                self.wake()
            self.silent = str(error)
            return
        self.answered_at = time.monotonic()
        self.silent = ""
        self.earlier_over = self.earlier_over or self._no_earlier_sbatch()
        by_name: dict[str, list[QueuedJob]] = {}
        for job in jobs:
            by_name.setdefault(job.name, []).append(job)
        for run in list(self.runs.values()):
            try:
                self._follow_run(run, by_name.get(run.run_id, []))
            except FileNotFoundError:
                pass  # forgotten meanwhile
            except OSError as error:  # disk full: this run waits, the others do not
                log.error("run %s cannot be followed: %s", run.run_id, error)
        over = {job.job_id for job in jobs if job.over}
        listed = {job.job_id for job in jobs}
        self.accounts.keep(over, listed)

    def _no_earlier_sbatch(self) -> bool:
        lock = os.open(self.state / "sbatch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def _follow_run(self, run: Tracked, jobs: list[QueuedJob]) -> None:
        folder = self.folders.folder(run.run_id)
        if (folder / "result.json").exists():
            return
        job = self._mine(run, jobs)
        before = None if run.job is None else run.job.state
        if job is not None:
            run.job = job
            run.absent = 0
            run.over = run.over + 1 if job.over else 0
        elif run.job_id is not None or (run.sent and self.earlier_over):
            run.absent += 1
        self._note_start(run, folder)
        self._conclude_if_over(run, folder, job)
        self._hand_back_hopeless(run)
        self._stop_by_force(run, folder)
        if job is not None and job.state != before:
            self.wake()

    def _mine(self, run: Tracked, jobs: list[QueuedJob]) -> QueuedJob | None:
        """Slurm's job of this run. A second one, which runs nothing, is called off."""
        if not jobs:
            return None
        claim = processes.read_json(str(self.folders.folder(run.run_id) / "supervisor.json")) or {}
        worker = str(claim.get("slurm_job"))
        jobs = sorted(jobs, key=lambda job: (str(job.job_id) != worker, job.over, job.job_id))
        mine = next((job for job in jobs if job.job_id == run.job_id), jobs[0])
        if str(jobs[0].job_id) == worker:
            mine = jobs[0]
        if mine.job_id != run.job_id:
            run.job_id = mine.job_id
            self._note_job(run)
        for job in jobs:
            if job is not mine and not job.over:
                log.warning("run %s: Slurm has job %d a second time", run.run_id, job.job_id)
                with contextlib.suppress(SlurmSilent):
                    self.commands.cancel(str(job.job_id))
        return mine

    def _note_start(self, run: Tracked, folder: Path) -> None:
        if run.started_seen is not None or not (folder / "started.json").exists():
            return
        run.started_seen = time.monotonic()
        job, waits = run.job, processes.read_json(str(folder / "waits.json"))
        if job is None or waits is None or "actual_ms" in waits or job.state in WAITING:
            return
        if job.start_s is None or job.submit_s is None:
            return
        start_s = waits["foretold_start_s"]
        foretold_ms = (
            None if start_s is None else max(0, round(1000 * (start_s - waits["submitted_s"])))
        )
        actual_ms = 1000 * (job.start_s - job.submit_s)
        waits |= {"foretold_ms": foretold_ms, "actual_ms": actual_ms}
        processes.write_atomic(str(folder / "waits.json"), json.dumps(waits))
        note_wait(self.state / "waits.jsonl", run.run_id, foretold_ms, actual_ms)

    def _conclude_if_over(self, run: Tracked, folder: Path, job: QueuedJob | None) -> None:
        ended = processes.read_json(str(folder / "exit.json"))
        ended = ended if result_noted(ended) is not None else None  # not spoiled by the job
        now = time.monotonic()
        if ended is not None:
            run.exit_seen = now if run.exit_seen is None else run.exit_seen
            if not ended.get("ask_slurm", True):
                self._done(run)
                return
        stop = _word(folder / "stop")
        gone = run.absent >= ABSENT_ANSWERS
        if self._in_doubt(run, folder, ended, gone):
            return
        if job is not None and job.over and run.refused and ended is None:
            detail = f"Slurm would not start it: {run.refused}"
            self._conclude(run, stop or "lease-expired", None, detail)
        elif job is not None and job.over:
            if ended is not None or run.over >= SETTLE_ANSWERS:
                self._conclude(run, *verdict(job.state, job.reason, ended, stop))
        elif ended is not None:
            waited = run.exit_seen is not None and now > run.exit_seen + SETTLE_S
            if gone or waited:
                self._conclude(run, ended["outcome"], ended["exit_code"], ended["detail"])
        elif gone and run.job_id is None and claim(folder):
            detail = "Slurm never confirmed that it took the job, and does not know it"
            self._conclude(run, stop or "lease-expired", None, detail)

    def _in_doubt(
        self, run: Tracked, folder: Path, ended: dict[str, Any] | None, gone: bool
    ) -> bool:
        """Whether the run may live on though Slurm calls it over, or does not know it any more (a
        slurmctld that lost its state), and its lease is not over yet. A batch step that was killed
        is over for Slurm at once; what it had started may go on where Slurm tracks processes by
        their parents (proctrack/linuxproc)."""
        state = "" if run.job is None else run.job.state
        claimed = ended is None and (folder / "supervisor.json").exists()
        run.doubtful = (
            state in DOUBTFUL
            or (ended is not None and bool(ended.get("unsure", True)))
            or (gone and run.job_id is not None and claimed)
            or (claimed and run.job is not None and run.job.over and _lives_here(run.run_id))
        )
        if not run.doubtful:
            return False
        with contextlib.suppress(FileExistsError), open(folder / "stop", "x") as file:
            file.write("lease-expired")
        return not self.lease_over(folder)

    def lease_over(self, folder: Path) -> bool:
        """Whether nothing of the run can live: the guards' last moment has passed."""
        lease = processes.read_json(str(folder / "lease.json"))
        if lease is None:
            return True
        term, kill = int(lease["term_in_ms"]), int(lease["kill_in_ms"])
        last_ms = kill + max(0, kill - term) // 2
        if lease["boot_id"] == processes.boot_id():
            return processes.boot_ms() > int(lease["kill_at"]) - kill + last_ms
        age_s = time.time() - os.stat(folder / "lease.json").st_mtime  # this machine was restarted
        return age_s > last_ms / 1000 + OTHER_BOOT_SLACK_S

    def _hand_back_hopeless(self, run: Tracked) -> None:
        job = run.job
        if job is None or job.job_id != run.job_id or job.reason not in NEVER:
            run.never_seen = None
            return
        now = time.monotonic()
        run.never_seen = now if run.never_seen is None else run.never_seen
        if job.state == "PENDING" and now >= run.never_seen + NEVER_S:
            run.refused = job.reason
            with contextlib.suppress(SlurmSilent):
                self.commands.cancel("--state=PENDING", str(job.job_id))

    def _stop_by_force(self, run: Tracked, folder: Path) -> None:
        if run.job_id is None or not (folder / "stop").exists():
            return
        now = time.monotonic()
        run.stop_seen = now if run.stop_seen is None else run.stop_seen
        order = self.folders.order(run.run_id) or {}
        with contextlib.suppress(SlurmSilent):
            if run.job is not None and run.job.state in WAITING:
                self.commands.cancel("--state=PENDING", str(run.job_id))
            elif now > run.stop_seen + int(order.get("grace_ms", 0)) / 1000 + CANCEL_SLACK_S:
                self.commands.cancel(str(run.job_id))

    def _conclude(self, run: Tracked, outcome: str, exit_code: int | None, detail: str) -> None:
        folder = self.folders.folder(run.run_id)
        result = {"outcome": outcome, "exit_code": exit_code, "detail": detail}
        with contextlib.suppress(FileNotFoundError):
            processes.write_atomic(str(folder / "result.json"), json.dumps(result), durable=True)
        self._done(run)

    def _done(self, run: Tracked) -> None:
        self.runs.pop(run.run_id, None)
        self.accounts.later(run.run_id)
        self.wake()

    # -- the nodes' questions

    def _answer_nodes(self) -> None:
        """Nodes other than the agent's own ask for their lease (``slurm_lease``)."""
        for path in (self.folders.root / "beats").iterdir():
            run_id, _, who = path.name.rpartition(".")
            if who == "tmp":
                continue
            run = self.runs.get(run_id)
            try:
                number = int(path.read_text())
            except (OSError, ValueError):
                continue
            if run is None:
                if run_id not in self.accounts.wanted:
                    path.unlink(missing_ok=True)
            elif run.seen.get(who) != number:
                run.seen[who] = number
                try:
                    self.write_lease(run_id, None)
                except OSError as error:
                    log.error("run %s: its node cannot be answered: %s", run_id, error)

    def write_lease(self, run_id: str, times: tuple[int, int] | None) -> None:
        """Renew the lease file; ``times`` None: as it stands, with newer answers. OSError."""
        path = str(self.folders.folder(run_id) / "lease.json")
        run = self.runs.get(run_id)
        with self.lock:
            if run is not None and run.doubtful:
                return
            lease: dict[str, Any] = processes.read_json(path) or {}
            if times is None:
                if lease.get("boot_id") != processes.boot_id():
                    return
                times = (int(lease["term_at"]), int(lease["kill_at"]))
            term_at, kill_at = times
            now = processes.boot_ms()
            lease |= {
                "boot_id": processes.boot_id(),
                "term_at": term_at,
                "kill_at": kill_at,
                "term_in_ms": term_at - now,
                "kill_in_ms": kill_at - now,
                "seen": {} if run is None else dict(run.seen),
            }
            with contextlib.suppress(FileNotFoundError):
                processes.write_atomic(path, json.dumps(lease))


def _lives_here(run_id: str) -> bool:
    """On the agent's own machine; of other nodes there is Slurm's word alone."""
    return bool(processes.marked_processes(f"WESTWARD_RUN_ID={run_id}"))


def _word(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or "lease-expired"
    except FileNotFoundError:
        return None
