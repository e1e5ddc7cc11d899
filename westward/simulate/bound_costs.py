"""What the lower bound's kernels read: requests and prices, from a workload and a network.

Written apart from ``placement`` on purpose: the bound must not inherit a fault of the planner's
columns, and tests hold finished runs' charges to these prices. Only the draw of homes is shared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from westward.model.network import Network, Series, Zone
from westward.model.plan import CarbonMethod, Policy
from westward.model.units import BYTES_PER_GB, MICROS, MS_PER_HOUR
from westward.model.workload import Workload
from westward.simulate.bound_kernels import F64, I64, NEVER_MS, U8, Market, Requests
from westward.simulate.rows import home_sites


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A workload on a network, priced. Times count from ``zero_ms``, a boundary of every series."""

    requests: Requests
    market: Market
    """With capacity at price nought."""
    rate: F64
    """(P, K) micros per device-hour in each bucket: device, power and carbon."""
    capacity: F64
    """(P,) devices; 0 for pools that take no work or whose price is not known."""
    zero_ms: int
    """Absolute time of the grid's edge 0."""
    bucket_ms: int

    def with_limits(self, end_by_ms: I64, pieces: U8) -> Problem:
        """The same, each job with this limit on its end (ms after ``zero_ms``) and form."""
        return replace(self, requests=self.requests._replace(end_by_ms=end_by_ms, pieces=pieces))


