"""Where work came from and where it ran, drawn over latitude and longitude. No borders."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from westward.simulate.metrics import NO_HOME, Values, flows
from westward.simulate.results import SimulationResult

FLOWS_DRAWN_MAX = 40
"""Arcs on one map, the widest; the caption says how many were left out."""
HOMES_TEXT = (
    "Homes are drawn uniformly among the sites, by the seed: a workload's places and users are not "
    "the network's."
)
"""Said wherever homes show, lest a drawn home be read as a recorded one."""
WIDTH_POINTS_MAX = 11.0
DISC_POINTS_MAX = 30.0
DISC_POINTS_MIN = 4.0
ARC = "#0072B2"
DISC = "#E69F00"
_LABEL_TURNS = (0, 180, 30, -30, 150, -150, 90, -90, 60, -60, 120, -120)


@dataclass(frozen=True, slots=True)
class _Spot:
    """A site on the map, with what ran there."""

    label: str
    lon: float
    lat: float
    device_hours: float


def has_map(result: SimulationResult) -> bool:
    """True when at least two sites stand at different known places."""
    return len({(s.lat_deg, s.lon_deg) for s in result.network.sites if _known(s.lat_deg)}) > 1


def _known(value: float | None) -> bool:
    return value is not None


def draw_flows(result: SimulationResult, *, whole_device_hours: float) -> tuple[Figure, str]:
    """The map and its caption. Widths are shares of ``whole_device_hours``, so that the maps of
    several policies compare."""
    rows = flows(result)
    whole = max(whole_device_hours, 1e-9)
    spots = _spots(result, rows)
    away = [
        row
        for row in rows
        if row["home"] in spots and row["site"] in spots and row["home"] != row["site"]
    ]
    away.sort(key=lambda row: (-row["device_hours"], row["home"], row["site"]))
    drawn = away[:FLOWS_DRAWN_MAX]
    figure = Figure(figsize=(6.6, 5.8), layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)  # untyped in matplotlib
    axes = figure.add_subplot()
    _frame(axes, spots)
    canvas.draw()  # fixes the transform that arcs and labels are placed by
    radii = {name: _radius(spot.device_hours / whole) for name, spot in spots.items()}
    for row in reversed(drawn):
        home, site = row["home"], row["site"]
        ends = (radii[home], radii[site])
        _arc(axes, spots[home], spots[site], row["device_hours"] / whole, ends)
    for name, spot in spots.items():
        axes.plot(
            spot.lon,
            spot.lat,
            "o",
            markersize=2 * radii[name],
            markerfacecolor=DISC if spot.device_hours > 0 else "white",
            markeredgecolor="#443",
            markeredgewidth=0.8,
            zorder=3,
        )
    _labels(canvas, axes, spots, radii)
    return figure, _caption(result, rows, away, drawn)


def _spots(result: SimulationResult, rows: list[Values]) -> dict[str, _Spot]:
    spots: dict[str, _Spot] = {}
    for site in result.network.sites:
        if site.lat_deg is None or site.lon_deg is None:
            continue
        here = [row for row in rows if row["site"] == site.name]
        spots[site.name] = _Spot(
            site.label or site.name,
            site.lon_deg,
            site.lat_deg,
            sum(float(row["device_hours"]) for row in here),
        )
    return spots


def _frame(axes: Axes, spots: dict[str, _Spot]) -> None:
    lons = [spot.lon for spot in spots.values()]
    lats = [spot.lat for spot in spots.values()]
    pad = 0.14 * max(max(lons) - min(lons), max(lats) - min(lats), 0.5)
    axes.set_xlim(min(lons) - 1.2 * pad, max(lons) + 1.6 * pad)
    axes.set_ylim(min(lats) - pad, max(lats) + pad)
    middle = math.radians((min(lats) + max(lats)) / 2)
    axes.set_aspect(1 / max(0.1, math.cos(middle)))
    axes.grid(color="#e4e6ee", linewidth=0.7)
    axes.tick_params(length=0, labelsize=8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}°{'W' if value < 0 else 'E'}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}°{'S' if value < 0 else 'N'}")
    for side in axes.spines.values():
        side.set_visible(False)


def _radius(share: float) -> float:
    """Radius of a site's disc in points; its area grows with the share."""
    return max(DISC_POINTS_MIN, DISC_POINTS_MAX * math.sqrt(max(0.0, share)))


