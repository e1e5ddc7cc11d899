"""Objects to columns: networks, policies, jobs. The only place that maps one to the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from westward.model.job import InputData, JobSpec, ResourceOption
from westward.model.network import Network, Series, Zone
from westward.model.plan import RULES, CarbonMethod, Policy
from westward.model.units import BYTES_PER_GB, MICROS, MS_PER_HOUR
from westward.placement.classes import fill_classes
from westward.placement.slots import Slots, jobs_of, new_inputs, new_slots
from westward.placement.state import (
    CARBON_UNKNOWN,
    F64,
    I32,
    I64,
    OK,
    PRICE_UNKNOWN,
    RULE_CARBON,
    Classes,
    Costs,
    Inputs,
    Jobs,
    Links,
    Options,
    Pools,
    Rules,
    Traffic,
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
    tariff_rates: tuple[F64 | None, ...] = field(repr=False)
    """Per zone, millionths per kWh per step: what ``zones.tariff`` sums."""
    carbon_rates: tuple[F64 | None, ...] = field(repr=False)


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
    intensities = [carbon_series(z, carbon_method) for z in network.zones]
    carbon, carbon_steps, carbon_step_ms = prefix_table(intensities, 1.0)
    speed = np.array(
        [
            1.0
            if p.accelerator is None
            else network.accelerators[kinds[p.accelerator]].relative_speed
            for p in pools
        ]
    )
    grade_speed, grade = np.unique(speed, return_inverse=True)
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
            speed=speed,
            grade=grade.astype(np.int64),
            grade_speed=grade_speed,
            cover=np.zeros((1, len(pools))),
        ),
        zones=Zones(tariff, tariff_steps, tariff_step_ms, carbon, carbon_steps, carbon_step_ms),
        links=_link_columns(network, sites),
        pool_names=tuple(p.name for p in pools),
        site_names=tuple(sites),
        kind_names=tuple(kinds),
        engine_names=tuple(engines),
        tariff_rates=tuple(_rates(z.tariff_per_kwh, MICROS) for z in network.zones),
        carbon_rates=tuple(_rates(one, 1.0) for one in intensities),
    )


def _rates(series: Series | None, scale: float) -> F64 | None:
    return None if series is None else np.array(series.values, dtype=np.float64) * scale


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
        shared_links=0,
        review_ms=policy.review_ms if policy.rule == "westward" else 0,
        review_depth=policy.review_depth,
        preempt=1 if policy.preemption else 0,
        checkpoint_gb=float(policy.checkpoint_gb_per_device),
        hurdle=policy.move_hurdle_percent / 100.0,
    )


def table_step_ms(columns: NetworkColumns, rules: Rules) -> int:
    """The step of the fused table: every series changes on its grid."""
    zones = columns.zones
    return math.gcd(
        rules.defer_step_ms, *(int(one) for one in zones.tariff_step_ms),
        *(int(one) for one in zones.carbon_step_ms),
    )  # fmt: skip


COST_STEPS = 2_048
"""Steps of the fused table: at an hour each, 85 days; 16 kB a pool, so that it stays in cache."""


def cost_table(
    columns: NetworkColumns,
    rules: Rules,
    from_ms: int,
    *,
    until_ms: int | None = None,
    shadow: F64 | None = None,
    shadow_from_ms: int | None = None,
    shadow_step_ms: int = MS_PER_HOUR,
    factors: tuple[F64, F64] | None = None,
) -> Costs:
    """The rule's sum per device as prefix sums from ``from_ms`` (rounded down to a step).

    ``shadow``: (P, H) millionths per device-hour in each of H steps (hours) from
    ``shadow_from_ms`` (the table's first step) on, a price of capacity on top of what is paid (see
    ``shadow.py``). It counts to the table's step: those who post see to it that the grids agree. ``factors``: what
    tariff and carbon are believed to be, over what they will be, (Z, steps) each.
    """
    zones, pools = columns.zones, columns.pools
    step = table_step_ms(columns, rules)
    first = (from_ms - rules.origin_ms) // step
    steps = COST_STEPS
    if until_ms is not None:
        steps = min(steps, max(1, -(-(until_ms - from_ms) // step) + 1))
    if factors is not None:
        steps = min(steps, factors[0].shape[1])
    at = (first + np.arange(steps, dtype=np.int64)) * step
    count = len(pools.site)
    rate = np.empty((count, steps))
    least = np.empty(count)
    blank = np.full(count, OK, dtype=np.int64)
    for p in range(count):
        z = int(pools.zone[p])
        tariff, carbon = columns.tariff_rates[z], columns.carbon_rates[z]
        kw, price = float(pools.kw[p]), float(pools.price[p])
        if math.isnan(kw) or math.isnan(price) or tariff is None or carbon is None:
            known = not (math.isnan(kw) or math.isnan(price) or tariff is None)
            blank[p] = CARBON_UNKNOWN if known else PRICE_UNKNOWN
            rate[p] = least[p] = 0.0
            continue
        grams = carbon * kw
        if rules.rule == RULE_CARBON:
            rate[p] = grams[at // zones.carbon_step_ms[z] % len(carbon)]
            least[p] = grams.min()
            if factors is not None:
                rate[p] *= factors[1][z, :steps]
                least[p] = min(least[p], rate[p].min())
            continue
        weighed = grams * rules.carbon_price
        power = tariff * kw
        powers = power[at // zones.tariff_step_ms[z] % len(tariff)]
        weights = weighed[at // zones.carbon_step_ms[z] % len(carbon)]
        if factors is not None:
            powers *= factors[0][z, :steps]
            weights *= factors[1][z, :steps]
        rate[p] = price + powers
        rate[p] += weights
        least[p] = price + power.min() + weighed.min()
        if factors is not None:
            least[p] = min(least[p], rate[p].min())
        if shadow is not None:
            since = 0 if shadow_from_ms is None else shadow_from_ms - rules.origin_ms - at[0]
            hour = (at - at[0] - since) // shadow_step_ms
            priced = (hour >= 0) & (hour < shadow.shape[1])
            rate[p, priced] += shadow[p, hour[priced]]
    prefix = np.zeros((count, steps + 1))
    np.cumsum(rate * (step / MS_PER_HOUR), axis=1, out=prefix[:, 1:])
    return Costs(
        prefix=prefix,
        least=least,
        most=np.abs(prefix).max(axis=1),
        blank=blank,
        window=np.array([rules.origin_ms + first * step, step, steps], dtype=np.int64),
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


def new_classes(count: int, pools: int) -> Classes:
    """Room for so many classes; nothing fits anywhere yet."""

    def narrow(columns: int) -> I32:
        return np.zeros((count, columns), dtype=np.int32)

    return Classes(
        need=np.zeros((count, pools), dtype=np.int64),
        option=np.full((count, pools), -1, dtype=np.int32),
        hourly=np.full((count, pools), math.nan),
        capped=np.zeros(count, dtype=np.uint8),
        allowed=np.ones((count, pools), dtype=np.uint8),
        nodes=np.zeros(count, dtype=np.int32),
        devices_milli=narrow(pools),
        cpus_milli=narrow(pools),
        memory_mib=narrow(pools),
    )


def no_traffic(sites: int, datasets: int = 0) -> Traffic:
    """Every link free, no copies."""
    return Traffic(
        link_free_ms=np.zeros((sites, sites), dtype=np.int64),
        replica_ms=np.full((max(1, datasets), sites), -1, dtype=np.int64),
    )


_SHAPE = attrgetter(
    "accelerator", "any_accelerator", "devices_milli", "cpus_milli", "memory_mib", "site",
    "engine", "max_hourly_cost_micros",
)  # fmt: skip


def class_key(spec: JobSpec, allowed: Sequence[bool]) -> tuple[object, ...]:
    """Equal for jobs that ask for the same thing. ``allowed`` by identity: those of one network
    and equal terms are one object (``Prepared.allowed``)."""
    if len(spec.options) == 1:
        return (spec.nodes, id(allowed), _SHAPE(spec.options[0]))
    return (spec.nodes, id(allowed), *map(_SHAPE, spec.options))


SPECS_AT_ONCE = 512
"""Jobs whose fields are read together, while the processor has them at hand."""
ROWS_LEAST = 2
"""Rows of records, used or not. A column of one row counts as contiguous and a column of more does
not; to the compiler those are two types. A plan of one job and a plan of many would be compiled
apart, each in a minute of processor time and with 100 MB of memory for good."""


def job_columns(
    specs: Sequence[JobSpec], allowed_pools: Sequence[Sequence[bool]], columns: NetworkColumns
) -> tuple[Slots, Classes, Inputs]:
    """Records of jobs already in row order, their classes and inputs.

    ``allowed_pools[j][p]``: passes the constraints that do not depend on time (residency,
    latency). Shapes: see ``state``.
    """
    known: dict[tuple[object, ...], int] = {}
    klass: list[int] = []
    count = len(specs)
    slots = new_slots(max(count, ROWS_LEAST))
    jobs = jobs_of(slots)
    sites = {name: row for row, name in enumerate(columns.site_names)}
    for first in range(0, count, SPECS_AT_ONCE):
        rows = slice(first, min(first + SPECS_AT_ONCE, count))
        klass += [
            known.setdefault(class_key(spec, pools), len(known))
            for spec, pools in zip(specs[rows], allowed_pools[rows], strict=True)
        ]
        fill_terms(jobs, rows, specs[rows], sites)
    jobs.klass[:count] = klass
    jobs.order[:count] = np.arange(count)
    _, first_rows = np.unique(jobs.klass[:count], return_index=True)
    firsts = [specs[row] for row in first_rows.tolist()]
    allowed = [allowed_pools[row] for row in first_rows.tolist()]
    given: list[tuple[int, float]] = []
    datasets: list[int] = []
    rows_of = dataset_rows(specs)
    for row, spec in enumerate(specs):
        if spec.inputs:
            moved = moved_inputs(spec, sites)
            jobs.input_from[row] = len(given)
            given += moved
            datasets += [rows_of.get(one.dataset, -1) for one in _placed_inputs(spec, sites)]
            jobs.input_to[row] = len(given)
    inputs = new_inputs(max(len(given), ROWS_LEAST))
    inputs.dataset[: len(given)] = datasets
    if given:
        inputs.site[: len(given)] = [site for site, _ in given]
        inputs.gb[: len(given)] = [gb for _, gb in given]
    return slots, spec_classes(firsts, allowed, columns), inputs


def fill_terms(jobs: Jobs, rows: slice, specs: Sequence[JobSpec], sites: dict[str, int]) -> None:
    """What jobs state of time, money and home, into ``rows``."""

    jobs.submit_ms[rows] = [spec.submit_ms for spec in specs]
    jobs.estimate_ms[rows] = [
        -1 if (stated := spec.duration_ms) is None else stated for spec in specs
    ]
    jobs.start_after_ms[rows] = [
        0 if (stated := spec.start_after_ms) is None else stated for spec in specs
    ]
    jobs.deadline_ms[rows] = [
        -1 if (stated := spec.deadline_ms) is None else stated for spec in specs
    ]
    jobs.wait_value[rows] = [
        math.nan if (stated := spec.wait_value_micros_per_hour) is None else stated
        for spec in specs
    ]
    jobs.home[rows] = [
        -1 if (home := spec.home_site) is None else sites.get(home, -1) for spec in specs
    ]


def moved_inputs(spec: JobSpec, sites: dict[str, int]) -> list[tuple[int, float]]:
    """(site row, GB) of each input. A job with an unknown site is refused by
    ``filters.static_reasons``."""
    return [
        (sites[data.site], data.size_bytes / BYTES_PER_GB) for data in _placed_inputs(spec, sites)
    ]


def _placed_inputs(spec: JobSpec, sites: dict[str, int]) -> list[InputData]:
    return [data for data in spec.inputs if data.size_bytes > 0 and data.site in sites]


def dataset_rows(specs: Sequence[JobSpec]) -> dict[str, int]:
    """A row for each data set that some job reads from one of several copies."""
    found: dict[str, int] = {}
    for spec in specs:
        for data in spec.inputs:
            if data.dataset and data.size_bytes > 0:
                found.setdefault(data.dataset, len(found))
    return found


def live_traffic(specs: Sequence[JobSpec], site_names: Sequence[str]) -> Traffic:
    """Every link free, and the copies that the jobs' data sets have."""
    rows = dataset_rows(specs)
    traffic = no_traffic(len(site_names), len(rows))
    sites = {name: row for row, name in enumerate(site_names)}
    for spec in specs if rows else ():
        for data in spec.inputs:
            for replica in data.replicas if data.dataset in rows else ():
                if replica in sites:
                    traffic.replica_ms[rows[data.dataset], sites[replica]] = 0
    return traffic


