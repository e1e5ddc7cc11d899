"""Typed access to a job file's values: each wrong one becomes a fault with its row and field."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from westward.formats.job_fields import Refused, suggestion
from westward.formats.yaml_nodes import Entry, Kind, Value
from westward.model.faults import Fault


class JobReader:
    """Gathers faults about one file. Every ``take_*`` returns None after reporting a fault."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []

    def fault(self, line: int | None, field: str, problem: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, line, field, problem, remedy))

    def check_names(
        self,
        mapping: Value,
        path: str,
        known: Iterable[str],
        refused: Mapping[str, Refused],
        elsewhere: Mapping[str, str] | None = None,
    ) -> None:
        """Report fields that are refused, unknown, or belong to another part of the file."""
        names = list(known)
        for entry in mapping.entries:
            if entry.key in names:
                continue
            field = join(path, entry.key)
            if entry.key in refused:
                why = refused[entry.key]
                problem = f"Westward cannot honour {entry.key!r}: {why.reason}"
                self.fault(entry.line, field, problem, why.remedy)
            elif elsewhere and entry.key in elsewhere:
                self.fault(
                    entry.line, field, f"{entry.key!r} does not belong here", elsewhere[entry.key]
                )
            else:
                self.fault(
                    entry.line, field, f"unknown field {entry.key!r}", suggestion(entry.key, names)
                )

    def wrong_kind(self, entry: Entry, field: str, wanted: str, remedy: str) -> None:
        problem = f"{wanted} is needed, but here is {entry.value.kind_text}"
        if entry.value.raw and entry.value.kind not in ("text", "null"):
            problem += f" ({entry.value.raw})"
        self.fault(entry.line, field, problem, remedy)

    def take_text(self, entry: Entry | None, path: str, example: str) -> str | None:
        """Non-empty text; numbers must be quoted, since YAML rewrites some of them."""
        if entry is None:
            return None
        field = join(path, entry.key)
        if entry.value.kind != "text":
            remedy = f"Write for example {entry.key}: {example}"
            if entry.value.kind in ("integer", "number", "boolean", "other"):
                remedy = f'Put it in quotes: {entry.key}: "{entry.value.raw}"'
            self.wrong_kind(entry, field, "text", remedy)
            return None
        if not entry.value.raw.strip():
            self.fault(entry.line, field, "it is empty", f"Write for example {example}")
            return None
        return entry.value.raw

    def take_integer(
        self, entry: Entry | None, path: str, *, minimum: int, maximum: int
    ) -> int | None:
        if entry is None:
            return None
        field = join(path, entry.key)
        remedy = f"Give a whole number from {minimum} to {maximum}."
        number = whole_number(entry.value)
        if number is None and entry.value.kind == "integer":
            problem = f"{entry.value.raw} is not a plain decimal number"
            self.fault(entry.line, field, problem, remedy)
            return None
        if number is None:
            self.wrong_kind(entry, field, "a whole number", remedy)
            return None
        if not minimum <= number <= maximum:
            self.fault(entry.line, field, f"{number} is out of range", remedy)
            return None
        return number

    def take_mapping(self, entry: Entry | None, path: str, example: str) -> Value | None:
        if entry is None:
            return None
        if entry.value.kind != "mapping":
            remedy = f"Write for example {example}"
            self.wrong_kind(entry, join(path, entry.key), "a mapping", remedy)
            return None
        return entry.value


def stated(mapping: Value, names: Iterable[str]) -> Value:
    """``mapping`` without those of ``names`` that ask for nothing: empty, or ``use_spot: false``.

    As SkyPilot reads them: ``accelerators:`` with nothing behind it is a field left open.
    """
    silent = set(names)
    return replace(
        mapping,
        entries=tuple(
            entry
            for entry in mapping.entries
            if entry.key not in silent
            or not (
                entry.value.kind == "null"
                or (entry.key == "use_spot" and entry.value.raw.lower() == "false")
            )
        ),
    )


def join(path: str, key: str) -> str:
    """A key's path as faults show it."""
    return f"{path}.{key}" if path else key


def whole_number(value: Value) -> int | None:
    """The decimal integer written, or None (octal, hex and 1_000 are not what they seem)."""
    return _decimal(value.raw) if value.kind == "integer" else None


def _decimal(raw: str) -> int | None:
    digits = raw.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        return None
    return int(raw) if digits == "0" or not digits.startswith("0") else None


def decimal_number(raw: str) -> float | None:
    """A finite number in plain decimal form, or None."""
    text = raw.strip()
    if not text or any(c not in "0123456789.+-eE" for c in text):
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


SCALARS: tuple[Kind, ...] = ("text", "integer", "number")
"""Kinds that a field which takes a number or a text such as ``4+`` may have."""
