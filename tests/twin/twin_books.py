"""What the planner's twin writes down: who waits and runs at a pool, a candidate, an answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tests.twin.twin_filters import wait_by_size
from westward.model.job import JobSpec
from westward.model.network import Pool, Series
from westward.model.reasons import Code

HOUR = 3_600_000
Terms = tuple[float, float, float, float, float, float, float]
"""Device, power, carbon, transfer, wait, price of capacity, vouchers."""


@dataclass
class Waiting:
    """A bound job that has not started."""

    job: JobSpec
    option: int
    need: int
    held: int
    """How long it keeps its place: the site's own queue, then its run."""
    not_before: int


@dataclass
class Book:
    """One pool: who runs (end, need) and who waits, in order."""

    pool: Pool
    open: bool
    running: list[tuple[int, int]]
    queue: list[Waiting] = field(default_factory=list)
    site_wait_ms: tuple[int, ...] = ()

    def there(self, need: int) -> int:
        """What a job waits in the site's own queue."""
        return wait_by_size(self.site_wait_ms, need)

    @property
    def free(self) -> int:
        return self.pool.capacity_milli - sum(need for _, need in self.running)


@dataclass
class Candidate:
    """The best start at one pool, or why not."""

    pool: str
    code: Code | None
    option: int = -1
    need: int = 0
    duration: int = 0
    ready: int = 0
    earliest: int = 0
    start: int = 0
    terms: Terms = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    grams: float = 0.0
    hourly: float = math.inf
    """Refused for its cap: the least that any start would cost per hour."""


@dataclass
class Answer:
    """A bound job's place as the plan should tell it."""

    pool: str
    option: int
    need: int
    duration: int
    not_before: int
    starts_now: bool
    start: int
    earliest: int
    terms: Terms
    grams: float
    kwh: float


def rank(job: JobSpec) -> tuple[int, int, str]:
    """Who goes first."""
    return (-job.priority, job.submit_ms, job.job_id)


def integral_hours(series: Series, since_ms: int, until_ms: int) -> float:
    """∫ value dt in hours, by walking from step to step."""
    total = 0.0
    at = since_ms
    while at < until_ms:
        step_end = (at // series.step_ms + 1) * series.step_ms
        to = min(step_end, until_ms)
        total += series.at(at) * (to - at) / HOUR
        at = to
    return total
