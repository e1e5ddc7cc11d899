"""``create_app(settings)``: the whole service as one ASGI application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from westward import __version__
from westward.server import (
    api_agent,
    api_agent_data,
    api_checkpoints,
    api_data,
    api_jobs,
    api_lives,
    api_money,
    api_network,
    api_people,
    api_settlement,
    api_site,
    api_site_agents,
    api_tes,
    metrics,
)
from westward.server.access import Access
from westward.server.core import open_core
from westward.server.direct import Direct
from westward.server.errors import add_handlers
from westward.server.guard import Gate, operator_token
from westward.server.limits import BodyLimit
from westward.server.loops import Loops
from westward.server.openapi import describe
from westward.server.rights import sealed
from westward.server.settings import Settings

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
    api_settlement.router,
    api_money.router,
    api_tes.router,
    metrics.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Opens the store at start-up, closes it at shut-down. Raises InputFaults (bad network),
    TableBroken (a route without a rule)."""
    core = open_core(settings)
    core.operator_token = operator_token(settings.data)
    if settings.users and not settings.require_credentials:
        log.warning(
            "users are told apart, but whoever is on this machine can speak as an agent of a site "
            "of the network folder; --require-credentials ends that"
        )
    loops = Loops(core)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loops.start()
        yield
        await loops.stop()
        core.close()

    app = FastAPI(
        title="Westward",
        version=__version__,
        lifespan=lifespan,
        dependencies=[Depends(sealed)],
    )
    app.state.core = core
    app.state.loops = loops
    add_handlers(app)
    app.add_middleware(Direct, core=core)
    app.add_middleware(BodyLimit)
    routes = [*app.routes, *(route for router in ROUTERS for route in router.routes)]
    # The outermost: strangers' bodies are not even read.
    access = Access(routes)
    app.state.access = access
    app.add_middleware(Gate, core=core, access=access)
    for router in ROUTERS:
        app.include_router(router)
    describe(app)
    return app
