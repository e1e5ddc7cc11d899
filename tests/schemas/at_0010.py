"""A database as the version of revision 0010 left it: `westward up --demo` on networks/laptop (three
jobs over three sites, billed into the ledger), then a fourth job handed in while no site was
connected. ``schema-0010.sql`` is what ``iterdump`` of Python's sqlite3 made of it; a path of the
machine was replaced.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

SQL = Path(__file__).with_name("schema-0010.sql")
ROWS = {"jobs": 4, "runs": 3, "bills": 3, "ledger_transfers": 17, "story": 16, "readings": 10}
TOKENS = 3
"""Given out so far."""


def put_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as made:
        made.executescript(SQL.read_text(encoding="utf-8"))


def rows_of(path: Path, table: str) -> list[tuple[object, ...]]:
    """Of a SQLite file, as they are."""
    with closing(sqlite3.connect(path)) as made:
        return list(made.execute(f"SELECT * FROM {table} ORDER BY 1, 2"))
