"""Rows of the ledger as values, and the statements by which they are found.

A list of ids is one parameter (an array, or JSON for SQLite), so that each statement is the same
text whatever the size of the batch: it is prepared once, and no limit of parameters is met.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Select,
    String,
    any_,
    bindparam,
    func,
    select,
)

from westward.ledger.accounts import Account, AccountKind, Balances, can_be_kept
from westward.ledger.transfers import Hold, HoldState, Recorded, Transfer, TransferKind
from westward.store.ledger_driver import Row
from westward.store.money_schema import LEDGER_ACCOUNTS, LEDGER_HOLDS, LEDGER_TRANSFERS

A = LEDGER_ACCOUNTS.c
T = LEDGER_TRANSFERS.c
H = LEDGER_HOLDS.c


@dataclass(frozen=True, slots=True)
class Statements:
    """``ids`` are given by ``among``. Posting has statements of its own: ``ledger_driver``."""

    accounts: Select[Any]
    recorded: Select[Any]
    """Transfers by id with their holds."""
    due: Select[Any]
    """Ids of pending transfers that expired by ``now_ms``, at most ``most``."""


def statements_for(connection: Connection) -> Statements:
    return _statements(connection.dialect.name)


def among(connection: Connection, **lists: Iterable[str]) -> dict[str, Any]:
    """Parameters that are lists of ids. What no database could hold is left out: it is not there."""
    kept = {name: [text for text in ids if can_be_kept(text)] for name, ids in lists.items()}
    if connection.dialect.name == "sqlite":
        return {name: json.dumps(ids) for name, ids in kept.items()}
    return kept


@lru_cache
def _statements(dialect: str) -> Statements:
    def listed(column: Column[Any], name: str) -> ColumnElement[bool]:
        if dialect == "sqlite":
            return column.in_(select(func.json_each(bindparam(name)).table_valued("value").c.value))
        return column == any_(bindparam(name, type_=ARRAY(String)))

    holds = LEDGER_TRANSFERS.outerjoin(LEDGER_HOLDS, H.transfer_id == T.transfer_id)
    return Statements(
        accounts=select(LEDGER_ACCOUNTS).where(listed(A.account_id, "ids")).order_by(A.account_id),
        recorded=select(LEDGER_TRANSFERS, H.remaining, H.state)
        .select_from(holds)
        .where(listed(T.transfer_id, "ids")),
        due=select(H.transfer_id)
        .where(H.state == HoldState.OPEN.value, H.expires_ms <= bindparam("now_ms"))
        .order_by(H.expires_ms, H.transfer_id)
        .limit(bindparam("most")),
    )


def account_values(account: Account, now_ms: int) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "kind": account.kind.value,
        "unit": account.unit,
        "overdraft": int(account.overdraft),
        "owner": account.owner,
        "label": account.label,
        "opened_ms": now_ms,
        "version": 1,
        **dict.fromkeys(Balances._fields, 0),
    }


def read_account(row: Row) -> Account:
    return Account(
        account_id=row["account_id"],
        kind=AccountKind(row["kind"]),
        unit=row["unit"],
        overdraft=bool(row["overdraft"]),
        owner=row["owner"],
        label=row["label"],
    )


def read_balances(row: Row) -> Balances:
    return Balances(*(int(row[name]) for name in Balances._fields))


def transfer_values(recorded: Recorded, now_ms: int) -> dict[str, Any]:
    transfer = recorded.transfer
    return {
        "transfer_id": transfer.transfer_id,
        "kind": transfer.kind.value,
        "debit": transfer.debit,
        "credit": transfer.credit,
        "amount": transfer.amount,
        "pending_id": transfer.pending_id or None,
        "expires_ms": transfer.expires_ms,
        "group_id": transfer.group_id or None,
        "group_position": recorded.group_position,
        "group_size": recorded.group_size,
        "category": transfer.category,
        "job_id": transfer.job_id or None,
        "run_id": transfer.run_id or None,
        "corrects": transfer.corrects or None,
        "reason": transfer.reason,
        "at_ms": now_ms,
    }


def read_recorded(row: Row) -> Recorded:
    return Recorded(
        transfer=Transfer(
            transfer_id=row["transfer_id"],
            kind=TransferKind(row["kind"]),
            debit=row["debit"],
            credit=row["credit"],
            amount=row["amount"],
            pending_id=row["pending_id"] or "",
            expires_ms=row["expires_ms"],
            group_id=row["group_id"] or "",
            category=row["category"],
            job_id=row["job_id"] or "",
            run_id=row["run_id"] or "",
            corrects=row["corrects"] or "",
            reason=row["reason"],
        ),
        group_position=row["group_position"],
        group_size=row["group_size"],
    )


def read_hold(row: Row) -> Hold | None:
    """Of a transfer's row with its hold; None for one that holds nothing."""
    if row["state"] is None:
        return None
    return Hold(
        transfer_id=row["transfer_id"],
        left=row["remaining"],
        expires_ms=row["expires_ms"],
        state=HoldState(row["state"]),
    )
