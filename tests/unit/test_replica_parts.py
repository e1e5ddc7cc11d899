"""Parts of what several servers share, each by itself."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from aiohttp import web

from westward.agent.link import ServerLink, Unreachable
from westward.cli import client as client_module
from westward.cli.client import Client
from westward.cli.fail import Failure
from westward.model.wire import Hello
from westward.sdk.transport import Transport
from westward.server.bells import MESSAGE_MOST_BYTES, Bell, Bells, messages
from westward.server.clock import SharedClock

HELLO = Hello(site="s", agent_id="agt", pools=())
WELCOME = {"agent_session": 1, "lease_ttl_ms": 1, "poll_wait_ms": 1, "rotate_ms": None}


class Boot:
    """A machine's own clock, moved by hand."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def test_a_shared_clock_begins_at_the_databases_and_follows_it_slowly() -> None:
    boot = Boot()
    clock = SharedClock(5_000_000, boot)
    assert clock.now_ms() == clock.started_ms == 5_000_000
    told = 5_000_000.0
    for _ in range(100):  # ours is 60 ms behind: made up for within 12 s
        boot.ms += 1_000
        told += 1_000
        clock.steer(told + 60, 0.0)
    assert clock.now_ms() == pytest.approx(told + 60, abs=1)


def test_a_step_of_the_databases_clock_never_turns_ours_back_or_makes_it_run() -> None:
    boot = Boot()
    clock = SharedClock(5_000_000, boot)
    for step_ms in (-3_600_000, 3_600_000):
        began, boot_began = clock.now_ms(), boot.ms
        last = began
        for _ in range(60):
            boot.ms += 1_000
            clock.steer(clock.now_ms() + step_ms, 2.0)
            assert clock.now_ms() >= last
            last = clock.now_ms()
        passed = boot.ms - boot_began
        assert abs((last - began) - passed) <= passed * SharedClock.STEER_SHARE + 1
        assert abs(clock.off_ms) > 3_000_000


def test_what_lies_within_the_answers_time_is_not_steered_by() -> None:
    boot = Boot()
    clock = SharedClock(5_000_000, boot)
    boot.ms += 1_000
    clock.steer(5_001_000 - 400, 900.0)
    assert clock.now_ms() == 5_001_000


def test_bells_tell_others_of_their_own_rings_alone() -> None:
    told: list[str] = []
    bell, bells = Bell(), Bells()
    bell.also = lambda: told.append("bell")
    bells.also = told.append
    with bells.listen("a") as one:
        bell.ring()
        bell.ring_here()
        bells.ring("a")
        bells.ring("nobody listens here")
        bells.ring_here("a")
        bells.ring_all()
        assert (bell.rings, one.rings) == (2, 3)
    assert told == ["bell", "a", "nobody listens here"]


def test_what_rang_fits_into_messages_and_loses_no_kind() -> None:
    many = {f"job_{number:060}" for number in range(500)}
    assert messages("me", {}) == []
    (one,) = messages("me", {"loops": {"plan"}, "jobs": {"job_1"}})
    assert json.loads(one) == {"from": "me", "loops": ["plan"], "jobs": ["job_1"]}
    texts = messages("me", {"loops": {"plan", "hold"}, "jobs": many, "sites": {"东"}})
    assert all(len(text.encode()) < MESSAGE_MOST_BYTES for text in texts)
    kinds: dict[str, list[str]] = {}
    for text in texts:
        kinds |= {kind: names for kind, names in json.loads(text).items() if kind != "from"}
    assert kinds == {"loops": ["hold", "plan"], "jobs": ["*"], "sites": ["东"]}


@asynccontextmanager
async def server(status: int, body: object, asked: list[str]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


NOBODY = "http://127.0.0.1:9"


def test_an_agent_goes_on_with_a_server_that_answers() -> None:
    async def play() -> tuple[list[str], list[str]]:
        ill: list[str] = []
        well: list[str] = []
        async with (
            server(503, {"code": "store-unreachable"}, ill) as first,
            server(200, WELCOME, well) as second,
        ):
            link = ServerLink(f"{NOBODY}, {first}/,{second}", random.Random(1))
            for _ in range(3):
                assert (await link.hello(HELLO)).agent_session == 1
            assert link.url == second
            await link.close()
        return ill, well

    ill, well = asyncio.run(play())
    assert len(ill) <= 1
    assert len(well) == 3


def test_an_agent_says_so_when_nobody_answers() -> None:
    async def play() -> None:
        link = ServerLink(f"{NOBODY},http://127.0.0.1:10", random.Random(1))
        try:
            with pytest.raises(Unreachable):
                await link.enrol(None)  # type: ignore[arg-type]
        finally:
            await link.close()

    asyncio.run(play())


class Told(BaseHTTPRequestHandler):
    """Answers every question; breaks off at what is to change something."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ok": true}')

    def do_POST(self) -> None:
        self.connection.close()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def there() -> AsyncIterator[str]:  # type: ignore[misc]
    made = HTTPServer(("127.0.0.1", 0), Told)
    Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"  # type: ignore[misc]
    made.shutdown()
    made.server_close()


def test_commands_and_sdk_ask_the_next_server(there: str) -> None:
    client = Client(f"{NOBODY},{there}", token="t")
    assert client.get("/healthz") == {"ok": True}
    assert client.url == there
    transport = Transport(f"{NOBODY},{there}", 5.0, 10.0, {})
    assert transport.call("GET", "/healthz", {}, None) == {"ok": True}
    assert transport.url == there


def test_what_may_have_been_done_is_not_asked_for_again(
    there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    once = Client._once

    def noted(self: Client, method: str, path: str, body: object) -> object:
        asked.append(self.url)
        return once(self, method, path, body)  # type: ignore[arg-type]

    monkeypatch.setattr(Client, "_once", noted)
    with pytest.raises(client_module.Unreachable):
        Client(f"{NOBODY},{there},{NOBODY}", token="t").post("/v1/jobs")
    assert asked == [NOBODY, there]
    with pytest.raises(Failure, match="is no URL"):
        Client(f"{there},ftp://x", token="t")
