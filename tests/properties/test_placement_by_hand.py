"""Small situations whose answer is plain, for plan() and for the twin: who starts, where and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.twin.planner_twin import twin_plan
from tests.twin.small import AT_ONCE, HOUR, bound, cards, job, site, world, zone
from westward.model.job import InputData, JobSpec
from westward.model.network import Link, Series
from westward.model.plan import Discipline, Plan, Policy, Snapshot
from westward.placement import plan

CONSERVATIVE = replace(AT_ONCE, discipline="conservative")


def told(snapshot: Snapshot, jobs: Sequence[JobSpec], policy: Policy = AT_ONCE) -> Plan:
    """The plan, once the twin has said the same."""
    answer = plan(snapshot, jobs, policy, 0)
    twin = twin_plan(snapshot, list(jobs), policy, 0).answers()
    mine = {
        p.job_id: (p.estimate.pool, p.estimate.start_ms, p.starts_now) for p in answer.placements
    }
    assert mine == {name: (one.pool, one.start, one.starts_now) for name, one in twin.items()}
    return answer


def starts_now(answer: Plan) -> list[str]:
    return [one.job_id for one in answer.placements if one.starts_now]


def start_hour(answer: Plan, job_id: str) -> float:
    return next(p.estimate.start_ms for p in answer.placements if p.job_id == job_id) / HOUR


def test_easy_fills_beside_the_head_until_that_room_is_spent() -> None:
    """5 cards, 2 run for 2 h; the head wants 4: from 2 h on, with 1 card beside it. b takes that
    one for 9 h; c, alike, would now take the head's; d is gone by then."""
    queue = [bound("a", 4), bound("b", 1, 9), bound("c", 1, 9), bound("d", 1, 2)]
    snapshot = world(cards("p", 5), running={"p": [(2, 2)]}, queued={"p": queue})
    answer = told(snapshot, [])
    assert starts_now(answer) == ["b", "d"]
    assert start_hour(answer, "a") == 2


@pytest.mark.parametrize(("hours", "passes"), [(1.999, True), (2.0, True), (2.001, False)])
def test_easy_lets_pass_who_ends_by_the_heads_start(hours: float, passes: bool) -> None:
    snapshot = world(
        cards("p", 4), running={"p": [(3, 2)]}, queued={"p": [bound("a", 4), bound("b", 1, hours)]}
    )
    assert starts_now(told(snapshot, [])) == (["b"] if passes else [])


def test_easy_room_beside_counts_every_claim_that_ends_with_the_last_one_needed() -> None:
    """Both claims end at 2 h: one is enough for the head, the other is room beside it."""
    snapshot = world(
        cards("p", 4),
        running={"p": [(1, 2), (1, 2)]},
        queued={"p": [bound("a", 3), bound("b", 1, 9)]},
    )
    assert starts_now(told(snapshot, [])) == ["b"]


@pytest.mark.parametrize(("depth", "passes"), [(1, []), (2, ["c"])])
def test_easy_looks_no_deeper_than_told(depth: int, passes: list[str]) -> None:
    queue = [bound("a", 4), bound("b", 1, 9), bound("c", 1, 1)]
    snapshot = world(cards("p", 4), running={"p": [(3, 2)]}, queued={"p": queue})
    assert starts_now(told(snapshot, [], replace(AT_ONCE, backfill_depth=depth))) == passes


def test_conservative_lets_nobody_delay_a_reservation_behind_the_head() -> None:
    """4 cards, 3 busy for 2 h. a: all 4, 2-3 h. b: 2, from 3 h on. c: 1 card for 2 h passes both;
    d: 1 card for 9 h would delay a."""
    queue = [bound("a", 4), bound("b", 2, 2), bound("c", 1, 2), bound("d", 1, 9)]
    snapshot = world(cards("p", 4), running={"p": [(3, 2)]}, queued={"p": queue})
    answer = told(snapshot, [], CONSERVATIVE)
    assert starts_now(answer) == ["c"]
    assert [start_hour(answer, name) for name in "abd"] == [2, 3, 3]


