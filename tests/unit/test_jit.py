"""The compiled code is kept under a digest of the kernels' sources: none may be missing from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import westward
from westward.jit import KERNEL_FILES
from westward.model.plan import Policy
from westward.network.loader import load_network
from westward.placement.columns import network_columns, rule_columns
from westward.placement.state import Rules

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
        "compiler.py",
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


WIDTHS = """
import numpy as np
from westward.jit import jit

@jit
def twice(value: int) -> int:
    return 2 * value

@jit
def all_ways(wide, narrow):
    return twice(wide[0]) + twice(narrow[0]) + twice(-1)

wide, narrow = np.array([3], dtype=np.int64), np.array([4], dtype=np.int32)
assert all_ways(wide, narrow) == 12
print(len(twice.inner.signatures), len(twice.signatures))
assert twice(5) == 10
print(len(twice.inner.signatures), len(twice.signatures))
"""


def test_a_kernel_is_compiled_once_for_all_kernels_and_once_for_python(tmp_path: Path) -> None:
    script = tmp_path / "widths.py"
    script.write_text(WIDTHS)
    told = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["1", "0", "1", "1"]


def test_a_policy_of_whole_numbers_has_the_types_of_any_other() -> None:
    """Else the planner is compiled anew for it: 50 s at a server's first plan."""
    network = load_network(ROOT / "networks" / "laptop")
    policy = Policy(checkpoint_gb_per_device=20, move_hurdle_percent=5)
    rules = rule_columns(policy, network_columns(network, "location"), 0)
    told = {name: type(value).__name__ for name, value in rules._asdict().items()}
    assert told == {name: kind.__name__ for name, kind in get_type_hints(Rules).items()}
