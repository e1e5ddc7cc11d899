"""Joining a network: what ``westward site join`` leaves in the state folder, and how it is read.

link.json        server, site, proxy, authorities          written last: with it the site has joined
credential.json  the site's secret, mode 0600
site.yaml        what is offered; the operator's file
ca.pem           the authorities given with --ca
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from westward.agent import credential as credentials
from westward.agent.credential import Credential, digest_of, wall_ms
from westward.agent.link import Backoff, Refused, ServerLink, Unreachable, Untrusted
from westward.agent.member import SITE_FILE
from westward.agent.site_file import SiteFile, read_site_file
from westward.model.offer import DiscoveredPool, Enrol, Enrolled

LINK_FILE = "link.json"
CA_FILE = "ca.pem"
JOIN_TRIES_MS = 20_000
"""How long joining goes on asking a server that does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where the server is and how to reach it. ``ca`` is a path."""

    server: str
    site: str
    proxy: str | None = None
    ca: str | None = None


def load_link(state: Path) -> Link | None:
    """None: this folder has not joined. Raises ValueError for a file that is not whole."""
    path = state / LINK_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        ca = str(state / CA_FILE) if found["ca"] else None
        return Link(server=found["server"], site=found["site"], proxy=found["proxy"], ca=ca)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); join again") from None


def save_link(state: Path, link: Link) -> None:
    text = {"server": link.server, "site": link.site, "proxy": link.proxy, "ca": bool(link.ca)}
    credentials.write_private(state / LINK_FILE, json.dumps(text))


def load_site_file(state: Path, site: str) -> SiteFile:
    """Raises InputFaults, OSError."""
    text = (state / SITE_FILE).read_text(encoding="utf-8")
    return read_site_file(text, site, file=str(state / SITE_FILE))


def enrol(server: str, token: str, state: Path, *, proxy: str | None, ca: str | None) -> Enrolled:
    """Uses the invitation; the credential is on disk before it is told. A secret that an earlier,
    interrupted joining left there is used again, so that its answer can still be had.

    Raises Refused (the server says no), Unreachable.
    """
    known = credentials.load(state)
    made = known or Credential(secret=credentials.new_secret(), since_ms=wall_ms())
    credentials.save(state, made)
    message = Enrol(token=token, credential_digest=digest_of(made.secret))

    async def ask() -> Enrolled:
        rng = random.Random()
        # A secret that nobody checks here makes the proxies of the environment count.
        link = ServerLink(server, rng, secret="enrolling", ca=ca, proxy=proxy)
        backoff = Backoff(rng)
        end_ms = wall_ms() + JOIN_TRIES_MS
        try:
            while True:
                try:
                    return await link.enrol(message)
                except Untrusted:
                    raise
                except Unreachable:
                    if wall_ms() > end_ms:
                        raise
                    await backoff.pause()
        finally:
            await link.close()

    try:
        return asyncio.run(ask())
    except Refused as error:
        credentials.forget(state)
        if known is not None and "digest-taken" in str(error):  # left by another invitation
            return enrol(server, token, state, proxy=proxy, ca=ca)
        raise


def refusal_text(error: Refused) -> str:
    """The server's own sentence out of a refusal."""
    text = str(error)
    start = text.find("{")
    try:
        return str(json.loads(text[start:])["message"]) if start >= 0 else text
    except (ValueError, KeyError, TypeError):
        return text


