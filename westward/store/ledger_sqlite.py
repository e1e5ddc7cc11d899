"""A batch of transfers over SQLite. A list of ids is one parameter, as JSON: each statement is the
same text whatever the size of the batch, and no limit of parameters is met."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from sqlalchemy import Connection

from westward.ledger.accounts import Balances
from westward.ledger.transfers import HoldState
from westward.store.driver import as_sqlalchemy_raises, sqlite_of
from westward.store.ledger_driver import Asked, Found, Made, Values
from westward.store.money_schema import LEDGER_TRANSFERS
from westward.store.rows import LostWrite

_IDS = "(SELECT value FROM json_each(?))"
_ACCOUNTS = f"SELECT * FROM ledger_accounts WHERE account_id IN {_IDS}"
_ACCOUNTS_OF_PENDINGS = (
    "SELECT * FROM ledger_accounts WHERE account_id IN (SELECT value FROM json_each(:ids) "
    "UNION ALL SELECT debit FROM ledger_transfers "
    "WHERE transfer_id IN (SELECT value FROM json_each(:pendings)) "
    "UNION ALL SELECT credit FROM ledger_transfers "
    "WHERE transfer_id IN (SELECT value FROM json_each(:pendings)))"
)
_TRANSFERS = (
    "SELECT t.*, h.remaining, h.state FROM ledger_transfers t "
    "LEFT JOIN ledger_holds h ON h.transfer_id = t.transfer_id "
    f"WHERE t.transfer_id IN {_IDS}"
)
_GROUPS = f"SELECT group_id FROM ledger_transfers WHERE group_id IN {_IDS} AND group_position = 0"
_COLUMNS = [one.name for one in LEDGER_TRANSFERS.columns if one.name != "seq"]
_INSERT = (
    f"INSERT INTO ledger_transfers ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join(':' + name for name in _COLUMNS)})"
)
_INSERT_HOLD = (
    "INSERT INTO ledger_holds (transfer_id, remaining, expires_ms, state) "
    "VALUES (:transfer_id, :remaining, :expires_ms, :state)"
)
_CHANGE_HOLD = (
    "UPDATE ledger_holds SET remaining = :remaining, state = :state "
    f"WHERE transfer_id = :of AND remaining = :seen AND state = '{HoldState.OPEN.value}'"
)
_CHANGE_BALANCES = (
    "UPDATE ledger_accounts SET version = :next, "
    + ", ".join(f"{name} = :{name}" for name in Balances._fields)
    + " WHERE account_id = :of AND version = :seen"
)


def look(connection: Connection, asked: Asked) -> Found:
    """Within a transaction that writes: it has the whole file for itself."""
    with as_sqlalchemy_raises(connection):
        cursor = _cursor(connection)
        if asked.pendings:
            lists = {"ids": json.dumps(asked.accounts), "pendings": json.dumps(asked.pendings)}
            accounts = cursor.execute(_ACCOUNTS_OF_PENDINGS, lists).fetchall()
        else:
            accounts = cursor.execute(_ACCOUNTS, (json.dumps(asked.accounts),)).fetchall()
        transfers = cursor.execute(_TRANSFERS, (json.dumps(asked.transfers),)).fetchall()
        groups: list[str] = []
        if asked.groups:
            found = cursor.execute(_GROUPS, (json.dumps(asked.groups),))
            groups = [row["group_id"] for row in found]
        return Found(accounts, transfers, groups)


def keep(connection: Connection, made: Made, *, last: bool) -> None:
    """``last`` or not: a commit costs the same afterwards. Raises ``LostWrite`` where a row was not
    as it had been seen."""
    with as_sqlalchemy_raises(connection):
        cursor = _cursor(connection)
        cursor.executemany(_INSERT, made.transfers)
        if made.holds:
            cursor.executemany(_INSERT_HOLD, made.holds)
        _change(cursor, _CHANGE_HOLD, made.changed_holds)
        _change(cursor, _CHANGE_BALANCES, made.changed_balances)


def _cursor(connection: Connection) -> sqlite3.Cursor:
    cursor = sqlite_of(connection).cursor()
    cursor.row_factory = sqlite3.Row
    return cursor


def _change(cursor: sqlite3.Cursor, statement: str, values: Sequence[Values]) -> None:
    if values and cursor.executemany(statement, values).rowcount != len(values):
        raise LostWrite(f"{len(values)} rows of the ledger were decided on, fewer kept")
