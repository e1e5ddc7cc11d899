"""Polls past the framework are answered, and refused, as the framework would: the same requests go
to the whole application with ``Direct`` in it and to one without."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from westward.model.offer import Invitation
from westward.model.wire import Hello
from westward.server import app as server_app
from westward.server import core as server_core
from westward.server import direct
from westward.server.api_agent import hold_poll
from westward.server.core import Core
from westward.server.guard import digest_of
from westward.server.limits import BODY_MOST_BYTES, INTEGER_MOST, TEXT_MOST_CHARS
from westward.server.settings import Settings
from westward.store.enrol import enrol, invite, revoke
from westward.store.sites import hello

LAPTOP = Path(__file__).parents[2] / "networks" / "laptop"
HERE = ("127.0.0.1", 5)
FAR = ("10.1.2.3", 5)
JSON = "application/json"
POLL: dict[str, Any] = {"agent_session": 1, "site": "harbor", "runs": [], "wait_ms": 0}
"""Of a site of the folder, whose agent is on this machine and has no credential."""
LAB = {**POLL, "site": "lab"}
"""Of a site that has joined, and shows its credential."""


class Passing:
    """Stands where ``Direct`` does, and leaves everything to the framework."""

    def __init__(self, app: ASGIApp, core: Core) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def opened(data: Path, patch: pytest.MonkeyPatch, middleware: type) -> FastAPI:
    """A server with ``harbor`` said hello for, ``lab`` and ``other`` joined, ``gone`` revoked."""
    patch.setattr(server_core, "_warm_up", lambda *_: None)  # nothing is planned here
    patch.setattr(server_app, "Direct", middleware)
    app = server_app.create_app(Settings(network=LAPTOP, data=data))
    core: Core = app.state.core
    for site in ("lab", "other", "gone"):
        invite(core.store, Invitation(site=site, zone="coast"), digest_of(site), 10**15, 0)
        enrol(core.store, digest_of(site), digest_of(f"wsc_{site}"), 0)
    revoke(core.store, "gone", 1)
    for site in ("harbor", "lab", "other", "gone"):
        hello(core.store, Hello(site=site, agent_id=f"agt_{site}", pools=()), 0)
    asyncio.run(core.sites_changed())
    return app


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, FastAPI]]:
    """With ``Direct``, and without."""
    with pytest.MonkeyPatch.context() as patch:
        with_it = opened(tmp_path_factory.mktemp("direct"), patch, direct.Direct)
        without = opened(tmp_path_factory.mktemp("framework"), patch, Passing)
        for app in (with_it, without):
            app.middleware_stack = app.build_middleware_stack()
    yield with_it, without
    for app in (with_it, without):
        app.state.core.close()


@pytest.fixture
def held_directly(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The polls that ``Direct`` has answered itself."""
    held: list[object] = []

    async def noted(poll: Any, *others: Any) -> Any:
        held.append(poll)
        return await hold_poll(poll, *others)

    monkeypatch.setattr(direct, "hold_poll", noted)
    return held


def ask(
    app: FastAPI,
    body: bytes,
    *,
    kinds: tuple[str, ...] = (JSON,),
    secret: str | None = None,
    client: tuple[str, int] = HERE,
    path: str = direct.POLL_PATH,
    method: str = "POST",
    chunk_bytes: int = 2**20,
) -> tuple[int, str, Any]:
    """Status, content type and body of the answer."""
    headers = [(b"content-type", kind.encode()) for kind in kinds]
    if secret is not None:
        headers.append((b"authorization", f"Bearer {secret}".encode()))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "server": ("127.0.0.1", 1),
        "client": client,
        "headers": headers,
    }
    starts = range(0, max(1, len(body)), chunk_bytes)
    parts: list[Message] = [
        {
            "type": "http.request",
            "body": body[at : at + chunk_bytes],
            "more_body": at + chunk_bytes < len(body),
        }
        for at in starts
    ]
    told: list[Message] = []

    async def receive() -> Message:
        if parts:
            return parts.pop(0)
        await asyncio.Event().wait()  # connected, and silent
        raise AssertionError

    async def send(message: Message) -> None:
        told.append(message)

    async def whole() -> None:
        async with asyncio.timeout(20):
            await app(scope, receive, send)

    asyncio.run(whole())
    answer = b"".join(one.get("body", b"") for one in told[1:])
    kind = dict(told[0]["headers"])[b"content-type"].decode()
    return told[0]["status"], kind, json.loads(answer)


