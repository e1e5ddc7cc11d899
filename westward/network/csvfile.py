"""CSV text → header and rows with the line an editor would show, or faults."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from westward.model.faults import Fault
from westward.network.schemas import suggest

TABLE_ROWS_MAX = 200_000
CELL_CHARS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class CsvRow:
    line: int
    cells: dict[str, str]
    """Stripped text by column; every column of the header is present."""


@dataclass(frozen=True, slots=True)
class CsvTable:
    columns: tuple[str, ...]
    rows: tuple[CsvRow, ...]


def read_csv(file: str, text: str, faults: list[Fault]) -> CsvTable | None:
    """Parses one file. None when there is not even a usable header."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: tuple[str, ...] = ()
    rows: list[CsvRow] = []
    line = 1
    try:
        for cells in reader:
            at, line = line, reader.line_num + 1
            stripped = [cell.strip() for cell in cells]
            if not any(stripped):
                continue
            if not columns:
                columns = tuple(stripped)
                if not _header_ok(file, at, columns, faults):
                    return None
                continue
            if len(rows) >= TABLE_ROWS_MAX:
                problem = f"more rows than the limit TABLE_ROWS_MAX ({TABLE_ROWS_MAX})"
                faults.append(Fault(file, at, "", problem, "Split the network."))
                break
            row = _row(file, at, columns, stripped, faults)
            if row is not None:
                rows.append(row)
    except csv.Error as error:
        remedy = 'Check the quotes: a cell with a comma or quote is written "like ""this""".'
        faults.append(Fault(file, line, "", f"not valid CSV ({error})", remedy))
        return None
    if not columns:
        faults.append(Fault(file, None, "", "the file is empty", "Write its header line."))
        return None
    return CsvTable(columns, tuple(rows))


def check_columns(
    file: str, have: tuple[str, ...], known: tuple[str, ...], faults: list[Fault]
) -> None:
    """Tells each column that the schema does not know."""
    for column in have:
        if column not in known:
            faults.append(
                Fault(file, 1, column, "unknown column", suggest(column, known, "columns"))
            )


def _header_ok(file: str, at: int, columns: tuple[str, ...], faults: list[Fault]) -> bool:
    ok = True
    for index, column in enumerate(columns):
        if not column:
            problem = f"column {index + 1} has no name"
            faults.append(Fault(file, at, "", problem, "Name it or remove it (a comma too many?)."))
            ok = False
        elif column in columns[:index]:
            faults.append(Fault(file, at, column, "the column stands twice", "Keep one."))
            ok = False
    return ok


def _row(
    file: str, at: int, columns: tuple[str, ...], cells: list[str], faults: list[Fault]
) -> CsvRow | None:
    if len(cells) != len(columns):
        problem = f"{len(cells)} cells where the header has {len(columns)} columns"
        remedy = "Add or remove commas; quote a cell that holds a comma."
        faults.append(Fault(file, at, "", problem, remedy))
        return None
    for column, cell in zip(columns, cells, strict=True):
        if len(cell) > CELL_CHARS_MAX:
            problem = f"{len(cell)} characters; the limit CELL_CHARS_MAX is {CELL_CHARS_MAX}"
            faults.append(Fault(file, at, column, problem, "Shorten the cell."))
            return None
    return CsvRow(at, dict(zip(columns, cells, strict=True)))
