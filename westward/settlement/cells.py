"""CSV that no spreadsheet takes for a formula.

A text cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end gets an apostrophe in
front (what OWASP's page on CSV injection advises); numbers are given as numbers and stay so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

Cell = str | int | Decimal | datetime | None
"""A text, a whole number, an exact amount, an instant with a zone, or nothing."""

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_text(text: str) -> str:
    return f"'{text}" if text.startswith(_DANGEROUS) else text


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """RFC 4180, UTF-8, one heading. Instants are UTC with a Z, nothing is an empty cell."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_shown(row[column]) for column in columns])
    return out.getvalue()


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return safe_text(cell)
        case Decimal():
            return f"{cell:f}"
        case datetime():
            return cell.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(cell)
