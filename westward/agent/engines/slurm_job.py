"""What runs inside a Slurm job: the supervisor as its batch step, and one under srun on each node.

Started by the batch script under ``python -I -S`` from a copy in the shared folder; standard
library only. A job of one node runs its rank under the supervisor of the batch step. A gang's
batch step starts one supervisor on each node by srun; each watches the lease and the stop for
itself, so that none depends on the others, on slurmctld or on the agent. They tell the batch step
by files: ``rankN.used.json``, ``rankN.exit.json``; it tells them by ``halt``.

``supervisor.json`` is created exclusively by the first batch step of a run: a second Slurm job of
the same run (submitted twice, requeued by hand) ends at once and runs nothing.

SIGTERM means that Slurm ends the job (preemption, scancel at the site, its own time limit): the
run is then never called succeeded or failed; ``exit.json`` says ``ask_slurm`` and the engine
asks Slurm what it was.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import time

from westward.agent.engines import processes
from westward.agent.engines.processes import boot_ms, suppress, write_atomic
from westward.agent.engines.slurm_lease import LeaseWatch
from westward.agent.engines.supervisor import Supervisor, guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FIRST_LEASE_MS = 60_000
"""A node whose questions are not answered for this long gives the run back."""
FIRST_LOOK_S = 0.05
TERM_LAG_S = 0.05
"""slurmstepd signals one process after another: a rank may end before we hear of it."""
RANK_LAG_MS = 3_000
"""A gang's ranks stop by themselves; after their grace and this, the batch step ends srun."""
SEEN_BY_JOBS = ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES",
                "ZE_AFFINITY_MASK", "TMPDIR", "HOSTNAME")  # fmt: skip
"""Set on each node by Slurm; beside everything that begins with SLURM."""
NO_JOB_NEEDS = ("SLURM_TIME_FORMAT", "SLURM_EXPORT_ENV")
ADDRESSES = "WESTWARD_NODE_ADDRESSES"

termed = False
"""Whether Slurm has sent SIGTERM."""


