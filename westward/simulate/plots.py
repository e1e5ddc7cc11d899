"""The figures of a rehearsal, as PNG files that come out byte-equal for equal inputs.

Policies keep one colour through all figures (Okabe and Ito's colours, told apart without red and
green); heat maps use cividis, which grows evenly in lightness.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from westward.model.units import MICROS, MS_PER_DAY, MS_PER_HOUR, format_duration
from westward.simulate.compare import CommonSet, common_set
from westward.simulate.flowmap import draw_flows, has_map
from westward.simulate.metrics import TERMS, device_hours, wait_ms
from westward.simulate.results import F64, SimulationResult

POLICY_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
ZONE_COLOURS = ("#332288", "#44AA99", "#CC6677", "#DDCC77", "#117733", "#882255", "#88CCEE")
"""Tol's muted colours: not the policies', which stand below them in the same figure."""
TERM_COLOURS = {
    "device": "#4477AA",
    "power": "#EECC66",
    "carbon": "#228833",
    "transfer": "#AA3377",
    "wait": "#BBBBBB",
}
TIME_CELLS_MAX = 360
"""Columns of a heat map over time; more hours are averaged together."""
CDF_POINTS_MAX = 2_000
ZONE_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.5, 1.5)))
TARIFF_LINES_MAX = 21
"""Lines that seven colours in three line styles can tell apart (7 and 3 share no factor)."""
LEGEND_CHARACTERS = 34
DPI = 120
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#667",
    "axes.labelcolor": "#223",
    "xtick.color": "#445",
    "ytick.color": "#445",
    "axes.grid": False,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One figure on disk and the words that go with it."""

    kind: str
    title: str
    caption: str
    policy: str | None
    path: Path


def draw_all(
    results: Sequence[SimulationResult],
    labels: Sequence[str],
    hours: Sequence[pl.DataFrame],
    out: Path,
    *,
    progress: Callable[[str], None] | None = None,
) -> list[Plot]:
    """Writes every figure into ``out`` (which exists) and returns them in reading order."""
    drawn: list[Plot] = []

    def save(
        figure: Figure, kind: str, title: str, caption: str, policy: str | None = None
    ) -> None:
        path = out / (f"{kind}-{policy}.png" if policy else f"{kind}.png")
        if progress:
            progress(f"figure {path.name}")
        # Software is the only text matplotlib would add; without it the file names no version.
        figure.savefig(path, dpi=DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})
        drawn.append(Plot(kind=kind, title=title, caption=caption, policy=policy, path=path))

    with mpl.rc_context(STYLE):
        common = common_set(results)
        members = [results[at] for at in common.members]
        names = [labels[at] for at in common.members]
        which = _which(labels, common)
        colours = policy_colours(labels)
        save(
            _cost_stack(members, names, common.jobs),
            "cost",
            "Cost by term",
            f"Sum over the jobs that {which}. Carbon and wait are priced by the "
            "policy's own figures; nobody is sent a bill for them.",
        )
        save(
            _wait_curves(members, names, common.jobs, colours),
            "wait",
            "How long jobs wait",
            f"Share of jobs that had started after a given wait (jobs that {which}). "
            "Higher and further left is shorter.",
        )
        save(
            _tariff_and_starts(results, labels),
            "tariff",
            "Tariff and starts by hour of the day",
            "Above, the power tariff of each electricity zone. Below, the share of device-hours "
            "that start in each hour: work that follows the tariff starts where it is low.",
        )
        save(
            _carbon_by_hour(results, labels, hours),
            "carbon",
            "Carbon by site and hour of the day",
            "Location-based kilograms of CO₂ in the mean hour. One scale for all policies.",
        )
        grids = [_utilisation_grid(r, table) for r, table in zip(results, hours, strict=True)]
        top = max((float(np.nanmax(g, initial=0.0)) for g, _ in grids), default=0.0)
        for result, label, (grid, span_h) in zip(results, labels, grids, strict=True):
            save(
                _utilisation(result, grid, span_h, min(1.0, top) or 1.0),
                "utilisation",
                f"Utilisation over time: {label}",
                "Device time held over device time there is, at each site. The colours end at "
                "the highest value of any policy.",
                label,
            )
        widest = max((float(device_hours(r).sum()) for r in results), default=0.0)
        for result, label in zip(results, labels, strict=True):
            if has_map(result):
                figure, note = draw_flows(result, whole_device_hours=widest)
                save(figure, "flows", f"Flows between regions: {label}", note, label)
    return drawn


