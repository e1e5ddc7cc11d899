"""Dated facts: who says what since when, and which statement is used at a given date."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from westward.model.faults import Fault
from westward.model.network import Fact
from westward.network.csvfile import check_columns, read_csv
from westward.network.schemas import (
    ASSUMPTION,
    FACT_COLUMNS,
    SERIES_WORD,
    Attribute,
    suggest,
    table_schema,
)
from westward.network.tables import Stated, Table
from westward.network.values import CellError, Value, check_date, first_day, parse_cell

EVERY = "*"
"""As a name in a facts file: every component of the table that says nothing of its own."""

Key = tuple[str, str, str]
"""(table, component, attribute)"""
SeriesValues = dict[tuple[str, str], dict[str, tuple[float, ...]]]
"""(table, attribute) → component → value a step."""


@dataclass(frozen=True, slots=True)
class Used:
    """The statement in force for one cell."""

    value: Value
    fact: Fact
    file: str
    line: int


def read_facts(table: Table, file: str, text: str, currency: str, faults: list[Fault]) -> None:
    """Adds the rows of ``<table>.facts.csv`` to the table's statements."""
    parsed = read_csv(file, text, faults)
    if parsed is None:
        return
    check_columns(file, parsed.columns, FACT_COLUMNS, faults)
    missing = [c for c in FACT_COLUMNS if c not in parsed.columns]
    for column in missing:
        remedy = "The header is " + ",".join(FACT_COLUMNS) + "."
        faults.append(Fault(file, 1, column, "the column is missing", remedy))
    if missing:
        return
    schema = table_schema(table.name)
    known = [a.name for a in schema.facts]
    for row in parsed.rows:
        cells = row.cells
        name, text = cells["name"], cells["value"]
        if name != EVERY and name not in table.components:
            if not table.complete:
                continue
            problem = f"no {table.name.removesuffix('s')} named {name!r}"
            remedy = suggest(name, table.components, table.name)
            faults.append(Fault(file, row.line, "name", problem, remedy))
            continue
        attribute = schema.get(cells["attribute"])
        if attribute is None or attribute.kind != "fact":
            problem = f"{cells['attribute']!r} is not a fact of {table.name}"
            remedy = suggest(cells["attribute"], known, "facts")
            faults.append(Fault(file, row.line, "attribute", problem, remedy))
            continue
        unit = attribute.unit_in(currency)
        judged = currency or unit == attribute.unit  # without a currency, money units are not
        if judged and cells["unit"] != unit:
            problem = f"unit {cells['unit']!r} where {attribute.name} is in {unit!r}"
            remedy = f"Convert the value and write {unit}."
            faults.append(Fault(file, row.line, "unit", problem, remedy))
        try:
            value = _fact_value(text, attribute)
        except CellError as error:
            faults.append(Fault(file, row.line, "value", error.problem, error.remedy))
            continue
        table.stated.append(
            Stated(
                table=table.name,
                name=name,
                attribute=attribute.name,
                text=text,
                value=value,
                unit=unit,
                valid_from=cells["valid_from"],
                source=cells["source"],
                certainty=cells["certainty"],
                note=cells["note"],
                file=file,
                line=row.line,
            )
        )


def _fact_value(text: str, attribute: Attribute) -> Value:
    if not text:
        remedy = "Remove the row: what is not stated is unknown."
        raise CellError("a fact without a value", remedy)
    if text == SERIES_WORD and attribute.series:
        return SERIES_WORD
    if attribute.scalar is None:
        remedy = f"Write the word {SERIES_WORD} and put the numbers into its series file."
        raise CellError(f"{attribute.name} is a series", remedy)
    return parse_cell(text, attribute)


