"""The live network: the network folder with what joined sites offer laid over it. Pure.

A site of the folder keeps its facts; of its offer only price, accounts and purposes reach the
network (hours and status close its pools in the snapshot, see ``closed``). A site that is not in
the folder is what its invitation and its offer say; a blank stays blank.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from westward.model.network import Fact, Link, Network, Pool, Site
from westward.model.offer import (
    Invitation,
    OfferStatus,
    PoolOffer,
    SiteOffer,
    stricter,
)
from westward.model.units import MICROS
from westward.network.hours import open_at

DELEGATED_ENGINES = ("slurm",)
"""Their own scheduler decides the order, unless the offer says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A site that has enrolled. ``offer`` None: it has not said yet what it offers."""

    invitation: Invitation
    offer: SiteOffer | None
    since: str
    """The date of the offer (2026-01-31): its facts hold from then on."""


def overlay(folder: Network, joined: Iterable[Joined]) -> Network:
    """``folder`` with every joined site in it. The offers were checked: see ``offer_check``."""
    given = sorted(joined, key=lambda one: one.invitation.site)
    if not given:
        return folder
    names = {site.name for site in folder.sites}
    sites = {site.name: site for site in folder.sites}
    pools = {pool.name: pool for pool in folder.pools}
    links = {(link.a, link.b): link for link in folder.links}
    facts = list(folder.facts)
    for one in given:
        name = one.invitation.site
        if name in names:
            for offered in one.offer.pools if one.offer else ():
                assert one.offer is not None
                pools[offered.name] = _limited(pools[offered.name], one.offer, offered)
        else:
            sites[name] = _site(folder, one)
            for link in _links(folder, one.invitation):
                links[link.a, link.b] = link
            for offered in one.offer.pools if one.offer else ():
                assert one.offer is not None
                pools[offered.name] = _pool(one.offer, offered)
        facts += _facts(folder, one)
    digest = hashlib.sha256(folder.digest.encode())
    digest.update(repr(given).encode())
    return replace(
        folder,
        sites=tuple(sites[name] for name in sorted(sites)),
        pools=tuple(pools[name] for name in sorted(pools)),
        links=tuple(links[key] for key in sorted(links)),
        facts=tuple(facts),
        digest=digest.hexdigest(),
    )


def closed(offer: SiteOffer, marks: dict[str, OfferStatus], now_ms: int) -> dict[str, OfferStatus]:
    """The offered pools that take nothing new now. ``marks``: the network operator's word by pool,
    "" for the whole site. The stricter word holds."""
    found: dict[str, OfferStatus] = {}
    for pool in offer.pools:
        status = stricter(offer.status, pool.status)
        status = stricter(status, marks.get("", "open"))
        status = stricter(status, marks.get(pool.name, "open"))
        if status == "open" and not open_at(pool.hours, offer.time_zone, now_ms):
            status = "cordoned"
        if status != "open":
            found[pool.name] = status
    return found


def _limited(pool: Pool, offer: SiteOffer, offered: PoolOffer) -> Pool:
    """A pool of the folder at the operator's price, for the accounts and purposes allowed, with
    what the agent's engine lacks."""
    price = offered.price_micros_per_device_hour
    return replace(
        pool,
        price_micros_per_device_hour=pool.price_micros_per_device_hour if price is None else price,
        accounts=offered.accounts,
        purposes=offered.purposes,
        lacks=offer.lacks,
    )


def _site(folder: Network, one: Joined) -> Site:
    invitation, offer = one.invitation, one.offer
    assert invitation.zone is not None, "the enrolment has checked it"
    place = next((p for p in folder.places if p.name == invitation.place), None)
    return Site(
        name=invitation.site,
        label=invitation.label or invitation.site,
        operator=offer.operator if offer else "",
        zone=invitation.zone,
        lat_deg=place.lat_deg if place else None,
        lon_deg=place.lon_deg if place else None,
        pue=offer.pue if offer else None,
        tags=tuple(sorted(invitation.tags)),
    )


def _pool(offer: SiteOffer, offered: PoolOffer) -> Pool:
    nodes, cpus, memory = offered.nodes, offered.cpus_per_node, offered.memory_mib_per_node
    assert nodes is not None
    assert cpus is not None
    assert memory is not None
    managed = offered.managed
    return Pool(
        name=offered.name,
        site=offer.site,
        engine=offer.engine,
        managed=offer.engine not in DELEGATED_ENGINES if managed is None else managed,
        accelerator=offered.accelerator,
        nodes=nodes,
        devices_per_node=offered.devices_per_node or cpus,
        cpus_per_node=cpus,
        memory_mib_per_node=memory,
        price_micros_per_device_hour=offered.price_micros_per_device_hour,
        power_w_per_device=offered.power_w_per_device,
        accounts=offered.accounts,
        purposes=offered.purposes,
        lacks=offer.lacks,
    )


def _links(folder: Network, invitation: Invitation) -> Sequence[Link]:
    """Latencies of the place the site stands in. What moving data costs stays unknown."""
    place = invitation.place
    if place is None:
        return ()
    far = {place: 0.0}
    for link in folder.links:
        if place in (link.a, link.b) and link.one_way_ms is not None:
            far[link.b if link.a == place else link.a] = link.one_way_ms
    return tuple(
        Link(
            a=min(invitation.site, end),
            b=max(invitation.site, end),
            one_way_ms=one_way_ms,
            bandwidth_gbps=None,
            price_micros_per_gb=None,
        )
        for end, one_way_ms in far.items()
    )


def _facts(folder: Network, one: Joined) -> list[Fact]:
    """What the site says of the world, with the offer as its source."""
    offer = one.offer
    if offer is None:
        return []
    stated: list[tuple[str, str, str, object, str]] = [
        ("sites", offer.site, "pue", offer.pue, "ratio")
    ]
    for pool in offer.pools:
        price = pool.price_micros_per_device_hour
        stated += [
            ("pools", pool.name, "nodes", pool.nodes, "nodes"),
            ("pools", pool.name, "devices_per_node", pool.devices_per_node, "devices/node"),
            ("pools", pool.name, "cpus_per_node", pool.cpus_per_node, "cpus/node"),
            ("pools", pool.name, "memory_mib_per_node", pool.memory_mib_per_node, "MiB/node"),
            ("pools", pool.name, "power_w_per_device", pool.power_w_per_device, "W/device"),
            (
                "pools",
                pool.name,
                "price_per_device_hour",
                None if price is None else f"{price / MICROS:g}",
                f"{folder.currency}/device-hour",
            ),
        ]
    return [
        Fact(
            component=component,
            name=name,
            attribute=attribute,
            value=str(value),
            unit=unit,
            valid_from=one.since,
            source=f"offer of site {offer.site}",
        )
        for component, name, attribute, value, unit in stated
        if value is not None
    ]
