"""How numba compiles a kernel. Imported by ``jit`` only, at the first kernel: it costs a second.

Of the time that ``numba.njit`` takes for these kernels two thirds went into code nobody runs: at
every function a wrapper that Python could call and one that C could, though all but a dozen are
called by other kernels only, and up to six variants of one function for an argument that is 32 bits
wide here and 64 there, or a constant here and a variable there (docs/decisions/0048). So a kernel is
compiled once for kernels, without wrappers and for plain types, and once more with the wrapper for
Python where Python calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba.core import types as numba_types
from numba.core.registry import CPUDispatcher
from numba.np import arrayobj

types: Any = numba_types
"""numba's own annotations leave out what its types are made with."""

# No kernel allocates, so numba's reference counting of arrays has nothing to do; left on, it counts
# every array of every NamedTuple at every call and takes 97 % of the time (measured: 70 µs a job
# with it, 2 µs without). Inlining keeps those NamedTuples out of memory.
OPTIONS = {
    "nopython": True,
    "nogil": True,
    "forceinline": True,
    "_nrt": False,
    "no_cfunc_wrapper": True,
}


def plain(kind: Any) -> Any:
    """The type that a kernel is compiled for when another kernel calls it with this one: constants
    as variables (inlining makes constants of them again), narrow signed integers as 64 bits."""
    kind = types.unliteral(kind)
    if isinstance(kind, types.Integer) and kind.signed and kind.bitwidth < types.int64.bitwidth:
        return types.int64
    return kind


class Inner(CPUDispatcher):
    """A kernel as kernels call it."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """numba asks this at each call in a kernel, with the arguments' types."""
        plainly = {name: plain(kind) for name, kind in dict(kws).items()}
        return super().get_call_template(tuple(plain(kind) for kind in args), plainly)


class Kernel(CPUDispatcher):
    """A kernel as Python calls it."""

    inner: Any

    @property
    def _numba_type_(self) -> Any:
        """What stands for it in a kernel that calls it."""
        return types.Dispatcher(self.inner)


def compiled(function: Callable[..., Any]) -> Kernel:
    """The kernel of this function: arrays, scalars and NamedTuples of them go in; no globals."""
    assert isinstance(function, FunctionType)
    twin = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__
    )
    twin.__module__ = function.__module__
    twin.__qualname__ = f"{function.__qualname__}.inner"  # what is kept of it is kept apart
    kernel = Kernel(function, targetoptions=OPTIONS)
    kernel.inner = Inner(twin, targetoptions=OPTIONS | {"no_cpython_wrapper": True})
    for one in (kernel, kernel.inner):
        one.enable_caching()
    return kernel


def index_plainly() -> None:
    """Index the kernels' arrays as C does: without the test for an index that counts from the end.
    Once a process.

    No kernel has such an index, and the test is at every read and write (measured: see
    benchmarks/RESULTS.md). numba has no switch for it but unsigned indices everywhere. Functions
    outside this package stay as they are.
    """
    module: Any = arrayobj
    usual = module.fix_integer_index

    def fix_integer_index(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
        if kind.signed and "westward" in builder.function.name:
            return context.cast(builder, index, kind, types.intp)
        return usual(context, builder, kind, index, size)

    module.fix_integer_index = fix_integer_index
