"""Reading the ledger: balances, an account's statement, what is about a job, open holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    func,
    not_,
    or_,
    select,
    true,
)

from westward.ledger.accounts import ZERO, Account, AccountKind, Balances
from westward.ledger.transfers import Hold, Recorded, TransferKind, change_of
from westward.store.database import Store
from westward.store.ledger_rows import (
    among,
    read_account,
    read_balances,
    read_hold,
    read_recorded,
    statements_for,
)
from westward.store.money_schema import LEDGER_ACCOUNTS, LEDGER_HOLDS, LEDGER_TRANSFERS

PAGE_MOST = 1_000
A = LEDGER_ACCOUNTS.c
T = LEDGER_TRANSFERS.c
H = LEDGER_HOLDS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    account: Account
    balances: Balances
    opened_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """An accepted transfer in its place. ``hold``: how it stands now, if it is a pending one."""

    seq: int
    at_ms: int
    recorded: Recorded
    hold: Hold | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """``after``: the account's balances once this transfer had taken effect."""

    entry: LedgerEntry
    change: Balances
    after: Balances


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A page of an account's transfers. ``next_seq``: the ``after_seq`` of the next page, None: there is
    none."""

    account: Account
    opening: Balances
    lines: tuple[StatementLine, ...]
    closing: Balances
    next_seq: int | None


def balances_of(store: Store, account_ids: Sequence[str]) -> dict[str, AccountState]:
    """Those of ``account_ids`` that exist."""
    with store.read() as connection:
        rows = connection.execute(
            statements_for(connection).accounts, among(connection, ids=account_ids)
        )
        return {row["account_id"]: _state(row) for row in rows.mappings()}


def list_accounts(
    store: Store,
    *,
    kind: AccountKind | None = None,
    owner: str | None = None,
    after: str = "",
    most: int = PAGE_MOST,
) -> tuple[AccountState, ...]:
    """By id, those after ``after``."""
    query = select(LEDGER_ACCOUNTS).where(A.account_id > after).order_by(A.account_id).limit(most)
    if kind is not None:
        query = query.where(A.kind == kind.value)
    if owner is not None:
        query = query.where(A.owner == owner)
    with store.read() as connection:
        return tuple(map(_state, connection.execute(query).mappings()))


def statement(
    store: Store,
    account_id: str,
    *,
    from_ms: int | None = None,
    until_ms: int | None = None,
    after_seq: int = 0,
    most: int = PAGE_MOST,
) -> Statement | None:
    """The account's transfers made from ``from_ms`` to before ``until_ms``, with its balances
    before and after each; those of an earlier time are in the opening balances.

    A page of ``most`` lines after row ``after_seq``. None: there is no such account.
    """
    mine = or_(T.debit == account_id, T.credit == account_id)
    within = true() if until_ms is None else T.at_ms < until_ms
    started = true() if from_ms is None else T.at_ms >= from_ms
    query = _entries().where(mine, within, started, T.seq > after_seq)
    before = and_(within, or_(T.seq <= after_seq, not_(started)))
    with store.read() as connection:
        account = (
            connection.execute(select(LEDGER_ACCOUNTS).where(A.account_id == account_id))
            .mappings()
            .one_or_none()
        )
        if account is None:
            return None
        opening = _sums(connection, account_id, before)
        rows = connection.execute(query.order_by(T.seq).limit(most + 1)).mappings()
        found = list(map(_entry, rows))
    balances = opening
    lines = []
    for entry in found[:most]:
        transfer = entry.recorded.transfer
        change = change_of(transfer.kind, transfer.amount, pays=transfer.debit == account_id)
        balances = balances.plus(change)
        lines.append(StatementLine(entry=entry, change=change, after=balances))
    return Statement(
        account=read_account(account),
        opening=opening,
        lines=tuple(lines),
        closing=balances,
        next_seq=lines[-1].entry.seq if len(found) > most else None,
    )


def transfers_about(
    store: Store, job_id: str, run_id: str | None = None
) -> tuple[LedgerEntry, ...]:
    """Every transfer about the job (or one of its runs), in the order of effect."""
    query = _entries().where(T.job_id == job_id).order_by(T.seq)
    if run_id is not None:
        query = query.where(T.run_id == run_id)
    with store.read() as connection:
        return tuple(map(_entry, connection.execute(query).mappings()))


def pendings_about(store: Store, runs: Iterable[tuple[str, str]]) -> dict[str, list[LedgerEntry]]:
    """What was ever held for these runs (job id, run id), by run id, in the order of effect."""
    jobs_runs = tuple(runs)
    found: dict[str, list[LedgerEntry]] = {run_id: [] for _, run_id in jobs_runs}
    if not jobs_runs:
        return found
    query = (
        _entries()
        .where(T.job_id.in_(sorted({job_id for job_id, _ in jobs_runs})))
        .where(T.run_id.in_(sorted(found)), T.kind == TransferKind.PENDING.value)
        .order_by(T.seq)
    )
    with store.read() as connection:
        for row in connection.execute(query).mappings():
            found[row["run_id"]].append(_entry(row))
    return found


def transfers_by_id(store: Store, transfer_ids: Sequence[str]) -> dict[str, LedgerEntry]:
    """Those that exist; a pending one with what it still holds."""
    with store.read() as connection:
        rows = connection.execute(
            statements_for(connection).recorded, among(connection, ids=transfer_ids)
        )
        return {row["transfer_id"]: _entry(row) for row in rows.mappings()}


def _entries() -> Select[Any]:
    joined = LEDGER_TRANSFERS.outerjoin(LEDGER_HOLDS, H.transfer_id == T.transfer_id)
    return select(LEDGER_TRANSFERS, H.remaining, H.state).select_from(joined)


def _sums(connection: Connection, account_id: str, rows: ColumnElement[bool]) -> Balances:
    """What those rows did to the account."""
    total = ZERO
    for side, pays in ((T.debit, True), (T.credit, False)):
        query = select(T.kind, func.sum(T.amount)).where(side == account_id, rows).group_by(T.kind)
        for kind, amount in connection.execute(query):
            total = total.plus(change_of(TransferKind(kind), int(amount), pays=pays))
    return total


def _state(row: RowMapping) -> AccountState:
    return AccountState(
        account=read_account(row), balances=read_balances(row), opened_ms=row["opened_ms"]
    )


def _entry(row: RowMapping) -> LedgerEntry:
    return LedgerEntry(
        seq=row["seq"], at_ms=row["at_ms"], recorded=read_recorded(row), hold=read_hold(row)
    )
