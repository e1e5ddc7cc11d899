"""``simulate(network, workload, policy, …) → SimulationResult``: rehearse a workload.

Simulation only: nothing runs, no meter is read. The decision is the live one (ADR 0002).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import numpy as np

from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.reasons import Code
from westward.model.scenario import Scenario
from westward.model.units import MS_PER_HOUR
from westward.model.workload import Workload
from westward.placement.state import (
    CARBON_UNKNOWN,
    CONSTRAINT,
    DEADLINE,
    NO_LINK,
    NO_OPTION,
    NOT_HOME,
    NOT_OPEN,
    OVER_HOURLY,
    PRICE_UNKNOWN,
)
from westward.simulate.gather import Gather
from westward.simulate.happenings import Happenings
from westward.simulate.machine import RECORDS, RESERVED_SLOTS, Machine
from westward.simulate.results import SimulationResult, refusal_number

CHUNKS = 200
"""Stretches of a workload per run: between them progress is told and Ctrl-C is heard."""

DEFAULT_ORIGIN_MS = round(datetime.fromisoformat("2026-01-01T00:00:00+00:00").timestamp() * 1000)
"""Series origin of networks that begin when they are started."""

Progress = Callable[[int, int], None]
"""Called with (arrivals done, all arrivals)."""

_CODES = {
    NOT_OPEN: Code.POOL_NOT_OPEN,
    CONSTRAINT: Code.RESIDENCY,
    NO_OPTION: Code.NO_SITE_FITS,
    NO_LINK: Code.NO_LINK,
    PRICE_UNKNOWN: Code.PRICE_UNKNOWN,
    CARBON_UNKNOWN: Code.CARBON_UNKNOWN,
    DEADLINE: Code.DEADLINE,
    OVER_HOURLY: Code.OVER_HOURLY_COST,
    NOT_HOME: Code.NOT_HOME,
}


def simulate(
    network: Network,
    workload: Workload,
    policy: Policy,
    *,
    seed: int,
    zero_ms: int | None = None,
    progress: Progress | None = None,
    scenario: Scenario | None = None,
) -> SimulationResult:
    """Rehearse ``workload`` under ``policy``; same arguments, same arrays.

    ``zero_ms`` is the absolute time of the workload's own zero (default: the series origin).
    Of ``scenario`` the outages are played (ADR 0016); ValueError when one names no site.
    """
    wall = time.perf_counter()
    cpu = time.process_time()
    origin = network.origin_ms(DEFAULT_ORIGIN_MS)
    zero = origin if zero_ms is None else zero_ms
    count = len(workload)
    gather = Gather(count, by_nodes=policy.packing != "pool")
    machine = Machine(
        network,
        policy,
        gather,
        seed=seed,
        origin_ms=origin,
        zero_ms=zero,
        records=min(RECORDS, count + 64),
        reserve=min(RESERVED_SLOTS, count + 1),
        scenario=scenario,
    )
    Happenings(machine, () if scenario is None else scenario.outages)
    machine.learn(workload)
    home = machine.homes.of(workload)
    chunk = max(1, count // CHUNKS)
    done = 0
    while done < count:
        until = min(count, done + chunk)
        machine.feed(stretch(workload, done, until), more=until < count, home=home[done:until])
        done = until
        if progress is not None:
            progress(done, count)
    placed = gather.pool >= 0
    refusal = np.zeros(count, dtype=np.int16)
    for code, word in _CODES.items():
        refusal[gather.refused == code] = refusal_number(word)
    per_hour = policy.wait_value_micros_per_device_hour * (gather.need_milli / 1000.0)
    waited = gather.waited_ms / MS_PER_HOUR * np.where(workload.deadline_ms >= 0, 0.0, per_hour)
    grams = {policy.carbon_method: gather.money[:, 2]}
    grams["contract" if policy.carbon_method == "location" else "location"] = gather.money[:, 3]
    submit = workload.submit_ms + zero
    return SimulationResult(
        policy=policy,
        network=network,
        workload=workload,
        seed=seed,
        series_origin_ms=origin,
        workload_zero_ms=zero,
        pool=gather.pool,
        home_site=home,
        submit_ms=submit,
        start_ms=gather.start_ms,
        end_ms=gather.end_ms,
        need_milli=gather.need_milli,
        not_before_ms=np.where(gather.not_before_ms > 0, gather.not_before_ms, submit),
        predicted_start_ms=gather.predicted_ms,
        start_low_ms=gather.low_ms,
        start_high_ms=gather.high_ms,
        refusal=refusal,
        device_micros=gather.money[:, 0].copy(),
        power_micros=gather.money[:, 1].copy(),
        carbon_micros=gather.money[:, 2] * machine.rules.carbon_price,
        transfer_micros=gather.transfer,
        wait_micros=np.where(placed, waited, 0.0),
        energy_kwh=gather.money[:, 4].copy(),
        carbon_location_g=grams["location"].copy(),
        carbon_contract_g=grams["contract"].copy(),
        wall_s=time.perf_counter() - wall,
        cpu_s=time.process_time() - cpu,
        events=machine.events,
        segments=gather.segments(workload.checkpoint_ms),
        runs=gather.runs(workload.checkpoint_ms),
        scenario=scenario,
        vouchers=None if machine.purses is None else machine.purses.finish(machine.now_ms),
    )


def stretch(workload: Workload, first: int, last: int) -> Workload:
    """Rows first..last-1 of a workload, as views."""
    columns: dict[str, Any] = {
        one.name: value[first:last]
        for one in fields(workload)
        if isinstance(value := getattr(workload, one.name), np.ndarray)
    }
    return replace(workload, **columns)