HEAD = """\
# What site {site} offers to the network {network}. After a change: westward site apply
# (or send SIGHUP to the agent). A file with faults changes nothing. A blank stays blank.
site: {site}
engine: {engine}          # engine and options count when the agent starts
options: {options}
{facts}time_zone: "+00:00"      # of the hours below: +08:00, or a name such as Europe/Berlin
status: open             # open; cordoned: nothing new; draining: nothing new, until empty
hours: []                # none: always. ["Mon-Fri 18:00-08:00", "Sat,Sun 00:00-24:00"]
accounts: []             # none: any. Only jobs of these accounts
purposes: []             # none: any. Only jobs that state one of these (westward.purpose)

# status, hours, accounts and purposes may stand at a pool too, and then hold there instead.
"""
FACTS = """\
operator: {operator}
pue: {pue}                    # facility power over IT power. Blank: nobody can be charged for power, so no
                         # job that pays comes here
"""
NEW_POOL = """\
  - name: {name}
    engine_pool: {engine_pool}
    accelerator: {accelerator}
    nodes: {nodes}
    devices_per_node: {devices}
    cpus_per_node: {cpus}
    memory_mib_per_node: {memory}
    power_w_per_device: {power}
    price_per_device_hour: {price}
    status: open
"""
FOLDER_POOL = """\
  - name: {name}         # {shape}: as the network folder states it
    engine_pool: {engine_pool}
    price_per_device_hour: # {currency}; blank: the folder's
    status: open
"""


def site_text(
    enrolled: Enrolled,
    engine: str,
    options: Sequence[tuple[str, str]],
    found: Sequence[DiscoveredPool],
    *,
    price: str = "",
    power_w: str = "",
    pue: str = "",
    operator: str = "",
) -> str:
    """The first ``site.yaml``: everything discovered, nothing invented."""
    lines = [
        HEAD.format(
            site=enrolled.site,
            network=enrolled.network,
            engine=engine,
            options=json.dumps(dict(options)),
            facts=""
            if enrolled.in_folder
            else FACTS.format(operator=json.dumps(operator), pue=pue),
        )
    ]
    lines.append("pools:" if found or enrolled.folder_pools else "pools: []")
    if enrolled.in_folder:
        own = [pool for pool in enrolled.folder_pools if pool.engine == engine]
        names = [one.name for one in found]
        for pool in own:
            alike = names[0] if len(own) == len(names) == 1 else None
            lines.append(
                FOLDER_POOL.format(
                    name=pool.name,
                    shape=f"{pool.nodes} x {pool.devices_per_node} {pool.accelerator or 'cpu'}",
                    engine_pool=_engine_pool(
                        engine, pool.name if pool.name in names else alike or ""
                    ),
                    currency=enrolled.currency,
                )
            )
        for one in found:
            lines.append(f"  # discovered: {_discovered(one)}\n")
        return "\n".join(lines)
    known = ", ".join(enrolled.accelerators) or "none"
    lines.append(f"  # The network knows these accelerators: {known}.")
    lines.append(f"  # Prices in {enrolled.currency}. Blank: no job that pays comes here.")
    for one in found:
        cpus = one.cpus_milli_per_node
        lines.append(f"  # discovered: {_discovered(one)}")
        lines.append(
            NEW_POOL.format(
                name=pool_name(enrolled.site, one.name),
                engine_pool=_engine_pool(engine, one.name),
                accelerator=one.accelerator or "",
                nodes=one.nodes,
                devices=one.devices_per_node or "",
                cpus="" if cpus is None else max(1, cpus // 1000),
                memory="" if one.memory_mib_per_node is None else one.memory_mib_per_node,
                power=power_w,
                price=price,
            )
        )
    return "\n".join(lines)


def _engine_pool(engine: str, name: str) -> str:
    """The local engine has one pool, this machine, and no name for it."""
    return "" if engine == "local" else name


def pool_name(site: str, name: str) -> str:
    """Unique in the network: the site's name before the engine's."""
    clean = "".join(char if char.isalnum() or char in "._-" else "-" for char in name)
    return f"{site}-{clean}"[:64]


def _discovered(one: DiscoveredPool) -> str:
    cpus = "?" if one.cpus_milli_per_node is None else f"{one.cpus_milli_per_node / 1000:g}"
    memory = "?" if one.memory_mib_per_node is None else str(one.memory_mib_per_node)
    devices = f"{one.devices_per_node} x {one.accelerator}" if one.accelerator else "no devices"
    labels = "".join(f", {key}={value}" for key, value in one.labels)
    text = f"{one.name}: {one.nodes} nodes of {cpus} cpus, {memory} MiB, {devices}{labels}"
    return text.replace("\n", " ")
