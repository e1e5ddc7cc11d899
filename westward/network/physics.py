"""What no network can beat: light in fibre along the great circle."""

from __future__ import annotations

import math

from westward.model.faults import Fault
from westward.network.facts import Key, Used
from westward.network.tables import Table

EARTH_RADIUS_KM = 6371.0
"""Mean radius; against the ellipsoid a great circle is off by at most 0.6 %."""
FIBRE_KM_PER_MS = 204.2
"""Speed of light over a refractive index of 1.468, one way."""


def great_circle_km(
    lat_a_deg: float, lon_a_deg: float, lat_b_deg: float, lon_b_deg: float
) -> float:
    """Shortest distance over the ground (haversine)."""
    lat_a, lat_b = math.radians(lat_a_deg), math.radians(lat_b_deg)
    half_lat = (lat_b - lat_a) / 2
    half_lon = math.radians(lon_b_deg - lon_a_deg) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(h)))


def theoretical_one_way_ms(
    a: tuple[float, float] | None, b: tuple[float, float] | None
) -> float | None:
    """Light's time between two (latitude, longitude) points; None if either is unknown."""
    if a is None or b is None:
        return None
    return great_circle_km(*a, *b) / FIBRE_KM_PER_MS


def coordinates(used: dict[Key, Used], end: str) -> tuple[float, float] | None:
    """Where a site or place lies, as far as it is known."""
    for table in ("sites", "places"):
        lat, lon = used.get((table, end, "lat_deg")), used.get((table, end, "lon_deg"))
        if lat is not None and lon is not None:
            return float(lat.value), float(lon.value)
    return None


def check_latencies(links: Table, used: dict[Key, Used], faults: list[Fault]) -> None:
    """A stated latency below light in fibre is a fault (or the coordinates are)."""
    for link in links.components.values():
        use = used.get(("links", link.name, "one_way_ms"))
        a, b = str(link.values.get("a", "")), str(link.values.get("b", ""))
        floor = theoretical_one_way_ms(coordinates(used, a), coordinates(used, b))
        if use is None or floor is None or float(use.value) >= floor:
            continue
        problem = (
            f"{float(use.value):g} ms one way between {a} and {b}, but light in fibre needs "
            f"{floor:.2f} ms for {floor * FIBRE_KM_PER_MS:.0f} km"
        )
        remedy = "Correct the latency (one way, not in µs) or the coordinates."
        faults.append(Fault(use.file, use.line, "one_way_ms", problem, remedy))
