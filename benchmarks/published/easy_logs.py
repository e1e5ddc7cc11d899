"""EASY on four logs of the Parallel Workloads Archive, job by job (SC'15 data).

**How it was done.** Gaussier, Glesser, Reis and Trystram ("Improving backfilling by using machine
learning to predict running times", SC'15) published the schedules that their simulator pyss made
with EASY; the wait column of each log is the published figure, job by job. Users' requested times
are used as they stand, wrong as they are (no job runs longer than requested: pyss cuts both).
`westward/simulate/onepool.py` runs the same jobs, FCFS with EASY, `stepping="arrivals-first"`.

**What had to be met: the order within one second.** pyss (read for its rules) takes submissions of
an instant before terminations, submissions in file order, terminations in the order of starting,
and looks at the queue after each. Its plan of the machine lets a job go at its *expected* end: a
job that ends exactly when requested (killed at its limit: common) has left before the first
submission of that second, one that ends early only at its own termination. With these two rules
every job of the four logs starts in the second that was published. The other orders are shown
without a verdict: one look at the queue per second (`per-instant`), and ends before arrivals
(`ends-first`), which is what most simulators do. A wait differs between them by chance of the
second, and one changed start moves thousands of later ones.

**What differs.** Nothing. CEA-Curie, the fifth log of the data, is not at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.published.swf_columns import read_columns
from benchmarks.published.table import SHARED, Row, as_text, summary
from westward.simulate.onepool import EVENTS, PoolJobs, bounded_slowdown, simulate_pool

PAPER = "Gaussier et al. (SC'15), EASY schedules"
MACHINES = {"KTH-SP2": 100, "SDSC-SP2": 128, "CTC-SP2": 338, "SDSC-BLUE": 1152}
MS = 1_000
LIKE_PYSS = "arrivals-first"


@dataclass(frozen=True, slots=True)
class EasyLog:
    """A log with the waits that its published schedule gave."""

    jobs: PoolJobs
    wait_ms: npt.NDArray[np.int64]


def read_log(name: str) -> EasyLog:
    """The jobs in the order of submitting (the file is in the order of ending)."""
    columns = read_columns(
        SHARED / "traces" / "swf" / f"{name}.easy.swf.gz",
        "job_number",
        "submit_time",
        "wait_time",
        "run_time",
        "requested_processors",
        "requested_time",
    )
    order = np.lexsort((columns["job_number"], columns["submit_time"]))
    sorted_ = {field: column[order] for field, column in columns.items()}
    jobs = PoolJobs(
        submit_ms=sorted_["submit_time"] * MS,
        run_ms=sorted_["run_time"] * MS,
        requested_ms=sorted_["requested_time"] * MS,
        processors=sorted_["requested_processors"],
    )
    return EasyLog(jobs, sorted_["wait_time"] * MS)


def rows(names: tuple[str, ...] = tuple(MACHINES)) -> list[Row]:
    """Identical waits, bounded slowdown and mean wait of each log, under each stepping."""
    made = []
    for name in names:
        log = read_log(name)
        run_ms = log.jobs.run_ms
        slowdown = float(bounded_slowdown(log.wait_ms, run_ms).mean())
        mean_s = float(log.wait_ms.mean()) / MS
        for stepping in (LIKE_PYSS, *(other for other in EVENTS if other != LIKE_PYSS)):
            start_ms = simulate_pool(log.jobs, MACHINES[name], stepping=stepping)
            wait_ms = start_ms - log.jobs.submit_ms
            same = 100.0 * float((wait_ms == log.wait_ms).mean())
            ours = float(bounded_slowdown(wait_ms, run_ms).mean())
            setting = f"{name}, {MACHINES[name]} processors, {len(run_ms)} jobs, {stepping}"
            judged = stepping == LIKE_PYSS
            made += [
                Row(
                    PAPER, "wait column", setting, "identical waits, %",
                    99.0 if judged else None, same, 0.0, at_least=True, digits=3,
                ),
                Row(
                    PAPER, "wait column", setting, "average bounded slowdown",
                    slowdown, ours, 0.03 if judged else None, relative=True,
                ),
                Row(
                    PAPER, "wait column", setting, "mean wait, s",
                    mean_s, float(wait_ms.mean()) / MS, 0.03 if judged else None,
                    relative=True, digits=1,
                ),
            ]  # fmt: skip
    return made


if __name__ == "__main__":
    table = rows()
    print(as_text(table))
    print(summary(table))
