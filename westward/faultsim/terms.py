"""Terms of made-up rules that ``funders`` draws seldom or never, and claims that have run out.

For worlds with an office (``office``): its rules are those of ``funders``, changed here.
"""

from __future__ import annotations

import random
from dataclasses import replace

from westward.faultsim.funders import DAY_MS, MONTH_MS, Funders
from westward.model.voucher import Condition, ContractTerms, Figure, Rule, Spend, Tier

_FURTHER = (
    Condition(subject="entity", fact="trade", test="one_of", value=("mining", "steel")),
    Condition(subject="entity", fact="staff", test="at_least", value=30),
    Condition(subject="entity", fact="debts", test="at_most", value=3),
    Condition(subject="entity", fact="seat", test="none_within_years", value=2),
    Condition(subject="entity", fact="last-offence", test="none_within_years", value=1),
    Condition(subject="entity", fact="debts", test="none_within_years", value=1),
)
"""Some can never be known: what is shown is no day."""
SHARES = (0, 150_000, 400_000)


def richer(found: Funders, number: int, epoch_ms: int) -> Funders:
    """``number`` is all that is drawn from; ``epoch_ms``: when the world begins."""
    dice = random.Random(f"westward-faultsim-terms-{number}")
    rules: list[Rule] = []
    for rule in found.rules:
        rules.append(_rule(dice, rule, rules, epoch_ms))
    claims = tuple(
        replace(one, expires_ms=epoch_ms + dice.choice((-1, 9_000)), done=())
        if dice.random() < 0.15
        else one
        for one in found.claims
    )
    paid_in = {
        name: dice.choice((0, 900, 20_000, 10**9)) if dice.random() < 0.5 else micros
        for name, micros in found.paid_in.items()
    }
    contract = found.contract
    if contract is not None and dice.random() < 0.3:
        contract = replace(contract, value_micros=dice.choice((500, 30_000)), related=False)
    return replace(found, rules=tuple(rules), claims=claims, paid_in=paid_in, contract=contract)


def _rule(dice: random.Random, rule: Rule, before: list[Rule], epoch_ms: int) -> Rule:
    if dice.random() < 0.4:  # the plainest of all: so that much is paid, and may be taken back
        rule = replace(
            rule, standing="text", valid_from_ms=Figure(), valid_until_ms=Figure(), procedure=(),
            contract=ContractTerms(), eligible=(), counts=(), unrelated_party=False, spend=SPENDS,
            base="price", share_ppm=Figure(value=dice.choice((200_000, 400_000))), excludes="",
            cap_contract_micros=Figure(), min_spend_year_micros=Figure(),
            entity_months=Figure(), auto_device_milli_ms=Figure(),
        )  # fmt: skip
    if dice.random() < 0.3:
        rule = replace(rule, sharing="pro-rata", pot_year_micros=Figure(value=10**12))
    lower = [one.name for one in before if one.name < rule.name]  # none is within itself
    if lower and dice.random() < 0.3:
        rule = replace(rule, includes=tuple(lower[-2:]))
    if dice.random() < 0.15:
        rule = replace(rule, base="contract-value", procedure=())
    if dice.random() < 0.15:
        rule = replace(rule, excludes=dice.choice(("any", "level")))
    if dice.random() < 0.15:
        rule = replace(rule, eligible=(tuple(dice.sample(_FURTHER, 2)),))
    if dice.random() < 0.2:
        rule = replace(rule, contract=_contract(dice, epoch_ms))
    match dice.randrange(12):
        case 0:
            rule = replace(rule, spend=())
        case 1:
            rule = replace(rule, share_ppm=Figure(), tiers=())
        case 2:
            tier = Tier(label="never", share_ppm=Figure(value=SHARES[1]), when=((_FURTHER[3],),))
            rule = replace(rule, share_ppm=Figure(), tiers=(tier,))
        case 3:
            rule = replace(rule, min_spend_year_micros=Figure(value=10**12))
        case 4:
            rule = replace(rule, pays="supplier", procedure=(), standing="text")
        case _:
            pass
    return rule


SPENDS: tuple[Spend, ...] = ("compute", "electricity")


def _contract(dice: random.Random, epoch_ms: int) -> ContractTerms:
    return dice.choice(
        (
            ContractTerms(paid_first=True),
            ContractTerms(signed_until_ms=Figure(value=epoch_ms - 12 * MONTH_MS)),
            ContractTerms(signed_from_ms=Figure(value=epoch_ms - DAY_MS)),
            ContractTerms(claims_max=Figure(value=0)),
            ContractTerms(max_months=Figure(value=1)),
        )
    )
