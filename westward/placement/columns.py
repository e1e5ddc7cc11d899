"""Objects to columns: networks, policies, jobs. The only place that maps one to the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from westward.model.job import JobSpec, ResourceOption
from westward.model.network import Network, Series, Zone
from westward.model.plan import RULES, CarbonMethod, Policy
from westward.model.units import BYTES_PER_GB, MICROS, MS_PER_HOUR
from westward.placement.state import (
    BLOCK,
    F64,
    I64,
    U8,
    Inputs,
    Jobs,
    Links,
    Options,
    Pools,
    Rules,
    State,
    Zones,
)

MAX_KINDS = 62
"""Accelerator kinds in one network: they are bits of an int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkColumns:
    """A network as arrays, with the names that give rows their meaning."""

    pools: Pools
    zones: Zones
    links: Links
    pool_names: tuple[str, ...]
    site_names: tuple[str, ...]
    kind_names: tuple[str, ...]
    engine_names: tuple[str, ...]


def carbon_series(zone: Zone, method: CarbonMethod) -> Series | None:
    """The zone's intensity by the stated method; a zone without contracts has one figure only."""
    if method == "contract" and zone.carbon_contract_g_per_kwh is not None:
        return zone.carbon_contract_g_per_kwh
    return zone.carbon_location_g_per_kwh


def prefix_table(series: Sequence[Series | None], scale: float) -> tuple[F64, I64, I64]:
    """Prefix sums of value × hours per step, one row a series; NaN rows where unknown.

    Shapes: (Z, longest + 1), (Z,), (Z,). Units: value's unit × scale × hours.
    """
    longest = max((len(s.values) for s in series if s is not None), default=1)
    table = np.full((len(series), longest + 1), np.nan)
    steps = np.ones(len(series), dtype=np.int64)
    step_ms = np.full(len(series), MS_PER_HOUR, dtype=np.int64)
    for row, one in enumerate(series):
        if one is None:
            continue
        count = len(one.values)
        hours = one.step_ms / MS_PER_HOUR
        table[row, 0] = 0.0
        table[row, 1 : count + 1] = np.cumsum(np.array(one.values) * scale * hours)
        table[row, count + 1 :] = table[row, count]
        steps[row] = count
        step_ms[row] = one.step_ms
    return table, steps, step_ms


def network_columns(network: Network, carbon_method: CarbonMethod) -> NetworkColumns:
    """Arrays over the network's components, rows in the network's (name) order."""
    sites = {site.name: row for row, site in enumerate(network.sites)}
    zones = {zone.name: row for row, zone in enumerate(network.zones)}
    kinds = {kind.name: row for row, kind in enumerate(network.accelerators)}
    if len(kinds) > MAX_KINDS:
        raise ValueError(f"a network may have at most {MAX_KINDS} accelerator kinds")
    engines = {name: row for row, name in enumerate(sorted({p.engine for p in network.pools}))}

    def ints(values: Sequence[int]) -> I64:
        return np.array(values, dtype=np.int64)

    pools = network.pools
    kw = []
    for pool in pools:
        pue = network.sites[sites[pool.site]].pue
        watts = pool.power_w_per_device
        kw.append(math.nan if watts is None or pue is None else watts / 1000.0 * pue)
    price = [
        math.nan
        if p.price_micros_per_device_hour is None
        else float(p.price_micros_per_device_hour)
        for p in pools
    ]
    tariff, tariff_steps, tariff_step_ms = prefix_table(
        [z.tariff_per_kwh for z in network.zones], MICROS
    )
    carbon, carbon_steps, carbon_step_ms = prefix_table(
        [carbon_series(z, carbon_method) for z in network.zones], 1.0
    )
    return NetworkColumns(
        pools=Pools(
            capacity_milli=ints([p.capacity_milli for p in pools]),
            nodes=ints([p.nodes for p in pools]),
            devices=ints([p.devices_per_node for p in pools]),
            cpus_milli=ints([p.cpus_per_node * 1000 for p in pools]),
            memory_mib=ints([p.memory_mib_per_node for p in pools]),
            kind=ints([-1 if p.accelerator is None else kinds[p.accelerator] for p in pools]),
            site=ints([sites[p.site] for p in pools]),
            zone=ints([zones[network.sites[sites[p.site]].zone] for p in pools]),
            engine=ints([engines[p.engine] for p in pools]),
            open=np.array([p.status == "open" for p in pools], dtype=np.uint8),
            price=np.array(price),
            kw=np.array(kw),
            speed=np.array(
                [
                    1.0
                    if p.accelerator is None
                    else network.accelerators[kinds[p.accelerator]].relative_speed
                    for p in pools
                ]
            ),
        ),
        zones=Zones(tariff, tariff_steps, tariff_step_ms, carbon, carbon_steps, carbon_step_ms),
        links=_link_columns(network, sites),
        pool_names=tuple(p.name for p in pools),
        site_names=tuple(sites),
        kind_names=tuple(kinds),
        engine_names=tuple(engines),
    )


