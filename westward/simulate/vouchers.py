"""Vouchers in a rehearsal: the same rules, splits and ledger as live, at the rehearsal's times.

Once a period runs that have begun are held for, runs that are over are settled, and what vouchers
pay of a device-hour from now on (``Pools.cover``) is worked out anew for every entity and pool.
Between two turns a pot may be promised twice by the planner's sum; it is never *paid* twice, since
every posting goes through the ledger's judge. Simulation only: no money moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date

import numpy as np

from westward.ledger.accounts import Account, AccountKind, standard_id
from westward.ledger.audit import AuditReport, audit
from westward.ledger.batch import Book, judge_batch
from westward.ledger.charged import Charged, charged
from westward.ledger.price import MeteredInterval, Transfer, price_list
from westward.ledger.road import (
    Billed,
    Held,
    RunOnRoad,
    hold,
    network_accounts,
    post,
    pot_id,
    site_accounts,
)
from westward.ledger.transfers import Refused, TransferKind
from westward.ledger.transfers import Transfer as LedgerTransfer
from westward.ledger.vouchers import (
    NO_USAGE,
    Split,
    Usage,
    released,
    split,
    used,
)
from westward.ledger.vouchers.calendar import day_start_ms, next_year_ms, year_of
from westward.ledger.vouchers.covers import PoolPrice, pool_covers
from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.scenario import VoucherPlay
from westward.model.units import BYTES_PER_GB
from westward.model.voucher import BillLine, Contract, Entity, NamedFact, Rule, VoucherClaim
from westward.model.workload import I32, Workload
from westward.placement.columns import NetworkColumns
from westward.placement.slots import Slots
from westward.placement.state import F64, I64
from westward.simulate.live import REFUSED, Records

_DEALT = 0x766F7563
"""Of the seed that users are dealt to entities with."""


@dataclass(slots=True)
class _Open:
    """A run that is held for."""

    run: RunOnRoad
    split: Split
    held: list[LedgerTransfer]


@dataclass(slots=True)
class Outcome:
    """What the rehearsal's ledger says at its end."""

    book: Book
    at_ms: list[int]
    """By transfer of ``book.new``."""
    audit: AuditReport
    unit: str
    entities: dict[str, str]
    """Job → organisation."""
    sites: dict[str, str]
    """Run → where it ran."""
    pots: dict[str, tuple[Rule, int]]
    """Account → rule and year."""
    dry: list[tuple[str, int, int]] = field(default_factory=list)
    """(Rule, year, when its pot was first seen empty)."""

    def entity_of(self, job_id: str) -> str:
        return self.entities[job_id]


