"""The common row of a reproduced table, and how it is printed and written.

Each module of this folder that reproduces a paper has ``rows() -> list[Row]`` and a module
docstring or ``ABOUT`` text that says how it was done and what differs. ``run.py`` calls them all.
Run one alone from the project's root: ``python -m benchmarks.published.NAME``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("WESTWARD_SHARED", ROOT.parent / "shared"))
"""Where the recorded workloads and energy series are (read in place, never copied)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One published figure beside ours.

    ``published`` and ``ours`` are in the same unit, named in ``setting`` or ``metric``.
    ``tolerance`` is the largest absolute difference that still counts as reproduced; with
    ``relative`` it is a fraction of the published figure. ``tolerance=None``: the row is shown
    for comparison only and has no verdict but its ``note``. ``at_least``: the row holds when ours
    is at or above ``published`` (a mark to reach, such as "99 % identical").
    """

    paper: str
    table: str
    setting: str
    metric: str
    published: float | None
    ours: float
    tolerance: float | None = None
    relative: bool = False
    at_least: bool = False
    digits: int = 2
    note: str = ""

    @property
    def difference(self) -> float | None:
        """Ours less published; None where nothing was published."""
        return None if self.published is None else self.ours - self.published

    @property
    def holds(self) -> bool | None:
        """Whether the row is reproduced; None for a row without a verdict.

        Both figures are rounded to ``digits`` first: papers print rounded figures.
        """
        if self.published is None or self.tolerance is None:
            return None
        ours, published = round(self.ours, self.digits), round(self.published, self.digits)
        if self.at_least:
            return ours >= published - self.tolerance
        allowed = self.tolerance * (abs(published) if self.relative else 1.0)
        return abs(ours - published) <= allowed + 1e-12

    @property
    def verdict(self) -> str:
        """``same`` (to the digits shown), ``within``, ``reached``, ``DIFFERS``, or ``shown``."""
        if self.holds is None:
            return "shown"
        if not self.holds:
            return "DIFFERS"
        if self.at_least:
            return "reached"
        assert self.published is not None
        same = round(self.ours, self.digits) == round(self.published, self.digits)
        return "same" if same else "within"


HEADINGS = ("paper", "table", "setting", "metric", "published", "ours", "difference", "verdict")


def cells(row: Row) -> tuple[str, ...]:
    """The row as text, in the order of ``HEADINGS``; the note follows the verdict."""
    number = f",.{row.digits}f"
    published = "" if row.published is None else format(row.published, number)
    if row.at_least and published:
        published = "≥ " + published
    difference = ""
    if row.difference is not None and not row.at_least:
        difference = f"{row.difference:+,.{row.digits}f}"
        if row.relative and row.published:
            difference += f" ({row.difference / row.published:+.2%})"
    verdict = row.verdict + (f": {row.note}" if row.note else "")
    return (
        row.paper, row.table, row.setting, row.metric,
        published, format(row.ours, number), difference, verdict,
    )  # fmt: skip


def as_text(rows: Sequence[Row]) -> str:
    """A plain table for the terminal."""
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if 4 <= column <= 6 else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_markdown(rows: Sequence[Row]) -> str:
    """Markdown tables, one for each run of rows with the same paper and table."""
    parts: list[str] = []
    for (paper, table), group in groupby(rows, key=lambda row: (row.paper, row.table)):
        parts += [f"**{paper}, {table}**", ""]
        parts.append("| " + " | ".join(HEADINGS[2:]) + " |")
        parts.append("|---|---|---:|---:|---:|---|")
        parts += ["| " + " | ".join(cells(row)[2:]) + " |" for row in group]
        parts.append("")
    return "\n".join(parts)


def summary(rows: Sequence[Row]) -> str:
    """How many of the rows with a verdict hold."""
    judged = [row for row in rows if row.holds is not None]
    held = sum(1 for row in judged if row.holds)
    return f"{held} of {len(judged)} figures reproduced"
