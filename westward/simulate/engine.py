"""``simulate(network, workload, policy, …) → SimulationResult``: rehearse a workload.

Simulation only: nothing runs, no meter is read. The decision is the live one (ADR 0002).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from westward.model.network import Network
from westward.model.plan import CarbonMethod, Policy
from westward.model.reasons import Code
from westward.model.workload import Workload
from westward.placement.columns import (
    NetworkColumns,
    network_columns,
    new_state,
    rule_columns,
)
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
    Rules,
    State,
)
from westward.simulate.loop import CURSOR_EVENTS, Clockwork, Outcome, advance, charge
from westward.simulate.results import SimulationResult, refusal_number
from westward.simulate.rows import Rows, workload_rows

CHUNKS = 200
"""Calls of the compiled loop per run: between them progress is told and Ctrl-C is heard."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """One run in the making: kernel columns and what changes."""

    network: Network
    workload: Workload
    policy: Policy
    seed: int
    origin_ms: int
    zero_ms: int
    columns: NetworkColumns
    rules: Rules
    rows: Rows
    state: State
    clock: Clockwork
    outcome: Outcome

    def advance(self, until_row: int) -> None:
        """Run until that many arrivals are in; all of them means to the end."""
        c, r = self.columns, self.rows
        advance(
            until_row, self.workload.duration_ms, c.pools, c.zones, c.links,
            r.jobs, r.options, r.inputs, r.allowed, self.rules,
            self.state, self.clock, self.outcome,
        )  # fmt: skip


def prepare(
    network: Network, workload: Workload, policy: Policy, *, seed: int, zero_ms: int | None = None
) -> Rehearsal:
    """An idle network with the workload ahead of it. ``zero_ms`` defaults to the series origin."""
    origin = network.origin_ms(DEFAULT_ORIGIN_MS)
    zero = origin if zero_ms is None else zero_ms
    columns = network_columns(network, policy.carbon_method)
    rows = workload_rows(workload, network, columns, zero_ms=zero, seed=seed)
    count = len(workload)
    smallest = _smallest_need(rows, columns)
    heap_room = count + 1
    return Rehearsal(
        network=network,
        workload=workload,
        policy=policy,
        seed=seed,
        origin_ms=origin,
        zero_ms=zero,
        columns=columns,
        rules=rule_columns(policy, columns, origin),
        rows=rows,
        state=new_state(columns.pools, count, smallest, policy.backfill_depth),
        clock=Clockwork(
            cursor=np.zeros(4, dtype=np.int64),
            heap_ms=np.zeros(heap_room, dtype=np.int64),
            heap_key=np.zeros(heap_room, dtype=np.int64),
            touched=np.zeros(len(columns.pool_names), dtype=np.uint8),
        ),
        outcome=Outcome(
            start_ms=np.full(count, -1, dtype=np.int64),
            end_ms=np.full(count, -1, dtype=np.int64),
            predicted_ms=np.full(count, -1, dtype=np.int64),
            refusal=np.zeros(count, dtype=np.int64),
        ),
    )


def _smallest_need(rows: Rows, columns: NetworkColumns) -> int:
    """A lower bound on any job's need anywhere, milli-devices: it bounds the running claims."""
    options, pools = rows.options, columns.pools
    if len(options.devices_milli) == 0:
        return 1
    whole = rows.jobs.nodes
    smallest = int((options.devices_milli * whole).min())
    for p in range(len(pools.site)):
        node = int(pools.devices[p]) * 1000
        by_cpu = options.cpus_milli * node // max(1, int(pools.cpus_milli[p]))
        by_memory = options.memory_mib * node // max(1, int(pools.memory_mib[p]))
        devices = options.devices_milli if pools.kind[p] >= 0 else 0 * options.devices_milli
        need = np.maximum(np.maximum(devices, by_cpu), by_memory) * whole
        smallest = min(smallest, int(need.min())) if p else int(need.min())
    return max(1, smallest)


def simulate(
    network: Network,
    workload: Workload,
    policy: Policy,
    *,
    seed: int,
    zero_ms: int | None = None,
    progress: Progress | None = None,
) -> SimulationResult:
    """Rehearse ``workload`` under ``policy``; same arguments, same arrays.

    ``zero_ms`` is the absolute time of the workload's own zero (default: the series origin).
    """
    wall = time.perf_counter()
    cpu = time.process_time()
    run = prepare(network, workload, policy, seed=seed, zero_ms=zero_ms)
    count = len(workload)
    chunk = max(1, count // CHUNKS)
    done = 0
    while done < count:
        done = min(count, done + chunk)
        run.advance(done)
        if progress is not None:
            progress(done, count)
    return result_of(run, wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)


def result_of(run: Rehearsal, *, wall_s: float, cpu_s: float) -> SimulationResult:
    """The finished run, charged on true run times, carbon by both methods."""
    count = len(run.workload)
    money = _charged(run, run.columns)
    other: CarbonMethod = "contract" if run.policy.carbon_method == "location" else "location"
    grams = {
        run.policy.carbon_method: money[:, 2],
        other: _charged(run, network_columns(run.network, other))[:, 2],
    }
    pool = run.state.job_pool.copy()
    started = run.outcome.start_ms >= 0
    pool[~started] = -1
    refusal = np.zeros(count, dtype=np.int16)
    for code, word in _CODES.items():
        refusal[run.outcome.refusal == code] = refusal_number(word)
    return SimulationResult(
        policy=run.policy,
        network=run.network,
        workload=run.workload,
        seed=run.seed,
        series_origin_ms=run.origin_ms,
        workload_zero_ms=run.zero_ms,
        pool=pool,
        home_site=run.rows.home_site,
        submit_ms=run.rows.jobs.submit_ms,
        start_ms=run.outcome.start_ms,
        end_ms=run.outcome.end_ms,
        need_milli=np.where(started, run.state.job_need, 0),
        not_before_ms=np.where(
            run.state.job_not_before_ms > 0, run.state.job_not_before_ms, run.rows.jobs.submit_ms
        ),
        predicted_start_ms=run.outcome.predicted_ms,
        refusal=refusal,
        device_micros=money[:, 0].copy(),
        power_micros=money[:, 1].copy(),
        carbon_micros=money[:, 2] * run.rules.carbon_price,
        transfer_micros=money[:, 3].copy(),
        wait_micros=money[:, 4].copy(),
        energy_kwh=money[:, 5].copy(),
        carbon_location_g=grams["location"],
        carbon_contract_g=grams["contract"],
        wall_s=wall_s,
        cpu_s=cpu_s,
        events=int(run.clock.cursor[CURSOR_EVENTS]),
    )


def _charged(
    run: Rehearsal, columns: NetworkColumns
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    money = np.zeros((len(run.workload), 6))
    charge(
        run.outcome, columns.pools, columns.zones, columns.links,
        run.rows.jobs, run.rows.inputs, run.rules, run.state, money,
    )  # fmt: skip
    return money
