"""How far each rule is from the clairvoyant lower bound: workloads × networks, one table.

    python benchmarks/gap.py [--jobs N] [--load L] [--only NAME ...] [--write]

Recorded workloads are read from $WESTWARD_SHARED/traces (default: ../shared beside the project),
their first N jobs; the networks are scaled so that the work they offer fills the part L of the
devices. Jobs that no pool can hold count nowhere. ``--write`` puts the table in benchmarks/GAP.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from westward.formats.generate import GeneratorOptions, generate
from westward.formats.traces import FORMATS, read_workload
from westward.model.network import Accelerator, Link, Network, Pool, Series, Site, Zone
from westward.model.plan import RULES, Discipline, Policy
from westward.model.units import MS_PER_HOUR
from westward.model.workload import Workload
from westward.network.loader import load_network
from westward.simulate.bound import bound_of, gap, total_micros
from westward.simulate.engine import simulate
from westward.simulate.results import SimulationResult
from westward.simulate.scale import devices_of, scale_network

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("WESTWARD_SHARED", str(ROOT.parent / "shared")))
SEED = 1
TRACES = {
    "KTH-SP2": ("swf/KTH-SP2.easy.swf.gz", "swf"),
    "SDSC-SP2": ("swf/SDSC-SP2.easy.swf.gz", "swf"),
    "CTC-SP2": ("swf/CTC-SP2.easy.swf.gz", "swf"),
    "openb": ("openb/openb_pod_list_default.csv", "openb"),
    "gaia pai": ("gaia/pai-100k.csv.gz", "gaia"),
    "gaia azure": ("gaia/azure-100k.csv.gz", "gaia"),
    "gaia mustang": ("gaia/mustang-trace-2015-100k.csv.gz", "gaia"),
    "philly": ("philly/philly.csv.gz", "philly"),
}
DAY_EAST = (0.35,) * 8 + (1.1,) * 4 + (0.7,) * 5 + (1.1,) * 4 + (0.7,) * 2 + (0.35,)
DAY_WEST = (0.4,) * 9 + (0.15,) * 8 + (0.5,) * 7
"""CNY per kWh by hour: dear in the eastern morning and evening, cheap in the western sun."""


def three_sites() -> Network:
    """A made-up network of few, large pools: west (sun by day), east (dear by day), flat north.

    Every figure is an assumption of this benchmark.
    """
    day = (DAY_EAST, (0.45,), DAY_WEST)
    carbon = ((600.0,), (400.0,), (520.0,) * 9 + (250.0,) * 8 + (520.0,) * 7)
    names = ("east", "north", "west")
    pools = (
        ("east", "fast", 4, 8_000_000),
        ("north", "slow", 7, 3_300_000),
        ("west", "fast", 5, 7_200_000),
        ("west", "slow", 4, 3_400_000),
    )
    return Network(
        name="three-sites",
        label="three sites with different tariffs",
        currency="CNY",
        series_origin="2026-01-01T00:00:00+08:00",
        sites=tuple(
            Site(
                name=n, label=n, operator="", zone=n, lat_deg=None, lon_deg=None, pue=1.25, tags=()
            )
            for n in names
        ),
        pools=tuple(
            Pool(
                name=f"{site}-{kind}", site=site, engine="local", managed=True, accelerator=kind,
                nodes=nodes, devices_per_node=8, cpus_per_node=192, memory_mib_per_node=2_097_152,
                price_micros_per_device_hour=price,
                power_w_per_device=900.0 if kind == "fast" else 480.0,
            )
            for site, kind, nodes, price in pools
        ),
        accelerators=tuple(
            Accelerator(
                name=kind, label=kind, vendor="", memory_gb=None, power_w_max=None,
                relative_speed=speed, fp16_dense_tflops=None,
            )
            for kind, speed in (("fast", 2.0), ("slow", 1.0))
        ),
        zones=tuple(
            Zone(
                name=n, label=n, tariff_per_kwh=Series(step_ms=MS_PER_HOUR, values=day[at]),
                carbon_location_g_per_kwh=Series(step_ms=MS_PER_HOUR, values=carbon[at]),
                carbon_contract_g_per_kwh=None,
            )
            for at, n in enumerate(names)
        ),
        places=(),
        links=tuple(
            Link(a=a, b=b, one_way_ms=10.0, bandwidth_gbps=10.0, price_micros_per_gb=50_000)
            for a in names
            for b in names
            if a < b
        ),
        facts=(),
        sources=(),
        digest="three-sites",
    )  # fmt: skip


def first_jobs(workload: Workload, jobs: int) -> Workload:
    """The first ``jobs`` rows."""
    columns = {
        f.name: getattr(workload, f.name)[:jobs]
        for f in fields(workload)
        if isinstance(getattr(workload, f.name), np.ndarray)
    }
    return replace(workload, **columns)


def read_first_jobs(file: Path, kind: str, jobs: int) -> Workload:
    """The first ``jobs`` rows of a recorded workload."""
    return first_jobs(read_workload(file, kind), jobs)


def offered_devices(workload: Workload) -> float:
    """Mean devices the workload would keep busy over the time in which it is submitted."""
    gang = workload.nodes.astype(np.float64) * workload.devices_milli / 1000.0
    span = float(workload.submit_ms[-1] - workload.submit_ms[0])
    return float((gang * workload.duration_ms).sum()) / span


def workloads(jobs: int) -> dict[str, Callable[[], Workload]]:
    """Those whose file and reader are there, and a generated one with deadlines and inputs."""
    found: dict[str, Callable[[], Workload]] = {}
    for name, (path, kind) in TRACES.items():
        file = SHARED / "traces" / path
        if file.exists() and kind in FORMATS:
            found[name] = partial(read_first_jobs, file, kind, jobs)
    options = GeneratorOptions(homes=10, max_gang_devices=64)
    found["generated"] = lambda: generate(
        jobs, 7, capacity_devices=1_000, load=0.7, options=options
    )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    workload: str
    network: str
    devices: int
    jobs: int
    refused: int
    bound: float
    cost: float
    gap: float
    wait_part: float
    p95_wait_h: float
    rival: str
    rival_gap: float
    saved: float
    """Of the rival's cost, over the jobs both placed."""
    seconds: float


