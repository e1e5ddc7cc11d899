"""The ``overrides`` of a study file → changes, each checked against the network it will meet.

A later change of an override may name what an earlier one adds, so each change is applied to the
network right after it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from westward.formats.job_fields import suggestion
from westward.formats.sections import Section
from westward.model.network import Network
from westward.model.units import MICROS, MS_PER_HOUR
from westward.study.changes import change_network, links_between, with_ratio
from westward.study.model import (
    BASE,
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

ALL = "all"


def read_overrides(root: Section, network: Network) -> tuple[Override, ...]:
    """``base`` first, then the file's in their order.

    Changes of ``base`` make the network that the study starts from: every override has them too,
    before its own.
    """
    listed = root.named_sections("overrides")
    base = Override(name=BASE, label="base: the network as it is", changes=())
    for name, section in listed:
        if name == BASE:
            base = _override(name, section, network, ())
    return (
        base,
        *(
            _override(name, section, network, base.changes)
            for name, section in listed
            if name != BASE
        ),
    )


def _override(
    name: str, section: Section, network: Network, before: tuple[Change, ...]
) -> Override:
    changes = list(before)
    now = network
    for change in before:
        now = change_network(now, change)
    for item in section.sections("changes", required=name != BASE):
        told = len(item.faults.found)
        found = _change(item, now)
        if found is not None and len(item.faults.found) == told:
            changes.append(found)
            now = change_network(now, found)
    label = section.text("label", name)
    section.done()
    return Override(name=name, label=label, changes=tuple(changes))


def _change(item: Section, network: Network) -> Change | None:
    """``- tariff: {factor: 2}``: one key that says what, with its own fields below."""
    entries = item.value.entries
    if len(entries) != 1:
        item.fault("", f"holds {len(entries)} keys", "Write one change per list item.")
        return None
    kind = entries[0].key
    reader = _READERS.get(kind)
    if reader is None:
        item.fault(kind, "is no change that is known", suggestion(kind, _READERS))
        return None
    inner = item.section(kind)
    if inner is None:
        return None
    change = reader(inner, network)
    inner.done()
    return change


# Who is meant: names, tag=value, or all


def _chosen(
    section: Section, key: str, names: dict[str, tuple[tuple[str, str], ...]], what: str
) -> tuple[str, ...]:
    """Names in the network's order, from a text or list of names, ``tag=value`` and ``all``."""
    chosen: set[str] = set()
    for text, line in section.texts(key):
        tag, equals, value = (part.strip() for part in text.partition("="))
        if text == ALL:
            chosen.update(names)
        elif equals:
            hits = [name for name, tags in names.items() if (tag, value) in tags]
            if not hits:
                tags = sorted({f"{k}={v}" for found in names.values() for k, v in found})
                section.faults.add(
                    line, section.field(key), f"no {what} has {text}", suggestion(text, tags)
                )
            chosen.update(hits)
        elif text in names:
            chosen.add(text)
        else:
            section.faults.add(
                line, section.field(key), f"no {what} named {text!r}", suggestion(text, names)
            )
    return tuple(name for name in names if name in chosen)


def _sites(section: Section, network: Network, key: str = "sites") -> tuple[str, ...]:
    return _chosen(section, key, {site.name: site.tags for site in network.sites}, "site")


def _pools(section: Section, network: Network, *, default_all: bool = False) -> tuple[str, ...]:
    """``pools: [names]`` or ``sites: [names]`` (all pools there)."""
    if section.has("pools") and section.has("sites"):
        section.fault("sites", "stands beside pools", "Name either sites or pools.")
    sites = _sites(section, network)
    tags: dict[str, tuple[tuple[str, str], ...]] = {
        pool.name: (("accelerator", pool.accelerator or "none"),) for pool in network.pools
    }
    pools = _chosen(section, "pools", tags, "pool")
    if section.has("sites"):
        pools = tuple(pool.name for pool in network.pools if pool.site in sites)
    elif not section.has("pools"):
        if not default_all:
            section.fault("", "does not say which pools", "Give sites: or pools: (all is allowed).")
        return tuple(tags)
    return pools


