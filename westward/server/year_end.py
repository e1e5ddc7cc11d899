"""Sharing out a year's pro-rata pot, and taking back what a rule has paid: new transfers with their
reasons, never edits. Each is one linked group under an id that a repeat finds again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from westward.ledger.accounts import Account, AccountKind, standard_id
from westward.ledger.road import network_accounts, pot_id
from westward.ledger.transfers import (
    GROUP_MOST,
    REASON_MOST_CHARS,
    Outcome,
    Refused,
    Transfer,
    TransferKind,
)
from westward.ledger.vouchers import NO_SPLIT, NO_USAGE, Split, Usage
from westward.ledger.vouchers.calendar import day_start_ms, year_of
from westward.ledger.vouchers.claims import claw_back, returned
from westward.ledger.vouchers.year_end import (
    Entitled,
    PaidTo,
    close_year,
    paid_parts,
    spread,
)
from westward.model.people import Project
from westward.model.voucher import Rule
from westward.server.errors import ApiError
from westward.server.programmes import claim_of
from westward.server.purse import pot_account, project_id
from westward.store.database import Store
from westward.store.ledger import open_accounts, post
from westward.store.ledger_reading import balances_of
from westward.store.money import (
    count_usage,
    load_claims,
    load_parties,
    load_usage,
    save_claim,
)
from westward.store.year_end import RunSplit, between, of_group, run_splits

Json = dict[str, Any]
SHARE_OUT, CLAW_BACK = "share-out", "claw-back"
"""Categories of the transfers."""


# -- a year's pro-rata pot --------------------------------------------------------------------


def close(
    store: Store, rule: Rule, year: int, projects: Mapping[str, Project], unit: str,
    now_ms: int, by: str, *, dry_run: bool,
) -> Json:  # fmt: skip
    """What each account gets of the pot of ``year``; posted unless ``dry_run``. Once it is posted a
    repeat shows it and changes nothing. Raises ApiError."""
    group = share_out_group(rule.name, year)
    done = of_group(store, group)
    if done:
        return _close_view(rule, year, unit, done, posted=True, repeated=True)
    ends_ms = day_start_ms(date(year + 1, 1, 1), rule.utc_offset_minutes)
    runs = list(run_splits(store))
    waiting = [one.run_id for one in runs if not one.settled and _counts(one, rule.name, year)]
    entitled = _entitled(store, rule, year, runs, projects, unit)
    not_yet = None
    if rule.sharing != "pro-rata":
        text = f"{rule.name} pays as use comes: no pot of it is shared out at a year's end"
        not_yet, entitled = ("not-pro-rata", text), []
    elif now_ms < ends_ms:
        not_yet = ("year-not-over", f"{year} is not over yet by the calendar of {rule.name}")
    elif waiting:
        text = f"{len(waiting)} runs of {year} are not settled yet ({', '.join(waiting[:3])})"
        not_yet = ("runs-unsettled", text)
    if not_yet is not None and not dry_run:
        raise ApiError(409, *not_yet)
    pot = pot_account(rule, year, unit)
    state = balances_of(store, (pot.account_id,)).get(pot.account_id)
    left = 0 if state is None else state.balances.available
    paid = close_year(entitled, left if rule.pot_year_micros.value is not None else None)
    transfers = [
        Transfer(
            transfer_id=f"{group}:{at}", kind=TransferKind.POSTED, debit=pot.account_id,
            credit=account, amount=micros, group_id=group, category=SHARE_OUT,
            reason=f"share-out of {rule.name} for {year}, by {by}",
        )
        for at, (account, micros) in enumerate(paid.items())
    ]  # fmt: skip
    if not dry_run and transfers:
        _post(store, transfers, [pot, *_payees(store, rule, projects, unit, paid)], unit, now_ms)
    view = _close_view(rule, year, unit, transfers, posted=not dry_run, repeated=False)
    view["entitled_micros"] = sum(one.micros for one in entitled)
    view["pot_micros"] = left if rule.pot_year_micros.value is not None else None
    view["not_yet"] = None if not_yet is None else {"code": not_yet[0], "text": not_yet[1]}
    return view


def due_years(store: Store, rules: Iterable[Rule], now_ms: int) -> dict[str, list[int]]:
    """By pro-rata rule: years that are over, that somebody is entitled in, and that are not shared
    out yet."""
    wanted = {rule.name: rule for rule in rules if rule.sharing == "pro-rata"}
    if not wanted:
        return {}
    found: dict[str, set[int]] = defaultdict(set)
    for (name, _, year), micros in load_usage(store).entity.items():
        rule = wanted.get(name)
        if rule is not None and micros and year < year_of(now_ms, rule.utc_offset_minutes):
            found[name].add(year)
    return {
        name: [one for one in sorted(years) if not of_group(store, share_out_group(name, one))]
        for name, years in found.items()
    }


def share_out_group(rule: str, year: int) -> str:
    return f"{SHARE_OUT}:{rule}:{year}"


def _counts(run: RunSplit, rule: str, year: int) -> bool:
    return any(one[0] == rule and one[2] == year and one[3] for one in run.entity)


def _entitled(
    store: Store, rule: Rule, year: int, runs: Sequence[RunSplit],
    projects: Mapping[str, Project], unit: str,
) -> list[Entitled]:  # fmt: skip
    """By organisation whose claim stands (of a supplier's reward: by seller)."""
    standing = {
        one.entity for one in load_claims(store) if one.rule == rule.name and not one.revoked
    }
    names = {one.project for one in runs}
    parties = load_parties(store, names) if names else {}
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for run in runs:
        for name, who, of_year, micros in run.entity:
            if not run.settled or name != rule.name or of_year != year:
                continue
            if rule.pays == "supplier":
                sums[who][standard_id(AccountKind.SITE, who, unit)] += micros
            elif who in standing:
                party = parties[run.project]
                account = project_id(run.project, unit, budget=party.budget is not None)
                sums[who][account] += micros
    return [
        Entitled(claimant=who, by_account=dict(accounts)) for who, accounts in sorted(sums.items())
    ]


def _payees(
    store: Store, rule: Rule, projects: Mapping[str, Project], unit: str, paid: Mapping[str, int]
) -> list[Account]:
    """Accounts that may not be open yet: of projects that got or lost a budget since."""
    if rule.pays == "supplier":
        return []
    missing = set(paid) - set(balances_of(store, sorted(paid)))
    return [
        Account(
            account_id=name, kind=AccountKind.PROJECT, unit=unit, overdraft=not budget,
            owner=project,
        )
        for project in projects
        for budget in (False, True)
        if (name := project_id(project, unit, budget=budget)) in missing
    ]  # fmt: skip


def _close_view(
    rule: Rule, year: int, unit: str, transfers: Sequence[Transfer], *, posted: bool, repeated: bool
) -> Json:
    return {
        "rule": rule.name,
        "year": year,
        "currency": unit,
        "posted": posted,
        "repeated": repeated,
        "entitled_micros": None,
        "pot_micros": None,
        "not_yet": None,
        "paid_micros": sum(one.amount for one in transfers),
        "parts": [_part(one.credit, one) for one in transfers],
    }


# -- taking back ------------------------------------------------------------------------------


def take_back(
    store: Store, rule: Rule, organisation: str, claw_back_id: str, micros: int | None,
    reason: str, evidence: Sequence[tuple[str, str]], projects: Mapping[str, Project], unit: str,
    now_ms: int, by: str, *, dry_run: bool,
) -> Json:  # fmt: skip
    """Takes ``micros`` (None: all) of what ``rule`` paid for the organisation back into the pots it
    came from, newest year first; its projects owe it. The claim is revoked. Raises ApiError."""
    claim = claim_of(store, rule.name, organisation)
    if claim is None:
        raise ApiError(404, "not-found", f"there is no claim of organisation {organisation!r}")
    if rule.pays == "supplier":
        text = f"{rule.name} pays sellers beside the price: nothing of it went to {organisation}"
        raise ApiError(409, "paid-to-sellers", text)
    group = f"{CLAW_BACK}:{rule.name}:{organisation}:{claw_back_id}"
    why = f"claw-back from {organisation}, by {by}: {reason} (evidence: "
    why += "; ".join(f"{kind} {reference}" for kind, reference in evidence) + ")"
    if len(why) > REASON_MOST_CHARS:
        text = f"reason and evidence together have at most {REASON_MOST_CHARS} characters"
        raise ApiError(400, "reason-too-long", text)
    done = of_group(store, group)
    if done:
        return _back_view(rule, organisation, unit, done, None, posted=True, repeated=True)
    own = sorted({one.project for one in projects.values() if one.organisation == organisation})
    paid = _paid(store, rule, own, unit)
    try:
        back = claw_back(claim, paid_parts(rule.name, paid), reason, micros=micros)
    except ValueError as error:
        raise ApiError(409, "claw-back-impossible", str(error)) from None
    taken = spread(back, paid)
    transfers = [
        Transfer(
            transfer_id=f"{group}:{at}", kind=TransferKind.POSTED,
            debit=project_id(one.project, unit, budget=False),
            credit=pot_id(rule.name, one.year, unit), amount=one.micros, group_id=group,
            category=CLAW_BACK, reason=why,
        )
        for at, one in enumerate(taken)
    ]  # fmt: skip
    if not dry_run:
        # What is owed is owed: a project with a budget is billed beside it.
        accounts = [
            Account(
                account_id=project_id(one, unit, budget=False), kind=AccountKind.PROJECT, unit=unit,
                overdraft=True, owner=one,
            )
            for one in sorted({one.project for one in taken})
        ]  # fmt: skip
        pots = [pot_account(rule, year, unit) for year in sorted({one.year for one in taken})]
        with store.whole():
            if transfers:
                _post(store, transfers, [*accounts, *pots], unit, now_ms)
            save_claim(store, back.claim, now_ms, by)
            count_usage(store, _usage_alone(returned(NO_USAGE, back)), 1)
    left = sum(one.micros for one in paid) - sum(one.amount for one in transfers)
    return _back_view(rule, organisation, unit, transfers, left, posted=not dry_run, repeated=False)


def _paid(store: Store, rule: Rule, projects: Sequence[str], unit: str) -> list[PaidTo]:
    """From the runs' splits, the years' share-outs, and what was taken back before."""
    sums: dict[tuple[str, int], int] = defaultdict(int)
    for run in run_splits(store, projects):
        for name, _, year, micros in run.parts:
            if run.settled and name == rule.name:
                sums[run.project, year] += micros
    accounts = {
        project_id(project, unit, budget=budget): project
        for project in projects
        for budget in (False, True)
    }
    years = _years(store, rule, unit)
    for category in (SHARE_OUT, CLAW_BACK):
        for (pot, account), micros in between(store, category, list(years), accounts).items():
            if account in accounts:
                sums[accounts[account], years[pot]] += micros
    return [
        PaidTo(project=project, payer=rule.funder, year=year, micros=micros)
        for (project, year), micros in sorted(sums.items())
        if micros > 0
    ]


def _years(store: Store, rule: Rule, unit: str) -> dict[str, int]:
    """The rule's pots that are open, and their years."""
    names = {pot_id(rule.name, year, unit): year for year in range(2000, 2201)}
    return {name: names[name] for name in balances_of(store, sorted(names))}


def _usage_alone(usage: Usage) -> Split:
    return replace(NO_SPLIT, usage=usage)


def _back_view(
    rule: Rule, organisation: str, unit: str, transfers: Sequence[Transfer], left: int | None,
    *, posted: bool, repeated: bool,
) -> Json:  # fmt: skip
    return {
        "rule": rule.name,
        "organisation": organisation,
        "currency": unit,
        "posted": posted,
        "repeated": repeated,
        "taken_micros": sum(one.amount for one in transfers),
        "left_micros": left,
        "parts": [_part(one.debit, one) for one in transfers],
    }


def _part(account: str, one: Transfer) -> Json:
    pot = one.credit if one.debit == account else one.debit
    return {
        "transfer_id": one.transfer_id, "account": account, "pot": pot, "micros": one.amount,
    }  # fmt: skip


def _post(
    store: Store, transfers: Sequence[Transfer], accounts: Sequence[Account], unit: str, now_ms: int
) -> None:
    """All or none, accounts and all. Raises ApiError with the ledger's code."""
    if len(transfers) > GROUP_MOST:
        text = f"{len(transfers)} transfers: more than the {GROUP_MOST} of one group"
        raise ApiError(409, "too-many-at-once", text)
    with store.whole():
        open_accounts(store, [*network_accounts(unit), *accounts], now_ms)
        outcomes: tuple[Outcome, ...] = post(store, transfers, now_ms)
        refused = [one for one in outcomes if isinstance(one, Refused)]
        if refused:
            first = min(refused, key=lambda one: one.code == "group-failed")
            raise ApiError(409, str(first.code), first.text)