def measure(name: str, workload: Workload, network: Network, discipline: Discipline) -> Row:
    """All rules on one workload and network."""
    runs: dict[str, SimulationResult] = {}
    gaps: dict[str, float] = {}
    seconds = 0.0
    for rule in RULES:
        # What `westward simulate` does unless told otherwise; the rivals bind once.
        policy = Policy(
            rule=rule, discipline=discipline, review_ms=60_000, price_period_ms=6 * MS_PER_HOUR
        )
        run = simulate(network, workload, policy, seed=SEED)
        began = time.perf_counter()
        bound = bound_of(run)
        seconds = max(seconds, time.perf_counter() - began)
        runs[rule], gaps[rule] = run, gap(run, bound).share
        if rule == "westward":
            ours, lower = run, gap(run, bound).bound_micros
    # Only rules that place nearly all that ours places are rivals: refusing is no thrift.
    placed = int(ours.placed.sum())
    fair = [r for r in RULES[1:] if int((runs[r].placed & ours.placed).sum()) >= 0.99 * placed]
    rival = min(fair, key=lambda r: gaps[r])
    both = ours.placed & runs[rival].placed
    cost = total_micros(ours)
    theirs = float(total_micros(runs[rival])[both].sum())
    waits = (ours.start_ms - ours.submit_ms)[ours.placed] / MS_PER_HOUR
    return Row(
        workload=name,
        network=network.name,
        devices=devices_of(network),
        jobs=placed,
        refused=len(workload) - placed,
        bound=lower,
        cost=float(cost[ours.placed].sum()),
        gap=gaps["westward"],
        wait_part=float(ours.wait_micros.sum()) / float(cost[ours.placed].sum()),
        p95_wait_h=float(np.quantile(waits, 0.95)),
        rival=rival,
        rival_gap=gaps[rival],
        saved=1.0 - float(cost[both].sum()) / theirs,
        seconds=seconds,
    )


def line(row: Row) -> str:
    return (
        f"| {row.workload} | {row.network} | {row.devices:,} | {row.jobs:,} | {row.refused:,} | "
        f"{row.bound / 1e6:,.0f} | {row.cost / 1e6:,.0f} | **{row.gap:.1%}** | {row.wait_part:.1%} | "
        f"{row.p95_wait_h:.1f} | {row.rival} | {row.rival_gap:.1%} | {row.saved:.1%} | "
        f"{row.seconds:.1f} |"
    )


HEAD = (
    "| workload | network | devices | jobs | refused | bound | westward | gap | of it waiting | "
    "p95 wait h | best rival | its gap | saved against it | bound s |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--load", type=float, default=0.6)
    parser.add_argument("--discipline", choices=("easy", "conservative"), default="easy")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    bases = (load_network(ROOT / "networks" / "east-west"), three_sites())
    lines = [
        "# Gap to the clairvoyant lower bound",
        "",
        f"First {options.jobs:,} jobs, offered load {options.load:g} of the devices, discipline "
        f"{options.discipline}, seed {SEED}. Cost = device + power + carbon + transfer + waiting, "
        "in CNY. The bound knows every job and its true run time beforehand "
        "(docs/decisions/0012-lower-bound.md). A rival must place 99 % of the jobs that westward "
        "places.",
        "",
        *HEAD,
    ]
    print("\n".join(lines), flush=True)
    rows = []
    for name, read in workloads(options.jobs).items():
        if options.only and name not in options.only:
            continue
        workload = read()
        for base in bases:
            least = sum(pool.devices_per_node for pool in base.pools)
            size = max(least, round(offered_devices(workload) / options.load))
            rows.append(measure(name, workload, scale_network(base, size), options.discipline))
            lines.append(line(rows[-1]))
            print(lines[-1], flush=True)
    tail = [
        "",
        f"Median gap of westward **{statistics.median(r.gap for r in rows):.1%}**, of the best "
        f"rival {statistics.median(r.rival_gap for r in rows):.1%}; median saved against the best "
        f"rival {statistics.median(r.saved for r in rows):.1%}. "
        f"{len(rows)} pairs of workload and network.",
    ]
    print("\n".join(tail))
    if options.write:
        (ROOT / "benchmarks" / "GAP.md").write_text("\n".join(lines + tail) + "\n")


if __name__ == "__main__":
    main()
