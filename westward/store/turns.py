"""Turns at writing, for servers that share one PostgreSQL.

Every transaction of a server that writes takes its turn first, as SQLite's BEGIN IMMEDIATE does: an
advisory lock until the transaction ends. So all that is written for one writer stays right with
several servers, nothing can deadlock between them, and who leads cannot change under a transaction
that has looked. A server that is stopped while it has the turn loses it, and its transaction, after
``STALLED_MS``. See docs/decisions/0041.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

TURN_LOCK = 0x77657374_7475726E
"""Key of the advisory lock of whoever writes: the letters of ``westturn``."""
STALLED_MS = 4_000
"""A transaction in which nothing was asked for so long is ended by the database."""
CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""libpq's options: a database that has gone without a word is noticed within about ten seconds."""


def prepare_turns(engine: Engine) -> None:
    """For every connection of a server's engine."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET idle_in_transaction_session_timeout = {STALLED_MS}")
        cursor.close()
        connection.commit()


def take_turn(connection: Connection) -> None:
    """Waits until nobody else writes. The first statement of the transaction."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TURN_LOCK})")
