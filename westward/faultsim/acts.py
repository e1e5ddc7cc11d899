"""What operators, funders and owners do while a world goes on: sites are closed and opened, budgets
and claims come and go, charges are doubted, money is taken back, transfers are asked for that may
be sound or not.

Each is a coroutine function that asks once, as in ``users``. What the server refuses is answered.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Response

from westward.control.events import RunEnded
from westward.faultsim.bookkeeper import ask_all
from westward.faultsim.build import UNIT, epoch_ms, job_spec, network_of
from westward.faultsim.checkers import Broken
from westward.faultsim.funders import ENTITY, funders
from westward.faultsim.net import Answer, Caller, Net
from westward.faultsim.scenario import Act, Scenario
from westward.faultsim.users import TIMEOUT_MS, Ask
from westward.ledger.accounts import Account, AccountKind
from westward.ledger.transfers import EXPIRY_PREFIX, Transfer, TransferKind
from westward.ledger.vouchers.calendar import year_of
from westward.server import api_money, api_site
from westward.server.core import Core
from westward.server.disputing import close_and_post
from westward.server.people import OPERATOR
from westward.server.possible import judge
from westward.server.programmes import take_step
from westward.server.purse import LedgerBroken, Start
from westward.server.quoting import Asked, quote_view
from westward.server.sound import plan_sound
from westward.settlement.disputes import Dispute
from westward.store.database import Store
from westward.store.jobs import load_active
from westward.store.ledger import expire_due, open_accounts, post
from westward.store.lifecycle import report_run
from westward.store.money import Budget, load_runs, set_budget
from westward.store.settlement import answer_dispute, open_dispute

MARKS = {"cordon": "cordoned", "drain": "draining", "open": "open"}
STRAY_MOST_MS = 300_000
"""What is held for a run that never came is given back when its time is nearly over."""
LAST_YEAR = 2026
"""Worlds begin in 2027: the year that may be closed."""


@dataclass(frozen=True, slots=True)
class Acting:
    """One act, as it is asked of whichever server is there."""

    scenario: Scenario
    act: Act
    run_ids: Callable[[], list[str]]
    """Of runs that have a bill, in order."""
    stale: Callable[[], tuple[str, int] | None]
    """A run that is over, and its token."""

    @property
    def name(self) -> str:
        return f"act{self.act.at_ms}"

    async def serve(self, core: Core, _caller: Caller) -> Answer:
        act = self.act
        if act.kind in MARKS:
            body = api_site.MarkRequest.model_validate({"status": MARKS[act.kind]})
            await api_site.mark_site(act.target, body, core)
        else:
            await _HANDLERS[act.kind](self, core)
        return 200, b""


def acts(net: Net, acting: Acting, done: Callable[[], None]) -> Ask:
    async def ask() -> None:
        status, _ = await net.call("users", acting.act.kind, acting.serve, TIMEOUT_MS)
        if status >= 500:
            raise OSError("the server could not do it")
        if status == 200:
            done()

    return ask


# -- budgets and claims -----------------------------------------------------------------------


async def _gift(one: Acting, core: Core) -> None:
    body = api_money.MoneyRequest(transfer_id=one.name, amount_micros=1 + one.act.size)
    await api_money.add_to_budget(one.act.target, body, core, OPERATOR)


async def _budget(one: Acting, core: Core) -> None:
    made = Budget(
        project=one.act.target, on_empty=("suspend", "cancel", "run-on")[one.act.size % 3],
        set_ms=core.clock.now_ms(), set_by="lead",
    )  # fmt: skip
    await core.write(set_budget, core.store, made)
    core.queue_changed()


async def _no_budget(one: Acting, core: Core) -> None:
    await api_money.no_budget(one.act.target, core)


async def _fact(one: Acting, core: Core) -> None:
    drawn = funders(one.act.size, UNIT, epoch_ms(one.scenario))
    for fact in drawn.facts[:2]:
        body = api_money.FactRequest(name=fact.name, value=fact.value, evidence="shown")
        await api_money.new_fact(ENTITY, body, core, OPERATOR)


async def _contract(one: Acting, core: Core) -> None:
    drawn = funders(one.act.size, UNIT, epoch_ms(one.scenario)).contract
    if drawn is not None:
        body = api_money.ContractRequest(
            contract=f"k{one.act.size % 2}", value_micros=drawn.value_micros,
            signed_ms=drawn.signed_ms, start_ms=drawn.start_ms, end_ms=drawn.end_ms,
            related=drawn.related,
        )  # fmt: skip
        await api_money.new_contract(ENTITY, body, core, OPERATOR)


def _rule(one: Acting, core: Core) -> str:
    rules = core.purse.rules
    return rules[one.act.size % len(rules)].name if rules else "none"


async def _revoke(one: Acting, core: Core) -> None:
    await api_money.no_claim(_rule(one, core), ENTITY, core, OPERATOR)


async def _admit(one: Acting, core: Core) -> None:
    await api_money.admit_organisation(_rule(one, core), ENTITY, core, OPERATOR, Response())


async def _step(one: Acting, core: Core) -> None:
    rule = api_money.rule_of(core, _rule(one, core))
    for name in ("claim", "approve", "approve", "settle", "redeem"):
        shown = [("form", "1"), ("invoice", "2")] if one.act.size % 5 else []
        await core.write(
            take_step, core.store, rule, ENTITY, name, shown, core.clock.now_ms(), "lead",
            approved_micros=one.act.size if name == "approve" else None,
        )  # fmt: skip
    core.queue_changed()


async def _claw_back(one: Acting, core: Core) -> None:
    body = api_money.ClawBackRequest.model_validate(
        {
            "claw_back_id": one.name, "reason": "it was not due", "dry_run": one.act.size % 4 == 0,
            "amount_micros": None if one.act.size % 3 else one.act.size % 7,
            "evidence": [{"kind": "letter", "reference": "7"}],
        }
    )  # fmt: skip
    await api_money.claw_back_claim(_rule(one, core), ENTITY, body, core, OPERATOR)


async def _close_year(one: Acting, core: Core) -> None:
    year = LAST_YEAR if one.act.size % 2 else year_of(core.clock.now_ms(), 0)
    body = api_money.CloseRequest(dry_run=one.act.size % 3 == 0)
    await api_money.close_programme_year(_rule(one, core), year, body, core, OPERATOR)


# -- doubts, questions, strangers -------------------------------------------------------------


async def _dispute(one: Acting, core: Core) -> None:
    runs = await core.read(one.run_ids)
    if not runs:
        return
    run_id, now_ms = runs[one.act.size % len(runs)], core.clock.now_ms()
    dispute = Dispute(
        dispute_id=one.name, run_id=run_id, job_id="", site="", part=None, reason="too much",
        opened_by="alpha", opened_ms=now_ms,
    )  # fmt: skip
    await core.write(open_dispute, core.store, dispute)
    await core.write(answer_dispute, core.store, one.name, "it was metered", "site", now_ms)
    upheld = one.act.size % 3 > 0
    micros = (-1 - one.act.size % 90) if one.act.size % 2 else 1 + one.act.size % 90
    await core.write(
        close_and_post, core.store, core.purse.unit, one.name,
        "upheld" if upheld else "rejected", micros if upheld else 0, "looked at", "lead", now_ms,
    )  # fmt: skip


async def _quote(one: Acting, core: Core) -> None:
    planned = next(job for job in one.scenario.jobs if job.job_id == one.act.target)
    spec = replace(job_spec(one.scenario, planned), job_id="quote", after=(), deadline_ms=None)

    def view() -> None:
        found = core.situation()
        part = replace(found, to_place=(spec,), aimed=(), elsewhere=())
        decided, _ = plan_sound(part, core.settings.policy)
        asked = Asked(
            job=spec, plan=decided, network=core.network, now_ms=part.now_ms,
            series_origin_ms=core.series_origin_ms,
        )  # fmt: skip
        quote_view(core.store, core.purse, asked)

    await core.read(view)


async def _possible(one: Acting, core: Core) -> None:
    """What is asked of every job that is handed in: nobody has so many nodes."""
    planned = next(job for job in one.scenario.jobs if job.job_id == one.act.target)
    spec = replace(job_spec(one.scenario, planned), job_id="asked", after=(), deadline_ms=None)
    found = [
        await core.read(
            judge, core.network, core.series_origin_ms, core.settings.policy, asked,
            core.clock.now_ms(),
        )
        for asked in (spec, replace(spec, nodes=99))
    ]  # fmt: skip
    whole = core.network == network_of(one.scenario)
    if found[1] is None or (whole and found[0] is not None):
        raise Broken("judged-otherwise", f"{spec.nodes} nodes: {found[0]}; 99: {found[1]}")


async def _stranger(one: Acting, core: Core) -> None:
    """An agent of long ago, or of nobody's, tells of runs that are not its own."""
    known = await core.read(one.stale) or ("run_none", 7)
    run_id, token = known if one.act.size % 3 else ("run_none", 7)
    wrong = token if one.act.size % 2 else token + 1_000
    event = RunEnded(run_id=run_id, token=wrong, outcome="failed", exit_code=1, detail="tab\there")
    await core.write(report_run, core.store, run_id, event, core.clock.now_ms())


