"""What one seed means: a small network, jobs and their owners' whims, and the faults that come.

Everything is drawn beforehand and is plain data: a world that fails is made smaller by taking
things out of it (``shrink``), and is kept as a file (``tests/faults/stories``). Times in ms of
virtual time since the world began.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from westward.model.plan import Discipline

FAULT_KINDS = (
    "server-crash", "server-crash-in-write", "server-crash-before-commit",
    "server-crash-after-commit", "server-crash-at-step", "server-pause", "clock-jump",
    "slow-disk", "full-disk",
    "agent-crash", "agent-crash-at-step", "agent-pause", "site-reboot", "site-disk-full",
    "cut-up", "cut-down", "cut-both", "loss", "duplicates", "delays",
    "engine-unknown", "engine-vanished", "engine-late-exit", "engine-forgets-to-forget",
    "engine-changes-its-mind",
)  # fmt: skip
"""Every kind that is scheduled. Besides, sites' clocks differ and drift in each world."""
DISCIPLINES: tuple[Discipline, ...] = ("conservative", "conservative", "easy")
"""Drawn from: two thirds of the worlds are conservative, as servers are."""
CLOCK_DRIFT_PPM = 20_000
"""Sites' clocks run up to so much too fast or slow: far more than any quartz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePlan:
    name: str
    cards: tuple[int, ...]
    """Of each of its pools."""
    price_micros: int
    region: str
    boot_ms: int
    """What its clock shows when the world begins."""
    drift_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    job_id: str
    at_ms: int
    cards: int
    nodes: int
    work_ms: int
    stated_ms: int | None
    exit_code: int
    """Of every run that comes to its own end; ``heals``: 0 from the second run on."""
    heals: bool
    saves: bool
    region: str | None
    """Residency."""
    attempts: int
    after: str | None
    after_any: bool
    project: str
    priority: int
    start_after_ms: int | None
    grace_ms: int
    also_after: tuple[str, ...] = ()
    only_codes: tuple[int, ...] = ()
    """Of its retries."""
    never_codes: tuple[int, ...] = ()
    deadline_ms: int | None = None
    """After its submission."""
    ends: str = ""
    """How its first two runs end: killed, no-code, time-limit, preempted (by the site's own
    scheduler), unasked; empty: with ``exit_code``."""
    data_at: str = ""
    """Site at which its private input lies."""
    data_bytes: int = 0
    refused: str = ""
    """Why it is refused as it is handed in."""
    reads: str = ""
    """A data set of the catalogue (``files``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whim:
    """``kind``: cancel, suspend, resume, move (``to``: a site)."""

    at_ms: int
    kind: str
    job_id: str
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    at_ms: int
    kind: str
    target: str
    """A site, or empty: the server."""
    for_ms: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPlan:
    project: str
    micros: int
    on_empty: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What operators, funders and owners do besides: see ``acts``. ``target``: a site, a job, a
    project, or empty."""

    at_ms: int
    kind: str
    target: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    seed: int
    ttl_ms: int
    margin_ms: int
    heal_ms: int
    preempt: bool
    reconsider_ms: int
    discipline: Discipline
    delay_ms: int
    """Of messages, at most, when nothing is wrong."""
    thread_us: int
    """Work waits so long for a thread, at most."""
    reading_ms: int
    sites: tuple[SitePlan, ...]
    jobs: tuple[JobPlan, ...]
    whims: tuple[Whim, ...] = ()
    faults: tuple[FaultPlan, ...] = ()
    budgets: tuple[BudgetPlan, ...] = ()
    pot_micros: int | None = None
    """What a funder has paid in who bears half of project ``alpha``'s compute; None: no funder."""
    hold_ms: int = 0
    """Money is held for so long at a time, so that runs of seconds outlast it; 0: as shipped."""
    post_ms: int = 0
    """Readings are posted in mid-run so often; 0: as shipped, which no world outlasts."""
    tariff: tuple[float, ...] = ()
    """CNY per kWh, a step each ``TARIFF_STEP_MS``, over and over; empty: 1."""
    line_micros: int | None = None
    """Per GB between any two sites; None: no price is known, nothing is charged."""
    rules: int | None = None
    """The funders' rules are drawn from this; None: the one of ``pot_micros``."""
    at_once: int = 0
    """Jobs of a plan that are written in one go; 0: as shipped, 50."""
    files: int | None = None
    """Work has files (``files``), and what becomes of them is drawn from this; None: it has none."""
    office: int | None = None
    """Funders have an office (``office``), whose rules are made richer by this; None: they have not."""
    year_turns: bool = False
    """At half of phase one."""
    acts: tuple[Act, ...] = ()
    ablate: tuple[str, ...] = ()
    only: str = ""
    """Of a kept story: what it shows."""
    review_ms: int = 0
    """Waiting jobs look at other pools again so often at most; 0: never."""

    def dump(self) -> str:
        return json.dumps(asdict(self), indent=1)


def load(text: str) -> Scenario:
    """What ``dump`` wrote."""
    raw: dict[str, Any] = json.loads(text)
    kinds = {
        "sites": SitePlan, "jobs": JobPlan, "whims": Whim, "faults": FaultPlan,
        "budgets": BudgetPlan, "acts": Act,
    }  # fmt: skip
    for name, kind in kinds.items():
        raw[name] = tuple(_one(kind, row) for row in raw.get(name, ()))
    raw["ablate"] = tuple(raw["ablate"])
    raw["tariff"] = tuple(raw.get("tariff", ()))
    return Scenario(**{one.name: raw[one.name] for one in fields(Scenario) if one.name in raw})


def _one(kind: Any, row: dict[str, Any]) -> Any:
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in row.items()})


