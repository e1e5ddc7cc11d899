"""RLScheduler (SC'20), Table V: average bounded slowdown of five queue orders on three logs.

**How it was done.** Mean over ten windows of 1,024 jobs of the mean of max(1, (wait + run) /
max(run, 10 s)); each window on an empty machine. The windows' first jobs are those that the
authors' test script draws with its default seed. The paper's simulator (SchedGym,
DIR-LAB/deep-batch-scheduler) was read for its rules, which `westward/simulate/onepool.py` follows
as `stepping="blocking-pick"`: one job is picked and then waited for; jobs that arrive are seen at
the next pick; with backfilling, others start meanwhile in the order of submitting if they end, as
requested, strictly before the reservation, computed once; none may run beside it. Orders are those
of `westward/placement/orders.py`; WFP3 and UNICEP in the form the simulator evaluated
(`wfp3_schedgym`, `unicep_schedgym`: the waiting time of a job that waits is −1 − submit time, so
later jobs go first). Logs are read as there: processors = the larger of allocated and requested;
a requested time of −1 becomes the run time, which for 31 jobs of SDSC-SP2 is −1 itself; a run time
of −1 then becomes 10 s; jobs without run time are left out.

**What differs.** Nothing: all 30 cells that can be run here agree in every printed digit. The six
cells of HPC2N (log not at hand) and the RL column (a trained network) are not rerun. For
comparison the last rows put the textbook forms of WFP3 and UNICEP, whose wait grows, into the same
simulator and settings: the difference is the score alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.published.swf_columns import read_columns
from benchmarks.published.table import SHARED, Row, as_text, summary
from westward.simulate.onepool import PoolJobs, bounded_slowdown, simulate_pool

PAPER = "RLScheduler (SC'20)"
WINDOWS = (1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085)
"""First row of each window; the script draws among the first 10,000 jobs of every log."""
WINDOW_JOBS = 1_024
MS = 1_000


@dataclass(frozen=True, slots=True)
class Log:
    name: str
    file: str
    processors: int


LOGS = (
    Log("Lublin-1", "lublin_256.swf", 256),
    Log("SDSC-SP2", "SDSC-SP2-1998-4.2-cln.swf.gz", 128),
    Log("Lublin-2", "lublin_256_new2.swf", 256),
)
ORDERS = {
    "FCFS": "fcfs",
    "WFP3": "wfp3_schedgym",
    "UNICEP": "unicep_schedgym",
    "SJF": "sjf",
    "F1": "f1",
}
PUBLISHED = {
    ("Lublin-1", "none"): (7273.77, 19753.53, 22274.74, 277.35, 258.37),
    ("SDSC-SP2", "none"): (1727.54, 3000.88, 1848.45, 2680.55, 1232.06),
    ("Lublin-2", "none"): (7842.47, 9523.18, 11265.31, 787.89, 698.34),
    ("Lublin-1", "easy"): (235.82, 133.87, 307.23, 73.31, 75.07),
    ("SDSC-SP2", "easy"): (1595.12, 1083.12, 548.01, 2167.84, 1098.22),
    ("Lublin-2", "easy"): (247.61, 318.35, 379.59, 91.99, 148.25),
}
"""By log and discipline, in the order of ORDERS."""


def read_log(log: Log) -> PoolJobs:
    """The log's jobs, read as the paper's simulator reads them."""
    columns = read_columns(
        SHARED / "traces" / "swf" / log.file,
        "job_number",
        "submit_time",
        "run_time",
        "allocated_processors",
        "requested_processors",
        "requested_time",
    )
    run_s = columns["run_time"]
    requested_s = np.where(columns["requested_time"] == -1, run_s, columns["requested_time"])
    run_s = np.where(run_s < 0, 10, run_s)
    keep = np.flatnonzero(run_s > 0)
    keep = keep[np.argsort(columns["job_number"][keep], kind="stable")]
    asked = np.maximum(columns["allocated_processors"], columns["requested_processors"])
    return PoolJobs(
        submit_ms=columns["submit_time"][keep] * MS,
        run_ms=run_s[keep] * MS,
        requested_ms=requested_s[keep] * MS,
        processors=asked[keep],
    )


def cell(jobs: PoolJobs, processors: int, order: str, discipline: str) -> float:
    """Mean over the windows of the mean bounded slowdown."""
    means = []
    for first in WINDOWS:
        start_ms = simulate_pool(
            jobs,
            processors,
            order=order,
            discipline=discipline,
            stepping="blocking-pick",
            window=(first, WINDOW_JOBS),
        )
        window = slice(first, first + WINDOW_JOBS)
        wait_ms = start_ms - jobs.submit_ms[window]
        means.append(float(bounded_slowdown(wait_ms, jobs.run_ms[window]).mean()))
    return float(np.mean(means))


def rows() -> list[Row]:
    """The 30 cells, and the textbook forms for comparison."""
    read = {log.name: read_log(log) for log in LOGS}
    machines = {log.name: log.processors for log in LOGS}
    made = []
    for (name, discipline), cells in PUBLISHED.items():
        backfill = "with" if discipline == "easy" else "without"
        for (heading, order), published in zip(ORDERS.items(), cells, strict=True):
            ours = cell(read[name], machines[name], order, discipline)
            setting = f"{name}, {backfill} backfilling"
            made.append(Row(PAPER, "Table V", setting, heading, published, ours, 0.0))
    for name, discipline in PUBLISHED:
        backfill = "with" if discipline == "easy" else "without"
        for heading, order in (("WFP3, textbook", "wfp3"), ("UNICEP, textbook", "unicep")):
            ours = cell(read[name], machines[name], order, discipline)
            setting = f"{name}, {backfill} backfilling"
            made.append(Row(PAPER, "not in Table V", setting, heading, None, ours))
    return made


if __name__ == "__main__":
    table = rows()
    print(as_text(table))
    print(summary(table))
