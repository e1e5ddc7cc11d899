"""The network folder, edited while jobs wait and run: a price is struck out, a pool or a site is
gone. The server reads it at its next start; at the heal it is whole again.

What runs meanwhile cannot be priced, or is at a pool that nobody knows: it goes on, is held for no
further, and has its bill once the folder is whole. So bills are the same whatever was struck out, but
for lines that are gone: what moved over them is not charged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from westward.model.network import Network


def _no_price(network: Network, site: str) -> Network:
    pools = tuple(
        replace(one, price_micros_per_device_hour=None) if one.site == site else one
        for one in network.pools
    )
    return replace(network, pools=pools)


def _no_power(network: Network, site: str) -> Network:
    pools = tuple(
        replace(one, power_w_per_device=None) if one.site == site else one for one in network.pools
    )
    return replace(network, pools=pools)


def _no_pue(network: Network, site: str) -> Network:
    sites = tuple(replace(one, pue=None) if one.name == site else one for one in network.sites)
    return replace(network, sites=sites)


def _no_tariff(network: Network, _site: str) -> Network:
    zones = tuple(replace(one, tariff_per_kwh=None) for one in network.zones)
    return replace(network, zones=zones)


def _no_pool(network: Network, site: str) -> Network:
    last = [one.name for one in network.pools if one.site == site][-1]
    return replace(network, pools=tuple(one for one in network.pools if one.name != last))


def _no_site(network: Network, site: str) -> Network:
    return replace(
        network,
        sites=tuple(one for one in network.sites if one.name != site),
        pools=tuple(one for one in network.pools if one.site != site),
        links=tuple(one for one in network.links if site not in (one.a, one.b)),
    )


_EDITS: tuple[Callable[[Network, str], Network], ...] = (
    _no_price, _no_power, _no_pue, _no_tariff, _no_pool, _no_site,
)  # fmt: skip


def edited(network: Network, site: str, number: int) -> Network:
    """``network`` without something of ``site``; ``number`` says what."""
    return _EDITS[number % len(_EDITS)](network, site)


def sites_gone(folder: Network, network: Network) -> set[str]:
    """Sites that ``network`` lacks of the whole folder."""
    return {one.name for one in folder.sites} - {one.name for one in network.sites}


def unpriced(network: Network) -> set[str]:
    """Sites at which something that is charged is not stated: what starts there is held for by
    nobody, and told at its settlement."""
    blank = {one.name for one in network.sites if one.pue is None}
    zones = {one.name for one in network.zones if one.tariff_per_kwh is None}
    blank |= {one.name for one in network.sites if one.zone in zones}
    return blank | {
        one.site
        for one in network.pools
        if one.price_micros_per_device_hour is None or one.power_w_per_device is None
    }