@pytest.mark.parametrize("policy", [AT_ONCE, CONSERVATIVE])
def test_the_second_of_two_new_jobs_sees_the_first_run(policy: Policy) -> None:
    """4 idle cards: a takes 1 for 1 h, so 4 are free in 1 h and not in a quarter of it."""
    answer = told(world(cards("p", 4)), [job("a"), job("b", 4)], policy)
    assert starts_now(answer) == ["a"]
    assert start_hour(answer, "b") == 1


@pytest.mark.parametrize("policy", [AT_ONCE, CONSERVATIVE])
def test_jobs_bound_before_go_ahead_of_a_new_one_of_higher_priority(policy: Policy) -> None:
    snapshot = world(cards("p", 1), queued={"p": [bound("old")]})
    answer = told(snapshot, [job("new", priority=9)], policy)
    assert starts_now(answer) == ["old"]
    assert start_hour(answer, "new") == 1


@pytest.mark.parametrize("policy", [AT_ONCE, CONSERVATIVE])
def test_a_job_of_higher_priority_is_told_the_start_of_its_own_place(policy: Policy) -> None:
    """The card is free in 1 h; who waits for it gives way, and is now told 2 h."""
    snapshot = world(cards("p", 1), running={"p": [(1, 1)]}, queued={"p": [bound("old")]})
    answer = told(snapshot, [job("new", priority=9)], policy)
    assert (start_hour(answer, "new"), start_hour(answer, "old")) == (1, 2)


def two_sites(price_per_gb: int = 0, gbps: float = 8.0) -> Snapshot:
    """East: 500 g/kWh at 1.00; west: 100 g/kWh at 1.02; data moves at a gigabyte a second."""
    link = Link(
        a="east", b="west", one_way_ms=10.0, bandwidth_gbps=gbps, price_micros_per_gb=price_per_gb
    )
    return world(
        cards("pe", 2, at="east"),
        cards("pw", 2, at="west"),
        sites=(site("east", "ze"), site("west", "zw")),
        zones=(zone("ze"), zone("zw", tariff=1.02, carbon=100.0)),
        links=(link,),
    )


@pytest.mark.parametrize(("per_tonne", "pool"), [(0, "pe"), (49, "pe"), (51, "pw")])
def test_the_carbon_price_decides_the_pool(per_tonne: int, pool: str) -> None:
    """400 g less for 0.02 more: worth it from 50 a tonne on."""
    policy = replace(AT_ONCE, carbon_price_micros_per_tonne=per_tonne * 1_000_000)
    answer = told(two_sites(), [job("j")], policy).placements[0]
    assert answer.estimate.pool == pool


@pytest.mark.parametrize(("price_per_gb", "pool"), [(11_800, "pw"), (11_900, "pe")])
def test_the_price_of_moving_the_data_decides_the_pool(price_per_gb: int, pool: str) -> None:
    """Carbon at 80 a tonne: west is 0.012 cheaper. 1 GB takes 1 s, and waiting costs 0.5 an hour: 0.00014."""
    data = (InputData(site="east", size_bytes=10**9),)
    answer = told(two_sites(price_per_gb), [job("j", inputs=data)]).placements[0]
    assert answer.estimate.pool == pool
    assert answer.estimate.start_ms == (1000 if pool == "pw" else 0)
    assert not (answer.starts_now and pool == "pw")


@pytest.mark.parametrize(("gigabytes", "pool"), [(80, "pw"), (90, "pe")])
def test_the_time_to_move_the_data_decides_the_pool(gigabytes: int, pool: str) -> None:
    """West is 0.012 cheaper, which 86 s of waiting at 0.5 an hour eat up; the link costs nothing."""
    data = (InputData(site="east", size_bytes=gigabytes * 10**9),)
    answer = told(two_sites(), [job("j", inputs=data)]).placements[0]
    assert answer.estimate.pool == pool


