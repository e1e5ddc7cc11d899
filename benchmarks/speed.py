"""One measurement of the simulator in this process; ``run.py`` starts one process for each.

``python benchmarks/speed.py CASE JOBS [stream|memory]`` prints one line of JSON. CASE: see ``cases``.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import cases

WARM_JOBS = 1_000


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


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(float(sys.argv[2])), *sys.argv[3:])))
