"""For the network's operator: invite sites, look at them, cordon, drain, revoke."""

from __future__ import annotations

import logging
import secrets
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from westward.model.faults import Fault, InputFaults
from westward.model.network import Network, PoolStatus
from westward.model.offer import Invitation
from westward.network.values import CellError, check_name
from westward.server.api_jobs import CoreDep
from westward.server.core import Core
from westward.server.errors import ApiError, not_found
from westward.server.joined import View, draining
from westward.server.rights import digest_of
from westward.store.enrol import invite, mark, open_invitations, revoke
from westward.store.jobs import load_active
from westward.store.results import SiteRecord
from westward.store.sites import list_sites

INVITE_TTL_MS = 24 * 3_600_000
INVITE_TTL_MOST_MS = 30 * 24 * 3_600_000
NAME_MOST_CHARS = 64
TAGS_MOST = 50
router = APIRouter(prefix="/v1/joined", tags=["sites"])
Json = dict[str, Any]
Name = Annotated[str, Field(max_length=200)]
log = logging.getLogger("westward.server")


class InviteRequest(BaseModel, extra="forbid"):
    """``zone``, ``place``, ``label`` and ``tags``: only of a site the network folder has not."""

    zone: Name | None = None
    place: Name | None = None
    label: Name = ""
    tags: dict[Name, Name] = {}
    ttl_ms: Annotated[int, Field(ge=1_000, le=INVITE_TTL_MOST_MS)] = INVITE_TTL_MS


class MarkRequest(BaseModel, extra="forbid"):
    status: Literal["open", "cordoned", "draining"]
    pool: Name | None = None
    """None: the whole site."""


@router.post("/{site}/invite", status_code=201)
async def invite_site(site: str, body: InviteRequest, core: CoreDep) -> Json:
    """A token for one enrolment. It is told once and kept as a digest only."""
    invitation = _invitation(core.folder, site, body)
    token = "wji_" + secrets.token_urlsafe(32)
    now_ms = core.clock.now_ms()
    await core.write(invite, core.store, invitation, digest_of(token), body.ttl_ms, now_ms)
    log.info("site %s is invited", site)
    return {"site": site, "token": token, "expires_ms": now_ms + body.ttl_ms}


def _invitation(folder: Network, site: str, body: InviteRequest) -> Invitation:
    """Raises InputFaults with everything that is wrong."""
    faults: list[Fault] = []

    def fault(field: str, problem: str, remedy: str) -> None:
        faults.append(Fault("invitation", None, field, problem, remedy))

    try:
        check_name(site)
    except CellError as error:
        fault("site", error.problem, error.remedy)
    if any(one.name == site for one in folder.sites):
        for name in ("zone", "place", "label", "tags"):
            if getattr(body, name):
                fault(name, f"site {site} stands in the network folder", "Leave it out.")
    else:
        _new_site(folder, site, body, fault)
    if faults:
        raise InputFaults(faults)
    return Invitation(
        site=site,
        zone=body.zone,
        place=body.place,
        label=body.label,
        tags=tuple(sorted(body.tags.items())),
    )


def _new_site(folder: Network, site: str, body: InviteRequest, fault: Any) -> None:
    zones = [zone.name for zone in folder.zones]
    places = [place.name for place in folder.places]
    if site in places:
        fault("site", f"a place of the network is called {site!r}", "Choose another name.")
    if body.zone is None:
        fault(
            "zone",
            f"the network folder has no site {site!r}, so its electricity zone is not known",
            f"Say --zone with one of: {', '.join(zones)}.",
        )
    elif body.zone not in zones:
        fault("zone", f"there is no zone {body.zone!r}", f"There are: {', '.join(zones)}.")
    if body.place is not None and body.place not in places:
        known = ", ".join(places) or "none"
        fault("place", f"there is no place {body.place!r}", f"There are: {known}.")
    if len(body.tags) > TAGS_MOST:
        fault("tags", f"there are {len(body.tags)} tags", f"At most {TAGS_MOST}.")


@router.get("")
async def list_joined(core: CoreDep) -> Json:
    """Every site of the network, joined or not, and every invitation."""
    return await core.read(_list, core)