def _which(labels: Sequence[str], common: CommonSet) -> str:
    """The jobs of the common set in words, with the rules that are not drawn."""
    if not common.apart:
        return "every policy placed"
    return "every policy drawn placed; set apart for refusing many and not drawn: " + ", ".join(
        labels[at] for at in common.apart
    )


def policy_colours(labels: Sequence[str]) -> dict[str, str]:
    """One colour a policy, in the order given; they repeat after seven."""
    return {label: POLICY_COLOURS[at % len(POLICY_COLOURS)] for at, label in enumerate(labels)}


OUTLIER = 4.0
"""A bar longer than this many times the median bar is cut, with its figure written on it."""


def _axis_end(totals: npt.NDArray[np.float64]) -> float:
    """Where the cost axis ends: a rule that queues for years must not flatten the others."""
    ordinary = totals[totals <= OUTLIER * float(np.median(totals))]
    longest = float(totals.max())
    if len(ordinary) == len(totals) or len(ordinary) == 0:
        return longest
    return min(longest, 1.6 * float(ordinary.max()))


def _cost_stack(
    results: Sequence[SimulationResult], labels: Sequence[str], shared: npt.NDArray[np.bool_]
) -> Figure:
    figure = Figure(figsize=(9, 1.5 + 0.5 * len(labels)), layout="constrained")
    axes = figure.add_subplot()
    sums = {
        term: np.array([getattr(r, f"{term}_micros")[shared].sum() / MICROS for r in results])
        for term in TERMS
    }
    left = np.zeros(len(labels))
    for term in TERMS:
        axes.barh(labels, sums[term], left=left, color=TERM_COLOURS[term], label=term, height=0.66)
        left += sums[term]
    end = _axis_end(left)
    for at, total in enumerate(left):
        beyond = total > end
        text = f"{total:,.0f}" if total >= 100 else f"{total:,.4g}"
        axes.annotate(
            f"runs on to {text} \u25b6" if beyond else text,
            (min(float(total), end), at),
            xytext=(-6 if beyond else 4, 0),
            textcoords="offset points",
            va="center",
            ha="right" if beyond else "left",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5} if beyond else None,
        )
    axes.invert_yaxis()
    axes.set_xlim(0, max(end * (1.0 if (left > end).any() else 1.14), 1e-9))
    axes.set_xlabel(f"cost of {int(shared.sum()):,} jobs ({results[0].network.currency})")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.tick_params(axis="y", length=0)
    figure.legend(*axes.get_legend_handles_labels(), ncols=len(TERMS), loc="outside upper center")
    return figure


def _wait_curves(
    results: Sequence[SimulationResult],
    labels: Sequence[str],
    shared: npt.NDArray[np.bool_],
    colours: dict[str, str],
) -> Figure:
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    axes = figure.add_subplot()
    share = np.linspace(0, 1, min(CDF_POINTS_MAX, max(2, int(shared.sum()))))
    longest = 60.0
    for at, (result, label) in enumerate(zip(results, labels, strict=True)):
        waits = wait_ms(result)[shared] / 1000
        if not len(waits):
            continue
        longest = max(longest, float(waits.max()))
        axes.plot(
            np.quantile(waits, share),
            share,
            color=colours[label],
            linewidth=2.6 if at == 0 else 1.6,
            linestyle=("-", "--", "-.", ":")[at % 4],
            label=f"{label} (none: {np.mean(waits <= 0):.0%})",
        )
    axes.set_xscale("symlog", linthresh=1.0, linscale=0.4)
    ticks = (0, 1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400)
    shown = [tick for tick in ticks if tick <= longest * 1.5]
    axes.set_xticks(shown, [_short(tick) for tick in shown])
    axes.set_xticks([], minor=True)
    axes.set_xlim(-0.05, longest * 1.1)
    axes.set_ylim(0, 1.01)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(color="#dde", linewidth=0.7)
    axes.set_xlabel("wait from submission to start (logarithmic above 1 s)")
    axes.set_ylabel("share of jobs started")
    if axes.lines:
        axes.legend(
            title="policy (share that did not wait)", loc="center left", bbox_to_anchor=(1.0, 0.5)
        )
    return figure


