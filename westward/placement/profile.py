"""Kernels over an availability profile: how many milli-devices are free from when on.

A profile is two arrays and a length: ``times[i] .. times[i+1]`` has ``free[i]`` milli-devices; the
last segment lasts for ever. Arrays are longer than the length; the caller sizes them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from westward.jit import jit

I64 = npt.NDArray[np.int64]
NEVER_MS = 1 << 62
"""A start that will not come."""


@jit
def find_segment(times: I64, length: int, at_ms: int) -> int:
    """The last segment that begins at or before ``at_ms`` (0 if none does)."""
    low = 0
    high = length
    while high - low > 1:
        middle = (low + high) // 2
        if times[middle] <= at_ms:
            low = middle
        else:
            high = middle
    return low


@jit
def earliest_fit(
    times: I64, free: I64, length: int, need_milli: int, duration_ms: int, not_before_ms: int
) -> int:
    """The first time from ``not_before_ms`` on with ``need_milli`` free for ``duration_ms``."""
    segment = find_segment(times, length, not_before_ms)
    start = max(not_before_ms, times[segment])
    while True:
        end = start + duration_ms
        at = segment
        blocked = -1
        while at < length and times[at] < end:
            if free[at] < need_milli:
                blocked = at
            at += 1
        if blocked < 0:
            return start
        if blocked + 1 >= length:
            return NEVER_MS
        segment = blocked + 1
        start = times[segment]


@jit
def _split(times: I64, free: I64, length: int, at_ms: int) -> int:
    """Make ``at_ms`` a breakpoint; returns the new length."""
    segment = find_segment(times, length, at_ms)
    if times[segment] == at_ms or at_ms < times[0]:
        return length
    for i in range(length, segment + 1, -1):
        times[i] = times[i - 1]
        free[i] = free[i - 1]
    times[segment + 1] = at_ms
    free[segment + 1] = free[segment]
    return length + 1


@jit
def reserve(times: I64, free: I64, length: int, start_ms: int, end_ms: int, need_milli: int) -> int:
    """Take ``need_milli`` out of [start, end); returns the new length (at most 2 more)."""
    length = _split(times, free, length, start_ms)
    length = _split(times, free, length, end_ms)
    segment = find_segment(times, length, start_ms)
    while segment < length and times[segment] < end_ms:
        free[segment] -= need_milli
        segment += 1
    return length
