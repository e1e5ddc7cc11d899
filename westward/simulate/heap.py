"""A heap of events, each one integer: time, kind, slot. Four children a node: fewer cache misses."""

from __future__ import annotations

import numpy as np

from westward.jit import jit
from westward.placement.ahead import fetch
from westward.placement.lines import LINE
from westward.placement.state import I64

SLOT_BITS = 23
SLOT_MASK = (1 << SLOT_BITS) - 1
KIND_SHIFT = SLOT_BITS
TIME_SHIFT = SLOT_BITS + 2
KIND_MASK = 3
END = 0
RELEASE = 1
OVERDUE = 2
"""At one instant ends come before releases, and those before jobs found to be overdue."""
LONGEST_MS = 1 << (63 - TIME_SHIFT)
"""A rehearsal may span so much (8.7 years)."""


def new_heap(room: int) -> I64:
    """Room for so many events, the four children of each in one line of the processor's cache."""
    table = np.zeros(room + 2 * LINE // 8, dtype=np.int64)
    first = -(table.ctypes.data // 8 + 1) % (LINE // 8)
    return table[first : first + room]


@jit
def push(heap: I64, length: int, key: int) -> int:
    """Add a key; returns the new length. The caller has room."""
    at = length
    while at > 0:
        up = (at - 1) >> 2
        if heap[up] <= key:
            break
        heap[at] = heap[up]
        at = up
    heap[at] = key
    return length + 1


@jit
def pop(heap: I64, length: int) -> int:
    """Take out the least key, ``heap[0]`` before the call; returns the new length."""
    length -= 1
    key = heap[length]
    at = 0
    while True:
        first = 4 * at + 1
        if first >= length:
            break
        # The children of those, before it is known whose will be wanted: three lines.
        fetch(heap, 4 * first + 1)
        fetch(heap, 4 * first + 8)
        fetch(heap, 4 * first + 16)
        if first + 4 <= length:
            # No branches: which child is the least cannot be foretold, and a wrong guess costs more
            # than the other three comparisons.
            down = first + int(heap[first + 1] < heap[first])
            other = first + 2 + int(heap[first + 3] < heap[first + 2])
            down += (other - down) * int(heap[other] < heap[down])
        else:
            down = first
            for other in range(first + 1, length):
                if heap[other] < heap[down]:
                    down = other
        if key <= heap[down]:
            break
        heap[at] = heap[down]
        at = down
    heap[at] = key
    return length