def problem(
    network: Network,
    workload: Workload,
    policy: Policy,
    *,
    seed: int,
    zero_ms: int,
    origin_ms: int,
    bucket_ms: int,
    beyond_ms: int,
) -> Problem:
    """The grid runs from before the first job to ``beyond_ms`` after the last plus the longest run.

    Raises ValueError when ``bucket_ms`` does not divide the step of every series.
    """
    speed = _speeds(network)
    capacity = np.array([pool.capacity_milli / 1000.0 for pool in network.pools])
    known = (capacity > 0) & np.array([pool.status == "open" for pool in network.pools])
    submit = workload.submit_ms + zero_ms
    first = (int(submit.min()) - origin_ms) // bucket_ms * bucket_ms + origin_ms
    slowest = float(speed[known].min()) if known.any() else 1.0
    longest = int(workload.duration_ms.max() / slowest)
    span = int(submit.max()) - first + longest + beyond_ms
    rate = _rates(network, policy, first - origin_ms, bucket_ms, -(-span // bucket_ms) + 1)
    known &= np.isfinite(rate).all(axis=1)
    rate = np.where(known[:, None], rate, 0.0)
    requests = _requests(network, workload, seed, submit - first, zero_ms - first)
    requests.need_milli[:, ~known] = 0
    floor = rate.min(axis=1)
    price_per_gb, ms_per_gb = _links(network)
    names = [site.name for site in network.sites]
    market = Market(
        site=np.array([names.index(pool.site) for pool in network.pools], dtype=np.int64),
        speed=speed,
        order=np.argsort(floor / speed, kind="stable").astype(np.int64),
        floor=floor,
        rate=rate,
        prefix=prefix_of(rate, bucket_ms),
        price_per_gb=price_per_gb,
        ms_per_gb=ms_per_gb,
        bucket_ms=bucket_ms,
        wait_value=float(policy.wait_value_micros_per_device_hour),
    )
    return Problem(
        requests=requests,
        market=market,
        rate=rate,
        capacity=np.where(known, capacity, 0.0),
        zero_ms=first,
        bucket_ms=bucket_ms,
    )


def prefix_of(rate: F64, bucket_ms: int) -> F64:
    """(P, K + 1) running sums of rates per device-hour, micros per device."""
    table = np.zeros((rate.shape[0], rate.shape[1] + 1))
    np.cumsum(rate * (bucket_ms / MS_PER_HOUR), axis=1, out=table[:, 1:])
    return table


def _speeds(network: Network) -> F64:
    """(P,) relative to the reference device; 1 for pools of cpus."""
    kinds = {kind.name: kind.relative_speed for kind in network.accelerators}
    return np.array([1.0 if p.accelerator is None else kinds[p.accelerator] for p in network.pools])


def _links(network: Network) -> tuple[F64, F64]:
    """(S, S) micros per GB and ms per GB; NaN where no link or figure is known."""
    names = [site.name for site in network.sites]
    price = np.full((len(names), len(names)), np.nan)
    pace = np.full_like(price, np.nan)
    np.fill_diagonal(price, 0.0)
    np.fill_diagonal(pace, 0.0)
    for link in network.links:
        if link.a not in names or link.b not in names or link.price_micros_per_gb is None:
            continue
        if link.bandwidth_gbps is None or link.bandwidth_gbps <= 0:
            continue
        a, b = names.index(link.a), names.index(link.b)
        price[a, b] = price[b, a] = float(link.price_micros_per_gb)
        pace[a, b] = pace[b, a] = 8.0 / link.bandwidth_gbps * 1000.0
    return price, pace


def _carbon_series(zone: Zone, method: CarbonMethod) -> Series | None:
    """A zone without contracts has one figure only."""
    if method == "contract" and zone.carbon_contract_g_per_kwh is not None:
        return zone.carbon_contract_g_per_kwh
    return zone.carbon_location_g_per_kwh


def _rates(
    network: Network, policy: Policy, since_origin_ms: int, bucket_ms: int, buckets: int
) -> F64:
    """(P, K) micros per device-hour. NaN rows where a price, the power or a series is not known."""
    at = since_origin_ms + np.arange(buckets, dtype=np.int64) * bucket_ms
    carbon_price = policy.carbon_price_micros_per_tonne / 1e6
    zones = {}
    for zone in network.zones:
        tariff, carbon = zone.tariff_per_kwh, _carbon_series(zone, policy.carbon_method)
        if tariff is None or carbon is None:
            continue
        for series in (tariff, carbon):
            if series.step_ms % bucket_ms:
                raise ValueError(
                    f"a bucket of {bucket_ms} ms does not divide the step of {series.step_ms} ms "
                    f"of zone {zone.name}. Give a divisor of every series' step"
                )
        price = np.array(tariff.values)[at // tariff.step_ms % len(tariff.values)] * MICROS
        grams = np.array(carbon.values)[at // carbon.step_ms % len(carbon.values)]
        zones[zone.name] = price + grams * carbon_price
    rates = np.full((len(network.pools), buckets), np.nan)
    for row, pool in enumerate(network.pools):
        site = network.site(pool.site)
        watts, device = pool.power_w_per_device, pool.price_micros_per_device_hour
        if watts is None or site.pue is None or device is None or site.zone not in zones:
            continue
        rates[row] = device + watts / 1000.0 * site.pue * zones[site.zone]
    return rates


def _requests(
    network: Network, workload: Workload, seed: int, submit_ms: I64, shift_ms: int
) -> Requests:
    """``shift_ms``: the workload's own zero on the grid."""
    shapes, shape = _shapes(workload)
    count = len(workload)
    dataset = np.zeros(count, dtype=np.uint8)
    if workload.dataset is not None:
        dataset = (workload.dataset >= 0).astype(np.uint8)
    pinned = np.zeros(count, dtype=np.uint8)
    if workload.pinned is not None:
        pinned = workload.pinned.astype(np.uint8)
    has_deadline = workload.deadline_ms >= 0
    return Requests(
        submit_ms=submit_ms,
        duration_ms=workload.duration_ms,
        end_by_ms=np.where(has_deadline, workload.deadline_ms + shift_ms, NEVER_MS),
        has_deadline=has_deadline.astype(np.uint8),
        home=home_sites(workload, network, seed).astype(np.int64),
        gb=workload.input_bytes / BYTES_PER_GB,
        dataset=dataset,
        shape=shape.astype(np.int32),
        pinned=pinned,
        pieces=np.zeros(count, dtype=np.uint8),
        need_milli=_needs(network, workload.kind_names, shapes),
    )


def _shapes(workload: Workload) -> tuple[I64, I64]:
    """Distinct (nodes, devices, cpus, memory, kinds) and each job's row of them."""
    mask = workload.kind_mask if workload.kind_mask is not None else np.zeros(len(workload))
    table = np.stack(
        [
            workload.nodes.astype(np.int64),
            workload.devices_milli.astype(np.int64),
            workload.cpus_milli.astype(np.int64),
            workload.memory_mib.astype(np.int64),
            mask.astype(np.int64),
        ],
        axis=1,
    )
    shapes, shape = np.unique(table, axis=0, return_inverse=True)
    return shapes, shape.reshape(-1)


def _kind_bits(network: Network, names: tuple[str, ...], mask: I64) -> I64:
    """Kinds asked for as bits of the network's accelerators; none of them there: any will do."""
    every = (1 << len(network.accelerators)) - 1
    bits = np.zeros_like(mask)
    for row, kind in enumerate(network.accelerators):
        if kind.name in names:
            bits |= ((mask >> names.index(kind.name)) & 1) << row
    return np.where(bits == 0, every, bits)


def _needs(network: Network, kind_names: tuple[str, ...], shapes: I64) -> I64:
    """(S, P) milli-devices a gang takes: its dominant share of a node, times its nodes (ADR 0002).

    0 = the pool cannot hold it: another kind, a node too small, or too few nodes.
    """
    nodes, devices, cpus, memory, mask = shapes.T
    cpus = np.where((devices == 0) & (cpus == 0) & (memory == 0), 1000, cpus)
    kinds = [kind.name for kind in network.accelerators]
    bits = _kind_bits(network, kind_names, mask)
    needs = np.zeros((len(shapes), len(network.pools)), dtype=np.int64)
    for p, pool in enumerate(network.pools):
        if pool.accelerator is None:
            asked = np.zeros_like(devices)
            fits = devices == 0
        else:
            asked = devices
            fits = (devices == 0) | ((bits >> kinds.index(pool.accelerator)) & 1 == 1)
        node = pool.devices_per_node * 1000
        node_cpus = pool.cpus_per_node * 1000
        node_memory = pool.memory_mib_per_node
        fits &= (asked <= node) & (cpus <= node_cpus) & (memory <= node_memory)
        need = np.maximum(asked, 1)
        if node_cpus > 0:
            need = np.maximum(need, -(-cpus * node // node_cpus))
        if node_memory > 0:
            need = np.maximum(need, -(-memory * node // node_memory))
        fits &= pool.nodes * (node // np.maximum(need, 1)) >= nodes
        needs[:, p] = np.where(fits, need * nodes, 0)
    return needs
