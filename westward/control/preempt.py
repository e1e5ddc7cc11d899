"""Whom a waiting job of higher priority puts out of its pool, live. The rule of ADR 0016.

``placement.preempt.choose_victims`` is the same choice over a rehearsal's columns; a test holds
the two to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A run that may be stopped: it saves checkpoints every ``checkpoint_ms``."""

    job_id: str
    need_milli: int
    priority: int
    started_ms: int
    checkpoint_ms: int
    order: int
    """Of submission: of two alike the later goes first."""

    def lost(self, now_ms: int) -> int:
        """Milli-device-ms since its last checkpoint."""
        elapsed_ms = max(0, now_ms - self.started_ms)
        return self.need_milli * (elapsed_ms % self.checkpoint_ms)


def choose_victims(
    runners: Sequence[Runner], missing_milli: int, below: int, now_ms: int
) -> tuple[str, ...]:
    """Ids of the runs whose end frees at least ``missing_milli``; empty if all of them together
    would not do.

    Only those of a priority strictly below ``below``, so that nobody can be put out by whom he
    put out: lowest priority first, then least device-time lost since the last checkpoint, then
    the last in order. Whom the others make needless stays.
    """
    if missing_milli <= 0:
        return ()
    chosen: list[Runner] = []
    released = 0
    ranked = sorted(
        (one for one in runners if one.priority < below),
        key=lambda one: (one.priority, one.lost(now_ms), -one.order),
    )
    for one in ranked:
        if released >= missing_milli:
            break
        chosen.append(one)
        released += one.need_milli
    if released < missing_milli:
        return ()
    kept: list[Runner] = []
    for one in reversed(chosen):  # from the dearest on
        if released - one.need_milli >= missing_milli:
            released -= one.need_milli
        else:
            kept.append(one)
    return tuple(one.job_id for one in reversed(kept))