@router.get("/{site}")
async def show_site(site: str, core: CoreDep) -> Json:
    """One site: its offer, what was discovered, its credential, what runs there."""
    found = await core.read(_list, core)
    for one in found["sites"]:
        if one["site"] == site:
            return {**one, "now_ms": found["now_ms"], "currency": found["currency"]}
    raise not_found("site", site)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Everything that is looked up of all sites at once."""

    view: View
    now_ms: int
    heard_since_ms: int
    statuses: dict[str, PoolStatus]
    agents: dict[str, SiteRecord]
    invitations: dict[str, int]
    runs: dict[str, list[str]]
    """Ids of live runs by site."""


def _list(core: Core) -> Json:
    view, now_ms = core.joined, core.clock.now_ms()
    runs: dict[str, list[str]] = {}
    for record in load_active(core.store).records:
        run = record.live_run
        if run is not None:
            runs.setdefault(run.site, []).append(run.run_id)
    seen = _Seen(
        view=view,
        now_ms=now_ms,
        heard_since_ms=now_ms - core.settings.site_lost_ms,
        statuses=core.pool_statuses(view),
        agents={one.site: one for one in list_sites(core.store)},
        invitations=open_invitations(core.store, now_ms),
        runs=runs,
    )
    names = {site.name for site in view.network.sites} | {*view.sites, *seen.invitations}
    return {
        "now_ms": now_ms,
        "currency": view.folder.currency,
        "sites": [_site(seen, name) for name in sorted(names)],
    }


def _site(seen: _Seen, name: str) -> Json:
    view = seen.view
    row, agent = view.sites.get(name), seen.agents.get(name)
    used = [
        one.created_ms
        for one in view.credentials.values()
        if one.site == name and one.ended_ms is None and one.first_used_ms is not None
    ]
    offer = row.offer if row is not None else None
    return {
        "site": name,
        "in_folder": any(site.name == name for site in view.folder.sites),
        "status": _status(seen, name),
        "joined": row is not None and row.invitation is not None,
        "revoked": row is not None and row.invitation is None,
        "invited_until_ms": seen.invitations.get(name),
        "last_seen_ms": agent.last_seen_ms if agent else None,
        "agent_session": agent.session if agent else None,
        "credential_since_ms": max(used, default=None),
        "marks": dict(view.marks.get(name, {})),
        "live_runs": seen.runs.get(name, []),
        "pools": [
            {
                "pool": pool.name,
                "status": seen.statuses.get(pool.name, "down"),
                "accelerator": pool.accelerator,
                "nodes": pool.nodes,
                "devices_per_node": pool.devices_per_node,
                "price_micros_per_device_hour": pool.price_micros_per_device_hour,
                "accounts": pool.accounts,
                "purposes": pool.purposes,
                "lacks": pool.lacks,
            }
            for pool in view.network.pools
            if pool.site == name
        ],
        "offer": asdict(offer) if offer is not None else None,
        "offered_ms": row.at_ms if row is not None else None,
    }


def _status(seen: _Seen, name: str) -> str:
    """One word for the whole site."""
    view = seen.view
    row, agent = view.sites.get(name), seen.agents.get(name)
    if row is not None and row.invitation is None:
        return "revoked"
    if row is None and not any(site.name == name for site in view.network.sites):
        return "invited"
    if draining(view, name):
        return "draining" if seen.runs.get(name) else "drained"
    if agent is None or agent.last_seen_ms < seen.heard_since_ms:
        return "down"
    own = {seen.statuses.get(pool.name) for pool in view.network.pools if pool.site == name}
    if "open" in own:
        return "open"
    return "cordoned" if "cordoned" in own else "down"


@router.post("/{site}/status")
async def mark_site(site: str, body: MarkRequest, core: CoreDep) -> Json:
    """The network operator's word on a site or a pool. Of this and the site's own word the
    stricter holds; "open" takes this one back."""
    own = [pool.name for pool in core.network.pools if pool.site == site]
    if not any(one.name == site for one in core.network.sites):
        raise not_found("site", site)
    if body.pool is not None and body.pool not in own:
        raise not_found(f"pool of site {site}", body.pool)
    await core.write(mark, core.store, site, body.pool or "", body.status, core.clock.now_ms())
    await core.sites_changed()
    log.info("site %s %s: marked %s", site, body.pool or "(all)", body.status)
    return await show_site(site, core)


@router.post("/{site}/revoke")
async def revoke_site(site: str, core: CoreDep) -> Json:
    """The site is out: its credentials end, its offer is withdrawn, its leases are not renewed."""
    folder = any(one.name == site for one in core.folder.sites)
    invited = await core.read(open_invitations, core.store, core.clock.now_ms())
    if not folder and site not in core.joined.sites and site not in invited:
        raise not_found("site", site)
    done = await core.write(revoke, core.store, site, core.clock.now_ms())
    if not done:
        raise ApiError(409, "revoked-already", f"site {site} was revoked before")
    await core.sites_changed()
    core.sites.ring(site)  # its agent's held poll hears of it now
    log.warning("site %s is revoked", site)
    return await show_site(site, core)
