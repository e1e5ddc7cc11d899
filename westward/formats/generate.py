"""A seeded workload for machines without traces, and for tests at sizes no trace has.

Jobs are drawn first, and the span of time follows from the load that was asked for: fixing the
span instead and drawing until the load fits would make one long job change all others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt

from westward.model.faults import Fault, InputFaults
from westward.model.units import BYTES_PER_GB, MILLI, MS_PER_HOUR, MS_PER_S
from westward.model.workload import Workload

GENERATOR_VERSION = 1
"""Part of the digest; raised whenever the same parameters would give other jobs."""
MAX_JOBS = 100_000_000
ROUND_ESTIMATES_MS = tuple(round(h * MS_PER_HOUR) for h in (0.25, 0.5, 1, 2, 4, 8, 12, 24, 48, 96))
"""Owners ask for round times; an estimate is raised to the next of these."""

# fmt: off
DAY_PROFILE = (
    0.5, 0.4, 0.35, 0.3, 0.3, 0.35, 0.5, 0.8, 1.2, 1.6, 1.8, 1.7,
    1.3, 1.5, 1.7, 1.8, 1.7, 1.5, 1.2, 1.1, 1.1, 1.0, 0.8, 0.6,
)
# fmt: on
"""Arrivals by hour of day, relative: low at night, a dip at noon, as logs of shared machines."""

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
DurationLaw = Literal["lognormal", "pareto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorOptions:
    """All that shapes a generated workload besides its size, seed, capacity and load.

    Times in ms, shares from 0 to 1. ``gang_decay`` is the weight of a gang of 2^(k+1) devices
    relative to 2^k. ``duration_sigma`` is the lognormal's spread, ``pareto_alpha`` the bounded
    Pareto's tail. ``overestimate_median`` is estimate / true duration before rounding up.
    """

    duration_law: DurationLaw = "lognormal"
    duration_median_ms: int = 20 * 60 * MS_PER_S
    duration_sigma: float = 1.8
    pareto_alpha: float = 0.6
    duration_min_ms: int = 10 * MS_PER_S
    duration_max_ms: int = 7 * 24 * MS_PER_HOUR
    max_gang_devices: int = 1_024
    gang_decay: float = 0.55
    devices_per_node: int = 8
    day_profile: tuple[float, ...] = DAY_PROFILE
    deadline_share: float = 0.3
    slack_min: float = 0.5
    slack_mean: float = 4.0
    """Deadline = submit + (1 + slack) × the longer of duration and estimate."""
    homes: int = 1
    users: int = 200
    estimate_unknown_share: float = 0.1
    estimate_exact_share: float = 0.1
    overestimate_median: float = 3.0
    overestimate_sigma: float = 0.8
    input_share: float = 0.3
    input_median_bytes: int = 5 * BYTES_PER_GB
    input_sigma: float = 1.5
    input_max_bytes: int = 20_000 * BYTES_PER_GB


def generate(
    jobs: int,
    seed: int,
    *,
    capacity_devices: int,
    load: float,
    options: GeneratorOptions | None = None,
) -> Workload:
    """``jobs`` jobs that offer ``load`` × ``capacity_devices`` devices over their span.

    Offered load = Σ devices × duration / (capacity × span). The same arguments give the same
    columns with the same numpy on the same kind of processor (``exp`` may differ in its last
    digit between kinds). Raises InputFaults for impossible parameters.
    """
    chosen = options or GeneratorOptions()
    _check(jobs, seed, capacity_devices, load, chosen)
    rng = np.random.Generator(np.random.PCG64(seed))
    duration_ms = _durations(rng, jobs, chosen)
    gang = _gangs(rng, jobs, min(chosen.max_gang_devices, capacity_devices), chosen.gang_decay)
    nodes = -(-gang // chosen.devices_per_node)
    work = float(np.dot(gang.astype(np.float64), duration_ms.astype(np.float64)))
    span_ms = work / (capacity_devices * load)
    submit_ms = _arrivals(rng, jobs, span_ms, chosen.day_profile)
    estimate_ms = _estimates(rng, duration_ms, chosen)
    deadline_ms = _deadlines(rng, submit_ms, np.maximum(duration_ms, estimate_ms), chosen)
    return Workload(
        name=f"generated-{jobs}-{seed}",
        format="generated",
        digest=_digest(jobs, seed, capacity_devices, load, chosen),
        rows_read=jobs,
        dropped=(),
        notes=(
            f"generated with seed {seed}, offered load {load:g} of {capacity_devices} devices",
            f"span {span_ms / MS_PER_HOUR:.1f} h; durations {chosen.duration_law}; gangs of "
            f"1 to {min(chosen.max_gang_devices, capacity_devices)} devices, any kind",
        ),
        submit_ms=submit_ms,
        duration_ms=duration_ms,
        estimate_ms=estimate_ms,
        nodes=nodes.astype(np.int32),
        devices_milli=(np.minimum(gang, chosen.devices_per_node) * MILLI).astype(np.int32),
        cpus_milli=np.zeros(jobs, dtype=np.int32),
        memory_mib=np.zeros(jobs, dtype=np.int32),
        user=_skewed(rng, jobs, chosen.users),
        home=_skewed(rng, jobs, chosen.homes),
        deadline_ms=deadline_ms,
        input_bytes=_inputs(rng, jobs, chosen),
        source_row=np.arange(1, jobs + 1, dtype=np.int64),
    )


def _durations(rng: np.random.Generator, jobs: int, options: GeneratorOptions) -> I64:
    low, high = float(options.duration_min_ms), float(options.duration_max_ms)
    if options.duration_law == "lognormal":
        drawn = options.duration_median_ms * np.exp(
            options.duration_sigma * rng.standard_normal(jobs)
        )
        return _whole(np.clip(drawn, low, high))
    alpha = options.pareto_alpha
    share = 1.0 - (low / high) ** alpha
    drawn = low * (1.0 - rng.random(jobs) * share) ** (-1.0 / alpha)
    return _whole(np.clip(drawn, low, high))


def _whole(values: npt.NDArray[np.float64]) -> I64:
    """To the nearest whole number."""
    return np.rint(values).astype(np.int64, copy=False)


def _gangs(rng: np.random.Generator, jobs: int, largest: int, decay: float) -> I64:
    """Powers of two up to ``largest``, each ``decay`` times as frequent as the one before."""
    steps = int(largest).bit_length()
    bounds = np.cumsum(decay ** np.arange(steps))
    exponent = np.searchsorted(bounds, rng.random(jobs) * bounds[-1], side="right")
    powers: I64 = np.left_shift(1, np.arange(steps, dtype=np.int64))
    gangs: I64 = powers[np.minimum(exponent, steps - 1)]
    return gangs


def _arrivals(rng: np.random.Generator, jobs: int, span_ms: float, profile: Sequence[float]) -> I64:
    """Sorted times in [0, span): uniform draws sent through the inverse of the day's profile."""
    step_ms = 24 * MS_PER_HOUR / len(profile)
    steps = max(1, int(np.ceil(span_ms / step_ms)))
    rates = np.resize(np.asarray(profile, dtype=np.float64), steps)
    edges = np.minimum(np.arange(steps + 1) * step_ms, span_ms)
    mass = np.concatenate(([0.0], np.cumsum(rates * np.diff(edges))))
    if mass[-1] <= 0.0:  # a span that lies wholly in hours without arrivals
        mass = edges
    drawn = np.sort(rng.random(jobs)) * mass[-1]
    return _whole(np.floor(np.interp(drawn, mass, edges)))


