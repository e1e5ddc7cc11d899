"""Programmes: voucher rules with the money in their pots, whom they admit, and how long it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from westward.ledger.accounts import Account, Balances, standard_id
from westward.ledger.accounts import AccountKind as Kind
from westward.ledger.forecast import DAYS_LEAST, DryForecast, forecast
from westward.ledger.road import network_accounts, pot_id
from westward.ledger.transfers import Outcome, Refused, Transfer, TransferKind
from westward.ledger.vouchers import advance, pending_step
from westward.ledger.vouchers.calendar import day_of, day_start_ms, next_year_ms, year_of
from westward.ledger.vouchers.claims import ClaimRefusal
from westward.model.units import MS_PER_DAY
from westward.model.voucher import Evidence, Rule, StepName, VoucherClaim
from westward.store.database import Store
from westward.store.ledger import open_accounts, post
from westward.store.ledger_reading import balances_of
from westward.store.money import load_claims, save_claim
from westward.store.pots import daily_spend, first_opened_ms

Json = dict[str, Any]
PAST_DAYS = 56
"""Of spend, that a forecast starts from."""
_CLAIM = TypeAdapter(VoucherClaim)


def bring_in(
    store: Store, account: Account, transfer_id: str, micros: int, now_ms: int, reason: str
) -> Outcome:
    """Money from outside into ``account``, opened if need be. A repeated id changes nothing; what
    is refused leaves nothing behind."""
    outside = standard_id(Kind.EXTERNAL, "", account.unit)
    asked = Transfer(
        transfer_id=transfer_id, kind=TransferKind.POSTED, debit=outside,
        credit=account.account_id, amount=micros, category="funding", reason=reason,
    )  # fmt: skip
    try:
        with store.whole():
            open_accounts(store, [*network_accounts(account.unit), account], now_ms)
            (outcome,) = post(store, [asked], now_ms)
            if isinstance(outcome, Refused):
                raise _Undone(outcome)
    except _Undone as undone:
        return undone.outcome
    return outcome


class _Undone(Exception):
    """Rolls back what was done so far."""

    def __init__(self, outcome: Refused) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


def programme_view(store: Store, rule: Rule, unit: str, now_ms: int, *, money: bool) -> Json:
    """``money``: whether the asker may see what is in the pot, and who was admitted."""
    year = year_of(now_ms, rule.utc_offset_minutes)
    view: Json = {
        "rule": rule.name,
        "label": rule.label,
        "funder": rule.funder,
        "pays": rule.pays,
        "share_ppm": rule.share_ppm.value,
        "cap_entity_year_micros": rule.cap_entity_year_micros.value,
        "pot_stated_micros": rule.pot_year_micros.value,
        "year": year,
        "currency": unit,
        "pot": None,
        "admitted": None,
    }
    if money:
        view["pot"] = pot_view(store, rule, year, unit)
        claims = [one for one in load_claims(store) if one.rule == rule.name]
        view["admitted"] = [one.entity for one in claims if not one.revoked]
    return view


def pot_view(store: Store, rule: Rule, year: int, unit: str) -> Json:
    account = pot_id(rule.name, year, unit)
    state = balances_of(store, (account,)).get(account)
    return {"year": year, **money_view(account, None if state is None else state.balances)}


def money_view(account: str, balances: Balances | None) -> Json:
    """An account as people speak of it."""
    found = balances or Balances()
    return {
        "account": account,
        "paid_in_micros": found.credits_posted,
        "spent_micros": found.debits_posted,
        "held_micros": found.debits_pending,
        "available_micros": found.available,
    }


# -- how long it lasts ------------------------------------------------------------------------


def forecast_view(
    store: Store, rule: Rule, unit: str, now_ms: int, generator: np.random.Generator
) -> Json:
    """Simulated to the end of the rule's calendar year, when the pot ends anyway."""
    offset = rule.utc_offset_minutes
    year = year_of(now_ms, offset)
    pots = [pot_id(rule.name, one, unit) for one in (year - 1, year)]
    today = day_of(now_ms, offset)
    today_ms = day_start_ms(today, offset)
    opened_ms = first_opened_ms(store, pots)
    past = 0
    if opened_ms is not None:
        first = day_start_ms(day_of(opened_ms, offset), offset)
        past = min(PAST_DAYS, (today_ms - first) // MS_PER_DAY)
    state = balances_of(store, pots[1:]).get(pots[1])
    left = 0 if state is None else state.balances.available
    horizon = -(-(next_year_ms(now_ms, offset) - today_ms) // MS_PER_DAY)
    view: Json = {
        "rule": rule.name, "year": year, "currency": unit, "left_micros": left,
        "past_days": past, "past_days_least": DAYS_LEAST, "horizon_days": horizon,
        "last_day": (today + timedelta(days=horizon - 1)).isoformat(),
        "simulation": None,
    }  # fmt: skip
    if past >= DAYS_LEAST:
        from_ms = today_ms - past * MS_PER_DAY
        spent = daily_spend(store, pots, from_ms, past, offset)
        found = forecast(spent, left, horizon, generator)

        def day(number: int | None) -> str | None:
            return None if number is None else (today + timedelta(days=number - 1)).isoformat()

        view["simulation"] = _forecast_view(found, day)
    return view


def _forecast_view(found: DryForecast, day: Any) -> Json:
    return {
        "draws": found.draws,
        "mean_micros_per_day": found.mean_micros_per_day,
        "dry_share": found.dry_share,
        "low_day": day(found.low_day),
        "median_day": day(found.median_day),
        "high_day": day(found.high_day),
    }


# -- claims -----------------------------------------------------------------------------------


def claim_of(store: Store, rule: str, organisation: str) -> VoucherClaim | None:
    return next((one for one in load_claims(store, organisation) if one.rule == rule), None)


def admit(
    store: Store, rule: Rule, organisation: str, now_ms: int, by: str
) -> tuple[VoucherClaim, bool]:
    """The organisation's claim, and whether it is new. One that was revoked begins anew."""
    known = claim_of(store, rule.name, organisation)
    if known is not None and not known.revoked:
        return known, False
    made = VoucherClaim(id=f"{organisation}:{rule.name}", rule=rule.name, entity=organisation)
    save_claim(store, made, now_ms, by)
    return made, True


def revoke(
    store: Store, rule: Rule, organisation: str, now_ms: int, by: str
) -> VoucherClaim | None:
    """None: there is no claim. What was paid stays paid."""
    known = claim_of(store, rule.name, organisation)
    if known is None:
        return None
    ended = replace(known, revoked=True)
    if ended != known:
        save_claim(store, ended, now_ms, by)
    return ended


def take_step(
    store: Store,
    rule: Rule,
    organisation: str,
    step: StepName,
    shown: Sequence[tuple[str, str]],
    now_ms: int,
    by: str,
    *,
    approved_micros: int | None = None,
    approved_device_milli_ms: int | None = None,
    expires_ms: int | None = None,
) -> VoucherClaim | ClaimRefusal | Literal["no-claim"]:
    """One step further, with its evidence (kind, reference)."""
    known = claim_of(store, rule.name, organisation)
    if known is None:
        return "no-claim"
    evidence = [
        Evidence(step=step, kind=kind, reference=reference, at_ms=now_ms)
        for kind, reference in shown
    ]
    moved = advance(
        known, rule, step, evidence, now_ms, approved_micros=approved_micros,
        approved_device_milli_ms=approved_device_milli_ms, expires_ms=expires_ms,
    )  # fmt: skip
    if isinstance(moved, VoucherClaim):
        save_claim(store, moved, now_ms, by)
    return moved


def claim_view(claim: VoucherClaim, rule: Rule | None) -> Json:
    """``rule`` None: the network has it no more."""
    following = None if rule is None else pending_step(claim, rule)
    return {
        **_CLAIM.dump_python(claim, mode="json"),
        "steps": [] if rule is None else [one.name for one in rule.procedure],
        "next_step": None if following is None or claim.revoked else following.name,
        "next_evidence": [] if following is None or claim.revoked else list(following.evidence),
    }
