"""EASY against recorded EASY: the schedules that the Parallel Workloads Archive logs carry.

The wait column of the ``*.easy.swf`` logs is the schedule of the published run (SC'15 data). Exact
agreement is not expected: events at one second are taken in an order the log does not tell. An
independent exact EASY reached 99.54 % and 99.31 % identical waits on these two.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from shared_data import shared_trace

from westward.formats.traces import read_workload
from westward.model.plan import Policy
from westward.simulate.engine import simulate

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from one_pool import one_pool  # noqa: E402


@pytest.mark.parametrize(
    ("log", "processors", "identical"),
    [("KTH-SP2.easy", 100, 0.98), ("SDSC-SP2.easy", 128, 0.95)],
)
def test_waits_agree_with_the_published_schedule(
    log: str, processors: int, identical: float
) -> None:
    path = shared_trace(f"swf/{log}.swf.gz")
    with gzip.open(path, "rt") as lines:
        rows = [line.split() for line in lines if line.strip() and not line.startswith(";")]
    published = {int(row[0]): int(row[2]) for row in rows}
    workload = read_workload(path, "swf")
    policy = Policy(rule="earliest-start", backfill_depth=len(workload))
    result = simulate(one_pool(processors), workload, policy, seed=1)
    assert (result.pool >= 0).all()
    wait_s = (result.start_ms - result.submit_ms) / 1000.0
    theirs = np.array([published[int(job)] for job in workload.source_row], dtype=float)
    run_s = workload.duration_ms / 1000.0

    def slowdown(wait: np.ndarray) -> float:
        return float(np.maximum(1.0, (wait + run_s) / np.maximum(run_s, 10.0)).mean())

    assert (wait_s == theirs).mean() >= identical
    assert slowdown(wait_s) == pytest.approx(slowdown(theirs), rel=0.005)
