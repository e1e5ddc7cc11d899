"""The vocabulary of studies: frozen values that a study file becomes and that workers are sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from westward.formats.generate import GeneratorOptions
from westward.formats.traces import TraceOptions
from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.scenario import OutageKind

BASE = "base"
"""Name of the override that changes nothing. Every study has it, as the first."""

Axis = Literal["workload", "policy", "override"]
AXES: tuple[Axis, ...] = ("workload", "policy", "override")
CarbonSide = Literal["location", "contract", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A workload drawn anew for every seed; it loads the *base* network, whatever the override."""

    jobs: int
    load: float
    options: GeneratorOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A trace. The seed then only draws which site each owner counts as home."""

    path: Path
    format: str
    options: TraceOptions
    jobs_max: int | None = None
    """Only so many first jobs; None = all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSpec:
    name: str
    label: str
    source: Generated | Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    name: str
    label: str
    policy: Policy


# One change each; ``westward.study.changes`` applies them. Sites, pools, zones and ends are names
# that the reader has found in the network (or that an earlier change of the override adds).


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPool:
    name: str
    accelerator: str
    devices: int
    devices_per_node: int
    price_micros_per_device_hour: int
    power_w_per_device: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSite:
    """A new site, linked to every other site and place by the same kind of link.

    Latency is ``over_light`` × light in fibre along the great circle.
    """

    name: str
    label: str
    zone: str
    lat_deg: float
    lon_deg: float
    pue: float
    tags: tuple[tuple[str, str], ...]
    bandwidth_gbps: float
    price_micros_per_gb: int
    over_light: float
    pools: tuple[NewPool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPool:
    site: str
    pool: NewPool


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDevices:
    """More devices in one pool; rounded up to whole nodes."""

    pool: str
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Nodes × factor, rounded half up; a pool that has nodes keeps one."""

    pools: tuple[str, ...]
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    pools: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLinks:
    """Links between an end of ``a`` and an end of ``b``. None = leave as it is."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    bandwidth_gbps: float | None = None
    bandwidth_factor: float | None = None
    price_micros_per_gb: int | None = None
    price_factor: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CutLinks:
    a: tuple[str, ...]
    b: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """In this order: × factor, + add_per_kwh (currency), then the ratio of the dearest to the
    cheapest hour, with mean and order of the hours kept."""

    zones: tuple[str, ...]
    factor: float = 1.0
    add_per_kwh: float = 0.0
    peak_valley_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Carbon:
    zones: tuple[str, ...]
    factor: float
    method: CarbonSide


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Device prices × factor."""

    pools: tuple[str, ...]
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """A funder pays ``share`` of the device price, so the payer (and the planner) sees the rest.

    Pots, caps and eligibility are not modelled: every job gets the share, as if the pot never ran
    dry. Costs in the results are the payer's.
    """

    pools: tuple[str, ...]
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """``factor`` times as much work per unit of time.

    Generated: so many more jobs over the same span. Recorded: the same jobs in 1/factor of time.
    """

    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOutage:
    sites: tuple[str, ...]
    from_ms: int
    until_ms: int
    kind: OutageKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """``westward.model.scenario.ForecastError`` without its seed, which is the cell's."""

    tariff_sigma: float
    carbon_sigma: float
    growth_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLinks:
    pass


Change = (
    AddSite
    | AddPool
    | AddDevices
    | Capacity
    | Close
    | ChangeLinks
    | CutLinks
    | Tariff
    | Carbon
    | Price
    | Voucher
    | Demand
    | SiteOutage
    | Forecast
    | SharedLinks
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    name: str
    label: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Jobs divided by one or two properties, optionally only those whose home has a tag."""

    name: str
    label: str
    by: tuple[str, ...]
    homes: tuple[str, str] | None


PlotKind = Literal["levels", "differences", "line", "grid", "classes", "heat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotSpec:
    """One figure; which fields count depends on the kind (``westward.study.plots``)."""

    kind: PlotKind
    title: str
    caption: str
    metrics: tuple[str, ...]
    over: Axis | None
    breakdown: str | None
    workloads: tuple[str, ...]
    policies: tuple[str, ...]
    overrides: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """``source`` is an id of the study's sources, or "assumption"."""

    text: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """What ``--quick`` runs instead: enough to see that it works, too little to believe."""

    jobs: int
    devices: int | None
    seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study file, read and checked, with its base network (scaled where it says so)."""

    name: str
    title: str
    question: str
    expected: str
    file: str
    assumptions: tuple[Assumption, ...]
    sources: tuple[tuple[str, str], ...]
    network: Network
    network_folder: str
    capacity_devices: int
    """Of the base network: what ``load`` of a generated workload is measured against."""
    seeds: tuple[int, ...]
    workloads: tuple[WorkloadSpec, ...]
    skipped: tuple[str, ...]
    """Optional recorded workloads that are not here, each with the reason."""
    policies: tuple[PolicySpec, ...]
    overrides: tuple[Override, ...]
    metrics: tuple[str, ...]
    breakdowns: tuple[Breakdown, ...]
    compare: Axis
    """The axis along which entries are compared with the first one."""
    answer: tuple[str, ...]
    """Sentences with {placeholders}: ``westward.study.answer``."""
    plots: tuple[PlotSpec, ...]
    quick: bool = False

    def entries(self, axis: Axis) -> tuple[WorkloadSpec | PolicySpec | Override, ...]:
        if axis == "workload":
            return self.workloads
        return self.policies if axis == "policy" else self.overrides

    def label(self, axis: Axis, name: str) -> str:
        return next(entry.label for entry in self.entries(axis) if entry.name == name)
