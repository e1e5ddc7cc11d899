"""``/metrics``: what the server counted, and gauges read from the store when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.exposition import generate_latest

from westward.server.core import Core
from westward.store.counts import leased_milli
from westward.store.jobs import count_jobs
from westward.store.sites import list_sites

if TYPE_CHECKING:
    from westward.server.replica import Replica  # psycopg is an extra

router = APIRouter(tags=["network"])


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Prometheus text. Reads the store once for the gauges."""
    core = request.app.state.core
    state = request.app.state
    text = await core.read(_scrape, core, state.loops.errors, state.replica)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _scrape(core: Core, failures: dict[str, int], replica: Replica | None) -> bytes:
    own = core.metrics
    told = {} if replica is None else replica.view()
    own.leads.set(told.get("role", "leader") == "leader")
    own.epoch.set(int(str(told.get("epoch", 0))))
    own.clock_off.set(int(str(told.get("clock_off_ms", 0))) / 1000)
    for state, count in count_jobs(core.store).items():
        own.jobs.labels(state.value).set(count)
    leased = leased_milli(core.store)
    statuses = core.pool_statuses()
    for pool in core.network.pools:
        runs, milli = leased.get(pool.name, (0, 0))
        own.pool_open.labels(pool.site, pool.name).set(statuses.get(pool.name) == "open")
        own.pool_devices.labels(pool.site, pool.name).set(pool.capacity_milli / 1000)
        own.pool_leased.labels(pool.site, pool.name).set(milli / 1000)
        own.pool_runs.labels(pool.site, pool.name).set(runs)
    now_ms = core.clock.now_ms()
    for site in list_sites(core.store):
        own.site_silence.labels(site.site).set(max(0, now_ms - site.last_seen_ms) / 1000)
    own.set_aside.set(len(core.jobs_aside.all()) + len(core.runs_aside.all()))
    for name, count in failures.items():
        own.loop_failures.labels(name).set(count)
    return generate_latest(own.registry)
