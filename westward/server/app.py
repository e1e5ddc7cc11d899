"""``create_app(settings)``: the whole service as one ASGI application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI

from westward import __version__
from westward.server import (
    api_agent,
    api_agent_data,
    api_checkpoints,
    api_data,
    api_jobs,
    api_lives,
    api_login,
    api_metrics,
    api_money,
    api_network,
    api_people,
    api_settlement,
    api_shares,
    api_site,
    api_site_agents,
    api_tes,
)
from westward.server.access import Access
from westward.server.core import open_core
from westward.server.direct import Direct
from westward.server.errors import add_handlers
from westward.server.guard import Gate, operator_token
from westward.server.limits import BodyLimit
from westward.server.loops import Loops
from westward.server.no_nul import NoNul
from westward.server.openapi import describe
from westward.server.rights import sealed
from westward.server.settings import Settings

if TYPE_CHECKING:
    from westward.server.replica import Replica

log = logging.getLogger("westward.server")
ROUTERS = (
    api_jobs.router,
    api_lives.router,
    api_network.router,
    api_network.health,
    api_agent.router,
    api_checkpoints.router,
    api_site.router,
    api_site_agents.router,
    api_data.router,
    api_agent_data.router,
    api_people.router,
    api_login.router,
    api_settlement.router,
    api_money.router,
    api_shares.router,
    api_tes.router,
    api_metrics.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Opens the store at start-up, closes it at shut-down. Raises InputFaults (bad network),
    TableBroken (a route without a rule)."""
    core = open_core(settings)
    core.operator_token = operator_token(settings.data, settings.operator_file)
    if settings.users and not settings.require_credentials:
        log.warning(
            "users are told apart, but whoever is on this machine can speak as an agent of a site "
            "of the network folder; --require-credentials ends that"
        )
    loops = Loops(core)
    replica: Replica | None = None
    if settings.store is not None:
        from westward.server.replica import open_replica  # psycopg is an extra

        replica = open_replica(core, loops)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        work = loops if replica is None else replica
        work.start()
        yield
        await work.stop()
        core.close()

    app = FastAPI(
        title="Westward",
        version=__version__,
        lifespan=lifespan,
        dependencies=[Depends(sealed)],
    )
    app.state.core = core
    app.state.loops = loops
    app.state.replica = replica
    add_handlers(app)
    app.add_middleware(Direct, core=core)
    app.add_middleware(BodyLimit)
    routes = [*app.routes, *(route for router in ROUTERS for route in router.routes)]
    # Before the others: strangers' bodies are not even read.
    access = Access(routes)
    app.state.access = access
    app.add_middleware(Gate, core=core, access=access)
    app.add_middleware(NoNul)  # before the gate, which looks runs up by their names in paths
    for router in ROUTERS:
        app.include_router(router)
    describe(app)
    return app
