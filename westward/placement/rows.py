"""Kernels that do a whole planning pass at once, for callers in Python.

A call from Python costs some 20 µs before anything is decided: each array of each table is taken
apart. A pass over thousands of jobs is therefore one call here and not one a job: ``hold_claims``
and ``queue_rows`` set up what is, ``plan_rows`` decides, ``tell_rows`` says when and at what cost,
``look`` gives one job's candidates at every pool. They decide nothing of their own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from westward.jit import jit
from westward.placement.claims import add_claim
from westward.placement.delegated import site_wait
from westward.placement.dispatch import dispatch
from westward.placement.kernels import ask, bind, choose, estimate, expected_ms, objective
from westward.placement.pricing import run_cost
from westward.placement.profile import NEVER_MS
from westward.placement.state import (
    F64,
    FIRST_START_MS,
    I64,
    OK,
    U8,
    Best,
    Classes,
    Costs,
    Inputs,
    Jobs,
    Links,
    Pools,
    Rules,
    State,
    Traffic,
    Zones,
)
from westward.placement.waiting import enqueue, ensure_profile, expected_release


class Answers(NamedTuple):
    """What kernels found, one row a job (``plan_rows``, ``tell_rows``) or a pool (``look``)."""

    best: I64
    """(N, 7): the integers of ``Best`` in its order; filled where one was looked for."""
    sums: F64
    """(N, 3): its transfer and value, and the objective of the policy's rule."""
    at: I64
    """(N, 2): earliest and start as told to the owner."""
    cost: F64
    """(N, 3): device, power (millionths), grams of the run from that start."""
    at_once: F64
    """(N, 3): the same from the earliest start, where the job was put off from it."""
    transfer: F64
    """(N,): price of the moves to the job's pool."""
    starts: U8
    """(N,): 1 = starts now."""
    fresh: U8
    """(N,): 1 = pool and start chosen in this pass."""
    ahead: I64
    """(P, 2): scratch; needs and work of those ahead in each queue."""


def new_answers(count: int, pools: int) -> Answers:
    def table(width: int) -> F64:
        return np.zeros((count, width))

    return Answers(
        best=np.zeros((count, 7), dtype=np.int64),
        sums=table(3),
        at=np.zeros((count, 2), dtype=np.int64),
        cost=table(3),
        at_once=table(3),
        transfer=np.zeros(count),
        starts=np.zeros(count, dtype=np.uint8),
        fresh=np.zeros(count, dtype=np.uint8),
        ahead=np.zeros((pools, 2), dtype=np.int64),
    )


def best_of(answers: Answers, row: int) -> Best:
    """Row ``row`` as Python values."""
    ints = answers.best[row].tolist()
    return Best(*ints, *answers.sums[row, :2].tolist())


@jit
def hold_claims(pool: I64, need: I64, end_ms: I64, first: int, state: State) -> None:
    """Running claims, known by -1 - number from ``first`` on."""
    for i in range(len(pool)):
        add_claim(-1 - first - i, pool[i], need[i], end_ms[i], state)


@jit
def queue_rows(rows: I64, now: int, jobs: Jobs, rules: Rules, state: State) -> None:
    """Jobs bound before, whose columns are filled, into the queues of their pools. EASY leaves out
    those that are put off."""
    for i in range(len(rows)):
        j = rows[i]
        p = state.job_pool[j]
        queues = rules.conservative == 1 and state.delegated[p] == 0
        if queues or state.job_not_before_ms[j] <= now:
            enqueue(j, p, jobs, state)


@jit
def forget_passed(p: int, now: int, rules: Rules, state: State) -> None:
    """Conservative: reservations hold only for as long as none of them has come; one that has, and
    did not start then, may find its place taken, so that all are made anew.

    Matters to a state that is kept while time passes (``resident``).
    """
    if rules.conservative == 0 or state.profile_count[p] == 0:
        return
    passed = state.profile_sums[p, FIRST_START_MS] <= now
    if passed and state.profile_times[state.profile_from[p]] != now:
        state.profile_count[p] = 0


@jit
def _note(at: int, best: Best, answers: Answers) -> None:
    answers.best[at, 0] = best.refusal
    answers.best[at, 1] = best.pool
    answers.best[at, 2] = best.need_milli
    answers.best[at, 3] = best.duration_ms
    answers.best[at, 4] = best.ready_ms
    answers.best[at, 5] = best.earliest_ms
    answers.best[at, 6] = best.start_ms
    answers.sums[at, 0] = best.transfer
    answers.sums[at, 1] = best.value


