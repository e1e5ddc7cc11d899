"""The story of a job: what happened to it, in sentences its owner understands."""

from __future__ import annotations

from dataclasses import dataclass

from westward.model.units import format_instant

StoryValue = str | int | None
TEXT_MOST_CHARS = 4_000
"""Of one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryLine:
    """``kind`` is a stable code (``bound``, ``started``, …); ``data`` holds the same facts as
    values, for programs."""

    at_ms: int
    kind: str
    text: str
    data: tuple[tuple[str, StoryValue], ...] = ()

    def __str__(self) -> str:
        return f"{format_instant(self.at_ms)}  {self.text}"


def tell(at_ms: int, kind: str, text: str, **data: StoryValue) -> StoryLine:
    """A story line with its data sorted by name, so that equal stories are equal bytes."""
    return StoryLine(at_ms=at_ms, kind=kind, text=printable(text), data=tuple(sorted(data.items())))


def printable(text: str) -> str:
    """``text`` with what would move a terminal's cursor, or break a log's lines, written out;
    cut at TEXT_MOST_CHARS. Parts of a story come from job files and from sites."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    if len(text) > TEXT_MOST_CHARS:
        text = text[: TEXT_MOST_CHARS - 1] + "…"
    return text
