"""Workloads by hand: rows of (submit, hours, cards, user), the rest as nobody would say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from westward.model.workload import Workload

HOUR = 3_600_000


@dataclass(frozen=True)
class Ask:
    """One job. Hours are stated as they turn out unless ``told`` says otherwise."""

    at: float = 0.0
    hours: float = 1.0
    cards: int = 1
    user: int = -1
    home: int = -1
    gb: float = 0.0
    dataset: int = -1
    told: float | None = None
    pinned: bool = False
    kinds: int = 0


def demand(asks: Sequence[Ask], kind_names: tuple[str, ...] = ()) -> Workload:
    """In the order of their time."""
    rows = sorted(asks, key=lambda ask: ask.at)
    count = len(rows)

    def wide(values: Sequence[float]) -> Any:
        return np.array([round(value) for value in values], dtype=np.int64)

    def narrow(values: Sequence[int]) -> Any:
        return np.array(values, dtype=np.int32)

    return Workload(
        name="by hand", format="generated", digest="", rows_read=count, dropped=(), notes=(),
        submit_ms=wide([ask.at * HOUR for ask in rows]),
        duration_ms=wide([ask.hours * HOUR for ask in rows]),
        estimate_ms=wide([(ask.told or ask.hours) * HOUR for ask in rows]),
        nodes=narrow([ask.cards for ask in rows]),
        devices_milli=narrow([1000] * count),
        cpus_milli=narrow([0] * count),
        memory_mib=narrow([0] * count),
        user=narrow([ask.user for ask in rows]),
        home=narrow([ask.home for ask in rows]),
        deadline_ms=np.full(count, -1, dtype=np.int64),
        input_bytes=wide([ask.gb * 1e9 for ask in rows]),
        source_row=np.arange(count, dtype=np.int64),
        dataset=narrow([ask.dataset for ask in rows])
        if any(ask.dataset >= 0 for ask in rows)
        else None,
        pinned=np.array([ask.pinned for ask in rows])
        if any(ask.pinned for ask in rows)
        else None,
        kind_names=kind_names,
        kind_mask=wide([ask.kinds for ask in rows]) if kind_names else None,
    )  # fmt: skip