@jit
def plan_rows(
    rows: I64,
    first: int,
    started: int,
    now: int,
    tells: bool,
    pools: Pools,
    zones: Zones,
    costs: Costs,
    links: Links,
    classes: Classes,
    jobs: Jobs,
    inputs: Inputs,
    traffic: Traffic,
    rules: Rules,
    state: State,
    answers: Answers,
) -> tuple[int, int]:
    """Choose, bind and dispatch for each of ``rows`` in turn, from entry ``first`` on.

    ``first`` = -1: every pool is dispatched before, for those bound to it. Answers
    (entry, started): the first entry no pool would take, or how many entries there are.
    ``tells``: when all were taken, ``tell_rows`` of each, which saves a lone job a second call.
    """
    count = len(pools.site)
    for k in range(-count if first < 0 else first, len(rows)):
        p = k + count
        newcomer = -1
        if k < 0:
            forget_passed(p, now, rules, state)
        else:
            newcomer = rows[k]
            best = choose(
                newcomer, now, pools, zones, costs, links, classes, jobs, inputs, traffic, rules,
                state,
            )  # fmt: skip
            _note(newcomer, best, answers)
            if best.refusal != OK:
                return k, started
            answers.fresh[newcomer] = 1
            p = best.pool
            if not bind(newcomer, best, now, jobs, rules, state):
                continue
        started = dispatch(p, now, started, newcomer, pools, classes, jobs, rules, state, None)
    if tells:
        for k in range(len(rows)):
            tell_rows(
                rows[k], rows[k] + 1, started, now, pools, zones, links, jobs, inputs, rules, state,
                answers,
            )  # fmt: skip
    return len(rows), started


@jit
def look(
    j: int,
    now: int,
    pools: Pools,
    zones: Zones,
    costs: Costs,
    links: Links,
    classes: Classes,
    jobs: Jobs,
    inputs: Inputs,
    traffic: Traffic,
    rules: Rules,
    state: State,
    answers: Answers,
) -> None:
    """Job j's best start at every pool, examined to the end, with its cost."""
    for p in range(len(pools.site)):
        duration = expected_ms(j, pools.speed[p], jobs, rules)
        asks = ask(j, classes.need[jobs.klass[j], p], duration, jobs, rules)
        best = estimate(
            j, p, now, np.inf, asks, pools, zones, costs, links, classes, jobs, inputs, traffic, rules,
            state,
        )  # fmt: skip
        _note(p, best, answers)
        if best.refusal == OK:
            answers.sums[p, 2] = objective(best, now, pools, rules, state)
            device, power, grams = run_cost(
                p, best.need_milli, best.start_ms, best.start_ms + best.duration_ms, pools, zones,
                rules,
            )  # fmt: skip
            answers.cost[p, 0] = device
            answers.cost[p, 1] = power
            answers.cost[p, 2] = grams


@jit
def expected_start(
    j: int, p: int, now: int, ahead_milli: int, ahead_work: int, pools: Pools, jobs: Jobs,
    rules: Rules, state: State,
) -> int:  # fmt: skip
    """When a bound job is now expected to start: its reservation, or (EASY) the release of what
    it and everybody ahead of it need. What it waits in the site's own queue comes on top."""
    wait_ms = site_wait(p, state.job_need[j], state)
    if rules.conservative == 1:
        ensure_profile(p, now, jobs, rules, state)
        reserved: int = state.job_reserved_ms[j]
        if reserved < NEVER_MS:
            return max(reserved, now) + wait_ms
    expected: int = expected_release(
        p, ahead_milli, ahead_work, state.job_need[j], now, NEVER_MS, pools, state
    )
    not_before: int = state.job_not_before_ms[j]
    return max(expected, not_before) + wait_ms


@jit
def tell_rows(
    from_row: int,
    to_row: int,
    started: int,
    now: int,
    pools: Pools,
    zones: Zones,
    links: Links,
    jobs: Jobs,
    inputs: Inputs,
    rules: Rules,
    state: State,
    answers: Answers,
) -> None:
    """When each bound job of rows from_row..to_row is to start and what its run costs.

    Rows must be in order of rank, all of a queue among them, for what is told of those not
    ``fresh``: what waits ahead of them is added up on the way.
    """
    for i in range(started):
        answers.starts[state.started[i]] = 1
    for j in range(from_row, to_row):
        p = state.job_pool[j]
        if p < 0:
            continue
        need = state.job_need[j]
        wait_ms = site_wait(p, need, state)
        held_ms = state.job_duration_ms[j]
        duration = held_ms - wait_ms
        if answers.starts[j] == 1:
            start = now + wait_ms
        elif answers.fresh[j] == 1:
            start = answers.best[j, 6]
        else:
            start = expected_start(
                j, p, now, answers.ahead[p, 0], answers.ahead[p, 1], pools, jobs, rules, state
            )
        queued = state.head[p] == j or state.prev[j] >= 0
        if answers.starts[j] == 0 and queued and state.job_not_before_ms[j] <= now:
            answers.ahead[p, 0] += need
            answers.ahead[p, 1] += need * held_ms
        earliest = start
        transfer = 0.0
        if answers.fresh[j] == 1:
            transfer = answers.sums[j, 0]
            chosen = answers.best[j, 5]
            earliest = min(start, chosen)
            if answers.starts[j] == 0 and start > chosen:
                device, power, grams = run_cost(
                    p, need, chosen, chosen + duration, pools, zones, rules
                )
                answers.at_once[j, 0] = device
                answers.at_once[j, 1] = power
                answers.at_once[j, 2] = grams
        else:
            for i in range(jobs.input_from[j], jobs.input_to[j]):
                transfer += links.price_per_gb[inputs.site[i], pools.site[p]] * inputs.gb[i]
        device, power, grams = run_cost(p, need, start, start + duration, pools, zones, rules)
        answers.at[j, 0] = earliest
        answers.at[j, 1] = start
        answers.cost[j, 0] = device
        answers.cost[j, 1] = power
        answers.cost[j, 2] = grams
        answers.transfer[j] = transfer
