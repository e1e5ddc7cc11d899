"""The tree beside a queue agrees with the queue walked from its head."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.twin.small import cards, world
from westward.placement.columns import network_columns
from westward.placement.fresh_state import new_state
from westward.placement.ranked import sums_ahead
from westward.placement.slots import jobs_of, new_slots
from westward.placement.waiting import enqueue, unlink

SLOTS = 60


@settings(max_examples=60, deadline=None)
@given(
    ranks=st.lists(st.integers(0, 25), min_size=SLOTS, max_size=SLOTS),
    steps=st.lists(st.tuples(st.integers(0, SLOTS - 1), st.integers(0, 1)), max_size=250),
)
def test_the_queue_stays_sorted_and_its_sums_right(
    ranks: list[int], steps: list[tuple[int, int]]
) -> None:
    network = world(cards("p", 4), cards("q", 4)).network
    pools = network_columns(network, "location").pools
    slots = new_slots(SLOTS)
    jobs = jobs_of(slots)
    state = new_state(pools, slots, 64, conservative=False, ranked=True)
    jobs.order[:] = ranks
    state.job_need[:] = np.arange(1, SLOTS + 1) * 7 % 11 + 1
    state.job_duration_ms[:] = np.arange(1, SLOTS + 1) * 13 % 17 + 1
    wanted: list[list[int]] = [[], []]
    where: dict[int, int] = {}
    for j, p in steps:
        if j in where:
            at = where.pop(j)
            unlink(j, at, jobs, state)
            wanted[at].remove(j)
        else:
            enqueue(j, p, jobs, state)
            where[j] = p
            behind = [k for k, other in enumerate(wanted[p]) if ranks[other] > ranks[j]]
            wanted[p].insert(behind[0] if behind else len(wanted[p]), j)
        for pool in range(2):
            walked = []
            one = int(state.head[pool])
            while one >= 0:
                walked.append(one)
                one = int(state.next[one])
            assert walked == wanted[pool]
    for rank in range(-1, 27, 3):
        for pool in range(2):
            before = [one for one in wanted[pool] if ranks[one] <= rank]
            need = sum(int(state.job_need[one]) for one in before)
            work = sum(int(state.job_need[one] * state.job_duration_ms[one]) for one in before)
            assert sums_ahead(pool, rank, jobs, state) == (need, work)
