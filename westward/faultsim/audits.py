"""At a world's end: the shipped auditor over the ledger, which must find nothing; and over rows with
one thing wrong, which it must find."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

from westward.faultsim.blind import all_found, told_exactly
from westward.faultsim.checkers import Broken
from westward.ledger.audit import audit

Row = dict[str, Any]
TABLES = ("ledger_accounts ORDER BY account_id", "ledger_transfers ORDER BY seq",
          "ledger_holds ORDER BY transfer_id")  # fmt: skip
TRIALS = 3
CHANGES: tuple[tuple[int, str, Any], ...] = (
    (0, "debits_posted", 7), (0, "credits_pending", -3), (0, "overdraft", None),
    (1, "amount", 3), (1, "amount", "x"), (1, "debit", "nobody"), (1, "kind", "gift"),
    (1, "kind", "void"), (1, "kind", "post"), (1, "pending_id", "nobody"), (1, "seq", 1),
    (1, "transfer_id", None), (1, "group_position", 77), (1, "group_size", 9),
    (1, "corrects", "nobody"), (1, "expires_ms", 1), (1, "at_ms", 5), (1, "credit", None),
    (2, "left_amount", 3), (2, "state", "posted"), (2, "state", "expired"),
    (2, "transfer_id", None), (2, "expires_ms", 3),
)  # fmt: skip


def audited(raw: sqlite3.Connection, dice: random.Random, *, every_kind: bool) -> None:
    """``every_kind``: the rows hold one of everything. Raises Broken."""
    tables = [_rows(raw, f"SELECT * FROM {name}") for name in TABLES]
    report = audit(*tables)
    if report.faults:
        raise Broken("audit", str(report.faults[0]))
    for _ in range(TRIALS):
        wrong = [[dict(row) for row in rows] for rows in tables]
        text = _change(wrong, dice)
        if text and not audit(*wrong).faults:
            raise Broken("audit-blind", f"nobody minds {text}")
    if every_kind:
        all_found(tables[0], tables[1], tables[2], dice)
        told_exactly(tables[0])


def _rows(raw: sqlite3.Connection, query: str) -> list[Row]:
    cursor = raw.execute(query)
    names = [one[0] for one in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _change(tables: list[list[Row]], dice: random.Random) -> str:
    """What was done; empty: nothing that must be found."""
    table, column, value = dice.choice(CHANGES)
    rows = tables[table]
    if not rows or column not in rows[0]:
        return ""
    at = dice.randrange(len(rows))
    row = rows[at]
    if value is None and column == "transfer_id":
        del rows[at]
        return f"{column} {row[column]} missing of {TABLES[table]}"
    if value is None and column == "credit":
        value = row["debit"]
    if value is None:
        rows.append(dict(row))
        return f"{row} twice"
    number = isinstance(value, int) and isinstance(row[column], int)
    changed = row[column] + value if number and column != "seq" else value
    if changed == row[column]:
        return ""
    was, row[column] = row[column], changed
    if column in _HARMLESS:  # may well be sound: only that nothing is raised is asked
        return ""
    return f"{column} {was!r} → {changed!r} of {row}"


_HARMLESS = (
    "corrects",
    "expires_ms",
    "at_ms",
    "group_size",
    "group_position",
    "seq",
    "pending_id",
    "kind",
)
