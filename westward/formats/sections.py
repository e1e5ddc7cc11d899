"""Typed reading of a YAML file's tree (studies, policies): every fault is kept with its line, none stops the rest.

A getter that finds a fault notes it and returns the default, so that the reader goes on and tells
all faults of a file at once; nothing is built from a file that has any.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from westward.formats.job_fields import suggestion
from westward.formats.yaml_nodes import Entry, Value, read_tree
from westward.model.faults import Fault, InputFaults
from westward.model.units import parse_bytes, parse_duration_ms

T = TypeVar("T")

_NO_JOB = "the file holds no job"
_NO_MAPPING = "the file is not a mapping of fields"
"""The YAML reader speaks of job files; what it says there is told in the words of these files."""


class Faults:
    """The faults of one file so far."""

    def __init__(self, file: str):
        self.file = file
        self.found: list[Fault] = []

    def add(self, row: int | None, field: str, problem: str, remedy: str) -> None:
        self.found.append(Fault(self.file, row, field, problem, remedy))


def read_file(file: Path, remedy: str) -> str:
    """The file's text. Raises InputFaults; ``remedy``: what should have been named."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputFaults([Fault(str(file), None, "", f"cannot be read: {said}", remedy)]) from None


def read_root(text: str, faults: Faults, *, what: str, begin: str) -> Section | None:
    """The file's top mapping; None when there is none to read (and a fault says so). ``what`` it
    should hold ("study"), and how it begins."""
    tree, structural = read_tree(text, faults.file)
    for fault in structural:
        problem, remedy = fault.problem, fault.remedy
        if problem == _NO_JOB:
            problem, remedy = f"the file holds no {what}", begin
        elif problem == _NO_MAPPING:
            remedy = begin
        elif "YAML documents" in problem:
            problem, remedy = "the file holds several YAML documents", f"Keep one {what} a file."
        faults.add(fault.row, fault.field, problem, remedy)
    return None if tree is None else Section(tree, "", faults)


