"""The generated workload: repeatable, of the load asked for, and shaped as its options say."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.formats.generate import (
    DAY_PROFILE,
    NATIONAL,
    NATIONAL_DEFERRABLE,
    GeneratorOptions,
    generate,
    generate_blocks,
)
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


@pytest.mark.parametrize("block_jobs", [7_001, 65_536, 100_000, 500_000])
def test_slicing_changes_nothing(block_jobs: int) -> None:
    options = replace(NATIONAL_DEFERRABLE, dataset_count=80, priority_shares=(0.8, 0.2))
    told = {"capacity_devices": 50_000, "load": 0.8, "options": options}
    whole = columns(generate(150_000, 9, **told))  # type: ignore[arg-type]
    blocks = list(generate_blocks(150_000, 9, block_jobs=block_jobs, **told))  # type: ignore[arg-type]
    assert [len(block) for block in blocks[:-1]] == [block_jobs] * (150_000 // block_jobs)
    assert sum(block.rows_read for block in blocks) == 150_000
    for name, column in whole.items():
        joined = np.concatenate([getattr(block, name) for block in blocks])
        assert joined.tolist() == column, name
    assert (np.diff(whole["submit_ms"]) >= 0).all()
    assert whole["source_row"] == list(range(1, 150_001))


def test_blocks_differ_and_the_day_goes_on_across_them() -> None:
    told = {"capacity_devices": 2_000, "load": 0.8, "options": NATIONAL}
    first, second = generate_blocks(131_072, 3, block_jobs=65_536, **told)  # type: ignore[arg-type]
    assert (first.duration_ms != second.duration_ms).mean() > 0.99
    assert second.submit_ms[0] - first.submit_ms[-1] < 3 * HOUR_MS
    for block in (first, second):
        hour = block.submit_ms // HOUR_MS % 24
        counts = np.bincount(hour, minlength=24) / len(block) * 24
        assert counts == pytest.approx(np.asarray(DAY_PROFILE) / np.mean(DAY_PROFILE), rel=0.15)


def test_the_national_preset_is_what_it_says() -> None:
    workload = generate(400_000, 1, capacity_devices=1_000_000, load=0.8, options=NATIONAL)
    gangs = devices(workload)
    assert gangs.min() == 1
    assert gangs.max() == 1_024
    assert gangs.mean() == pytest.approx(8, rel=0.02)
    assert workload.duration_ms.mean() == pytest.approx(HOUR_MS, rel=0.02)
    work = float((gangs * workload.duration_ms).sum())
    assert work / (1_000_000 * float(workload.submit_ms[-1])) == pytest.approx(0.8, rel=1e-3)
    assert (workload.deadline_ms == -1).all()
    assert (workload.estimate_ms != workload.duration_ms).mean() > 0.9
    assert (workload.input_bytes > 0).mean() == pytest.approx(0.3, abs=0.005)
    assert len(np.unique(workload.home)) == 40
    assert workload.priority is workload.checkpoint_ms is workload.dataset is None
    later = generate(50_000, 1, capacity_devices=1_000_000, load=0.8, options=NATIONAL_DEFERRABLE)
    assert (later.deadline_ms >= 0).mean() == pytest.approx(0.2, abs=0.01)


def test_priorities_checkpoints_and_shared_inputs() -> None:
    options = GeneratorOptions(
        homes=5,
        priority_shares=(0.6, 0.3, 0.1),
        checkpoint_share=0.25,
        checkpoint_every_ms=60_000,
        dataset_count=50,
        dataset_share=0.5,
    )
    workload = generate(40_000, 4, capacity_devices=4_096, load=0.7, options=options)
    assert workload.priority is not None
    assert workload.checkpoint_ms is not None
    assert workload.dataset is not None
    assert np.bincount(workload.priority) / 40_000 == pytest.approx([0.6, 0.3, 0.1], abs=0.01)
    assert set(workload.checkpoint_ms.tolist()) == {0, 60_000}
    assert (workload.checkpoint_ms > 0).mean() == pytest.approx(0.25, abs=0.01)
    shared = workload.dataset >= 0
    assert (shared.sum() / (workload.input_bytes > 0).sum()) == pytest.approx(0.5, abs=0.02)
    assert workload.dataset.max() == 49
    for number in range(50):
        rows = workload.dataset == number
        assert len(np.unique(workload.input_bytes[rows])) == 1
        assert set(workload.home[rows].tolist()) == {number // 10}


def test_impossible_shares_are_told() -> None:
    options = GeneratorOptions(homes=9, priority_shares=(0.5, 0.4), dataset_count=3)
    with pytest.raises(InputFaults) as told:
        generate(10, 1, capacity_devices=8, load=0.5, options=options)
    assert [fault.field for fault in told.value.faults] == ["dataset_count", "priority_shares"]