def _link_columns(network: Network, sites: dict[str, int]) -> Links:
    count = len(sites)
    price = np.full((count, count), np.nan)
    ms_per_gb = np.full((count, count), np.nan)
    np.fill_diagonal(price, 0.0)
    np.fill_diagonal(ms_per_gb, 0.0)
    for link in network.links:
        a, b = sites.get(link.a), sites.get(link.b)
        if a is None or b is None or link.bandwidth_gbps is None:
            continue
        if link.price_micros_per_gb is None or link.bandwidth_gbps <= 0:
            continue
        price[a, b] = price[b, a] = float(link.price_micros_per_gb)
        ms_per_gb[a, b] = ms_per_gb[b, a] = 8.0 / link.bandwidth_gbps * 1000.0
    return Links(price, ms_per_gb)


def rule_columns(policy: Policy, columns: NetworkColumns, origin_ms: int) -> Rules:
    """The policy as scalars. Starts are tried at the boundaries of the finest tariff step."""
    finite = bool(
        (np.nan_to_num(np.diff(columns.zones.tariff)) >= 0).all()
        and (np.nan_to_num(np.diff(columns.zones.carbon)) >= 0).all()
    )
    return Rules(
        rule=RULES.index(policy.rule),
        conservative=1 if policy.discipline == "conservative" else 0,
        wait_value=float(policy.wait_value_micros_per_device_hour),
        carbon_price=policy.carbon_price_micros_per_tonne / 1e6,
        defer_limit_ms=policy.defer_limit_ms,
        defer_step_ms=int(columns.zones.tariff_step_ms.min()),
        reserve_percent=policy.deadline_reserve_percent,
        origin_ms=origin_ms,
        assumed_ms=policy.assumed_duration_ms,
        depth=policy.backfill_depth,
        prunable=1 if finite else 0,
    )


def _option_row(option: ResourceOption, columns: NetworkColumns) -> tuple[int, ...]:
    """kinds, devices, cpus, memory, site, engine. An unknown name matches nothing."""
    if option.any_accelerator:
        kinds = ((1 << len(columns.kind_names)) - 1) or (1 << MAX_KINDS)
    elif option.accelerator is None:
        kinds = 0
    elif option.accelerator in columns.kind_names:
        kinds = 1 << columns.kind_names.index(option.accelerator)
    else:
        kinds = 1 << MAX_KINDS
    site = -1
    if option.site is not None:
        site = _row_or(columns.site_names, option.site, len(columns.site_names))
    engine = -1
    if option.engine is not None:
        engine = _row_or(columns.engine_names, option.engine, len(columns.engine_names))
    cpus = option.cpus_milli
    if option.devices_milli == 0 and cpus == 0 and option.memory_mib == 0:
        cpus = 1000
    return (kinds, option.devices_milli, cpus, option.memory_mib, site, engine)


def _row_or(names: tuple[str, ...], name: str, other: int) -> int:
    return names.index(name) if name in names else other


