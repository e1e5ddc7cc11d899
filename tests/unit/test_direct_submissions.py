"""Submissions past the framework are taken, and refused, as the framework would: the same requests go
to the whole application with ``Direct`` in it and to one without. Users are told apart in both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.unit.people_world import FAR, World, peopled
from tests.unit.test_direct import JSON, Passing, ask
from westward.model.access import NOTHING
from westward.model.people import LOCAL
from westward.server import app as server_app
from westward.server import direct
from westward.server.access import TABLE, Found
from westward.server.api_jobs import TASK_SHORT_CHARS, submit_job
from westward.server.rights import Judged
from westward.store.jobs import load_job

TASK = "name: a\nresources:\n  cpus: 1\nrun: echo hi\n"
numbers = count()
"""Of job ids: both applications get the same requests."""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, World]]:
    """With ``Direct``, and without."""
    with pytest.MonkeyPatch.context() as patch:
        made = []
        for name, middleware in (("direct", direct.Direct), ("framework", Passing)):
            patch.setattr(server_app, "Direct", middleware)
            made.append(peopled(tmp_path_factory.mktemp(name), patch))
            made[-1].app.middleware_stack = made[-1].app.build_middleware_stack()
    yield made[0], made[1]
    for world in made:
        world.app.state.core.close()


@pytest.fixture
def taken_directly(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The requests that ``Direct`` has answered itself."""
    taken: list[object] = []

    async def noted(body: Any, *others: Any) -> Any:
        taken.append(body)
        return await submit_job(body, *others)

    monkeypatch.setattr(direct, "submit_job", noted)
    return taken


def both(
    worlds: tuple[World, World], body: bytes, caller: str = "owner", **more: Any
) -> tuple[int, Any]:
    """Status and answer, the same of both; times aside."""
    found = []
    for world in worlds:
        secret = world.secrets.get(caller)
        status, kind, told = ask(
            world.app, body, secret=secret, path=direct.SUBMIT_PATH, **{"client": FAR, **more}
        )
        assert kind == JSON
        if "submit_ms" in told:
            assert told.pop("submit_ms") > 0
        if "job_id" in told and "job_id" not in body.decode(errors="replace"):
            assert told.pop("job_id").startswith("job_"), "made up, another each time"
        if told.get("finished_ms") is not None:  # one that was refused
            assert told.pop("finished_ms") > 0
        found.append((status, told))
    assert found[0] == found[1]
    return found[0]


def said(**fields: Any) -> bytes:
    return json.dumps({"task": TASK, **fields}).encode()


def new_id() -> str:
    return f"job_sub-{next(numbers)}"


GOOD = said()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(GOOD, id="plain"),
        pytest.param(b" \r\n" + GOOD + b"\n", id="white space"),
        pytest.param(GOOD[:-1] + b', "account": "speech", "account": "vision"}', id="the last"),
        pytest.param(said(account="vision", home_site="harbor", base_dir="/srv"), id="all fields"),
        pytest.param(said(account=None, file="x.yaml"), id="null"),
        pytest.param(said(task=TASK + "#" * TASK_SHORT_CHARS), id="a long text"),
        pytest.param(said(task=TASK.replace("cpus: 1", "cpus: 9999")), id="refused for good"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [2**20, 7])
def test_a_good_submission(
    worlds: tuple[World, World], taken_directly: list[object], body: bytes, chunk_bytes: int
) -> None:
    if len(body) > 1_000 and chunk_bytes < 1_000:
        chunk_bytes = 1_000
    status, told = both(worlds, body, chunk_bytes=chunk_bytes)
    assert (status, told["created"]) == (201, True)
    assert len(taken_directly) == 1, "the first was answered directly, and only that"


def test_repeats_and_conflicts(worlds: tuple[World, World], taken_directly: list[object]) -> None:
    job_id = new_id()
    body = said(job_id=job_id)
    assert both(worlds, body)[0] == 201
    again, told = both(worlds, body)
    assert (again, told["created"], told["job_id"]) == (200, False, job_id)
    status, told = both(worlds, said(job_id=job_id, task=TASK + "# more\n"))
    assert (status, told["code"]) == (409, "job-id-taken")
    # Another project may not even learn that the very same request brought this job.
    status, told = both(worlds, said(job_id=job_id, account="speech"), "other-lead")
    assert (status, told["code"]) == (409, "job-id-taken")
    assert len(taken_directly) == 4
    for world in worlds:
        record = load_job(world.core.store, job_id)
        assert record is not None
        assert record.job.account == "vision", "the asker's only project"


