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

    # No kernel allocates, so numba's reference counting of arrays has nothing to do; left on, it
    # counts every array of every NamedTuple at every call and takes 97 % of the time (measured:
    # 70 µs a job with it, 2 µs without). Inlining keeps those NamedTuples out of memory. After a
    # change here, delete the __pycache__ folders: numba's cache looks at the kernels' files only.
    decorate: Any = numba.njit
    return cast(F, decorate(cache=True, nogil=True, forceinline=True, _nrt=False)(function))
