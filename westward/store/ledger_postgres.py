"""A batch of transfers over PostgreSQL: one statement that looks, one that keeps, of migration 0011.

Both are sent through libpq as psycopg hands it on: the rows go as one JSON text each way, and the
processor's time of a transfer alone is a third of what it is through cursors.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from westward.store.ledger_driver import Asked, Found, Made, Values, as_sqlalchemy_raises
from westward.store.rows import LostWrite

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

_LOOK, _KEEP = b"westward_ledger_look", b"westward_ledger_keep"
_STATEMENTS = {_LOOK: b"SELECT ledger_look($1)", _KEEP: b"SELECT ledger_keep($1)"}
_PREPARED = "westward.ledger.prepared"
"""Noted with each connection of the pool."""
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
        answer = _call(connection, _LOOK, question).get_value(0, 0)
    assert answer is not None
    accounts, transfers, groups = json.loads(answer)
    return Found(accounts or (), transfers or (), groups or ())


def keep(connection: Connection, made: Made) -> None:
    """Raises ``LostWrite`` where a row was not as it had been seen."""
    rows: dict[str, Any] = {
        "transfers": made.transfers,
        "change-balances": made.changed_balances,
    }
    if made.holds:
        rows["holds"] = made.holds
    if made.changed_holds:
        rows["change-holds"] = made.changed_holds
    with as_sqlalchemy_raises(connection):
        _call(connection, _KEEP, rows)


def _call(connection: Connection, name: bytes, values: Values) -> PGresult:
    from psycopg.pq import ExecStatus, TransactionStatus

    pgconn: PGconn = connection.connection.driver_connection.pgconn  # type: ignore[union-attr]
    if pgconn.transaction_status == TransactionStatus.IDLE:  # psycopg begins with its first cursor
        _check(pgconn.exec_(b"BEGIN"), ExecStatus.COMMAND_OK)
    prepared: set[bytes] = connection.info.setdefault(_PREPARED, set())
    if name not in prepared:
        _check(pgconn.prepare(name, _STATEMENTS[name]), ExecStatus.COMMAND_OK)
        prepared.add(name)
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    result = pgconn.exec_prepared(name, [text.encode()])
    _check(result, ExecStatus.TUPLES_OK)
    return result


def _check(result: PGresult, wanted: int) -> None:
    """Raises what psycopg raises for the result's state."""
    if result.status == wanted:
        return
    from psycopg import OperationalError, errors
    from psycopg.pq import DiagnosticField

    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    message = result.error_message.decode(errors="replace").strip()
    if state == _NOT_AS_SEEN:
        raise LostWrite(message)
    try:
        kind: type[Exception] = errors.lookup(state)
    except KeyError:  # none: the connection broke
        kind = OperationalError
    raise kind(message)
