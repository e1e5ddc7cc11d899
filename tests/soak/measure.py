"""What a process holds now, and whether a series of such numbers is flat."""

from __future__ import annotations

import itertools
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WARM_UP = 0.25
"""The first part of every series is left out of the slope: caches fill, pools of threads open."""


@dataclass(frozen=True)
class Held:
    """Of one process: resident and proportional memory in KiB, open handles, threads."""

    rss_kib: int
    pss_kib: int
    handles: int
    threads: int


def held(pid: int) -> Held | None:
    """None: it is gone."""
    try:
        fields = {}
        for name in ("status", "smaps_rollup"):
            for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
                key, _, value = line.partition(":")
                fields[key] = value.split()[0] if value.split() else ""
        return Held(
            rss_kib=int(fields["VmRSS"]),
            pss_kib=int(fields["Pss"]),
            handles=len(os.listdir(f"/proc/{pid}/fd")),
            threads=int(fields["Threads"]),
        )
    except (OSError, KeyError):
        return None


def quantile(values: Sequence[float], part: float) -> float:
    """Of a sorted or unsorted series; NaN of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass(frozen=True)
class Slope:
    """``per_hour``: Theil-Sen, the median of the slopes of all pairs, which up to three tenths of
    wild values do not move. ``level``: the median. ``growth``: the part of the level by which the
    series grows over the time looked at."""

    per_hour: float
    level: float
    growth: float


def slope(seconds: Sequence[float], values: Sequence[float]) -> Slope | None:
    """After the warm-up. None: fewer than five points are left."""
    pairs = [(at, value) for at, value in zip(seconds, values, strict=True) if value == value]
    pairs = pairs[int(len(pairs) * WARM_UP) :]
    if len(pairs) < 5:
        return None
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in itertools.combinations(pairs, 2)
        if later[0] > earlier[0]
    ]
    per_s = statistics.median(slopes)
    level = statistics.median(value for _, value in pairs)
    took_s = pairs[-1][0] - pairs[0][0]
    return Slope(per_s * 3600, level, per_s * took_s / level if level else 0.0)
