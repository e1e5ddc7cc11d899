"""Tables whose rows begin where a line of the processor's cache begins.

A kernel sees columns; where those of one row lie side by side in one record, reading several of them
costs one line of the cache and not one each, provided that the record does not straddle two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

LINE = 64
"""Bytes of a line of the cache."""

Fields = tuple[tuple[Any, ...], ...]
"""Name, type and, of a field of several entries, how many."""


def lined(count: int, fields: Fields) -> npt.NDArray[np.void]:
    """``count`` records of zeros, each beginning with a line of the cache.

    Fields lie in the order given, each at a multiple of its own size. Memory that is not touched
    costs nothing."""
    laid = np.dtype(list(fields), align=True)
    assert laid.fields is not None
    names = list(laid.names or ())
    whole = np.dtype(
        {
            "names": names,
            "formats": [laid.fields[name][0] for name in names],
            "offsets": [laid.fields[name][1] for name in names],
            "itemsize": -(-laid.itemsize // LINE) * LINE,
        },
        align=True,
    )
    room = np.zeros(count * whole.itemsize + LINE, dtype=np.uint8)
    first = -room.ctypes.data % LINE
    return room[first : first + count * whole.itemsize].view(whole)