def said(poll: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**poll, **changes}).encode()


GOOD = said(POLL)
NOTHING: dict[str, list[str]] = {
    "grants": [],
    "stops": [],
    "leases": [],
    "unknown": [],
    "pauses": [],
}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(GOOD, id="plain"),
        pytest.param(said(POLL, more="is ignored"), id="an unknown field"),
        pytest.param(said(POLL, agent_session="1", wait_ms=0.0), id="numbers in other clothes"),
        pytest.param(GOOD[:-1] + b', "site": "harbor"}', id="a field twice"),
        pytest.param(
            GOOD.replace(b"harbor", b"basin")[:-1] + b', "site": "harbor"}', id="the last"
        ),
        pytest.param(b" \r\n" + GOOD + b"\n", id="white space"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [2**20, 7])
def test_a_good_poll(
    apps: tuple[FastAPI, FastAPI], held_directly: list[object], body: bytes, chunk_bytes: int
) -> None:
    with_it, without = apps
    answer = ask(with_it, body, chunk_bytes=chunk_bytes)
    assert answer == ask(without, body, chunk_bytes=chunk_bytes)
    assert answer == (200, JSON, NOTHING)
    assert len(held_directly) == 1, "the first was answered directly, and only that"


def test_runs_that_nobody_knows_are_told(
    apps: tuple[FastAPI, FastAPI], held_directly: list[object]
) -> None:
    body = said(POLL, runs=[{"run_id": "run_b", "token": 1}, {"run_id": "run_a", "token": 2}])
    answers = [ask(app, body) for app in apps]
    assert answers[0] == answers[1]
    assert answers[0][2] == {**NOTHING, "unknown": ["run_a", "run_b"]}
    assert len(held_directly) == 1


def test_credentials(apps: tuple[FastAPI, FastAPI], held_directly: list[object]) -> None:
    for client in (HERE, FAR):
        answers = [ask(app, said(LAB), secret="wsc_lab", client=client) for app in apps]
        assert answers[0] == answers[1] == (200, JSON, NOTHING)
    assert len(held_directly) == 2


REFUSED_BY_POLL = [
    pytest.param(said(POLL, agent_session=2), None, HERE, 409, "session-unknown", id="session"),
    pytest.param(
        said(POLL, agent_session=0), None, HERE, 409, "session-superseded", id="older session"
    ),
    pytest.param(said(POLL, site="nowhere"), None, HERE, 409, "session-unknown", id="no such site"),
    pytest.param(said(LAB), None, HERE, 401, "credential-missing", id="joined, no credential"),
    pytest.param(said(LAB), "wsc_other", FAR, 403, "not-your-site", id="another's credential"),
    pytest.param(said(POLL), "wsc_lab", HERE, 403, "not-your-site", id="another's, from here"),
    pytest.param(said(POLL, site="gone"), None, HERE, 403, "site-revoked", id="revoked, nothing"),
    pytest.param(
        said(POLL, site="x" * (TEXT_MOST_CHARS + 1)),
        None,
        HERE,
        422,
        "malformed-request",
        id="a text too long",
    ),
    pytest.param(
        said(POLL, runs=[{"run_id": "r", "token": INTEGER_MOST + 1}]),
        None,
        HERE,
        422,
        "malformed-request",
        id="a number too large",
    ),
]


@pytest.mark.parametrize(("body", "secret", "client", "status", "code"), REFUSED_BY_POLL)
def test_refusals_of_well_formed_polls(
    apps: tuple[FastAPI, FastAPI],
    held_directly: list[object],
    body: bytes,
    secret: str | None,
    client: tuple[str, int],
    status: int,
    code: str,
) -> None:
    answers = [ask(app, body, secret=secret, client=client) for app in apps]
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][2]["code"]) == (status, code)
    assert len(held_directly) == 1, "refused by the same function, without the framework"


REFUSED_BY_GATE = [
    pytest.param(GOOD, None, FAR, 401, "credential-missing", id="none, from elsewhere"),
    pytest.param(GOOD, "wsc_made-up", HERE, 401, "credential-unknown", id="made up"),
    pytest.param(said(LAB), "wsc_made-up", FAR, 401, "credential-unknown", id="made up, far"),
    pytest.param(said(POLL, site="gone"), "wsc_gone", FAR, 403, "site-revoked", id="revoked"),
]


