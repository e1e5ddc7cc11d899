"""What an agent repeats until it is answered, against a real HTTP server."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from aiohttp import web

from westward.agent.link import Refused, ServerLink
from westward.model.wire import Ack, RunEnded, RunStarted


async def tell(
    message: RunStarted | RunEnded, refusals: int, refusal: dict[str, Any] | None = None
) -> tuple[Ack, list[dict[str, Any]]]:
    """The answer, and every request that a server saw which was away for ``refusals`` of them, or
    behind something that gave ``refusal`` for an answer."""
    seen: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(await request.json())
        if len(seen) <= refusals:
            return web.Response(**(refusal or {"status": 503}))
        return web.json_response({"accepted": True, "reason": ""})

    application = web.Application()
    application.router.add_post("/v1/agent/runs/run_1/{what}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    link = ServerLink(f"http://127.0.0.1:{runner.addresses[0][1]}", random.Random(1))
    try:
        return await link.report("run_1", message), seen
    finally:
        await link.close()
        await runner.cleanup()


def test_a_start_told_again_and_again_says_how_long_ago_it_was() -> None:
    ack, seen = asyncio.run(tell(RunStarted(token=7, ago_ms=40), refusals=3))
    assert ack.accepted
    told = [message["ago_ms"] for message in seen]
    assert len(told) == 4
    assert told[0] >= 40
    assert told == sorted(set(told)), "each repetition is later than the one before"


def test_other_reports_are_repeated_word_for_word() -> None:
    ended = RunEnded(token=7, outcome="succeeded", exit_code=0, detail="", readings=())
    _, seen = asyncio.run(tell(ended, refusals=2))
    assert len(seen) == 3
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 409, 413, 418])
def test_what_a_proxy_says_no_to_is_told_again(status: int) -> None:
    """Were it taken for the server's word, a run would be given up, or an agent its session."""
    ended = RunEnded(token=7, outcome="succeeded", exit_code=0, detail="", readings=())
    page = {"status": status, "text": "<html>no</html>", "content_type": "text/html"}
    ack, seen = asyncio.run(tell(ended, refusals=1, refusal=page))
    assert ack.accepted
    assert len(seen) == 2


def test_what_the_server_says_no_to_is_not() -> None:
    ended = RunEnded(token=7, outcome="succeeded", exit_code=0, detail="", readings=())
    own = {"status": 404, "text": '{"code": "not-found", "message": "there is no such run"}'}
    with pytest.raises(Refused, match="no such run"):
        asyncio.run(tell(ended, refusals=1, refusal=own))
