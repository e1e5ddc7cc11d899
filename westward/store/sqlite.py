"""Everything that only SQLite needs: its pragmas and how its transactions begin."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, event

from westward.store.lean import LeanEngine

BUSY_TIMEOUT_MS = 15_000
"""How long a writer waits for another process's transaction before it gives up."""

STATEMENTS_KEPT = 512
"""Prepared statements that the driver keeps with a connection (its default, 128, is fewer than a
server asks in a minute)."""


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
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def lean(engine: Engine) -> LeanEngine:
    """Connections of its own, prepared as the engine's are."""

    def connect() -> sqlite3.Connection:
        pooled = engine.raw_connection()
        driver = pooled.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        pooled.detach()  # not closed: it is ours from now on
        return driver

    return LeanEngine(engine, connect)
