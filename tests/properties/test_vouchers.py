"""Vouchers over random rules and bills: sums, limits, order, cutting; and the plain twin agrees.

Numbers are small on purpose, so that caps, pots, ceilings and dates bind in most examples.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.twin.vouchers import plain_split
from westward.ledger.vouchers import NO_USAGE, claw_back, increments, share_out, split, used
from westward.ledger.vouchers.calendar import add_months, day_start_ms, next_year_ms, year_of
from westward.ledger.vouchers.claims import returned
from westward.model.units import MS_PER_DAY
from westward.model.voucher import (
    BLANK,
    PPM,
    BillLine,
    Condition,
    Contract,
    ContractTerms,
    Entity,
    Figure,
    NamedFact,
    Rule,
    Tier,
    VoucherClaim,
)

TURN = 1_767_225_600_000
"""2026-01-01T00:00:00Z: lines fall on both sides of the turn of the year."""
SPENDS = ("compute", "data", "electricity")
SLOW = settings(max_examples=int(os.environ.get("WESTWARD_VOUCHER_EXAMPLES", "50")), deadline=None)
"""Each example is a rule set and a bill, or several."""


def one_in(n: int) -> st.SearchStrategy[bool]:
    """True about once in ``n``. (Weights by repetition do not work: equal branches are merged.)"""
    return st.integers(0, n - 1).map(lambda drawn: drawn == n // 2)


@st.composite
def figure(draw: st.DrawFn, values: st.SearchStrategy[int], n: int) -> Figure:
    """Stated about once in ``n``, else blank."""
    return Figure(value=draw(values)) if draw(one_in(n)) else BLANK


PERCENT = st.sampled_from([100_000, 200_000, 300_000, 333_333, 500_000, 600_000, 999_999, PPM])
AMOUNT = st.integers(1, 400)
DOMESTIC = Condition(subject="line", fact="domestic", test="is", value=True)
RANK = Condition(subject="entity", fact="h-index", test="at_least", value=5)
START_UP = Condition(subject="entity", fact="start-up", test="is", value=True)


@st.composite
def rules(draw: st.DrawFn, pro_rata: bool = False) -> list[Rule]:
    made: list[Rule] = []
    for number in range(draw(st.integers(1, 5))):
        name = f"r{number}"
        tiers = []
        if draw(one_in(3)):
            when = draw(st.sampled_from([((DOMESTIC,),), ((START_UP, RANK),)]))
            tiers.append(Tier(label="t", share_ppm=Figure(value=draw(PERCENT)), when=when))
        earlier = [rule.name for rule in made]
        includes = (draw(st.sampled_from(earlier)),) if earlier and draw(one_in(6)) else ()
        made.append(
            Rule(
                name=name,
                label=name,
                place="",
                level=draw(st.sampled_from(["city", "district"])),
                instrument="",
                funder=f"pot-{draw(st.integers(0, 2))}",
                currency="CNY",
                source="S",
                grade="A",
                standing="press" if draw(one_in(9)) else "text",
                pays="supplier" if draw(one_in(7)) else "price",
                valid_from_ms=draw(figure(st.integers(TURN - 3 * MS_PER_DAY, TURN), 8)),
                valid_until_ms=draw(figure(st.integers(TURN, TURN + 3 * MS_PER_DAY), 8)),
                utc_offset_minutes=draw(st.sampled_from([0, 480, 330, -300])),
                base="contract-value" if draw(one_in(7)) else "price",
                spend=SPENDS[: draw(st.integers(1, 3))],
                share_ppm=BLANK if draw(one_in(12)) else Figure(value=draw(PERCENT)),
                tiers=tuple(tiers),
                includes=includes,
                cap_entity_year_micros=draw(figure(AMOUNT, 3)),
                cap_claim_micros=draw(figure(AMOUNT, 6)),
                cap_contract_micros=draw(figure(AMOUNT, 8)),
                pot_year_micros=draw(figure(AMOUNT, 2)),
                min_spend_year_micros=draw(figure(AMOUNT, 8)),
                auto_device_milli_ms=draw(figure(st.integers(1, 300), 7)),
                entity_months=draw(figure(st.integers(1, 2), 9)),
                contract=ContractTerms(required=draw(one_in(12))),
                eligible=((START_UP, RANK),) if draw(one_in(6)) else (),
                counts=((DOMESTIC,),) if draw(one_in(6)) else (),
                unrelated_party=draw(one_in(10)),
                via_platform=draw(one_in(10)),
                excludes=draw(st.sampled_from(["any", "level"])) if draw(one_in(8)) else "",
                order=draw(st.integers(0, 2)),
                ceiling_ppm=draw(figure(PERCENT, 4)),
                sharing="pro-rata" if pro_rata or draw(one_in(8)) else "first-come",
            )
        )
    return made


@st.composite
def bills(draw: st.DrawFn) -> list[BillLine]:
    """Lines at different times: ties of time are broken by a rule that the twin need not know."""
    times = draw(
        st.lists(
            st.one_of(
                st.integers(TURN - 4 * MS_PER_DAY, TURN + 4 * MS_PER_DAY),
                st.integers(TURN, TURN + 70 * MS_PER_DAY),
            ),
            min_size=1, max_size=6, unique=True,
        )
    )  # fmt: skip
    return [
        BillLine(
            spend=draw(st.sampled_from(SPENDS)),
            micros=draw(st.integers(0, 300)),
            at_ms=at,
            seller=draw(st.sampled_from(["s1", "s2"])),
            device_milli_ms=draw(st.integers(0, 200)),
            via_platform=draw(st.booleans()),
            facts=tuple(
                NamedFact(name="domestic", value=v)
                for v in draw(st.sampled_from([(), (True,), (True,), (False,)]))
            ),
        )
        for at in times
    ]


@st.composite
def entities(draw: st.DrawFn) -> Entity:
    facts = [NamedFact(name="start-up", value=draw(st.booleans()))]
    facts += [NamedFact(name="h-index", value=n) for n in draw(st.sampled_from([(), (4,), (9,)]))]
    return Entity(name=draw(st.sampled_from(["e1", "e2"])), facts=tuple(facts))


CONTRACTS = st.tuples(
    one_in(5),
    st.builds(
        Contract,
        id=st.sampled_from(["c1", "c2"]),
        value_micros=AMOUNT,
        related=st.sampled_from([False, False, True, None]),
    ),
).map(lambda drawn: None if drawn[0] else drawn[1])
CLAIMS = st.lists(
    st.builds(
        VoucherClaim,
        id=st.just("k"),
        rule=st.sampled_from(["r0", "r1", "r2"]),
        entity=st.sampled_from(["e1", "e2"]),
        approved_micros=st.one_of(st.none(), AMOUNT),
        approved_device_milli_ms=st.one_of(st.none(), st.integers(0, 400)),
        expires_ms=st.one_of(st.none(), st.integers(TURN - 3 * MS_PER_DAY, TURN + 9 * MS_PER_DAY)),
        revoked=one_in(8),
    ),
    max_size=3,
    unique_by=lambda claim: (claim.rule, claim.entity),
)
SEQUENCES = st.lists(st.tuples(bills(), entities(), CONTRACTS), min_size=1, max_size=5)
ADOPTED = st.sampled_from([frozenset(), frozenset({"r0", "r1"})])


@SLOW
@given(rules(), SEQUENCES, ADOPTED, CLAIMS)
def test_sums_and_limits_over_a_sequence_of_claims_and_the_twin_agrees(
    ruleset, bought, adopted, claims
):
    usage = NO_USAGE
    named = {rule.name: rule for rule in ruleset}
    pot, cap, on_contract = defaultdict(int), defaultdict(int), defaultdict(int)
    for lines, entity, contract in bought:
        result = split(
            lines, claims, ruleset, usage, entity, TURN, contract=contract, adopted=adopted
        )
        price = sum(line.micros for line in lines)
        assert sum(part.micros for part in result.parts) == price == result.price_micros
        assert all(part.micros >= 0 for part in (*result.parts, *result.rewards))
        assert sum(result.own_by_spend.values()) == result.own_micros
        parts, rewards, deferred = plain_split(
            lines, ruleset, usage, entity, contract=contract, adopted=adopted, claims=claims
        )
        assert {(p.rule, p.year): p.micros for p in result.parts if p.rule} == parts
        assert {(p.rule, p.year, p.payee): p.micros for p in result.rewards} == rewards
        assert {v.rule: v.deferred_micros for v in result.verdicts if v.deferred_micros} == deferred
        for verdict in result.verdicts:
            rule = named[verdict.rule]
            _hold_to_the_lines(rule, verdict, lines, contract)
            for claim in claims:
                if (claim.rule, claim.entity) == (rule.name, entity.name):
                    _hold_to_the_claim(rule, claim, verdict, lines)
            if not verdict.pays_micros and not verdict.deferred_micros and price:
                assert verdict.refused or verdict.limited or verdict.entitled_micros == 0
        for part in (*result.parts[:-1], *result.rewards):
            pot[part.rule, part.year] += part.micros
            cap[part.rule, part.payee or entity.name, part.year] += part.micros
            if contract is not None:
                on_contract[part.rule, contract.id] += part.micros
        usage = used(usage, result.usage)
    for (name, _), spent in pot.items():
        assert _within(spent, named[name].pot_year_micros)
    for (name, _, _), spent in cap.items():
        assert _within(spent, named[name].cap_entity_year_micros)
    for (name, _), spent in on_contract.items():
        assert _within(spent, named[name].cap_contract_micros)


def _within(spent: int, limit: Figure) -> bool:
    return limit.value is None or spent <= limit.value


def _hold_to_the_lines(rule, verdict, lines, contract):
    """No payment beyond the highest share of the lines in force that count; nor beyond ceilings."""
    paid = verdict.pays_micros + verdict.deferred_micros
    first, end = rule.valid_from_ms.value, rule.valid_until_ms.value
    open_lines = [
        line
        for line in lines
        if line.spend in rule.spend
        and (first is None or line.at_ms >= first)
        and (end is None or line.at_ms < end)
        and (line.via_platform or not rule.via_platform)
    ]
    shares = [rule.share_ppm.value, *(tier.share_ppm.value for tier in rule.tiers)]
    highest = max((share for share in shares if share is not None), default=0)
    base = sum(line.micros for line in open_lines)
    if rule.base == "contract-value":
        base = min(base, contract.value_micros or 0) if contract is not None else 0
    assert paid * PPM <= base * highest
    assert _within(paid, rule.cap_claim_micros)
    if rule.pays == "price" and rule.ceiling_ppm.value is not None:
        assert paid * PPM <= sum(line.micros for line in open_lines) * rule.ceiling_ppm.value


def _hold_to_the_claim(rule, claim, verdict, lines):
    if rule.pays == "supplier":
        return  # its caps are the sellers'; the twin judges it
    paid = verdict.pays_micros + verdict.deferred_micros
    in_time = [one for one in lines if claim.expires_ms is None or one.at_ms < claim.expires_ms]
    assert paid <= (0 if claim.revoked else sum(one.micros for one in in_time))
    assert claim.approved_micros is None or paid <= claim.approved_micros


@SLOW
@given(rules(), bills(), entities(), PERCENT)
def test_all_funders_together_keep_the_lowest_ceiling(ruleset, lines, entity, ceiling):
    capped = [replace(rule, ceiling_ppm=Figure(value=ceiling), pays="price") for rule in ruleset]
    result = split(lines, [], capped, NO_USAGE, entity, TURN)
    funded = sum(v.pays_micros + v.deferred_micros for v in result.verdicts)
    assert funded * PPM <= result.price_micros * ceiling


@SLOW
@given(rules(), bills(), entities(), CONTRACTS, st.randoms(use_true_random=False))
def test_the_order_of_lines_and_rules_does_not_matter(ruleset, lines, entity, contract, random):
    at_once = split(lines, [], ruleset, NO_USAGE, entity, TURN, contract=contract)
    lines, ruleset = list(lines), list(ruleset)
    random.shuffle(lines)
    random.shuffle(ruleset)
    assert split(lines, [], ruleset, NO_USAGE, entity, TURN, contract=contract) == at_once


@SLOW
@given(
    rules(), SEQUENCES, bills(), entities(), CONTRACTS,
    st.lists(st.integers(1, 4), min_size=6, max_size=6),
)  # fmt: skip
def test_readings_posted_one_by_one_make_the_whole_bill(
    ruleset, others, lines, entity, contract, cuts
):
    """However the bill is cut, the postings add up to its split as one bill: to the millionth."""
    usage = NO_USAGE
    for bill, who, other_contract in others:
        usage = used(
            usage, split(bill, [], ruleset, usage, who, TURN, contract=other_contract).usage
        )
    whole = split(lines, [], ruleset, usage, entity, TURN, contract=contract)
    readings = []
    for line, pieces in zip(sorted(lines, key=lambda one: one.at_ms), cuts, strict=False):
        for piece in range(pieces):
            readings.append(
                replace(
                    line,
                    micros=line.micros * (piece + 1) // pieces - line.micros * piece // pieces,
                    device_milli_ms=line.device_milli_ms * (piece + 1) // pieces
                    - line.device_milli_ms * piece // pieces,
                )
            )
    posted: dict[tuple[str, str, int | None, str], int] = defaultdict(int)
    before = None
    for count in range(1, len(readings) + 1):
        after = split(readings[:count], [], ruleset, usage, entity, TURN, contract=contract)
        grown = increments(before, after)
        growth = after.price_micros - (before.price_micros if before else 0)
        assert sum(part.micros for part in grown if not part.payee) == growth
        for part in grown:
            posted[part.payer, part.rule, part.year, part.payee] += part.micros
        before = after
    expected = {
        (p.payer, p.rule, p.year, p.payee): p.micros for p in (*whole.parts, *whole.rewards)
    }
    assert {key: m for key, m in posted.items() if m} == {k: m for k, m in expected.items() if m}


@SLOW
@given(rules(pro_rata=True), st.lists(bills(), min_size=2, max_size=4), st.integers(0, 500),
       st.randoms(use_true_random=False))  # fmt: skip
def test_a_pot_shared_at_the_end_does_not_ask_who_came_first(ruleset, lines, pot, random):
    """Each claim is another entity's; both orders give every claim the same."""
    free = [replace(rule, pays="price", excludes="") for rule in ruleset]
    claims = [(f"claim-{n}", Entity(name=f"e{n}"), bill) for n, bill in enumerate(lines)]

    def settle(order):
        usage, entitled = NO_USAGE, defaultdict(dict)
        for name, entity, bill in order:
            result = split(bill, [], free, usage, entity, TURN)
            usage = used(usage, result.usage)
            for verdict in result.verdicts:
                entitled[verdict.rule][name] = verdict.deferred_micros
        return {rule: share_out(amounts, pot) for rule, amounts in entitled.items()}

    shuffled = list(claims)
    random.shuffle(shuffled)
    assert settle(claims) == settle(shuffled)


