"""``network.yaml``: the few things that are true of the network as a whole.

The YAML is read node by node, so that every fault has a line and a key given twice (which YAML
parsers usually let the later one win) is told. Anchors are refused: they let a small file
expand without bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from westward.model.faults import Fault
from westward.model.units import parse_duration_ms, parse_instant_ms
from westward.network.folder import MANIFEST
from westward.network.schemas import ASSUMPTION, suggest
from westward.network.values import CellError, check_name
from westward.network.yaml_text import top_mapping

SCHEMA_VERSIONS = ("1",)
SERIES_STEPS_MAX = 100_000
_REQUIRED = ("name", "label", "schema_version", "currency", "series_origin", "step", "steps")
_KEYS = (*_REQUIRED, "description", "sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    name: str
    label: str
    currency: str
    series_origin: str
    step_ms: int
    """Length of one step of every series."""
    steps: int
    """Rows of every series; after the last the series begins again."""
    description: str
    sources: tuple[tuple[str, str], ...] | None
    """None where the file could not be read, so that sources cannot be judged."""


UNREADABLE = Manifest(
    name="",
    label="",
    currency="",
    series_origin="",
    step_ms=1,
    steps=0,
    description="",
    sources=None,
)
"""Stands in for a manifest with faults, so that the tables are checked all the same."""


def read_manifest(text: str, faults: list[Fault]) -> Manifest:
    """The manifest; adds every fault found. Parts with faults are empty and not judged further."""
    scalars: dict[str, tuple[str, int]] = {}
    sources: dict[str, str] = {}
    root = top_mapping(
        MANIFEST,
        text,
        faults,
        begin="Begin with name: laptop.",
        levels="A manifest has two levels.",
    )
    if root is None:
        return UNREADABLE
    for key, node, row in _pairs(root, "", faults):
        if key not in _KEYS:
            _fault(faults, row, key, "unknown key", suggest(key, _KEYS, "keys"))
        elif key == "sources":
            sources = _sources(node, row, faults)
        elif isinstance(node, yaml.ScalarNode):
            scalars[key] = (str(node.value).strip(), row)
        else:
            _fault(faults, row, key, "must be a single value", "Write it as one line of text.")
    for key in _REQUIRED:
        if not scalars.get(key, ("", 0))[0] and not any(
            f.file == MANIFEST and f.field == key for f in faults
        ):
            at = scalars[key][1] if key in scalars else None
            _fault(faults, at, key, "the key is missing or empty", "Every network states it.")
    checked = _Checked(scalars, faults)
    manifest = Manifest(
        name=checked.name(),
        label=checked.text("label"),
        currency=checked.currency(),
        series_origin=checked.origin(),
        step_ms=checked.step_ms(),
        steps=checked.steps(),
        description=checked.text("description"),
        sources=tuple(sorted(sources.items())),
    )
    checked.version()
    return manifest


class _Checked:
    """Each key's own rule. A missing key was told before and gives a harmless stand-in."""

    def __init__(self, scalars: dict[str, tuple[str, int]], faults: list[Fault]):
        self._scalars = scalars
        self._faults = faults

    def text(self, key: str) -> str:
        return self._scalars.get(key, ("", 0))[0]

    def _say(self, key: str, problem: str, remedy: str) -> None:
        _fault(self._faults, self._scalars[key][1], key, problem, remedy)

    def name(self) -> str:
        text = self.text("name")
        try:
            return check_name(text) if text else ""
        except CellError as error:
            self._say("name", error.problem, error.remedy)
            return text

    def version(self) -> None:
        text = self.text("schema_version")
        if text and text not in SCHEMA_VERSIONS:
            known = ", ".join(SCHEMA_VERSIONS)
            problem = f"schema version {text!r} is not known to this program"
            self._say("schema_version", problem, f"Known: {known}. Or use a newer Westward.")

    def currency(self) -> str:
        text = self.text("currency")
        if text and not (len(text) == 3 and text.isascii() and text.isupper()):
            problem = f"{text!r} is not a currency code"
            self._say("currency", problem, "Write three capital letters such as CNY or EUR.")
        return text

    def origin(self) -> str:
        text = self.text("series_origin")
        if text and text != "start":
            try:
                parse_instant_ms(text, 0)
                if "T" not in text and " " not in text:
                    raise ValueError(f"{text!r} is not a point in time")
            except ValueError as error:
                remedy = "Write start, or a time such as 2026-01-01T00:00:00+08:00."
                self._say("series_origin", str(error), remedy)
        return text

    def step_ms(self) -> int:
        text = self.text("step")
        if not text:
            return 1
        try:
            step = parse_duration_ms(text)
            if step <= 0:
                raise ValueError(f"{text!r} is no time at all")
            return step
        except ValueError as error:
            self._say("step", str(error), "Write the length of one step, such as 1h.")
            return 1

    def steps(self) -> int:
        text = self.text("steps")
        if not text:
            return 0
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= SERIES_STEPS_MAX:
            problem = f"{text!r} is not a number of steps"
            remedy = f"Write a whole number from 1 to {SERIES_STEPS_MAX}, such as 24."
            self._say("steps", problem, remedy)
            return 0
        return int(text)


def _pairs(
    node: yaml.MappingNode, under: str, faults: list[Fault]
) -> list[tuple[str, yaml.Node, int]]:
    found: dict[str, tuple[str, yaml.Node, int]] = {}
    for key_node, value in node.value:
        row = key_node.start_mark.line + 1
        key = str(key_node.value).strip() if isinstance(key_node, yaml.ScalarNode) else "?"
        if key in found:
            problem = f"given twice (first in line {found[key][2]})"
            _fault(faults, row, under + key, problem, "Keep one.")
            continue
        found[key] = (key, value, row)
    return list(found.values())


def _sources(node: yaml.Node, row: int, faults: list[Fault]) -> dict[str, str]:
    if not isinstance(node, yaml.MappingNode):
        if not (isinstance(node, yaml.ScalarNode) and node.value == ""):
            _fault(faults, row, "sources", "must be a list of id: citation", "Indent each by two.")
        return {}
    sources: dict[str, str] = {}
    for key, value, at in _pairs(node, "sources.", faults):
        text = str(value.value).strip() if isinstance(value, yaml.ScalarNode) else ""
        if key == ASSUMPTION or ";" in key:
            remedy = "Choose an id without ; other than the word assumption."
            _fault(faults, at, f"sources.{key}", "cannot be a source id", remedy)
        elif not text:
            remedy = "Say who states it and where, in one line of text."
            _fault(faults, at, f"sources.{key}", "the source has no citation", remedy)
        sources[key] = text
    return sources


def _fault(faults: list[Fault], row: int | None, field: str, problem: str, remedy: str) -> None:
    faults.append(Fault(MANIFEST, row, field, problem, remedy))
