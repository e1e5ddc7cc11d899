"""The blocked list of running claims against a plain list, thinned in the worst orders too."""

from __future__ import annotations

import random

import numpy as np
import pytest

from westward.placement.claims import add_claim, drop_claim, first_end_ms, release_ms
from westward.placement.fresh_state import new_state
from westward.placement.profile import NEVER_MS
from westward.placement.slots import new_slots
from westward.placement.state import Pools, State

ROOM = 400


def empty() -> State:
    """Two pools: what the first writes past its directory would be the second's."""
    ones = np.ones(2, dtype=np.int64)
    pools = Pools(
        capacity_milli=ones * ROOM, nodes=ones, devices=ones, cpus_milli=ones, memory_mib=ones,
        kind=ones, site=ones, zone=ones, engine=ones, open=np.ones(2, dtype=np.uint8),
        price=np.ones(2), kw=np.ones(2), speed=np.ones(2),
        grade=0 * ones, grade_speed=np.ones(1), cover=np.zeros((1, 2)),
    )  # fmt: skip
    return new_state(pools, new_slots(ROOM), 64, conservative=False)


def check(state: State, claims: list[tuple[int, int, int]]) -> None:
    claims = sorted(claims)
    assert state.run_count[0] == len(claims)
    assert state.dir_count[0] <= state.dir_from[1] - state.dir_from[0]
    assert first_end_ms(0, state) == (claims[0][0] if claims else NEVER_MS)
    total = sum(need for _, _, need in claims)
    for missing in (1, total // 3 + 1, total // 2 + 1, total, total + 1):
        expected = (NEVER_MS, 0)
        for end, _, _ in claims:
            by_then = sum(need for e, _, need in claims if e <= end)
            if by_then >= missing:
                expected = (end, by_then)
                break
        assert tuple(release_ms(0, missing, NEVER_MS, state)) == expected


@pytest.mark.parametrize("order", ["random", "front", "back", "thin"])
def test_claims_equal_a_plain_list(order: str) -> None:
    draw = random.Random(order)
    state = empty()
    live: list[tuple[int, int, int]] = []
    rows = list(range(ROOM))
    for turn in range(6):
        while rows:
            row = rows.pop()
            claim = (draw.randrange(1 + turn * 100, 150 + turn * 200) * 1000, row, 1)
            add_claim(row, 0, claim[2], claim[0], state)
            live.append(claim)
            check(state, live) if row % 40 == 0 else None
        live.sort(reverse=order == "back")
        keep = live[::40] if order == "thin" else live[:: draw.randrange(3, 30)]
        going = [claim for claim in live if claim not in keep]
        if order == "random":
            draw.shuffle(going)
        for number, claim in enumerate(going):
            drop_claim(claim[1], 0, claim[0], state)
            live.remove(claim)
            rows.append(claim[1])
            check(state, live) if number % 40 == 0 else None
        check(state, live)
