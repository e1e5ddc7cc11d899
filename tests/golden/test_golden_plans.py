"""Golden scenarios: each folder's scenario.yaml, planned and printed as ``westward plan --explain``.

The comment at the head of each scenario does its main sum by hand. ``WESTWARD_UPDATE_GOLDEN=1``
rewrites expected.txt (read the difference before you keep it).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from westward.cli.render_plan import render_plan
from westward.formats.skypilot import read_task
from westward.model.job import JobSpec, ResourceOption
from westward.model.network import Network
from westward.model.plan import Claim, Policy, PoolState, QueuedJob, ShadowPrices, Snapshot
from westward.model.units import parse_duration_ms, parse_instant_ms
from westward.network.loader import load_network
from westward.placement import plan

HERE = Path(__file__).parent
SCENARIOS = sorted(path.parent.name for path in HERE.glob("*/scenario.yaml"))
KEYS = {
    "network", "now", "policy", "rules", "running", "queued", "cordoned", "blank_price", "posted", "jobs",
}  # fmt: skip


def read_network(scenario: dict[str, Any]) -> Network:
    network = load_network(HERE / "networks" / scenario["network"])
    blank = scenario.get("blank_price", ())
    return replace(
        network,
        pools=tuple(
            replace(pool, price_micros_per_device_hour=None) if pool.name in blank else pool
            for pool in network.pools
        ),
    )


def read_snapshot(scenario: dict[str, Any], network: Network, now: int) -> Snapshot:
    states = []
    for pool in network.pools:
        running = [
            Claim(
                job_id=f"running-{number}",
                need_milli=one["devices"] * 1000,
                expected_end_ms=now + parse_duration_ms(one["ends"]),
            )
            for number, one in enumerate(scenario.get("running", {}).get(pool.name, ()))
        ]
        queue = [
            queued(one, pool.accelerator, now)
            for one in scenario.get("queued", {}).get(pool.name, ())
        ]
        states.append(
            PoolState(
                pool=pool.name,
                status="cordoned" if pool.name in scenario.get("cordoned", ()) else pool.status,
                running=tuple(running),
                queue=tuple(queue),
            )
        )
    origin = parse_instant_ms(network.series_origin, now)
    return Snapshot(
        version=1, network=network, series_origin_ms=origin, pools=tuple(states),
        shadow=read_posted(scenario, network, now),
    )  # fmt: skip


def read_posted(scenario: dict[str, Any], network: Network, now: int) -> ShadowPrices | None:
    """``posted: {pool: [price of each hour from now on]}``, in currency units."""
    posted = scenario.get("posted")
    if posted is None:
        return None
    hours = max(len(row) for row in posted.values())
    rows = [posted.get(pool.name, ()) for pool in network.pools]
    return ShadowPrices(
        from_ms=now,
        step_ms=3_600_000,
        per_pool=tuple(
            tuple(round(price * 1e6) for price in [*row, *[0] * (hours - len(row))]) for row in rows
        ),
    )


def queued(one: dict[str, Any], kind: str | None, now: int) -> QueuedJob:
    """Bound an hour ago by an earlier plan; held back by capacity only."""
    option = ResourceOption(accelerator=kind, devices_milli=one["cards"] * 1000)
    runs = parse_duration_ms(one["runs"])
    job = JobSpec(
        job_id=one["id"], name=one["id"], submit_ms=now - 3_600_000, options=(option,),
        duration_ms=runs,
    )  # fmt: skip
    return QueuedJob(
        job=job, option=0, need_milli=option.devices_milli, duration_ms=runs, not_before_ms=now
    )


def read_policy(scenario: dict[str, Any]) -> Policy:
    stated = dict(scenario.get("policy", {}))
    if "defer_limit" in stated:
        stated["defer_limit_ms"] = parse_duration_ms(stated.pop("defer_limit"))
    return Policy(**stated)


def play(name: str) -> str:
    file = HERE / name / "scenario.yaml"
    scenario = yaml.safe_load(file.read_text())
    assert not set(scenario) - KEYS, "a scenario may not say what the test does not read"
    now = parse_instant_ms(scenario["now"], 0)
    network = read_network(scenario)
    snapshot = read_snapshot(scenario, network, now)
    jobs = [
        read_task(yaml.safe_dump(one["task"]), file=str(file), job_id=one["id"], now_ms=now)
        for one in scenario["jobs"]
    ]
    policy = read_policy(scenario)
    rules = scenario.get("rules", [policy.rule])
    waiting = [entry.job for state in snapshot.pools for entry in state.queue]
    return "\n".join(
        render_plan(
            plan(snapshot, jobs, replace(policy, rule=rule), now), network, [*jobs, *waiting]
        )
        for rule in rules
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_golden_plan(name: str) -> None:
    expected = HERE / name / "expected.txt"
    text = play(name)
    if os.environ.get("WESTWARD_UPDATE_GOLDEN") == "1":
        expected.write_text(text)
    assert text == expected.read_text()


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 13