def test_inputs_that_arrive_after_the_deadline_refuse_the_pool() -> None:
    data = (InputData(site="east", size_bytes=2 * 10**9),)
    spec = job("j", inputs=data, deadline_ms=HOUR + 1999)
    policy = replace(AT_ONCE, carbon_price_micros_per_tonne=10**12)
    assert told(two_sites(), [spec], policy).placements[0].estimate.pool == "pe"
    on_time = replace(spec, deadline_ms=HOUR + 2000)
    assert told(two_sites(), [on_time], policy).placements[0].estimate.pool == "pw"


def test_the_shortest_run_is_a_millisecond() -> None:
    """1 ms at a pool twice as fast is not 0: nothing may end as it begins."""
    snapshot = world(cards("p", 1))
    fast = replace(snapshot.network.accelerators[0], relative_speed=2.0)
    snapshot = replace(snapshot, network=replace(snapshot.network, accelerators=(fast,)))
    answer = told(snapshot, [job("j", hours=1 / HOUR)])
    assert answer.placements[0].estimate.duration_ms == 1


@pytest.mark.parametrize(
    ("discipline", "reserve_percent", "deadline", "start"),
    [
        ("easy", 50, 9, 4),
        ("easy", 50, 8, 0),
        ("easy", 0, 5, 4),
        ("easy", 0, 4, 0),
        ("easy", 100, 20, 0),
        ("conservative", 50, 5, 4),
        ("conservative", 100, 5, 4),
    ],
)
def test_easy_keeps_a_part_of_the_slack_before_a_deadline(
    discipline: Discipline, reserve_percent: int, deadline: int, start: int
) -> None:
    """1 h of work; power is cheap from 4 h on. To wait 4 h with half the slack takes a deadline 9 h
    off. Conservative holds a reservation and may use all of it."""
    valley = Series(step_ms=HOUR, values=(1.0,) * 4 + (0.1,) * 20)
    snapshot = world(cards("p", 1), zones=(zone("z", tariff_per_kwh=valley),))
    policy = Policy(discipline=discipline, deadline_reserve_percent=reserve_percent)
    answer = told(snapshot, [job("j", deadline_ms=deadline * HOUR)], policy)
    assert start_hour(answer, "j") == start


@pytest.mark.parametrize(
    ("cheap", "hour"), [((2,), 1), ((4,), 0), ((3, 4), 2), ((4, 6), 6), ((4, 5, 7), 6)]
)
def test_conservative_puts_off_past_a_reservation_not_into_it(
    cheap: tuple[int, ...], hour: int
) -> None:
    """One card, kept for a waiting job from 4 h to 6 h. A job of 2 h that waits for cheap hours ends
    by 4 h, or starts from 6 h on."""
    tariff = Series(step_ms=HOUR, values=tuple(0.1 if h in cheap else 2.0 for h in range(24)))
    snapshot = world(
        cards("p", 1),
        zones=(zone("z", tariff_per_kwh=tariff),),
        queued={"p": [replace(bound("a", 1, 2), not_before_ms=4 * HOUR)]},
    )
    policy = replace(CONSERVATIVE, defer_limit_ms=10 * HOUR, wait_value_micros_per_device_hour=1000)
    assert start_hour(told(snapshot, [job("b", hours=2)], policy), "b") == hour


@pytest.mark.parametrize("discipline", ["easy", "conservative"])
def test_a_network_whose_sites_have_not_joined_yet_refuses_everybody(
    discipline: Discipline,
) -> None:
    answer = plan(world(), (job("a"), job("b", nodes=2)), Policy(discipline=discipline), 0)
    assert len(answer.placements) == 0
    assert [one.job_id for one in answer.refusals] == ["a", "b"]
