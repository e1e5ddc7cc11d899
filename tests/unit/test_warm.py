"""What warming the planner up compiles is what every live plan needs: not a minute at the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import pytest
from numpy import ndarray

from westward.model.job import InputData, JobSpec, ResourceOption
from westward.model.network import Network
from westward.model.plan import Claim, Policy, QueuedJob, idle_snapshot
from westward.network.loader import load_network
from westward.placement import planner, site_waits
from westward.placement.planner import plan
from westward.placement.site_waits import HandedOver, expected_site_wait_ms
from westward.placement.warm import HOUR_MS, warm_plan

NOW = 1_767_225_600_000
KERNELS = ("plan_rows", "tell_rows", "look", "hold_claims", "queue_rows")
OF_WAITS = ("hear", "tell")
Types = set[tuple[str, tuple[str, ...]]]


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(Path("networks/laptop"))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Types:
    """Every kernel that ``plan()`` calls, with the types of its arguments: what is compiled."""
    seen: Types = set()

    def watched(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            seen.add((name, tuple(kind(one) for one in args)))
            return kernel(*args)

        return call

    for module, names in ((planner.kernel_rows, KERNELS), (site_waits, OF_WAITS)):
        for name in names:
            monkeypatch.setattr(module, name, watched(name, getattr(module, name)))
    return seen


def kind(value: Any) -> str:
    """To numba: arrays by element, dimensions and whether contiguous."""
    if isinstance(value, tuple):
        return f"({', '.join(kind(one) for one in value)})"
    return str(numba.typeof(value)) if isinstance(value, ndarray) else type(value).__name__


def job(number: int, **terms: Any) -> JobSpec:
    stated = {"options": (ResourceOption(cpus_milli=1),), **terms}
    return JobSpec(job_id=f"job_{number}", name="n", submit_ms=NOW, **stated)


def queued(number: int) -> QueuedJob:
    return QueuedJob(
        job=job(number), option=0, need_milli=1, duration_ms=HOUR_MS, not_before_ms=NOW
    )


@pytest.mark.parametrize("discipline", ["easy", "conservative"])
@pytest.mark.parametrize("new", [1, 2, 5])
@pytest.mark.parametrize("inputs", [0, 1, 3])
@pytest.mark.parametrize("waiting", [0, 1, 3])
@pytest.mark.parametrize("runs", [0, 1, 3])
def test_a_warm_planner_compiles_nothing(
    network: Network, called: Types, discipline: Any, new: int, inputs: int, waiting: int, runs: int
) -> None:
    warm_plan(network, Policy(), NOW)
    warmed = set(called)
    assert {name for name, _ in warmed} == {*KERNELS, *OF_WAITS}
    idle = idle_snapshot(network, NOW)
    claims = tuple(
        Claim(job_id=f"run_{number}", need_milli=1, expected_end_ms=NOW + HOUR_MS)
        for number in range(runs)
    )
    queue = tuple(queued(number) for number in range(100, 100 + waiting))
    waits = [
        HandedOver(need_milli=1, from_ms=NOW, started_ms=NOW if number % 2 else None)
        for number in range(runs)
    ]
    told = expected_site_wait_ms(waits, NOW)
    busy = replace(idle.pools[0], running=claims, queue=queue, site_wait_ms=told)
    home = network.sites[0].name
    data = tuple(InputData(site=home, size_bytes=10**9) for _ in range(inputs))
    jobs = [job(number, inputs=data if number == 0 else ()) for number in range(new)]
    jobs.append(job(99, options=(ResourceOption(cpus_milli=10**9),)))
    plan(
        replace(idle, pools=(busy, *idle.pools[1:])), jobs, Policy(discipline=discipline), NOW
    )  # fmt: skip
    assert called - warmed == set()


def test_one_job_alone_is_planned_as_among_others(network: Network) -> None:
    """The columns of a plan have rows that no job takes; they are in nobody's way."""
    idle = idle_snapshot(network, NOW)
    nowhere = job(2, options=(ResourceOption(cpus_milli=10**9),))
    (alone,) = plan(idle, [job(1)], Policy(), NOW).placements
    (among,) = plan(idle, [job(1), nowhere], Policy(), NOW).placements
    assert alone == among
    assert plan(idle, [], Policy(), NOW).placements == ()
