"""Writing many rows of the ledger with one statement each.

SQLite takes one row after another at no cost. PostgreSQL is given one array a column: a statement
for each row would be most of a batch's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Executable, bindparam, insert, text, update

from westward.ledger.accounts import Balances
from westward.ledger.transfers import HoldState
from westward.store.rows import LostWrite
from westward.store.schema import LEDGER_ACCOUNTS, LEDGER_HOLDS, LEDGER_TRANSFERS

Values = dict[str, Any]
_A, _H = LEDGER_ACCOUNTS.c, LEDGER_HOLDS.c
_OPEN = HoldState.OPEN.value

_TRANSFER_TYPES = {
    "transfer_id": "text",
    "kind": "text",
    "debit": "text",
    "credit": "text",
    "amount": "bigint",
    "pending_id": "text",
    "expires_ms": "bigint",
    "group_id": "text",
    "group_position": "integer",
    "group_size": "integer",
    "category": "text",
    "job_id": "text",
    "run_id": "text",
    "corrects": "text",
    "reason": "text",
    "at_ms": "bigint",
}
_HOLD_TYPES = {
    "transfer_id": "text",
    "remaining": "bigint",
    "expires_ms": "bigint",
    "state": "text",
}
_CHANGE_OF_HOLD = {"of": "text", "seen": "bigint", "remaining": "bigint", "state": "text"}
_CHANGE_OF_BALANCES = {
    "of": "text",
    "seen": "bigint",
    "next": "bigint",
    **dict.fromkeys(Balances._fields, "bigint"),
}


def _arrays(types: dict[str, str]) -> str:
    """A table ``n`` of one array a column, its rows numbered in the order given."""
    columns = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in types.items())
    names = ", ".join(f'"{name}"' for name in types)
    return f'unnest({columns}) WITH ORDINALITY AS n({names}, "row")'


def _insert(table: str, types: dict[str, str]) -> Executable:
    names = ", ".join(types)
    return text(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {_arrays(types)} ORDER BY n.row"
    )


_POSTGRES: dict[str, tuple[dict[str, str], Executable]] = {
    "transfers": (_TRANSFER_TYPES, _insert("ledger_transfers", _TRANSFER_TYPES)),
    "holds": (_HOLD_TYPES, _insert("ledger_holds", _HOLD_TYPES)),
    "change-holds": (
        _CHANGE_OF_HOLD,
        text(
            "UPDATE ledger_holds AS h SET remaining = n.remaining, state = n.state "
            f"FROM {_arrays(_CHANGE_OF_HOLD)} "
            f"WHERE h.transfer_id = n.of AND h.remaining = n.seen AND h.state = '{_OPEN}'"
        ),
    ),
    "change-balances": (
        _CHANGE_OF_BALANCES,
        text(
            "UPDATE ledger_accounts AS a SET version = n.next, "
            + ", ".join(f"{name} = n.{name}" for name in Balances._fields)
            + f" FROM {_arrays(_CHANGE_OF_BALANCES)} "
            "WHERE a.account_id = n.of AND a.version = n.seen"
        ),
    ),
}
_ELSEWHERE: dict[str, Executable] = {
    "transfers": insert(LEDGER_TRANSFERS).inline(),
    "holds": insert(LEDGER_HOLDS),
    "change-holds": update(LEDGER_HOLDS)
    .where(
        _H.transfer_id == bindparam("of"),
        _H.remaining == bindparam("seen"),
        _H.state == _OPEN,
    )
    .values(remaining=bindparam("remaining"), state=bindparam("state")),
    "change-balances": update(LEDGER_ACCOUNTS)
    .where(_A.account_id == bindparam("of"), _A.version == bindparam("seen"))
    .values(version=bindparam("next"), **{name: bindparam(name) for name in Balances._fields}),
}


def write_rows(connection: Connection, what: str, values: Sequence[Values]) -> None:
    """``what``: ``transfers`` and ``holds`` are added, in order; ``change-holds`` and
    ``change-balances`` name in ``of`` and ``seen`` what they were decided on.

    Raises ``LostWrite`` where a row was not as it had been seen.
    """
    if not values:
        return
    if connection.dialect.name == "postgresql":
        types, statement = _POSTGRES[what]
        arrays = {name: [row[name] for row in values] for name in types}
        count = connection.execute(statement, arrays).rowcount
    else:
        count = connection.execute(_ELSEWHERE[what], list(values)).rowcount
    if what.startswith("change") and count != len(values):
        raise LostWrite(f"{len(values)} rows of the ledger were decided on, {count} kept")
