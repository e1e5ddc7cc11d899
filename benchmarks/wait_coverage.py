"""How often starts lay in the 80 % interval told beforehand: every recorded trace, one table.

    python benchmarks/wait_coverage.py [--jobs N] [--only NAME ...] [--write]

Traces are read from $WESTWARD_SHARED/traces (default: ../shared beside the project), their first N
jobs, on networks/east-west. The network is scaled so that the work offered fills the load of the
devices; where it cannot be small enough (one node a pool), submit times are divided. The load is the
first of ``LOADS`` at which 1,000 jobs are told an interval, else the last: a trace that is too short
says so. ``--write`` puts the table in benchmarks/COVERAGE.md.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from gap import ROOT, SEED, SHARED, first_jobs

from westward.formats.generate import GeneratorOptions, generate
from westward.formats.traces import NoJobList, TraceOptions, read_workload
from westward.model.network import Network
from westward.model.plan import Discipline, Policy
from westward.model.scenario import Scenario
from westward.model.units import MS_PER_HOUR
from westward.model.workload import Workload
from westward.network.loader import load_network
from westward.simulate.engine import simulate
from westward.simulate.results import SimulationResult
from westward.simulate.scale import devices_of, scale_network

TRACES = SHARED / "traces"
LOADS = (0.8, 1.2, 2.0)
ENOUGH = 1_000
LEAST, MOST = 0.75, 0.85
STEPS_PER_S = 100.0
RUN_S = {"bert": 7_200.0, "cifar10": 1_800.0, "deepspeech2": 3_600.0, "imagenet": 86_400.0,
         "yolov3": 14_400.0}  # fmt: skip
"""Assumptions of this benchmark where a trace records steps or applications, not times."""
REQUESTS = TraceOptions(tokens_per_s_in=1_000, tokens_per_s_out=10, request_devices_milli=1_000)
PATHS: tuple[tuple[str, TraceOptions], ...] = (
    ("philly/*", TraceOptions()),
    ("muri/*", TraceOptions()),
    ("elasticflow/*", TraceOptions()),
    ("gaia/*100k*", TraceOptions()),
    ("gaia/pai_1k.csv", TraceOptions(time_unit="seconds")),
    ("alibaba2025dlrm/*", TraceOptions()),
    ("alibaba2026genai/lora_request_trace.tar.gz", TraceOptions()),
    ("azure-llm/*", REQUESTS),
    ("sia-workloads/*/workload-1.csv", TraceOptions(run_s=RUN_S)),
    ("sia-workloads/scale/scale_*/workload-1.csv", TraceOptions(run_s=RUN_S)),
    ("swf/*", TraceOptions()),
    ("openb/openb_pod_list_default.csv", TraceOptions()),
    ("gavel/*.trace", TraceOptions()),
    ("gavel/msr_seed0/*.trace", TraceOptions()),
    ("openb/openb_pod_list_[cgm]*.csv", TraceOptions()),
)
FEWEST = 500
"""Shorter lists are named, not played: nothing can be said of a share within a few points."""
AT_ONCE_MS = 60_000
"""Lists submitted within a minute: everybody is told before any outcome is known."""


def read(path: Path, options: TraceOptions, jobs: int) -> Workload:
    """The first jobs of a file; gavel's steps run at ``STEPS_PER_S``."""
    try:
        return first_jobs(read_workload(path, options=options), jobs)
    except NoJobList as lacking:
        if path.suffix != ".trace" or lacking.table is None:
            raise
        kinds = lacking.table.cells["job_type"].unique().to_list()
        stated = TraceOptions(steps_per_s=dict.fromkeys(kinds, STEPS_PER_S))
        return first_jobs(read_workload(path, options=stated), jobs)


def traces(jobs: int) -> Iterator[tuple[str, Callable[[], Workload]]]:
    """Name and reader of every file, and a generated workload with deadlines and inputs."""
    options = GeneratorOptions(homes=10, max_gang_devices=64)
    yield "generated", lambda: generate(jobs, 7, capacity_devices=1_000, load=0.9, options=options)
    for pattern, reading in PATHS:
        for path in sorted(TRACES.glob(pattern)):
            name = str(path.relative_to(TRACES)).split(".csv")[0].split(".tar")[0]
            yield name.removesuffix(".gz").removesuffix(".swf"), partial(read, path, reading, jobs)


