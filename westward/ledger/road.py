"""A run's money on its way: what is held before it starts, posted from its meter, given back at its end.

Everybody who pays for a run (funders by their rules, the project for the rest) pays into the
clearing account of the run's site, and from there the site, the network's power and links and the
owners of data are paid, in one linked group: clearing is empty again after every group. So each
payer's part stays visible without saying which millionth of it went to whom.

The live server and a rehearsal call these functions; see docs/decisions/0036.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from westward.ledger.accounts import Account, AccountKind, standard_id
from westward.ledger.price import Bill
from westward.ledger.transfers import Hold, HoldState, Transfer, TransferKind
from westward.ledger.vouchers.split import Part, Split, increments
from westward.model.voucher import BillLine, NamedFact, Spend

_PART_FIELDS = ("device_micros", "power_micros", "transfer_micros", "data_micros")
UNFUNDED = "unfunded"
"""The network's account for what nobody had money for: use metered after the last hold ran out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOnRoad:
    """Whose run it is and where. ``project``: id of the ledger account that pays the rest."""

    run_id: str
    job_id: str
    site: str
    project: str
    unit: str
    """The currency: every account of the road counts it."""

    @property
    def clearing(self) -> str:
        return clearing_id(self.site, self.unit)


def clearing_id(site: str, unit: str) -> str:
    return standard_id(AccountKind.CLEARING, site, unit)


def pot_id(rule: str, year: int, unit: str) -> str:
    """The account a rule pays from in one of its calendar years."""
    return standard_id(AccountKind.POT, f"{rule}-{year}", unit)


def site_accounts(site: str, unit: str) -> tuple[Account, ...]:
    """What a site needs: where its runs are cleared, and what it has earned."""
    return (
        Account(
            account_id=clearing_id(site, unit), kind=AccountKind.CLEARING, unit=unit, owner=site
        ),
        Account(
            account_id=standard_id(AccountKind.SITE, site, unit), kind=AccountKind.SITE, unit=unit,
            owner=site,
        ),
    )  # fmt: skip


def network_accounts(unit: str) -> tuple[Account, ...]:
    """Power, links, data without an owner's account, rounding, what nobody had money for, and the
    world outside. All may be overdrawn: they are the network's own books, nobody's purse."""
    kinds = (
        (AccountKind.NETWORK_POWER, ""), (AccountKind.NETWORK_LINKS, ""),
        (AccountKind.DATA_OWNER, ""), (AccountKind.ROUNDING, ""), (AccountKind.EXTERNAL, ""),
        (AccountKind.EXTERNAL, UNFUNDED),
    )  # fmt: skip
    return tuple(
        Account(account_id=standard_id(kind, name, unit), kind=kind, unit=unit, overdraft=True)
        for kind, name in kinds
    )


def bill_lines(
    bill: Bill,
    site: str,
    at_ms: int,
    *,
    facts: tuple[NamedFact, ...] = (),
    via_platform: bool = True,
) -> tuple[BillLine, ...]:
    """The bill as vouchers see it. ``at_ms`` decides the year: a bill that reaches into another
    year is made in two. Every run here was bought through the platform. Rounding and what is below
    nought (power at a negative price) are no spend: see ``beside``."""
    spends: tuple[tuple[Spend, int, int], ...] = (
        ("compute", bill.device_micros, bill.device_milli_ms),
        ("electricity", bill.power_micros, 0),
        ("network", bill.transfer_micros, 0),
        ("data", bill.data_micros, 0),
    )
    return tuple(
        BillLine(
            spend=spend, micros=micros, at_ms=at_ms, seller=site, device_milli_ms=device,
            via_platform=via_platform, facts=facts,
        )
        for spend, micros, device in spends
        if micros > 0
    )  # fmt: skip


def spent(bill: Bill, site: str, unit: str) -> dict[str, int]:
    """Account → millionths that it earns of the bill: as much as ``bill_lines`` in all."""
    return {account: micros for account, micros in _parts(bill, site, unit) if micros > 0}


