"""The simulator's event loop: the planner's kernels under a virtual clock.

At each instant that something happens: ends and jobs whose not-before has come, a dispatch of each
pool that was touched, then each arrival in row order: bound, and its pool dispatched. That is what
``plan()`` does; ``reference.py`` drives ``plan()`` itself and must give the same table.
"""

from __future__ import annotations

from typing import NamedTuple

from westward.jit import jit
from westward.placement.claims import drop_claim
from westward.placement.dispatch import dispatch
from westward.placement.kernels import bind, choose, run_cost
from westward.placement.state import (
    F64,
    I64,
    OK,
    U8,
    Inputs,
    Jobs,
    Links,
    Options,
    Pools,
    Rules,
    State,
    Zones,
)
from westward.placement.waiting import enqueue

END = 0
RELEASE = 1
KIND_SHIFT = 40
"""An event's key is kind << 40 | row: ends come before releases at the same instant."""
ROW_MASK = (1 << KIND_SHIFT) - 1

CURSOR_ARRIVAL = 0
CURSOR_HEAP = 1
CURSOR_EVENTS = 2
CURSOR_NOW = 3


class Clockwork(NamedTuple):
    """What the loop carries between calls."""

    cursor: I64
    """(4,) next arrival row, heap length, events so far, the present instant."""
    heap_ms: I64
    heap_key: I64
    touched: U8
    """(P,) scratch."""


class Outcome(NamedTuple):
    """(J,) what happened to each row."""

    start_ms: I64
    end_ms: I64
    predicted_ms: I64
    refusal: I64


@jit
def push(clock: Clockwork, at_ms: int, key: int) -> None:
    """Binary heap by (time, key)."""
    times = clock.heap_ms
    keys = clock.heap_key
    at = clock.cursor[CURSOR_HEAP]
    clock.cursor[CURSOR_HEAP] = at + 1
    while at > 0:
        up = (at - 1) // 2
        if times[up] < at_ms or (times[up] == at_ms and keys[up] < key):
            break
        times[at] = times[up]
        keys[at] = keys[up]
        at = up
    times[at] = at_ms
    keys[at] = key


@jit
def pop(clock: Clockwork) -> int:
    """Take out the first event; returns its key (its time is ``heap_ms[0]`` before the call)."""
    times = clock.heap_ms
    keys = clock.heap_key
    first = keys[0]
    length = clock.cursor[CURSOR_HEAP] - 1
    clock.cursor[CURSOR_HEAP] = length
    at_ms = times[length]
    key = keys[length]
    at = 0
    while True:
        down = 2 * at + 1
        if down >= length:
            break
        right = down + 1
        if right < length and (
            times[right] < times[down] or (times[right] == times[down] and keys[right] < keys[down])
        ):
            down = right
        if at_ms < times[down] or (at_ms == times[down] and key < keys[down]):
            break
        times[at] = times[down]
        keys[at] = keys[down]
        at = down
    times[at] = at_ms
    keys[at] = key
    return first


@jit
def run_ms(duration_ms: int, speed: float) -> int:
    """True run time on a pool of this relative speed; the rule ``kernels.estimate`` uses."""
    return max(1, int(duration_ms / speed))


@jit
def record_starts(
    count: int,
    p: int,
    now: int,
    durations_ms: I64,
    pools: Pools,
    jobs: Jobs,
    state: State,
    clock: Clockwork,
    outcome: Outcome,
) -> None:
    """The first ``count`` rows of ``state.started`` run from now until their true end."""
    for s in range(count):
        j = state.started[s]
        end = now + run_ms(durations_ms[j], pools.speed[p])
        outcome.start_ms[j] = now
        outcome.end_ms[j] = end
        if jobs.submit_ms[j] == now:
            outcome.predicted_ms[j] = now  # backfilled at once: that is the answer given
        push(clock, end, (END << KIND_SHIFT) | j)


