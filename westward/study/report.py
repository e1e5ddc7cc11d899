"""The report of a study: one HTML file that asks nothing of the network and runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from westward.simulate.results import Provenance
from westward.study.measures import measure_of
from westward.study.model import AXES, Axis, Override, Recorded, Study
from westward.study.plots import Drawn
from westward.study.table import Figures, Where
from westward.study.words import figure, percent, with_range

PLACED_GAP = 0.01
"""A point that placed so much less than the base is marked: its sums are over fewer jobs."""
NETWORK_ASSUMPTIONS_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure of the table: the level, and how it differs from the base."""

    level: str
    change: str
    ranged: str
    mark: str
    """better, worse, chance (the seeds disagree on the sign) or "" (no difference, no side)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    label: str
    is_base: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One table: the entries of the axis compared, for one workload and one of the other axis."""

    title: str
    lines: tuple[Line, ...]


def render_report(
    study: Study,
    figures: Figures,
    answer: Sequence[str],
    plots: Sequence[Drawn],
    provenance: Provenance,
) -> str:
    """The whole page as text."""
    environment = Environment(
        loader=PackageLoader("westward.study", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    currency = study.network.currency
    measures = [measure_of(key, currency) for key in study.metrics]
    assumed = [fact for fact in study.network.facts if fact.assumption]
    return environment.get_template("study.html.j2").render(
        s=study,
        answer=answer,
        plots=plots,
        measures=measures,
        blocks=_blocks(study, figures),
        workloads=[(w.label, _workload_words(w.source)) for w in study.workloads],
        overrides=[(o.label, _override_words(o)) for o in study.overrides],
        cells=len(figures.points()) * len(study.seeds),
        assumed=assumed[:NETWORK_ASSUMPTIONS_SHOWN],
        assumed_count=len(assumed),
        sources=dict(study.sources),
        provenance=provenance,
        refused=_refused(study, figures),
        devices=study.capacity_devices,
    )


def _blocks(study: Study, figures: Figures) -> list[Block]:
    axis = study.compare
    others: list[Axis] = [a for a in AXES if a != axis]
    blocks: dict[tuple[str, str], list[Line]] = {}
    for point in figures.points():
        key = (
            point.moved(axis, "").on(others[0]),
            point.moved(axis, "").on(others[1]),
        )
        is_base = point == figures.base_of(point)
        cells = tuple(_cell(study, figures, point, metric, is_base) for metric in study.metrics)
        label = study.label(axis, point.on(axis))
        blocks.setdefault(key, []).append(Line(label=label, is_base=is_base, cells=cells))
    titled = []
    for key, lines in blocks.items():
        names = [
            study.label(other, name)
            for other, name in zip(others, key, strict=True)
            if len(study.entries(other)) > 1
        ]
        titled.append(Block(title="; ".join(names), lines=tuple(lines)))
    return titled


def _cell(study: Study, figures: Figures, point: Where, metric: str, is_base: bool) -> Cell:
    unit = figures.units[metric]
    spread = figures.spread(point, metric)
    level = figure(None if spread is None else spread.mean, unit).removesuffix(f" {unit}")
    ranged = with_range(spread, unit)
    if is_base:
        return Cell(level=level, change="", ranged=ranged, mark="")
    difference = figures.difference(point, metric)
    if difference is None or difference.low == difference.high == 0.0:
        return Cell(level=level, change="", ranged=ranged, mark="")
    if unit == "share":
        change = figure(difference.mean, unit, signed=True)
        ends = [figure(end, unit, signed=True) for end in (difference.low, difference.high)]
    else:
        share = figures.change(point, metric)
        if share is None:
            change = figure(difference.mean, unit, signed=True)
            ends = [figure(end, unit, signed=True) for end in (difference.low, difference.high)]
        else:
            change = percent(share.mean, signed=True)
            ends = [percent(end, signed=True) for end in sorted((share.low, share.high))]
    ranged += f"; difference {ends[0]} to {ends[1]}"
    mark = ""
    better = measure_of(metric, study.network.currency).lower_better
    if difference.low < 0 < difference.high:
        mark = "chance"
    elif better is not None:
        mark = "better" if (difference.mean < 0) == better else "worse"
    return Cell(level=level, change=change, ranged=ranged, mark=mark)


def _refused(study: Study, figures: Figures) -> list[str]:
    """Points whose sums are over clearly fewer jobs than the base's."""
    if "placed_share" not in study.metrics:
        return []
    found = []
    for point in figures.points():
        here, base = (figures.spread(at, "placed_share") for at in (point, figures.base_of(point)))
        if here is None or base is None or base.mean - here.mean <= PLACED_GAP:
            continue
        names = "; ".join(
            study.label(axis, point.on(axis)) for axis in AXES if len(study.entries(axis)) > 1
        )
        found.append(
            f"{names}: {figure(here.mean, 'share')} of the jobs were placed, "
            f"{figure(base.mean, 'share')} in the base"
        )
    return found


def _workload_words(source: object) -> str:
    if isinstance(source, Recorded):
        cut = f", the first {source.jobs_max:,} jobs" if source.jobs_max else ""
        return f"recorded: {source.path.name} ({source.format}){cut}; each owner's home is drawn"
    jobs, load = getattr(source, "jobs", 0), getattr(source, "load", 0.0)
    return f"generated: {jobs:,} jobs that ask for {load:g} of the base network's device time"


def _override_words(override: Override) -> str:
    """The changes as they were read, by field; empty for the base."""
    return " ".join(_change_words(change) for change in override.changes)


def _change_words(change: object) -> str:
    slots: tuple[str, ...] = getattr(type(change), "__slots__", ())
    parts = []
    for name in slots:
        value = getattr(change, name)
        if value is None:
            continue
        if isinstance(value, tuple):
            value = f"{len(value)} of them" if len(value) > 4 else ", ".join(map(str, value))
        parts.append(f"{name} {value}")
    return f"{type(change).__name__}({'; '.join(parts)})."
