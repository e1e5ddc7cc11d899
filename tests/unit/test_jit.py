"""The compiled code is kept under a digest of the kernels' sources: none may be missing from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import westward
from westward.jit import KERNEL_FILES

ROOT = Path(__file__).resolve().parents[2]
BURST = """
import sys
from pathlib import Path
from westward.jit import compiled
from westward.model.job import JobSpec, ResourceOption
from westward.model.plan import Policy, idle_snapshot
from westward.network.loader import load_network
from westward.placement import plan, rows
from westward.server.core import _warm_up

assert compiled()
network, policy = load_network(Path(sys.argv[1])), Policy()
_warm_up(network, policy)
print(len(rows.plan_rows.signatures))
option = ResourceOption(cpus_milli=1000)
for count in (1, 2, 7):
    jobs = tuple(
        JobSpec(job_id=f"job_{number}", name="", submit_ms=number, options=(option,))
        for number in range(count)
    )
    assert len(plan(idle_snapshot(network, 0), jobs, policy, 0).placements) == count
print(len(rows.plan_rows.signatures))
"""


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
        "placement/ahead.py",
        "placement/packing_state.py",
        "placement/state.py",
        "simulate/live.py",
    } == set(KERNEL_FILES)


def test_a_server_that_is_warm_compiles_nothing_for_a_burst() -> None:
    """In a process of its own: other tests of this one may have compiled for other types."""
    told = subprocess.run(
        [sys.executable, "-c", BURST, str(ROOT / "networks" / "east-west")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["1", "1"]  # plans of one job and of several share their kernels
