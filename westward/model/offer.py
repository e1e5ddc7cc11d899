"""What a site offers, and the messages by which it joins. Plain frozen values.

None is a blank: the site does not say. An empty tuple of accounts, purposes or hours is no limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from westward.model.faults import Fault
from westward.model.network import Lack

OfferStatus = Literal["open", "cordoned", "draining"]
"""open: takes work. cordoned: nothing new. draining: nothing new, and told when it is empty."""
OFFER_STATUSES: tuple[OfferStatus, ...] = ("open", "cordoned", "draining")


def stricter(one: OfferStatus, other: OfferStatus) -> OfferStatus:
    """Of two words on the same pool, the one that lets less through."""
    return max(one, other, key=OFFER_STATUSES.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveredPool:
    """Alike nodes that the engine found at the site; the operator decides what of them is offered.

    ``name`` is the engine's own (a Slurm partition, a node group). None = the engine cannot tell.
    """

    name: str
    nodes: int
    accelerator: str | None = None
    devices_per_node: int = 0
    cpus_milli_per_node: int | None = None
    memory_mib_per_node: int | None = None
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOffer:
    """One pool as its operator offers it. ``name`` is unique in the whole network.

    Of a pool in the network folder the shape (accelerator to memory, power) is the folder's and
    must be None here.
    """

    name: str
    status: OfferStatus = "open"
    managed: bool | None = None
    """None: as the engine's kind has it (Slurm decides its own order, the others do not)."""
    accelerator: str | None = None
    nodes: int | None = None
    devices_per_node: int | None = None
    cpus_per_node: int | None = None
    memory_mib_per_node: int | None = None
    power_w_per_device: float | None = None
    price_micros_per_device_hour: int | None = None
    hours: tuple[str, ...] = ()
    """Such as "Mon-Fri 18:00-08:00", in the site's ``time_zone``."""
    accounts: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOffer:
    """Everything a site offers, whole: a later offer replaces an earlier one."""

    site: str
    engine: str
    operator: str = ""
    pue: float | None = None
    """Of a site that is not in the network folder."""
    time_zone: str = "+00:00"
    status: OfferStatus = "open"
    pools: tuple[PoolOffer, ...] = ()
    discovered: tuple[DiscoveredPool, ...] = ()
    """What the engine found, offered or not."""
    lacks: tuple[Lack, ...] = ()
    """What its engine cannot do, by the agent's own word: not for the operator to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What the network's operator vouches for when a site is invited.

    ``zone`` None: the site stands in the network folder, which says the rest.
    """

    site: str
    zone: str | None = None
    place: str | None = None
    label: str = ""
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol:
    """``token``: the invitation's. ``credential_digest``: SHA-256 (hex) of the agent's new secret."""

    token: str
    credential_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderPool:
    """A pool as the network folder states it: what a site of the folder may offer."""

    name: str
    engine: str
    accelerator: str | None
    nodes: int
    devices_per_node: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What a new agent must know to write its offer."""

    site: str
    network: str
    currency: str
    accelerators: tuple[str, ...]
    """The kinds the network knows."""
    in_folder: bool
    folder_pools: tuple[FolderPool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """``next_digest``: SHA-256 (hex) of the secret that will follow."""

    next_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferMessage:
    agent_session: int
    offer: SiteOffer


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferAnswer:
    """Whole or not at all. ``faults``: by field of the offer, such as ``pools[1].accelerator``."""

    accepted: bool
    faults: tuple[Fault, ...] = ()
