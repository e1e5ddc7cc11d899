"""What the planner is given and what it answers. A Plan is a proposal made against a snapshot."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from westward.model.job import JobSpec
from westward.model.network import Network, PoolStatus
from westward.model.reasons import Reason
from westward.model.units import MICROS, MS_PER_DAY, MS_PER_HOUR

Rule = Literal[
    "westward",
    "cheapest-static",
    "earliest-start",
    "first-to-admit",
    "home-site",
    "lowest-carbon",
]
RULES: tuple[Rule, ...] = (
    "westward",
    "cheapest-static",
    "earliest-start",
    "first-to-admit",
    "home-site",
    "lowest-carbon",
)
Discipline = Literal["easy", "conservative"]
CarbonMethod = Literal["location", "contract"]
Packing = Literal[
    "pool",
    "best-fit",
    "first-fit",
    "random",
    "worst-fit",
    "best-fit-score",
    "dot-product",
    "gpu-packing",
    "gpu-clustering",
    "fgd",
    "westward",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How to choose. Every figure that enters the sum but belongs to nobody's price list."""

    rule: Rule = "westward"
    discipline: Discipline = "easy"
    wait_value_micros_per_device_hour: int = MICROS // 2
    """Cost of one device's worth of work waiting an hour, when the job states none."""
    carbon_price_micros_per_tonne: int = 80 * MICROS
    carbon_method: CarbonMethod = "location"
    defer_limit_ms: int = MS_PER_DAY
    """How far past its earliest start a job may be put off for a better hour."""
    deadline_reserve_percent: int = 50
    """Under EASY a job that is put off holds no reservation: it may spend at most the rest of its
    slack before the deadline. (0 made 1.1 % of deadline jobs late on 300,000 generated jobs at
    load 0.8, 60 a tenth of that, at 0.2 % more cost.) Conservative reserves, and needs none."""
    assumed_duration_ms: int = MS_PER_HOUR
    """For jobs that state no duration."""
    backfill_depth: int = 64
    """Waiting jobs looked at behind a blocked head (EASY) or given reservations (conservative)."""
    price_period_ms: int = 0
    """Capacity is priced anew so often from what waits, runs and is expected (shadow prices by
    linear programme), and the price enters the sum; 0 = not at all. Only under ``westward``."""
    review_ms: int = 0
    """Waiting jobs look at all pools again when a run has ended, at most this often; 0 = a job keeps
    the pool it was bound to. Only under ``westward``: the rivals bind once."""
    review_depth: int = 32
    """The first so many of each pool's queue look again."""
    packing: Packing = "pool"
    """"pool": a pool is one number of free devices. Else jobs start on nodes chosen by this rule
    (``placement.packing_state``), in rehearsals under EASY."""
    fair_share: bool = False
    """Jobs of one priority wait in order of their tenants' shares in place of arrival (see
    ``simulate.fair``). The rehearsal only: live, ``Snapshot.fair`` says how projects stand."""

    def __post_init__(self) -> None:
        if self.packing != "pool" and self.discipline != "easy":
            raise ValueError(
                f"packing goes with easy: {self.discipline} reserves devices of a pool, not nodes"
            )

    @property
    def reviews(self) -> bool:
        """Waiting jobs look at all pools again."""
        return self.review_ms > 0 and self.rule == "westward"

    # What stops running jobs: rehearsed only, so far (ADR 0016). Off by default.
    preemption: bool = False
    """The first of a queue may stop running jobs of lower priority when that lets it start."""
    reconsider_ms: int = 0
    """So often each running job that writes checkpoints is compared with going on later or
    elsewhere; 0 = never."""
    checkpoint_gb_per_device: float = 20.0
    """A checkpoint's size: what a stopped job takes along to another site. (16 bytes a parameter,
    ADR 0016.)"""
    move_hurdle_percent: int = 5
    """Suspending or moving must save more than this part of what going on would cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Capacity held by a started (or leased) job until it is expected to end."""

    job_id: str
    need_milli: int
    expected_end_ms: int
    """As expected when it started."""
    started_ms: int | None = None
    """Known: once past its expected end, it is thought to run on for as long as it has run, and so
    on (its expected length doubles). None: it may end any moment."""

    def end_ms(self, now_ms: int) -> int:
        """When it is expected to end, seen from ``now_ms``."""
        if self.started_ms is None or self.expected_end_ms > now_ms:
            return self.expected_end_ms
        length = max(1, self.expected_end_ms - self.started_ms)
        while self.started_ms + length <= now_ms:
            length *= 2
        return self.started_ms + length


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job already bound to this pool that has not started. It keeps its pool and option."""

    job: JobSpec
    option: int
    """Row of ``job.options`` it was bound with."""
    need_milli: int
    duration_ms: int
    """Expected there: the estimate divided by the pool's relative speed."""
    not_before_ms: int
    """It was put off to this time for a better hour, or its data arrives then."""
    keeps_pool: bool = False
    """It is not to look at other pools again: it is wanted here, another site gave it back, or it
    goes on from a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    pool: str
    status: PoolStatus
    running: tuple[Claim, ...] = ()
    queue: tuple[QueuedJob, ...] = ()
    site_wait_ms: tuple[int, ...] = ()
    """A delegated pool: how long a job that is handed over to the site now is expected to wait in
    the site's own queue, which we do not see, by size: of jobs up to 1, 2, 4, ... devices, the last
    of all larger ones too. Empty: what is handed over starts at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPrices:
    """A price of capacity, posted for a while: what the jobs that a pool's capacity is denied would
    have paid for it (ADR 0011). Nobody is charged it; it steers choices."""

    from_ms: int
    step_ms: int
    """Both on the grid of the network's tariff and carbon series."""
    per_pool: tuple[tuple[int, ...], ...]
    """One row a pool of the network, in its order; one entry a step, all rows alike: millionths
    per device-hour. Before and after them: 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """What funders pay of an account's device-hours at a pool, as far as is known now: the price
    that its jobs are placed by is what is left."""

    account: str
    pool: str
    micros_per_device_hour: int
    """Not above the pool's price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FairStanding:
    """How a project stands in the order of fair shares. ``part``: of the network, above 0, at most 1.
    ``served_ms``: device time that it has had and was promised, decayed, over its part."""

    account: str
    part: float
    served_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A frozen view. ``pools`` holds one state for each pool of the network, by name."""

    version: int
    network: Network
    series_origin_ms: int
    """Absolute time of step 0 of all series (resolved, even where the network says "start")."""
    pools: tuple[PoolState, ...]
    shadow: ShadowPrices | None = None
    """None: capacity has no price of its own."""
    covers: tuple[Cover, ...] = ()
    """At most one for an account and pool. Weighed by the rule ``westward`` only: the rivals go by
    listed prices."""
    fair: tuple[FairStanding, ...] = ()
    """Jobs of one priority wait in order of their projects' shares (``placement.fair_order``); empty:
    in order of arrival. It is the network operator's word, whatever the rule of the choice is."""


