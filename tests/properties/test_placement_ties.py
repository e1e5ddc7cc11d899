"""Ties, by hand: equal sums go to the earlier start, then to the pool's name; noise never waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.twin.planner_twin import twin_plan
from westward.model.job import JobSpec, ResourceOption
from westward.model.network import Accelerator, Network, Pool, Series, Site, Zone
from westward.model.plan import Claim, Policy, PoolState, Rule, Snapshot
from westward.placement import plan

HOUR = 3_600_000


def snapshot(busy: dict[str, int], tariff: float = 0.7331) -> Snapshot:
    """Two pools alike; ``busy``: hours until each is free. A flat tariff of an awkward figure."""
    flat = Series(step_ms=HOUR, values=(tariff,) * 24)
    zone = Zone(
        name="z", label="", tariff_per_kwh=flat, carbon_contract_g_per_kwh=None,
        carbon_location_g_per_kwh=Series(step_ms=HOUR, values=(585.3,) * 24),
    )  # fmt: skip
    site = Site(
        name="s", label="", operator="", zone="z", lat_deg=None, lon_deg=None, pue=1.2, tags=()
    )
    card = Accelerator(
        name="card", label="", vendor="", memory_gb=None, power_w_max=None, relative_speed=1.0,
        fp16_dense_tflops=None,
    )  # fmt: skip
    first = Pool(
        name="a", site="s", engine="local", managed=True, accelerator="card", nodes=1,
        devices_per_node=1, cpus_per_node=4, memory_mib_per_node=4096,
        price_micros_per_device_hour=1_000_000, power_w_per_device=400.0,
    )  # fmt: skip
    network = Network(
        name="n", label="", currency="CNY", series_origin="start", sites=(site,),
        pools=(first, replace(first, name="b")), accelerators=(card,), zones=(zone,), places=(),
        links=(), facts=(), sources=(), digest="",
    )  # fmt: skip
    states = [
        PoolState(
            pool=pool.name,
            status="open",
            running=tuple(
                Claim(job_id=f"r-{pool.name}", need_milli=1000, expected_end_ms=hours * HOUR)
                for hours in [busy.get(pool.name, 0)]
                if hours
            ),
        )
        for pool in network.pools
    ]
    return Snapshot(version=1, network=network, series_origin_ms=0, pools=tuple(states))


def flexible(**changes: object) -> JobSpec:
    job = JobSpec(
        job_id="j", name="j", submit_ms=0, deadline_ms=40 * HOUR, duration_ms=2 * HOUR + 1234567,
        options=(ResourceOption(accelerator="card", devices_milli=1000),), home_site="s",
    )  # fmt: skip
    return replace(job, **changes)


RULES: list[Rule] = ["westward", "cheapest-static", "first-to-admit", "lowest-carbon"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("busy", "pool", "hour"),
    [({}, "a", 0), ({"a": 3}, "b", 0), ({"a": 3, "b": 2}, "b", 2), ({"a": 2, "b": 2}, "a", 2)],
)
def test_equal_sums_go_to_the_earlier_start_then_the_name(
    rule: Rule, busy: dict[str, int], pool: str, hour: int
) -> None:
    policy = Policy(rule=rule)
    answer = plan(snapshot(busy), [flexible()], policy, 0).placements[0]
    assert (answer.estimate.pool, answer.estimate.start_ms) == (pool, hour * HOUR)
    twin = twin_plan(snapshot(busy), [flexible()], policy, 0).answers()["j"]
    assert (twin.pool, twin.start) == (pool, hour * HOUR)


@pytest.mark.parametrize("tariff", [0.6123457, 0.7331, 0.98765, 0.1])
@pytest.mark.parametrize("now", [0, 1_800_123, 18_000_123])
def test_rounding_noise_never_puts_a_job_off(tariff: float, now: int) -> None:
    job = flexible(submit_ms=now)
    answer = plan(snapshot({}, tariff), [job], Policy(), now).placements[0]
    assert answer.starts_now
    assert answer.saved_by_waiting == 0.0
