"""The compiled code is kept under a digest of the kernels' sources: none may be missing from it."""

from __future__ import annotations

from pathlib import Path

import westward
from westward.jit import KERNEL_FILES


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
