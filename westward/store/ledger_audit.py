"""Hands the ledger's rows to the auditor, in one consistent view, by SQL of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from sqlalchemy import Connection, text

from westward.ledger.audit import AuditReport, audit
from westward.store.database import Store

ROWS_AT_ONCE = 5_000


def audit_ledger(store: Store) -> AuditReport:
    """Reads every row once; keeps some hundred bytes a transfer in memory."""
    with store.read() as connection:
        return audit(
            _rows(connection, "SELECT * FROM ledger_accounts ORDER BY account_id"),
            _rows(connection, "SELECT * FROM ledger_transfers ORDER BY seq"),
            _rows(connection, "SELECT * FROM ledger_holds ORDER BY transfer_id"),
        )


def _rows(connection: Connection, query: str) -> Iterator[Mapping[str, Any]]:
    streaming = connection.execution_options(yield_per=ROWS_AT_ONCE)
    for row in streaming.execute(text(query)).mappings():
        yield cast("Mapping[str, Any]", row)