def _estimates(rng: np.random.Generator, duration_ms: I64, options: GeneratorOptions) -> I64:
    """Some unknown, some exact, most over-estimated and raised to a round time; rarely too low."""
    jobs = len(duration_ms)
    factor = options.overestimate_median * np.exp(
        options.overestimate_sigma * rng.standard_normal(jobs)
    )
    rounded = np.asarray(ROUND_ESTIMATES_MS, dtype=np.float64)
    wished = duration_ms * factor
    slot = np.minimum(np.searchsorted(rounded, wished), len(rounded) - 1)
    estimate = np.where(wished > rounded[-1], wished, rounded[slot]).astype(np.int64)
    kind = rng.random(jobs)
    known = 1.0 - options.estimate_unknown_share
    estimate = np.where(kind < options.estimate_exact_share * known, duration_ms, estimate)
    return np.where(kind >= known, -1, estimate).astype(np.int64)


def _deadlines(
    rng: np.random.Generator, submit_ms: I64, needed_ms: I64, options: GeneratorOptions
) -> I64:
    jobs = len(submit_ms)
    extra = options.slack_mean - options.slack_min
    slack = options.slack_min + extra * rng.standard_exponential(jobs)
    deadline = submit_ms + np.ceil(needed_ms * (1.0 + slack)).astype(np.int64)
    return np.where(rng.random(jobs) < options.deadline_share, deadline, -1).astype(np.int64)