class Purses:
    """The money side of one rehearsal."""

    def __init__(
        self,
        play: VoucherPlay,
        network: Network,
        policy: Policy,
        columns: NetworkColumns,
        origin_ms: int,
        seed: int,
    ) -> None:
        self.play = play
        self.unit = network.currency
        self.cover: F64 = np.zeros((len(play.entities) + 1, len(network.pools)))
        self.usage: Usage = NO_USAGE
        self._network = network
        self._pool_names = columns.pool_names
        self._prices = [price_list(network, name, origin_ms, policy) for name in self._pool_names]
        self._facts: dict[str, tuple[NamedFact, ...]] = dict(play.pool_facts)
        self._pools = [
            PoolPrice(
                pool=name, site=network.pool(name).site, facts=self._facts.get(name, ()),
                micros_per_device_hour=one.price_micros_per_device_hour,
            )
            for name, one in zip(self._pool_names, self._prices, strict=True)
        ]  # fmt: skip
        self._rules = {
            entity.name: tuple(rule for rule in play.rules if rule.name in admitted)
            for entity, admitted in zip(play.entities, play.programmes, strict=True)
        }
        self._offsets = {rule.utc_offset_minutes for rule in play.rules}
        self._claims = {name: _claims(name, rules) for name, rules in self._rules.items()}
        self._contracts = dict(
            zip((one.name for one in play.entities), play.contract_micros, strict=False)
        )
        self._entity_of = np.zeros(0, dtype=np.int32)
        self._seed = seed
        self._book = Book()
        self._at_ms: list[int] = []
        self._open: dict[tuple[int, int], _Open] = {}
        self._ended: list[tuple[int, int, int, int, int, int]] = []
        self._dry: dict[tuple[str, int], int] = {}
        self._payers: list[I32] = []
        self._job_entities: dict[str, str] = {}
        self._run_sites: dict[str, str] = {}
        self._pots: dict[str, tuple[Rule, int]] = {}
        for account in network_accounts(self.unit):
            self._book.open(account)
        for site in network.sites:
            for account in site_accounts(site.name, self.unit):
                self._book.open(account)
        for entity in play.entities:
            self._book.open(
                Account(
                    account_id=self._project(entity), kind=AccountKind.PROJECT, unit=self.unit,
                    overdraft=True, owner=entity.name,
                )
            )  # fmt: skip

    # -- who ----------------------------------------------------------------------------------

    def payers(self, workload: Workload) -> I32:
        """Row of ``cover`` of each job of the next stretch."""
        user = workload.user
        most = int(user.max(initial=0)) + 1
        if most > len(self._entity_of):
            weights = np.array(self.play.weights)
            dice = np.random.default_rng((self._seed, _DEALT))
            self._entity_of = dice.choice(
                len(weights), size=most, p=weights / weights.sum()
            ).astype(np.int32)
        found = (self._entity_of[np.maximum(user, 0)] + 1).astype(np.int32)
        self._payers.append(found)
        return found

    def _entity(self, row: int) -> Entity:
        payers = self._payers[0] if len(self._payers) == 1 else np.concatenate(self._payers)
        self._payers = [payers]
        return self.play.entities[int(payers[row]) - 1]

    def _project(self, entity: Entity) -> str:
        return standard_id(AccountKind.PROJECT, entity.name, self.unit)

    # -- when ---------------------------------------------------------------------------------

    def over(self, count: int, records: Records) -> None:
        """Finished (or cut) runs, as handed on by the machine."""
        ran = records.why[:count] < REFUSED
        for column in zip(
            records.row[:count][ran].tolist(), records.pool[:count][ran].tolist(),
            records.start_ms[:count][ran].tolist(), records.end_ms[:count][ran].tolist(),
            records.need_milli[:count][ran].tolist(),
            np.rint(records.transfer[:count][ran]).astype(np.int64).tolist(),
            strict=True,
        ):  # fmt: skip
            self._ended.append(column)

    def turn(self, now_ms: int, slots: Slots, in_use: I64) -> None:
        """Settle what is over, hold for what has begun, work covers out anew."""
        ended, self._ended = self._ended, []
        for row, pool, start_ms, end_ms, need, moved in ended:
            self._settle(row, pool, start_ms, end_ms, need, moved, now_ms)
        live = slots[in_use]
        running = live[live["start_ms"] >= 0]
        for one in running[np.argsort(running["row"])]:
            key = (int(one["row"]), int(one["start_ms"]))
            if key not in self._open:
                end_ms = max(now_ms, key[1] + int(one["job_duration_ms"]))
                self._hold(*key, int(one["job_pool"]), end_ms, int(one["job_need"]), now_ms)
        self._cover_anew(now_ms)

    def finish(self, now_ms: int) -> Outcome:
        """After the last run. Raises AssertionError where the auditor finds a fault."""
        for row, pool, start_ms, end_ms, need, moved in self._ended:
            self._settle(row, pool, start_ms, end_ms, need, moved, max(now_ms, end_ms))
        self._ended = []
        if self._open:
            raise AssertionError(f"{len(self._open)} runs are held for that never ended")
        report = audit(*ledger_rows(self._book, self._at_ms))
        if report.faults:
            raise AssertionError("; ".join(map(str, report.faults[:5])))
        return Outcome(
            book=self._book,
            at_ms=self._at_ms,
            audit=report,
            unit=self.unit,
            entities=self._job_entities,
            sites=self._run_sites,
            pots=self._pots,
            dry=[(*key, at_ms) for key, at_ms in self._dry.items()],
        )

    # -- what ---------------------------------------------------------------------------------

    def _run(self, row: int, pool: int, start_ms: int) -> tuple[RunOnRoad, Entity]:
        entity = self._entity(row)
        run = RunOnRoad(
            run_id=f"run_{row}_{start_ms}",
            job_id=f"job_{row}",
            site=self._network.pools[pool].site,
            project=self._project(entity),
            unit=self.unit,
        )
        self._job_entities[run.job_id] = entity.name
        self._run_sites[run.run_id] = run.site
        return run, entity

    def _bill(self, pool: int, start_ms: int, end_ms: int, need: int, moved_micros: int) -> Charged:
        """The run's bill and its lines, each in its calendar year."""
        wall = end_ms - start_ms
        moves: tuple[Transfer, ...] = ()
        if moved_micros:
            # As the rehearsal priced it, to the millionth: one GB at that price.
            moves = (Transfer(size_bytes=BYTES_PER_GB, micros_per_gb=moved_micros),)
        return charged(
            self._prices[pool],
            (MeteredInterval(start_ms=start_ms, wall_ms=wall, device_milli_ms=need * wall),),
            moves,
            began_ms=start_ms,
            facts=self._facts.get(self._pool_names[pool], ()),
            offsets=self._offsets,
        )

    def _split(self, entity: Entity, lines: Sequence[BillLine], at_ms: int) -> Split:
        return split(
            lines, self._claims[entity.name], self._rules[entity.name], self._usage(), entity,
            at_ms, contract=self._contract(entity, at_ms), adopted=self.play.adopted,
        )  # fmt: skip

    def _usage(self) -> Usage:
        """All runs of an entity are one claim under each rule: none is another one's claim."""
        return replace(self.usage, contract_claims={})

    def _contract(self, entity: Entity, at_ms: int) -> Contract | None:
        """With the platform, for the calendar year; between strangers, paid at once."""
        value = self._contracts.get(entity.name)
        if value is None:
            return None
        offset = next((rule.utc_offset_minutes for rule in self._rules[entity.name]), 0)
        year = year_of(at_ms, offset)
        start_ms = day_start_ms(date(year, 1, 1), offset)
        return Contract(
            id=f"{entity.name}-{year}", value_micros=value, signed_ms=start_ms, start_ms=start_ms,
            end_ms=next_year_ms(start_ms, offset), related=False,
            facts=(NamedFact(name="paid", value=True, evidence="assumption"),),
        )  # fmt: skip

    def _hold(
        self, row: int, start_ms: int, pool: int, end_ms: int, need: int, now_ms: int
    ) -> None:
        run, entity = self._run(row, pool, start_ms)
        _, lines = self._bill(pool, start_ms, end_ms, need, 0)
        who = self._split(entity, lines, start_ms)
        self._fund(who)
        asked = hold(run, 0, who)
        self._judge(asked, now_ms)
        self.usage = used(self.usage, who.usage)
        self._open[row, start_ms] = _Open(run, who, list(asked))

    def _settle(
        self, row: int, pool: int, start_ms: int, end_ms: int, need: int, moved: int, now_ms: int
    ) -> None:
        kept = self._open.pop((row, start_ms), None)
        run, entity = self._run(row, pool, start_ms)
        if kept is not None:
            self.usage = released(self.usage, kept.split.usage)
        owed, lines = self._bill(pool, start_ms, end_ms, need, moved)
        who = self._split(entity, lines, start_ms)
        self._fund(who)
        held = [
            Held(transfer=one, hold=self._book.holds[one.transfer_id])
            for one in (() if kept is None else kept.held)
        ]
        self._judge(post(run, 0, Billed(bill=owed, split=who), held, last=True), now_ms)
        self.usage = used(self.usage, who.usage)

    def _fund(self, who: Split) -> None:
        """Open the pots that are about to pay, each with the money of its year in it. A rule that
        states no pot may be overdrawn: it says no limit, and we make none up."""
        for part in (*who.parts, *who.rewards):
            if part.year is None:
                continue
            name = pot_id(part.rule, part.year, self.unit)
            if name in self._book.accounts:
                continue
            rule = next(rule for rule in self.play.rules if rule.name == part.rule)
            self._pots[name] = rule, part.year
            amount = rule.pot_year_micros.value
            self._book.open(
                Account(
                    account_id=name, kind=AccountKind.POT, unit=self.unit,
                    overdraft=amount is None, owner=rule.funder, label=rule.label[:200],
                )
            )  # fmt: skip
            if amount:
                outside = standard_id(AccountKind.EXTERNAL, "", self.unit)
                self._judge(
                    (
                        LedgerTransfer(
                            transfer_id=f"fund:{part.rule}:{part.year}", kind=TransferKind.POSTED,
                            debit=outside, credit=name, amount=amount, category="funding",
                        ),
                    ),
                    self._at_ms[-1] if self._at_ms else 0,
                )  # fmt: skip

    def _judge(self, transfers: Sequence[LedgerTransfer], now_ms: int) -> None:
        for answer in judge_batch(self._book, transfers, now_ms):
            if isinstance(answer, Refused):
                raise AssertionError(f"{answer.transfer_id}: {answer.text} ({answer.code})")
        self._at_ms += [now_ms] * (len(self._book.new) - len(self._at_ms))

    def _cover_anew(self, now_ms: int) -> None:
        """What is left of pots and caps decides; written in place, where the kernels read it."""
        play = self.play
        for number, entity in enumerate(play.entities, start=1):
            contract, usage = self._contract(entity, now_ms), self._usage()
            paid = pool_covers(
                self._pools, self._rules[entity.name], entity, usage, now_ms,
                claims=self._claims[entity.name], contract=contract, adopted=play.adopted,
                usual_device_ms=play.usual_device_ms,
            )  # fmt: skip
            self.cover[number] = [paid[name] for name in self._pool_names]
        for rule in play.rules:
            pot = rule.pot_year_micros.value
            year = year_of(now_ms, rule.utc_offset_minutes)
            if pot is not None and self.usage.pot.get((rule.name, year), 0) >= pot:
                self._dry.setdefault((rule.name, year), now_ms)


def _claims(entity: str, rules: Sequence[Rule]) -> tuple[VoucherClaim, ...]:
    """Admitted, with whatever each rule wants before it is used."""
    early = ("claim", "approve", "hold")
    return tuple(
        VoucherClaim(
            id=f"{entity}:{rule.name}", rule=rule.name, entity=entity,
            done=tuple(step.name for step in rule.procedure if step.name in early),
        )
        for rule in rules
    )  # fmt: skip


Rows = list[dict[str, object]]


def ledger_rows(book: Book, at_ms: Sequence[int]) -> tuple[Rows, Rows, Rows]:
    """Accounts, transfers and holds as the rows a database would keep, for auditor and tables."""
    accounts: Rows = [
        {
            **{one.name: getattr(account, one.name) for one in fields(Account)},
            "kind": account.kind.value,
            "overdraft": int(account.overdraft),
            **book.balances[name]._asdict(),
        }
        for name, account in book.accounts.items()
    ]
    transfers: Rows = [
        {
            "seq": number,
            **{one.name: getattr(entry.transfer, one.name) for one in fields(LedgerTransfer)},
            "kind": entry.transfer.kind.value,
            "pending_id": entry.transfer.pending_id or None,
            "group_id": entry.transfer.group_id or None,
            "group_position": entry.group_position,
            "group_size": entry.group_size,
            "corrects": entry.transfer.corrects or None,
            "at_ms": now_ms,
        }
        for number, (entry, now_ms) in enumerate(zip(book.new, at_ms, strict=True), start=1)
    ]
    holds: Rows = [
        {
            "transfer_id": one.transfer_id,
            "remaining": one.left,
            "expires_ms": one.expires_ms,
            "state": one.state.value,
        }
        for one in book.holds.values()
    ]
    return accounts, transfers, holds