def _arc(axes: Axes, home: _Spot, site: _Spot, share: float, radii: tuple[float, float]) -> None:
    """A bent arrow; there and back bend to different sides, so both can be seen."""
    axes.add_patch(
        FancyArrowPatch(
            (home.lon, home.lat),
            (site.lon, site.lat),
            connectionstyle="arc3,rad=0.18",
            arrowstyle="-|>",
            mutation_scale=7 + 20 * math.sqrt(share),
            linewidth=max(0.6, WIDTH_POINTS_MAX * 4 * share),
            color=ARC,
            alpha=0.25 + 0.45 * min(1.0, 6 * share),
            shrinkA=radii[0],
            shrinkB=radii[1] + 1,
            zorder=2,
        )
    )


def _labels(
    canvas: Any,
    axes: Axes,
    spots: dict[str, _Spot],
    radii: dict[str, float],
) -> None:
    """Puts each name beside its disc, where it covers no other name and no disc."""
    renderer = canvas.get_renderer()
    own_whole = max(1e-9, sum(spot.device_hours for spot in spots.values()))
    scale = canvas.figure.dpi / 72
    taken: list[Bbox] = []
    for name, spot in spots.items():
        x, y = axes.transData.transform((spot.lon, spot.lat))
        reach = radii[name] * scale
        taken.append(Bbox.from_extents(x - reach, y - reach, x + reach, y + reach))
    bounds = axes.get_window_extent(renderer)
    for name, spot in sorted(spots.items(), key=lambda item: (-item[1].device_hours, item[0])):
        share = spot.device_hours / own_whole
        text = f"{spot.label}\n{share:.1%}" if share > 0 else spot.label
        best: tuple[float, Annotation] | None = None
        for distance, turn in itertools.product((4.0, 16.0, 30.0, 46.0), _LABEL_TURNS):
            label = _label(axes, spot, text, radii[name] + distance, turn, distance > 16)
            box = Annotation.get_window_extent(label, renderer)
            cover = sum(_overlap(box, other) for other in taken)
            cover += max(0.0, box.width * box.height - _overlap(box, bounds))
            if best is None or cover < best[0]:
                if best is not None:
                    best[1].remove()
                best = (cover, label)
            else:
                label.remove()
            if cover <= 0:
                break
        if best is not None:
            taken.append(Annotation.get_window_extent(best[1], renderer))


def _label(
    axes: Axes, spot: _Spot, text: str, distance: float, turn: float, leader: bool
) -> Annotation:
    dx, dy = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    side = "left" if dx > 0.3 else ("right" if dx < -0.3 else "center")
    level = "bottom" if dy > 0.7 else ("top" if dy < -0.7 else "center")
    return axes.annotate(
        text,
        (spot.lon, spot.lat),
        xytext=(distance * dx, distance * dy),
        textcoords="offset points",
        ha=side,
        va=level,
        fontsize=8.5,
        linespacing=1.05,
        color="#112",
        zorder=5,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "alpha": 0.75, "linewidth": 0},
        arrowprops={"arrowstyle": "-", "color": "#889", "linewidth": 0.6} if leader else None,
    )


def _overlap(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else float(both.width * both.height)


def _caption(
    result: SimulationResult,
    rows: list[Values],
    away: list[Values],
    drawn: list[Values],
) -> str:
    text = (
        "Discs: device-hours run at each site, in per cent of this policy's. Arrows: device-hours run away "
        "from their home, wider for more; sizes compare between policies."
    )
    if len(drawn) < len(away):
        text += f" The {len(drawn)} widest of {len(away)} flows are drawn."
    if all(row["home"] == NO_HOME for row in rows):
        text += " The workload states no homes, so there are no arrows."
    else:
        text += f" {HOMES_TEXT}"
    unplaced = [s.name for s in result.network.sites if s.lat_deg is None or s.lon_deg is None]
    if unplaced:
        text += f" Not drawn, for want of coordinates: {', '.join(unplaced)}."
    return text