def _inputs(rng: np.random.Generator, jobs: int, options: GeneratorOptions) -> I64:
    size = options.input_median_bytes * np.exp(options.input_sigma * rng.standard_normal(jobs))
    size = np.minimum(size, options.input_max_bytes)
    return np.where(rng.random(jobs) < options.input_share, size, 0.0).astype(np.int64)


def _skewed(rng: np.random.Generator, jobs: int, count: int) -> I32:
    """Indices below ``count``, the k-th with weight 1 / (k + 1): a few large, many small."""
    bounds = np.cumsum(1.0 / np.arange(1, count + 1))
    index = np.searchsorted(bounds, rng.random(jobs) * bounds[-1], side="right")
    small: I32 = np.minimum(index, count - 1).astype(np.int32)
    return small


def _digest(
    jobs: int, seed: int, capacity_devices: int, load: float, options: GeneratorOptions
) -> str:
    parameters = {
        "version": GENERATOR_VERSION,
        "jobs": jobs,
        "seed": seed,
        "capacity_devices": capacity_devices,
        "load": load,
        "options": asdict(options),
    }
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()


def _check(
    jobs: int, seed: int, capacity_devices: int, load: float, options: GeneratorOptions
) -> None:
    faults: list[Fault] = []

    def demand(holds: bool, field: str, problem: str, remedy: str) -> None:
        if not holds:
            faults.append(Fault("generate", None, field, problem, remedy))

    demand(0 < jobs <= MAX_JOBS, "jobs", f"{jobs} jobs", f"Give 1 to {MAX_JOBS}.")
    demand(seed >= 0, "seed", f"the seed {seed} is negative", "Give a whole number from 0.")
    demand(capacity_devices > 0, "capacity_devices", "no devices", "Give the network's devices.")
    demand(0 < load <= 1_000, "load", f"a load of {load}", "Give for example 0.8.")
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name.endswith("_share"):
            demand(0 <= value <= 1, field.name, f"{value} is not a share", "Give 0 to 1.")
        elif field.name not in ("duration_law", "day_profile", "input_median_bytes"):
            least = 0 if "sigma" in field.name or "slack" in field.name else 1e-9
            demand(least <= value < 1e18, field.name, f"{value} is too small or large", "Raise it.")
    demand(
        options.duration_law in ("lognormal", "pareto"),
        "duration_law",
        f"unknown law {options.duration_law!r}",
        "Give lognormal or pareto.",
    )
    demand(
        options.duration_min_ms <= options.duration_max_ms,
        "duration_max_ms",
        "it lies below duration_min_ms",
        "Exchange them.",
    )
    demand(
        options.slack_min <= options.slack_mean,
        "slack_mean",
        "it lies below slack_min",
        "Raise it.",
    )
    per_node = options.devices_per_node
    demand(
        per_node > 0 and per_node & (per_node - 1) == 0,
        "devices_per_node",
        f"{per_node} is not a power of two",
        "Gangs are powers of two; give 1, 2, 4, 8 or 16.",
    )
    profile = options.day_profile
    demand(
        len(profile) > 0 and min(profile) >= 0 and max(profile) > 0,
        "day_profile",
        "it has no positive rate or a negative one",
        "Give a relative rate for each part of the day.",
    )
    if faults:
        raise InputFaults(faults)