def beside(bill: Bill, site: str, unit: str) -> dict[str, int]:
    """Account → millionths that the project itself pays it (below nought: gets from it)."""
    found = {account: micros for account, micros in _parts(bill, site, unit) if micros < 0}
    if bill.rounding_micros:
        found[standard_id(AccountKind.ROUNDING, "", unit)] = bill.rounding_micros
    return found


def hold(
    run: RunOnRoad, number: int, split: Split, before: Split | None = None
) -> tuple[Transfer, ...]:
    """Pending transfers for what may be spent, one a payer, all or none.

    ``number``: of the hold within the run; with ``before`` (what was held so far) only the growth.
    """
    return tuple(
        Transfer(
            transfer_id=f"{run.run_id}:hold:{number}:{at}",
            kind=TransferKind.PENDING,
            debit=account,
            credit=run.clearing,
            amount=micros,
            group_id=f"{run.run_id}:hold:{number}",
            category="hold",
            job_id=run.job_id,
            run_id=run.run_id,
        )
        for at, (account, micros) in enumerate(_owed(run, increments(before, split)))
        if micros > 0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A pending transfer of the run and how it stands."""

    transfer: Transfer
    hold: Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """A run's bill so far and who pays it."""

    bill: Bill
    split: Split


def post(
    run: RunOnRoad,
    number: int,
    billed: Billed,
    held: Sequence[Held],
    *,
    before: Billed | None = None,
    last: bool = False,
    lacking: Mapping[str, int] | None = None,
) -> tuple[Transfer, ...]:
    """One linked group: what the run has cost since ``before``, from its holds as far as they go.

    ``number``: of the posting within the run. ``last``: what is still held is given back.
    ``lacking`` (account → millionths): what a payer does not have beyond its holds; the network
    bears that, in its account ``unfunded``. Raises ValueError where split and bill disagree.
    """
    change = increments(None if before is None else before.split, billed.split)
    owed = _owed(run, change)
    earned = _growth(spent, run, billed, before)
    if sum(micros for _, micros in owed) != sum(earned.values()):
        raise ValueError(f"run {run.run_id}: its bill and its split differ")
    group = _Group(run, number, held)
    short = dict(lacking or {})
    for account, micros in owed:
        borne = group.collect(account, micros, short.get(account, 0))
        short[account] = short.get(account, 0) - borne
    for account, micros in earned.items():
        group.pay(account, run.clearing, -micros, "given-back")
    for account, micros in owed:
        group.pay(run.clearing, account, -micros, "given-back")
    for account, micros in earned.items():
        group.pay(run.clearing, account, micros, "earned")
    for account, micros in _growth(beside, run, billed, before).items():
        own_rounding = account == standard_id(AccountKind.ROUNDING, "", run.unit)
        category = "rounding" if own_rounding else "negative-price"
        borne = max(0, min(micros, short.get(run.project, 0)))
        short[run.project] = short.get(run.project, 0) - borne
        group.pay(run.project, account, micros - borne, category)
        group.pay(group.unfunded, account, borne, "unfunded")
        group.pay(account, run.project, -micros, category)
    for part in change:
        if part.payee:
            payee = standard_id(AccountKind.SITE, part.payee, run.unit)
            group.pay(_payer(run, part), payee, part.micros, "reward")
            group.pay(payee, _payer(run, part), -part.micros, "reward")
    if last:
        group.release()
    return tuple(group.transfers)


def so_far(bill: Bill) -> Bill:
    """What of a bill is posted while the run goes on: its parts above nought. Rounding and what is
    paid back wait for the last posting, where they are known."""
    parts = {name: max(0, getattr(bill, name)) for name in _PART_FIELDS}
    return replace(bill, **parts, rounding_micros=0, total_micros=sum(parts.values()))


def covered(
    run: RunOnRoad, billed: Billed, held: Sequence[Held], before: Billed | None = None
) -> bool:
    """Whether everything since ``before`` is growth, there is some, and the holds have it all: then
    it may be posted in mid-run without asking anybody for more."""
    change = increments(None if before is None else before.split, billed.split)
    earned = _growth(spent, run, billed, before)
    if not change or min(one.micros for one in change) < 0 or min(earned.values(), default=0) < 0:
        return False
    left: dict[str, int] = defaultdict(int)
    for one in held:
        if one.hold.state is HoldState.OPEN:
            left[one.transfer.debit] += one.hold.left
    return all(micros <= left[account] for account, micros in _owed(run, change))


class _Group:
    """Transfers of one posting, numbered as they come."""

    def __init__(self, run: RunOnRoad, number: int, held: Sequence[Held]) -> None:
        self.transfers: list[Transfer] = []
        self._run = run
        self._name = f"{run.run_id}:post:{number}"
        self.unfunded = standard_id(AccountKind.EXTERNAL, UNFUNDED, run.unit)
        self._left = {
            one.transfer.transfer_id: (one.transfer.debit, one.hold.left)
            for one in held
            if one.hold.state is HoldState.OPEN
        }

    def collect(self, account: str, micros: int, lacking: int) -> int:
        """From what the account has held for this run, then from the account; what it lacks from
        the network: that is what is returned."""
        for pending_id, (payer, left) in self._left.items():
            taken = min(left, micros)
            if payer == account and taken > 0:
                self._add(TransferKind.POST, amount=taken, pending_id=pending_id)
                self._left[pending_id] = (payer, left - taken)
                micros -= taken
        borne = max(0, min(micros, lacking))
        self.pay(account, self._run.clearing, micros - borne, "beyond-hold")
        self.pay(self.unfunded, self._run.clearing, borne, "unfunded")
        return borne

    def pay(self, debit: str, credit: str, micros: int, category: str) -> None:
        if micros > 0:
            self._add(
                TransferKind.POSTED, amount=micros, debit=debit, credit=credit, category=category
            )

    def release(self) -> None:
        for pending_id, (_, left) in self._left.items():
            if left:
                self._add(TransferKind.VOID, amount=0, pending_id=pending_id)

    def _add(
        self, kind: TransferKind, *, amount: int, debit: str = "", credit: str = "",
        pending_id: str = "", category: str = "",
    ) -> None:  # fmt: skip
        self.transfers.append(
            Transfer(
                transfer_id=f"{self._name}:{len(self.transfers)}", kind=kind, amount=amount,
                debit=debit, credit=credit, pending_id=pending_id, category=category,
                group_id=self._name, job_id=self._run.job_id, run_id=self._run.run_id,
            )
        )  # fmt: skip


def _parts(bill: Bill, site: str, unit: str) -> tuple[tuple[str, int], ...]:
    return (
        (standard_id(AccountKind.SITE, site, unit), bill.device_micros),
        (standard_id(AccountKind.NETWORK_POWER, "", unit), bill.power_micros),
        (standard_id(AccountKind.NETWORK_LINKS, "", unit), bill.transfer_micros),
        (standard_id(AccountKind.DATA_OWNER, "", unit), bill.data_micros),
    )


def _growth(
    part: Callable[[Bill, str, str], dict[str, int]],
    run: RunOnRoad,
    billed: Billed,
    before: Billed | None,
) -> dict[str, int]:
    new = part(billed.bill, run.site, run.unit)
    old = {} if before is None else part(before.bill, run.site, run.unit)
    return {name: new.get(name, 0) - old.get(name, 0) for name in sorted({*old, *new})}


def _payer(run: RunOnRoad, part: Part) -> str:
    if part.year is None:
        return run.project
    return pot_id(part.rule, part.year, run.unit)


def _owed(run: RunOnRoad, parts: Sequence[Part]) -> list[tuple[str, int]]:
    """By account, in order of its id; rewards are no part of the price."""
    sums: dict[str, int] = defaultdict(int)
    for part in parts:
        if not part.payee:
            sums[_payer(run, part)] += part.micros
    return sorted(sums.items())
