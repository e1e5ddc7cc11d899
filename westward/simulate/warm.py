"""Compile the kernels once, ahead of the first use: ``python -m westward.simulate.warm``.

numba keeps the result beside the sources, so that the server and the first rehearsal start in a
second instead of half a minute. Run by the set-up.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from westward.formats.generate import generate
from westward.model.job import JobSpec, ResourceOption
from westward.model.plan import Policy, idle_snapshot
from westward.network.loader import load_network
from westward.placement import plan
from westward.simulate.engine import simulate


def warm(folder: Path) -> float:
    """Run one tiny plan and one tiny rehearsal on a network; returns the seconds it took."""
    began = time.perf_counter()
    network = load_network(folder)
    now_ms = 1_767_225_600_000
    options = (ResourceOption(any_accelerator=True, devices_milli=1000),)
    job = JobSpec(job_id="job_warm", name="warm", submit_ms=now_ms, options=options)
    plan(idle_snapshot(network, now_ms), [job], Policy(), now_ms)
    devices = sum(pool.nodes * pool.devices_per_node for pool in network.pools)
    workload = generate(200, 1, capacity_devices=devices, load=0.7)
    for discipline in ("easy", "conservative"):
        simulate(network, workload, Policy(discipline=discipline), seed=1)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(f"kernels ready after {warm(Path(sys.argv[1])):.1f} s")