@pytest.mark.parametrize(("body", "secret", "client", "status", "code"), REFUSED_BY_GATE)
def test_the_gate_stands_before_it(
    apps: tuple[FastAPI, FastAPI],
    held_directly: list[object],
    body: bytes,
    secret: str | None,
    client: tuple[str, int],
    status: int,
    code: str,
) -> None:
    answers = [ask(app, body, secret=secret, client=client) for app in apps]
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][2]["code"]) == (status, code)
    assert held_directly == []


def test_without_the_gate_nothing_is_answered(apps: tuple[FastAPI, FastAPI]) -> None:
    """Who asks is the gate's to say: ``Direct`` does not guess."""
    core = apps[0].state.core

    async def nobody(*_: Any) -> None:
        raise AssertionError

    with pytest.raises(KeyError):
        ask(direct.Direct(nobody, core), GOOD)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:-1], id="cut off"),
        pytest.param(GOOD + b"}", id="more after it"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{}", id="nothing in it"),
        pytest.param(said(POLL, agent_session=None), id="null for a number"),
        pytest.param(said(POLL, agent_session="one"), id="a word for a number"),
        pytest.param(said(POLL, wait_ms=0.5), id="half a millisecond"),
        pytest.param(said(POLL, wait_ms=float("nan")), id="NaN"),
        pytest.param(said(POLL, site=7), id="a number for a text"),
        pytest.param(said(POLL, runs=[{"run_id": "r"}]), id="a run without a token"),
        pytest.param(said(POLL, runs={}), id="no list of runs"),
        pytest.param(b'{"site": "\xff"}', id="not UTF-8"),
        pytest.param(b"[" * 5_000, id="deep"),
    ],
)
def test_malformed_bodies(
    apps: tuple[FastAPI, FastAPI], held_directly: list[object], body: bytes
) -> None:
    answers = [ask(app, body) for app in apps]
    assert answers[0] == answers[1]
    assert answers[0][0] in (400, 422)
    assert set(answers[0][2]) == {"code", "message", "faults"}
    assert held_directly == []


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        ((), 422),
        (("text/plain",), 422),
        (("application/jsonlines",), 422),
        (("text/plain", JSON), 422),
        ((JSON, "text/plain"), 200),
        (("application/json; charset=utf-8",), 200),
        (("Application/JSON ;x=y",), 200),
        (("application/problem+json",), 200),
    ],
)
def test_content_types(apps: tuple[FastAPI, FastAPI], kinds: tuple[str, ...], status: int) -> None:
    answers = [ask(app, GOOD, kinds=kinds) for app in apps]
    assert answers[0] == answers[1]
    assert answers[0][0] == status


def test_a_body_too_large(apps: tuple[FastAPI, FastAPI], held_directly: list[object]) -> None:
    fits = GOOD + b" " * (BODY_MOST_BYTES - len(GOOD))
    assert [ask(app, fits)[0] for app in apps] == [200, 200]
    assert len(held_directly) == 1
    answers = [ask(app, fits + b" ") for app in apps]
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][2]["code"]) == (413, "too-large")
    strangers = [ask(app, fits + b" ", client=FAR) for app in apps]
    assert [one[0] for one in strangers] == [401, 401], "the gate comes first"
    assert len(held_directly) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", direct.POLL_PATH, 405),
        ("PUT", direct.POLL_PATH, 405),
        ("POST", direct.POLL_PATH + "/more", 404),
        ("POST", "/v1//agent/poll", 404),
    ],
)
def test_other_requests_are_the_frameworks(
    apps: tuple[FastAPI, FastAPI],
    held_directly: list[object],
    method: str,
    path: str,
    status: int,
) -> None:
    answers = [ask(app, GOOD, method=method, path=path) for app in apps]
    assert answers[0] == answers[1]
    assert answers[0][0] == status
    assert held_directly == []


def test_trouble_in_the_store_is_told_alike(
    apps: tuple[FastAPI, FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trouble(*_: object) -> None:
        raise RuntimeError("no good")

    monkeypatch.setattr("westward.server.api_agent.poll_site", trouble)
    for app in apps:
        # Starlette answers, and raises it for the server's log.
        with pytest.raises(RuntimeError, match="no good"):
            ask(app, GOOD)
