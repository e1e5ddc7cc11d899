"""A server that cannot say where it is (its disk is full) serves all the same, and says it later.

Found by a chaos run: started again while its disk was full, it ended.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn

import westward.server.__main__ as server_main
from westward.server.__main__ import AnnouncingServer


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for done in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{done}.complete"})


def test_it_announces_itself_once_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_main, "ANNOUNCE_AGAIN_S", 0.01)
    data = tmp_path / "data"  # not there yet: nothing can be written in it
    bell = SimpleNamespace(ring_all=lambda: None)
    core = cast(Any, SimpleNamespace(closing=False, sites=bell, jobs=bell))

    async def serve() -> dict[str, Any]:
        server = AnnouncingServer(uvicorn.Config(app, port=0, log_config=None), data, core)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.01)
        data.mkdir()
        while not (data / "server.json").exists():
            await asyncio.sleep(0.01)
        server.should_exit = True
        await serving
        return dict(json.loads((data / "server.json").read_text()))

    told = asyncio.run(asyncio.wait_for(serve(), 60))
    assert told["url"].startswith("http://127.0.0.1:")
