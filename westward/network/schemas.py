"""The schema of a network folder: data files read into frozen values.

The CSV files beside this module, one a table, say which attributes exist, of which type and
unit, and within which bounds. Loader, checker and documentation all read them; adding an
attribute that only facts and targets use takes one line there and no code.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

Kind = Literal["id", "reference", "choice", "fact", "provenance"]

_KINDS: dict[str, Kind] = {
    "id": "id",
    "reference": "reference",
    "choice": "choice",
    "fact": "fact",
    "provenance": "provenance",
}
TABLES = ("sites", "zones", "accelerators", "pools", "links", "places", "targets")
"""Tables with one row a component, in the order in which they are read."""
REQUIRED_TABLES = ("sites", "zones", "accelerators", "pools", "links")
FACT_TABLES = (*TABLES[:-1], "network")
"""Tables that may have a ``<table>.facts.csv``."""
FACT_COLUMNS = (
    "name",
    "attribute",
    "value",
    "unit",
    "valid_from",
    "source",
    "certainty",
    "note",
)
PROVENANCE = ("source", "valid_from", "certainty", "note")
SERIES_WORD = "series"
"""Value of a fact whose numbers stand in ``series/<table>-<attribute>.csv``."""
ASSUMPTION = "assumption"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One column. ``scalar`` is the type of a cell, None where only a series is allowed."""

    name: str
    scalar: str | None
    series: bool
    choices: tuple[str, ...]
    targets: tuple[str, ...]
    """Tables that a reference may point into."""
    unit: str
    kind: Kind
    default: str
    required: bool
    minimum: float | None
    maximum: float | None
    description: str

    def unit_in(self, currency: str) -> str:
        """The unit as files write it, with the network's currency filled in."""
        return self.unit.replace("currency", currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSchema:
    name: str
    attributes: tuple[Attribute, ...]

    def get(self, attribute: str) -> Attribute | None:
        for have in self.attributes:
            if have.name == attribute:
                return have
        return None

    @property
    def columns(self) -> tuple[str, ...]:
        """Attributes that may be columns of the wide table (a pure series may not)."""
        return tuple(a.name for a in self.attributes if a.scalar is not None)

    @property
    def facts(self) -> tuple[Attribute, ...]:
        return tuple(a for a in self.attributes if a.kind == "fact")


@cache
def table_schema(table: str) -> TableSchema:
    """The schema of one table, from the package's data. Raises FileNotFoundError if none."""
    text = resources.files("westward.network").joinpath("schema", f"{table}.csv")
    rows = csv.DictReader(text.read_text(encoding="utf-8").splitlines())
    return TableSchema(name=table, attributes=tuple(_attribute(row) for row in rows))


def _attribute(row: dict[str, str]) -> Attribute:
    scalar: str | None = row["type"]
    choices: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    series = False
    if scalar == "series":
        scalar, series = None, True
    elif scalar == "float|series":
        scalar, series = "float", True
    elif row["type"].startswith("choice:"):
        scalar, choices = "choice", tuple(row["type"].removeprefix("choice:").split("|"))
    elif row["type"].startswith("reference:"):
        scalar, targets = "reference", tuple(row["type"].removeprefix("reference:").split("|"))
    return Attribute(
        name=row["attribute"],
        scalar=scalar,
        series=series,
        choices=choices,
        targets=targets,
        unit=row["unit"],
        kind=_KINDS[row["kind"]],
        default=row["default"],
        required=row["required"] == "yes",
        minimum=float(row["minimum"]) if row["minimum"] else None,
        maximum=float(row["maximum"]) if row["maximum"] else None,
        description=row["description"],
    )


def suggest(word: str, known: Iterable[str], what: str) -> str:
    """The remedy for a word that is not known: the nearest one, or the list of all."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(word.lower(), [name.lower() for name in names], n=1)
    if near:
        best = next(name for name in names if name.lower() == near[0])
        return f"Did you mean {best!r}?"
    if not names:
        return f"There are no {what} yet; add one first."
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"Known {what}: {shown}."
