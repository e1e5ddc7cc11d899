"""Whom a blocked job of higher priority puts out where jobs stand on nodes."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.packing_shadow import begin_shadow, hold_again, release_shadow
from westward.placement.packing_state import Ask, Packing
from westward.placement.preempt import close_ranks, list_victims, next_victim
from westward.placement.state import I32, I64, State


@jit
def choose_victims_on_nodes(
    p: int,
    missing: int,
    below: int,
    now: int,
    ask: Ask,
    brief: I64,
    order: I64,
    state: State,
    victims: I32,
    worth: I64,
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
    count = list_victims(p, below, now, brief, order, state, victims, worth)
    state.shadow_job[p] = -1
    lacking = begin_shadow(p, ask, nodes, shadow)
    left = count
    released = 0
    while released < missing or lacking > 0:
        if left == 0:
            return 0
        best = next_victim(left, now, brief, order, state, victims, worth)
        left -= 1
        released += state.job_need[best]
        lacking = release_shadow(p, ask, state.job_chain[best], nodes, shadow)
    # From the dearest on: who is not needed stays.
    for k in range(left, count):
        j = victims[k]
        need = state.job_need[j]
        if released - need < missing:
            continue
        if hold_again(p, ask, state.job_chain[j], nodes, shadow) > 0:
            release_shadow(p, ask, state.job_chain[j], nodes, shadow)
        else:
            released -= need
            victims[k] = -1
    return close_ranks(left, count, victims)
