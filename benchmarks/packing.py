"""What node packing changes: openb's jobs on openb's nodes, and its price in speed.

    python -m benchmarks.packing openb [--shares 100 50 1] [--packing pool best-fit fgd westward]
    python -m benchmarks.packing national [--jobs 1000000] [--packing pool best-fit]

openb: the recorded jobs (8,151 with a run time) at their recorded times, over a network of the
recorded 1,213 nodes, one pool for each sort of node (model, devices, cpus, memory), or over a share
of each pool's nodes. The rule is earliest-start, estimates are exact, so that what differs is the
nodes. All prices are alike: the network is a machine, not a market.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.national import national
from benchmarks.published.table import SHARED
from westward.formats.generate import NATIONAL, generate
from westward.formats.traces import read_workload
from westward.model.network import Accelerator, Network, Pool, Series, Site, Zone
from westward.model.plan import Packing, Policy
from westward.model.workload import Workload
from westward.simulate.engine import simulate
from westward.simulate.results import SimulationResult

HOUR_MS = 3_600_000
NODES = "openb_node_list_gpu_node.csv"
JOBS = "openb_pod_list_default.csv"


def openb_network(percent: int = 100, folder: Path | None = None) -> Network:
    """The recorded nodes with devices, one pool a sort; ``percent`` of each pool, rounded up."""
    with open((folder or SHARED / "traces" / "openb") / NODES, newline="") as file:
        sorts = Counter(
            (row["model"], int(row["gpu"]), int(row["cpu_milli"]), int(row["memory_mib"]))
            for row in csv.DictReader(file)
        )
    flat = Series(step_ms=HOUR_MS, values=(0.5,))
    zone = Zone(
        name="openb", label="openb", tariff_per_kwh=flat, carbon_location_g_per_kwh=flat,
        carbon_contract_g_per_kwh=None,
    )  # fmt: skip
    site = Site(
        name="openb", label="openb", operator="", zone="openb", lat_deg=None, lon_deg=None,
        pue=1.0, tags=(),
    )  # fmt: skip
    pools = [
        Pool(
            name=f"{model.lower()}-{devices}-{cpus // 1000}-{memory}", site="openb",
            engine="kubernetes", managed=True, accelerator=model,
            nodes=-(-count * percent // 100), devices_per_node=devices,
            cpus_per_node=cpus // 1000, memory_mib_per_node=memory,
            price_micros_per_device_hour=1_000_000, power_w_per_device=300.0,
        )
        for (model, devices, cpus, memory), count in sorted(sorts.items())
    ]  # fmt: skip
    kinds = [
        Accelerator(
            name=model, label=model, vendor="", memory_gb=None, power_w_max=300.0,
            relative_speed=1.0, fp16_dense_tflops=None,
        )
        for model in sorted({one[0] for one in sorts})
    ]  # fmt: skip
    return Network(
        name="openb", label=f"openb's nodes, {percent} %", currency="CNY",
        series_origin="2026-01-01T00:00:00+00:00", sites=(site,),
        pools=tuple(sorted(pools, key=lambda pool: pool.name)), accelerators=tuple(kinds),
        zones=(zone,), places=(), links=(), facts=(), sources=(), digest=f"openb-{percent}",
    )  # fmt: skip


def openb_jobs() -> Workload:
    """As recorded, with exact estimates."""
    recorded = read_workload(SHARED / "traces" / "openb" / JOBS, "openb")
    return replace(recorded, estimate_ms=recorded.duration_ms.copy())


def line(label: str, result: SimulationResult) -> str:
    """Waits in minutes over the placed jobs, and what nodes were asked of."""
    wait = (result.start_ms - result.submit_ms)[result.placed] / 60_000.0
    return (
        f"{label:<28} placed {int(result.placed.sum()):>9,}  waited {int((wait > 0).sum()):>9,}  "
        f"mean {wait.mean():>9.2f} min  95 % {np.percentile(wait, 95):>9.2f}  "
        f"max {wait.max():>9.1f}  {len(result) / result.cpu_s:>9,.0f} jobs/CPU-s"
    )


def run_openb(shares: list[int], packings: list[Packing]) -> None:
    jobs = openb_jobs()
    for share in shares:
        network = openb_network(share)
        for packing in packings:
            policy = Policy(rule="earliest-start", packing=packing, backfill_depth=1_000)
            print(line(f"{share} % {packing}", simulate(network, jobs, policy, seed=1)), flush=True)


def run_national(count: int, load: float, packings: list[Packing]) -> None:
    network = national()
    small = generate(2_000, 2, capacity_devices=1_000_000, load=load, options=NATIONAL)
    jobs = generate(count, 1, capacity_devices=1_000_000, load=load, options=NATIONAL)
    for packing in packings:
        policy = Policy(packing=packing)
        simulate(network, small, policy, seed=1)
        print(line(f"national {packing}", simulate(network, jobs, policy, seed=1)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("openb", "national"))
    parser.add_argument("--shares", type=int, nargs="+", default=[100, 50, 1])
    parser.add_argument("--packing", nargs="+", default=["pool", "best-fit", "fgd", "westward"])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--load", type=float, default=0.8)
    told = parser.parse_args()
    if told.what == "openb":
        run_openb(told.shares, told.packing)
    else:
        run_national(told.jobs, told.load, told.packing)


if __name__ == "__main__":
    main()
