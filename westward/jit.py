"""Compile the kernels, or run the same source in the interpreter.

A single ``plan`` costs less than importing a compiler, so thin callers (``westward plan``) call
``interpret()`` before the kernels are imported; the simulator and the server compile. The compiled
code is kept beside the sources, so only the first start after an install pays for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

KERNEL_FILES = (
    "placement/ahead.py",
    "placement/intervals.py",
    "placement/orders.py",
    "placement/packing.py",
    "placement/packing_limits.py",
    "placement/packing_rules.py",
    "placement/packing_shadow.py",
    "placement/packing_state.py",
    "placement/starts.py",
    "simulate/bound_kernels.py",
    "simulate/onepool_kernels.py",
    "simulate/reserved.py",
    "formats/traces/swf_kernel.py",
    "compiler.py",
    "jit.py",
    "placement/claims.py",
    "placement/delegated.py",
    "placement/classes.py",
    "placement/dispatch.py",
    "placement/dispatch_nodes.py",
    "placement/kernels.py",
    "placement/preempt.py",
    "placement/preempt_nodes.py",
    "placement/pricing.py",
    "placement/ranked.py",
    "placement/roster.py",
    "placement/profile.py",
    "placement/rows.py",
    "placement/state.py",
    "placement/waiting.py",
    "placement/window.py",
    "simulate/charging.py",
    "simulate/fair.py",
    "simulate/heap.py",
    "simulate/interrupt.py",
    "simulate/live.py",
    "simulate/loop.py",
    "simulate/notes.py",
    "simulate/told.py",
    "simulate/totals.py",
)
"""Every file with a kernel or a type that kernels take. A test holds the list to the sources."""

_compile = True
_used = False


def interpret() -> None:
    """Run kernels in the interpreter in this process. Must come before their first import."""
    global _compile
    if _used and _compile:
        raise RuntimeError("the kernels are already compiled in this process")
    _compile = False


def compiled() -> bool:
    """True when kernels are (or will be) compiled in this process."""
    return _compile


def _keep_compiled_code() -> None:
    """Point numba's cache to a folder named by the sources' digest.

    numba looks at a kernel's own file only, but a kernel holds the code of those it calls: after
    an edit to ``claims.py`` the loop would go on with the old claims.
    """
    import numba

    package = Path(__file__).parent
    digest = hashlib.sha256()
    for name in KERNEL_FILES:
        digest.update((package / name).read_bytes())
    if "NUMBA_CACHE_DIR" not in os.environ and os.access(package, os.W_OK):
        folder = package / "__pycache__" / f"kernels-{digest.hexdigest()[:16]}"
        config: Any = numba.config
        config.CACHE_DIR = str(folder)


def jit(function: F) -> F:
    """Decorator of every kernel. Kernels take arrays and scalars only and keep no globals."""
    global _used
    if not _compile:
        return function
    from westward import compiler

    if not _used:
        _keep_compiled_code()
        compiler.index_plainly()
        _used = True
    return cast(F, compiler.compiled(function))