def idle_snapshot(network: Network, now_ms: int) -> Snapshot:
    """Every pool as the folder says and nothing running, of a network that starts now."""
    return Snapshot(
        version=0,
        network=network,
        series_origin_ms=network.origin_ms(now_ms),
        pools=tuple(PoolState(pool=pool.name, status=pool.status) for pool in network.pools),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTerms:
    """The sum, term by term, in millionths of the currency; floats, since they only rank."""

    device: float
    power: float
    carbon: float
    transfer: float
    wait: float
    shadow: float = 0.0
    """The posted price of the capacity taken; nobody is charged it."""
    vouchers: float = 0.0
    """What funders are expected to pay of it: not above 0."""

    @property
    def total(self) -> float:
        charged = self.device + self.power + self.carbon + self.transfer
        return charged + self.wait + self.shadow + self.vouchers


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One candidate: a pool, a start, and what it would cost."""

    pool: str
    site: str
    option: int
    need_milli: int
    earliest_ms: int
    """When capacity and data allow it to begin there."""
    start_ms: int
    duration_ms: int
    energy_kwh: float
    carbon_g: float
    terms: CostTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A pool as the job saw it: its best estimate, or the reasons against it."""

    pool: str
    site: str
    estimate: Estimate | None
    reasons: tuple[Reason, ...]


class Why(StrEnum):
    """In one word, why a placed job starts when it does."""

    STARTS_NOW = "starts-now"
    WAITS_IN_SITE_QUEUE = "waits-in-site-queue"
    """It is handed over now, to a site whose own scheduler is expected to let it wait."""
    WAITS_FOR_CAPACITY = "waits-for-capacity"
    WAITS_FOR_BETTER_HOUR = "waits-for-better-hour"
    WAITS_FOR_DATA = "waits-for-data"
    WAITS_FOR_START_AFTER = "waits-for-start-after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A job's place. ``starts_now`` asks for a lease; otherwise it is bound and waits. With a lease
    it may still wait in the site's own queue: ``estimate.start_ms`` is then after now."""

    job_id: str
    estimate: Estimate
    not_before_ms: int
    starts_now: bool
    why: Why
    saved_by_waiting: float
    """Millionths saved against starting at the same pool's earliest time; 0 when not put off."""
    duration_assumed: bool
    alternatives: tuple[Alternative, ...] = ()
    """One per pool, cheapest first, refusals last; empty for jobs bound before this plan."""


class Placements(Sequence[Placement]):
    """Placements sorted by job id that need not exist before they are read: those of a plan of ten
    thousand jobs of which a caller wants a few. Equal to, hashed and written like their tuple.
    """

    __slots__ = ()

    def starting(self) -> Sequence[Placement]:
        """See ``Plan.starting``."""
        raise NotImplementedError

    def of(self, job_ids: Collection[str]) -> Sequence[Placement]:
        """See ``Plan.placed``."""
        raise NotImplementedError

    def not_before_ms(self) -> Sequence[int]:
        """See ``Plan.not_before_ms``."""
        raise NotImplementedError

    def chosen(self) -> Sequence[str]:
        """See ``Plan.chosen``."""
        raise NotImplementedError

    def starts_ms(self) -> Mapping[str, int]:
        """See ``Plan.starts_ms``."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Placements | tuple):
            return NotImplemented
        return len(self) == len(other) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __reduce__(self) -> tuple[type[tuple[Placement, ...]], tuple[tuple[Placement, ...]]]:
        """Copied and pickled as what it stands for."""
        return tuple, (tuple(self),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """The cheapest single change to the request that would place it."""

    change: str
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A job that no pool can take now: each pool's reasons, and what would help."""

    job_id: str
    alternatives: tuple[Alternative, ...]
    relaxation: Relaxation | None
    relaxation_sought: bool = True
    """False where too many jobs of one plan were refused to try changes for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Answers for every job asked about (new jobs and jobs bound before), sorted by job id."""

    snapshot_version: int
    now_ms: int
    policy: Policy
    placements: Sequence[Placement]
    """A tuple, or ``Placements``: reading all of it makes an object of each. Those who want some
    ask below; who writes the whole plan out by its types takes the tuple of them."""
    refusals: tuple[Refusal, ...]

    def starting(self) -> Sequence[Placement]:
        """Those that start now."""
        if isinstance(self.placements, Placements):
            return self.placements.starting()
        return tuple(one for one in self.placements if one.starts_now)

    def placed(self, job_ids: Collection[str]) -> Sequence[Placement]:
        """Those of these jobs that have a place."""
        if isinstance(self.placements, Placements):
            return self.placements.of(job_ids)
        return tuple(one for one in self.placements if one.job_id in job_ids)

    def chosen(self) -> Sequence[str]:
        """Ids of those whose place was chosen in this pass: the new ones, and those bound before
        who looked at all pools again and found a better one. Raises TypeError for a plan whose
        placements are not ``Placements``: they do not say."""
        if not isinstance(self.placements, Placements):
            raise TypeError("a tuple of placements does not say which of them are new")
        return self.placements.chosen()

    def starts_ms(self) -> Mapping[str, int]:
        """By job: when it is expected to start."""
        if isinstance(self.placements, Placements):
            return self.placements.starts_ms()
        return {one.job_id: one.estimate.start_ms for one in self.placements}

    def not_before_ms(self) -> Sequence[int]:
        """Every placement's ``not_before_ms``."""
        if isinstance(self.placements, Placements):
            return self.placements.not_before_ms()
        return tuple(one.not_before_ms for one in self.placements)
