"""Turns at writing, for servers that share one PostgreSQL.

Every transaction of a server that writes takes its turn first, as SQLite's BEGIN IMMEDIATE does: an
advisory lock until the transaction ends. So all that is written for one writer stays right with
several servers, nothing can deadlock between them, and who leads cannot change under a transaction
that has looked. A server that is stopped while it has the turn loses it, and its transaction, after
``STALLED_MS``. See docs/decisions/0041.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

TURN_LOCK = 0x77657374_7475726E
"""Key of the advisory lock of whoever writes: the letters of ``westturn``."""
STALLED_MS = 8_000
"""A transaction with the turn in which nothing was asked for so long is ended by the database: longer
than anything that is worked out in one, and less than a lease."""
CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""libpq's options: a database that has gone without a word is noticed within about ten seconds."""


def take_turn(connection: Connection) -> None:
    """Waits until nobody else writes. The first statement of the transaction, which the database
    ends when it is left alone for STALLED_MS; transactions that only read may take their time."""
    connection.exec_driver_sql(
        f"SELECT set_config('idle_in_transaction_session_timeout', '{STALLED_MS}', true), "
        f"pg_advisory_xact_lock({TURN_LOCK})"
    )
