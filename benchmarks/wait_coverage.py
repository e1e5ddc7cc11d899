"""How often starts lay in the 80 % interval told beforehand: every recorded trace, one table.

    python benchmarks/wait_coverage.py [--jobs N] [--only NAME ...] [--rows FILE] [--write]

Traces are read from $WESTWARD_SHARED/traces (default: ../shared beside the project), their first N
jobs, on networks/east-west. The network is scaled so that the work offered fills the load of the
devices; where it cannot be small enough (one node a pool), submit times are divided. The load is the
first of ``LOADS`` at which 1,000 jobs are told an interval, else the last: a trace that is too short
says so. ``--rows`` keeps what was played in a file and goes on from there, so that the whole can be
run in pieces (``--for-s``); ``--write`` puts the table in benchmarks/COVERAGE.md.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
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
from westward.placement.state import I64
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
HEARD = 0.1
"""Unheard shares below are said apart from those above."""
AGAIN_MOST = 16
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


def over_again(workload: Workload, times: int) -> Workload:
    """The same jobs in the same order, the whole list again as soon as it is through."""
    count = len(workload)
    span = int(workload.submit_ms[-1] - workload.submit_ms[0])
    shift = np.repeat(np.arange(times) * (span + span // (count - 1)), count)
    columns = {
        one.name: np.tile(column, times)
        for one in fields(workload)
        if isinstance(column := getattr(workload, one.name), np.ndarray)
    }
    columns["submit_ms"] = columns["submit_ms"] + shift
    deadline = columns["deadline_ms"]
    columns["deadline_ms"] = np.where(deadline >= 0, deadline + shift, -1)
    return replace(workload, **columns)


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


def rehearse(
    this: Scene, discipline: Discipline, *, delegated: bool, seed: int = SEED
) -> SimulationResult:
    """As ``westward simulate`` does unless told otherwise."""
    policy = Policy(discipline=discipline, review_ms=60_000, price_period_ms=6 * MS_PER_HOUR)
    network = this.network
    if delegated:
        pools = tuple(replace(pool, managed=at % 2 == 0) for at, pool in enumerate(network.pools))
        network = replace(network, pools=pools)
    scenario = Scenario(delegated_pools=delegated)
    return simulate(network, this.workload, policy, seed=seed, scenario=scenario)


def least_crowd(workload: Workload, base: Network) -> int:
    """Devices for a list submitted at one instant: a twentieth of all it asks for."""
    least = sum(pool.devices_per_node for pool in base.pools)
    asked = float((workload.nodes.astype(np.float64) * workload.devices_milli).sum()) / 1000.0
    return max(least, round(asked / 20))


def waiting_share(submit_ms: I64, start_ms: I64) -> float:
    """Mean over the jobs of the share of them that had come before and not started yet."""
    if len(submit_ms) == 0:
        return 0.0
    come = np.arange(len(submit_ms))
    started = np.searchsorted(np.sort(start_ms), np.sort(submit_ms), side="right")
    return float((come - started).clip(min=0).mean()) / len(submit_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    placed: int
    told: int
    inside: float
    early: float
    late: float
    width_min: float
    unheard: float
    """Of those told, the mean share that had been told before another and still waited then."""

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
            unheard=waiting_share(run.submit_ms[told], run.start_ms[told]),
        )

    @property
    def holds(self) -> bool:
        return LEAST <= self.inside <= MOST


HEAD = (
    "| trace | discipline | load | arrivals | devices | jobs | told | inside | before | after | "
    "median width | unheard |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
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
        f"{score.early:.1%} | {score.late:.1%} | {span(score.width_min)} | "
        f"{score.unheard:.0%} |"
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


def until_heard(
    workload: Workload, base: Network, load: float, discipline: Discipline
) -> tuple[int, Scene, Score] | None:
    """The list so many times over (2, 4, ...) that less than ``HEARD`` is unheard; None: not even
    at ``AGAIN_MOST``."""
    times = 2
    while times <= AGAIN_MOST:
        this = scene(over_again(workload, times), base, load)
        score = Score.of(rehearse(this, discipline, delegated=False))
        if score.unheard < HEARD:
            return times, this, score
        times *= 2
    return None


DELEGATED = ("swf/SDSC-SP2.easy", "openb/openb_pod_list_default", "philly/philly", "generated")


DISCIPLINES: dict[str, Discipline] = {"easy": "easy", "conservative": "conservative"}
"""By what ``play`` calls a rehearsal in which no pool is delegated."""


NATIONAL = ((20_000, 1, "easy"), (20_000, 1, "conservative"), (20_000, 2, "easy"),
            (20_000, 2, "conservative"), (200_000, 1, "easy"))  # fmt: skip
"""``westward simulate networks/east-west --generate JOBS --seed SEED --discipline …``, unscaled."""


def national(base: Network, jobs: int, seed: int, discipline: Discipline) -> tuple[Scene, Score]:
    options = GeneratorOptions(homes=len(base.sites))
    workload = generate(jobs, seed, capacity_devices=devices_of(base), load=0.8, options=options)
    this = Scene(workload=workload, network=base, load=0.8, factor=1.0)
    return this, Score.of(rehearse(this, discipline, delegated=False, seed=seed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is kept of one file, or of one rehearsal of it."""

    name: str
    table: str
    """``traces``, ``over again``, ``at once``, ``national``; or why it was not played: ``short``, ``no times``."""
    line: str = ""
    score: Score | None = None


