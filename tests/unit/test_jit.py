"""The compiled code is kept under a digest of the kernels' sources: none may be missing from it."""

from __future__ import annotations

from pathlib import Path

import westward
from westward.jit import KERNEL_FILES, compiled
from westward.model.job import JobSpec, ResourceOption
from westward.model.plan import Policy, idle_snapshot
from westward.network.loader import load_network
from westward.placement import plan, rows
from westward.server.core import _warm_up

ROOT = Path(__file__).resolve().parents[2]


def test_every_file_with_a_kernel_is_in_the_digest() -> None:
    package = Path(westward.__file__).parent
    with_kernels = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "\n@jit\n" in path.read_text()
    }
    assert with_kernels
    assert with_kernels | {
        "jit.py",
        "placement/packing_state.py",
        "placement/state.py",
        "simulate/live.py",
    } == set(KERNEL_FILES)


def test_a_server_that_is_warm_compiles_nothing_for_a_burst() -> None:
    assert compiled()
    network, policy = load_network(ROOT / "networks" / "east-west"), Policy()
    _warm_up(network, policy)
    known = set(rows.plan_rows.signatures)  # type: ignore[attr-defined]
    assert len(known) == 1  # plans of one job and of several share their kernels
    option = ResourceOption(cpus_milli=1000)
    for count in (1, 2, 7):
        jobs = tuple(
            JobSpec(job_id=f"job_{number}", name="", submit_ms=number, options=(option,))
            for number in range(count)
        )
        decided = plan(idle_snapshot(network, 0), jobs, policy, 0)
        assert len(decided.placements) == count
    assert set(rows.plan_rows.signatures) == known  # type: ignore[attr-defined]
