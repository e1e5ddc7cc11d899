"""Vouchers in a rehearsal: jobs go where their owner pays least while a pot lasts, and the ledger
of the rehearsal says who paid for what, to the millionth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.twin.small import HOUR, cards, site, world
from tests.twin.stopped import draw, workload
from westward.ledger.accounts import AccountKind, standard_id
from westward.ledger.price import MeteredInterval, bill, price_list
from westward.ledger.road import clearing_id, pot_id
from westward.model.plan import Policy
from westward.model.scenario import Scenario, VoucherPlay
from westward.model.voucher import Condition, Entity, Figure, NamedFact, Rule
from westward.model.workload import Workload
from westward.simulate.engine import simulate
from westward.simulate.results import SimulationResult
from westward.simulate.vouchers import Outcome

UNIT = "CNY"
NETWORK = world(
    cards("near", 8, at="east"),
    cards("off", 8, at="west", price_micros_per_device_hour=1_200_000),
    sites=(site("east", "z"), site("west", "z")),
).network
LAB = Entity(name="lab")
FIRM = Entity(name="firm", facts=(NamedFact(name="start-up", value=True),))
WEST = (("off", (NamedFact(name="region", value="west"),)),)
IN_WEST = ((Condition(subject="line", fact="region", test="is", value="west"),),)
CALM = Policy(review_ms=0, defer_limit_ms=0)


def rule(name: str = "half", pot_micros: int | None = None, **changes: object) -> Rule:
    return replace(
        Rule(
            name=name, label="", place="west", level="city", instrument="compute voucher",
            funder="west", currency=UNIT, source="made up for this test", grade="-",
            spend=("compute",), share_ppm=Figure(value=500_000), counts=IN_WEST,
            pot_year_micros=Figure(value=pot_micros),
        ),
        **changes,
    )  # fmt: skip


def jobs(count: int, every_ms: int = 600_000, hours: float = 1.0, users: int = 1) -> Workload:
    return workload(
        submit_ms=[at * every_ms for at in range(count)],
        duration_ms=[int(hours * HOUR)] * count,
        user=[at % users for at in range(count)],
    )


def rehearse(
    work: Workload, *rules: Rule, entities: tuple[Entity, ...] = (LAB,), policy: Policy = CALM,
    period_ms: int = HOUR,
) -> SimulationResult:  # fmt: skip
    play = VoucherPlay(
        rules=rules, entities=entities, weights=(1.0,) * len(entities), pool_facts=WEST,
        programmes=(tuple(one.name for one in rules),) * len(entities),
        period_ms=period_ms, usual_device_ms=HOUR,
    )  # fmt: skip
    return simulate(NETWORK, work, policy, seed=1, scenario=Scenario(vouchers=play))


def told(result: SimulationResult) -> Outcome:
    assert result.vouchers is not None
    return result.vouchers


def paid(outcome: Outcome) -> Counter[str]:
    """By account: credits less debits, posted."""
    return Counter({name: one.posted for name, one in outcome.book.balances.items()})


def test_without_a_rule_the_schedule_is_what_it_was_and_the_owner_pays_all() -> None:
    work = jobs(60, hours=2.0)
    plain = simulate(NETWORK, work, CALM, seed=1)
    result = rehearse(work)
    for one in ("pool", "start_ms", "end_ms"):
        np.testing.assert_array_equal(getattr(plain, one), getattr(result, one))
    sums = paid(told(result))
    earned = -sums[standard_id(AccountKind.PROJECT, "lab", UNIT)]
    assert earned == pytest.approx(plain.device_micros.sum() + plain.power_micros.sum(), abs=60)


def test_jobs_go_where_a_voucher_makes_it_cheaper_until_its_pot_is_dry() -> None:
    """1.2 less a half is 0.6 at west against 1.0 at east: ten device-hours are in the pot."""
    half = rule(pot_micros=6_000_000)
    result = rehearse(jobs(40, every_ms=HOUR // 2, hours=0.4), half)
    west = NETWORK.pools[1].name
    assert west == "off"
    assert (result.pool[:20] == 1).all()
    assert (result.pool[-8:] == 0).all()
    outcome = told(result)
    pot = outcome.book.balances[pot_id("half", 2026, UNIT)]
    assert 0 <= pot.posted < 600_000
    assert pot.debits_pending == 0
    assert outcome.dry == [] or outcome.dry[0][0] == "half"


def test_a_rival_goes_by_listed_prices_and_the_voucher_pays_all_the_same() -> None:
    cheapest = replace(CALM, rule="cheapest-static")
    result = rehearse(jobs(10), rule(), policy=cheapest)
    assert (result.pool == 0).all()
    far = rehearse(jobs(10), rule(counts=()), policy=cheapest)
    assert (far.pool == 0).all()
    sums = paid(told(far))
    assert sums[pot_id("half", 2026, UNIT)] == -10 * 500_000


def test_only_who_is_eligible_is_drawn_there() -> None:
    eligible = ((Condition(subject="entity", fact="start-up", test="is", value=True),),)
    result = rehearse(
        jobs(60, users=12), rule(eligible=eligible), entities=(LAB, FIRM), policy=CALM
    )
    lab = standard_id(AccountKind.PROJECT, "lab", UNIT)
    firm = standard_id(AccountKind.PROJECT, "firm", UNIT)
    sites: dict[str, set[str]] = {lab: set(), firm: set()}
    for entry in told(result).book.new:
        if entry.transfer.debit in sites and entry.transfer.credit.startswith("clearing"):
            sites[entry.transfer.debit].add(entry.transfer.credit)
    assert sites[lab] == {clearing_id("east", UNIT)}
    assert sites[firm] == {clearing_id("west", UNIT)}


@pytest.mark.parametrize("period_ms", [HOUR // 3, 6 * HOUR])
def test_the_books_agree_with_every_run_whatever_is_cut_short(period_ms: int) -> None:
    """Runs that are preempted, lost or moved are billed one by one, from the truth of the run."""
    for seed in range(12):
        one = draw(seed)
        play = VoucherPlay(
            rules=(rule(pot_micros=3_000_000, counts=()), rule("rest", counts=(), order=200)),
            entities=(LAB, FIRM), weights=(1.0, 3.0), programmes=(("half", "rest"), ("rest",)), period_ms=period_ms,
        )  # fmt: skip
        scenario = replace(one.scenario, vouchers=play)
        result = simulate(one.network, one.workload, one.policy, seed=seed, scenario=scenario)
        outcome = told(result)
        runs = [
            (int(result.pool[row]), int(result.start_ms[row]), int(result.end_ms[row]),
             int(result.need_milli[row]))
            for row in range(len(one.workload))
            if result.pool[row] >= 0
            and (result.segments is None or row not in set(result.segments.row.tolist()))
        ]  # fmt: skip
        if result.segments is not None:
            s = result.segments
            runs += list(
                zip(s.pool.tolist(), s.start_ms.tolist(), s.end_ms.tolist(), s.need_milli.tolist(),
                    strict=True)
            )  # fmt: skip
        device = 0
        for pool, start_ms, end_ms, need in runs:
            wall = end_ms - start_ms
            if wall <= 0:
                continue
            prices = price_list(
                one.network, one.network.pools[pool].name, result.series_origin_ms, one.policy
            )
            metered = MeteredInterval(start_ms=start_ms, wall_ms=wall, device_milli_ms=need * wall)
            device += bill(prices, (metered,)).device_micros
        sums = paid(outcome)
        earned = sum(
            micros for name, micros in sums.items()
            if outcome.book.accounts[name].kind is AccountKind.SITE
        )  # fmt: skip
        assert earned == device
        assert all(
            micros == 0
            for name, micros in sums.items()
            if outcome.book.accounts[name].kind is AccountKind.CLEARING
        )
        assert sums.total() == 0
        assert sums[pot_id("half", 2026, UNIT)] >= 0
        assert all(hold.left == 0 for hold in outcome.book.holds.values())
