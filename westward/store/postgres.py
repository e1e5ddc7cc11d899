"""Everything that only PostgreSQL needs: durable commits and one migration at a time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

MIGRATION_LOCK = 0x7765737477617264
"""Key of the advisory lock under which tables are made: the letters of ``westward``."""
READS: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""Execution options of a transaction that only reads: one view, however long it takes."""


def prepare(engine: Engine) -> None:
    """Sets up every connection of a PostgreSQL engine.

    Transactions that write are READ COMMITTED: they lock the rows they decide on first, and then
    see what others committed before. A commit is durable when it returns, whatever the server's
    default says.
    """

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("SHOW synchronous_commit")
        if cursor.fetchone()[0] == "off":
            cursor.execute("SET synchronous_commit = on")
        cursor.execute("SET TIME ZONE 'UTC'")
        # A plan made once for an empty table reads all of it for ever after.
        cursor.execute("SET plan_cache_mode = force_custom_plan")
        cursor.close()
        connection.commit()
        # After a rollback, which ends every read too, psycopg drops all prepared statements of the
        # connection: those of ``ledger_postgres`` stay if it makes none of its own.
        connection.prepare_threshold = None


def lock_migrations(connection: Connection) -> None:
    """Until the transaction ends, no other process brings the tables up to date."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
