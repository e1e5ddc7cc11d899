"""One small process per run that outlives the agent and holds the run's lease deadline.

Started by ``local.py`` under ``python -I -S`` with the run's folder as its only argument. It
reads ``order.json``, copies files, runs setup once and then one ``bash`` per rank, and ends all
of them when a rank fails, when told to (file ``stop`` + SIGTERM), at the time limit, or when the
time in the file ``deadline.json`` has passed, whether or not the agent still lives. It writes:

    started.json    the first process of the run was started
    readings.jsonl  one metered interval a line
    exit.json       last, fsynced, and only after no process of the run is left

It never starts a run twice: ``supervisor.json`` is created exclusively.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import signal

from westward.agent.engines import processes
from westward.agent.engines.processes import boot_ms, suppress, write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LOOK_MS = 500
"""Longest nap: memory is looked at, and a missed signal made up for, this often."""
KILL_REPEAT_MS = 20
GUARD_NAP_MOST_MS = 60_000
MEMORY_SLACK = 1.05
LOG_HEAD_BYTES = 64 * 2**20
LOG_TAIL_BYTES = 8 * 2**20
"""Kept on disk of each rank's output: what is shipped, and the newest. Between, the file is
hollowed out at every reading, so that a job that prints without end does not fill the disk."""


class Supervisor:
    """State of one run. All times are boot_ms()."""

    def __init__(self, folder: str, order: dict[str, Any], wake_read: int):
        self.folder = folder
        self.order = order
        self.wake_read = wake_read
        self.began = boot_ms()
        self.ranks: dict[int, int] = {}
        """pid → rank, of those still running."""
        self.setup_pid = 0
        self.outcome = ""
        self.detail = ""
        self.exit_code: int | None = None
        self.kill_at: int | None = None
        self.peak_kib = 0
        self.read_at = self.began
        self.read_cpu_ms = 0
        self.sequence = 0

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    # -- the run, start to end

    def run(self) -> None:
        if self._staged():
            self._write_started()
            if self.order["setup"]:
                self.setup_pid = self._spawn("setup.sh", 0)
            else:
                self._start_ranks()
            while self.setup_pid or self.ranks or self._saving():
                self._nap()
                self._reap()
                self._look()
        self._kill_leftovers()
        self._read(final=True)
        self._write_exit()

    def _staged(self) -> bool:
        if self.order["workdir"] is None and not self.order["file_mounts"]:
            return not self._look()
        from westward.agent.engines.staging import SITES_OWN, StagingFailed, StagingStopped, stage

        try:
            stage(
                workdir=self.order["workdir"],
                mounts=self.order["file_mounts"],
                work=self.path("work"),
                home=self.path("home"),
                stopped=self._look,
                hidden=self.order.get("hidden", ()),
                shown=self.order.get("shown", ()),
            )
        except StagingFailed as error:
            self._decide("failed", str(error))
            return False
        except StagingStopped:
            return False
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in SITES_OWN:
                raise  # given back: another site may have what this one lacks
            self._decide("failed", f"its files cannot be brought to it: {error}")
            return False
        return not self._look()

    def _saving(self) -> bool:
        """A shell ends at its first TERM; what it started may still be saving, until the KILL."""
        return self.outcome == "preempted" and bool(processes.descendants(os.getpid()))

    def _start_ranks(self) -> None:
        for rank in range(self.order["nodes"]):
            self.ranks[self._spawn("run.sh", rank)] = rank

    def _spawn(self, script: str, rank: int) -> int:
        env = dict(self.order["env"])
        env["SKYPILOT_NODE_RANK"] = str(rank)
        return processes.spawn(
            self.path(script),
            env=env,
            cwd=self.path("work"),
            log=self.path(f"rank{rank}.log"),
            data_limit=self.order["memory_per_node_mib"] << 20,
            sandbox=self.order.get("sandbox", ()),
        )

    # -- what happens meanwhile

    def _nap(self) -> None:
        """Until a child ends, a signal comes, or the next time at which something is due."""
        now = boot_ms()
        due = [now + LOOK_MS, self.read_at + self.order["reading_every_ms"]]
        term_at, lease_kill_at = self._lease()
        if self.kill_at is not None:
            kill_at = min(self.kill_at, lease_kill_at)
            due.append(kill_at if kill_at > now else now + KILL_REPEAT_MS)
        else:
            due.append(term_at)
            if self.order["time_limit_ms"] is not None:
                due.append(self.began + self.order["time_limit_ms"])
        select.select([self.wake_read], [], [], max(0, min(due) - now) / 1000)
        with suppress(BlockingIOError):
            os.read(self.wake_read, 4096)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, _ = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if pid == self.setup_pid:
                self._setup_ended(code)
            elif pid in self.ranks:
                self._rank_ended(self.ranks.pop(pid), code)

    def _setup_ended(self, code: int) -> None:
        self.setup_pid = 0
        if code != 0:
            self.exit_code = code
            self._decide("failed", f"setup ended with {code}")
        elif not self.outcome:
            self._start_ranks()

    def _rank_ended(self, rank: int, code: int) -> None:
        if code != 0 and self.exit_code is None:
            self.exit_code = code
            others = ", the other ranks were stopped" if self.ranks else ""
            self._stop("failed", f"rank {rank} ended with {code}{others}", self._grace_end())

    def _look(self) -> bool:
        """Check every reason to stop; true when the run is (being) stopped."""
        now = boot_ms()
        term_at, lease_kill_at = self._lease()
        limit = self.order["time_limit_ms"]
        stop = self._stop_asked()
        if stop is not None:
            self._stop(stop, "stopped on request", self._grace_end())
        elif now >= term_at:
            self._stop("lease-expired", "the lease was not renewed in time", lease_kill_at)
        elif limit is not None and now >= self.began + limit:
            self._stop("time-limit", f"ran longer than {limit} ms", self._grace_end())
        if self.kill_at is not None and now >= min(self.kill_at, lease_kill_at):
            processes.signal_each(processes.descendants(os.getpid()), signal.SIGKILL)
        if now >= self.read_at + self.order["reading_every_ms"]:
            self._read(final=False)
        if self.kill_at is None:
            self._watch_memory()
        return bool(self.outcome)

    def _stop_asked(self) -> str | None:
        """The outcome with which the agent wants the run to end; None = it may go on."""
        if not os.path.exists(self.path("stop")):
            return None
        with open(self.path("stop"), encoding="utf-8") as file:
            return file.read().strip() or "lease-expired"

    def _lease(self) -> tuple[int, int]:
        """(TERM at, KILL at). A missing or broken file counts as an ended lease."""
        lease = processes.read_json(self.path("deadline.json"))
        if lease is None:
            return 0, 0
        return int(lease["term_at"]), int(lease["kill_at"])

    def _grace_end(self) -> int:
        return boot_ms() + int(self.order["grace_ms"])

    def _decide(self, outcome: str, detail: str) -> None:
        """The first reason stands: what came after it is its consequence."""
        if not self.outcome:
            self.outcome, self.detail = outcome, detail

    def _stop(self, outcome: str, detail: str, kill_at: int) -> None:
        if self.kill_at is not None:
            return
        self._decide(outcome, detail)
        self.kill_at = kill_at
        told = processes.descendants(os.getpid())
        if self.order.get("sandbox"):  # the sandbox would end, and all in it, with no time to save
            told = [seen for seen in told if seen.name != "bwrap"]
        processes.signal_each(told, self.order["stop_signal"])

    def _kill_leftovers(self) -> None:
        """Nothing of the run outlives it: what the ranks left in the background is killed."""
        self._reap()
        processes.kill_below(os.getpid())

    # -- measuring

    def _used(self) -> tuple[int, int]:
        """(cpu ms since the start, memory now in KiB) of all processes of the run."""
        reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
        living = processes.descendants(os.getpid())
        cpu_ms = round((reaped.ru_utime + reaped.ru_stime) * 1000)
        cpu_ms += sum(seen.cpu_ms for seen in living)
        rss_kib = sum(seen.rss_kib for seen in living)
        self.peak_kib = max(self.peak_kib, reaped.ru_maxrss, rss_kib)
        return cpu_ms, rss_kib

    def _watch_memory(self) -> None:
        allowed_kib = self.order["memory_per_node_mib"] * self.order["nodes"] * 1024
        if not allowed_kib:
            return
        _, rss_kib = self._used()
        if rss_kib <= allowed_kib * MEMORY_SLACK:
            return
        used_kib = processes.proportional_kib(processes.descendants(os.getpid()))
        if used_kib > allowed_kib * MEMORY_SLACK:
            detail = f"used {used_kib >> 10} MiB of memory, {allowed_kib >> 10} MiB were asked for"
            self._stop("failed", detail, boot_ms())

    def _read(self, *, final: bool) -> None:
        now = boot_ms()
        cpu_ms, _ = self._used()
        wall_ms = now - self.read_at
        reading = {
            "sequence": self.sequence,
            "wall_ms": wall_ms,
            "device_milli_ms": wall_ms * self.order["devices_per_node_milli"] * self.order["nodes"],
            "cpu_ms": max(0, cpu_ms - self.read_cpu_ms),
            "max_rss_kib": self.peak_kib,
        }
        try:
            processes.append_whole(self.path("readings.jsonl"), json.dumps(reading) + "\n")
        except OSError:  # disk full: the next reading covers this time as well
            return
        for rank in range(self.order["nodes"]):
            processes.hollow(self.path(f"rank{rank}.log"), LOG_HEAD_BYTES, LOG_TAIL_BYTES)
        self.sequence += 1
        self.read_at = now
        self.read_cpu_ms = max(cpu_ms, self.read_cpu_ms)
        if not final:
            self._wake_agent()

    # -- telling

    def _write_started(self) -> None:
        write_atomic(self.path("started.json"), json.dumps(self._started_note()))
        self._wake_agent()

    def _started_note(self) -> dict[str, Any]:
        return {"at": boot_ms()}

    def _write_exit(self) -> None:
        if not self.outcome:
            self.outcome = "succeeded"
            self.exit_code = 0
        write_atomic(self.path("exit.json"), json.dumps(self._exit_note()), durable=True)
        self._wake_agent()

    def _exit_note(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "detail": self.detail,
            "wall_ms": boot_ms() - self.began,
        }

    def _wake_agent(self) -> None:
        """A byte into the agent's fifo; nobody listening is fine, the files say it all."""
        with suppress(OSError):
            fifo = os.open(self.order["wake"], os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(fifo, b".")
            finally:
                os.close(fifo)


def main(folder: str) -> int:
    """Supervise the run in ``folder``; returns 1 if somebody does or did so already."""
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)  # waits out an agent that only looks whether it is held
    try:
        mine = os.open(
            os.path.join(folder, "supervisor.json"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644
        )
    except FileExistsError:
        return 1
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    processes.become_subreaper()
    worker = os.fork()
    if worker:
        return guard(worker, lambda: lease_over(folder))
    os.write(mine, json.dumps({"pid": os.getpid(), "boot_id": processes.boot_id()}).encode())
    os.close(mine)
    processes.become_subreaper()
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    order = processes.read_json(os.path.join(folder, "order.json"))
    if order is None:
        return 1
    Supervisor(folder, order, wake_read).run()
    return 0


def guard(worker: int, over_at: Callable[[], int]) -> int:
    """The supervisor's parent does nothing but outlive it: a supervisor that is killed, or stopped
    beyond ``over_at`` (boot_ms), leaves nothing of the run behind. Here it holds the same lock, so
    that the run counts as vanished only once that is so.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        pid, status = os.waitpid(worker, os.WNOHANG)
        if pid:
            break
        left_ms = over_at() - boot_ms()
        if left_ms <= 0:
            os.kill(worker, signal.SIGKILL)
        nap_ms = max(KILL_REPEAT_MS, min(left_ms, GUARD_NAP_MOST_MS))
        signal.sigtimedwait({signal.SIGCHLD}, nap_ms / 1000)
    processes.kill_below(os.getpid())
    return os.waitstatus_to_exitcode(status)


def lease_over(folder: str) -> int:
    """boot_ms() at which the supervisor must have ended everything: halfway between its KILL and
    the end of the lease, which ends as long after KILL as that comes after TERM."""
    lease = processes.read_json(os.path.join(folder, "deadline.json"))
    if lease is None:
        return 0
    term_at, kill_at = int(lease["term_at"]), int(lease["kill_at"])
    return kill_at + max(0, kill_at - term_at) // 2
