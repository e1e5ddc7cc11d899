"""A study's figures, as PNG (for the report) and SVG, byte-equal for equal tables.

Kinds: ``levels`` dots with the seeds' span, one panel a metric; ``differences`` the same against
the base, in per cent, every seed a dot; ``line`` a metric along an axis in the file's order;
``grid`` policies × overrides as a heat map; ``classes`` dots over a breakdown; ``heat`` a heat map
of a breakdown of two properties.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from westward.simulate.plots import DPI, POLICY_COLOURS, STYLE
from westward.study.measures import JOINT, measure_of
from westward.study.model import Axis, PlotSpec, Study
from westward.study.table import Figures, Spread, Where
from westward.study.words import figure as told
from westward.study.words import percent

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LABEL_CHARACTERS = 30
PANELS_ACROSS = 2
LEGEND_WIDTH = 112
"""Characters that fit beside each other above a figure."""
NAMES_ABREAST_MAX = 5
"""More entries than this along an axis, and a panel takes the full width."""
BASE_COLOUR = "#889"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One figure: its words, and the PNG as a data URI."""

    title: str
    caption: str
    stem: str
    uri: str


def draw_plots(
    study: Study, figures: Figures, folder: Path, *, note: Callable[[str], None]
) -> list[Drawn]:
    """Writes NN-kind.png and .svg into ``folder``; one figure a spec and, where a figure cannot
    hold several workloads, one a workload."""
    drawn: list[Drawn] = []
    with mpl.rc_context({**STYLE, "svg.hashsalt": "westward", "svg.fonttype": "path"}):
        for spec in study.plots:
            for title, made in _figures(study, figures, spec):
                stem = f"{len(drawn) + 1:02d}-{spec.kind}"
                note(f"figure {stem}")
                buffer = io.BytesIO()
                made.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
                (folder / f"{stem}.png").write_bytes(buffer.getvalue())
                made.savefig(
                    folder / f"{stem}.svg", format="svg", metadata={"Date": None, "Creator": None}
                )
                data = base64.b64encode(buffer.getvalue()).decode("ascii")
                uri = f"data:image/png;base64,{data}"
                drawn.append(Drawn(title=title, caption=spec.caption, stem=stem, uri=uri))
    return drawn


def _figures(study: Study, figures: Figures, spec: PlotSpec) -> list[tuple[str, Figure]]:
    several = len(spec.workloads) > 1
    found = []
    for workload in spec.workloads:
        suffix = f" ({study.label('workload', workload)})" if several else ""
        painter = _Painter(study, figures, spec, workload)
        made = getattr(painter, spec.kind)()
        found.append((spec.title + suffix, made))
    return found


