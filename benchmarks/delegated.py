"""What not seeing a site's queue costs: every recorded job list, half of the pools delegated.

    python benchmarks/delegated.py [--jobs N] [--only NAME ...] [--write]

The scenes of ``wait_coverage.py`` at load 0.8, EASY, once with every pool managed (the planner sees
all queues) and once with every second pool delegated: there it knows what happened to its own jobs
only (docs/decisions/0049). ``--write`` puts the table in benchmarks/DELEGATED.md.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gap import ROOT
from wait_coverage import AT_ONCE_MS, FEWEST, LEAST, MOST, Score, rehearse, scene, traces

from westward.formats.traces import NoJobList
from westward.model.network import Network
from westward.model.units import MS_PER_HOUR
from westward.model.workload import Workload
from westward.network.loader import load_network
from westward.simulate.bound import total_micros
from westward.simulate.results import SimulationResult

LOAD = 0.8
FLOOR_MS = 60_000
"""Added to waits before they are compared: seconds told for none are no mistake."""
COPIES = ("openb_pod_list_c", "openb_pod_list_m", "openb_pod_list_gpuspec")
"""Lists of openb that are nearly the default one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    name: str
    told_there: int
    """Jobs placed at delegated pools."""
    within_2: float
    """Of those: wait foretold within a factor of two, a minute added to both."""
    error: float
    """Root mean square of the log of their quotient."""
    score: Score
    wait_h: float
    seen_wait_h: float
    cost: float
    """Over that with all queues seen; waits count."""

    @property
    def line(self) -> str:
        mark = "" if self.score.holds else " (!)"
        return (
            f"| {self.name} | {self.told_there:,} | {self.within_2:.0%} | {self.error:.1f} | "
            f"{self.score.inside:.1%}{mark} | {self.wait_h:,.2f} h | {self.seen_wait_h:,.2f} h | "
            f"{self.cost:.3f} |"
        )


def cost_micros(run: SimulationResult) -> float:
    return float(total_micros(run)[run.placed].sum())


def mean_wait_h(run: SimulationResult) -> float:
    return float((run.start_ms - run.submit_ms)[run.placed].mean()) / MS_PER_HOUR


def outcome(name: str, workload: Workload, base: Network) -> Outcome:
    this = scene(workload, base, LOAD)
    run = rehearse(this, "easy", delegated=True)
    seen = rehearse(this, "easy", delegated=False)
    there = run.placed & (run.pool % 2 == 1)  # as ``rehearse`` delegates them
    told = np.log((run.predicted_start_ms - run.submit_ms)[there] + FLOOR_MS)
    came = np.log((run.start_ms - run.submit_ms)[there] + FLOOR_MS)
    return Outcome(
        name=name,
        told_there=int(there.sum()),
        within_2=float((abs(told - came) < math.log(2)).mean()) if there.any() else math.nan,
        error=float(np.sqrt(((told - came) ** 2).mean())) if there.any() else math.nan,
        score=Score.of(run),
        wait_h=mean_wait_h(run),
        seen_wait_h=mean_wait_h(seen),
        cost=cost_micros(run) / cost_micros(seen),
    )


def summary(rows: list[Outcome]) -> str:
    inside = sum(row.score.holds for row in rows)
    waits = [row.wait_h / row.seen_wait_h for row in rows]
    costs = [row.cost for row in rows]
    return (
        f"**{inside} of {len(rows)} lists have {LEAST:.0%} to {MOST:.0%} of the starts inside their "
        f"80 % interval.** Foretold within a factor of 2 at delegated pools: "
        f"{statistics.mean(row.within_2 for row in rows):.0%} of the jobs (mean of lists), error "
        f"{statistics.mean(row.error for row in rows):.1f}. Over the same with every queue seen: mean "
        f"wait {statistics.geometric_mean(waits):.2f} (geometric mean; median "
        f"{statistics.median(waits):.2f}), total cost {statistics.geometric_mean(costs):.2f} (median "
        f"{statistics.median(costs):.2f})."
    )


def report(rows: list[Outcome], jobs: int) -> str:
    return "\n\n".join(
        [
            "# Pools whose queue is not seen",
            f"First {jobs:,} jobs of every recorded job list on networks/east-west, scaled to load "
            f"{LOAD:g}, EASY; every second pool delegated: the site's own first come, first served "
            "with EASY, whose queue the planner does not see. What it foretells there: "
            "docs/decisions/0049-those-who-wait-at-delegated-pools.md. Simulated.",
            summary(rows),
            "| list | jobs there | foretold within 2 × | error of the log | inside the interval | "
            "mean wait | with all queues seen | total cost over that |\n|---|---|---|---|---|---|---|---|\n"
            + "\n".join(row.line for row in rows),
            "A delegated pool starts jobs in order of arrival, whatever their priority or deadline, and "
            "nothing that waits there moves on: part of what it costs is that, not the guess.",
            f"Left out: lists of fewer than {FEWEST} jobs, those submitted within a minute, and the "
            "variants of openb that are nearly its default list.",
            f"Command: `python benchmarks/delegated.py --jobs {jobs} --write`.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=6_000)
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME", help="part of a name")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    base = load_network(ROOT / "networks" / "east-west")
    rows = []
    for name, read in traces(options.jobs):
        if any(copy in name for copy in COPIES):
            continue
        if options.only is not None and not any(part in name for part in options.only):
            continue
        try:
            workload = read()
        except NoJobList:
            continue
        at_once = int(workload.submit_ms[-1] - workload.submit_ms[0]) < AT_ONCE_MS
        if len(workload) < FEWEST or at_once:
            continue
        rows.append(outcome(name, workload, base))
        print(rows[-1].line, flush=True)
    if not rows:
        raise SystemExit("no list of that name")
    print(summary(rows))
    if options.write:
        path = Path(__file__).parent / "DELEGATED.md"
        path.write_text(report(rows, options.jobs) + "\n")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