def _zones(section: Section, network: Network) -> tuple[str, ...]:
    """``zones: [names]`` or ``sites: [names]`` (their zones); neither means all."""
    names: dict[str, tuple[tuple[str, str], ...]] = {zone.name: () for zone in network.zones}
    zones = _chosen(section, "zones", names, "zone")
    sites = _sites(section, network)
    if section.has("sites"):
        used = {site.zone for site in network.sites if site.name in sites}
        return tuple(name for name in names if name in used or name in zones)
    return zones if section.has("zones") else tuple(names)


def _ends(section: Section, network: Network) -> tuple[tuple[str, ...], tuple[str, ...]]:
    ends = {site.name: site.tags for site in network.sites}
    ends |= {place.name: (("kind", "place"),) for place in network.places}
    a, b = (
        _chosen(section, key, ends, "site or place") if section.has(key) else tuple(ends)
        for key in ("from", "to")
    )
    for key in ("from", "to"):
        section.entry(key)
    if a and b and not links_between(network, a, b):
        section.fault("", "no link joins these ends", "Choose ends that a link joins.")
    return a, b


# One reader a kind of change


def _new_pool(section: Section, network: Network) -> NewPool:
    kinds = [kind.name for kind in network.accelerators]
    name = section.text("name", required=True)
    if name in {pool.name for pool in network.pools}:
        section.fault("name", f"there is a pool {name!r} already", "Use add_devices, or rename.")
    return NewPool(
        name=name,
        accelerator=section.choice("accelerator", kinds[0] if kinds else "", kinds),
        devices=section.integer("devices", 1, low=1, high=10**8, required=True),
        devices_per_node=section.integer("devices_per_node", 8, low=1, high=1024),
        price_micros_per_device_hour=round(
            section.number("price_per_device_hour", 0.0, required=True) * MICROS
        ),
        power_w_per_device=section.number("power_w_per_device", 0.0, high=1e5, required=True),
    )


def _read_add_site(section: Section, network: Network) -> Change:
    name = section.text("name", required=True)
    if name in {site.name for site in network.sites}:
        section.fault("name", f"there is a site {name!r} already", "Choose another name.")
    pools = tuple(_closed(pool, network) for pool in section.sections("pools", required=True))
    tags = section.section("tags")
    return AddSite(
        name=name,
        label=section.text("label", name),
        zone=section.choice("zone", network.zones[0].name, [zone.name for zone in network.zones]),
        lat_deg=section.number("lat_deg", 0.0, low=-90.0, high=90.0, required=True),
        lon_deg=section.number("lon_deg", 0.0, low=-180.0, high=180.0, required=True),
        pue=section.number("pue", 1.3, low=1.0, high=5.0, required=True),
        tags=tuple(sorted((e.key, e.value.raw) for e in tags.value.entries)) if tags else (),
        bandwidth_gbps=section.number("bandwidth_gbps", 100.0, required=True),
        price_micros_per_gb=round(section.number("price_per_gb", 0.0, required=True) * MICROS),
        over_light=section.number("latency_over_light", 1.5, low=1.0, high=100.0),
        pools=pools,
    )


def _closed(section: Section, network: Network) -> NewPool:
    pool = _new_pool(section, network)
    section.done()
    return pool


def _read_add_pool(section: Section, network: Network) -> Change | None:
    site = section.choice("site", network.sites[0].name, [site.name for site in network.sites])
    return AddPool(site=site, pool=_new_pool(section, network))


def _read_add_devices(section: Section, network: Network) -> Change | None:
    names = [pool.name for pool in network.pools]
    pool = section.text("pool", required=True)
    if pool and pool not in names:
        section.fault("pool", f"no pool named {pool!r}", suggestion(pool, names))
    devices = section.integer("devices", 1, low=1, high=10**8, required=True)
    return AddDevices(pool=pool, devices=devices)


def _read_capacity(section: Section, network: Network) -> Change:
    factor = section.number("factor", 1.0, low=0.001, high=1000.0, required=True)
    return Capacity(pools=_pools(section, network, default_all=True), factor=factor)


def _read_close(section: Section, network: Network) -> Change:
    return Close(pools=_pools(section, network))


