"""Kernels that stop running jobs: site lost, preempted, suspended, moved (ADR 0016).

A stopped run keeps its work up to the last checkpoint. The job is placed anew with what is left.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from westward.jit import jit
from westward.placement.claims import add_claim, drop_claim
from westward.placement.dispatch_nodes import ask_of, leave_nodes
from westward.placement.kernels import covered
from westward.placement.packing_state import Packing
from westward.placement.preempt import choose_victims, kept_ms
from westward.placement.preempt_nodes import choose_victims_on_nodes, try_in_vain
from westward.placement.pricing import MS_PER_HOUR, run_sum
from westward.placement.roster import held_below, leave_roster
from westward.placement.state import (
    BLOCK,
    DEADLINE,
    OK,
    RULE_CARBON,
    RULE_HOME,
    U8,
    Best,
    Classes,
    Costs,
    Inputs,
    Jobs,
    Pools,
    Rules,
    State,
    Zones,
)
from westward.placement.waiting import unlink
from westward.simulate.live import (
    LOST,
    PREEMPTED,
    Clockwork,
    Live,
    Records,
)
from westward.simulate.notes import is_full, record, touch


class Asked(NamedTuple):
    """A running job's columns, as they were before it was looked at as if stopped."""

    pool: int
    submit_ms: int
    estimate_ms: int
    input_to: int
    site: int
    dataset: int
    gb: float
    state_gb: float
    lost_ms: int
    """Run since its last checkpoint."""


@jit
def wide(value: int) -> int:
    """As the compiler's int64, so that ``Asked`` has one type."""
    return value + 0


@jit
def not_asked() -> Asked:
    return Asked(0, 0, 0, 0, 0, 0, 0.0, 0.0, 0)


@jit
def kept_work(kept: int, speed: float, left_ms: int) -> int:
    """Work on the reference device; the last millisecond is never done, since the run was not."""
    return min(left_ms - 1, int(kept * speed))


@jit
def leave_work(j: int, p: int, kept: int, pools: Pools, jobs: Jobs, inputs: Inputs, rules: Rules,
               state: State, live: Live) -> None:  # fmt: skip
    """What the planner knows of job j once its run at p has ended with ``kept`` ms saved.

    What is left of its estimate (of what was assumed for want of one; an overdue job is as long as
    it was last thought to run), and where its data lie: a job with a checkpoint takes that and its
    input along from here.
    """
    whole = jobs.estimate_ms[j] if jobs.estimate_ms[j] >= 0 else rules.assumed_ms
    whole = max(whole, int(state.job_duration_ms[j] * pools.speed[p]))
    jobs.estimate_ms[j] = max(1, whole - int(kept * pools.speed[p]))
    if kept > 0:
        size = rules.checkpoint_gb * (state.job_need[j] / 1000.0)
        if jobs.input_to[j] == jobs.input_from[j]:
            inputs.gb[j] = 0.0
        inputs.gb[j] += size - live.state_gb[j]
        live.state_gb[j] = size
        jobs.input_to[j] = jobs.input_from[j] + 1
    if live.state_gb[j] > 0.0:
        inputs.site[j] = pools.site[p]
        inputs.dataset[j] = -1


@jit
def stop_run(j: int, now: int, why: int, pools: Pools, jobs: Jobs, inputs: Inputs, rules: Rules,
             state: State, live: Live, clock: Clockwork, records: Records,
             packing: Packing | None) -> None:  # fmt: skip
    """The run of slot j ends now, unfinished; it is unbound. The caller says what becomes of it.

    What is lost counts as waiting: it puts the end off by so much. A run of no length (started and
    put out at one instant) leaves no record.
    """
    p = state.job_pool[j]
    elapsed = now - live.start_ms[j]
    kept = kept_ms(elapsed, live.checkpoint_ms[j])
    leave_work(j, p, kept, pools, jobs, inputs, rules, state, live)
    drop_claim(j, p, live.start_ms[j] + state.job_duration_ms[j], state)
    if rules.preempt == 1:
        leave_roster(j, p, int(live.priority[j]), now, clock.roster)
    if elapsed > 0:
        record(j, p, now, why, live, state, clock, records, packing)
    elif live.first_ms[j] == now:
        live.first[j] = 1
        live.first_ms[j] = -1
    if packing is not None:
        leave_nodes(j, int(live.priority[j]), state, packing)
    live.left_ms[j] -= kept_work(kept, pools.speed[p], live.left_ms[j])
    live.waited_ms[j] += elapsed - kept
    live.start_ms[j] = -1
    live.since_ms[j] = now
    state.job_pool[j] = -1
    touch(p, clock)


