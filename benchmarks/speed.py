"""One measurement of the simulator in this process; ``run.py`` starts one process for each.

``python benchmarks/speed.py CASE JOBS [stream|memory|filled]`` prints one line of JSON. CASE: see
``cases``. ``filled``: JOBS jobs that arrive at a network which ``FILL_JOBS`` others have filled.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cases
import numpy as np

if TYPE_CHECKING:
    from westward.model.workload import Workload

WARM_JOBS = 1_000
FILL_JOBS = 2_000_000
"""18 hours of arrivals: runs last an hour in the middle, some of them a day."""
FEW_JOBS = 100_000


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(case: str, jobs: int, way: str = "stream") -> dict[str, Any]:
    """CPU seconds of the rehearsal itself: loop, charges and sums or tables; not of making jobs."""
    from westward.simulate.engine import simulate
    from westward.simulate.stream import rehearse_stream, totals_for

    network, policy = cases.network(case), cases.policy(case)
    scenario = cases.scenario(case)
    small = totals_for(network, policy)
    rehearse_stream(
        network, cases.blocks(case, WARM_JOBS), policy, seed=cases.SEED, sink=small,
        scenario=scenario,
    )  # fmt: skip
    found: dict[str, Any] = {"case": case, "jobs": jobs, "way": way}
    wall = time.perf_counter()
    if way == "memory":
        result = simulate(
            network, cases.workload(case, jobs), policy, seed=cases.SEED, scenario=scenario
        )
        found |= {"cpu_s": result.cpu_s, "refused": int((result.pool < 0).sum())}
    else:
        totals = totals_for(network, policy)
        done = rehearse_stream(
            network, cases.blocks(case, jobs), policy, seed=cases.SEED, sink=totals,
            scenario=scenario,
        )  # fmt: skip
        summary = totals.summary()
        found |= {"cpu_s": done.cpu_s, "slots": done.slots, "events": done.events}
        names = ("refused", "checksum", "mean_wait_ms", "late", "runs")
        found |= {name: summary[name] for name in names}
        found["busy_share"] = sum(summary["device_hours"])
    found["wall_s"] = time.perf_counter() - wall
    found["total_cpu_s"] = time.process_time()
    found["jobs_per_cpu_s"] = jobs / found["cpu_s"]
    found["peak_rss_mb"] = peak_mb()
    return found


def occupied(case: str, jobs: int) -> float:
    """Share of the devices that these jobs alone take, from the first arrival to the last, if none
    waits: what an empty network is filled to."""
    some = cases.workload(case, jobs)
    end_ms = int(some.submit_ms[-1])
    held_ms = np.minimum(some.submit_ms + some.duration_ms, end_ms) - some.submit_ms
    window_ms = end_ms - int(some.submit_ms[0])
    return float(
        (held_ms * some.devices_milli * some.nodes).sum() / 1000 / (window_ms * cases.DEVICES)
    )


def measure_filled(case: str, jobs: int) -> dict[str, Any]:
    """CPU time a job of the first ``FEW_JOBS`` and of all ``jobs`` that arrive after ``FILL_JOBS``:
    at both, the network is as full as it will be."""
    from westward.simulate.stream import rehearse_stream, totals_for

    network, policy = cases.network(case), cases.policy(case)
    making_s = 0.0

    def timed(blocks: Iterator[Workload]) -> Iterator[Workload]:
        nonlocal making_s
        while True:
            began = time.process_time()
            block = next(blocks, None)
            making_s += time.process_time() - began
            if block is None:
                return
            yield block

    spent: list[tuple[int, float]] = []

    def note(arrived: int) -> None:
        spent.append((arrived, time.process_time() - making_s))

    rehearse_stream(
        network, timed(cases.blocks(case, FILL_JOBS + jobs)), policy, seed=cases.SEED,
        sink=totals_for(network, policy), scenario=cases.scenario(case), progress=note,
    )  # fmt: skip
    found: dict[str, Any] = {"case": case, "jobs": jobs, "way": "filled", "filled_by": FILL_JOBS}
    filled = next(one for one in spent if one[0] >= FILL_JOBS)
    for name, arrived in (("few", FEW_JOBS), ("many", jobs)):
        reached = next((one for one in spent if one[0] >= filled[0] + arrived), spent[-1])
        counted = reached[0] - filled[0]
        found |= {f"{name}_jobs": counted, f"{name}_us": (reached[1] - filled[1]) / counted * 1e6}
    found["ratio"] = found["many_us"] / found["few_us"]
    found["occupied_by_few"] = occupied(case, FEW_JOBS)
    return found


if __name__ == "__main__":
    asked, asked_jobs = sys.argv[1], int(float(sys.argv[2]))
    if sys.argv[3:] == ["filled"]:
        print(json.dumps(measure_filled(asked, asked_jobs)))
    else:
        print(json.dumps(measure(asked, asked_jobs, *sys.argv[3:])))
