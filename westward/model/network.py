"""A network of sites, as plain frozen values. ``westward.network`` reads it from a folder.

Every number that describes the world (not our own choice) is also kept as a ``Fact`` with its
unit, date and source, so that a reader can ask where it came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeVar


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)

PoolStatus = Literal["open", "cordoned", "down"]
"""open: takes work. cordoned: runs what it has, takes nothing new. down: not reachable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One stated value: what it is of, its unit, since when, and who says so.

    ``assumption`` is true where no source was found and the network's author chose the value;
    ``source`` then says "assumption" and ``note`` gives the reason.
    """

    component: str
    name: str
    attribute: str
    value: str
    unit: str
    valid_from: str
    source: str
    assumption: bool = False
    certainty: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A value per step, repeated for ever: a day of 24 hours or a year of 8,760.

    Step 0 begins at the network's series origin (``Network.series_origin_ms``).
    """

    step_ms: int
    values: tuple[float, ...]

    @property
    def period_ms(self) -> int:
        return self.step_ms * len(self.values)

    def at(self, offset_ms: int) -> float:
        """The value ``offset_ms`` after the origin (negative offsets wrap too)."""
        return self.values[(offset_ms // self.step_ms) % len(self.values)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """An electricity area. None = not known (a blank stays blank)."""

    name: str
    label: str
    tariff_per_kwh: Series | None
    """Currency units (not millionths) per kWh."""
    carbon_location_g_per_kwh: Series | None
    """Grid average where the power is drawn (location-based method)."""
    carbon_contract_g_per_kwh: Series | None
    """After contracted green power (contract-based method)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A point that latency can be asked to: a city or region of users."""

    name: str
    label: str
    lat_deg: float
    lon_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    name: str
    label: str
    operator: str
    zone: str
    lat_deg: float | None
    lon_deg: float | None
    pue: float | None
    """Facility power over IT power."""
    tags: tuple[tuple[str, str], ...]
    """Sorted (key, value) pairs such as ("province", "Gansu"), for residency and approval rules."""

    def tag(self, key: str) -> str | None:
        for have, value in self.tags:
            if have == key:
                return value
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A hardware kind. ``relative_speed`` is to the reference kind (1.0), for estimates only."""

    name: str
    label: str
    vendor: str
    memory_gb: float | None
    power_w_max: float | None
    relative_speed: float
    fp16_dense_tflops: float | None


Lack = Literal["files", "gangs"]
"""What an agent's engine cannot do that a job may ask for. files: bring a working folder, file mounts
or data sets to where the job runs, or outputs back. gangs: jobs of several nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Like nodes of one site, scheduled together.

    A pool without ``accelerator`` counts its cpu cores as devices. ``price_micros_per_device_hour``
    is what the payer pays for the device alone; power is priced apart, by the zone's tariff.
    """

    name: str
    site: str
    engine: str
    """local, slurm, ray, kubernetes."""
    managed: bool
    """True: Westward books it. False: delegated, the site's own scheduler decides the order."""
    accelerator: str | None
    nodes: int
    devices_per_node: int
    cpus_per_node: int
    memory_mib_per_node: int
    price_micros_per_device_hour: int | None
    power_w_per_device: float | None
    """At full load, with the device's share of its host."""
    status: PoolStatus = "open"
    accounts: tuple[str, ...] = ()
    """Only jobs of these accounts; empty = of any."""
    purposes: tuple[str, ...] = ()
    """Only jobs that state one of these purposes; empty = any."""
    lacks: tuple[Lack, ...] = ()
    """As the site's agent declares of its engine; a pool that no agent has spoken for lacks
    nothing."""

    @property
    def capacity_milli(self) -> int:
        return self.nodes * self.devices_per_node * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A two-way connection between two ends (sites or places), ``a`` < ``b`` by name."""

    a: str
    b: str
    one_way_ms: float | None
    bandwidth_gbps: float | None
    price_micros_per_gb: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Everything a planner may know of the world that is not a job. Components sorted by name."""

    name: str
    label: str
    currency: str
    series_origin: str
    """ISO time at which step 0 of every series begins, or "start" (when the network starts)."""
    sites: tuple[Site, ...]
    pools: tuple[Pool, ...]
    accelerators: tuple[Accelerator, ...]
    zones: tuple[Zone, ...]
    places: tuple[Place, ...]
    links: tuple[Link, ...]
    facts: tuple[Fact, ...]
    sources: tuple[tuple[str, str], ...]
    """Sorted (source id, citation)."""
    digest: str
    """sha256 over the folder's files."""

    def origin_ms(self, started_ms: int) -> int:
        """Absolute time of step 0 of every series, for a network that started at ``started_ms``."""
        if self.series_origin == "start":
            return started_ms
        return round(datetime.fromisoformat(self.series_origin).timestamp() * 1000)

    def site(self, name: str) -> Site:
        return _named(self.sites, name, "site")

    def pool(self, name: str) -> Pool:
        return _named(self.pools, name, "pool")

    def zone(self, name: str) -> Zone:
        return _named(self.zones, name, "zone")

    def link(self, a: str, b: str) -> Link | None:
        low, high = (a, b) if a < b else (b, a)
        for link in self.links:
            if link.a == low and link.b == high:
                return link
        return None


def _named(items: tuple[_T, ...], name: str, kind: str) -> _T:
    for item in items:
        if item.name == name:
            return item
    raise KeyError(f"no {kind} named {name!r}")