@dataclass(slots=True)
class _Draw:
    """The dice of one seed, and what was drawn so far."""

    seed: int
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"westward-faultsim-{self.seed}")

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def scenario(self) -> Scenario:
        dice = self.dice
        ttl_ms = dice.choice((4_000, 8_000, 15_000, 15_000))
        heal_ms = dice.choice((10_000, 20_000, 20_000, 45_000))
        sites = self._sites()
        jobs = self._jobs(sites, heal_ms)
        budgets, pot = self._money()
        return Scenario(
            seed=self.seed,
            ttl_ms=ttl_ms,
            margin_ms=dice.choice((500, 1_000)),
            heal_ms=heal_ms,
            preempt=self.chance(0.3),
            reconsider_ms=dice.choice((0, 0, 0, 5_000)),
            discipline=dice.choice(DISCIPLINES),
            delay_ms=dice.choice((1, 20, 200)),
            thread_us=dice.choice((0, 500, 20_000, 300_000)),
            reading_ms=dice.choice((2_000, 5_000, 20_000)),
            sites=sites,
            jobs=jobs,
            whims=self._whims(jobs, sites, heal_ms),
            faults=self._faults(sites, heal_ms, ttl_ms),
            budgets=budgets,
            pot_micros=pot,
        )

    def _sites(self) -> tuple[SitePlan, ...]:
        dice = self.dice
        return tuple(
            SitePlan(
                name=f"site{number}",
                cards=tuple(dice.choice((1, 2, 4)) for _ in range(dice.choice((1, 1, 2)))),
                price_micros=dice.choice((0, 1_000_000, 3_600_000, 7_777_777)),
                region=dice.choice(("east", "west")),
                boot_ms=dice.randrange(1_000, 10**9),
                drift_ppm=dice.choice((0, 0, dice.randint(-CLOCK_DRIFT_PPM, CLOCK_DRIFT_PPM))),
            )
            for number in range(dice.choice((1, 2, 2, 3)))
        )

    def _jobs(self, sites: tuple[SitePlan, ...], heal_ms: int) -> tuple[JobPlan, ...]:
        dice = self.dice
        most = max(max(one.cards) for one in sites)
        regions = sorted({one.region for one in sites})
        retries, saves, follows = self.chance(0.5), self.chance(0.6), self.chance(0.3)
        jobs: list[JobPlan] = []
        for number in range(dice.choice((1, 1, 2, 2, 3, 4, 6))):
            exit_code = dice.choice((0, 0, 0, 0, 3))
            region = dice.choice(regions) if self.chance(0.25) else None
            room = max(max(one.cards) for one in sites if region is None or one.region == region)
            work_ms = dice.choice((300, 2_000, 5_000, 8_000, 20_000, 30_000))
            jobs.append(
                JobPlan(
                    job_id=f"job_{number}",
                    at_ms=dice.randrange(0, heal_ms // 2),
                    cards=1,
                    nodes=dice.randint(1, min(room, most)),
                    work_ms=work_ms,
                    stated_ms=dice.choice((None, work_ms, work_ms // 3, work_ms * 2)),
                    exit_code=exit_code,
                    heals=self.chance(0.5),
                    saves=saves and self.chance(0.7),
                    region=region,
                    attempts=dice.choice((1, 2, 3)) if retries else 1,
                    after=f"job_{dice.randrange(number)}"
                    if follows and number and self.chance(0.5)
                    else None,
                    after_any=self.chance(0.5),
                    project=dice.choice(("alpha", "beta")),
                    priority=dice.choice((0, 0, 0, 10)),
                    start_after_ms=dice.choice((None, None, None, 15_000)),
                    grace_ms=dice.choice((200, 1_000, 3_000)),
                )
            )
        return tuple(jobs)

    def _whims(
        self, jobs: tuple[JobPlan, ...], sites: tuple[SitePlan, ...], heal_ms: int
    ) -> tuple[Whim, ...]:
        dice = self.dice
        kinds = [one for one in ("cancel", "suspend", "resume", "move") if self.chance(0.4)]
        if not kinds:
            return ()
        return tuple(
            Whim(
                at_ms=dice.randrange(500, heal_ms),
                kind=dice.choice(kinds),
                job_id=dice.choice(jobs).job_id,
                to=dice.choice(sites).name,
            )
            for _ in range(dice.randint(1, 5))
        )

    def _faults(
        self, sites: tuple[SitePlan, ...], heal_ms: int, ttl_ms: int
    ) -> tuple[FaultPlan, ...]:
        """Whole kinds are switched off at random: what many faults at once would hide comes up."""
        dice = self.dice
        share = dice.choice((0.1, 0.25, 0.5))
        found = []
        for kind in FAULT_KINDS:
            if not self.chance(share):
                continue
            for _ in range(dice.choice((1, 1, 2, 4))):
                at_server = kind.startswith(("server", "clock", "slow", "full"))
                lasts = (50, 500, 3_000, ttl_ms, ttl_ms * 2, dice.randrange(1, 3 * ttl_ms))
                if kind.startswith(("cut", "agent", "site")):  # silence beyond a lease
                    lasts = (500, ttl_ms // 2, ttl_ms, ttl_ms * 3 // 2, ttl_ms * 2, ttl_ms * 3)
                found.append(
                    FaultPlan(
                        at_ms=dice.randrange(0, heal_ms),
                        kind=kind,
                        target="" if at_server else dice.choice(sites).name,
                        for_ms=dice.choice(lasts),
                        size=dice.randrange(1, 1_000_000),
                    )
                )
        return tuple(sorted(found, key=lambda one: (one.at_ms, one.kind)))

    def _money(self) -> tuple[tuple[BudgetPlan, ...], int | None]:
        dice = self.dice
        budgets = tuple(
            BudgetPlan(
                project=project,
                micros=dice.choice((1, 100_000, 1_000_000, 10_000_000)),
                on_empty=dice.choice(("suspend", "cancel", "run-on")),
            )
            for project in ("alpha", "beta")
            if self.chance(0.3)
        )
        pot = dice.choice((0, 10_000, 500_000, 10**9)) if self.chance(0.4) else None
        return budgets, pot


def draw(seed: int, ablate: tuple[str, ...] = ()) -> Scenario:
    """The world of ``seed``."""
    from westward.faultsim.files import with_files
    from westward.faultsim.more import with_more
    from westward.faultsim.office import with_office

    hold_ms = random.Random(f"westward-faultsim-{seed}-holds").choice((0, 0, 3_000, 10_000))
    plain = replace(_Draw(seed).scenario(), hold_ms=hold_ms, ablate=ablate)
    return with_files(with_office(with_more(plain)))
