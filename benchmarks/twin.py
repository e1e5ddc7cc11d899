"""The C++ twin of the first row: writes what it reads, builds it, runs it.

``python benchmarks/twin.py JOBS`` runs both and compares their schedules.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cases
import numpy as np

from westward.simulate.engine import DEFAULT_ORIGIN_MS
from westward.simulate.machine import Machine
from westward.simulate.stream import totals_for

SOURCE = Path(__file__).resolve().parent / "twin_cpp" / "twin.cpp"
COMMAND = ("g++", "-O3", "-march=native", "-ffp-contract=off", "-std=c++17")
"""No fused multiply-add: numba makes none, and equal schedules need equal rounding."""


def build(folder: Path) -> Path:
    program = folder / "twin"
    subprocess.run([*COMMAND, "-o", str(program), str(SOURCE)], check=True)
    return program


def dump(folder: Path, jobs: int) -> None:
    """Columns as plain binary files. The cost table is Westward's: it is made once a run."""
    network = cases.network()
    policy = cases.policy(cases.ONE_CHOICE)
    origin = network.origin_ms(DEFAULT_ORIGIN_MS)
    machine = Machine(
        network, policy, totals_for(network, policy), seed=cases.SEED, origin_ms=origin,
        zero_ms=origin, reserve=0,
    )  # fmt: skip
    work = cases.workload(cases.ONE_CHOICE, jobs)
    home = machine.homes.of(work)
    pools, zones, costs = machine.columns.pools, machine.columns.zones, machine.costs
    rules = machine.rules
    assert set(pools.speed) == {1.0}, "the twin knows one kind of accelerator"
    assert len({*zones.tariff_steps, *zones.carbon_steps}) == 1
    base, step, steps = (int(one) for one in costs.window)
    numbers = [
        origin, rules.origin_ms, base, step, steps, rules.assumed_ms, rules.depth,
        len(network.sites), int(zones.tariff_steps[0]), int(zones.tariff_step_ms[0]),
        len(network.zones),
    ]  # fmt: skip
    columns: dict[str, Any] = {
        "submit_ms": work.submit_ms,
        "duration_ms": work.duration_ms,
        "estimate_ms": work.estimate_ms,
        "need_milli": work.devices_milli.astype(np.int64) * work.nodes,
        "home": home,
        "input_bytes": work.input_bytes,
        "numbers": np.array(numbers, dtype=np.int64),
        "factors": np.array([rules.wait_value, rules.carbon_price]),
        "capacity": pools.capacity_milli,
        "pool_site": pools.site,
        "pool_zone": pools.zone,
        "kw": pools.kw,
        "price": pools.price,
        "prefix": costs.prefix,
        "least": costs.least,
        "most": costs.most,
        "link_price": machine.columns.links.price_per_gb,
        "link_pace": machine.columns.links.ms_per_gb,
        "tariff": zones.tariff,
        "carbon": zones.carbon,
        "other": machine.other_zones.carbon,
    }
    for name, column in columns.items():
        np.ascontiguousarray(column).tofile(folder / name)


def run(program: Path, folder: Path) -> dict[str, Any]:
    done = subprocess.run([str(program), str(folder)], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    import speed

    jobs = int(float(sys.argv[1]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dump(folder, jobs)
        theirs = run(build(folder), folder)
    ours = speed.measure(cases.ONE_CHOICE, jobs)
    found = {"twin": theirs, "westward": ours, "ratio": theirs["cpu_s"] / ours["cpu_s"]}
    print(json.dumps(found))
    if theirs["checksum"] != ours["checksum"]:
        raise SystemExit("the schedules differ")


if __name__ == "__main__":
    main()
