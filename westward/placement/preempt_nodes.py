"""Whom a blocked job of higher priority puts out where jobs stand on nodes."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.packing_shadow import (
    begin_shadow,
    clear_reservation,
    hold_again,
    release_shadow,
)
from westward.placement.packing_state import NONE, Ask, Packing
from westward.placement.preempt import close_ranks
from westward.placement.roster import Roster, begin_choice, next_victim
from westward.placement.state import I32, I64, State


@jit
def try_in_vain(p: int, state: State, packing: Packing) -> None:
    """What ``choose_victims_on_nodes`` leaves behind when nobody falls, for a head of whom that is
    known (``Packing.hopeless``)."""
    state.shadow_job[p] = NONE
    clear_reservation(p, packing.shadow)


@jit
def choose_victims_on_nodes(
    p: int,
    missing: int,
    below: int,
    now: int,
    ask: Ask,
    order: I64,
    state: State,
    victims: I32,
    roster: Roster,
    packing: Packing,
) -> int:
    """``preempt.choose_victims``, until the members of the gang find their nodes as well.

    ``missing`` (milli-devices of the pool) may be 0: then nodes are all that is lacking. The victims
    are the first in that order that will do, less those whom the others make needless: their end
    leaves the gang its nodes, and without any one of them it would not have them. Forgets the
    head's reservation.
    """
    nodes = packing.nodes
    shadow = packing.shadow
    begin_choice(roster)
    state.shadow_job[p] = -1
    lacking = begin_shadow(p, ask, nodes, shadow)
    count = 0
    released = 0
    while released < missing or lacking > 0:
        best = next_victim(p, below, now, order, roster)
        if best < 0:
            return 0
        victims[count] = best
        count += 1
        # What is known of a run stands in its row: its columns elsewhere are not in the cache.
        row = roster.place[best]
        released += roster.need[row]
        lacking = release_shadow(p, ask, roster.chain[row], nodes, shadow)
    # From the dearest on: who is not needed stays.
    for k in range(count - 1, -1, -1):
        row = roster.place[victims[k]]
        need = roster.need[row]
        chain = roster.chain[row]
        if released - need < missing:
            continue
        if hold_again(p, ask, chain, nodes, shadow) > 0:
            release_shadow(p, ask, chain, nodes, shadow)
        else:
            released -= need
            victims[k] = -1
    return close_ranks(count, victims)