async def _stray(one: Acting, core: Core) -> None:
    """Money is held for a run, and the caller breaks off before it asks for the lease."""
    await core.write(_stray_work, core, f"run_stray{one.act.at_ms}")


def _stray_work(core: Core, run_id: str) -> None:
    store, now_ms = core.store, core.clock.now_ms()
    placed = [
        one
        for one in load_active(store).records
        if one.bound is not None and one.bound.duration_ms <= STRAY_MOST_MS
    ]
    placed.sort(key=lambda one: one.live_run is not None)
    if not placed or load_runs(store, [run_id]):
        return
    assert placed[0].bound is not None
    start = Start(run_id=run_id, job=placed[0].job, place=placed[0].bound)
    with suppress(LedgerBroken):  # of a job that cannot be: a plan sets it aside
        core.purse.reserve(store, core.network, [start], now_ms)


# -- the ledger's own rules -------------------------------------------------------------------


async def _book(one: Acting, core: Core) -> None:
    """Transfers as somebody might ask for them who knows the ledger, and some as nobody should."""
    await core.write(_book_work, core.store, one.act.size, one.name, core.clock.now_ms())


_BOOKS = (
    Account(account_id="book:open:CNY", kind=AccountKind.EXTERNAL, unit=UNIT, overdraft=True),
    Account(account_id="book:a:CNY", kind=AccountKind.PROJECT, unit=UNIT, overdraft=False),
    Account(account_id="book:b:CNY", kind=AccountKind.PROJECT, unit=UNIT, overdraft=False),
    Account(account_id="book:c:h", kind=AccountKind.PROJECT, unit="h", overdraft=True),
)
_BAD_BOOKS = (
    replace(_BOOKS[1], overdraft=True),
    replace(_BOOKS[1], account_id="has spaces"),
    replace(_BOOKS[1], account_id="book:d", unit=""),
    replace(_BOOKS[1], account_id="book:e", label="x" * 2_000),
    replace(_BOOKS[1], account_id="book:f", owner="\0"),
)


