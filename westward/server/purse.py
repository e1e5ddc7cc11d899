"""The money of runs: held before they start, held further while they run; their end is in ``billing``.

Everything here is part of the writer's transaction that grants or stops the run, so that
no lease stands without its money and no money without its run. The rules are ``ledger.road`` and
``ledger.vouchers``; who pays is in ``store.money``. See docs/decisions/0036.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from westward.control.records import Binding, RunRecord
from westward.ledger.accounts import Account, AccountKind, standard_id
from westward.ledger.charged import Charged, charged
from westward.ledger.price import (
    DataRead,
    MeteredInterval,
    PriceUnknown,
    price_list,
)
from westward.ledger.price import Transfer as DataMove
from westward.ledger.road import (
    Held,
    RunOnRoad,
    hold,
    network_accounts,
    pot_id,
    site_accounts,
)
from westward.ledger.transfers import HoldState, RefusalCode, Refused, Transfer, TransferKind
from westward.ledger.vouchers import NO_SPLIT, NO_USAGE, Split, Usage, released, split, used
from westward.model.job import JobSpec
from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.units import MS_PER_MINUTE, format_money
from westward.model.voucher import NamedFact, Rule
from westward.server.covers import Pots, drawn, filled
from westward.store import ledger, money
from westward.store.database import Store
from westward.store.ledger_reading import balances_of, pendings_about
from westward.store.money import Party, RunMoney, project_of

HOLD_LEAST_MS = 5 * MS_PER_MINUTE
"""Shorter jobs are held for as long: most are over before more is asked for."""
FURTHER_LEAST_MS = 10 * MS_PER_MINUTE
"""A hold is made longer by at least so much."""
ELSEWHERE_AGAIN_MS = 10_000
"""A job that its own project could pay for, and somebody else cannot (a funder's pot), is tried again
after so long."""
PROJECT_MOST_CHARS = 160
"""Longer names stand in the ledger by their digest."""
log = logging.getLogger("westward.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A run that is about to be granted."""

    run_id: str
    job: JobSpec
    place: Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """What a run may not be held for. ``text``: a clause for the owner."""

    job_id: str
    run_id: str
    project: str
    needed_micros: int
    on_empty: money.OnEmpty
    text: str


@dataclass
class Purse:
    """``rules``: the network's voucher rules, in order of payment. What writes is for the writer's
    thread only."""

    policy: Policy
    series_origin_ms: int
    unit: str
    """The network's currency."""
    rules: tuple[Rule, ...] = ()
    adopted: frozenset[str] = frozenset()
    pool_facts: dict[str, tuple[NamedFact, ...]] = field(default_factory=dict)
    needed: dict[str, int] = field(default_factory=dict)
    """Job that is held for money → what it lacks, millionths. Lost with the server: then it is
    tried once too often."""
    not_before_ms: dict[str, int] = field(default_factory=dict)
    """Of those that somebody else lacks the money for: when they are tried again. Lost likewise."""
    _open: set[str] = field(default_factory=set)
    """Accounts known to be open, ``_open_at`` that count of the store's rollbacks."""
    _open_at: int = 0

    # -- before it starts ---------------------------------------------------------------------

    def reserve(
        self, store: Store, network: Network, starts: Sequence[Start], now_ms: int
    ) -> dict[str, Short]:
        """Holds the worst case of each run; by run id those that nobody has the money for.

        A pool without a price holds nothing: its runs are told at their settlement.
        """
        with store.whole():
            try:
                with store.whole():
                    return self._reserve(store, network, starts, now_ms)
            except _OneIsShort:
                pass
            short: dict[str, Short] = {}
            for one in starts:
                short |= self._reserve(store, network, [one], now_ms)
            return short

    def _reserve(
        self, store: Store, network: Network, starts: Sequence[Start], now_ms: int
    ) -> dict[str, Short]:
        """In one batch of the ledger. Raises _OneIsShort where others' vouchers were counted as if
        that one had used some."""
        parties = money.load_parties(store, {project_of(one.job.account) for one in starts})
        pots = Pots(store, self.unit)
        usage = self.usage_of(store, pots, parties.values(), now_ms)
        asked: list[tuple[RunOnRoad, Party, Split, int]] = []
        for one in starts:
            party = parties[project_of(one.job.account)]
            until_ms = now_ms + max(HOLD_LEAST_MS, one.place.duration_ms)
            try:
                worst = self._expected(network, one.job, one.place, now_ms, until_ms)
            except (PriceUnknown, KeyError) as error:
                log.warning("run %s is not held for: %s", one.run_id, error)
                continue
            who = self.shares(pots, party, worst, usage, now_ms)
            run = self.on_road(one.run_id, one.job.job_id, one.place.site, party)
            self.open_for(store, run, party, who, now_ms)
            asked.append((run, party, who, until_ms))
            usage = used(usage, who.usage)
        holds = [hold(run, 0, who) for run, _, who, _ in asked]
        short: dict[str, Short] = {}
        held: list[RunMoney] = []
        for (run, party, who, until_ms), wanted, outcomes in zip(
            asked, holds, ledger.post_each(store, holds, now_ms), strict=True
        ):
            lacking = _lacking(wanted, outcomes)
            if lacking is not None:
                if len(asked) > 1 and who.usage != NO_USAGE:
                    raise _OneIsShort
                needed = who.own_micros
                short[run.run_id] = self._short(run, party, needed, lacking, store, now_ms)
                continue
            money.count_usage(store, who, 1)
            held.append(
                RunMoney(
                    run_id=run.run_id, job_id=run.job_id, project=party.project, site=run.site,
                    settled=False, holds=1, postings=0, reach_ms=until_ms, counted=who, posted=None,
                )
            )  # fmt: skip
            self.needed.pop(run.job_id, None)
            self.not_before_ms.pop(run.job_id, None)
        money.save_new_runs(store, held)
        return short

    def give_back(self, store: Store, run_ids: Iterable[str], now_ms: int) -> None:
        """Runs that were not granted after all."""
        for run in money.load_runs(store, run_ids).values():
            voids = [
                Transfer(
                    transfer_id=f"{run.run_id}:void:{at}", kind=TransferKind.VOID,
                    pending_id=one.transfer.transfer_id, job_id=run.job_id, run_id=run.run_id,
                    reason="the run was not granted",
                )
                for at, one in enumerate(self.held_for(store, run))
                if one.hold.state is HoldState.OPEN
            ]  # fmt: skip
            _must(ledger.post(store, voids, now_ms))
            money.count_usage(store, run.counted, -1)
            money.save_run(store, replace(run, settled=True, counted=NO_SPLIT))

    # -- while it runs ------------------------------------------------------------------------

    def extend(
        self,
        store: Store,
        network: Network,
        runs: Sequence[tuple[RunMoney, JobSpec, Binding, RunRecord]],
        now_ms: int,
    ) -> list[Short]:
        """Hold further for runs that outlast what is held; those nobody has the money for. A run
        that this raises for is logged, and looked at again later: the others must not wait.

        Their money is read again here: since the look that found them short, readings may have been
        posted, or the run may have been settled."""
        parties = money.load_parties(store, {run.project for run, *_ in runs})
        known = money.load_runs(store, [run.run_id for run, *_ in runs])
        short = []
        for found, job, place, record in runs:
            run = known.get(found.run_id)
            if run is None or run.settled:
                continue
            try:
                with store.whole():
                    lacks = self._extend_one(
                        store, network, run, job, place, record, parties[run.project], now_ms
                    )
            except (PriceUnknown, KeyError, LedgerBroken) as error:
                log.error("run %s is not held for any further: %s", run.run_id, error)
                lacks = None
                money.save_run(store, replace(run, reach_ms=now_ms + FURTHER_LEAST_MS))
            if lacks is not None:
                short.append(lacks)
        return short

    def _extend_one(
        self,
        store: Store,
        network: Network,
        run: RunMoney,
        job: JobSpec,
        place: Binding,
        record: RunRecord,
        party: Party,
        now_ms: int,
    ) -> Short | None:
        began_ms = record.started_ms if record.started_ms is not None else record.granted_ms
        until_ms = now_ms + max(FURTHER_LEAST_MS, (now_ms - began_ms) // 4)
        worst = self._expected(network, job, place, began_ms, until_ms)
        pots = Pots(store, self.unit)
        others = released(self.usage_of(store, pots, (party,), now_ms), run.counted.usage)
        who = self.shares(pots, party, worst, others, began_ms)
        road = self.on_road(run.run_id, run.job_id, run.site, party)
        self.open_for(store, road, party, who, now_ms)
        wanted = hold(road, run.holds, who, run.counted)
        lacking = _lacking(wanted, ledger.post(store, wanted, now_ms))
        if lacking is not None:
            # Asked again after the least of holds, should it still run then.
            money.save_run(store, replace(run, reach_ms=now_ms + FURTHER_LEAST_MS))
            needed = max(0, who.own_micros - run.counted.own_micros)
            return self._short(road, party, needed, lacking, store, now_ms)
        money.count_usage(store, run.counted, -1)
        money.count_usage(store, who, 1)
        money.save_run(store, replace(run, holds=run.holds + 1, reach_ms=until_ms, counted=who))
        return None

    # -- held jobs ----------------------------------------------------------------------------

    def may_go_on(self, store: Store, job_id: str, account: str | None, now_ms: int) -> bool:
        """Whether a job that waits for money would be paid for now, as far as can be seen. Where it
        was not its project that had too little, it is tried again after a while only."""
        wait_ms = self.not_before_ms.get(job_id, now_ms) - now_ms
        if 0 < wait_ms <= ELSEWHERE_AGAIN_MS:  # more: the clock was set back
            return False
        project = project_of(account)
        party = money.load_parties(store, (project,))[project]
        if party.budget is None:
            return True
        name = self.project_id(party)
        found = balances_of(store, (name,)).get(name)
        have = 0 if found is None else found.balances.available
        return have >= max(1, self.needed.get(job_id, 1))

    # -- parts --------------------------------------------------------------------------------

    def _expected(
        self,
        network: Network,
        job: JobSpec,
        place: Binding,
        began_ms: int,
        until_ms: int,
    ) -> Charged:
        """What the run will have cost by ``until_ms`` if it uses all it was given."""
        wall_ms = max(1, until_ms - began_ms)
        metered = MeteredInterval(
            start_ms=began_ms, wall_ms=wall_ms, device_milli_ms=place.need_milli * wall_ms
        )
        return self.charge(
            network, place.pool, prices_metered=(metered,), began_ms=began_ms,
            transfers=tuple(_moves(network, job, place.site)),
            reads=tuple(
                DataRead(size_bytes=one.size_bytes, micros_per_gb=one.price_micros_per_gb)
                for one in job.datasets
                if one.price_micros_per_gb is not None
            ),
            carbon=False,
        )  # fmt: skip

    def charge(
        self,
        network: Network,
        pool: str,
        *,
        prices_metered: Sequence[MeteredInterval],
        began_ms: int,
        transfers: Sequence[DataMove] = (),
        reads: Sequence[DataRead] = (),
        carbon: bool = True,
    ) -> Charged:
        """A bill as vouchers see it; ``carbon`` is shown, never charged, and takes the longest to
        add up. Raises PriceUnknown, KeyError (no such pool any more)."""
        prices = price_list(network, pool, self.series_origin_ms, self.policy)
        if not carbon:
            prices = replace(prices, carbon_location_g_per_kwh=None, carbon_contract_g_per_kwh=None)
        return charged(
            prices,
            prices_metered,
            transfers,
            reads,
            began_ms=began_ms,
            facts=self.pool_facts.get(pool, ()),
            offsets=(rule.utc_offset_minutes for rule in self.rules),
        )

    def usage_of(self, store: Store, pots: Pots, parties: Iterable[Party], at_ms: int) -> Usage:
        names = {claim.rule for party in parties for claim in party.claims}
        if not names:
            return NO_USAGE
        beside = frozenset(rule.name for rule in self.rules if rule.pays == "supplier")
        rules = [rule for rule in self.rules if rule.name in names]
        return drawn(pots, rules, money.load_usage(store, beside), at_ms)

    def shares(self, pots: Pots, party: Party, owed: Charged, others: Usage, at_ms: int) -> Split:
        """All runs of an organisation are one claim under each rule it was admitted to."""
        return split(
            owed.lines,
            party.claims,
            self.admitted(pots, party, at_ms),
            replace(others, contract_claims={}),
            party.entity,
            at_ms,
            contract=party.contract,
            adopted=self.adopted,
        )

    def admitted(self, pots: Pots, party: Party, at_ms: int) -> tuple[Rule, ...]:
        """The rules that may pay for the party, each with the pot that its funder has filled: a pot
        that was announced and is empty pays nothing."""
        names = {claim.rule for claim in party.claims}
        rules = [rule for rule in self.rules if rule.name in names]
        return filled(pots, rules, at_ms)

    def on_road(self, run_id: str, job_id: str, site: str, party: Party) -> RunOnRoad:
        return RunOnRoad(
            run_id=run_id, job_id=job_id, site=site, project=self.project_id(party), unit=self.unit
        )

    def project_id(self, party: Party) -> str:
        """A project with a budget pays from another account than one without: what an account may
        do never changes."""
        return project_id(party.project, self.unit, budget=party.budget is not None)

    def open_for(self, store: Store, run: RunOnRoad, party: Party, who: Split, now_ms: int) -> None:
        """Opens those that the run's transfers name. A pot is filled by its funder, not here; one
        of a rule that states no pot may be overdrawn."""
        wanted = [
            Account(
                account_id=run.project, kind=AccountKind.PROJECT, unit=run.unit,
                overdraft=party.budget is None, owner=party.project,
            ),
            *site_accounts(run.site, run.unit),
            *network_accounts(run.unit),
        ]  # fmt: skip
        wanted += [
            Account(
                account_id=standard_id(AccountKind.SITE, part.payee, run.unit),
                kind=AccountKind.SITE, unit=run.unit, owner=part.payee,
            )
            for part in who.rewards
        ]  # fmt: skip
        by_name = {rule.name: rule for rule in self.rules}
        for part in (*who.parts, *who.rewards):
            if part.year is not None:
                rule = by_name[part.rule]
                wanted.append(pot_account(rule, part.year, run.unit))
        if self._open_at != store.rollbacks:  # one of them may have opened some of these
            self._open.clear()
            self._open_at = store.rollbacks
        fresh = [one for one in wanted if one.account_id not in self._open]
        if fresh:
            ledger.open_accounts(store, fresh, now_ms)
            self._open.update(one.account_id for one in fresh)

    def held_for(self, store: Store, run: RunMoney) -> list[Held]:
        return self.held_for_each(store, (run,))[run.run_id]

    def held_for_each(self, store: Store, runs: Iterable[RunMoney]) -> dict[str, list[Held]]:
        """By run id."""
        found = pendings_about(store, [(run.job_id, run.run_id) for run in runs])
        return {
            run_id: [
                Held(transfer=entry.recorded.transfer, hold=entry.hold)
                for entry in entries
                if entry.hold is not None
            ]
            for run_id, entries in found.items()
        }

    def _short(
        self,
        run: RunOnRoad,
        party: Party,
        needed: int,
        lacking: Transfer,
        store: Store,
        now_ms: int,
    ) -> Short:
        """``lacking``: the hold that its payer has not enough for."""
        found = balances_of(store, (run.project, lacking.debit))
        have, theirs = (
            found[name].balances.available if name in found else 0
            for name in (run.project, lacking.debit)
        )
        self.needed[run.job_id] = needed
        text = (
            f"{self._amount(needed)} may be needed, {self._amount(have)} are left to project "
            f"{party.project}"
        )
        if party.budget is None or have >= max(1, needed):
            self.not_before_ms[run.job_id] = now_ms + ELSEWHERE_AGAIN_MS
            text = (
                f"{self._amount(lacking.amount)} may be needed of {lacking.debit}, "
                f"{self._amount(theirs)} are left there"
            )
        empty: money.OnEmpty = "run-on" if party.budget is None else party.budget.on_empty
        return Short(
            job_id=run.job_id, run_id=run.run_id, project=party.project, needed_micros=needed,
            on_empty=empty, text=text,
        )  # fmt: skip

    def _amount(self, micros: int) -> str:
        return format_money(micros, self.unit)


def project_id(project: str, unit: str, *, budget: bool) -> str:
    """Of any account that a job may name: ids of the ledger have no spaces and an end."""
    name = quote(project, safe="._@+-")
    if len(name) > PROJECT_MOST_CHARS:
        name = hashlib.sha256(project.encode()).hexdigest()
    return standard_id(AccountKind.PROJECT, f"{name}/budget" if budget else name, unit)


class LedgerBroken(Exception):
    """The ledger refused what the road may never ask for."""


class _OneIsShort(Exception):
    """Nobody has the money for one run of several."""


def pot_account(rule: Rule, year: int, unit: str) -> Account:
    """Of a rule that states no pot no limit is made up: it may be overdrawn."""
    return Account(
        account_id=pot_id(rule.name, year, unit), kind=AccountKind.POT, unit=unit,
        overdraft=rule.pot_year_micros.value is None, owner=rule.funder, label=rule.label[:200],
    )  # fmt: skip


def _moves(network: Network, job: JobSpec, site: str) -> Iterable[DataMove]:
    """Private inputs that lie elsewhere, and data sets from the dearest line that leads there."""
    for one in job.inputs:
        link = network.link(one.site, site) if one.site != site else None
        if link is not None and link.price_micros_per_gb is not None:
            yield DataMove(size_bytes=one.size_bytes, micros_per_gb=link.price_micros_per_gb)
    lines = [
        link.price_micros_per_gb
        for other in network.sites
        if other.name != site
        and (link := network.link(other.name, site)) is not None
        and link.price_micros_per_gb is not None
    ]
    for one_set in job.datasets:
        if lines:
            yield DataMove(size_bytes=one_set.size_bytes, micros_per_gb=max(lines))


def first_refusal(outcomes: Iterable[object]) -> Refused | None:
    """Of those, the one at fault; None: all were accepted."""
    refused = [one for one in outcomes if isinstance(one, Refused)]
    for one in refused:
        if one.code is not RefusalCode.GROUP_FAILED:
            return one
    return refused[0] if refused else None


def _lacking(wanted: Iterable[Transfer], outcomes: Iterable[object]) -> Transfer | None:
    """Of the holds ``wanted`` the one whose payer has not enough. Raises LedgerBroken for any other
    refusal: it is nobody's lack of money."""
    refused = first_refusal(outcomes)
    if refused is None:
        return None
    if refused.code is not RefusalCode.NOT_ENOUGH:
        raise LedgerBroken(f"{refused.transfer_id}: {refused.text} ({refused.code})")
    return next(one for one in wanted if one.transfer_id == refused.transfer_id)


def _must(outcomes: Iterable[object]) -> None:
    refused = first_refusal(outcomes)
    if refused is not None:
        raise LedgerBroken(f"{refused.transfer_id}: {refused.text} ({refused.code})")
