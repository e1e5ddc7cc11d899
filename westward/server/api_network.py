"""The network as it is now: sites, snapshot, report, health."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from westward import __version__
from westward.control.records import TERMINAL_JOB_STATES, JobRecord
from westward.model.access import readable
from westward.model.network import Pool, PoolStatus, Site, Zone
from westward.model.people import Grant, Place, Principal, Role
from westward.server.api_jobs import PAGE_MOST, CoreDep
from westward.server.core import Core
from westward.server.rights import PrincipalDep
from westward.server.site_queues import SiteWaits, in_site_queues, site_waits
from westward.server.views import aside_view, bill_view, report_row, snapshot_view
from westward.store.decisions import last_decision
from westward.store.jobs import count_jobs, list_jobs, load_active
from westward.store.metering import load_bills, site_totals
from westward.store.results import SiteRecord, SiteTotal
from westward.store.sites import list_sites

router = APIRouter(prefix="/v1", tags=["network"])
ASIDE_SHOWN_MOST = 100
Json = dict[str, Any]


@router.get("/sites")
async def sites(core: CoreDep, principal: PrincipalDep) -> Json:
    """Every site with its pools, how many run and wait there, prices now, and, for who oversees
    the network or the site, sums so far."""
    return await core.read(_sites, core, principal)


def _sites(core: Core, principal: Principal) -> Json:
    now_ms = core.clock.now_ms()
    joined = core.joined
    statuses = core.pool_statuses(joined)
    agents = {site.site: site for site in list_sites(core.store)}
    totals = {total.site: total for total in site_totals(core.store)}
    records = load_active(core.store).records
    waits = site_waits(core.store, joined.network, records, now_ms)
    return {
        "network": core.network.name,
        "currency": core.network.currency,
        "now_ms": now_ms,
        "sites": [
            _site(
                core,
                site,
                statuses,
                agents.get(site.name),
                totals.get(site.name) if _sees_sums(principal, site.name) else None,
                records,
                waits,
            )
            for site in joined.network.sites
        ],
    }


def _sees_sums(principal: Principal, site: str) -> bool:
    own = Grant(Role.SITE_OPERATOR, Place("site", site))
    return readable(principal) is None or own in principal.grants


def _site(
    core: Core,
    site: Site,
    statuses: dict[str, PoolStatus],
    agent: SiteRecord | None,
    total: SiteTotal | None,
    records: tuple[JobRecord, ...],
    waits: SiteWaits,
) -> Json:
    own = [pool for pool in core.network.pools if pool.site == site.name and pool.name in statuses]
    return {
        "site": site.name,
        "label": site.label,
        "operator": site.operator,
        "status": "open" if any(statuses[pool.name] == "open" for pool in own) else "down",
        "last_seen_ms": agent.last_seen_ms if agent else None,
        "agent_session": agent.session if agent else None,
        "pue": site.pue,
        "now": _hour(core, core.network.zone(site.zone)),
        "pools": [_pool(pool, statuses[pool.name], records, waits) for pool in own],
        "runs_settled": total.runs if total else 0,
        "sums": bill_view(total.sums) if total else None,
    }


def _hour(core: Core, zone: Zone) -> Json:
    """What power costs and emits at this moment; null where it is not known."""
    since_ms = core.clock.now_ms() - core.series_origin_ms
    return {
        name: series.at(since_ms) if series is not None else None
        for name, series in (
            ("tariff_per_kwh", zone.tariff_per_kwh),
            ("carbon_location_g_per_kwh", zone.carbon_location_g_per_kwh),
            ("carbon_contract_g_per_kwh", zone.carbon_contract_g_per_kwh),
        )
    }


def _pool(pool: Pool, status: PoolStatus, records: tuple[JobRecord, ...], waits: SiteWaits) -> Json:
    live = [run for record in records if (run := record.live_run) and run.pool == pool.name]
    waiting = [
        record
        for record in records
        if record.live_run is None and record.bound and record.bound.pool == pool.name
    ]
    return {
        "pool": pool.name,
        "engine": pool.engine,
        "status": status,
        "accelerator": pool.accelerator,
        "nodes": pool.nodes,
        "devices_per_node": pool.devices_per_node,
        "capacity_milli": pool.capacity_milli,
        "held_milli": sum(run.need_milli for run in live),
        "running": len(live),
        "waiting": len(waiting),
        "managed": pool.managed,
        "in_site_queue": len(in_site_queues(records, [pool.name])),
        "site_wait_ms": list(waits.get(pool.name, ())),
        "price_micros_per_device_hour": pool.price_micros_per_device_hour,
    }


@router.get("/snapshot")
async def snapshot(core: CoreDep) -> Json:
    """All that ``plan()`` is given now: feed it back to get the same plan."""
    found = await core.read(core.situation)
    return snapshot_view(found.snapshot, found.to_place, core.settings.policy, found.now_ms)


@router.get("/report")
async def report(
    core: CoreDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = PAGE_MOST,
) -> Json:
    """The newest finished jobs that the asker may see, in the order of submission: where, why
    there, how long, how much."""
    return await core.read(_report, core, limit, readable(principal))


def _report(core: Core, limit: int, accounts: Collection[str] | None) -> Json:
    currency = core.network.currency
    finished = list_jobs(
        core.store,
        states=sorted(TERMINAL_JOB_STATES),
        limit=limit,
        newest_first=True,
        accounts=accounts,
    )
    rows = [
        report_row(
            record,
            load_bills(core.store, record.job_id),
            last_decision(core.store, record.job_id),
            currency,
        )
        for record in reversed(finished)
    ]
    return {
        "network": core.network.name,
        "currency": currency,
        "energy_is": "estimated: declared power per device x metered device time x PUE",
        "jobs": rows,
    }


health = APIRouter(tags=["network"])


@health.get("/healthz")
@health.get("/v1/healthz", include_in_schema=False)
async def healthz(request: Request, core: CoreDep, principal: PrincipalDep) -> Json:
    """``ok`` while every loop's last round went through and no job or run is set aside. What is set
    aside, and how many jobs there are, only for who oversees the network. ``replica``: where
    several servers share a database, which one leads."""
    errors: dict[str, int] = request.app.state.loops.errors
    aside = [*core.jobs_aside.all(), *core.runs_aside.all()]
    oversees = readable(principal) is None
    counts = await core.read(count_jobs, core.store) if oversees else {}
    replica = request.app.state.replica
    return {
        "status": "ok" if not any(errors.values()) and not aside else "degraded",
        "version": __version__,
        "network": core.network.name,
        "now_ms": core.clock.now_ms(),
        "series_origin_ms": core.series_origin_ms,
        "failures_in_a_row": errors,
        "set_aside": [aside_view(one) for one in aside[:ASIDE_SHOWN_MOST] if oversees],
        "set_aside_count": len(aside),
        "jobs": {state.value: count for state, count in counts.items()},
        "replica": None if replica is None else await core.read(replica.view),
    }