@jit
def advance(
    until_row: int,
    durations_ms: I64,
    pools: Pools,
    zones: Zones,
    links: Links,
    jobs: Jobs,
    options: Options,
    inputs: Inputs,
    allowed: U8,
    rules: Rules,
    state: State,
    clock: Clockwork,
    outcome: Outcome,
) -> None:
    """Run until ``until_row`` arrivals are in (and, when that is all of them, until all is over)."""
    rows = len(jobs.submit_ms)
    cursor = clock.cursor
    touched = clock.touched
    while True:
        row = cursor[CURSOR_ARRIVAL]
        if row >= until_row and (until_row < rows or cursor[CURSOR_HEAP] == 0):
            return
        if cursor[CURSOR_HEAP] > 0 and (row >= rows or clock.heap_ms[0] <= jobs.submit_ms[row]):
            now = clock.heap_ms[0]
        else:
            now = jobs.submit_ms[row]
        cursor[CURSOR_NOW] = now
        while cursor[CURSOR_HEAP] > 0 and clock.heap_ms[0] == now:
            key = pop(clock)
            j = key & ROW_MASK
            p = state.job_pool[j]
            if key >> KIND_SHIFT == END:
                drop_claim(j, p, outcome.start_ms[j] + state.job_duration_ms[j], state)
            elif rules.conservative == 0:
                enqueue(j, p, state)
            touched[p] = 1
            cursor[CURSOR_EVENTS] += 1
        for p in range(len(touched)):
            if touched[p] != 0:
                touched[p] = 0
                count = dispatch(p, now, 0, pools, rules, state)
                record_starts(count, p, now, durations_ms, pools, jobs, state, clock, outcome)
        while row < rows and jobs.submit_ms[row] == now:
            best = choose(
                row, now, pools, zones, links, jobs, options, inputs, allowed, rules, state
            )
            outcome.refusal[row] = best.refusal
            if best.refusal == OK:
                outcome.predicted_ms[row] = best.start_ms
                joined = bind(row, best, now, rules, state)
                if state.job_not_before_ms[row] > now:
                    push(clock, state.job_not_before_ms[row], (RELEASE << KIND_SHIFT) | row)
                if joined:
                    p = best.pool
                    count = dispatch(p, now, 0, pools, rules, state)
                    record_starts(count, p, now, durations_ms, pools, jobs, state, clock, outcome)
            row += 1
            cursor[CURSOR_EVENTS] += 1
        cursor[CURSOR_ARRIVAL] = row


@jit
def charge(
    outcome: Outcome,
    pools: Pools,
    zones: Zones,
    links: Links,
    jobs: Jobs,
    inputs: Inputs,
    rules: Rules,
    state: State,
    money: F64,
) -> None:
    """Price each run on its true time. ``money`` is (J, 6): device, power, carbon in grams,
    transfer, wait (millionths), energy in kWh."""
    for j in range(len(jobs.submit_ms)):
        p = state.job_pool[j]
        if p < 0 or outcome.start_ms[j] < 0:
            continue
        need = state.job_need[j]
        start = outcome.start_ms[j]
        end = outcome.end_ms[j]
        device, power, grams = run_cost(p, need, start, end, pools, zones, rules)
        transfer = 0.0
        for i in range(jobs.input_from[j], jobs.input_from[j + 1]):
            transfer += links.price_per_gb[inputs.site[i], pools.site[p]] * inputs.gb[i]
        value = jobs.wait_value[j]
        if value != value:  # NaN: the policy's figure
            value = 0.0 if jobs.deadline_ms[j] >= 0 else rules.wait_value * (need / 1000.0)
        money[j, 0] = device
        money[j, 1] = power
        money[j, 2] = grams
        money[j, 3] = transfer
        money[j, 4] = (start - jobs.submit_ms[j]) / 3_600_000.0 * value
        money[j, 5] = need / 1000.0 * pools.kw[p] * ((end - start) / 3_600_000.0)