def job_columns(
    specs: Sequence[JobSpec], allowed_pools: Sequence[Sequence[bool]], columns: NetworkColumns
) -> tuple[Jobs, Options, Inputs, U8]:
    """Columns of jobs already in row order. ``allowed_pools[j][p]``: passes the constraints that
    do not depend on time (residency, latency). Shapes: see ``state``."""
    options: list[tuple[int, ...]] = []
    hourly: list[float] = []
    option_from = [0]
    input_site: list[int] = []
    input_gb: list[float] = []
    input_from = [0]
    for spec in specs:
        for option in spec.options:
            options.append(_option_row(option, columns))
            cap = option.max_hourly_cost_micros
            hourly.append(math.nan if cap is None else float(cap))
        option_from.append(len(options))
        for data in spec.inputs:
            # An unknown site has been refused by filters.static_reasons.
            if data.size_bytes > 0 and data.site in columns.site_names:
                input_site.append(columns.site_names.index(data.site))
                input_gb.append(data.size_bytes / BYTES_PER_GB)
        input_from.append(len(input_site))
    table = np.array(options, dtype=np.int64).reshape(len(options), 6).T.copy()

    def ints(values: Sequence[int]) -> I64:
        return np.array(values, dtype=np.int64)

    jobs = Jobs(
        submit_ms=ints([s.submit_ms for s in specs]),
        estimate_ms=ints([-1 if s.duration_ms is None else s.duration_ms for s in specs]),
        nodes=ints([s.nodes for s in specs]),
        option_from=ints(option_from),
        constraint=np.arange(len(specs), dtype=np.int64),
        start_after_ms=ints([0 if s.start_after_ms is None else s.start_after_ms for s in specs]),
        deadline_ms=ints([-1 if s.deadline_ms is None else s.deadline_ms for s in specs]),
        wait_value=np.array(
            [
                math.nan
                if s.wait_value_micros_per_hour is None
                else float(s.wait_value_micros_per_hour)
                for s in specs
            ]
        ),
        input_from=ints(input_from),
        home=ints(
            [
                -1 if s.home_site is None else _row_or(columns.site_names, s.home_site, -1)
                for s in specs
            ]
        ),
    )
    allowed = np.array(allowed_pools, dtype=np.uint8).reshape(len(specs), len(columns.pool_names))
    return (
        jobs,
        Options(table[0], table[1], table[2], table[3], table[4], table[5], np.array(hourly)),
        Inputs(ints(input_site), np.array(input_gb, dtype=np.float64)),
        allowed,
    )


def new_state(
    pools: Pools, jobs: int, smallest_need_milli: int, depth: int, extra: int = 0
) -> State:
    """An idle network. ``extra`` claims per pool beyond the ``jobs`` rows may be added.

    A pool never holds more claims than fit into it, nor more than there are jobs.
    """
    count = len(pools.site)
    fits = pools.capacity_milli // max(1, smallest_need_milli)
    room = np.minimum(fits, jobs) + extra + 1
    blocks = 2 * room // (BLOCK // 2) + 3
    dir_from = np.concatenate([[0], np.cumsum(blocks)]).astype(np.int64)
    total = int(dir_from[-1])
    free_blocks = np.concatenate([[total], np.arange(total - 1, -1, -1)]).astype(np.int64)
    profile_room = room + 2 * min(depth, jobs) + 4
    profile_from = np.concatenate([[0], np.cumsum(profile_room)]).astype(np.int64)

    def zeros(size: int) -> I64:
        return np.zeros(size, dtype=np.int64)

    return State(
        free_milli=pools.capacity_milli.copy(),
        dir_from=dir_from,
        dir_block=zeros(total),
        dir_count=zeros(count),
        block_len=zeros(total),
        block_need=zeros(total),
        free_blocks=free_blocks,
        run_end_ms=zeros(total * BLOCK),
        run_need=zeros(total * BLOCK),
        run_job=zeros(total * BLOCK),
        run_count=zeros(count),
        run_work=zeros(count),
        head=np.full(count, -1, dtype=np.int64),
        tail=np.full(count, -1, dtype=np.int64),
        queued_count=zeros(count),
        queued_milli=zeros(count),
        queued_work=zeros(count),
        next=np.full(jobs, -1, dtype=np.int32),
        prev=np.full(jobs, -1, dtype=np.int32),
        job_pool=np.full(jobs, -1, dtype=np.int32),
        job_option=np.full(jobs, -1, dtype=np.int32),
        job_need=zeros(jobs),
        job_duration_ms=zeros(jobs),
        job_not_before_ms=zeros(jobs),
        job_reserved_ms=zeros(jobs),
        profile_from=profile_from,
        profile_times=zeros(int(profile_from[-1])),
        profile_free=zeros(int(profile_from[-1])),
        profile_count=zeros(count),
        started=zeros(max(jobs, 1)),
    )
