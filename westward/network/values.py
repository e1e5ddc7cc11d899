"""One cell of text → one checked value, by the schema's word for its type."""

from __future__ import annotations

import re
from datetime import date

from westward.network.schemas import Attribute

Value = str | int | float | bool

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FLOAT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_INT = re.compile(r"[+-]?\d{1,15}")
_DATE = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")


class CellError(ValueError):
    """What is wrong with one cell, and what to write instead."""

    def __init__(self, problem: str, remedy: str):
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


def parse_cell(text: str, attribute: Attribute) -> Value:
    """The value of a non-empty cell. Raises CellError; references are checked elsewhere."""
    match attribute.scalar:
        case "float":
            return parse_number(text, attribute)
        case "int":
            if _INT.fullmatch(text) is None:
                raise CellError(f"{text!r} is not a whole number", "Write digits only, such as 8.")
            return _bounded(int(text), attribute)
        case "bool":
            if text.lower() not in ("true", "false"):
                raise CellError(f"{text!r} is neither true nor false", "Write true or false.")
            return text.lower() == "true"
        case "name":
            return check_name(text)
        case "date":
            return check_date(text)
        case "choice" if text not in attribute.choices:
            remedy = "Write one of: " + ", ".join(attribute.choices) + "."
            raise CellError(f"{text!r} is not a known {attribute.name}", remedy)
    return text


def parse_number(text: str, attribute: Attribute) -> float:
    """A finite decimal number within the attribute's bounds."""
    if _FLOAT.fullmatch(text) is None:
        remedy = "Write a decimal number with a point and without unit; leave it blank if unknown."
        raise CellError(f"{text!r} is not a number", remedy)
    return float(_bounded(float(text), attribute))


def check_name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        remedy = "Use 1 to 64 letters, digits, dots, hyphens or underscores; begin with a letter or digit."
        raise CellError(f"{text!r} cannot be a name", remedy)
    return text


def check_date(text: str) -> str:
    """``2026``, ``2026-01`` or ``2026-01-31`` (each names its first day)."""
    match = _DATE.fullmatch(text)
    if match is not None:
        try:
            date(int(match.group(1)), int(match.group(2) or 1), int(match.group(3) or 1))
        except ValueError:
            match = None
    if match is None:
        remedy = "Write 2026, 2026-01 or 2026-01-31."
        raise CellError(f"{text!r} is not a date", remedy)
    return text


def first_day(text: str) -> str:
    """A checked date as a full day, so that dates of different precision compare."""
    return text + "2026-01-01"[len(text) :]


def _bounded(value: float, attribute: Attribute) -> int | float:
    low, high = attribute.minimum, attribute.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        unit = f" {attribute.unit}" if attribute.unit else ""
        raise CellError(
            f"{value:g}{unit} is out of range",
            f"Write a value from {low:g} to {high:g}; check the unit.",
        )
    return value
