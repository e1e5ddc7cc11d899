"""Applies an override to a network: network and override in, network, scenario and demand out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from westward.model.network import Link, Network, Place, Pool, Series, Site
from westward.model.scenario import ForecastError, Outage, Scenario
from westward.network.physics import theoretical_one_way_ms
from westward.study.model import (
    AddDevices,
    AddPool,
    AddSite,
    Capacity,
    Carbon,
    Change,
    ChangeLinks,
    Close,
    CutLinks,
    Demand,
    Forecast,
    NewPool,
    Override,
    Price,
    SharedLinks,
    SiteOutage,
    Tariff,
    Voucher,
)

ENGINE = "kubernetes"
"""Engine of pools that a study adds; the simulator treats managed engines alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What one override makes of the base. ``scenario`` None: the engine need not know of any."""

    network: Network
    scenario: Scenario | None
    demand: float


def apply_override(base: Network, override: Override, seed: int) -> Changed:
    """All changes of the override in their order. ``seed`` draws the forecast's errors.

    The digest of a changed network is the base's with the changes' own behind it, so that nobody
    takes its results for the folder's. Raises KeyError for names that the network does not have
    and ValueError for a tariff without shape; the reader has checked both.
    """
    network, demand = base, 1.0
    outages: list[Outage] = []
    forecast: ForecastError | None = None
    shared = False
    for change in override.changes:
        if isinstance(change, Demand):
            demand *= change.factor
        elif isinstance(change, SiteOutage):
            outages += [
                Outage(site=s, from_ms=change.from_ms, until_ms=change.until_ms, kind=change.kind)
                for s in change.sites
            ]
        elif isinstance(change, Forecast):
            forecast = ForecastError(
                tariff_sigma=change.tariff_sigma,
                carbon_sigma=change.carbon_sigma,
                growth_ms=change.growth_ms,
                seed=seed,
            )
        elif isinstance(change, SharedLinks):
            shared = True
        else:
            network = change_network(network, change)
    if network is not base:
        mark = hashlib.sha256(repr(override.changes).encode()).hexdigest()[:16]
        network = replace(network, digest=f"{base.digest}+override={mark}")
    scenario = None
    if outages or forecast is not None or shared:
        scenario = Scenario(outages=tuple(outages), forecast=forecast, shared_links=shared)
    return Changed(network=network, scenario=scenario, demand=demand)


def change_network(network: Network, change: Change) -> Network:
    """One change of the network itself; other kinds of change leave it as it is."""
    if isinstance(change, AddSite):
        return _add_site(network, change)
    if isinstance(change, AddPool):
        return _with_pools(network, (*network.pools, _pool(change.site, change.pool)))
    if isinstance(change, ChangeLinks):
        return _each_link(network, change.a, change.b, lambda link: _link(link, change))
    if isinstance(change, CutLinks):
        return _each_link(network, change.a, change.b, lambda link: None)
    if isinstance(change, Tariff | Carbon):
        return _zones(network, change)
    if isinstance(change, AddDevices):
        return _each_pool(network, (change.pool,), lambda pool: _grown(pool, change.devices))
    if isinstance(change, Capacity):
        return _each_pool(network, change.pools, lambda pool: _scaled(pool, change.factor))
    if isinstance(change, Close):
        return _each_pool(network, change.pools, lambda pool: replace(pool, status="down"))
    if isinstance(change, Price):
        return _each_pool(network, change.pools, lambda pool: _priced(pool, change.factor))
    if isinstance(change, Voucher):
        return _each_pool(network, change.pools, lambda pool: _priced(pool, 1.0 - change.share))
    return network


def _each_pool(network: Network, names: tuple[str, ...], alter: Callable[[Pool], Pool]) -> Network:
    for name in names:
        network.pool(name)  # a KeyError here, not a change that silently does nothing
    pools = tuple(alter(pool) if pool.name in names else pool for pool in network.pools)
    return replace(network, pools=pools)


def _with_pools(network: Network, pools: tuple[Pool, ...]) -> Network:
    return replace(network, pools=tuple(sorted(pools, key=lambda pool: pool.name)))


def _grown(pool: Pool, devices: int) -> Pool:
    return replace(pool, nodes=pool.nodes + math.ceil(devices / pool.devices_per_node))


def _scaled(pool: Pool, factor: float) -> Pool:
    nodes = math.floor(pool.nodes * factor + 0.5)
    return replace(pool, nodes=max(nodes, 1 if pool.nodes else 0))


def _priced(pool: Pool, factor: float) -> Pool:
    price = pool.price_micros_per_device_hour
    if price is None:
        return pool  # a price that is not known stays unknown
    return replace(pool, price_micros_per_device_hour=round(price * factor))


def _pool(site: str, new: NewPool) -> Pool:
    return Pool(
        name=new.name,
        site=site,
        engine=ENGINE,
        managed=True,
        accelerator=new.accelerator,
        nodes=math.ceil(new.devices / new.devices_per_node),
        devices_per_node=new.devices_per_node,
        cpus_per_node=24 * new.devices_per_node,
        memory_mib_per_node=262_144 * new.devices_per_node,
        price_micros_per_device_hour=new.price_micros_per_device_hour,
        power_w_per_device=new.power_w_per_device,
    )


def _add_site(network: Network, new: AddSite) -> Network:
    network.zone(new.zone)
    site = Site(
        name=new.name,
        label=new.label,
        operator="",
        zone=new.zone,
        lat_deg=new.lat_deg,
        lon_deg=new.lon_deg,
        pue=new.pue,
        tags=new.tags,
    )
    links = list(network.links)
    ends: list[Site | Place] = [*network.sites, *network.places]
    for end in ends:
        here = None
        if end.lat_deg is not None and end.lon_deg is not None:
            here = (end.lat_deg, end.lon_deg)
        light_ms = theoretical_one_way_ms((new.lat_deg, new.lon_deg), here)
        a, b = sorted((new.name, end.name))
        links.append(
            Link(
                a=a,
                b=b,
                one_way_ms=None if light_ms is None else new.over_light * light_ms,
                bandwidth_gbps=new.bandwidth_gbps,
                price_micros_per_gb=new.price_micros_per_gb,
            )
        )
    grown = replace(
        network,
        sites=tuple(sorted((*network.sites, site), key=lambda s: s.name)),
        links=tuple(sorted(links, key=lambda link: (link.a, link.b))),
    )
    pools = tuple(_pool(new.name, pool) for pool in new.pools)
    return _with_pools(grown, (*grown.pools, *pools))


def links_between(network: Network, a: tuple[str, ...], b: tuple[str, ...]) -> list[Link]:
    """Links with one end in ``a`` and the other in ``b``, either way round."""
    return [
        link
        for link in network.links
        if (link.a in a and link.b in b) or (link.a in b and link.b in a)
    ]


def _each_link(
    network: Network,
    a: tuple[str, ...],
    b: tuple[str, ...],
    alter: Callable[[Link], Link | None],
) -> Network:
    chosen = {(link.a, link.b) for link in links_between(network, a, b)}
    links = (alter(link) if (link.a, link.b) in chosen else link for link in network.links)
    return replace(network, links=tuple(link for link in links if link is not None))


def _link(link: Link, change: ChangeLinks) -> Link:
    gbps, price = link.bandwidth_gbps, link.price_micros_per_gb
    if change.bandwidth_gbps is not None:
        gbps = change.bandwidth_gbps
    if change.bandwidth_factor is not None and gbps is not None:
        gbps *= change.bandwidth_factor
    if change.price_micros_per_gb is not None:
        price = change.price_micros_per_gb
    if change.price_factor is not None and price is not None:
        price = round(price * change.price_factor)
    return replace(link, bandwidth_gbps=gbps, price_micros_per_gb=price)


def _zones(network: Network, change: Tariff | Carbon) -> Network:
    zones = []
    for zone in network.zones:
        if zone.name not in change.zones:
            zones.append(zone)
        elif isinstance(change, Tariff):
            series = zone.tariff_per_kwh
            zones.append(
                replace(zone, tariff_per_kwh=None if series is None else _tariff(series, change))
            )
        else:
            location, contract = zone.carbon_location_g_per_kwh, zone.carbon_contract_g_per_kwh
            if change.method in ("location", "both") and location is not None:
                location = _times(location, change.factor)
            if change.method in ("contract", "both") and contract is not None:
                contract = _times(contract, change.factor)
            zones.append(
                replace(
                    zone, carbon_location_g_per_kwh=location, carbon_contract_g_per_kwh=contract
                )
            )
    return replace(network, zones=tuple(zones))


def _times(series: Series, factor: float) -> Series:
    return replace(series, values=tuple(value * factor for value in series.values))


def _tariff(series: Series, change: Tariff) -> Series:
    values = [value * change.factor + change.add_per_kwh for value in series.values]
    if change.peak_valley_ratio is not None:
        values = with_ratio(values, change.peak_valley_ratio)
    return replace(series, values=tuple(values))


def with_ratio(values: list[float], ratio: float) -> list[float]:
    """Stretches the differences from the mean so that max / min = ``ratio``; the mean stays.

    With a = max - mean and b = mean - min, the stretch k solves
    (mean + k a) = ratio × (mean - k b). Raises ValueError where all hours are alike (no hour to
    make dear) or the mean is not positive.
    """
    mean = sum(values) / len(values)
    above, below = max(values) - mean, mean - min(values)
    if ratio == 1.0:
        return [mean] * len(values)
    if above <= 0 or mean <= 0:
        raise ValueError("a tariff that is the same at all hours has no peak to raise")
    stretch = mean * (ratio - 1.0) / (above + ratio * below)
    return [mean + stretch * (value - mean) for value in values]
