"""Small kernels that note what is to happen, what was touched and what is over."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.packing_state import NONE, Packing
from westward.placement.state import State
from westward.simulate.fair import gone
from westward.simulate.heap import KIND_SHIFT, RELEASE, TIME_SHIFT, push
from westward.simulate.live import (
    CURSOR_HEAP,
    CURSOR_RECORDS,
    CURSOR_ZERO_MS,
    FINISHED,
    REFUSED,
    Clockwork,
    Live,
    Records,
)


@jit
def schedule(at_ms: int, kind: int, j: int, clock: Clockwork) -> None:
    key = ((at_ms - clock.cursor[CURSOR_ZERO_MS]) << TIME_SHIFT) | (kind << KIND_SHIFT) | j
    clock.cursor[CURSOR_HEAP] = push(clock.heap, clock.cursor[CURSOR_HEAP], key)


@jit
def touch(p: int, clock: Clockwork) -> None:
    if clock.marked[p] == 0:
        clock.marked[p] = 1
        clock.touched[0] += 1
        clock.touched[clock.touched[0]] = p


@jit
def record(j: int, p: int, end_ms: int, why: int, live: Live, state: State,
           clock: Clockwork, records: Records, packing: Packing | None) -> None:  # fmt: skip
    """Note a run segment (or a refusal: p = -1) of slot j."""
    if len(clock.weight) > 1 and (why == FINISHED or why >= REFUSED):
        gone(j, live, clock)
    at = clock.cursor[CURSOR_RECORDS]
    clock.cursor[CURSOR_RECORDS] = at + 1
    records.row[at] = live.row[j]
    records.pool[at] = p
    records.start_ms[at] = live.start_ms[j]
    records.end_ms[at] = end_ms
    records.need_milli[at] = state.job_need[j]
    records.why[at] = why
    records.not_before_ms[at] = state.job_not_before_ms[j]
    records.predicted_ms[at] = live.predicted_ms[j]
    records.low_ms[at] = live.low_ms[j]
    records.high_ms[at] = live.high_ms[j]
    records.first_ms[at] = live.first_ms[j]
    records.waited_ms[at] = live.waited_ms[j]
    records.transfer[at] = live.paid[j]
    records.due_ms[at] = live.due_ms[j]
    if packing is not None:
        to = records.node_from[at]
        row = state.job_chain[j]
        while row != NONE:
            records.node[to] = packing.nodes.held_node[row] - packing.nodes.node_from[p]
            to += 1
            row = packing.nodes.held_next[row]
        records.node_from[at + 1] = to


@jit
def is_full(room: int, clock: Clockwork, records: Records, packing: Packing | None) -> bool:
    """Must the records be flushed before another run can be noted?"""
    at = clock.cursor[CURSOR_RECORDS]
    full: bool = at > room
    if packing is not None:
        widest = len(packing.nodes.picked_node)
        full = full or records.node_from[at] + 2 * widest > len(records.node)
    return full


@jit
def release_at(j: int, at_ms: int, state: State, live: Live, clock: Clockwork) -> None:
    """Job j is away until then."""
    state.job_not_before_ms[j] = at_ms
    live.away[j] = 1
    schedule(at_ms, RELEASE, j, clock)
