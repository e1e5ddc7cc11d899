"""``create_app(settings)``: the whole service as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from westward import __version__
from westward.server import (
    api_agent,
    api_agent_data,
    api_checkpoints,
    api_data,
    api_jobs,
    api_lives,
    api_network,
    api_settlement,
    api_site,
    api_site_agents,
    api_tes,
    metrics,
)
from westward.server.core import open_core
from westward.server.direct import Direct
from westward.server.errors import add_handlers
from westward.server.guard import Gate, operator_token
from westward.server.limits import BodyLimit
from westward.server.loops import Loops
from westward.server.openapi import describe
from westward.server.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Opens the store at start-up, closes it at shut-down. Raises InputFaults (bad network)."""
    core = open_core(settings)
    core.operator_token = operator_token(settings.data)
    loops = Loops(core)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loops.start()
        yield
        await loops.stop()
        core.close()

    app = FastAPI(title="Westward", version=__version__, lifespan=lifespan)
    app.state.core = core
    app.state.loops = loops
    add_handlers(app)
    app.add_middleware(Direct, core=core)
    app.add_middleware(BodyLimit)
    app.add_middleware(Gate, core=core)  # the outermost: strangers' bodies are not even read
    for router in (
        api_jobs.router,
        api_lives.router,
        api_network.router,
        api_network.health,
        api_settlement.router,
        api_agent.router,
        api_checkpoints.router,
        api_site.router,
        api_site_agents.router,
        api_data.router,
        api_agent_data.router,
    ):
        app.include_router(router)
    app.include_router(api_tes.router)
    app.include_router(metrics.router)
    describe(app)
    return app
