"""The heap of events against Python's own."""

from __future__ import annotations

import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.simulate.heap import new_heap, pop, push

ROOM = 300
STEPS = st.lists(st.one_of(st.none(), st.integers(0, 40), st.integers(0, 2**62)), max_size=ROOM)
"""A key to push, or None: pop. Small keys are often equal."""


@settings(deadline=None)
@given(STEPS)
def test_every_pop_is_the_least(steps: list[int | None]) -> None:
    heap = new_heap(ROOM)
    plain: list[int] = []
    length = 0
    for step in [*steps, *[None] * len(steps)]:
        if step is not None:
            length = push(heap, length, step)
            heapq.heappush(plain, step)
        elif plain:
            assert int(heap[0]) == heapq.heappop(plain)
            length = pop(heap, length)
        assert length == len(plain)


def test_many_at_random_come_out_in_order() -> None:
    keys = np.random.default_rng(5).integers(0, 10**12, 5_000)
    heap = new_heap(len(keys))
    length = 0
    for key in keys.tolist():
        length = push(heap, length, key)
    out = []
    while length:
        out.append(int(heap[0]))
        length = pop(heap, length)
    assert out == sorted(keys.tolist())