def spec_classes(
    firsts: Sequence[JobSpec], allowed: Sequence[Sequence[bool]], columns: NetworkColumns
) -> Classes:
    """The classes of these jobs, one each."""
    classes = new_classes(len(firsts), len(columns.pool_names))
    add_classes(0, firsts, allowed, columns, classes)
    return classes


def add_classes(
    first: int,
    firsts: Sequence[JobSpec],
    allowed: Sequence[Sequence[bool]],
    columns: NetworkColumns,
    classes: Classes,
) -> None:
    """The same into rows ``first`` and on, which must be as ``new_classes`` made them."""
    options: list[tuple[int, ...]] = []
    hourly: list[float] = []
    option_from = [0]
    for spec in firsts:
        for option in spec.options:
            options.append(_option_row(option, columns))
            cap = option.max_hourly_cost_micros
            hourly.append(math.nan if cap is None else float(cap))
        option_from.append(len(options))
    table = np.array(options, dtype=np.int64).reshape(len(options), 6).T.copy()
    for row, pools in enumerate(allowed, start=first):
        classes.allowed[row] = pools
    fill_classes(
        first,
        np.array(option_from, dtype=np.int64),
        np.array([spec.nodes for spec in firsts], dtype=np.int32),
        Options(table[0], table[1], table[2], table[3], table[4], table[5], np.array(hourly)),
        columns.pools,
        classes,
    )