class JobSupervisor(Supervisor):
    """One node's supervisor: runs the rank as its child."""

    def __init__(
        self,
        folder: str,
        order: dict[str, Any],
        wake_read: int,
        watch: LeaseWatch,
        deadline: mmap.mmap,
    ):
        super().__init__(folder, order, wake_read)
        self.watch = watch
        self.deadline = deadline
        self.ask_slurm = False
        self.unsure = False
        """Whether something of the run may live on another node: Slurm must say that it ended."""
        order["env"].update(
            {
                name: value
                for name, value in os.environ.items()
                if name.startswith("SLURM") or name in SEEN_BY_JOBS
            }
        )
        for name in NO_JOB_NEEDS:
            order["env"].pop(name, None)
        order["env"]["WESTWARD_PYTHON"] = sys.executable

    def _lease(self) -> tuple[int, int]:
        term_at, kill_at = self.watch.times() or (0, 0)
        note_deadline(self.deadline, kill_at + max(0, kill_at - term_at) // 2)
        return term_at, kill_at

    def _staged(self) -> bool:
        return self._leased() and super()._staged()

    def _leased(self) -> bool:
        """Wait for word that the lease holds; none comes quickly where the agent is away."""
        end = boot_ms() + FIRST_LEASE_MS
        note_deadline(self.deadline, end + FIRST_LEASE_MS)
        while self.watch.times() is None:
            stop = self._stop_asked()
            if stop is not None:
                self._decide(stop, "stopped on request")
                return False
            if boot_ms() >= end or termed:
                self.ask_slurm = termed
                self._decide("lease-expired", "no word of the lease came to the node")
                return False
            time.sleep(FIRST_LOOK_S)
        return True

    def _look(self) -> bool:
        self._heed_slurm()
        return super()._look()

    def _heed_slurm(self) -> None:
        if termed and not self.ask_slurm and self._stop_asked() is None:
            self.ask_slurm = True
            self._stop("lease-expired", "ended by Slurm", self._grace_end())

    def _rank_ended(self, rank: int, code: int) -> None:
        self._wait_for_term()
        super()._rank_ended(rank, code)

    def _setup_ended(self, code: int) -> None:
        self._wait_for_term()
        super()._setup_ended(code)

    def _wait_for_term(self) -> None:
        if self.kill_at is None:
            if not termed:
                time.sleep(TERM_LAG_S)
            self._heed_slurm()

    def _started_note(self) -> dict[str, Any]:
        return {**super()._started_note(), "boot_id": self.watch.boot_id}

    def code_for_slurm(self) -> int:
        """What Slurm's own records shall say: 0 for success alone."""
        if self.outcome == "succeeded":
            return 0
        code = self.exit_code or 1
        return code if code > 0 else 128 - code

    def _exit_note(self) -> dict[str, Any]:
        asks = self.ask_slurm or self.outcome == "failed"
        return {**super()._exit_note(), "ask_slurm": asks, "unsure": self.unsure}


class RankSupervisor(JobSupervisor):
    """One node of a gang, under srun. Its exit file is read by the batch step."""

    def __init__(self, *arguments: Any, rank: int):
        super().__init__(*arguments)
        self.rank = rank
        self.order["nodes"] = 1
        self.order["time_limit_ms"] = None  # the batch step's to watch
        self.order["env"]["SKYPILOT_NODE_IPS"] = os.environ.get(ADDRESSES, "")
        self.order["setup"] = False

    def _staged(self) -> bool:
        return self._leased() and not self._look()

    def _start_ranks(self) -> None:
        self.ranks[self._spawn("run.sh", self.rank)] = self.rank

    def _look(self) -> bool:
        if os.path.exists(self.path("halt")):
            self._stop("halted", "another rank ended the run", self._grace_end())
        return super()._look()

    def _read(self, *, final: bool) -> None:
        cpu_ms, _ = self._used()
        self.read_at = boot_ms()
        used = {"cpu_ms": cpu_ms, "peak_kib": self.peak_kib}
        try:
            write_atomic(self.path(f"rank{self.rank}.used.json"), json.dumps(used))
        except OSError:
            return

    def _write_started(self) -> None:
        return

    def _write_exit(self) -> None:
        ended = {
            "outcome": self.outcome,
            "exit_code": self.exit_code or 0,
            "detail": self.detail,
            "ask_slurm": self.ask_slurm,
        }
        path = self.path(f"rank{self.rank}.exit.json")
        write_atomic(path, json.dumps(ended), durable=True)


class GangSupervisor(JobSupervisor):
    """The batch step of a gang: its only child is srun."""

    def _start_ranks(self) -> None:
        import shlex  # here, as below: what only gangs need must not delay every start

        os.environ[ADDRESSES] = "\n".join(addresses())
        command = [
            "srun", f"--nodes={self.order['nodes']}", f"--ntasks={self.order['nodes']}",
            "--ntasks-per-node=1", "--export=ALL", "--kill-on-bad-exit=1", "--wait=0",
            "--input=none", "--unbuffered", "--mpi=none", f"--chdir={self.folder}",
            f"--cpus-per-task={os.environ.get('SLURM_CPUS_PER_TASK', '1')}",
            *launch(sys.executable, sys.path[0], self.folder, "rank"),
        ]  # fmt: skip
        with open(self.path("gang.sh"), "w", encoding="utf-8") as file:
            file.write(f"exec {shlex.join(command)}\n")
        pid = processes.spawn(
            self.path("gang.sh"),
            env=os.environ,
            cwd=self.folder,
            log=self.path("srun.log"),
            data_limit=0,
        )
        self.ranks[pid] = 0

    def _lease(self) -> tuple[int, int]:
        """The ranks' supervisors end them; srun is given a little longer to tell."""
        term_at, kill_at = super()._lease()
        return term_at, kill_at + max(0, kill_at - term_at) // 4

    def _exits(self) -> dict[int, dict[str, Any]]:
        found = {}
        for rank in range(self.order["nodes"]):
            ended = processes.read_json(self.path(f"rank{rank}.exit.json"))
            if ended is not None:
                found[rank] = ended
        return found

    def _look(self) -> bool:
        if self.kill_at is None and self.ranks:
            self._judge(self._exits())
        return super()._look()

    def _judge(self, exits: dict[int, dict[str, Any]]) -> None:
        """The first rank that did not end well ends the run."""
        for rank, ended in exits.items():
            if ended["ask_slurm"]:
                self.ask_slurm = True
                self._stop("lease-expired", "ended by Slurm", self._grace_end())
            elif ended["exit_code"] and ended["outcome"] in ("", "failed"):
                code = int(ended["exit_code"])
                if self.exit_code is None:
                    self.exit_code = code
                others = (
                    ", the other ranks were stopped" if len(exits) < self.order["nodes"] else ""
                )
                told = str(ended["detail"])
                told = told if told.startswith("rank ") else f"rank {rank}: {told}"
                self._stop("failed", told + others, self._grace_end())
            elif ended["outcome"] not in ("", "halted"):
                self._stop(ended["outcome"], f"rank {rank}: {ended['detail']}", self._grace_end())

    def _stop(self, outcome: str, detail: str, kill_at: int) -> None:
        if self.kill_at is not None:
            return
        self._decide(outcome, detail)
        self.kill_at = kill_at + RANK_LAG_MS
        if self.setup_pid:
            processes.signal_each(processes.descendants(os.getpid()), self.order["stop_signal"])
        with open(self.path("halt"), "w", encoding="utf-8") as file:
            file.write(outcome)

    def _rank_ended(self, rank: int, code: int) -> None:
        """srun has ended, and with it every rank that could be reached."""
        exits = self._exits()
        self._wait_for_term()
        self._judge(exits)
        missing = [str(rank) for rank in range(self.order["nodes"]) if rank not in exits]
        if missing:
            self.ask_slurm = self.unsure = True
            self._decide(
                "lease-expired", f"srun ended with {code} without word of rank {', '.join(missing)}"
            )

    def _used(self) -> tuple[int, int]:
        cpu_ms, rss_kib = super()._used()
        peak_kib = 0
        for rank in range(self.order["nodes"]):
            used = processes.read_json(self.path(f"rank{rank}.used.json"))
            if used is not None:
                cpu_ms += int(used["cpu_ms"])
                peak_kib += int(used["peak_kib"])
        self.peak_kib = max(self.peak_kib, peak_kib)
        return cpu_ms, rss_kib

    def _watch_memory(self) -> None:
        if self.setup_pid:
            super()._watch_memory()


def launch(python: str, code: str, folder: str, role: str) -> list[str]:
    """The command that runs a supervisor; ``role``: batch or rank."""
    start = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from westward.agent.engines.slurm_job import main; sys.exit(main(sys.argv[2], sys.argv[3]))"
    )
    return [python, "-I", "-S", "-c", start, code, folder, role]