def _short(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _day_bins(result: SimulationResult) -> tuple[int, int, str]:
    """(period, bins, axis label): the day, or the tariff's own period where that is shorter."""
    periods = [z.tariff_per_kwh.period_ms for z in result.network.zones if z.tariff_per_kwh]
    period = min([MS_PER_DAY, max(periods, default=MS_PER_DAY)])
    if period == MS_PER_DAY:
        return period, 24, "hour of the day (from the network's series origin)"
    return period, 24, f"24th part of the tariff period of {format_duration(period)}"


def _tariff_and_starts(results: Sequence[SimulationResult], labels: Sequence[str]) -> Figure:
    period, bins, axis_label = _day_bins(results[0])
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.25))
    edges = np.arange(bins + 1)
    _tariff_lines(above, results[0], period, bins)
    colours = policy_colours(labels)
    for at, (result, label) in enumerate(zip(results, labels, strict=True)):
        placed = result.placed
        phase = (result.start_ms[placed] - result.series_origin_ms) % period * bins // period
        weight = np.bincount(phase, device_hours(result)[placed], minlength=bins)
        below.plot(
            edges[:-1] + 0.5,
            weight / max(float(weight.sum()), 1e-12),
            color=colours[label],
            linewidth=2.8 if at == 0 else 1.4,
            marker="o",
            markersize=4 if at == 0 else 2.5,
            zorder=3 if at == 0 else 2,
            label=label,
        )
    below.set_ylabel("share of device-hours\nby hour of start")
    below.set_ylim(bottom=0)
    below.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    below.set_xticks(range(0, bins + 1, 3))
    below.set_xlim(0, bins)
    below.set_xlabel(axis_label)
    below.grid(color="#dde", linewidth=0.7)
    below.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _tariff_lines(axes: Axes, result: SimulationResult, period: int, bins: int) -> None:
    """Each zone's mean tariff by part of the day; zones of one tariff share a line."""
    lines: list[tuple[str, F64]] = []
    for zone in result.network.zones:
        if zone.tariff_per_kwh is None:
            continue
        series = zone.tariff_per_kwh
        at = np.arange(
            0, max(series.period_ms, period), max(1, min(series.step_ms, period // bins))
        )
        values = np.array([series.at(int(offset)) for offset in at])
        part = at % period * bins // period
        by_part = np.bincount(part, values, minlength=bins)
        mean = by_part / np.maximum(np.bincount(part, minlength=bins), 1)
        lines.append((zone.label or zone.name, mean))
    groups = _equal_curves(lines)
    drawn = groups[:TARIFF_LINES_MAX]
    for place, (names, values) in enumerate(drawn):
        axes.stairs(
            values,
            np.arange(bins + 1),
            baseline=None,
            color=ZONE_COLOURS[place % len(ZONE_COLOURS)],
            linestyle=ZONE_DASHES[place % len(ZONE_DASHES)],
            # Later lines lie on top and are thinner, so that shared stretches show both.
            linewidth=4.0 - 2.6 * place / max(1, len(drawn) - 1),
            label=textwrap.fill(", ".join(names), LEGEND_CHARACTERS),
        )
    axes.set_ylabel(f"tariff\n({result.network.currency} per kWh)")
    axes.set_ylim(bottom=min(0.0, *(float(v.min()) for _, v in groups)) if groups else 0.0)
    axes.set_axisbelow(True)
    axes.grid(color="#dde", linewidth=0.7)
    if drawn:
        more = sum(len(names) for names, _ in groups[TARIFF_LINES_MAX:])
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            fontsize=8 if len(lines) <= 10 else 6.5,
            labelspacing=0.25,
            title=f"{more} more zones, dearer, not drawn" if more else None,
            title_fontsize=7,
        )


def _equal_curves(lines: Sequence[tuple[str, F64]]) -> list[tuple[list[str], F64]]:
    """Zones with one curve together, so that no line hides another; the cheapest first."""
    groups: dict[bytes, tuple[list[str], F64]] = {}
    for name, values in lines:
        # Rounded, because means over a year and over a day of one tariff differ in the last bits.
        key = np.round(values, 9).tobytes()
        groups.setdefault(key, ([], values))[0].append(name)
    return sorted(groups.values(), key=lambda group: (float(group[1].mean()), group[0]))


def _site_labels(result: SimulationResult) -> list[str]:
    return [site.label or site.name for site in result.network.sites]


def _by_site(
    result: SimulationResult, table: pl.DataFrame, column: str, cell: npt.NDArray[np.int64], n: int
) -> F64:
    """Sums a column of the hours into (sites, n) by the given cell of each hour row."""
    index = {site.name: at for at, site in enumerate(result.network.sites)}
    sites = table["site"].replace_strict(index, return_dtype=pl.Int64).to_numpy()
    values = table[column].cast(pl.Float64).fill_null(0.0).to_numpy()
    flat = np.bincount(sites * n + cell, values, minlength=len(index) * n)
    return np.asarray(flat.reshape(len(index), n))


def _carbon_by_hour(
    results: Sequence[SimulationResult], labels: Sequence[str], hours: Sequence[pl.DataFrame]
) -> Figure:
    names = _site_labels(results[0])
    across = min(3, len(results))
    down = -(-len(results) // across)
    figure = Figure(figsize=(9, 0.9 + down * (0.7 + 0.19 * len(names))), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    grids = []
    for result, table in zip(results, hours, strict=True):
        hour = table["hour_ms"].to_numpy()
        cell = (hour - result.series_origin_ms) % MS_PER_DAY // MS_PER_HOUR
        grams = _by_site(result, table, "carbon_location_g", cell, 24)
        spans = (table["hour_ms"].n_unique() * int(table["step_ms"][0])) if len(table) else 1
        grids.append(grams / 1000 / max(1.0, spans / MS_PER_DAY))
    top = max((float(grid.max()) for grid in grids), default=0.0) or 1.0
    image = None
    for at, axes in enumerate(panels.flat):
        if at >= len(results):
            axes.set_visible(False)
            continue
        image = axes.imshow(grids[at], aspect="auto", cmap="cividis", vmin=0, vmax=top)
        axes.set_title(labels[at], fontsize=10)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_xticks(range(0, 24, 6))
        axes.tick_params(length=2)
    figure.supxlabel("hour of the day (from the network's series origin)", fontsize=10)
    if image is not None:
        figure.colorbar(image, ax=panels, label="kg CO₂ per hour", fraction=0.03, pad=0.01)
    return figure


def _utilisation_grid(result: SimulationResult, table: pl.DataFrame) -> tuple[F64, float]:
    """Utilisation (sites, cells), NaN where a site has no devices; and the hours it spans."""
    pools = max(1, len(result.network.pools))
    steps = len(table) // pools
    together = max(1, -(-steps // TIME_CELLS_MAX))
    cells = max(1, -(-steps // together))
    cell = np.arange(len(table), dtype=np.int64) // pools // together
    used = _by_site(result, table, "device_hours", cell, cells)
    hours = table["step_ms"].to_numpy() / MS_PER_HOUR
    offered = table.with_columns(offered=pl.col("capacity_devices") * pl.Series(hours))
    there = _by_site(result, offered, "offered", cell, cells)
    return used / np.where(there > 0, there, np.nan), float(hours.sum()) / pools


def _utilisation(result: SimulationResult, grid: F64, span_h: float, top: float) -> Figure:
    names = _site_labels(result)
    figure = Figure(figsize=(7, 1.2 + 0.25 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    unit, span = ("days", span_h / 24) if span_h > 72 else ("hours", span_h)
    image = axes.imshow(
        grid,
        aspect="auto",
        cmap="cividis",
        vmin=0,
        vmax=top,
        interpolation="nearest",
        extent=(0, max(span, 1e-9), len(names) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{unit} since the rehearsal began")
    bar = figure.colorbar(image, ax=axes, label="utilisation", pad=0.01, fraction=0.05)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure
