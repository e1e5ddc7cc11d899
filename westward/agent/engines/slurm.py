"""Runs jobs through the site's own Slurm, which stays in charge of when and where they start.

A pool is a partition. A run is one Slurm job, named by the run's id, and a folder in a place that
the agent and the nodes share. Inside the job Westward's supervisor runs the ranks and ends them
when the lease does (``slurm_job``); outside, two threads talk to Slurm (``slurm_watch``). The
methods here read and write files and never wait for Slurm, but for ``clean`` and ``discover``.
Jobs belong to the agent's own user.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from westward.agent.engines import processes, slurm_accounting
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
from westward.agent.engines.slurm_accounting import Accounting, WaitScore
from westward.agent.engines.slurm_commands import WAITING, Commands, SlurmSilent
from westward.agent.engines.slurm_job import launch
from westward.agent.engines.slurm_watch import ABSENT_ANSWERS, Watch
from westward.model.wire import Grant, Outcome

READING_EVERY_MS = 5_000
GRACE_MS = 20_000
NUMBERS = ("grace_ms", "reading_ms")
TEXTS = ("partition", "account", "qos", "shared", "conf", "gres", "python", "clock")
COMMANDS = ("sbatch", "squeue", "scontrol", "scancel", "sinfo")
ON_NODES = ("processes", "supervisor", "staging", "slurm_lease", "slurm_job")
"""Modules that run on the nodes, from a copy in the shared folder."""
LIMIT_SLACK_MINUTES = 2
"""Slurm's own limit comes after the supervisor's, which knows milliseconds."""


@dataclass
class SlurmEngine(FolderEngine):
    """``state``: the agent's own folder; ``shared``: a folder that the nodes see under that path."""

    state: Path
    site: str
    shared: Path
    partitions: Mapping[str, str] = field(default_factory=dict)
    """Pool → partition; "" stands for every other pool. Not named: the pool's own name."""
    gres: Mapping[str, str] = field(default_factory=dict)
    """Accelerator → GRES name and type, as in H100 → gpu:h100. Not named: any gpu."""
    submit_options: tuple[str, ...] = ()
    commands: Commands = field(default_factory=Commands)
    python: str = ""
    """On the nodes: 3.9 or newer, nothing beside its standard library is needed. Empty: the
    agent's own where a node has it under the same path, else python3."""
    always_ask: bool = False
    """Jobs on the agent's own machine also ask for their lease as those elsewhere do."""
    reading_every_ms: int = READING_EVERY_MS
    grace_ms: int = GRACE_MS
    _wake_fd: int = -1

    def __post_init__(self) -> None:
        self.state, self.shared = self.state.resolve(), self.shared.resolve()
        self.state.mkdir(parents=True, exist_ok=True)
        self.runs = RunFolders(self.shared)
        (self.shared / "beats").mkdir(exist_ok=True)
        self._code = _install(self.shared)
        self._wake = self.state / "wake"
        self._wake_fd = open_wake(self._wake)
        self._watch = Watch(self.runs, self.state, self.commands, self._news)
        self._watch.begin()

    def wake_fd(self) -> int:
        return self._wake_fd

    def _news(self) -> None:
        with contextlib.suppress(OSError):  # full: it will look anyway
            os.write(self._wake_fd, b".")

    def close(self) -> None:
        self._watch.close()
        os.close(self._wake_fd)
        self._wake_fd = -1

    # -- a run's life

    def start(self, grant: Grant, lease: LeaseTimes) -> None:
        folder = self.runs.take(grant.run_id)
        try:
            (folder / "batch.sh").write_text(self._batch(folder), encoding="utf-8")
            text = json.dumps({"always_ask": self.always_ask})
            processes.write_atomic(str(folder / "lease.json"), text)
            self._watch.write_lease(grant.run_id, (lease.term_at, lease.kill_at))
            text = json.dumps({"arguments": self.arguments(grant)})
            processes.write_atomic(str(folder / "sbatch.json"), text)
            # Last: a folder without it is one whose agent died here, and is dropped.
            write_order(
                folder,
                grant,
                env=job_env(folder, grant, self.site),
                wake=self._wake,
                grace_ms=self.grace_ms,
                reading_every_ms=self.reading_every_ms,
            )
        except (OSError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._watch.add(grant.run_id)

    def _batch(self, folder: Path) -> str:
        code = str(self._code)
        command = shlex.join(launch(self.python or "python3", code, str(folder), "batch"))
        if self.python:
            return f"#!/bin/sh\nexec {command}\n"
        mine = shlex.join(launch(sys.executable, code, str(folder), "batch"))
        return f"#!/bin/sh\n[ -x {shlex.quote(sys.executable)} ] && exec {mine}\nexec {command}\n"

    def arguments(self, grant: Grant) -> list[str]:
        """What sbatch is told. ``--no-requeue``: Slurm must not begin a second attempt under the
        same token; Westward makes a new run instead."""
        folder = self.folder(grant.run_id)
        comment = (
            f"westward site={self.site} job={grant.job_id} attempt={grant.attempt} "
            f"token={grant.token}"
        )
        cpus = max(1, math.ceil(grant.cpus_per_node_milli / 1000))
        partition = self.partitions.get(grant.pool, self.partitions.get("", grant.pool))
        options = [
            "--parsable", "--no-requeue", "--export=ALL", "--input=/dev/null",
            "--open-mode=append", f"--job-name={grant.run_id}", f"--comment={comment}",
            f"--output={folder}/slurm.out", f"--chdir={folder}", f"--partition={partition}",
            f"--nodes={grant.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={cpus}",
            *self.submit_options,
        ]  # fmt: skip
        if grant.memory_per_node_mib:
            options.append(f"--mem={grant.memory_per_node_mib}M")
        if grant.gpus_per_node:
            kind = self.gres.get(grant.accelerator or "", self.gres.get("", "gpu"))
            options.append(f"--gres={kind}:{grant.gpus_per_node}")
        if grant.time_limit_ms is not None:
            grace_ms = self.grace_ms if grant.grace_ms is None else grant.grace_ms
            minutes = math.ceil((grant.time_limit_ms + grace_ms) / 60_000)
            options.append(f"--time={minutes + LIMIT_SLACK_MINUTES}")
        return [*options, str(folder / "batch.sh")]

    def extend(self, run_id: str, lease: LeaseTimes) -> None:
        if self.folder(run_id).exists():
            self._watch.write_lease(run_id, (lease.term_at, lease.kill_at))

    def stop(self, run_id: str, outcome: Outcome) -> None:
        if note_stop(self.folder(run_id), outcome):
            self._watch.cancel_waiting(run_id)

    def look(self, run_id: str) -> RunView:
        folder = self.folder(run_id)
        run = self._watch.runs.get(run_id)  # before the files: they come last
        started_ago_ms = self._started_ago_ms(run_id)
        started = started_ago_ms is not None
        result = result_noted(processes.read_json(str(folder / "result.json")))
        if result is None:
            noted = processes.read_json(str(folder / "exit.json"))
            if noted is not None and not noted.get("ask_slurm", True):
                result = result_noted(noted)
        job = None if run is None else run.job
        state = "submitting" if job is None else job.state
        status = RunStatus.RUNNING if started else RunStatus.STARTING
        if result is not None:
            status, state = RunStatus.ENDED, "ended" if job is None else job.state
        elif run is None or not self._watch.knows:
            status, state = RunStatus.UNKNOWN, self._watch.silent or "not yet asked"
        elif run.absent >= ABSENT_ANSWERS and run.job_id is not None:
            over = not run.doubtful or self._watch.lease_over(folder)
            status = RunStatus.VANISHED if over else RunStatus.UNKNOWN
            state = "not known to Slurm"
        elif job is not None and job.state in WAITING and not started:
            status, state = RunStatus.STARTING, f"{job.state} {job.reason}"
        return RunView(
            status=status,
            started=started,
            result=result,
            engine_state=state,
            started_ago_ms=started_ago_ms or 0,
        )

    def _started_ago_ms(self, run_id: str) -> int | None:
        """Exact on the agent's own machine; elsewhere since the start was first seen here."""
        begun = processes.read_json(str(self.folder(run_id) / "started.json"))
        begun_at = whole_number(begun, "at")
        if begun is None or begun_at is None:
            return None
        if begun.get("boot_id") == processes.boot_id():
            return max(0, processes.boot_ms() - begun_at)
        run = self._watch.runs.get(run_id)
        if run is None or run.started_seen is None:
            return 0
        return round(1000 * (time.monotonic() - run.started_seen))

    def clean(self, run_id: str, detail: str) -> None:
        """For a run that Slurm does not know and whose supervisor noted no end. Taking
        ``supervisor.json`` first keeps a job that comes late from working."""
        folder = self.folder(run_id)
        claim(folder)
        with contextlib.suppress(SlurmSilent):
            self.commands.cancel(f"--name={run_id}")
        result = {"outcome": "lease-expired", "exit_code": None, "detail": detail}
        processes.write_atomic(str(folder / "result.json"), json.dumps(result), durable=True)

    def forget(self, run_id: str) -> None:
        self.runs.forget(run_id)
        self._watch.forget(run_id)
        self.runs.prune()

    def accounting(self, run_id: str) -> Accounting | None:
        """Slurm's own account of a run that has ended; None = not kept yet, or never."""
        for name in ("runs", "finished"):
            path = self.shared / name / run_id / "accounting.json"
            if (kept := processes.read_json(str(path))) is not None:
                return slurm_accounting.from_json(kept)
        return None

    # -- what the site offers

    def discover(self) -> tuple[DiscoveredPool, ...]:
        return self.commands.pools()

    def predicted_wait_ms(self, grant: Grant) -> int | None:
        """How long such a run would wait if it were handed in now, by ``sbatch --test-only``.
        Waits for Slurm's answer. None: Slurm would not take it. SlurmSilent (an OSError)."""
        script = self._code / "nothing.sh"
        arguments = self.arguments(grant)[:-1]
        kept = [option for option in arguments if not option.startswith(("--chdir", "--output"))]
        start_s = self.commands.expected_start_s([*kept, str(script)])
        return None if start_s is None else max(0, round(1000 * (start_s - time.time())))

    def wait_score(self) -> WaitScore:
        """How well the waits of this site's runs were foretold."""
        return slurm_accounting.score(self.state / "waits.jsonl")


def from_options(state: Path, site: str, options: Mapping[str, str]) -> SlurmEngine:
    """See ``docs/engines.md`` for the options. ValueError names what is wrong with them."""
    known(options, NUMBERS + TEXTS)
    faults = []
    numbers: dict[str, int] = {}
    try:
        given = {name: options[name] for name in NUMBERS if name in options}
        numbers = whole_numbers(given, NUMBERS)
    except ValueError as error:
        faults.append(str(error))
    clock = options.get("clock", "boot")
    if clock not in ("boot", "ask"):
        faults.append(f"engine option clock: {clock!r} is neither boot nor ask")
    if "conf" in options and not Path(options["conf"]).is_file():
        faults.append(f"engine option conf: {options['conf']} is not a file")
    shared = Path(options.get("shared", state))
    if "shared" in options and not shared.is_dir():
        faults.append(f"engine option shared: {shared} is not a folder")
    maps: dict[str, Mapping[str, str]] = {}
    for name in ("partition", "gres"):
        try:
            maps[name] = _pairs(name, options.get(name, ""))
        except ValueError as error:
            faults.append(str(error))
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        faults.append(
            f"not on the PATH: {', '.join(missing)}; install Slurm's commands (Debian: slurm-client)"
        )
    if faults:
        raise ValueError("; ".join(faults))
    return SlurmEngine(
        state,
        site,
        shared,
        partitions=maps["partition"],
        gres=maps["gres"],
        submit_options=tuple(
            f"--{name}={options[name]}" for name in ("account", "qos") if name in options
        ),
        commands=Commands(options.get("conf")),
        python=options.get("python", ""),
        always_ask=clock == "ask",
        reading_every_ms=numbers.get("reading_ms", READING_EVERY_MS),
        grace_ms=numbers.get("grace_ms", GRACE_MS),
    )


def _pairs(option: str, text: str) -> dict[str, str]:
    """``main`` → {"": "main"}; ``a=main,b=spot`` → by name."""
    found: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = "", part
        if not value or name in found:
            raise ValueError(f"engine option {option}: {part!r} is empty or there twice")
        found[name] = value
    return found


def _install(shared: Path) -> Path:
    """Copy the nodes' modules below ``shared``, once for each state of their sources."""
    here = Path(__file__).parent
    sources: dict[str, bytes] = {
        f"{name}.py": (here / f"{name}.py").read_bytes() for name in ON_NODES
    }
    digest = hashlib.sha256(b"\0".join(sources.values())).hexdigest()[:16]
    target = shared / "code" / digest
    if target.exists():
        return target
    making = shared / "code" / f"{digest}.{os.getpid()}.tmp"
    package = making / "westward" / "agent" / "engines"
    package.mkdir(parents=True)
    for folder in (making / "westward", making / "westward" / "agent", package):
        (folder / "__init__.py").touch()
    for name, data in sources.items():
        (package / name).write_bytes(data)
    (making / "nothing.sh").write_text("#!/bin/sh\n")
    try:
        os.rename(making, target)
    except OSError:  # another agent of this folder was first
        shutil.rmtree(making, ignore_errors=True)
        if not target.exists():
            raise
    return target