def _book_work(store: Store, size: int, name: str, now_ms: int) -> None:
    dice = random.Random(f"westward-faultsim-book-{size}")
    accounts = _BOOKS if dice.random() < 0.5 else (*_BOOKS, *_BAD_BOOKS)
    open_accounts(store, accounts, now_ms)
    for number in range(dice.randint(3, 8)):
        prefix = f"book:{name}:{number}" if dice.random() < 0.7 else "book:again:0"
        asked = [_transfer(dice, prefix, at, now_ms) for at in range(dice.randint(1, 7))]
        post(store, asked, now_ms)
        if dice.random() < 0.3:  # once more, as after an answer that was lost
            post(store, asked, now_ms)
        if dice.random() < 0.4:
            expire_due(store, now_ms + dice.choice((0, 0, 3_000)))


def _transfer(dice: random.Random, prefix: str, at: int, now_ms: int) -> Transfer:
    """Mostly sound: pending ones are posted, given back or left to expire by later ones."""
    names = [one.account_id for one in _BOOKS[:3]]
    debit, credit = dice.sample(names, 2)
    kind = dice.choice(("posted", "posted", "pending", "pending", "post", "void", "expire"))
    earlier = f"{prefix}:{dice.randrange(max(1, at))}"
    group = f"{prefix}:group" if prefix.endswith(("0", "3", "5")) else ""
    one = Transfer(
        transfer_id=f"{prefix}:{at}", kind=TransferKind(kind), debit=debit, credit=credit,
        amount=dice.choice((1, 5, 90, 5_000)), group_id=group, category="book",
    )  # fmt: skip
    if kind == "pending" and dice.random() < 0.5:
        one = replace(one, expires_ms=now_ms + dice.choice((-5, 500, 5_000, 60_000)))
    if kind in ("post", "void", "expire"):
        one = replace(
            one,
            debit="",
            credit="",
            pending_id=earlier,
            amount=dice.choice((1, 1, 200)) if kind == "post" else 0,
        )
    if kind == "expire":
        one = replace(one, transfer_id=f"{EXPIRY_PREFIX}{one.transfer_id}")
    if kind == "posted" and dice.random() < 0.2:
        one = replace(one, corrects=earlier, reason="it was wrong")
    if dice.random() < 0.3:
        one = replace(one, **dice.choice(_WRONGS))
    return one


_WRONGS: tuple[dict[str, Any], ...] = (
    {"transfer_id": "has spaces"},
    {"transfer_id": f"{EXPIRY_PREFIX}mine"},
    {"transfer_id": "x" * 198, "expires_ms": 10**13},
    {"amount": 0},
    {"amount": -3},
    {"amount": 1.5},
    {"amount": 9 * 10**17},
    {"amount": 10**30},
    {"amount": 7},
    {"debit": ""},
    {"debit": "book:nobody"},
    {"credit": "book:c:h"},
    {"credit": "book:a:CNY", "debit": "book:a:CNY"},
    {"debit": "book:a:CNY", "credit": "book:b:CNY"},
    {"pending_id": "book:other"},
    {"pending_id": ""},
    {"pending_id": "no such"},
    {"corrects": "book:other", "reason": "why"},
    {"corrects": "book:other", "reason": " "},
    {"expires_ms": 5},
    {"expires_ms": 1.5},
    {"category": "c" * 50},
    {"reason": "r" * 2_000},
    {"reason": "\0"},
    {"group_id": "g g"},
)

_HANDLERS: dict[str, Callable[[Acting, Core], Awaitable[None]]] = {
    "gift": _gift,
    "budget": _budget,
    "no-budget": _no_budget,
    "fact": _fact,
    "contract": _contract,
    "revoke": _revoke,
    "admit": _admit,
    "step": _step,
    "claw-back": _claw_back,
    "close-year": _close_year,
    "dispute": _dispute,
    "quote": _quote,
    "possible": _possible,
    "stranger": _stranger,
    "stray": _stray,
    "book": _book,
    "unsound": ask_all,
}
