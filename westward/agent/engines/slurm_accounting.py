"""What Slurm says a run used, and how well its waits were foretold.

``accounting.json`` in the run's folder keeps what sacct says of the job or, where the site keeps
no accounts, what scontrol says while it remembers it (MinJobAge, 300 s by default).
``waits.jsonl`` in the agent's state has one line a started run: foretold and actual wait.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from westward.agent.engines.processes import append_whole, read_json, write_atomic
from westward.agent.engines.slurm_commands import Commands, SlurmSilent
from westward.model.wire import Reading

SACCT_FIELDS = (
    "JobID", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw", "AllocTRES", "MaxRSS",
    "TotalCPU", "NodeList", "JobName",
)  # fmt: skip
ACCOUNT_TRIES = 30
IMPATIENT_TRIES = 3
"""In its last tries scontrol's word is taken where sacct's does not come."""
ACCOUNTS_A_PASS = 5
FACTOR = 2
"""A forecast counts as near when it is within this factor of the wait, each plus a second."""
UNITS_KIB = {"K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Slurm's account of one job. Times in whole seconds of the site's clock, as Slurm has them."""

    job_id: int
    source: str
    """``sacct``, or ``scontrol`` where the site keeps no accounts."""
    state: str
    exit_code: str
    submit_s: int | None
    start_s: int | None
    end_s: int | None
    elapsed_s: int
    alloc_tres: str
    max_rss_kib: int | None
    """None: not kept by this source."""
    cpu_ms: int | None
    nodes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """Westward's meter of a run against Slurm's account of it."""

    run_id: str
    metered_ms: int
    slurm_ms: int
    difference_ms: int
    """metered − Slurm's. Slurm counts whole seconds, and from before the supervisor starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitScore:
    """How well waits were foretold. ``near_share``: within a factor of two (None: no runs)."""

    runs: int
    foretold: int
    near_share: float | None
    median_error_ms: int | None
    mean_absolute_error_ms: int | None


def ask(commands: Commands, job_id: int, name: str, *, patient: bool) -> Accounting | None:
    """Slurm's account of a job that has ended; None = not yet there, or forgotten. SlurmSilent.

    ``patient``: where the site keeps accounts, wait for them (slurmdbd hears of a job's end some
    seconds later) rather than take scontrol's word. The name is looked at too: a slurmctld that lost its state gives numbers a second time.
    """
    rows = commands.accounted(job_id, SACCT_FIELDS)
    # For a second or two slurmdbd calls a job "allocation".
    if rows and rows[0]["JobName"] == name and _number(rows[0]["End"]) is not None:
        return _from_sacct(job_id, rows)
    if rows is not None and patient:
        return None
    told = commands.job(job_id)
    if told.get("JobName") != name or _number(told.get("EndTime", "")) is None:
        return None
    start_s, end_s = _number(told.get("StartTime", "")), _number(told.get("EndTime", ""))
    return Accounting(
        job_id=job_id,
        source="scontrol",
        state=told.get("JobState", ""),
        exit_code=told.get("ExitCode", ""),
        submit_s=_number(told.get("SubmitTime", "")),
        start_s=start_s,
        end_s=end_s,
        elapsed_s=seconds(told.get("RunTime", "")),
        alloc_tres=_with_gres(told),
        max_rss_kib=None,
        cpu_ms=None,
        nodes=told.get("NodeList", ""),
    )


def _from_sacct(job_id: int, rows: list[dict[str, str]]) -> Accounting:
    job = rows[0]
    rss = [kib for row in rows if (kib := _kib(row.get("MaxRSS", ""))) is not None]
    return Accounting(
        job_id=job_id,
        source="sacct",
        state=job["State"].split()[0],
        exit_code=job["ExitCode"],
        submit_s=_number(job["Submit"]),
        start_s=_number(job["Start"]),
        end_s=_number(job["End"]),
        elapsed_s=int(job["ElapsedRaw"] or 0),
        alloc_tres=job["AllocTRES"],
        max_rss_kib=max(rss, default=None),
        cpu_ms=round(1000 * float_seconds(job["TotalCPU"])),
        nodes=job["NodeList"],
    )


def _with_gres(told: Mapping[str, str]) -> str:
    """Without accounts Slurm's TRES leave GPUs out; what was asked for per node names them."""
    asked = told.get("TresPerNode", "")
    return told.get("TRES", "") + (f",{asked}" if asked and asked != "(null)" else "")