@jit
def place_anew(j: int, live: Live, clock: Clockwork) -> None:
    """At this instant. The last listed has its turn first; ``Happenings`` puts them in order."""
    live.away[j] = 0
    clock.again[0] += 1
    clock.again[clock.again[0]] = j


@jit
def make_way(p: int, now: int, pools: Pools, classes: Classes, jobs: Jobs, inputs: Inputs,
             rules: Rules, state: State, live: Live, clock: Clockwork, records: Records,
             packing: Packing | None) -> bool:  # fmt: skip
    """Stop runs of lower priority at pool p so that the head of its queue fits. True if any was.

    To be called after ``dispatch``: a head that is still there does not fit."""
    head = state.head[p]
    if state.delegated[p] == 1:
        return False  # the site's own scheduler decides
    if head < 0 or pools.open[p] == 0 or state.job_not_before_ms[head] > now:
        return False
    missing = state.job_need[head] - state.free_milli[p]
    if packing is not None:
        if packing.barred[p] == live.row[head]:
            return False
        # Devices may be there, and still no nodes.
        missing = max(missing, 0)
    elif missing <= 0:
        return False
    below = int(live.priority[head])
    lower = held_below(p, below, clock.roster)
    if packing is not None:
        count = 0
        if lower >= missing and lower > 0 and packing.hopeless[p, 0] == live.row[head]:
            try_in_vain(p, state, packing)
        elif lower >= missing and lower > 0:
            ask = ask_of(head, p, jobs, classes, packing)
            count = choose_victims_on_nodes(
                p, missing, below, now, ask, jobs.order, state, state.started, clock.roster,
                packing,
            )  # fmt: skip
            if count == 0:
                packing.hopeless[p, 0] = live.row[head]
                packing.hopeless[p, 1] = below
        if count == 0:
            packing.barred[p] = live.row[head]
    else:
        count = 0
        if lower >= missing:
            count = choose_victims(
                p, missing, below, now, jobs.order, state, state.started, clock.roster,
            )  # fmt: skip
    for k in range(count):
        if is_full(len(records.row) - 1, clock, records, packing):
            break  # the others when the records have been handed on
        j = state.started[k]
        stop_run(j, now, PREEMPTED, pools, jobs, inputs, rules, state, live, clock, records,
                 packing)  # fmt: skip
        place_anew(j, live, clock)
    return count > 0


@jit
def going_on(j: int, now: int, pools: Pools, zones: Zones, costs: Costs, jobs: Jobs, rules: Rules,
             state: State, live: Live) -> float:  # fmt: skip
    """The rule's sum of what is expected to be left of the run of slot j where it runs."""
    p = state.job_pool[j]
    end = live.start_ms[j] + state.job_duration_ms[j]
    devices: float = state.job_need[j] / 1000.0
    left = devices * run_sum(p, now, end, pools, zones, costs, rules)
    return left - covered(j, p, devices, (end - now) / MS_PER_HOUR, pools, jobs)


@jit
def pretend_stopped(j: int, now: int, pools: Pools, jobs: Jobs, inputs: Inputs, rules: Rules,
                    state: State, live: Live) -> Asked:  # fmt: skip
    """Let ``choose`` see running job j as if it were stopped and handed in now."""
    p = state.job_pool[j]
    elapsed = now - live.start_ms[j]
    kept = kept_ms(elapsed, live.checkpoint_ms[j])
    was = Asked(
        wide(p), jobs.submit_ms[j], jobs.estimate_ms[j], wide(jobs.input_to[j]),
        wide(inputs.site[j]), wide(inputs.dataset[j]), inputs.gb[j], live.state_gb[j],
        elapsed - kept,
    )  # fmt: skip
    leave_work(j, p, kept, pools, jobs, inputs, rules, state, live)
    jobs.submit_ms[j] = now
    drop_claim(j, p, live.start_ms[j] + state.job_duration_ms[j], state)
    return was


