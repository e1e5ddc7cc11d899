"""The story of a job: what happened to it, in sentences its owner understands."""

from __future__ import annotations

from dataclasses import dataclass

from westward.model.units import format_instant

StoryValue = str | int | None


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
    return StoryLine(at_ms=at_ms, kind=kind, text=text, data=tuple(sorted(data.items())))
