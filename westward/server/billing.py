"""Runs that are over: their bills are saved, posted and taken from what was held, several at once.

Everything here is part of the writer's transaction, so that there is no bill without its money.
What the runs owe was worked out before by a reader (``applier.run_charge``). See docs/decisions/0036.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from westward.ledger.charged import Charged
from westward.ledger.road import Billed, Held, RunOnRoad, post
from westward.ledger.transfers import RefusalCode, Refused, Transfer
from westward.ledger.vouchers import released, used
from westward.server.covers import Pots
from westward.server.purse import LedgerBroken, Purse, first_refusal
from westward.store import ledger, money
from westward.store.database import Store
from westward.store.jobs import load_job
from westward.store.metering import save_bill
from westward.store.money import RunMoney, project_of
from westward.store.results import RunToSettle

SETTLED_AT_ONCE = 10
"""Runs in one work of the writer: some tens of milliseconds in which no lease is renewed."""
LACKING_MOST = 10**18
"""Millionths: more than any run can cost."""
log = logging.getLogger("westward.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A run that is over, and what it has cost."""

    ended: RunToSettle
    charged: Charged
    now_ms: int


@dataclass(slots=True, kw_only=True)
class _End:
    """A run as it is about to be posted. ``known``: its money so far; None: nothing was held."""

    run: RunOnRoad
    project: str
    billed: Billed
    known: RunMoney | None
    held: list[Held] = field(default_factory=list)
    lacking: dict[str, int] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return 0 if self.known is None else self.known.postings

    def group(self) -> tuple[Transfer, ...]:
        before = None if self.known is None else self.known.posted
        return post(
            self.run, self.number, self.billed, self.held, before=before, last=True,
            lacking=self.lacking,
        )  # fmt: skip


def settle_runs(store: Store, purse: Purse, asked: Sequence[Owed]) -> list[bool]:
    """Save their bills and post them in one batch of the ledger: what each has cost beyond what was
    posted from its readings (``server.posting``), and what is left of its holds is given back. False
    for a run that was settled before. All or nothing; raises LedgerBroken."""
    with store.whole():
        new = [
            save_bill(store, one.ended.job_id, one.ended.run.run_id, one.charged.bill, one.now_ms)
            for one in asked
        ]
        fresh = [one for one, is_new in zip(asked, new, strict=True) if is_new]
        if fresh:
            _settle(store, purse, fresh, max(one.now_ms for one in fresh))
        return new


def _settle(store: Store, purse: Purse, asked: Sequence[Owed], now_ms: int) -> None:
    ends = _ends(store, purse, asked, now_ms)
    groups = [end.group() for end in ends]
    for end, group, outcomes in zip(
        ends, groups, ledger.post_each(store, groups, now_ms), strict=True
    ):
        _bear(store, end, group, first_refusal(outcomes), now_ms)
        known = end.known
        if known is not None and not known.settled:
            money.count_usage(store, known.counted, -1)
        money.count_usage(store, end.billed.split, 1)
        money.save_run(
            store,
            RunMoney(
                run_id=end.run.run_id, job_id=end.run.job_id, project=end.project,
                site=end.run.site, settled=True, holds=0 if known is None else known.holds,
                postings=end.number + 1, reach_ms=now_ms, counted=end.billed.split,
                posted=end.billed,
            ),
        )  # fmt: skip


def _ends(store: Store, purse: Purse, asked: Sequence[Owed], now_ms: int) -> list[_End]:
    """Who pays for each, those before it counted; their accounts are opened."""
    money_of = money.load_runs(store, [one.ended.run.run_id for one in asked])
    projects = {
        run_id: known.project for run_id, known in money_of.items()
    } | {
        one.ended.run.run_id: project_of(record.job.account)
        for one in asked
        if one.ended.run.run_id not in money_of
        and (record := load_job(store, one.ended.job_id)) is not None
    }  # fmt: skip
    parties = money.load_parties(store, set(projects.values()))
    pots = Pots(store, purse.unit)
    usage = purse.usage_of(store, pots, parties.values(), now_ms)
    held = purse.held_for_each(store, money_of.values())
    ends = []
    for one in asked:
        run = one.ended.run
        if run.run_id not in projects:  # a run of no job: there is a bill, and nobody to pay it
            continue
        party, known = parties[projects[run.run_id]], money_of.get(run.run_id)
        began_ms = run.started_ms if run.started_ms is not None else run.granted_ms
        others = usage
        if known is not None and not known.settled:
            others = released(usage, known.counted.usage)
        who = purse.shares(pots, party, one.charged, others, began_ms)
        usage = used(others, who.usage)
        road = purse.on_road(run.run_id, one.ended.job_id, run.site, party)
        purse.open_for(store, road, party, who, now_ms)
        ends.append(
            _End(
                run=road, project=party.project, billed=Billed(bill=one.charged.bill, split=who),
                known=known, held=held.get(run.run_id, []),
            )
        )  # fmt: skip
    return ends


def _bear(
    store: Store,
    end: _End,
    group: tuple[Transfer, ...],
    refused: Refused | None,
    now_ms: int,
) -> None:
    """Post what was refused again, without what its payers do not have: the network bears that."""
    while refused is not None:
        payer = next(one.debit for one in group if one.transfer_id == refused.transfer_id)
        if refused.code is not RefusalCode.NOT_ENOUGH or payer in end.lacking:
            raise LedgerBroken(f"run {end.run.run_id}: {refused.text} ({refused.code})")
        log.warning("run %s: %s; the network bears it", end.run.run_id, refused.text)
        end.lacking[payer] = LACKING_MOST
        group = end.group()
        refused = first_refusal(ledger.post(store, group, now_ms))
