"""The benchmark's cases: one network of national size, generated jobs, and the policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from national import national

from westward.formats.generate import NATIONAL, NATIONAL_DEFERRABLE, generate, generate_blocks
from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.workload import Workload

DEVICES = 1_000_000
LOAD = 0.9
SEED = 1
HOUR_MS = 3_600_000

ONE_CHOICE = "one-choice"
"""Row 1: each job is placed once, as soon as it arrives."""
DEFERRABLE = "deferrable"
"""Row 2: a fifth of the jobs may start in any of the next 24 hours that their deadline allows."""


STEADY = "steady"
"""Row 5: row 1's jobs, arriving evenly. With the day's profile a short run sees only the night and a
long one the peaks, when more is asked than there is: the load factor would not be the same."""


def network() -> Network:
    return national()


def policy(case: str) -> Policy:
    return Policy(defer_limit_ms=24 * HOUR_MS if case == DEFERRABLE else 0)


def _arguments(case: str) -> dict[str, Any]:
    options = NATIONAL_DEFERRABLE if case == DEFERRABLE else NATIONAL
    if case == STEADY:
        options = replace(options, day_profile=(1.0,))
    return {"capacity_devices": DEVICES, "load": LOAD, "options": options}


def workload(case: str, jobs: int) -> Workload:
    return generate(jobs, SEED, **_arguments(case))


def blocks(case: str, jobs: int) -> Iterator[Workload]:
    return generate_blocks(jobs, SEED, **_arguments(case))