def rows_of(name: str, reader: Callable[[], Workload], base: Network) -> Iterator[Row]:
    try:
        workload = reader()
    except NoJobList:
        yield Row(name=name, table="no times")
        return
    if len(workload) < FEWEST:
        yield Row(name=f"{name} ({len(workload)})", table="short")
    elif int(workload.submit_ms[-1] - workload.submit_ms[0]) < AT_ONCE_MS:
        network = scale_network(base, least_crowd(workload, base))
        crowd = Scene(workload=workload, network=network, load=math.nan, factor=1.0)
        score = Score.of(rehearse(crowd, "easy", delegated=False))
        yield Row(name=name, table="at once", line=line(name, "easy", crowd, score), score=score)
    else:
        for how, this, score in play(workload, base, delegated=name in DELEGATED):
            yield Row(name=name, table="traces", line=line(name, how, this, score), score=score)
            discipline = DISCIPLINES.get(how)
            if discipline is None or score.unheard < HEARD:
                continue
            found = until_heard(workload, base, this.load, discipline)
            if found is not None:
                times, again, later = found
                told = line(f"{name}, {times} times", how, again, later)
                yield Row(name=name, table="over again", line=told, score=later)


@dataclass(slots=True)
class Report:
    """What has been played so far, as text."""

    jobs: int
    done: dict[str, list[Row]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    """Not come to yet."""

    def save(self, path: Path) -> None:
        kept = {name: [asdict(row) for row in rows] for name, rows in self.done.items()}
        path.write_text(json.dumps(kept, indent=1))

    def load(self, path: Path) -> None:
        for name, rows in json.loads(path.read_text()).items():
            self.done[name] = [
                Row(**{**row, "score": row["score"] and Score(**row["score"])}) for row in rows
            ]

    def of(self, table: str) -> list[Row]:
        return [row for rows in self.done.values() for row in rows if row.table == table]

    def text(self) -> str:
        scores = [row.score for row in self.of("traces") if row.score is not None]
        inside = [score.inside for score in scores]
        held = sum(score.holds for score in scores)
        few = sum(score.told < ENOUGH for score in scores)
        runs = ", ".join(f"{name} {value:g} s" for name, value in RUN_S.items())
        own = [row.score for row in self.of("traces") if row.score and "delegated" not in row.line]
        heard = [score for score in own if score.unheard < HEARD]
        late = [score for score in own if score.unheard >= HEARD]
        again = [row.score for row in self.of("over again") if row.score]

        def table(name: str) -> str:
            return "\n".join((*HEAD, *(row.line for row in self.of(name))))

        def names(name: str) -> str:
            return ", ".join(row.name for row in self.of(name)) or "none"

        parts = [
            "# How often waits held",
            f"First {self.jobs:,} jobs of every recorded job list and of a generated workload on "
            "networks/east-west, scaled until jobs wait. A job that has to wait for capacity is told "
            "an 80 % interval of its start when it is bound, from what was known then "
            "(`placement/intervals.py`); told = how many were, inside = of them started within, "
            "before and after = outside on that side (10 % each is right), unheard = of all that are "
            "told in the run, the mean share that still waited when another one was told: what "
            "cannot have been learnt from. Policy and review as `westward simulate` has them unless "
            f"told otherwise, seed {SEED}.",
            f"**{held} of {len(scores)} rows lie within {LEAST:.0%} to {MOST:.0%}** (all: "
            f"{min(inside, default=0):.1%} to {max(inside, default=0):.1%}; outside: (!)). {few} rows "
            f"tell fewer than {ENOUGH:,} jobs (few): there is no more in the trace.",
            table("traces"),
            f"Where no pool is delegated: with less than {HEARD:.0%} unheard {sum(s.holds for s in heard)} "
            f"of {len(heard)} rows lie within, with more {sum(s.holds for s in late)} of {len(late)}. "
            "Why, and what was tried: docs/decisions/0030-wait-interval-limits.md.",
            f"**Those {len(late)} rows, the list over again** as often (2, 4, ...) as it takes until less "
            f"than {HEARD:.0%} is unheard: {sum(score.holds for score in again)} of {len(again)} lie "
            "within. Not counted above.",
            table("over again"),
            f"Assumed: gavel's jobs make {STEPS_PER_S:g} steps a second; sia's applications run "
            f"{runs}; a request of azure-llm holds a device, reads 1,000 tokens a second and writes "
            "10.",
            "**The national network as it is**, `westward simulate networks/east-west --generate "
            "JOBS --seed SEED`: the devices are a million, so 20,000 jobs at load 0.8 all come within "
            "a quarter of an hour, while runs take hours. Not counted above.",
            table("national"),
            "**Lists submitted at one instant** (the `_pr` variants of muri, made by its authors): "
            "everybody is told before any outcome is known, on a network of a twentieth of the "
            "devices asked for. Nothing can be learnt in time: what comes out is how well the first "
            "guess happens to fit, and is not counted above.",
            table("at once"),
            f"Not played. Fewer than {FEWEST} jobs: {names('short')}. No times, so no job list: "
            f"{names('no times')}. Formats that are no job lists: helios, alibaba-spot, the other "
            "files of alibaba-genai."
            + (f" The run was stopped before: {', '.join(self.left)}." if self.left else ""),
            f"Command: `python benchmarks/wait_coverage.py --jobs {self.jobs} --write` "
            f"(Python {platform.python_version()}).",
        ]
        return "\n\n".join(parts) + "\n"


def players(jobs: int, base: Network) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    def one(name: str, reader: Callable[[], Workload]) -> list[Row]:
        return list(rows_of(name, reader, base))

    def unscaled(name: str, count: int, seed: int, discipline: Discipline) -> list[Row]:
        this, score = national(base, count, seed, discipline)
        told = line(name, discipline, this, score)
        return [Row(name=name, table="national", line=told, score=score)]

    for name, reader in traces(jobs):
        yield name, partial(one, name, reader)
    for count, seed, discipline in NATIONAL:
        name = f"--generate {count} --seed {seed}"
        yield f"{name} {discipline}", partial(unscaled, name, count, seed, discipline)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=6_000)
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME", help="part of a name")
    parser.add_argument("--rows", type=Path, default=None, metavar="FILE")
    parser.add_argument("--for-s", type=float, default=math.inf, metavar="SECONDS")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    base = load_network(ROOT / "networks" / "east-west")
    began = time.monotonic()
    report = Report(jobs=options.jobs)
    if options.rows is not None and options.rows.exists():
        report.load(options.rows)
    chosen = [
        (name, player)
        for name, player in players(options.jobs, base)
        if name not in report.done
        and (not options.only or any(part in name for part in options.only))
    ]
    print("\n".join(HEAD), flush=True)
    for at, (name, player) in enumerate(chosen):
        if time.monotonic() - began > options.for_s:
            report.left = [later for later, _ in chosen[at:]]
            break
        report.done[name] = player()
        for row in report.done[name]:
            print(row.line or f"not played: {row.name}: {row.table}", flush=True)
        if options.rows is not None:
            report.save(options.rows)
    if options.write:
        (ROOT / "benchmarks" / "COVERAGE.md").write_text(report.text())
    print(report.text().split("\n\n")[2])


if __name__ == "__main__":
    main()
