"""A run whose preparing breaks is handed back, against a real HTTP server."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.engines_up.helping import grant
from westward.agent.agent import Agent
from westward.agent.engines.local import LocalEngine
from westward.agent.engines.processes import boot_ms
from westward.agent.link import ServerLink
from westward.model.dataset import DataFile, manifest_digest
from westward.model.job import DataInput

FILE = DataFile(path="../out", size_bytes=1, sha256=hashlib.sha256(b"x").hexdigest())
"""No catalogue takes such a path; here one is served all the same."""


async def told(folder: Path) -> tuple[dict[str, Any], int]:
    """The end that the server hears of, and how many runs the agent still prepares."""
    heard: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    digest = manifest_digest((FILE,))

    async def source(_request: web.Request) -> web.Response:
        file = {"path": FILE.path, "size_bytes": FILE.size_bytes, "sha256": FILE.sha256}
        url = folder.as_uri()
        return web.json_response({"site": "b", "url": url, "digest": digest, "files": [file]})

    async def ended(request: web.Request) -> web.Response:
        heard.set_result(await request.json())
        return web.json_response({"accepted": True, "reason": ""})

    application = web.Application()
    application.router.add_post("/v1/agent/runs/{run_id}/data/source", source)
    application.router.add_post("/v1/agent/runs/{run_id}/ended", ended)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rng = random.Random(1)
    link = ServerLink(f"http://127.0.0.1:{runner.addresses[0][1]}", rng)
    engine = LocalEngine(folder / "state", "site-a")
    agent = Agent(
        site="site-a", agent_id="agt_1", pools=(), engine=engine, link=link, clock=boot_ms, rng=rng
    )
    wanted = DataInput(dataset="set", version=1, target="data", digest=digest, size_bytes=1)
    try:
        await agent._begin(grant("true", inputs=(wanted,)), boot_ms())
        end = await asyncio.wait_for(heard, 30)
        return end, len(agent.preparing)
    finally:
        agent.data.close()
        engine.close()
        await link.close()
        await runner.cleanup()


def test_a_run_whose_preparing_breaks_is_handed_back_and_held_no_more(tmp_path: Path) -> None:
    end, preparing = asyncio.run(told(tmp_path))
    assert end["outcome"] == "lease-expired"
    assert "could not prepare" in end["detail"]
    assert preparing == 0
