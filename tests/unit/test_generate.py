"""The generated workload: repeatable, of the load asked for, and shaped as its options say."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.formats.generate import GeneratorOptions, generate
from westward.formats.traces import describe
from westward.model.faults import InputFaults
from westward.model.workload import Workload

HOUR_MS = 3_600_000


def devices(workload: Workload) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return workload.nodes * (workload.devices_milli / 1_000)


def columns(workload: Workload) -> dict[str, list[int]]:
    values = {field.name: getattr(workload, field.name) for field in fields(workload)}
    return {k: v.tolist() for k, v in values.items() if isinstance(v, np.ndarray)}


def test_the_same_arguments_give_the_same_jobs() -> None:
    a = generate(2_000, 5, capacity_devices=256, load=0.9)
    b = generate(2_000, 5, capacity_devices=256, load=0.9)
    assert columns(a) == columns(b)
    assert a.digest == b.digest


def test_every_parameter_is_in_the_digest() -> None:
    base = generate(50, 5, capacity_devices=256, load=0.9)
    options = GeneratorOptions()
    others = [
        generate(51, 5, capacity_devices=256, load=0.9),
        generate(50, 6, capacity_devices=256, load=0.9),
        generate(50, 5, capacity_devices=257, load=0.9),
        generate(50, 5, capacity_devices=256, load=0.8),
        generate(50, 5, capacity_devices=256, load=0.9, options=replace(options, homes=2)),
        generate(50, 5, capacity_devices=256, load=0.9, options=replace(options, input_sigma=1.0)),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 7


@pytest.mark.parametrize("law", ["lognormal", "pareto"])
@pytest.mark.parametrize("load", [0.3, 0.8, 1.5])
def test_the_offered_load_is_within_one_percent(law: str, load: float) -> None:
    options = GeneratorOptions(duration_law=law)  # type: ignore[arg-type]
    workload = generate(20_000, 11, capacity_devices=4_096, load=load, options=options)
    work = float((devices(workload) * workload.duration_ms).sum())
    span = float(workload.submit_ms[-1])
    assert work / (4_096 * span) == pytest.approx(load, rel=0.01)


def test_arrivals_follow_the_hours_of_the_day() -> None:
    profile = tuple(3.0 if 8 <= hour < 20 else 1.0 for hour in range(24))
    # A low load makes a long span, so that many whole days are covered.
    workload = generate(
        50_000, 1, capacity_devices=512, load=0.5, options=GeneratorOptions(day_profile=profile)
    )
    days = workload.submit_ms[-1] // (24 * HOUR_MS)
    assert days > 20
    whole = workload.submit_ms[workload.submit_ms < days * 24 * HOUR_MS]
    hour = whole // HOUR_MS % 24
    by_day = ((hour >= 8) & (hour < 20)).mean()
    assert by_day == pytest.approx(0.75, abs=0.01)


def test_gangs_are_powers_of_two_and_fit_the_largest_pool() -> None:
    options = GeneratorOptions(max_gang_devices=100, gang_decay=0.9)
    workload = generate(20_000, 2, capacity_devices=4_096, load=0.7, options=options)
    gangs = devices(workload)
    assert sorted(set(gangs.tolist())) == [1, 2, 4, 8, 16, 32, 64]
    assert workload.devices_milli.max() == 8_000
    assert generate(500, 2, capacity_devices=4, load=0.7).nodes.max() == 1


def test_durations_have_a_heavy_tail() -> None:
    workload = generate(50_000, 3, capacity_devices=4_096, load=0.7)
    median, high = np.quantile(workload.duration_ms, [0.5, 0.99])
    assert median == pytest.approx(20 * 60_000, rel=0.05)
    assert high > 30 * median
    assert workload.duration_ms.mean() > 3 * median


def test_shares_and_terms() -> None:
    options = GeneratorOptions(homes=5, deadline_share=0.4, input_share=0.2)
    workload = generate(20_000, 4, capacity_devices=4_096, load=0.7, options=options)
    dated = workload.deadline_ms >= 0
    assert dated.mean() == pytest.approx(0.4, abs=0.02)
    known = np.maximum(workload.duration_ms, workload.estimate_ms)
    assert (workload.deadline_ms - workload.submit_ms >= 1.5 * known)[dated].all()
    assert (workload.estimate_ms == -1).mean() == pytest.approx(0.1, abs=0.02)
    assert (workload.estimate_ms == workload.duration_ms).mean() == pytest.approx(0.09, abs=0.02)
    assert (
        0
        < ((workload.estimate_ms > 0) & (workload.estimate_ms < workload.duration_ms)).mean()
        < 0.2
    )
    assert (workload.input_bytes > 0).mean() == pytest.approx(0.2, abs=0.02)
    counts = np.bincount(workload.home)
    assert len(counts) == 5
    assert (np.diff(counts) < 0).all()
    assert "homes         5" in describe(workload)


@settings(max_examples=60, deadline=None)
@given(
    jobs=st.integers(1, 60),
    seed=st.integers(0, 2**63),
    capacity=st.integers(1, 5_000),
    load=st.floats(0.01, 10),
    homes=st.integers(1, 40),
)
def test_any_sensible_arguments_give_a_well_formed_workload(
    jobs: int, seed: int, capacity: int, load: float, homes: int
) -> None:
    options = GeneratorOptions(homes=homes)
    workload = generate(jobs, seed, capacity_devices=capacity, load=load, options=options)
    assert len(workload) == jobs
    assert (np.diff(workload.submit_ms) >= 0).all()
    assert workload.submit_ms[0] >= 0
    assert (workload.duration_ms >= options.duration_min_ms).all()
    assert (devices(workload) <= capacity).all()
    assert (workload.home >= 0).all()
    assert (workload.home < homes).all()


def test_impossible_arguments_are_told_all_at_once() -> None:
    options = GeneratorOptions(
        deadline_share=1.5, devices_per_node=3, slack_min=9.0, day_profile=(), homes=0
    )
    with pytest.raises(InputFaults) as told:
        generate(0, -1, capacity_devices=0, load=0.0, options=options)
    assert [fault.field for fault in told.value.faults] == [
        "capacity_devices",
        "day_profile",
        "deadline_share",
        "devices_per_node",
        "homes",
        "jobs",
        "load",
        "seed",
        "slack_mean",
    ]