@jit
def run_on(j: int, was: Asked, jobs: Jobs, inputs: Inputs, state: State, live: Live) -> None:
    """Undo ``pretend_stopped``."""
    jobs.submit_ms[j] = was.submit_ms
    jobs.estimate_ms[j] = was.estimate_ms
    jobs.input_to[j] = was.input_to
    inputs.site[j] = was.site
    inputs.dataset[j] = was.dataset
    inputs.gb[j] = was.gb
    live.state_gb[j] = was.state_gb
    end = live.start_ms[j] + state.job_duration_ms[j]
    add_claim(j, was.pool, state.job_need[j], end, state)


@jit
def pays(j: int, best: Best, staying: float, was: Asked, jobs: Jobs, rules: Rules) -> bool:
    """Does the best choice beat going on by the hurdle?

    Its sum holds the move, the run again of what is lost, and the wait until it starts; the time
    that what is lost took is a wait too.
    """
    if best.refusal != OK:
        return False
    wait_value = jobs.wait_value[j]
    if math.isnan(wait_value):
        devices = best.need_milli / 1000.0
        wait_value = 0.0 if jobs.deadline_ms[j] >= 0 else rules.wait_value * devices
    if rules.rule == RULE_CARBON:
        wait_value = 0.0
    leaving = best.value + wait_value * (was.lost_ms / MS_PER_HOUR)
    return bool(staying - leaving > rules.hurdle * abs(staying))


@jit
def may_reopen(j: int, refusal: int, pools: Pools, classes: Classes, jobs: Jobs, rules: Rules,
               clock: Clockwork) -> bool:  # fmt: skip
    """Is a pool that would do for job j closed for a while, and no deadline in the way?"""
    if refusal == DEADLINE:
        return False
    klass = jobs.klass[j]
    for p in range(len(pools.site)):
        if clock.closed[p] == 0 or classes.allowed[klass, p] == 0 or classes.need[klass, p] == 0:
            continue
        at_home = jobs.home[j] == pools.site[p]
        if at_home or (rules.rule != RULE_HOME and jobs.pinned[j] == 0):
            return True
    return False


@jit
def close_pools(losing: U8, now: int, pools: Pools, jobs: Jobs, inputs: Inputs, rules: Rules,
                state: State, live: Live, clock: Clockwork, records: Records,
                packing: Packing | None) -> int:  # fmt: skip
    """Clear the pools that have just been closed: whoever waits there is placed anew, and at those
    with ``losing`` 1 (P,) whoever runs is stopped. Jobs whose last instant this is are over.

    Returns 1 when room for records ran out: hand them on and call again.
    """
    for p in range(len(pools.site)):
        if losing[p] == 0:
            continue
        count = 0
        base = state.dir_from[p]
        for slot in range(base, base + state.dir_count[p]):
            block = state.dir_block[slot]
            for i in range(block * BLOCK, block * BLOCK + state.block_len[block]):
                j = state.run_job[i]
                if live.end_ms[j] > now:
                    state.started[count] = j
                    count += 1
        for k in range(count):
            if is_full(len(records.row) - 1, clock, records, packing):
                return 1
            j = state.started[k]
            stop_run(j, now, LOST, pools, jobs, inputs, rules, state, live, clock, records,
                     packing)  # fmt: skip
            place_anew(j, live, clock)
    for p in range(len(pools.site)):
        if pools.open[p] == 1:
            continue
        while state.head[p] >= 0:
            j = state.head[p]
            unlink(j, p, jobs, state)
            state.job_pool[j] = -1
            place_anew(j, live, clock)
        state.profile_count[p] = 0
        state.shadow_job[p] = -1
    for j in range(len(live.away)):
        if live.away[j] == 0 or live.start_ms[j] >= 0 or state.job_pool[j] < 0:
            continue
        if pools.open[state.job_pool[j]] == 0:
            state.job_pool[j] = -1
            place_anew(j, live, clock)
    return 0
