"""What a look again is worth: cost and waits with ``review_ms`` of a minute over those without.

    python benchmarks/look_again.py [--jobs N]

The workloads and networks of ``gap.py`` at load 0.6, rule ``westward``, no posted prices: what a live
server decides (0051), which is conservative unless told otherwise. Ratios below 1: better.
"""

from __future__ import annotations

import argparse

import numpy as np
from gap import ROOT, SEED, offered_devices, three_sites, workloads

from westward.model.network import Network
from westward.model.plan import Discipline, Policy
from westward.model.units import MS_PER_HOUR
from westward.model.workload import Workload
from westward.network.loader import load_network
from westward.simulate.bound import total_micros
from westward.simulate.engine import simulate
from westward.simulate.metrics import wait_ms
from westward.simulate.scale import scale_network

LOAD = 0.6
REVIEW_MS = 60_000
DISCIPLINES: tuple[Discipline, ...] = ("easy", "conservative")


def figures(
    network: Network, workload: Workload, discipline: Discipline, review_ms: int
) -> tuple[float, float, float]:
    """Cost in the network's currency; mean and 95 % of the waits in hours."""
    policy = Policy(discipline=discipline, review_ms=review_ms)
    run = simulate(network, workload, policy, seed=SEED)
    waits = wait_ms(run)[run.placed] / MS_PER_HOUR
    cost = float(total_micros(run)[run.placed].sum()) / 1e6
    return cost, float(waits.mean()), float(np.quantile(waits, 0.95))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5_000)
    asked = parser.parse_args()
    networks = {
        "east-west": load_network(ROOT / "networks" / "east-west"),
        "three-sites": three_sites(),
    }
    ratios: list[list[float]] = []
    print("| workload | network | discipline | cost | mean wait, h | 95 % of waits, h |")
    print("|---|---|---|---|---|---|")
    for name, read in workloads(asked.jobs).items():
        workload = read()
        for label, base in networks.items():
            least = sum(pool.devices_per_node for pool in base.pools)
            network = scale_network(base, max(least, round(offered_devices(workload) / LOAD)))
            ratios.append([])
            for discipline in DISCIPLINES:
                without, mean, most = figures(network, workload, discipline, 0)
                cost, mean_again, most_again = figures(network, workload, discipline, REVIEW_MS)
                ratios[-1].append(cost / without)
                print(
                    f"| {name} | {label} | {discipline} | **{cost / without:.3f}** | "
                    f"{mean:.2f} → {mean_again:.2f} | {most:.1f} → {most_again:.1f} |",
                    flush=True,
                )
    table = np.array(ratios)
    for column, discipline in enumerate(DISCIPLINES):
        geometric = float(np.exp(np.log(table[:, column]).mean()))
        dearer = int((table[:, column] > 1.0005).sum())
        print(f"{discipline}: {geometric:.3f} of the cost, dearer in {dearer} of {len(table)}")


if __name__ == "__main__":
    main()
