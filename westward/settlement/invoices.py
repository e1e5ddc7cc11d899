"""What a project used in a month, who pays which part of it, and the pages it is printed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from westward.settlement.charges import PARTS, Charge, Part
from westward.settlement.periods import Period

LINES_A_PAGE = 23
"""Of nine millimetres each, on A4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One job at one site, or one correction. ``parts`` add up to ``micros``."""

    job_id: str
    job_name: str
    site: str
    runs: tuple[str, ...]
    began_ms: int
    ended_ms: int
    device_milli_ms: int
    parts: Mapping[Part, int]
    micros: int
    dispute_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``carried_micros``: the sum of the pages before."""

    number: int
    lines: tuple[Line, ...]
    carried_micros: int
    micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """``preliminary``: the period was not over when it was made. ``by_payer``: (payer, reason) with
    its share; together ``micros``, as is everything else."""

    project: str
    period: Period
    made_ms: int
    preliminary: bool
    lines: tuple[Line, ...]
    pages: tuple[Page, ...]
    by_part: Mapping[Part, int]
    quantities: Mapping[Part, int]
    """Milli-device ms, joules, bytes; 0 for rounding. Of what was charged, corrections aside."""
    by_site: Mapping[str, int]
    by_payer: Mapping[tuple[str, str], int]
    micros: int

    @property
    def own_micros(self) -> int:
        """What the project itself pays."""
        return sum(micros for (payer, _), micros in self.by_payer.items() if payer == self.project)


def invoice(project: str, period: Period, charges: Iterable[Charge], now_ms: int) -> Invoice:
    """Of the charges those that are the project's and of the period."""
    own = [
        one
        for one in charges
        if one.project == project and period.holds(one.posted_ms) and one.posted_ms < now_ms
    ]
    lines = _lines(own)
    by_payer: dict[tuple[str, str], int] = {}
    for one in own:
        key = (one.payer, one.payer_reason)
        by_payer[key] = by_payer.get(key, 0) + one.micros
    by_site: dict[str, int] = {}
    for one in own:
        by_site[one.site] = by_site.get(one.site, 0) + one.micros
    return Invoice(
        project=project,
        period=period,
        made_ms=now_ms,
        preliminary=now_ms < period.end_ms,
        lines=lines,
        pages=pages(lines),
        by_part={part: sum(one.micros for one in own if one.part == part) for part in PARTS},
        quantities={part: _quantity(own, part) for part in PARTS},
        by_site=dict(sorted(by_site.items())),
        by_payer=dict(sorted(by_payer.items())),
        micros=sum(one.micros for one in own),
    )


def _lines(charges: Sequence[Charge]) -> tuple[Line, ...]:
    """By the first start; a correction after what it corrects."""
    groups: dict[tuple[str, str, str], list[Charge]] = {}
    for one in charges:
        groups.setdefault((one.job_id, one.site, one.dispute_id), []).append(one)
    lines = [_line(group) for group in groups.values()]
    return tuple(
        sorted(lines, key=lambda one: (one.began_ms, one.job_id, one.site, one.dispute_id))
    )


def _line(group: Sequence[Charge]) -> Line:
    first = group[0]
    return Line(
        job_id=first.job_id,
        job_name=first.job_name,
        site=first.site,
        runs=tuple(dict.fromkeys(one.run_id for one in group)),
        began_ms=min(one.began_ms for one in group),
        ended_ms=max(one.ended_ms for one in group),
        device_milli_ms=_quantity(group, "device"),
        parts={part: sum(one.micros for one in group if one.part == part) for part in PARTS},
        micros=sum(one.micros for one in group),
        dispute_id=first.dispute_id,
    )


def _quantity(charges: Sequence[Charge], part: Part) -> int:
    return round(sum((one.own_quantity for one in charges if one.part == part), Fraction(0)))


def pages(lines: Sequence[Line], most: int = LINES_A_PAGE) -> tuple[Page, ...]:
    """At least one page, if an empty one."""
    found: list[Page] = []
    carried = 0
    for at in range(0, max(1, len(lines)), most):
        some = tuple(lines[at : at + most])
        micros = sum(one.micros for one in some)
        found.append(Page(number=len(found) + 1, lines=some, carried_micros=carried, micros=micros))
        carried += micros
    return tuple(found)