@SLOW
@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 10**6)), st.integers(0, 10**6))
def test_share_out_is_in_proportion_and_never_more_than_the_pot(entitled, pot):
    shares = share_out(entitled, pot)
    total = sum(entitled.values())
    assert sum(shares.values()) == min(pot, total)
    for name, amount in entitled.items():
        assert 0 <= shares[name] <= amount
        if total > pot:
            assert abs(shares[name] * total - amount * pot) < total


@SLOW
@given(rules(), bills(), entities(), st.integers(0, 100))
def test_what_is_clawed_back_can_be_used_again(ruleset, lines, entity, part):
    result = split(lines, [], ruleset, NO_USAGE, entity, TURN)
    usage = used(NO_USAGE, result.usage)
    for rule in {p.rule for p in result.parts if p.rule}:
        claim = VoucherClaim(id="c", rule=rule, entity=entity.name)
        paid = sum(p.micros for p in result.parts if p.rule == rule)
        back = claw_back(claim, result.parts, "false papers", micros=paid * part // 100)
        assert sum(one.micros for one in back.parts) == 0
        assert back.micros == paid * part // 100
        assert back.claim.revoked
        left = returned(usage, back)
        spent = sum(m for (name, _), m in left.pot.items() if name == rule)
        assert spent == paid - back.micros
        assert all(micros >= 0 for micros in left.pot.values())
        assert split(lines, [back.claim], ruleset, NO_USAGE, entity, TURN).refused


@given(st.integers(0, 4_000_000_000_000), st.sampled_from([0, 480, 330, -300]))
def test_a_year_ends_where_the_next_begins(at_ms, offset):
    turn = next_year_ms(at_ms, offset)
    assert at_ms < turn
    assert year_of(turn - 1, offset) == year_of(at_ms, offset) == year_of(turn, offset) - 1
    assert day_start_ms(date(1970, 1, 1), 480) == -8 * 3_600_000
    assert add_months(at_ms, 12, offset) <= turn + 366 * MS_PER_DAY
