"""Whether the live network can take an offer. Every fault at once, by field of the offer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches

from westward.model.faults import Fault
from westward.model.network import Network
from westward.model.offer import OFFER_STATUSES, Invitation, PoolOffer, SiteOffer
from westward.network.hours import parse_window, parse_zone
from westward.network.values import CellError, check_name

ENGINES = ("local", "slurm", "ray", "kubernetes")
POOLS_MOST = 1_000
LIST_MOST = 1_000
"""Accounts, purposes or hours of one pool."""
COUNTS_MOST = {
    "nodes": 10_000_000,
    "devices_per_node": 100_000,
    "cpus_per_node": 100_000,
    "memory_mib_per_node": 100_000_000,
}
"""As in the network folder's schema: the planner counts milli-devices in 64 bits."""
COUNTS = tuple(COUNTS_MOST)
NEEDED = ("nodes", "cpus_per_node", "memory_mib_per_node")
SHAPE = ("managed", "accelerator", *COUNTS, "power_w_per_device")
TEXT_MOST = 200
PRICE_MOST_MICROS = 10**12


class _Check:
    def __init__(self, folder: Network, invitation: Invitation, file: str) -> None:
        self.folder = folder
        self.file = file
        self.in_folder = any(site.name == invitation.site for site in folder.sites)
        self.faults: list[Fault] = []

    def fault(self, field: str, problem: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, None, field, problem, remedy))

    def site(self, offer: SiteOffer) -> None:
        try:
            parse_zone(offer.time_zone)
        except ValueError as error:
            self.fault("time_zone", str(error), "Or leave it out for UTC.")
        self.word("operator", offer.operator)
        if offer.engine not in ENGINES:
            self.fault(
                "engine", f"no engine is called {offer.engine!r}", f"Use {', '.join(ENGINES)}."
            )
        if offer.status not in OFFER_STATUSES:
            self.fault(
                "status",
                f"{offer.status!r} is no status",
                f"Use {', '.join(OFFER_STATUSES)}.",
            )
        pue = offer.pue
        if pue is not None and self.in_folder:
            self.fault("pue", "the network folder states this site's PUE", "Leave it blank.")
        elif pue is not None and not 1 <= pue <= 5:
            self.fault("pue", f"{pue:g} is out of range", "Facility power over IT power: 1 to 5.")
        if len(offer.pools) > POOLS_MOST:
            self.fault("pools", f"there are {len(offer.pools)} pools", f"At most {POOLS_MOST}.")

    def word(self, field: str, text: str) -> None:
        if len(text) > TEXT_MOST or not text.isprintable():
            problem = f"it is longer than {TEXT_MOST} characters, or holds one that cannot be shown"
            self.fault(field, problem, "Write plain text.")

    def pool(self, at: str, pool: PoolOffer, engine: str, taken: Mapping[str, str]) -> None:
        try:
            check_name(pool.name)
        except CellError as error:
            self.fault(f"{at}.name", error.problem, error.remedy)
        other = taken.get(pool.name)
        if other is not None:
            self.fault(
                f"{at}.name",
                f"a pool called {pool.name!r} belongs to {other}",
                "Names are unique in the network: put the site's name before it.",
            )
        if pool.status not in OFFER_STATUSES:
            self.fault(
                f"{at}.status",
                f"{pool.status!r} is no status",
                f"Use {', '.join(OFFER_STATUSES)}.",
            )
        price = pool.price_micros_per_device_hour
        if price is not None and not 0 <= price <= PRICE_MOST_MICROS:
            self.fault(
                f"{at}.price_per_device_hour",
                f"{price / 1e6:g} is out of range",
                f"0 to 1000000 {self.folder.currency}, or blank.",
            )
        for name in ("hours", "accounts", "purposes"):
            if len(getattr(pool, name)) > LIST_MOST:
                self.fault(f"{at}.{name}", "the list is too long", f"At most {LIST_MOST}.")
        for name in ("accounts", "purposes"):
            for number, word in enumerate(getattr(pool, name)):
                self.word(f"{at}.{name}[{number}]", word)
        for number, text in enumerate(pool.hours):
            try:
                parse_window(text)
            except ValueError as error:
                self.fault(f"{at}.hours[{number}]", str(error), "No hours: always.")
        if self.in_folder:
            self.of_folder(at, pool, engine)
        else:
            self.shape(at, pool)

    def of_folder(self, at: str, pool: PoolOffer, engine: str) -> None:
        known = next((one for one in self.folder.pools if one.name == pool.name), None)
        if known is not None and known.engine != engine:
            self.fault(
                "engine",
                f"the network folder says that {pool.name} runs on {known.engine}, not {engine}",
                "Correct the one that is wrong.",
            )
        for name in SHAPE:
            if getattr(pool, name) is not None:
                self.fault(
                    f"{at}.{name}", "the network folder states this of the pool", "Leave it out."
                )

    def shape(self, at: str, pool: PoolOffer) -> None:
        for name in NEEDED:
            if getattr(pool, name) is None:
                self.fault(f"{at}.{name}", "it is not stated", "Write a whole number.")
        for name in COUNTS:
            value = getattr(pool, name)
            most = COUNTS_MOST[name]
            if value is not None and not 1 <= value <= most:
                self.fault(f"{at}.{name}", f"{value} is out of range", f"From 1 to {most}.")
        if pool.accelerator is not None:
            self.accelerator(at, pool.accelerator)
            if pool.devices_per_node is None:
                self.fault(
                    f"{at}.devices_per_node", "it is not stated", "How many devices has a node?"
                )
        power = pool.power_w_per_device
        if power is not None and not (math.isfinite(power) and 0 <= power <= 100_000):
            self.fault(
                f"{at}.power_w_per_device", f"{power:g} is out of range", "0 to 100000 W, or blank."
            )

    def accelerator(self, at: str, kind: str) -> None:
        kinds = [one.name for one in self.folder.accelerators]
        if kind in kinds:
            return
        near = get_close_matches(kind, kinds, n=1)
        known = f"Did you mean {near[0]}?" if near else f"It knows {', '.join(kinds) or 'none'}."
        self.fault(
            f"{at}.accelerator",
            f"the network knows no accelerator {kind!r}",
            f"{known} A new kind goes into the network folder first.",
        )


def check_offer(
    offer: SiteOffer,
    invitation: Invitation,
    folder: Network,
    others: Mapping[str, str],
    file: str = "site.yaml",
) -> tuple[Fault, ...]:
    """Empty if the network can take it. ``others``: pools of other sites, with their site."""
    check = _Check(folder, invitation, file)
    check.site(offer)
    own = {pool.name for pool in folder.pools if pool.site == invitation.site}
    seen: dict[str, str] = {}
    for number, pool in enumerate(offer.pools):
        at = f"pools[{number}]"
        check.pool(at, pool, offer.engine, {**others, **seen})
        seen[pool.name] = "this site already"
        if check.in_folder and pool.name not in own and pool.name not in others:
            check.fault(
                f"{at}.name",
                f"the network folder has no pool {pool.name!r} of this site",
                f"It has {', '.join(sorted(own)) or 'none'}.",
            )
    return tuple(check.faults)