def addresses() -> list[str]:
    """One address for each node of the job, in the order of ranks. Names where Slurm is silent."""
    import socket

    nodes = os.environ["SLURM_JOB_NODELIST"]
    names = _ask("scontrol", "show", "hostnames", nodes).split()
    told = {}
    for line in _ask("scontrol", "-o", "show", "node", nodes).splitlines():
        fields = dict(word.partition("=")[::2] for word in line.split())
        told[fields.get("NodeName", "")] = fields.get("NodeAddr", "")
    found = []
    for name in names:
        address = told.get(name) or name
        with suppress(OSError):
            address = socket.gethostbyname(address)
        found.append(address)
    return found


def _ask(*command: str) -> str:
    import subprocess

    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def note_deadline(memory: mmap.mmap, at: int) -> None:
    """For the guard, which ends a supervisor that stands still beyond ``at`` (boot_ms)."""
    memory[:8] = max(0, min(at, 2**62)).to_bytes(8, "little")


def heard_term(_number: int, _frame: object) -> None:
    global termed
    termed = True


def main(folder: str, role: str) -> int:
    """Supervise the run in ``folder``; returns 1 if somebody does or did so already."""
    rank = int(os.environ.get("SLURM_PROCID", "0"))
    claim = "supervisor.json" if role == "batch" else f"rank{rank}.json"
    try:
        with open(os.path.join(folder, claim), "x", encoding="utf-8") as file:
            mine = {"slurm_job": os.environ.get("SLURM_JOB_ID"), "host": os.uname().nodename}
            file.write(json.dumps(mine))
    except FileExistsError:
        print(f"{folder}: another job has this run", file=sys.stderr)
        return 1
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, heard_term)
    processes.become_subreaper()
    deadline = mmap.mmap(-1, 8)
    note_deadline(deadline, boot_ms() + 2 * FIRST_LEASE_MS)
    worker = os.fork()
    if worker:
        return guard(worker, lambda: int.from_bytes(deadline[:8], "little"))
    processes.become_subreaper()
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    order = processes.read_json(os.path.join(folder, "order.json"))
    if order is None:
        return 1
    who = "batch" if role == "batch" else f"rank{rank}"
    arguments = (folder, order, wake_read, LeaseWatch(folder, who), deadline)
    if role == "rank":
        RankSupervisor(*arguments, rank=rank).run()
        return 0  # srun ends the gang for any other code: kept for supervisors that are killed
    job = (GangSupervisor if order["nodes"] > 1 else JobSupervisor)(*arguments)
    job.run()
    return job.code_for_slurm()
