"""plan() against the plain twin, and against properties that any planner must keep."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.twin.planner_twin import Answer, rank
from tests.twin.played import Played, decide, every_case
from tests.twin.twin_filters import option_codes, site_codes, wait_by_size
from westward.model.plan import Alternative, Placement, Plan
from westward.model.reasons import Code
from westward.model.units import MICROS


def same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)


@every_case
def test_plan_equals_the_plain_twin(one: Played) -> None:
    assert {placed.job_id for placed in one.plan.placements} == set(one.answers)
    assert {refused.job_id for refused in one.plan.refusals} == set(one.twin.refused)
    for placed in one.plan.placements:
        assert_same_place(placed, one.answers[placed.job_id])


def assert_same_place(one: Placement, other: Answer) -> None:
    have, terms = one.estimate, one.estimate.terms
    assert (one.job_id, have.pool, have.option, have.need_milli, have.duration_ms) == (
        (one.job_id, other.pool, other.option, other.need, other.duration)
    )
    assert (one.job_id, one.starts_now, have.start_ms, have.earliest_ms, one.not_before_ms) == (
        (one.job_id, other.starts_now, other.start, other.earliest, other.not_before)
    )
    got = (
        terms.device, terms.power, terms.carbon, terms.transfer, terms.wait, terms.shadow,
        terms.vouchers,
    )  # fmt: skip
    for mine, theirs in zip(got, other.terms, strict=True):
        assert same(mine, theirs), (one.job_id, got, other.terms)
    assert same(have.carbon_g, other.grams)
    assert same(have.energy_kwh, other.kwh)


@every_case
def test_each_pool_is_seen_as_the_twin_sees_it(one: Played) -> None:
    """Alternatives: a best start with its terms, or the very reasons; never both, never neither."""
    for job_id, seen in alternatives(one.plan):
        theirs = {other.pool: other for other in one.twin.candidates[job_id]}
        assert sorted(alternative.pool for alternative in seen) == sorted(theirs)
        for mine in seen:
            other = theirs[mine.pool]
            assert (mine.estimate is None) == (other.code is not None) == bool(mine.reasons)
            for reason in mine.reasons:
                if reason.code == Code.OVER_HOURLY_COST:
                    assert same(float(reason.available) * MICROS, other.hourly)
            if mine.estimate is None:
                continue
            assert mine.estimate.start_ms == other.start
            assert mine.estimate.earliest_ms == other.earliest
            assert mine.estimate.option == other.option
            assert same(mine.estimate.terms.total, math.fsum(other.terms))


def alternatives(answer: Plan) -> Iterator[tuple[str, tuple[Alternative, ...]]]:
    for one in (*answer.placements, *answer.refusals):
        if one.alternatives:
            yield one.job_id, one.alternatives


@every_case
def test_explaining_changes_no_decision(one: Played) -> None:
    bare = decide(one.case, explain=False)
    assert [replace(placed, alternatives=()) for placed in one.plan.placements] == [
        *bare.placements
    ]
    assert [refused.job_id for refused in bare.refusals] == [r.job_id for r in one.plan.refusals]


@every_case
def test_refusals_give_coded_reasons_with_numbers_on_every_pool(one: Played) -> None:
    no_numbers = {Code.PRICE_UNKNOWN, Code.CARBON_UNKNOWN}
    for refused in one.plan.refusals:
        assert [a.pool for a in refused.alternatives] == sorted(one.twin.books)
        for seen in refused.alternatives:
            codes = {reason.code for reason in seen.reasons} - {Code.NOT_HOME}
            assert codes == one.twin.refused[refused.job_id][seen.pool] - {Code.NOT_HOME}
            for reason in seen.reasons:
                assert reason.resource
                assert reason.code in no_numbers or (reason.asked and reason.available)


@every_case
def test_capacity_is_never_exceeded_and_gangs_start_whole(one: Played) -> None:
    snapshot = one.case.snapshot
    running = {s.pool: sum(c.need_milli for c in s.running) for s in snapshot.pools}
    for placed in one.plan.placements:
        assert placed.estimate.need_milli % one.specs[placed.job_id].nodes == 0
        if placed.starts_now:
            there = {state.pool: state.site_wait_ms for state in snapshot.pools}
            waits = wait_by_size(there[placed.estimate.pool], placed.estimate.need_milli)
            assert placed.estimate.start_ms == one.case.now + waits
            running[placed.estimate.pool] += placed.estimate.need_milli
    for name, held in running.items():
        assert held <= snapshot.network.pool(name).capacity_milli


@every_case
def test_conservative_reservations_never_overlap_beyond_capacity(one: Played) -> None:
    """Without priorities: a job that goes ahead is told its start as if those behind gave way."""
    if not one.reserves_in_order:
        return
    case = one.case
    for state in case.snapshot.pools:
        booked = [
            (told.start_ms - waits, waits + told.duration_ms, told.need_milli)
            for told in (placed.estimate for placed in one.plan.placements)
            if told.pool == state.pool
            for waits in (wait_by_size(state.site_wait_ms, told.need_milli),)
        ]
        ends = [(max(c.end_ms(case.now), case.now + 1), c.need_milli) for c in state.running]
        for at in sorted({start for start, _, _ in booked}):
            held = sum(need for start, span, need in booked if start <= at < start + span)
            held += sum(need for end, need in ends if end > at)
            assert held <= case.snapshot.network.pool(state.pool).capacity_milli


@every_case
def test_input_order_and_repetition_do_not_matter(one: Played) -> None:
    case = one.case
    backwards = replace(
        case,
        jobs=case.jobs[::-1],
        snapshot=replace(
            case.snapshot,
            pools=tuple(
                replace(state, queue=state.queue[::-1], running=state.running[::-1])
                for state in case.snapshot.pools[::-1]
            ),
        ),
    )
    assert decide(backwards) == one.plan


@every_case
def test_every_placement_keeps_the_hard_constraints(one: Played) -> None:
    case, network = one.case, one.case.snapshot.network
    opened = {s.pool for s in case.snapshot.pools if s.status == "open"}
    new = {job.job_id: job for job in case.jobs}
    for placed in one.plan.placements:
        pool = network.pool(placed.estimate.pool)
        is_open = pool.status == "open" and pool.name in opened
        assert is_open or not placed.starts_now
        job = new.get(placed.job_id)
        if job is None:
            assert placed.not_before_ms <= case.now or not placed.starts_now
            continue
        assert is_open
        assert not site_codes(job, pool.site, network)
        assert not option_codes(job.options[placed.estimate.option], job.nodes, pool)
        assert placed.estimate.start_ms >= max(case.now, job.start_after_ms or 0)
        if job.deadline_ms is not None:
            assert placed.estimate.start_ms + placed.estimate.duration_ms <= job.deadline_ms
        if case.policy.rule == "home-site":
            assert pool.site == job.home_site


@every_case
def test_no_explained_alternative_is_cheaper(one: Played) -> None:
    if one.case.policy.rule != "westward":
        return
    for placed in one.plan.placements:
        seen = [a.estimate for a in placed.alternatives if a.estimate is not None]
        if not seen:
            continue
        assert seen[0].pool == placed.estimate.pool
        assert all(other.terms.total >= seen[0].terms.total * (1 - 1e-8) for other in seen)
        if not placed.starts_now:
            assert placed.estimate.terms == seen[0].terms
            if placed.estimate.start_ms > placed.estimate.earliest_ms and not has_cap(one, placed):
                assert placed.saved_by_waiting > 0


def has_cap(one: Played, placed: Placement) -> bool:
    option = one.specs[placed.job_id].options[placed.estimate.option]
    return option.max_hourly_cost_micros is not None


@every_case
def test_easy_backfilling_never_delays_the_head(one: Played) -> None:
    """By the estimates: take the backfilled jobs away, and the head could not start sooner.

    Of the jobs bound before only: a new one of higher priority may become the head afterwards.
    """
    case = replace(one.case, jobs=())
    if case.policy.discipline != "easy":
        return
    answer = decide(case, explain=False)
    for state in case.snapshot.pools:
        pool = case.snapshot.network.pool(state.pool)
        here = [placed for placed in answer.placements if placed.estimate.pool == state.pool]
        waiting = sorted(
            (
                placed
                for placed in here
                if not placed.starts_now and placed.not_before_ms <= case.now
            ),
            key=lambda placed: rank(one.specs[placed.job_id]),
        )
        if not waiting or state.status != "open" or pool.status != "open":
            continue
        head = waiting[0]
        started = [placed for placed in here if placed.starts_now]
        ahead = rank(one.specs[head.job_id])
        passed = [placed for placed in started if rank(one.specs[placed.job_id]) > ahead]
        ends = [(claim.end_ms(case.now), claim.need_milli) for claim in state.running]
        regular = [span(placed) for placed in started if placed not in passed]
        late = [span(placed) for placed in passed]
        need, capacity = head.estimate.need_milli, pool.capacity_milli
        alone = soonest([*ends, *regular], need, capacity)
        assert soonest([*ends, *regular, *late], need, capacity) <= max(alone, case.now)


def span(one: Placement) -> tuple[int, int]:
    """Of one that is handed over now: until when it is expected to hold its place, and how much."""
    return (one.estimate.start_ms + one.estimate.duration_ms, one.estimate.need_milli)


def soonest(claims: list[tuple[int, int]], need: int, capacity: int) -> float:
    for at in [-math.inf, *sorted(end for end, _ in claims)]:
        if capacity - sum(size for end, size in claims if end > at) >= need:
            return at
    return math.inf


def test_the_twin_shares_no_code_with_the_planner() -> None:
    script = (
        "import sys, tests.twin.planner_twin\n"
        "shared = [m for m in sys.modules if m.startswith('westward.') and "
        "not m.startswith('westward.model')]\n"
        "assert not shared and 'numba' not in sys.modules, shared"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
