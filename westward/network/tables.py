"""The wide tables: one row a component, one column an attribute."""

from __future__ import annotations

from dataclasses import dataclass, field

from westward.model.faults import Fault
from westward.network.csvfile import CsvRow, check_columns, read_csv
from westward.network.schemas import PROVENANCE, Attribute, TableSchema, suggest, table_schema
from westward.network.values import CellError, Value, check_name, parse_cell

TAG_PREFIX = "tag."
"""Columns ``tag.<key>`` of sites.csv become tags beside the ones the schema names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A fact as somebody wrote it, before it is known which of several dates is used."""

    table: str
    name: str
    attribute: str
    text: str
    value: Value
    unit: str
    valid_from: str
    source: str
    certainty: str
    note: str
    file: str
    line: int


@dataclass(slots=True)
class Component:
    """One row: its choices and references; facts are filled in later."""

    name: str
    line: int
    values: dict[str, Value] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Table:
    name: str
    file: str
    components: dict[str, Component] = field(default_factory=dict)
    stated: list[Stated] = field(default_factory=list)
    complete: bool = True
    """False when rows or columns were lost to faults: what seems missing may only be unread."""


def read_table(table: str, text: str, currency: str, faults: list[Fault]) -> Table:
    """One wide table. Cells that are wrong are told and left out."""
    schema = table_schema(table)
    result = Table(table, f"{table}.csv")
    before = len(faults)
    parsed = read_csv(result.file, text, faults)
    if parsed is None:
        result.complete = False
        return result
    columns = tuple(
        c for c in parsed.columns if not (table == "sites" and c.startswith(TAG_PREFIX))
    )
    _check_header(result.file, columns, schema, faults)
    result.complete = len(faults) == before
    if "name" not in columns:
        return result
    for row in parsed.rows:
        component = _component(result, row, schema, currency, faults)
        if component is None:
            result.complete = False
            continue
        if component.name in result.components:
            first = result.components[component.name].line
            problem = f"the name {component.name!r} stands twice (first in line {first})"
            faults.append(Fault(result.file, row.line, "name", problem, "Rename or remove one."))
            continue
        result.components[component.name] = component
    return result


def _check_header(
    file: str, columns: tuple[str, ...], schema: TableSchema, faults: list[Fault]
) -> None:
    for column in columns:
        attribute = schema.get(column)
        if attribute is not None and attribute.scalar is None:
            remedy = f"Put it in series/{schema.name}-{column}.csv."
            faults.append(Fault(file, 1, column, "is a series, not a column", remedy))
    known = (*schema.columns, *(a.name for a in schema.attributes if a.scalar is None))
    check_columns(file, columns, known, faults)
    for attribute in schema.attributes:
        # A required fact may stand in the facts file, so only its value is required, later.
        if attribute.required and attribute.kind != "fact" and attribute.name not in columns:
            problem, remedy = "the column is missing", f"Add it: {attribute.description}."
            faults.append(Fault(file, 1, attribute.name, problem, remedy))


def _component(
    table: Table, row: CsvRow, schema: TableSchema, currency: str, faults: list[Fault]
) -> Component | None:
    try:
        name = check_name(row.cells["name"])
    except CellError as error:
        faults.append(Fault(table.file, row.line, "name", error.problem, error.remedy))
        return None
    component = Component(name, row.line)
    facts: list[tuple[Attribute, str, Value]] = []
    for column, text in row.cells.items():
        if column.startswith(TAG_PREFIX) and table.name == "sites" and text:
            component.tags[column.removeprefix(TAG_PREFIX)] = text
    for attribute in schema.attributes:
        if attribute.scalar is None or attribute.kind in ("id", "provenance"):
            continue
        text = row.cells.get(attribute.name, "") or attribute.default
        if not text:
            if attribute.required and attribute.kind != "fact" and attribute.name in row.cells:
                remedy = f"Fill it in: {attribute.description}."
                problem = "the cell is empty"
                faults.append(Fault(table.file, row.line, attribute.name, problem, remedy))
            continue
        try:
            value = parse_cell(text, attribute)
        except CellError as error:
            faults.append(Fault(table.file, row.line, attribute.name, error.problem, error.remedy))
            continue
        if attribute.kind == "fact":
            facts.append((attribute, text, value))
        else:
            component.values[attribute.name] = value
    origin = {key: row.cells.get(key, "") for key in PROVENANCE}
    for attribute, text, value in facts:
        table.stated.append(
            Stated(
                table=table.name,
                name=name,
                attribute=attribute.name,
                text=text,
                value=value,
                unit=attribute.unit_in(currency),
                file=table.file,
                line=row.line,
                **origin,
            )
        )
    return component


def check_references(tables: dict[str, Table], faults: list[Fault]) -> None:
    """Every reference names a component that exists; link ends are a sorted, single pair."""
    for table in tables.values():
        for attribute in table_schema(table.name).attributes:
            if attribute.kind != "reference":
                continue
            known = [n for t in attribute.targets for n in tables[t].components]
            if not all(tables[t].complete for t in attribute.targets):
                continue  # the name may stand in a row that could not be read
            what = " or ".join(attribute.targets)
            one = " or ".join(target.removesuffix("s") for target in attribute.targets)
            for component in table.components.values():
                value = component.values.get(attribute.name)
                if value is not None and value not in known:
                    problem = f"no {one} named {value!r}"
                    remedy = suggest(str(value), known, what)
                    faults.append(
                        Fault(table.file, component.line, attribute.name, problem, remedy)
                    )
    _check_link_ends(tables["links"], faults)
    _check_end_names(tables["sites"], tables["places"], faults)


def _check_link_ends(links: Table, faults: list[Fault]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for link in links.components.values():
        a, b = str(link.values.get("a", "")), str(link.values.get("b", ""))
        if not a or not b:
            continue
        if a == b:
            problem = f"both ends are {a!r}"
            remedy = "Within a site no link is needed; remove the row."
            faults.append(Fault(links.file, link.line, "b", problem, remedy))
            continue
        if a > b:
            problem = f"the ends are not sorted: {a!r} comes after {b!r}"
            faults.append(Fault(links.file, link.line, "a", problem, "Exchange a and b."))
        pair = (min(a, b), max(a, b))
        if pair in seen:
            problem = f"{pair[0]} and {pair[1]} are linked twice (first in line {seen[pair]})"
            faults.append(Fault(links.file, link.line, "a", problem, "Keep one link a pair."))
        else:
            seen[pair] = link.line


def _check_end_names(sites: Table, places: Table, faults: list[Fault]) -> None:
    for place in places.components.values():
        if place.name in sites.components:
            line = sites.components[place.name].line
            problem = f"{place.name!r} is also a site (sites.csv line {line})"
            remedy = "Rename one: a link end must mean one thing."
            faults.append(Fault(places.file, place.line, "name", problem, remedy))
