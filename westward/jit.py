"""Compile the kernels, or run the same source in the interpreter.

A single ``plan`` costs less than importing a compiler, so thin callers (``westward plan``) call
``interpret()`` before the kernels are imported; the simulator and the server compile. numba keeps
its compiled code beside the sources, so only the first start after an install pays for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

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


def jit(function: F) -> F:
    """Decorator of every kernel. Kernels take arrays and scalars only and keep no globals."""
    global _used
    _used = True
    if not _compile:
        return function
    import numba

    return cast(F, numba.njit(cache=True, nogil=True)(function))
