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
    at = find_segment(times, length, not_before_ms)
    start = max(not_before_ms, times[at])
    while at < length and times[at] < start + duration_ms:
        at += 1
        if free[at - 1] < need_milli:
            if at == length:
                return NEVER_MS
            start = times[at]
    return start


@jit
def fit_run(
    times: I64, free: I64, length: int, need_milli: int, duration_ms: int, not_before_ms: int
) -> tuple[int, int]:
    """``earliest_fit``, and until when every later start fits as well (NEVER_MS: for ever)."""
    at = find_segment(times, length, not_before_ms)
    start = max(not_before_ms, times[at])
    while at < length:
        if free[at] < need_milli:
            if times[at] >= start + duration_ms:
                return start, times[at] - duration_ms
            if at + 1 == length:
                return NEVER_MS, NEVER_MS
            start = times[at + 1]
        at += 1
    return start, NEVER_MS


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
