"""The joined sites, kept in memory: who may speak for them, and the live network they make.

The store is the truth; this is read from it at the start and after each change. Threads may read:
everything is replaced, nothing edited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from westward.model.network import Network, PoolStatus
from westward.model.offer import Invitation, OfferStatus
from westward.network.overlay import Joined, closed, overlay
from westward.store.database import Store
from westward.store.enrol import (
    Credential,
    OfferRow,
    all_credentials,
    all_marks,
    all_offers,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything at one moment."""

    folder: Network
    network: Network
    """The folder with the offers over it."""
    rows: tuple[OfferRow, ...]
    sites: Mapping[str, OfferRow]
    """The newest row of every site that ever joined; see ``OfferRow.invitation``."""
    credentials: Mapping[str, Credential]
    """By digest; ended ones too, so that they can be refused by name."""
    marks: Mapping[str, Mapping[str, OfferStatus]]


def load_view(store: Store, folder: Network, before: View | None = None) -> View:
    """Reads the store. A network that did not change stays the same object: what is prepared for
    planning is kept by identity."""
    rows = all_offers(store)
    sites = {row.site: row for row in rows}
    network = folder
    if before is not None and before.sites == sites:
        network = before.network
    elif sites:
        network = _network(folder, sites)
    return View(
        folder=folder,
        network=network,
        rows=rows,
        sites=sites,
        credentials={one.digest: one for one in all_credentials(store)},
        marks=all_marks(store),
    )


def network_at(view: View, at_ms: int) -> Network:
    """The network with the offers in force at ``at_ms``: what a run granted then is billed by."""
    then = {row.site: row for row in view.rows if row.at_ms <= at_ms}
    if then == dict(view.sites):
        return view.network
    return _network(view.folder, then)


def _network(folder: Network, sites: Mapping[str, OfferRow]) -> Network:
    zones = {zone.name for zone in folder.zones}
    known = {site.name for site in folder.sites}
    return overlay(
        folder,
        [
            Joined(
                invitation=row.invitation,
                offer=row.offer,
                since=datetime.fromtimestamp(row.at_ms / 1000, tz=UTC).date().isoformat(),
            )
            for row in sites.values()
            if row.invitation is not None
            # The folder may have changed since: a site in no zone cannot be planned with.
            and (row.site in known or row.invitation.zone in zones)
        ],
    )


def statuses(view: View, alive: Mapping[str, PoolStatus], now_ms: int) -> dict[str, PoolStatus]:
    """``alive`` (what folder and agents' silence say), and closed where an operator says so."""
    found = dict(alive)
    for site, row in view.sites.items():
        own = [pool.name for pool in view.network.pools if pool.site == site]
        offered = set() if row.offer is None else {pool.name for pool in row.offer.pools}
        for name in own:
            if name not in offered:  # withdrawn, or of the folder and not offered
                found[name] = "down"
        if row.offer is not None:
            for name in closed(row.offer, dict(view.marks.get(site, {})), now_ms):
                if found.get(name) == "open":
                    found[name] = "cordoned"
    for site, marks in view.marks.items():
        for pool in view.network.pools:
            marked = pool.site == site and ("" in marks or pool.name in marks)
            if marked and found.get(pool.name) == "open":
                found[pool.name] = "cordoned"
    return found


def draining(view: View, site: str) -> bool:
    """Whether the whole site is to run empty, by its own or the network operator's word."""
    row = view.sites.get(site)
    own = row.offer.status if row is not None and row.offer is not None else "open"
    return "draining" in (own, view.marks.get(site, {}).get("", "open"))


def invitation_of(view: View, site: str) -> Invitation | None:
    row = view.sites.get(site)
    return None if row is None else row.invitation


def pools_of_others(view: View, site: str) -> dict[str, str]:
    """Names that ``site`` cannot give to its pools, and whose they are."""
    return {pool.name: f"site {pool.site}" for pool in view.network.pools if pool.site != site}
