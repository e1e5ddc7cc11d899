"""Whom a blocked job of higher priority puts out: a choice over one pool's running claims."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.roster import Roster, begin_choice, next_victim
from westward.placement.state import I32, I64, State


@jit
def kept_ms(elapsed_ms: int, checkpoint_ms: int) -> int:
    """What a run stopped after ``elapsed_ms`` keeps: up to its last checkpoint (0: writes none)."""
    if checkpoint_ms <= 0:
        return 0
    return elapsed_ms // checkpoint_ms * checkpoint_ms


@jit
def close_ranks(count: int, victims: I32) -> int:
    """-1 in ``victims[:count]`` is one who stays: the others move up. Returns how many fall."""
    kept = 0
    for k in range(count):
        if victims[k] >= 0:
            victims[kept] = victims[k]
            kept += 1
    return kept


@jit
def choose_victims(
    p: int,
    missing: int,
    below: int,
    now: int,
    order: I64,
    state: State,
    victims: I32,
    roster: Roster,
) -> int:
    """Jobs running at pool p whose end frees at least ``missing`` milli-devices, into ``victims``;
    returns how many, 0 if all of them together would not do.

    Only those of a priority below ``below``, in the order of ``roster.next_victim``. Whom the others
    make needless stays.
    """
    begin_choice(roster)
    count = 0
    released = 0
    while released < missing:
        best = next_victim(p, below, now, order, roster)
        if best < 0:
            return 0
        victims[count] = best
        count += 1
        released += state.job_need[best]
    # From the dearest on: who is not needed stays.
    for k in range(count - 1, -1, -1):
        need = state.job_need[victims[k]]
        if released - need >= missing:
            released -= need
            victims[k] = -1
    return close_ranks(count, victims)
