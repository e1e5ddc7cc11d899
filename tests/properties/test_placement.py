"""plan() against the plain twin, and against properties that any planner must keep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given, note

from tests.twin.cases import Case, cases
from tests.twin.planner_twin import Answer, Twin, twin_plan
from tests.twin.settings import EXACT
from tests.twin.twin_filters import option_codes, site_codes
from westward.model.job import JobSpec
from westward.model.plan import Alternative, Placement, Plan
from westward.model.reasons import Code
from westward.placement import plan

def decide(case: Case, *, explain: bool = True) -> Plan:
    return plan(case.snapshot, list(case.jobs), case.policy, case.now, explain=explain)


def twin_of(case: Case) -> Twin:
    return twin_plan(case.snapshot, list(case.jobs), case.policy, case.now)


def same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)


def specs(case: Case) -> dict[str, JobSpec]:
    found = {job.job_id: job for job in case.jobs}
    for state in case.snapshot.pools:
        found |= {entry.job.job_id: entry.job for entry in state.queue}
    return found


@EXACT
@given(cases())
def test_plan_equals_the_plain_twin(case: Case) -> None:
    answer, twin = decide(case, explain=False), twin_of(case)
    expected = twin.answers()
    note(f"{case.policy.rule} {case.policy.discipline}")
    assert {one.job_id for one in answer.placements} == set(expected)
    assert {one.job_id for one in answer.refusals} == set(twin.refused)
    for one in answer.placements:
        assert_same_place(one, expected[one.job_id])


def assert_same_place(one: Placement, other: Answer) -> None:
    have, terms = one.estimate, one.estimate.terms
    assert (one.job_id, have.pool, have.option, have.need_milli, have.duration_ms) == (
        (one.job_id, other.pool, other.option, other.need, other.duration)
    )
    assert (one.job_id, one.starts_now, have.start_ms, have.earliest_ms, one.not_before_ms) == (
        (one.job_id, other.starts_now, other.start, other.earliest, other.not_before)
    )
    got = (terms.device, terms.power, terms.carbon, terms.transfer, terms.wait)
    for mine, theirs in zip(got, other.terms, strict=True):
        assert same(mine, theirs), (one.job_id, got, other.terms)
    assert same(have.carbon_g, other.grams)
    assert same(have.energy_kwh, other.kwh)


@EXACT
@given(cases())
def test_each_pool_is_seen_as_the_twin_sees_it(case: Case) -> None:
    """Alternatives: a best start with its terms, or the very reasons; never both, never neither."""
    answer, twin = decide(case), twin_of(case)
    for job_id, seen in alternatives(answer):
        theirs = {one.pool: one for one in twin.candidates[job_id]}
        assert sorted(one.pool for one in seen) == sorted(theirs)
        for one in seen:
            other = theirs[one.pool]
            assert (one.estimate is None) == (other.code is not None) == bool(one.reasons)
            if one.estimate is None:
                continue
            assert one.estimate.start_ms == other.start
            assert one.estimate.earliest_ms == other.earliest
            assert one.estimate.option == other.option
            assert same(one.estimate.terms.total, math.fsum(other.terms))


def alternatives(answer: Plan) -> Iterator[tuple[str, tuple[Alternative, ...]]]:
    for one in (*answer.placements, *answer.refusals):
        if one.alternatives:
            yield one.job_id, one.alternatives


@EXACT
@given(cases())
def test_refusals_give_coded_reasons_with_numbers_on_every_pool(case: Case) -> None:
    answer, twin = decide(case), twin_of(case)
    no_numbers = {Code.PRICE_UNKNOWN, Code.CARBON_UNKNOWN}
    for one in answer.refusals:
        assert [a.pool for a in one.alternatives] == sorted(twin.books)
        for seen in one.alternatives:
            codes = {reason.code for reason in seen.reasons} - {Code.NOT_HOME}
            assert codes == twin.refused[one.job_id][seen.pool] - {Code.NOT_HOME}
            for reason in seen.reasons:
                assert reason.resource
                assert reason.code in no_numbers or (reason.asked and reason.available)


@EXACT
@given(cases())
def test_capacity_is_never_exceeded_and_gangs_start_whole(case: Case) -> None:
    answer = decide(case, explain=False)
    running = {s.pool: sum(c.need_milli for c in s.running) for s in case.snapshot.pools}
    for one in answer.placements:
        job = specs(case)[one.job_id]
        assert one.estimate.need_milli % job.nodes == 0
        if one.starts_now:
            assert one.estimate.start_ms == case.now
            running[one.estimate.pool] += one.estimate.need_milli
    for name, held in running.items():
        assert held <= case.snapshot.network.pool(name).capacity_milli


@EXACT
@given(cases())
def test_conservative_reservations_never_overlap_beyond_capacity(case: Case) -> None:
    case = replace(case, policy=replace(case.policy, discipline="conservative", backfill_depth=64))
    answer = decide(case, explain=False)
    for state in case.snapshot.pools:
        booked = [
            (one.estimate.start_ms, one.estimate.duration_ms, one.estimate.need_milli)
            for one in answer.placements
            if one.estimate.pool == state.pool
        ]
        ends = [(max(c.expected_end_ms, case.now + 1), c.need_milli) for c in state.running]
        for at in sorted({start for start, _, _ in booked}):
            held = sum(need for start, span, need in booked if start <= at < start + span)
            held += sum(need for end, need in ends if end > at)
            assert held <= case.snapshot.network.pool(state.pool).capacity_milli


@EXACT
@given(cases())
def test_input_order_and_repetition_do_not_matter(case: Case) -> None:
    first = decide(case)
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
    assert decide(backwards) == first
    assert decide(case) == first


@EXACT
@given(cases())
def test_every_placement_keeps_the_hard_constraints(case: Case) -> None:
    answer, network = decide(case, explain=False), case.snapshot.network
    opened = {s.pool for s in case.snapshot.pools if s.status == "open"}
    new = {job.job_id: job for job in case.jobs}
    for one in answer.placements:
        pool = network.pool(one.estimate.pool)
        is_open = pool.status == "open" and pool.name in opened
        assert is_open or not one.starts_now
        job = new.get(one.job_id)
        if job is None:
            assert one.not_before_ms <= case.now or not one.starts_now
            continue
        assert is_open
        assert not site_codes(job, pool.site, network)
        assert not option_codes(job.options[one.estimate.option], job.nodes, pool)
        assert one.estimate.start_ms >= max(case.now, job.start_after_ms or 0)
        if job.deadline_ms is not None:
            assert one.estimate.start_ms + one.estimate.duration_ms <= job.deadline_ms
        if case.policy.rule == "home-site":
            assert pool.site == job.home_site


@EXACT
@given(cases())
def test_no_explained_alternative_is_cheaper(case: Case) -> None:
    case = replace(case, policy=replace(case.policy, rule="westward"))
    for one in decide(case).placements:
        seen = [a.estimate for a in one.alternatives if a.estimate is not None]
        if not seen:
            continue
        assert seen[0].pool == one.estimate.pool
        assert all(other.terms.total >= seen[0].terms.total * (1 - 1e-8) for other in seen)
        if not one.starts_now:
            assert one.estimate.terms == seen[0].terms
            if one.estimate.start_ms > one.estimate.earliest_ms and not has_cap(case, one):
                assert one.saved_by_waiting > 0


def has_cap(case: Case, one: Placement) -> bool:
    option = specs(case)[one.job_id].options[one.estimate.option]
    return option.max_hourly_cost_micros is not None


@EXACT
@given(cases())
def test_easy_backfilling_never_delays_the_head(case: Case) -> None:
    """By the estimates: take the backfilled jobs away, and the head could not start sooner."""
    case = replace(case, policy=replace(case.policy, discipline="easy"))
    answer = decide(case, explain=False)
    for state in case.snapshot.pools:
        pool = case.snapshot.network.pool(state.pool)
        here = [one for one in answer.placements if one.estimate.pool == state.pool]
        waiting = sorted(
            (one for one in here if not one.starts_now and one.not_before_ms <= case.now),
            key=lambda one: order(specs(case)[one.job_id]),
        )
        if not waiting or state.status != "open" or pool.status != "open":
            continue
        head = waiting[0]
        started = [one for one in here if one.starts_now]
        passed = [
            one
            for one in started
            if order(specs(case)[one.job_id]) > order(specs(case)[head.job_id])
        ]
        ends = [(claim.expected_end_ms, claim.need_milli) for claim in state.running]
        regular = [span(one, case.now) for one in started if one not in passed]
        late = [span(one, case.now) for one in passed]
        need, capacity = head.estimate.need_milli, pool.capacity_milli
        alone = soonest([*ends, *regular], need, capacity)
        assert soonest([*ends, *regular, *late], need, capacity) <= max(alone, case.now)


def order(job: JobSpec) -> tuple[int, int, str]:
    return (-job.priority, job.submit_ms, job.job_id)


def span(one: Placement, now: int) -> tuple[int, int]:
    return (now + one.estimate.duration_ms, one.estimate.need_milli)


def soonest(claims: list[tuple[int, int]], need: int, capacity: int) -> float:
    for at in [-math.inf, *sorted(end for end, _ in claims)]:
        if capacity - sum(size for end, size in claims if end > at) >= need:
            return at
    return math.inf


def test_the_twin_shares_no_code_with_the_planner() -> None:
    import subprocess
    import sys
    from pathlib import Path

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