def _read_link(section: Section, network: Network) -> Change:
    a, b = _ends(section, network)
    price = section.maybe_number("price_per_gb", high=1e6)
    change = ChangeLinks(
        a=a,
        b=b,
        bandwidth_gbps=section.maybe_number("bandwidth_gbps", low=1e-6, high=1e9),
        bandwidth_factor=section.maybe_number("bandwidth_factor", low=1e-6, high=1e6),
        price_micros_per_gb=None if price is None else round(price * MICROS),
        price_factor=section.maybe_number("price_factor", high=1e6),
    )
    if change == ChangeLinks(a=a, b=b):
        section.fault("", "changes nothing", "Give bandwidth_gbps, bandwidth_factor or a price.")
    return change


def _read_cut(section: Section, network: Network) -> Change:
    a, b = _ends(section, network)
    return CutLinks(a=a, b=b)


def _read_tariff(section: Section, network: Network) -> Change:
    zones = _zones(section, network)
    ratio = section.maybe_number("peak_valley_ratio", low=1.0, high=1000.0)
    change = Tariff(
        zones=zones,
        factor=section.number("factor", 1.0, high=1000.0),
        add_per_kwh=section.number("add_per_kwh", 0.0, low=-1000.0, high=1000.0),
        peak_valley_ratio=ratio,
    )
    if change == Tariff(zones=zones):
        section.fault("", "changes nothing", "Give factor, add_per_kwh or peak_valley_ratio.")
    for zone in network.zones:
        if ratio in (None, 1.0) or zone.name not in zones or zone.tariff_per_kwh is None:
            continue
        try:
            with_ratio(list(zone.tariff_per_kwh.values), ratio or 1.0)
        except ValueError as error:
            remedy = "Choose zones with a tariff by the hour, or change the network folder."
            section.fault("peak_valley_ratio", f"{zone.name}: {error}", remedy)
    return change


def _read_carbon(section: Section, network: Network) -> Change:
    method = section.choice("method", "both", ("location", "contract", "both"))
    return Carbon(
        zones=_zones(section, network),
        factor=section.number("factor", 1.0, high=1000.0, required=True),
        method="location"
        if method == "location"
        else "contract"
        if method == "contract"
        else "both",
    )


def _read_price(section: Section, network: Network) -> Change:
    factor = section.number("factor", 1.0, high=1000.0, required=True)
    return Price(pools=_pools(section, network, default_all=True), factor=factor)


def _read_voucher(section: Section, network: Network) -> Change:
    share = section.number("share", 0.0, high=1.0, required=True)
    return Voucher(pools=_pools(section, network), share=share)


def _read_demand(section: Section, network: Network) -> Change:
    return Demand(factor=section.number("factor", 1.0, low=0.001, high=1000.0, required=True))


def _read_outage(section: Section, network: Network) -> Change:
    begin = section.duration("from", 0, required=True)
    lasts = section.duration("for", MS_PER_HOUR, required=True)
    if lasts <= 0:
        section.fault("for", "lasts no time", "Give how long, such as 24h.")
    section.entry("sites", required=True)
    return SiteOutage(
        sites=_sites(section, network),
        from_ms=begin,
        until_ms=begin + lasts,
        kind="drain"
        if section.choice("kind", "outage", ("outage", "drain")) == "drain"
        else "outage",
    )


def _read_forecast(section: Section, network: Network) -> Change:
    return Forecast(
        tariff_sigma=section.number("tariff_sigma", 0.0, high=10.0),
        carbon_sigma=section.number("carbon_sigma", 0.0, high=10.0),
        growth_ms=section.duration("growth", 12 * MS_PER_HOUR),
    )


def _read_shared(section: Section, network: Network) -> Change:
    if not section.boolean("queue", True):
        section.fault("queue", "false changes nothing", "Write true, or remove the change.")
    return SharedLinks()


_READERS: dict[str, Callable[[Section, Network], Change | None]] = {
    "add_devices": _read_add_devices,
    "add_pool": _read_add_pool,
    "add_site": _read_add_site,
    "capacity": _read_capacity,
    "carbon": _read_carbon,
    "close": _read_close,
    "cut_link": _read_cut,
    "demand": _read_demand,
    "forecast_error": _read_forecast,
    "link": _read_link,
    "outage": _read_outage,
    "price": _read_price,
    "shared_links": _read_shared,
    "tariff": _read_tariff,
    "voucher": _read_voucher,
}
CHANGE_KINDS: Sequence[str] = tuple(_READERS)
