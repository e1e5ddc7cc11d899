"""The roster of running jobs against a plain list of them: who falls, and what each priority holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.placement.preempt import kept_ms
from westward.placement.roster import (
    LEVELS,
    NEVER_SAVED,
    ROWS,
    Roster,
    begin_choice,
    grow_roster,
    held_below,
    join_roster,
    leave_roster,
    make_roster,
    next_victim,
)
from westward.placement.state import I64

POOLS = 2
PRIORITIES = (-128, -1, 0, 1, 127)


@dataclass(frozen=True)
class Run:
    pool: int
    priority: int
    need: int
    start_ms: int
    every_ms: int

    def lost(self, now: int) -> int:
        elapsed = now - self.start_ms
        return self.need * (elapsed - kept_ms(elapsed, self.every_ms))


def would_fall(running: dict[int, Run], p: int, priority: int, now: int, order: I64) -> list[int]:
    """All of them, in the order of the words of ``next_victim``."""
    below = [j for j, run in running.items() if run.pool == p and run.priority < priority]
    return sorted(below, key=lambda j: (running[j].priority, running[j].lost(now), -order[j]))


def assert_recounts(roster: Roster, running: dict[int, Run], now: int) -> None:
    """Every run stands in one row of its level's blocks, with bounds that hold now."""
    met: set[int] = set()
    blocks = 0
    for p in range(POOLS):
        for level in range(LEVELS):
            held = 0
            b = int(roster.first[p, level])
            full = False
            while b >= 0:
                blocks += 1
                assert roster.length[b] == ROWS or not full
                assert roster.length[b] >= 1
                full = True
                for r in range(b * ROWS, b * ROWS + int(roster.length[b])):
                    j = int(roster.job[r])
                    run = running[j]
                    assert (run.pool, run.priority + 128) == (p, level)
                    assert (roster.place[j], roster.need[r], roster.chain[r]) == (
                        r,
                        run.need,
                        j + 7,
                    )
                    held += run.need
                    met.add(j)
                    elapsed = now - run.start_ms
                    saves = NEVER_SAVED
                    if run.every_ms > 0:
                        saves = now - elapsed % run.every_ms
                        assert (roster.saved_ms[r] - run.start_ms) % run.every_ms == 0
                    if now < roster.soonest_ms[b]:
                        floor = roster.least[b] + roster.least_need[b] * (now - roster.least_ms[b])
                        assert run.lost(now) >= floor
                        assert saves == NEVER_SAVED or roster.saved_ms[r] == saves
                b = int(roster.after[b])
            assert roster.held[p, level] == held
    assert met == set(running)
    unused, b = 0, int(roster.blocks[0])
    while b >= 0:
        unused += 1
        b = int(roster.after[b])
    assert blocks + unused == roster.blocks[1]


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("join"), st.integers(0, POOLS - 1), st.sampled_from(PRIORITIES),
            st.sampled_from((1, 1, 2, 7)), st.sampled_from((-1, 0, 0, 5, 5, 30)),
            st.sampled_from((1, 1, 20, 100)),
        ),
        st.tuples(st.just("leave"), st.integers(0, 10**6), st.integers(1, 60)),
        st.tuples(st.just("wait"), st.integers(1, 40)),
        st.tuples(
            st.just("choose"), st.integers(0, POOLS - 1), st.sampled_from(PRIORITIES),
            st.integers(1, 200), st.booleans(),
        ),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(drawn=steps, seed=st.integers(0, 2**32 - 1))
def test_the_roster_is_what_a_plain_list_says(drawn: list[tuple[Any, ...]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    slots = 64
    order: I64 = rng.permutation(1 << 14).astype(np.int64)
    roster = make_roster(POOLS, slots)
    running: dict[int, Run] = {}
    now = 1_000
    for step in drawn:
        what, *rest = step
        if what == "join":
            p, priority, need, every, count = rest
            for _ in range(count):
                j = next(j for j in range(len(order)) if j not in running)
                if j >= slots:
                    slots *= 2
                    roster = grow_roster(roster, slots)
                join_roster(j, p, priority, need, j + 7, every, now, roster)
                running[j] = Run(p, priority, need, now, every)
        elif what == "leave":
            at, count = rest
            for _ in range(min(count, len(running))):
                j = sorted(running)[at % len(running)]
                run = running.pop(j)
                leave_roster(j, run.pool, run.priority, now, roster)
        elif what == "wait":
            now += rest[0]
        else:
            p, priority, most, fall = rest
            expected = would_fall(running, p, priority, now, order)
            held = sum(running[j].need for j in expected)
            assert held_below(p, priority, roster) == held
            begin_choice(roster)
            found: list[int] = []
            while len(found) < most:
                j = next_victim(p, priority, now, order, roster)
                if j < 0:
                    break
                found.append(j)
            assert found == expected[:most]
            if fall:
                for j in found:
                    run = running.pop(j)
                    leave_roster(j, run.pool, run.priority, now, roster)
        assert_recounts(roster, running, now)


def test_many_runs_of_one_priority_fall_in_order() -> None:
    """Hundreds that save at different times, looked at again and again as time passes."""
    rng = np.random.default_rng(7)
    slots, now = 2_048, 0
    order: I64 = rng.permutation(slots).astype(np.int64)
    roster = make_roster(POOLS, slots)
    running: dict[int, Run] = {}
    free = list(range(slots))
    for _ in range(400):
        now += int(rng.integers(0, 50))
        while len(running) < 900 and rng.random() < 0.9:
            j = free.pop()
            run = Run(0, int(rng.integers(-1, 2)), 1000 << int(rng.integers(0, 6)), now,
                      int(rng.choice((0, 60, 77))))  # fmt: skip
            join_roster(j, run.pool, run.priority, run.need, j + 7, run.every_ms, now, roster)
            running[j] = run
        expected = would_fall(running, 0, 1, now, order)
        begin_choice(roster)
        count = int(rng.integers(1, 12))
        found = [next_victim(0, 1, now, order, roster) for _ in range(count)]
        assert found == (expected + [-1] * count)[:count]
        for j in [j for j in found[:3] if j >= 0]:
            run = running.pop(j)
            leave_roster(j, run.pool, run.priority, now, roster)
            free.append(j)
    assert_recounts(roster, running, now)


@settings(max_examples=100, deadline=None)
@given(
    old=st.integers(1, 9), young=st.integers(1, 9), every=st.sampled_from((-1, 0, 7, 30)),
    between=st.integers(0, 200), after=st.integers(0, 20), more=st.integers(1, 9),
    leaves=st.integers(0, ROWS - 1),
)  # fmt: skip
def test_a_run_that_moves_to_another_block_lowers_its_bound(
    old: int, young: int, every: int, between: int, after: int, more: int, leaves: int
) -> None:
    """A full block of runs that have long been going, beside it a few that have just begun."""
    roster = make_roster(POOLS, 256)
    running: dict[int, Run] = {}
    now = 1_000
    for need, count in ((old, ROWS), (young, more)):
        for _ in range(count):
            j = len(running)
            join_roster(j, 0, 0, need, j + 7, every, now, roster)
            running[j] = Run(0, 0, need, now, every)
        now += between if len(running) == ROWS else after
    run = running.pop(leaves)
    leave_roster(leaves, run.pool, run.priority, now, roster)
    assert_recounts(roster, running, now)