class Section:
    """One mapping of the file. Keys that nobody asked for are unknown: ``done`` tells them."""

    def __init__(self, value: Value, path: str, faults: Faults):
        self.value = value
        self.path = path
        self.faults = faults
        self._known: list[str] = []

    @property
    def line(self) -> int:
        return self.value.line

    def field(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def fault(self, key: str, problem: str, remedy: str) -> None:
        """A fault of this key, on its line (or the section's, where it is missing)."""
        entry = self.value.get(key) if key else None
        field = self.field(key) if key else self.path
        self.faults.add(entry.line if entry else self.line, field, problem, remedy)

    def entry(self, key: str, *, required: bool = False, what: str = "") -> Entry | None:
        self._known.append(key)
        entry = self.value.get(key)
        if entry is not None and entry.value.kind == "null":
            self.fault(key, "is empty", f"Give {what or 'a value'}, or remove the key.")
            return None
        if entry is None and required:
            self.fault(key, "is missing", f"Give {what or 'a value'}.")
        return entry

    def has(self, key: str) -> bool:
        return self.value.get(key) is not None

    def done(self) -> None:
        for entry in self.value.entries:
            if entry.key not in self._known:
                self.faults.add(
                    entry.line,
                    self.field(entry.key),
                    "unknown key",
                    suggestion(entry.key, self._known),
                )

    # Scalars

    def text(self, key: str, default: str = "", *, required: bool = False) -> str:
        entry = self.entry(key, required=required, what="a text")
        if entry is None:
            return default
        if entry.value.kind in ("mapping", "sequence"):
            self.fault(key, f"is {entry.value.kind_text}", "Write it as text.")
            return default
        return " ".join(entry.value.raw.split())

    def parsed(
        self, key: str, default: T, parse: Callable[[str], T], *, required: bool = False
    ) -> T:
        """A scalar that ``parse`` understands; its ValueError is the problem."""
        entry = self.entry(key, required=required)
        if entry is None:
            return default
        if entry.value.kind in ("mapping", "sequence"):
            self.fault(key, f"is {entry.value.kind_text}", "Write a single value.")
            return default
        try:
            return parse(entry.value.raw.strip())
        except ValueError as error:
            self.fault(key, str(error), "Correct the value.")
            return default

    def number(
        self,
        key: str,
        default: float,
        *,
        low: float = 0.0,
        high: float = 1e12,
        required: bool = False,
    ) -> float:
        def parse(text: str) -> float:
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not low <= value <= high:
                raise ValueError(f"{text!r} is no number from {low:g} to {high:g}")
            return value

        return self.parsed(key, default, parse, required=required)

    def maybe_number(self, key: str, *, low: float = 0.0, high: float = 1e12) -> float | None:
        if not self.has(key):
            self._known.append(key)
            return None
        return self.number(key, low, low=low, high=high)  # where it is faulty: some good number

    def integer(
        self, key: str, default: int, *, low: int = 0, high: int = 10**12, required: bool = False
    ) -> int:
        return self.parsed(
            key, default, lambda text: parse_integer(text, low, high), required=required
        )

    def duration(self, key: str, default: int, *, required: bool = False, least_ms: int = 0) -> int:
        """``24h`` → ms. A bare 0 needs no unit."""

        def parse(text: str) -> int:
            found = 0 if text == "0" else parse_duration_ms(text)
            if found < least_ms:
                raise ValueError(f"{text!r} is too short; write for example 30s")
            return found

        return self.parsed(key, default, parse, required=required)

    def bytes(self, key: str, default: int) -> int:
        return self.parsed(key, default, parse_bytes)

    def boolean(self, key: str, default: bool) -> bool:
        entry = self.entry(key)
        if entry is None:
            return default
        if entry.value.kind != "boolean":
            self.fault(key, f"{entry.value.raw!r} is not true or false", "Write true or false.")
            return default
        return entry.value.raw.lower() in ("true", "yes", "on")

    def choice(self, key: str, default: str, known: Sequence[str]) -> str:
        text = self.text(key, default)
        if text not in known:
            self.fault(key, f"{text!r} is not known here", suggestion(text, known))
            return default
        return text

    # Collections

    def texts(self, key: str, *, required: bool = False) -> list[tuple[str, int]]:
        """A text or a list of texts, each with its line."""
        entry = self.entry(key, required=required, what="a list")
        if entry is None:
            return []
        values = entry.value.items if entry.value.kind == "sequence" else (entry.value,)
        texts = []
        for value in values:
            if value.kind in ("mapping", "sequence", "null"):
                self.faults.add(
                    value.line, self.field(key), f"holds {value.kind_text}", "Write plain texts."
                )
            else:
                texts.append((" ".join(value.raw.split()), value.line))
        return texts

    def section(self, key: str, *, required: bool = False) -> Section | None:
        entry = self.entry(key, required=required, what="a mapping")
        return None if entry is None else self.as_section(entry.value, self.field(key))

    def sections(self, key: str, *, required: bool = False) -> list[Section]:
        """A list of mappings."""
        entry = self.entry(key, required=required, what="a list")
        if entry is None:
            return []
        if entry.value.kind != "sequence":
            self.fault(key, f"is {entry.value.kind_text}", "Write a list: lines that begin with -.")
            return []
        found = [
            self.as_section(value, f"{self.field(key)}[{at}]")
            for at, value in enumerate(entry.value.items)
        ]
        return [section for section in found if section is not None]

    def named_sections(self, key: str, *, required: bool = False) -> list[tuple[str, Section]]:
        """``key: {name: {…}, …}`` in the order of the file."""
        outer = self.section(key, required=required)
        if outer is None:
            return []
        found = []
        for entry in outer.value.entries:
            inner = outer.as_section(entry.value, outer.field(entry.key))
            if inner is not None:
                found.append((entry.key, inner))
        return found

    def as_section(self, value: Value, path: str) -> Section | None:
        if value.kind != "mapping":
            self.faults.add(
                value.line, path, f"is {value.kind_text}", "Write lines of key: value below it."
            )
            return None
        return Section(value, path, self.faults)


def parse_integer(text: str, low: int, high: int) -> int:
    """A whole number in the range; ValueError says what was expected."""
    try:
        value = int(text.replace("_", ""))
    except ValueError:
        raise ValueError(f"{text!r} is no whole number") from None
    if not low <= value <= high:
        raise ValueError(f"{value} is not from {low} to {high}")
    return value
