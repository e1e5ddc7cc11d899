"""Fetch what will be read soon: memory that lies all over is asked for before it is needed.

A read that misses the processor's caches takes as long as a hundred instructions. Where it is known
some steps ahead which rows will be read, they can be asked for meanwhile; nothing waits for them, and
nothing changes but the time taken. In the interpreter it does nothing.
"""

from __future__ import annotations

from typing import Any

from westward.jit import compiled


def _interpreted(column: Any, row: int) -> None:
    """No reads are ordered ahead here."""


def _compiled() -> Any:
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    tools: Any = cgutils

    @intrinsic
    def fetch(typing_context: Any, column: Any, row: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = signature.args[0]
            array = context.make_array(kind)(context, builder, arguments[0])
            place = [arguments[1], *[context.get_constant(types.intp, 0)] * (kind.ndim - 1)]
            at = tools.get_item_pointer(context, builder, kind, array, place, wraparound=False)
            number = ir.IntType(32)
            takes = ir.FunctionType(ir.VoidType(), [tools.voidptr_t, number, number, number])
            call = tools.get_or_insert_function(builder.module, takes, "llvm.prefetch.p0")
            # To be read (0), kept in all caches (3), data (1).
            where = builder.bitcast(at, tools.voidptr_t)
            builder.call(call, [where, number(0), number(3), number(1)])
            return context.get_dummy_value()

        return types.void(column, types.intp), build

    return fetch


fetch = _compiled() if compiled() else _interpreted
"""``fetch(column, row)``: the line where that entry of the column begins will be read soon."""
