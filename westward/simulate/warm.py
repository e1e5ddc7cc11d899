"""Compile the kernels once, ahead of the first use: ``python -m westward.simulate.warm FOLDER``.

numba keeps the result beside the sources, so that the server and the first rehearsal start in a
second instead of a minute. Run by the set-up. With ``packing`` after the folder also the loop's
variant with node packing, which else compiles at its first use.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from westward.formats.generate import generate
from westward.model.plan import Policy
from westward.network.loader import load_network
from westward.placement.warm import warm_plan
from westward.simulate.engine import simulate


def warm(folder: Path, *, packing: bool = False) -> float:
    """Run one tiny plan and tiny rehearsals on a network; returns the seconds it took."""
    began = time.perf_counter()
    network = load_network(folder)
    now_ms = 1_767_225_600_000
    warm_plan(network, Policy(), now_ms)
    devices = sum(pool.nodes * pool.devices_per_node for pool in network.pools)
    workload = generate(200, 1, capacity_devices=devices, load=0.7)
    policies = [Policy(discipline="easy"), Policy(discipline="conservative")]
    if packing:
        policies.append(Policy(packing="best-fit"))
    for policy in policies:
        simulate(network, workload, policy, seed=1)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(f"kernels ready after {warm(Path(sys.argv[1]), packing='packing' in sys.argv[2:]):.1f} s")