def faster(workload: Workload, factor: float) -> Workload:
    """The same jobs submitted ``factor`` times as fast; deadlines keep their distance."""
    submit = (workload.submit_ms / factor).astype(np.int64)
    away = workload.deadline_ms - workload.submit_ms
    deadline = np.where(workload.deadline_ms >= 0, submit + away, -1)
    return replace(workload, submit_ms=submit, deadline_ms=deadline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A workload on a network so large that the work offered is ``load`` of it."""

    workload: Workload
    network: Network
    load: float
    factor: float
    """Of the speed of arrivals; 1 = as recorded."""


def offered_devices(workload: Workload, base: Network) -> float:
    """Mean devices that the work would keep busy; a job without any counts by its cpus or memory."""
    pool = base.pools[0]
    each = np.maximum.reduce(
        [
            workload.devices_milli / 1000.0,
            workload.cpus_milli / 1000.0 / pool.cpus_per_node * pool.devices_per_node,
            workload.memory_mib / pool.memory_mib_per_node * pool.devices_per_node,
        ]
    )
    span = float(workload.submit_ms[-1] - workload.submit_ms[0])
    return float((workload.nodes * each * workload.duration_ms).sum()) / span


def scene(workload: Workload, base: Network, load: float) -> Scene:
    least = sum(pool.devices_per_node for pool in base.pools)
    offered = offered_devices(workload, base)
    size = max(least, round(offered / load))
    factor = max(1.0, size * load / offered)
    if factor < 1.05:
        factor = 1.0
    jobs = workload if factor == 1.0 else faster(workload, factor)
    return Scene(workload=jobs, network=scale_network(base, size), load=load, factor=factor)


def rehearse(this: Scene, discipline: Discipline, *, delegated: bool) -> SimulationResult:
    """As ``westward simulate`` does unless told otherwise."""
    policy = Policy(discipline=discipline, review_ms=60_000, price_period_ms=6 * MS_PER_HOUR)
    network = this.network
    if delegated:
        pools = tuple(replace(pool, managed=at % 2 == 0) for at, pool in enumerate(network.pools))
        network = replace(network, pools=pools)
    scenario = Scenario(delegated_pools=delegated)
    return simulate(network, this.workload, policy, seed=SEED, scenario=scenario)


def least_crowd(workload: Workload, base: Network) -> int:
    """Devices for a list submitted at one instant: a twentieth of all it asks for."""
    least = sum(pool.devices_per_node for pool in base.pools)
    asked = float((workload.nodes.astype(np.float64) * workload.devices_milli).sum()) / 1000.0
    return max(least, round(asked / 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    placed: int
    told: int
    inside: float
    early: float
    late: float
    width_min: float

    @classmethod
    def of(cls, run: SimulationResult) -> Score:
        told = run.placed & (run.start_low_ms >= 0)
        count = max(1, int(told.sum()))
        early = int((run.start_ms < run.start_low_ms)[told].sum()) / count
        late = int((run.start_ms > run.start_high_ms)[told].sum()) / count
        width = (run.start_high_ms - run.start_low_ms)[told]
        return cls(
            placed=int(run.placed.sum()),
            told=int(told.sum()),
            inside=1.0 - early - late,
            early=early,
            late=late,
            width_min=float(np.median(width)) / 60_000 if told.any() else 0.0,
        )

    @property
    def holds(self) -> bool:
        return LEAST <= self.inside <= MOST


HEAD = (
    "| trace | discipline | load | arrivals | devices | jobs | told | inside | before | after | "
    "median width |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)


def span(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes < 180 else f"{minutes / 60:.1f} h"


def line(name: str, how: str, this: Scene, score: Score) -> str:
    speed = "as recorded" if this.factor == 1.0 else f"{this.factor:.1f} × as fast"
    mark = "" if score.holds else " (!)"
    few = "" if score.told >= ENOUGH else " (few)"
    load = "all at once" if math.isnan(this.load) else f"{this.load:g}"
    return (
        f"| {name} | {how} | {load} | {speed} | {devices_of(this.network):,} | "
        f"{score.placed:,} | {score.told:,}{few} | **{score.inside:.1%}**{mark} | "
        f"{score.early:.1%} | {score.late:.1%} | {span(score.width_min)} |"
    )


def play(
    workload: Workload, base: Network, *, delegated: bool
) -> Iterator[tuple[str, Scene, Score]]:
    """EASY at the first load at which enough wait (a short list: the first), then the rest at that load."""
    for load in LOADS:
        this = scene(workload, base, load)
        score = Score.of(rehearse(this, "easy", delegated=False))
        if score.told >= ENOUGH or len(workload) < 2 * ENOUGH:
            break
    yield "easy", this, score
    yield "conservative", this, Score.of(rehearse(this, "conservative", delegated=False))
    if delegated:
        yield "easy, half delegated", this, Score.of(rehearse(this, "easy", delegated=True))


DELEGATED = ("swf/SDSC-SP2.easy", "openb/openb_pod_list_default", "philly/philly", "generated")


@dataclass(slots=True)
class Report:
    """What has been played so far, as text."""

    jobs: int
    lines: list[str] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    at_once: list[str] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    """Without times."""
    left: list[str] = field(default_factory=list)
    """Not come to yet."""
    spent_s: float = 0.0

    def add(self, name: str, workload: Workload, base: Network) -> None:
        if len(workload) < FEWEST:
            self.short.append(f"{name} ({len(workload)})")
        elif int(workload.submit_ms[-1] - workload.submit_ms[0]) < AT_ONCE_MS:
            network = scale_network(base, least_crowd(workload, base))
            crowd = Scene(workload=workload, network=network, load=math.nan, factor=1.0)
            score = Score.of(rehearse(crowd, "easy", delegated=False))
            self.at_once.append(line(name, "easy", crowd, score))
        else:
            for how, this, score in play(workload, base, delegated=name in DELEGATED):
                self.lines.append(line(name, how, this, score))
                self.scores.append(score)
                print(self.lines[-1], flush=True)

    def text(self) -> str:
        inside = [score.inside for score in self.scores]
        held = sum(score.holds for score in self.scores)
        few = sum(score.told < ENOUGH for score in self.scores)
        runs = ", ".join(f"{name} {value:g} s" for name, value in RUN_S.items())
        parts = [
            "# How often waits held",
            f"First {self.jobs:,} jobs of every recorded job list and of a generated workload on "
            "networks/east-west, scaled until jobs wait. A job that has to wait for capacity is told "
            "an 80 % interval of its start when it is bound, from what was known then "
            "(`placement/intervals.py`); told = how many were, inside = of them started within, "
            "before and after = outside on that side (10 % each is right). Policy and review as "
            f"`westward simulate` has them unless told otherwise, seed {SEED}.",
            f"**{held} of {len(self.scores)} rows lie within {LEAST:.0%} to {MOST:.0%}** (all: "
            f"{min(inside, default=0):.1%} to {max(inside, default=0):.1%}; outside: (!)). {few} rows "
            f"tell fewer than {ENOUGH:,} jobs (few): there is no more in the trace.",
            "\n".join((*HEAD, *self.lines)),
            f"Assumed: gavel's jobs make {STEPS_PER_S:g} steps a second; sia's applications run "
            f"{runs}; a request of azure-llm holds a device, reads 1,000 tokens a second and writes "
            "10.",
            "**Lists submitted at one instant** (the `_pr` variants of muri, made by its authors): "
            "everybody is told before any outcome is known, on a network of a twentieth of the "
            "devices asked for. Nothing can be learnt in time: what comes out is how well the first "
            "guess happens to fit, and is not counted above.",
            "\n".join((*HEAD, *self.at_once)),
            f"Not played. Fewer than {FEWEST} jobs: {', '.join(self.short) or 'none'}. No times, so "
            f"no job list: {', '.join(self.lists) or 'none'}. Formats that are no job lists: helios, "
            "alibaba-spot, the other files of alibaba-genai."
            + (f" The run was stopped before: {', '.join(self.left)}." if self.left else ""),
            f"Command: `python benchmarks/wait_coverage.py --jobs {self.jobs} --write` "
            f"({self.spent_s / 60:.1f} CPU min, Python {platform.python_version()}).",
        ]
        return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=8_000)
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME", help="part of a name")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    base = load_network(ROOT / "networks" / "east-west")
    chosen = [
        (name, reader)
        for name, reader in traces(options.jobs)
        if not options.only or any(part in name for part in options.only)
    ]
    report = Report(jobs=options.jobs)
    print("\n".join(HEAD), flush=True)
    for at, (name, reader) in enumerate(chosen):
        try:
            report.add(name, reader(), base)
        except NoJobList:
            report.lists.append(name)
        report.left = [later for later, _ in chosen[at + 1 :]]
        report.spent_s = time.process_time()
        if options.write:  # after each: a run that is stopped leaves what it has
            (ROOT / "benchmarks" / "COVERAGE.md").write_text(report.text())
    print(report.text().split("\n\n")[2])


if __name__ == "__main__":
    main()
