"""What happens to a network while a workload is rehearsed on it: faults, and how well hours ahead
are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from westward.model.units import MS_PER_HOUR
from westward.model.voucher import Entity, NamedFact, Rule

OutageKind = Literal["outage", "drain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One site takes no work in [from, until), counted from the workload's own zero.

    ``outage``: what runs there is lost back to its last checkpoint and placed anew; ``drain``:
    it runs on. Jobs that wait there are placed anew in both.
    """

    site: str
    from_ms: int
    until_ms: int
    kind: OutageKind = "outage"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastError:
    """The planner sees price and carbon times exp(error), an error that is 0 for the present hour
    and grows with the hours ahead to a standard deviation of ``sigma`` (log scale).

    The simulator charges the truth. ``growth_ms``: lead time at which the error has reached 63 %
    of its full spread (an Ornstein-Uhlenbeck walk, so neighbouring hours err alike). A forecast is
    right on average: the error's mean is minus half its variance.
    """

    tariff_sigma: float = 0.0
    carbon_sigma: float = 0.0
    growth_ms: int = 12 * MS_PER_HOUR
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The weight of one tenant (``Workload.user``), of a programme, or of a tenant within one.

    ``programme`` alone: the programme's weight among programmes; ``tenant`` alone: that tenant's,
    which then is a programme of its own; both: the tenant belongs to the programme, and this is
    its weight among the programme's tenants. Whoever is not named weighs 1.
    """

    weight: float
    tenant: int | None = None
    programme: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherPlay:
    """Who hands in the jobs and which funders pay part of them.

    The workload's users are dealt to ``entities`` by weight, the same user always to the same one.
    """

    rules: tuple[Rule, ...]
    entities: tuple[Entity, ...]
    weights: tuple[float, ...]
    """One an entity."""
    programmes: tuple[tuple[str, ...], ...]
    """By entity: names of the rules it has been admitted to."""
    contract_micros: tuple[int, ...] = ()
    """By entity: the value of its contract with the platform in each calendar year; empty: nobody
    has one."""
    adopted: frozenset[str] = frozenset()
    """Rules known from the press alone that pay all the same."""
    pool_facts: tuple[tuple[str, tuple[NamedFact, ...]], ...] = ()
    """(Pool, what its bills show for rules that ask)."""
    period_ms: int = 6 * MS_PER_HOUR
    """So often runs are held for and settled, and covers worked out anew."""
    usual_device_ms: int = 64 * MS_PER_HOUR
    """Device time that covers are worked out for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything about a rehearsal that is neither network, workload nor policy."""

    outages: tuple[Outage, ...] = ()
    forecast: ForecastError | None = None
    shared_links: bool = False
    """Transfers over one link queue behind each other; else each has the full bandwidth."""
    shares: tuple[Share, ...] = ()
    """Under ``Policy.fair_share``; empty: every tenant the same."""
    delegated_pools: bool = False
    """In pools that are not ``managed`` the site's own scheduler decides (first come, first
    served, EASY), and waits there are learnt from outcomes; else every pool counts as managed."""
    strict_kinds: bool = False
    """A job runs on no accelerator kind it did not name. Else a job none of whose kinds the
    network has may run on any, at the kinds' relative speeds."""
    vouchers: VoucherPlay | None = None