def check_provenance(stated: Stated, sources: dict[str, str] | None, faults: list[Fault]) -> bool:
    """Source, date and reason of one statement. False when a fault was added."""
    before = len(faults)

    def say(field: str, problem: str, remedy: str) -> None:
        faults.append(Fault(stated.file, stated.line, field, problem, remedy))

    if not stated.source:
        problem = f"{stated.attribute} has no source"
        say("source", problem, f"Name an id under sources: or write {ASSUMPTION} and a note.")
    elif stated.source == ASSUMPTION:
        if not stated.note:
            say("note", "an assumption without a reason", "Say in the note why this value.")
    elif sources is not None:
        for source in split_sources(stated.source):
            if source not in sources:
                problem = f"no source {source!r} in network.yaml"
                say("source", problem, suggest(source, (*sources, ASSUMPTION), "sources"))
    if not stated.valid_from:
        problem = f"{stated.attribute} has no date"
        say("valid_from", problem, "Say since when it holds: 2026, 2026-01 or 2026-01-31.")
    else:
        try:
            check_date(stated.valid_from)
        except CellError as error:
            say("valid_from", error.problem, error.remedy)
    return len(faults) == before


def split_sources(text: str) -> list[str]:
    return [part.strip() for part in text.split(";")]


def resolve(
    table: Table,
    series: SeriesValues,
    sources: dict[str, str] | None,
    as_of: str | None,
    faults: list[Fault],
) -> tuple[dict[Key, Used], list[Fact]]:
    """The statement in force for each cell, and every statement as a Fact (all dates)."""
    known: set[tuple[str, int, str]] = set()  # a row's provenance is told once, not per cell
    by_cell: dict[Key, list[Stated]] = {}
    for stated in table.stated:
        if (stated.file, stated.line, "") not in known:
            known.add((stated.file, stated.line, ""))
            check_provenance(stated, sources, faults)
        by_cell.setdefault((table.name, stated.name, stated.attribute), []).append(stated)
    for statements in by_cell.values():
        _check_dates(statements, faults)
    _spread(table, by_cell, series)
    used: dict[Key, Used] = {}
    facts: list[Fact] = []
    for key in sorted(by_cell):
        if key[1] == EVERY:
            continue
        for stated in by_cell[key]:
            fact = _fact(stated, key[1])
            facts.append(fact)
            if as_of is None or first_day(stated.valid_from) <= first_day(as_of):
                used[key] = Used(stated.value, fact, stated.file, stated.line)
    return used, facts


def _check_dates(statements: list[Stated], faults: list[Fault]) -> None:
    wide = [s for s in statements if not s.file.endswith(".facts.csv")]
    for before, stated in pairwise(statements):
        if wide and stated.file != wide[0].file:
            problem = f"{stated.attribute} of {stated.name} also stands in {wide[0].file} line {wide[0].line}"
            remedy = "Keep one: dated facts belong here, single ones in the table."
            faults.append(Fault(stated.file, stated.line, "attribute", problem, remedy))
            continue
        old, new = first_day(before.valid_from), first_day(stated.valid_from)
        if old == new:
            problem = f"{stated.attribute} of {stated.name} is stated twice for one date (first in line {before.line})"
            remedy = "Keep one row a date."
            faults.append(Fault(stated.file, stated.line, "valid_from", problem, remedy))
        elif old > new:
            problem = f"the dates of {stated.attribute} of {stated.name} do not rise"
            remedy = f"Put this row before line {before.line}."
            faults.append(Fault(stated.file, stated.line, "valid_from", problem, remedy))


def _spread(table: Table, by_cell: dict[Key, list[Stated]], series: SeriesValues) -> None:
    """Gives the statements under ``*`` to every component that has none of its own."""
    every = [key for key in by_cell if key[1] == EVERY]
    for _, _, attribute in every:
        statements = by_cell[(table.name, EVERY, attribute)]
        only_series = all(s.value == SERIES_WORD for s in statements)
        columns = series.get((table.name, attribute), {})
        for name in table.components:
            if only_series and name not in columns:
                continue
            by_cell.setdefault((table.name, name, attribute), statements)


def _fact(stated: Stated, name: str) -> Fact:
    return Fact(
        component=stated.table,
        name=name,
        attribute=stated.attribute,
        value=stated.text,
        unit=stated.unit,
        valid_from=stated.valid_from,
        source=stated.source,
        assumption=stated.source == ASSUMPTION,
        certainty=stated.certainty,
        note=stated.note,
    )