REFUSED = [
    pytest.param(said(account="speech"), "owner", 404, "not-found", id="another's project"),
    pytest.param(said(account="nowhere"), "owner", 404, "not-found", id="no project"),
    pytest.param(GOOD, "auditor", 403, "auditor-changes-nothing", id="an auditor"),
    pytest.param(GOOD, "narrow", 403, "scope-missing", id="a token for other things"),
    pytest.param(GOOD, "revoked", 401, "token-revoked", id="a revoked token"),
    pytest.param(GOOD, "expired", 401, "token-expired", id="an expired token"),
    pytest.param(GOOD, "nobody", 401, "token-missing", id="no token"),
    pytest.param(GOOD, "no-role", 400, "project-missing", id="of no project"),
    pytest.param(said(account="vision"), "no-role", 404, "not-found", id="no role there"),
    pytest.param(said(account="vision"), "site-operator", 404, "not-found", id="role elsewhere"),
]


@pytest.mark.parametrize(("body", "caller", "status", "code"), REFUSED)
def test_rights(
    worlds: tuple[World, World], body: bytes, caller: str, status: int, code: str
) -> None:
    before = [world.tables() for world in worlds]
    found, told = both(worlds, body, caller)
    assert (found, told["code"]) == (status, code)
    assert before == [world.tables() for world in worlds]


@pytest.mark.parametrize(
    ("body", "status", "code", "directly"),
    [
        pytest.param(b"", 422, "malformed-request", 0, id="empty"),
        pytest.param(GOOD[:-1], 422, "malformed-request", 0, id="cut off"),
        pytest.param(b"[]", 422, "malformed-request", 0, id="a list"),
        pytest.param(b"{}", 422, "malformed-request", 0, id="no task"),
        pytest.param(said(task=7), 422, "malformed-request", 0, id="a number for a text"),
        pytest.param(said(more=1), 422, "malformed-request", 0, id="an unknown field"),
        pytest.param(said(job_id="x"), 422, "malformed-request", 0, id="no id of ours"),
        pytest.param(said(file="x" * 5_000), 422, "malformed-request", 0, id="too long"),
        pytest.param(said(task="run: ["), 400, "invalid-input", 1, id="no YAML"),
        pytest.param(said(task="nodes: 1\nrum: x"), 400, "invalid-input", 1, id="faults"),
        pytest.param(
            said(task=TASK.replace("cpus: 1", 'labels: {westward.array: "3"}')),
            400, "several-jobs", 1, id="an array",
        ),
        pytest.param(
            b'{"task": "run: \\ud800"}', 422, "malformed-request", 0, id="half a character"
        ),
    ],
)  # fmt: skip
def test_bodies_that_are_refused(
    worlds: tuple[World, World],
    taken_directly: list[object],
    body: bytes,
    status: int,
    code: str,
    directly: int,
) -> None:
    before = [world.tables() for world in worlds]
    found, told = both(worlds, body)
    assert (found, told["code"]) == (status, code)
    assert len(taken_directly) == directly
    assert before == [world.tables() for world in worlds]


@pytest.mark.parametrize(
    ("kinds", "status"),
    [((), 422), (("text/plain",), 422), ((JSON, "text/plain"), 201), ((f"{JSON}; a=b",), 201)],
)
def test_content_types(worlds: tuple[World, World], kinds: tuple[str, ...], status: int) -> None:
    assert both(worlds, GOOD, kinds=kinds)[0] == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/jobs", 200), ("PUT", "/v1/jobs", 405), ("POST", "/v1//jobs", 404)],
)
def test_other_requests_are_the_frameworks(
    worlds: tuple[World, World],
    taken_directly: list[object],
    method: str,
    path: str,
    status: int,
) -> None:
    for world in worlds:
        found = ask(
            world.app, GOOD, secret=world.secrets["owner"], path=path, method=method, client=FAR
        )
        assert found[0] == status
    assert taken_directly == []


def test_without_the_gate_nothing_is_answered(worlds: tuple[World, World]) -> None:
    """Who asks is the gate's to say, and by which rule."""

    async def nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise AssertionError

    app: ASGIApp = direct.Direct(nobody, worlds[0].core)
    with pytest.raises(KeyError):
        ask(app, GOOD, path=direct.SUBMIT_PATH)  # type: ignore[arg-type]


def test_what_was_judged_as_another_route_is_not_answered(worlds: tuple[World, World]) -> None:
    """As ``sealed`` holds of the framework's routes."""
    core = worlds[0].core
    entry = TABLE["GET /v1/jobs"]
    judged = Judged(Found(entry, "/v1/arrays/{array_id}", {}), LOCAL, "", NOTHING)

    async def nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise AssertionError

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"judged": judged}
        await direct.Direct(nobody, core)(scope, receive, send)

    with pytest.raises(RuntimeError, match="judged as"):
        ask(app, GOOD, path=direct.SUBMIT_PATH)  # type: ignore[arg-type]