class _Painter:
    """Draws one spec for one workload."""

    def __init__(self, study: Study, figures: Figures, spec: PlotSpec, workload: str):
        self.study = study
        self.figures = figures
        self.spec = spec
        self.workload = workload
        self.over: Axis = spec.over or study.compare
        self.other: Axis = "policy" if self.over == "override" else "override"

    def names(self, axis: Axis) -> tuple[str, ...]:
        if axis == "workload":
            return (self.workload,)
        return self.spec.policies if axis == "policy" else self.spec.overrides

    def label(self, axis: Axis, name: str, width: int = LABEL_CHARACTERS) -> str:
        return textwrap.fill(self.study.label(axis, name), width)

    def at(self, name: str, other: str) -> Where:
        first = Where(self.workload, self.spec.policies[0], self.spec.overrides[0])
        return first.moved(self.over, name).moved(self.other, other)

    def colour(self, at: int) -> str:
        return POLICY_COLOURS[at % len(POLICY_COLOURS)]

    def title(self, metric: str, width: int = 46) -> str:
        return textwrap.fill(measure_of(metric, self.study.network.currency).label, width)

    def classes_of(self, breakdown: str) -> list[str]:
        """The breakdown's classes of which anything is drawn; empty ones would only take room."""
        points = [
            self.at(name, other)
            for name in self.names(self.over)
            for other in self.names(self.other)
        ]
        return [
            label
            for label in self.figures.classes(breakdown)
            if any(
                self.figures.seeds(replace(at, breakdown=breakdown, job_class=label), metric)
                for at in points
                for metric in self.spec.metrics
            )
        ]

    def legend(self, figure: Figure, handles: list[Any], labels: list[str]) -> None:
        """Above the panels, in as many columns as the longest label leaves room for."""
        across = max(1, min(4, LEGEND_WIDTH // (max(len(label) for label in labels) + 6)))
        figure.legend(handles, labels, ncols=across, loc="outside upper center")

    def unit(self, metric: str) -> str:
        return self.figures.units.get(metric, "")

    def _marker_legend(self, figure: Figure, axes: Axes, axis: Axis, names: Sequence[str]) -> None:
        handles = [
            axes.plot([], [], MARKERS[n % len(MARKERS)], color=self.colour(n))[0]
            for n in range(len(names))
        ]
        self.legend(figure, handles, [self.study.label(axis, name) for name in names])

    # Dots

    def levels(self) -> Figure:
        return self._dots(
            self.spec.metrics,
            lambda where, metric: (
                self.figures.spread(where, metric),
                [*self.figures.seeds(where, metric).values()],
            ),
            relative=False,
        )

    def differences(self) -> Figure:
        def value(where: Where, metric: str) -> tuple[Spread | None, list[float]]:
            base = self.figures.seeds(self.figures.base_of(where), metric)
            shares = [
                change / abs(base[seed])
                for seed, change in self.figures.differences(where, metric).items()
                if base[seed]
            ]
            return self.figures.change(where, metric), shares

        return self._dots(self.spec.metrics, value, relative=True)

    def _dots(
        self,
        metrics: Sequence[str],
        value: Callable[[Where, str], tuple[Spread | None, list[float]]],
        *,
        relative: bool,
    ) -> Figure:
        """Entries of the axis as rows, those of the other axis as colours, a panel a metric."""
        names, others = list(self.names(self.over)), list(self.names(self.other))
        if relative and self.over == self.study.compare:
            names = names[1:] or names
        across = min(PANELS_ACROSS, len(metrics))
        down = -(-len(metrics) // across)
        tall = 0.9 + down * (0.75 + len(names) * max(0.34, 0.13 * len(others)))
        figure = Figure(figsize=(9.5, tall), layout="constrained")
        panels = figure.subplots(down, across, sharey=True, squeeze=False)
        for at, axes in enumerate(panels.flat):
            if at >= len(metrics):
                axes.set_visible(False)
                continue
            for number, other in enumerate(others):
                shift = (number - (len(others) - 1) / 2) * 0.7 / max(1, len(others))
                for row, name in enumerate(names):
                    spread, points = value(self.at(name, other), metrics[at])
                    self._dot(axes, row + shift, spread, points, number)
            axes.set_title(self.title(metrics[at]), fontsize=10)
            self._value_axis(axes, metrics[at], relative)
            axes.set_yticks(range(len(names)), [self.label(self.over, name) for name in names])
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
            for row in range(1, len(names)):
                axes.axhline(row - 0.5, color="#e8ebf2", linewidth=0.8)
        if len(others) > 1:
            self._marker_legend(figure, panels.flat[0], self.other, others)
        return figure

    def _dot(
        self, axes: Axes, row: float, spread: Spread | None, points: list[float], number: int
    ) -> None:
        if spread is None:
            return
        colour = self.colour(number)
        axes.plot([spread.low, spread.high], [row, row], color=colour, linewidth=2.2, alpha=0.45)
        axes.plot(points, [row] * len(points), "|", color=colour, markersize=6, alpha=0.7)
        marker = MARKERS[number % len(MARKERS)]
        axes.plot([spread.mean], [row], marker, color=colour, markersize=6.5, zorder=3)

    def _value_axis(self, axes: Axes, metric: str, relative: bool) -> None:
        axes.grid(axis="x", color="#dde", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if relative:
            axes.axvline(0, color=BASE_COLOUR, linewidth=1.2)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: percent(v, signed=True)))
            axes.set_xlabel("change against the base, same seed", fontsize=9)
            return
        unit = self.unit(metric)
        if unit == "share":
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: told(v, "share")))
            low, high = axes.get_xlim()
            axes.set_xlim(max(low, -0.01), min(high, 1.01))
        axes.set_xlabel("" if unit == "share" else unit, fontsize=9)

    # Along an axis

    def line(self) -> Figure:
        """A panel a metric: the axis's entries from left to right, the other's as lines."""
        names, others = self.names(self.over), self.names(self.other)
        metrics = self.spec.metrics
        across = 1 if len(names) > NAMES_ABREAST_MAX else min(PANELS_ACROSS, len(metrics))
        down = -(-len(metrics) // across)
        figure = Figure(figsize=(9.5, 0.7 + 3.0 * down), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False)
        for at, axes in enumerate(panels.flat):
            if at >= len(metrics):
                axes.set_visible(False)
                continue
            for number, other in enumerate(others):
                self._one_line(axes, names, other, metrics[at], number)
            width = max(9, round(104 / across / len(names)))
            labels = [self.label(self.over, name, width) for name in names]
            axes.set_xticks(range(len(names)), labels, fontsize=8)
            axes.set_xlim(-0.25, len(names) - 0.75)
            axes.set_title(self.title(metrics[at]), fontsize=10)
            unit = self.unit(metrics[at])
            if unit == "share":
                axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: told(v, "share")))
            axes.set_ylabel("" if unit == "share" else unit)
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
            axes.grid(axis="y", color="#dde", linewidth=0.7)
        if len(others) > 1:
            handles, labels = panels.flat[0].get_legend_handles_labels()
            self.legend(figure, handles, labels)
        return figure

    def _one_line(
        self, axes: Axes, names: Sequence[str], other: str, metric: str, number: int
    ) -> None:
        spreads = [self.figures.spread(self.at(name, other), metric) for name in names]
        at = [x for x, spread in enumerate(spreads) if spread is not None]
        known = [spread for spread in spreads if spread is not None]
        colour = self.colour(number)
        axes.fill_between(
            at, [s.low for s in known], [s.high for s in known], color=colour, alpha=0.15, lw=0
        )
        axes.plot(
            at,
            [s.mean for s in known],
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            linewidth=1.8,
            label=self.study.label(self.other, other),
        )

    # Heat maps

    def grid(self) -> Figure:
        """Policies × overrides, the first metric's mean in every cell."""
        metric = self.spec.metrics[0]
        rows, columns = self.spec.policies, self.spec.overrides
        values = np.full((len(rows), len(columns)), np.nan)
        for i, policy in enumerate(rows):
            for j, override in enumerate(columns):
                spread = self.figures.spread(Where(self.workload, policy, override), metric)
                if spread is not None:
                    values[i, j] = spread.mean
        return self._heat(
            values,
            [self.label("policy", name) for name in rows],
            [self.label("override", name, 14) for name in columns],
            metric,
        )

    def heat(self) -> Figure:
        """A breakdown of two properties: the first one's classes down, the second's across."""
        metric, breakdown = self.spec.metrics[0], self.spec.breakdown or ""
        pairs = [label.split(JOINT) for label in self.classes_of(breakdown)]
        rows = list(dict.fromkeys(pair[0] for pair in pairs))
        columns = list(dict.fromkeys(pair[1] for pair in pairs))
        values = np.full((len(rows), len(columns)), np.nan)
        start = Where(self.workload, self.spec.policies[0], self.spec.overrides[0])
        for row, column in pairs:
            where = replace(start, breakdown=breakdown, job_class=f"{row}{JOINT}{column}")
            spread = self.figures.spread(where, metric)
            if spread is not None:
                values[rows.index(row), columns.index(column)] = spread.mean
        return self._heat(values, rows, [textwrap.fill(c, 14) for c in columns], metric)

    def _heat(
        self,
        values: npt.NDArray[np.float64],
        rows: Sequence[str],
        columns: Sequence[str],
        metric: str,
    ) -> Figure:
        unit = self.unit(metric)
        figure = Figure(
            figsize=(min(9.5, 3.4 + 1.15 * len(columns)), 1.3 + 0.48 * len(rows)),
            layout="constrained",
        )
        axes = figure.add_subplot()
        limits: dict[str, Any] = {"vmin": 0.0, "vmax": 1.0} if unit == "share" else {}
        image = axes.imshow(values, cmap="cividis", aspect="auto", **limits)
        middle = 0.5 if unit == "share" else float(np.nanmean(image.get_clim()))
        for (i, j), value in np.ndenumerate(values):
            text = "" if np.isnan(value) else told(float(value), unit).removesuffix(f" {unit}")
            colour = "white" if value < middle else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=9, color=colour)
        axes.set_xticks(range(len(columns)), columns, fontsize=8.5)
        axes.set_yticks(range(len(rows)), rows, fontsize=8.5)
        axes.tick_params(length=0)
        axes.xaxis.tick_top()
        axes.set_xlabel(f"{self.title(metric, 90)}{'' if unit == 'share' else f' ({unit})'}")
        return figure

    # Over classes of jobs

    def classes(self) -> Figure:
        """A breakdown's classes as rows; policies (or overrides, by ``over``) as colours."""
        breakdown = self.spec.breakdown or ""
        labels = self.classes_of(breakdown)
        names = self.names(self.over)
        metrics = self.spec.metrics
        across = min(PANELS_ACROSS, len(metrics))
        down = -(-len(metrics) // across)
        tall = 0.9 + down * (0.75 + len(labels) * max(0.34, 0.13 * len(names)))
        figure = Figure(figsize=(9.5, tall), layout="constrained")
        panels = figure.subplots(down, across, sharey=True, squeeze=False)
        for at, axes in enumerate(panels.flat):
            if at >= len(metrics):
                axes.set_visible(False)
                continue
            for number, name in enumerate(names):
                shift = (number - (len(names) - 1) / 2) * 0.7 / max(1, len(names))
                for row, label in enumerate(labels):
                    where = replace(
                        self.at(name, self.names(self.other)[0]),
                        breakdown=breakdown,
                        job_class=label,
                    )
                    points = [*self.figures.seeds(where, metrics[at]).values()]
                    spread = self.figures.spread(where, metrics[at])
                    self._dot(axes, row + shift, spread, points, number)
            axes.set_title(self.title(metrics[at]), fontsize=10)
            self._value_axis(axes, metrics[at], False)
            axes.set_yticks(range(len(labels)), [textwrap.fill(x, 26) for x in labels])
            axes.set_ylim(len(labels) - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
        if len(names) > 1:
            self._marker_legend(figure, panels.flat[0], self.over, names)
        return figure