def reconcile(run_id: str, readings: Iterable[Reading], account: Accounting) -> Reconciled:
    """Metered wall time against elapsed time."""
    metered_ms = sum(reading.wall_ms for reading in readings)
    return Reconciled(
        run_id=run_id,
        metered_ms=metered_ms,
        slurm_ms=1000 * account.elapsed_s,
        difference_ms=metered_ms - 1000 * account.elapsed_s,
    )


def as_json(account: Accounting) -> str:
    return json.dumps(asdict(account))


def from_json(values: Mapping[str, object]) -> Accounting:
    return Accounting(**values)  # type: ignore[arg-type]


def note_wait(path: Path, run_id: str, foretold_ms: int | None, actual_ms: int) -> None:
    line = {"run_id": run_id, "foretold_ms": foretold_ms, "actual_ms": actual_ms}
    append_whole(str(path), json.dumps(line) + "\n")


def score(path: Path) -> WaitScore:
    """Over all starts noted in ``path``."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        lines = []
    pairs = [
        (int(line["foretold_ms"]), int(line["actual_ms"]))
        for line in lines
        if line["foretold_ms"] is not None
    ]
    errors = [actual - foretold for foretold, actual in pairs]
    near = [_near(foretold, actual) for foretold, actual in pairs]
    return WaitScore(
        runs=len(lines),
        foretold=len(pairs),
        near_share=sum(near) / len(near) if near else None,
        median_error_ms=round(statistics.median(errors)) if errors else None,
        mean_absolute_error_ms=round(statistics.fmean(map(abs, errors))) if errors else None,
    )


def _near(foretold_ms: int, actual_ms: int) -> bool:
    low, high = sorted((foretold_ms + 1000, actual_ms + 1000))
    return high <= FACTOR * low


def seconds(text: str) -> int:
    """Slurm's ``[days-]hours:minutes:seconds`` → seconds."""
    return int(float_seconds(text))


def float_seconds(text: str) -> float:
    days, _, clock = text.rpartition("-")
    total = 0.0
    for part in clock.split(":"):
        total = total * 60 + (float(part) if part.replace(".", "", 1).isdecimal() else 0.0)
    return total + 86_400 * (int(days) if days.isdecimal() else 0)


def _kib(text: str) -> int | None:
    if not text:
        return None
    if text[-1] in UNITS_KIB:
        return round(float(text[:-1]) * UNITS_KIB[text[-1]])
    return int(text) // 1024 if text.isdecimal() else None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


class AccountKeeper:
    """Fetches Slurm's accounts of runs that have ended, also of those already forgotten."""

    def __init__(self, commands: Commands, root: Path):
        self.commands = commands
        self.root = root
        self.wanted: dict[str, tuple[int, int]] = {}
        """Run → (job, tries left): ended, Slurm's account not yet kept."""

    def later(self, run_id: str) -> None:
        """Ask for this run's account, unless it is kept or the run was never Slurm's."""
        place = self._place(run_id)
        known = read_json(str(place / "slurm.json"))
        if known is not None and not (place / "accounting.json").exists():
            self.wanted[run_id] = (int(known["job_id"]), ACCOUNT_TRIES)

    def keep(self, over: set[int], listed: set[int]) -> None:
        """Some of what is wanted: of jobs in ``over``, or not in squeue's ``listed`` any more."""
        waiting = [
            (run_id, job_id, tries)
            for run_id, (job_id, tries) in list(self.wanted.items())
            if job_id in over or job_id not in listed
        ]
        for run_id, job_id, tries in waiting[:ACCOUNTS_A_PASS]:
            left = tries - 1
            with contextlib.suppress(OSError):  # Slurm is silent, or the disk is full: tried again
                account = ask(self.commands, job_id, run_id, patient=left >= IMPATIENT_TRIES)
                if account is not None:
                    write_atomic(str(self._place(run_id) / "accounting.json"), as_json(account))
                    left = 0
            if left:
                self.wanted[run_id] = (job_id, left)
            else:
                self.wanted.pop(run_id, None)

    def _place(self, run_id: str) -> Path:
        folder = self.root / "runs" / run_id
        return folder if folder.exists() else self.root / "finished" / run_id


class Foretold:
    """Asks for the expected start beside sbatch, so that it costs the job no time."""

    def __init__(self, commands: Commands, arguments: list[str]):
        self.start_s: int | None = None
        self.thread = threading.Thread(target=self._ask, args=(commands, arguments), daemon=True)
        self.thread.start()

    def _ask(self, commands: Commands, arguments: list[str]) -> None:
        with contextlib.suppress(SlurmSilent):
            self.start_s = commands.expected_start_s(arguments)

    def result(self) -> int | None:
        self.thread.join(timeout=1)
        return self.start_s
