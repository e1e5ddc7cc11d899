"""Commands that go to the database's driver as they are.

SQLAlchemy takes longer over a short statement than the database does. Where statements are many
and never change, they are handed to the driver; transactions, the pool and the kinds of errors stay
SQLAlchemy's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from westward.store.lean import lean_of

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

BEGIN, COMMIT = b"BEGIN", b"COMMIT"


def say(connection: Connection, command: str) -> None:
    """A command without parameters or rows, within the connection's transaction."""
    lean = lean_of(connection)
    if lean is not None:
        lean.say(command)
        return
    with as_sqlalchemy_raises(connection):
        commands = [(command.encode(), None)]
        talk(connection, [(BEGIN, None), *commands] if not_begun(connection) else commands)


def sqlite_of(connection: Connection) -> sqlite3.Connection:
    lean = lean_of(connection)
    assert lean is not None
    return lean.raw


def libpq_of(connection: Connection) -> PGconn:
    pgconn: PGconn = connection.connection.driver_connection.pgconn  # type: ignore[union-attr]
    return pgconn


def not_begun(connection: Connection) -> bool:
    """psycopg begins a transaction with its first cursor: before that we do."""
    from psycopg.pq import TransactionStatus

    return bool(libpq_of(connection).transaction_status == TransactionStatus.IDLE)


def talk(
    connection: Connection, commands: Sequence[tuple[bytes, Sequence[bytes] | None]]
) -> list[PGresult]:
    """Commands (SQL without parameters), or names of prepared statements with their parameters, to
    PostgreSQL, one after another. Raises what psycopg raises for the first that fails.

    Not in libpq's pipeline mode: psycopg keeps the interpreter's lock while it waits for a result of
    that, and whoever holds the row that we wait for may be another thread of ours.
    """
    pgconn = libpq_of(connection)
    results: list[PGresult] = []
    for text, parameters in commands:
        if parameters is None:
            result = pgconn.exec_(text)
        else:
            result = pgconn.exec_prepared(text, parameters)
        raise_for(result)
        results.append(result)
    return results


def prepare(connection: Connection, name: bytes, statement: bytes) -> None:
    """Once a connection: noted with it in the pool. See ``postgres.prepare``."""
    prepared: set[bytes] = connection.info.setdefault("westward.prepared", set())
    if name not in prepared:
        raise_for(libpq_of(connection).prepare(name, statement))
        prepared.add(name)


def raise_for(result: PGresult) -> None:
    """What psycopg raises for a result that is an error. Its ``sqlstate`` says which."""
    from psycopg import OperationalError, errors
    from psycopg.pq import DiagnosticField, ExecStatus

    if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        return
    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    message = result.error_message.decode(errors="replace").strip()
    try:
        kind: type[Exception] = errors.lookup(state)
    except KeyError:
        kind = OperationalError
        if state:  # one of our own
            error = errors.Error(message)
            error.sqlstate = state
            raise error from None
    raise kind(message)


@contextmanager
def as_sqlalchemy_raises(connection: Connection) -> Iterator[None]:
    """The driver's errors as SQLAlchemy wraps them; a connection that is lost goes back to no pool."""
    lean = lean_of(connection)
    if lean is not None:
        try:
            yield
        except sqlite3.Error as error:
            raise lean.wrapped(error, None, None) from error
        return
    dialect = connection.dialect
    driver = dialect.loaded_dbapi
    try:
        yield
    except driver.Error as error:
        lost = dialect.is_disconnect(error, connection.connection.driver_connection, None)
        if lost:
            connection.invalidate(error)
        wrapped = DBAPIError.instance(
            None, None, error, driver.Error, connection_invalidated=lost, dialect=dialect
        )
        assert isinstance(wrapped, BaseException)
        raise wrapped from error
