"""All that shapes a generated workload, and what may be asked for: options, presets, their check."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

from westward.model.faults import Fault, InputFaults
from westward.model.units import BYTES_PER_GB, MS_PER_HOUR, MS_PER_S

GENERATOR_VERSION = 2
"""Part of the digest; raised whenever the same parameters would give other jobs."""
MAX_JOBS = 100_000_000
MAX_PRIORITIES = 100

# fmt: off
DAY_PROFILE = (
    0.5, 0.4, 0.35, 0.3, 0.3, 0.35, 0.5, 0.8, 1.2, 1.6, 1.8, 1.7,
    1.3, 1.5, 1.7, 1.8, 1.7, 1.5, 1.2, 1.1, 1.1, 1.0, 0.8, 0.6,
)
# fmt: on
"""Arrivals by hour of day, relative: low at night, a dip at noon, as logs of shared machines."""

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
    priority_shares: tuple[float, ...] = ()
    """Share of the jobs of priority 0, 1, 2, ... (they add up to 1); empty: no priorities."""
    checkpoint_share: float = 0.0
    checkpoint_every_ms: int = MS_PER_HOUR // 2
    """The checkpointable jobs save so often; the others never."""
    dataset_count: int = 0
    """Inputs that several jobs of one home share, dealt evenly to the homes; 0: none."""
    dataset_share: float = 0.8
    """Of the jobs with an input, when there are data sets: those that read one."""


NATIONAL = GeneratorOptions(
    duration_median_ms=12 * 60 * MS_PER_S,
    gang_decay=0.545,
    deadline_share=0.0,
    homes=40,
    users=5_000,
)
"""A country's accelerators: gangs of 1 to 1,024 devices (mean 8), mean run one hour, estimates
that are mostly too long, three jobs in ten with data to move, nobody in a hurry by date."""
NATIONAL_DEFERRABLE = replace(NATIONAL, deadline_share=0.2)
"""The same with a fifth of the jobs free to wait for a better hour until their deadline."""


def digest_of(
    jobs: int, seed: int, capacity_devices: int, load: float, options: GeneratorOptions
) -> str:
    """sha256 of everything the jobs depend on."""
    parameters = {
        "version": GENERATOR_VERSION,
        "jobs": jobs,
        "seed": seed,
        "capacity_devices": capacity_devices,
        "load": load,
        "options": asdict(options),
    }
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()


def check_arguments(
    jobs: int, seed: int, capacity_devices: int, load: float, options: GeneratorOptions
) -> None:
    """Raises InputFaults with everything that is impossible."""
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
        elif field.name not in (
            "duration_law", "day_profile", "input_median_bytes", "priority_shares", "dataset_count"
        ):  # fmt: skip
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
    shares = options.priority_shares
    demand(
        not shares
        or (len(shares) <= MAX_PRIORITIES and min(shares) >= 0 and abs(sum(shares) - 1) < 1e-6),
        "priority_shares",
        f"the shares {shares} do not add up to 1",
        f"Give one share for each priority from 0 on, at most {MAX_PRIORITIES}.",
    )
    demand(
        options.dataset_count == 0 or options.homes <= options.dataset_count < 1 << 31,
        "dataset_count",
        f"{options.dataset_count} data sets for {options.homes} homes",
        "Give 0, or at least one for each home.",
    )
    if faults:
        raise InputFaults(faults)
