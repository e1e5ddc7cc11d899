"""What a funders' office does when a world has come to rest: claims go on a step or may not, years are
closed, money is taken back, it is foretold how long a pot lasts, and strangers ask what they would
be paid. Shipped code does it; what must come of it is worked out here, from rows and from what the
rules say at their plainest.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

import numpy as np

from westward.faultsim.build import OUTSIDE, UNIT, epoch_ms, funders_of
from westward.faultsim.checkers import Broken
from westward.faultsim.funders import DAY_MS, ENTITY, most_ppm
from westward.faultsim.scenario import Act, Scenario
from westward.ledger.accounts import Account
from westward.ledger.transfers import Transfer, TransferKind
from westward.ledger.vouchers.calendar import year_of
from westward.ledger.vouchers.claims import ClaimRefusal
from westward.ledger.vouchers.split import split
from westward.ledger.vouchers.usage import Usage
from westward.model.people import Project
from westward.model.voucher import (
    BillLine,
    Contract,
    Entity,
    NamedFact,
    Rule,
    Spend,
    StepName,
    VoucherClaim,
)
from westward.server.core import Core
from westward.server.errors import ApiError
from westward.server.people import load_people
from westward.server.programmes import forecast_view, take_step
from westward.server.purse import pot_account
from westward.server.year_end import close, take_back
from westward.store import ledger
from westward.store.money import load_claims
from westward.store.people import create_project

PAST_DAYS = 40
YEAR_MS = 366 * DAY_MS
QUESTIONS = 4
"""Of strangers, a world."""
_PAID = (
    "SELECT COALESCE(SUM(CASE WHEN debit = ? THEN amount ELSE -amount END), 0) "
    "FROM ledger_transfers WHERE (debit = ? OR credit = ?) AND kind IN ('posted', 'post') "
    "AND category NOT IN ('funding', 'history')"
)
"""What a pot has paid, less what came back."""
_STATE = "SELECT COUNT(*), (SELECT SUM(version) FROM ledger_accounts) FROM ledger_transfers"


def with_office(one: Scenario) -> Scenario:
    """A part of all worlds, by dice of its own: funders' offices, and somebody who asks of the ledger
    what nobody should."""
    dice = random.Random(f"westward-faultsim-{one.seed}-office")
    if dice.random() < 0.06:
        rules = dice.randrange(1_000_000) if one.rules is None else one.rules
        one = replace(one, office=dice.randrange(1_000_000), rules=rules, pot_micros=None)
    if dice.random() < 0.03:
        act = Act(at_ms=dice.randrange(200, one.heal_ms), kind="unsound", target="", size=0)
        one = replace(one, acts=tuple(sorted((*one.acts, act), key=lambda act: act.at_ms)))
    return one


@dataclass(frozen=True, slots=True)
class Office:
    """At one server, of one world. ``raw``: its rows."""

    scenario: Scenario
    core: Core
    raw: sqlite3.Connection
    dice: random.Random

    # -- before the world begins --------------------------------------------------------------

    def before(self) -> None:
        """Both projects belong to the claimant, and last year's pot of one rule has a past."""
        store, now_ms = self.core.store, self.core.clock.now_ms()
        with store.together():
            beta = Project(
                project="beta", organisation=ENTITY, label="", created_ms=now_ms, created_by="lead"
            )
            create_project(store, beta)
            if self._foretells():
                for at_ms, transfers in self._past(now_ms):
                    ledger.post(store, transfers, at_ms)
        self.core.people = load_people(store)

    def _foretells(self) -> bool:
        return (self.scenario.office or 0) % 10 == 0

    def _past(self, now_ms: int) -> list[tuple[int, list[Transfer]]]:
        rule = self._first()
        pot = pot_account(rule, year_of(now_ms, rule.utc_offset_minutes) - 1, UNIT)
        began_ms = now_ms - PAST_DAYS * DAY_MS
        ledger.open_accounts(self.core.store, (OUTSIDE, pot), began_ms)
        days = self._days()
        inflow = _posted("history:in", OUTSIDE, pot, sum(days), "funding")
        found = [(began_ms, [inflow])]
        for ago, micros in enumerate(days, 1):
            if micros:
                spent = _posted(f"history:{ago}", pot, OUTSIDE, micros, "history")
                found.append((now_ms - ago * DAY_MS, [spent]))
        return found

    def _days(self) -> list[int]:
        """Spent so many days ago, from yesterday on; the oldest is no whole day."""
        dice = random.Random(f"westward-faultsim-past-{self.scenario.office}")
        return [dice.choice((0, 3, 50)) for _ in range(PAST_DAYS - 1)]

    def _first(self) -> Rule:
        found = funders_of(self.scenario)
        assert found is not None
        return found.rules[0]

    # -- after it has come to rest ------------------------------------------------------------

    def closing(self) -> None:
        """Raises Broken."""
        core = self.core
        rules = core.purse.rules
        with core.store.together():
            if self._foretells():
                self._foretold()
            for rule in rules:
                self._steps(rule)
            for rule in rules:
                self._years(rule)
            for rule in rules:
                self._taken_back(rule)
        for _ in range(QUESTIONS):
            self._question(rules)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Below the failing disk, and from within the transaction that is open."""
        return sqlite3.Connection.execute(self.raw, query, values).fetchall()

    def _unchanged(self, what: str, work: Callable[[], Any]) -> Any:
        before = self._rows(_STATE)
        done = work()
        if self._rows(_STATE) != before:
            raise Broken("refused-and-changed", what)
        return done

    # -- claims -------------------------------------------------------------------------------

    def _claim(self, rule: Rule) -> VoucherClaim | None:
        own = load_claims(self.core.store, ENTITY)
        return next((one for one in own if one.rule == rule.name), None)

    def _steps(self, rule: Rule) -> None:
        """Every step there is, with nothing shown for it."""
        now_ms = self.core.clock.now_ms()
        for step in get_args(StepName):
            claim = self._claim(rule)
            wanted = _next(claim, rule, step, now_ms)
            done = take_step(self.core.store, rule, ENTITY, step, [], now_ms, "lead")
            told: str = done if isinstance(done, str) else "moved"
            if isinstance(done, ClaimRefusal):
                told = done.code
            if told != wanted:
                raise Broken("claim-step", f"{rule.name} {step} of {claim}: {told}, not {wanted}")

    # -- years --------------------------------------------------------------------------------

    def _years(self, rule: Rule) -> None:
        store, people = self.core.store, self.core.people.projects
        now_ms = self.core.clock.now_ms()
        year = year_of(now_ms, rule.utc_offset_minutes)

        def closed(of: int, at_ms: int, *, dry_run: bool) -> dict[str, Any]:
            return close(store, rule, of, people, UNIT, at_ms, "lead", dry_run=dry_run)

        if rule.sharing != "pro-rata":
            self._refused("not-pro-rata", lambda: closed(year, now_ms, dry_run=False))
            return
        self._refused("year-not-over", lambda: closed(year, now_ms, dry_run=False))
        for one in (year - 1, year):
            done_before = self._rows(
                "SELECT 1 FROM ledger_transfers WHERE group_id = ?", f"share-out:{rule.name}:{one}"
            )
            had = self._available(rule, one)
            when_ms = now_ms + YEAR_MS
            shown = self._unchanged(
                "a year, shown only", partial(closed, one, when_ms, dry_run=True)
            )
            done = closed(one, when_ms, dry_run=False)
            again = self._unchanged(
                "a year closed twice", partial(closed, one, when_ms, dry_run=False)
            )
            paid = done["paid_micros"]
            if not done_before:
                entitled = done["entitled_micros"]
                # A rule that states no pot is not held to one; its account may be overdrawn or not.
                most = entitled if rule.pot_year_micros.value is None else min(entitled, had)
                if paid != most or shown["parts"] != done["parts"]:
                    raise Broken("share-out", f"{rule.name} {one}: {paid} of {most}, {done}")
                if entitled > self._most_of_all(rule):
                    raise Broken("share-out", f"{rule.name} {one}: {entitled} entitled")
                if self._available(rule, one) != had - paid:
                    raise Broken("share-out", f"{rule.name} {one}: not out of its pot")
            if again["parts"] != done["parts"]:
                raise Broken("share-out", f"{rule.name} {one}: {again['parts']} the second time")

    def _available(self, rule: Rule, year: int) -> int:
        rows = self._rows(
            "SELECT credits_posted - debits_posted - debits_pending FROM ledger_accounts "
            "WHERE account_id = ?",
            f"pot:{rule.name}-{year}:{UNIT}",
        )
        return int(rows[0][0]) if rows else 0

    def _most_of_all(self, rule: Rule) -> int:
        """Of every bill, by the rule's largest share; a millionth a line and bill for rounding."""
        (due, bills) = self._rows(
            "SELECT COALESCE(SUM(MAX(0, device_micros) + MAX(0, power_micros) "
            "+ MAX(0, transfer_micros)), 0), COUNT(*) FROM bills"
        )[0]
        return int(due * most_ppm(rule) // 10**6 + 8 * bills)

    # -- taking back --------------------------------------------------------------------------

    def _taken_back(self, rule: Rule) -> None:
        store, people = self.core.store, self.core.people.projects
        now_ms = self.core.clock.now_ms()

        def back(name: str, micros: int | None, *, dry_run: bool = False) -> dict[str, Any]:
            return take_back(
                store, rule, ENTITY, f"office-{name}", micros, "it was not due", [("letter", "7")],
                people, UNIT, now_ms, "lead", dry_run=dry_run,
            )  # fmt: skip

        if self._claim(rule) is None:
            self._refused("not-found", lambda: back("none", None))
            return
        if rule.pays == "supplier":
            self._refused("paid-to-sellers", lambda: back("none", None))
            return
        paid = self._paid_by(rule)
        shown = self._unchanged("a claw-back, shown only", lambda: back("all", None, dry_run=True))
        total = shown["taken_micros"]
        disputed = any(one.kind == "dispute" for one in self.scenario.acts)
        if not disputed and total != paid:
            raise Broken("claw-back", f"{rule.name}: {total} may be taken back of {paid} paid")
        self._refused("claw-back-impossible", lambda: back("much", total + 1))
        third = back("third", total // 3)
        rest = back("rest", None)
        again = self._unchanged("a claw-back asked for twice", lambda: back("rest", None))
        taken = (third["taken_micros"], rest["taken_micros"], again["taken_micros"])
        wanted = (total // 3, total - total // 3, total - total // 3)
        if taken != wanted or self._paid_by(rule) != paid - total or rest["left_micros"] != 0:
            raise Broken("claw-back", f"{rule.name}: {taken}, not {wanted}")
        claim = self._claim(rule)
        if claim is None or not claim.revoked:
            raise Broken("claw-back", f"{rule.name}: its claim goes on")

    def _paid_by(self, rule: Rule) -> int:
        """All its pots together."""
        pots = self._rows(
            "SELECT account_id FROM ledger_accounts WHERE account_id LIKE ?", f"pot:{rule.name}-%"
        )
        return sum(self._rows(_PAID, pot, pot, pot)[0][0] for (pot,) in pots)

    def _refused(self, code: str, work: Callable[[], Any]) -> None:
        def asked() -> str:
            try:
                return f"done: {work()}"
            except ApiError as error:
                return error.code

        told = self._unchanged(code, asked)
        if told != code:
            raise Broken("office-answers", f"{told}, not {code}")

    # -- how long a pot lasts -----------------------------------------------------------------

    def _foretold(self) -> None:
        rule, now_ms = self._first(), self.core.clock.now_ms()
        began_ms = epoch_ms(self.scenario)
        view = forecast_view(self.core.store, rule, UNIT, now_ms, np.random.default_rng(7))
        offset_ms = rule.utc_offset_minutes * 60_000
        midnight = (now_ms + offset_ms) // DAY_MS != (began_ms + offset_ms) // DAY_MS
        if self.scenario.year_turns or midnight:
            return  # other days, or the pot of another year
        found = view["simulation"]
        if found is None:
            raise Broken("foretold", f"nothing, of {PAST_DAYS} days")
        spent = sum(self._days())
        if found["mean_micros_per_day"] != spent // PAST_DAYS:
            raise Broken("foretold", f"{found}: {spent} were spent in {PAST_DAYS} days")
        days = [found[f"{name}_day"] or "9999" for name in ("low", "median", "high")]
        share, left = found["dry_share"], view["left_micros"]
        if days != sorted(days) or not 0 <= share <= 1:
            raise Broken("foretold", f"{found}")
        if (left <= 0 and share != 1) or (left >= 10**8 and share != 0):
            raise Broken("foretold", f"{found} of {left}")

    # -- strangers ----------------------------------------------------------------------------

    def _question(self, rules: Sequence[Rule]) -> None:
        """A bill that nobody has, of somebody who is no customer."""
        dice, at_ms = self.dice, self.core.clock.now_ms()
        spends: tuple[Spend, ...] = ("compute", "electricity", "network", "storage")
        lines = [
            BillLine(
                spend=dice.choice(spends), micros=dice.choice((0, 1, 999, 10**7)),
                at_ms=at_ms + dice.choice((0, 0, YEAR_MS)), seller="anybody",
                device_milli_ms=dice.choice((0, 3_600_000)), via_platform=dice.random() < 0.5,
            )
            for _ in range(dice.randint(1, 5))
        ]  # fmt: skip
        facts = (NamedFact(name="staff", value=40), NamedFact(name="seat", value="here"))
        contract = Contract(
            id="k9", value_micros=dice.choice((None, 500)), signed_ms=at_ms - DAY_MS,
            start_ms=at_ms, end_ms=at_ms + 30 * DAY_MS, related=dice.choice((None, False, True)),
            facts=(NamedFact(name="paid", value=True),),
        )  # fmt: skip
        claims = tuple(
            VoucherClaim(
                id=f"q:{rule.name}", rule=rule.name, entity="stranger", contract="k9",
                done=tuple(step.name for step in rule.procedure), revoked=dice.random() < 0.2,
                expires_ms=dice.choice((None, None, at_ms)),
            )
            for rule in rules
            if dice.random() < 0.7
        )  # fmt: skip
        usage = Usage(contract_claims={(rule.name, "k9"): dice.choice((0, 3)) for rule in rules})
        with_contract = contract if dice.random() < 0.7 else None
        found = split(
            lines, claims, rules, usage, Entity(name="stranger", facts=facts), at_ms,
            contract=with_contract,
        )  # fmt: skip
        price = sum(line.micros for line in lines)
        if sum(part.micros for part in found.parts) != price or found.own_micros < 0:
            raise Broken("question-answered", f"{found.parts} of {price}")
        paid = {one.rule: one.pays_micros + one.deferred_micros for one in found.verdicts}
        said = {name for name, reason in found.refused if reason.code and reason.text}
        by_rule = {one.rule: one for one in claims}
        for rule in rules:
            most = _most_for(rule, lines, by_rule.get(rule.name), usage, with_contract, at_ms)
            if not 0 <= paid[rule.name] <= most:
                raise Broken("question-answered", f"{rule.name} pays {paid[rule.name]} of {most}")
            plain = not rule.tiers and not rule.includes
            owed = [line.micros for line in lines if line.spend in rule.spend]
            silent = plain and not paid[rule.name] and rule.name not in said
            if silent and max(owed, default=0) * (rule.share_ppm.value or 0) >= 10**6:
                raise Broken("question-answered", f"{rule.name} pays nothing, and says not why")


def _most_for(
    rule: Rule, lines: Sequence[BillLine], claim: VoucherClaim | None, usage: Usage,
    contract: Contract | None, at_ms: int,
) -> int:  # fmt: skip
    """By what a rule says at its plainest."""
    steps = [step.name for step in rule.procedure]
    least = rule.contract.claims_max.value
    others: Mapping[tuple[str, str], int] = usage.contract_claims
    closed = (
        (claim is not None and claim.revoked)
        or (claim is None and "use" in steps[1:])
        or (contract is None and (least is not None or rule.contract.paid_first))
        or (least is not None and others[rule.name, "k9"] >= least)
    )
    if closed:
        return 0
    counted = [
        line
        for line in lines
        if line.spend in rule.spend
        and (line.via_platform or not rule.via_platform)
        and (claim is None or claim.expires_ms is None or line.at_ms < claim.expires_ms)
    ]
    return sum(line.micros for line in counted) * most_ppm(rule) // 10**6


def _next(claim: VoucherClaim | None, rule: Rule, step: str, now_ms: int) -> str:
    """What must come of a step for which nothing is shown."""
    if claim is None:
        return "no-claim"
    if claim.revoked:
        return "claim-revoked"
    left = [one for one in rule.procedure if one.name not in claim.done]
    if not left:
        return "claim-complete"
    if left[0].name != step:
        return "claim-out-of-order"
    over = claim.expires_ms is not None and claim.expires_ms <= now_ms
    if over and step in ("claim", "approve", "hold"):
        return "claim-expired"
    return "claim-evidence" if left[0].evidence else "moved"


def _posted(
    name: str, debit: Account, credit: Account, micros: int, category: str
) -> Transfer:  # fmt: skip
    return Transfer(
        transfer_id=name, kind=TransferKind.POSTED, debit=debit.account_id,
        credit=credit.account_id, amount=micros, category=category,
    )  # fmt: skip
