"""The answer to a study's question: sentences whose figures are computed from the table.

A study file writes the sentence with holes, ``{VERB METRIC key=name …}``:

    {value M}             mean over seeds, with the extremes
    {change M}            against the base, as "falls by 12 % (11 % to 13 %)"
    {difference M}        against the base, in the metric's unit
    {least M over=AXIS}   label of the entry of that axis with the lowest mean; {most …} likewise
    {above M over=AXIS limit=X}   labels of the entries whose mean lies above X; {below …} likewise
    {above M classes=B limit=X}   the same over the classes of a breakdown

Keys: workload, policy, override choose a point (default: the first of each), class=LABEL with
breakdown=B a class. Names with spaces stand in double quotes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from westward.formats.job_fields import suggestion
from westward.study.measures import ALL_JOBS
from westward.study.model import AXES, Axis, Study
from westward.study.table import Figures, Where
from westward.study.words import NOTHING, differs, moved, with_range

HOLE = re.compile(r"\{([^{}]*)\}")
VERBS = ("value", "change", "difference", "least", "most", "above", "below")
_POINT = ("workload", "policy", "override", "breakdown", "class", "tag")
_ALLOWED = {
    "value": _POINT,
    "change": _POINT,
    "difference": _POINT,
    "least": (*_POINT, "over"),
    "most": (*_POINT, "over"),
    "above": (*_POINT, "over", "classes", "limit"),
    "below": (*_POINT, "over", "classes", "limit"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """One parsed placeholder."""

    verb: str
    metric: str
    where: Where
    over: Axis | None = None
    classes: str = ""
    limit: float = 0.0


def parse_hole(text: str, study: Study) -> Hole:
    """Raises ValueError with one sentence: what is wrong, and what would be right."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{{{text}}}: {error}") from None
    if len(words) < 2:
        raise ValueError(f"{{{text}}} needs a verb and a metric, such as {{value cost}}")
    verb, metric = words[0], words[1]
    if verb not in VERBS:
        raise ValueError(f"{verb!r} in {{{text}}} is no verb. {suggestion(verb, VERBS)}")
    keys: dict[str, str] = {}
    for word in words[2:]:
        key, equals, value = word.partition("=")
        if not equals or key not in _ALLOWED[verb]:
            raise ValueError(f"{word!r} in {{{text}}}. {suggestion(key, _ALLOWED[verb])}")
        keys[key] = value
    if "tag" in keys:
        metric = f"{metric} {keys['tag']}"
    if metric not in study.metrics:
        near = suggestion(metric, study.metrics)
        raise ValueError(f"{metric!r} in {{{text}}} is not measured here. {near}")
    named: dict[str, str] = {}
    for axis in AXES:
        names = [entry.name for entry in study.entries(axis)]
        named[axis] = keys.get(axis, names[0] if names else "")
        if named[axis] not in names:
            raise ValueError(f"no {axis} {named[axis]!r}. {suggestion(named[axis], names)}")
    breakdowns = [breakdown.name for breakdown in study.breakdowns]
    for key in ("breakdown", "classes"):
        if key in keys and keys[key] not in breakdowns:
            raise ValueError(f"no breakdown {keys[key]!r}. {suggestion(keys[key], breakdowns)}")
    if "over" in keys and keys["over"] not in AXES:
        raise ValueError(f"over={keys['over']} in {{{text}}}. {suggestion(keys['over'], AXES)}")
    if verb in ("least", "most", "above", "below") and ("over" in keys) == ("classes" in keys):
        raise ValueError(
            f"{{{text}}} needs over=AXIS{' or classes=B' * verb.endswith(('ve', 'ow'))}"
        )
    try:
        limit = float(keys.get("limit", "0" if verb not in ("above", "below") else "?"))
    except ValueError:
        raise ValueError(f"{{{text}}} needs limit=NUMBER") from None
    where = Where(
        **named,
        breakdown=keys.get("breakdown", ""),
        job_class=keys.get("class", ALL_JOBS),
    )
    over = cast("Axis | None", keys.get("over"))
    return Hole(
        verb=verb,
        metric=metric,
        where=where,
        over=over,
        classes=keys.get("classes", ""),
        limit=limit,
    )


def answer(study: Study, figures: Figures) -> list[str]:
    """The study's sentences, filled in."""
    return [HOLE.sub(lambda m: fill(parse_hole(m[1], study), figures), s) for s in study.answer]


def fill(hole: Hole, figures: Figures) -> str:
    unit = figures.units.get(hole.metric, "")
    if hole.verb == "value":
        return with_range(figures.spread(hole.where, hole.metric), unit)
    if hole.verb == "change":
        return moved(figures.change(hole.where, hole.metric))
    if hole.verb == "difference":
        return differs(figures.difference(hole.where, hole.metric), unit)
    if hole.verb in ("least", "most"):
        return _extreme(hole, figures)
    found = [
        label
        for label, value in _means(hole, figures)
        if (value > hole.limit if hole.verb == "above" else value < hole.limit)
    ]
    return _listed(found)


def _extreme(hole: Hole, figures: Figures) -> str:
    means = _means(hole, figures)
    if not means:
        return NOTHING
    chosen = (
        min(means, key=lambda m: m[1]) if hole.verb == "least" else max(means, key=lambda m: m[1])
    )
    return chosen[0]


def _means(hole: Hole, figures: Figures) -> list[tuple[str, float]]:
    """(label, mean) of each entry of the axis, or of each class, where there is a figure."""
    if hole.classes:
        points = [
            (label, replace(hole.where, breakdown=hole.classes, job_class=label))
            for label in figures.classes(hole.classes)
        ]
    else:
        assert hole.over is not None
        points = [
            (entry.label, hole.where.moved(hole.over, entry.name))
            for entry in figures.study.entries(hole.over)
        ]
    spreads = [(label, figures.spread(where, hole.metric)) for label, where in points]
    return [(label, spread.mean) for label, spread in spreads if spread is not None]


def _listed(labels: Sequence[str]) -> str:
    if not labels:
        return "none"
    return "; ".join(labels)


def default_answer(study: Study) -> tuple[str, ...]:
    """What is said where the file has no sentence of its own: the first metric's extremes."""
    metric, axis = study.metrics[0], study.compare
    return (
        f"Of the entries compared, {metric} is lowest with {{least {_named(metric)} over={axis}}} "
        f"and highest with {{most {_named(metric)} over={axis}}}.",
    )


def _named(metric: str) -> str:
    head, _, tag = metric.partition(" ")
    return f"{head} tag={tag}" if tag else head
