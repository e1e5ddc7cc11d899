"""Which lines of the shipped code a simulation plays: lines of function bodies, by file.

A tracer of our own: it looks only at files that are asked for, and no longer at functions whose
every line was seen, so that playing takes some three times as long and not thirty.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PACKAGE = Path(__file__).parents[1]
LOOPS = (
    "aside", "applier", "billing", "budgets", "holds", "loops", "posting", "preempting", "purse",
    "reconsidering", "resumed", "snapshot", "sound", "writer",
)  # fmt: skip
"""Of ``server``: its loops and what they call."""
ROAD = ("accounts", "batch", "charged", "price", "road", "rounding", "transfers")
"""Of ``ledger``: what a run's money passes. The rest is for reports, quotes and forecasts."""
CO_NEWLOCALS = 0x2


@dataclass(slots=True)
class Lines:
    """Of one file. ``wanted``: lines in function bodies."""

    wanted: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)


def files() -> dict[str, list[Path]]:
    """By group of the table."""
    return {
        "control": sorted((PACKAGE / "control").glob("*.py")),
        "ledger, the road": [PACKAGE / "ledger" / f"{one}.py" for one in ROAD],
        "ledger, all": sorted((PACKAGE / "ledger").rglob("*.py")),
        "server loops": [PACKAGE / "server" / f"{one}.py" for one in LOOPS],
        "agent": [PACKAGE / "agent" / f"{one}.py" for one in ("agent", "link", "shipper")],
    }


def _bodies(code: CodeType) -> Iterator[CodeType]:
    """Not those that run as a module is read: a comprehension at its top, say."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            at_top = code.co_name == "<module>" and constant.co_name.startswith("<gen")
            if constant.co_flags & CO_NEWLOCALS and not at_top:
                yield constant
            yield from _bodies(constant)


def _lines(code: CodeType) -> set[int]:
    first = code.co_firstlineno
    return {line for _, _, line in code.co_lines() if line is not None and line != first}


@contextmanager
def counted() -> Iterator[dict[Path, Lines]]:
    """Lines by file; complete when this has ended."""
    found: dict[Path, Lines] = {}
    by_name: dict[str, Lines] = {}
    left: dict[CodeType, set[int]] = {}
    for path in {one for group in files().values() for one in group}:
        lines = found[path] = Lines()
        by_name[str(path)] = lines
        for code in _bodies(compile(path.read_text(encoding="utf-8"), str(path), "exec")):
            lines.wanted |= _lines(code)

    def trace(frame: FrameType, _event: str, _value: Any) -> Any:
        code = frame.f_code
        lines = by_name.get(code.co_filename)
        if lines is None:
            return None
        missing = left.get(code)
        if missing is None:
            missing = left[code] = _lines(code) - lines.seen
        if not missing:
            return None

        def line(inner: FrameType, event: str, _value: Any) -> Any:
            if event == "line":
                lines.seen.add(inner.f_lineno)
                missing.discard(inner.f_lineno)
            return line

        return line

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield found
    finally:
        sys.settrace(before)


def table(found: dict[Path, Lines]) -> Sequence[str]:
    """A line a file, groups with their sums."""
    told = []
    for group, paths in files().items():
        wanted = sum(len(found[one].wanted) for one in paths)
        seen = sum(len(found[one].seen & found[one].wanted) for one in paths)
        told.append(f"{100 * seen / max(1, wanted):5.1f} %  {group} ({seen} of {wanted} lines)")
        for one in paths:
            lines = found[one]
            missing = sorted(lines.wanted - lines.seen)
            if missing:
                share = 100 * (1 - len(missing) / len(lines.wanted))
                shown = ", ".join(map(str, missing[:12])) + (" …" if len(missing) > 12 else "")
                told.append(f"    {share:5.1f} %  {one.relative_to(PACKAGE)}: not {shown}")
    return told
