"""``series/<table>-<attribute>.csv``: a value a step for each named component."""

from __future__ import annotations

from westward.model.faults import Fault
from westward.network.csvfile import read_csv
from westward.network.facts import Key, SeriesValues, Used
from westward.network.schemas import SERIES_WORD, TABLES, Attribute, suggest, table_schema
from westward.network.tables import Table
from westward.network.values import CellError, parse_number

FOLDER = "series/"
STEP = "step"


def series_file(table: str, attribute: str) -> str:
    return f"{FOLDER}{table}-{attribute}.csv"


def read_series(
    files: dict[str, str], tables: dict[str, Table], steps: int, faults: list[Fault]
) -> SeriesValues:
    """All series of the folder. ``steps`` 0 means the manifest is faulty: length is not judged."""
    possible = {
        series_file(table, a.name): (table, a)
        for table in TABLES
        for a in table_schema(table).attributes
        if a.series
    }
    result: SeriesValues = {}
    for file in sorted(files):
        if not file.startswith(FOLDER):
            continue
        if file not in possible:
            remedy = suggest(file, possible, "series")
            faults.append(Fault(file, None, "", "not a series the schema knows", remedy))
            continue
        name, attribute = possible[file]
        columns = _read(file, files[file], tables[name], attribute, steps, faults)
        result[(name, attribute.name)] = columns
    return result


def _read(
    file: str, text: str, table: Table, attribute: Attribute, steps: int, faults: list[Fault]
) -> dict[str, tuple[float, ...]]:
    parsed = read_csv(file, text, faults)
    if parsed is None:
        return {}
    if parsed.columns[0] != STEP:
        problem = f"the first column is {parsed.columns[0]!r}"
        remedy = "Name it step and count from 0."
        faults.append(Fault(file, 1, parsed.columns[0], problem, remedy))
        return {}
    names = parsed.columns[1:]
    for name in names:
        if name not in table.components:
            if not table.complete:
                continue
            problem = f"no {table.name.removesuffix('s')} named {name!r}"
            remedy = suggest(name, table.components, table.name)
            faults.append(Fault(file, 1, name, problem, remedy))
    if steps and len(parsed.rows) != steps:
        problem = f"{len(parsed.rows)} steps where network.yaml says {steps}"
        remedy = "Give one row a step, or correct steps in network.yaml."
        faults.append(Fault(file, None, "", problem, remedy))
    columns: dict[str, list[float]] = {name: [] for name in names}
    for expected, row in enumerate(parsed.rows):
        if row.cells[STEP] != str(expected):
            problem = f"step {row.cells[STEP]!r} where {expected} is due"
            faults.append(Fault(file, row.line, STEP, problem, "Count from 0 without gaps."))
        for name in names:
            text = row.cells[name]
            try:
                if not text:
                    remedy = "A series has a value in every step; without one, drop the column."
                    raise CellError("the cell is empty", remedy)
                columns[name].append(parse_number(text, attribute))
            except CellError as error:
                faults.append(Fault(file, row.line, name, error.problem, error.remedy))
    return {n: tuple(values) for n, values in columns.items() if n in table.components}


def check_series_facts(
    series: SeriesValues, used: dict[Key, Used], stated: set[Key], faults: list[Fault]
) -> None:
    """A series column needs a fact that says whose it is, and a fact "series" needs a column.

    ``stated`` holds the cells that have a statement of any date: before its first date a series
    is unknown, not faulty.
    """
    for (table, attribute), columns in series.items():
        for name in columns:
            key = (table, name, attribute)
            file = series_file(table, attribute)
            if key not in stated:
                problem = f"the series of {name} has no source"
                remedy = (
                    f"Add to {table}.facts.csv: {name},{attribute},{SERIES_WORD},"
                    "unit,valid_from,source,certainty,note."
                )
                faults.append(Fault(file, 1, name, problem, remedy))
            elif key in used and used[key].value != SERIES_WORD:
                problem = (
                    f"{attribute} of {name} also stands in {used[key].file} line {used[key].line}"
                )
                remedy = f"Keep one; write {SERIES_WORD} there if this file holds the numbers."
                faults.append(Fault(file, 1, name, problem, remedy))
    faulty = {fault.file for fault in faults}
    for (table, name, attribute), use in used.items():
        if series_file(table, attribute) in faulty:
            continue  # the column may be the one told as wrong
        if use.value == SERIES_WORD and name not in series.get((table, attribute), {}):
            problem = f"{attribute} of {name} is said to be a series, but no column holds it"
            remedy = f"Add a column {name} to {series_file(table, attribute)}."
            faults.append(Fault(use.file, use.line, "value", problem, remedy))
