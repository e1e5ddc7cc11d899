"""A batch of transfers over PostgreSQL: one statement that looks, one that keeps, of migration 0011.

The rows go as one JSON text each way, through libpq as psycopg hands it on: that takes a third of
the processor's time that cursors take.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from westward.store.driver import (
    BEGIN,
    COMMIT,
    as_sqlalchemy_raises,
    not_begun,
    prepare,
    talk,
)
from westward.store.ledger_driver import Asked, Found, Made, Values
from westward.store.rows import LostWrite

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_LOOK, _KEEP = b"westward_ledger_look", b"westward_ledger_keep"
_STATEMENTS = {_LOOK: b"SELECT ledger_look($1)", _KEEP: b"SELECT ledger_keep($1)"}
_NOT_AS_SEEN = "WW001"
"""What ``ledger_keep`` raises."""


def look(connection: Connection, asked: Asked) -> Found:
    """Locks the accounts in the order of their ids, then reads what stands."""
    question: dict[str, list[str]] = {"ids": asked.accounts, "wanted": asked.transfers}
    if asked.pendings:
        question["pendings"] = asked.pendings
    if asked.groups:
        question["groups"] = asked.groups
    with as_sqlalchemy_raises(connection):
        answer = _call(connection, _LOOK, question, commits=False).get_value(0, 0)
    assert answer is not None
    accounts, transfers, groups = json.loads(answer)
    return Found(accounts or (), transfers or (), groups or ())


def keep(connection: Connection, made: Made, *, last: bool) -> None:
    """``last``: nothing else is to come in this transaction, it is durable on return. Raises
    ``LostWrite`` where a row was not as it had been seen."""
    rows: dict[str, Any] = {
        "transfers": made.transfers,
        "change-balances": made.changed_balances,
    }
    if made.holds:
        rows["holds"] = made.holds
    if made.changed_holds:
        rows["change-holds"] = made.changed_holds
    with as_sqlalchemy_raises(connection):
        _call(connection, _KEEP, rows, commits=last)


def _call(connection: Connection, name: bytes, values: Values, *, commits: bool) -> PGresult:
    from psycopg import Error

    begins = not_begun(connection)
    prepare(connection, name, _STATEMENTS[name])
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    try:
        results = talk(
            connection,
            [
                *([(BEGIN, None)] if begins else []),
                (name, [text.encode()]),
                *([(COMMIT, None)] if commits else []),
            ],
        )
    except Error as error:
        if error.sqlstate == _NOT_AS_SEEN:
            raise LostWrite(str(error)) from error
        raise
    return results[int(begins)]
