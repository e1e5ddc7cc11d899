"""Everything that only SQLite needs: its pragmas and how its transactions begin."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

BUSY_TIMEOUT_MS = 15_000
"""How long a writer waits for another process's transaction before it gives up."""

READ_ONLY = "westward_read_only"
"""Execution option: this transaction only reads and need not take the writers' lock."""


def prepare(engine: Engine) -> None:
    """Sets up every connection of a SQLite engine.

    ``synchronous=FULL`` with WAL makes a commit durable before it returns. Writers begin with
    BEGIN IMMEDIATE: a transaction that reads first and writes later would otherwise fail half-way
    when another process wrote in between.
    """

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        # Leaves BEGIN to us; the driver would begin late, and not at all before a SELECT.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
