"""The resident planner against plan() on the equal snapshot, job by job, as time goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tests.twin.cases import HOUR, MINUTE, Case
from tests.twin.cases import case as drawn
from westward.model.plan import Claim, ShadowPrices
from westward.placement import plan
from westward.placement.resident import Resident

SEEDS = range(160)


def case(seed: int) -> Case:
    """Without sites' own queues, of which a resident planner knows nothing."""
    one = drawn(seed)
    pools = tuple(replace(pool, site_wait_ms=()) for pool in one.snapshot.pools)
    return replace(one, snapshot=replace(one.snapshot, pools=pools))


def play(one: Case, dice: Random, met: Counter[str]) -> None:
    """Each of the case's jobs arrives some time after the other; in between runs end, jobs are
    withdrawn, claims appear, pools close and open."""
    now = one.now
    resident = Resident(one.snapshot, one.policy, now)
    before = resident.snapshot()
    assert {pool.pool for pool in before.pools} == {p.name for p in one.snapshot.network.pools}
    jobs = [
        replace(job, job_id=f"{job.job_id}-{turn}", name=job.job_id)
        for turn in range(3)
        for job in one.jobs
    ]
    for job in jobs:
        snapshot = resident.snapshot()
        expected = plan(snapshot, [job], one.policy, now, explain=False)
        placed = resident.place(job, now)
        theirs = {other.job_id: other for other in expected.placements}
        assert placed.placement == theirs.get(job.job_id)
        assert list(placed.started) == sorted(n for n, o in theirs.items() if o.starts_now)
        met["placed" if placed.placement else "refused"] += 1
        met["started later"] += len(placed.started) > (
            placed.placement is not None and placed.placement.starts_now
        )
        if placed.placement is not None:
            met["put off"] += placed.placement.saved_by_waiting > 0
            met["waits"] += not placed.placement.starts_now
        now += dice.choice([0, 1, MINUTE, 10 * MINUTE, HOUR, 3 * HOUR])
        change(resident, dice, now, met)


def change(resident: Resident, dice: Random, now: int, met: Counter[str]) -> None:
    held = [claim for pool in resident.snapshot().pools for claim in pool.running]
    bound = [entry.job.job_id for pool in resident.snapshot().pools for entry in pool.queue]
    what = dice.randrange(8)
    if what <= 1 and held:
        resident.ended(dice.choice(held).job_id)
        met["ended"] += 1
    elif what == 2 and bound:
        resident.withdrawn(dice.choice(bound))
        met["withdrawn"] += 1
    elif what == 3:
        pool = dice.choice(resident.snapshot().network.pools)
        resident.set_status(pool.name, dice.choice(["open", "open", "cordoned"]))
    elif what == 4:
        state = dice.choice(resident.snapshot().pools)
        pool = resident.snapshot().network.pool(state.pool)
        free = pool.capacity_milli - sum(claim.need_milli for claim in state.running)
        if free > 0:
            claim = Claim(
                job_id=f"from-elsewhere-{len(held)}-{now}", need_milli=min(free, 1000),
                expected_end_ms=now + HOUR, started_ms=dice.choice([None, now - MINUTE]),
            )  # fmt: skip
            resident.hold(pool.name, claim, now)
            met["held"] += 1


@pytest.mark.parametrize("part", range(4))
def test_a_resident_places_as_plan_does(part: int) -> None:
    met: Counter[str] = Counter()
    for seed in SEEDS[part::4]:
        play(case(seed), Random(seed), met)
    assert all(
        met[name] >= 3
        for name in ("placed", "refused", "put off", "waits", "started later", "ended", "held")
    ), met


def test_room_runs_out_and_is_made() -> None:
    one = next(one for one in map(case, range(50)) if len(one.jobs) > 1)
    resident = Resident(one.snapshot, one.policy, one.now)
    for turn in range(600):
        job = replace(one.jobs[0], job_id=f"more-{turn:04d}", deadline_ms=None)
        expected = None
        if turn % 50 == 7 or 250 < turn < 260:
            answer = plan(resident.snapshot(), [job], one.policy, one.now, explain=False)
            expected = {other.job_id: other for other in answer.placements}.get(job.job_id)
        placed = resident.place(job, one.now)
        assert expected is None or placed.placement == expected


def test_what_is_here_already_is_refused() -> None:
    one = next(c for c in map(case, range(50)) if decided(c))
    resident = Resident(one.snapshot, one.policy, one.now)
    name = decided(one)[0]
    job = next(job for job in one.jobs if job.job_id == name)
    resident.place(job, one.now)
    with pytest.raises(ValueError, match="before"):
        resident.place(job, one.now)
    with pytest.raises(ValueError, match="back"):
        resident.place(replace(job, job_id="other"), one.now - 1)
    with pytest.raises(KeyError):
        resident.ended("nobody")


def test_sites_with_queues_of_their_own_are_refused() -> None:
    one = case(3)
    first, *others = one.snapshot.pools
    told = (replace(first, site_wait_ms=(MINUTE,)), *others)
    with pytest.raises(ValueError, match="queues"):
        Resident(replace(one.snapshot, pools=told), one.policy, one.now)


def decided(one: Case) -> list[str]:
    answer = plan(one.snapshot, one.jobs, one.policy, one.now, explain=False)
    names = {job.job_id for job in one.jobs}
    return [placed.job_id for placed in answer.placements if placed.job_id in names]


def test_prices_that_the_sum_cannot_hold_are_refused() -> None:
    one = case(3)
    step = 6 * HOUR
    pools = len(one.snapshot.network.pools)
    good = ShadowPrices(
        from_ms=one.snapshot.series_origin_ms + step, step_ms=step, per_pool=((1, 2),) * pools
    )
    for changes in (
        {"per_pool": ((1, 2),) * (pools + 1)},
        {"per_pool": ((1, -2),) * pools},
        {"from_ms": good.from_ms + 1},
        {"step_ms": step + 1},
        {"per_pool": ((1,) * 5_000,) * pools},
    ):
        wrong = replace(one.snapshot, shadow=replace(good, **changes))
        with pytest.raises(ValueError, match="shadow price"):
            plan(wrong, one.jobs, one.policy, one.now)
    plan(replace(one.snapshot, shadow=good), one.jobs, one.policy, one.now)
