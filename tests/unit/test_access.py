"""Every route, every role: allowed or refused as tests/golden/access.csv says, none unlisted.

That file is written for readers and by hand; ``westward/server/access.py`` is not read for it.
Cells: ``ok`` (let through, and done), or the status of the refusal. ``scope``: what the token needs.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import Mount, Route

from tests.unit.people_world import CALLERS, FAR, PEOPLE, World, peopled, request
from westward.model.access import Rule
from westward.model.people import Role, Scope
from westward.server.access import OPEN, TABLE, Access, TableBroken

GOLDEN = Path(__file__).parents[1] / "golden" / "access.csv"
ROWS = {row["operation"]: row for row in csv.DictReader(GOLDEN.open(encoding="utf-8"))}
NOT_TOLD = {"GET /metrics", "GET /v1/healthz", "GET /v1/login", "GET /v1/login/callback"}
"""Routes that are not in the OpenAPI document."""
FRAMEWORK = {"GET /openapi.json", "GET /docs", "GET /docs/oauth2-redirect", "GET /redoc"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        made = peopled(tmp_path_factory.mktemp("people"), patch)
        yield made
        made.core.close()


def test_every_operation_is_listed(world: World) -> None:
    document = world.app.openapi()
    told = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert set(ROWS) == told | NOT_TOLD | FRAMEWORK
    assert set(ROWS) == set(TABLE)
    assert [name for name in next(iter(ROWS.values())) if name not in ("operation", "scope")] == [
        *CALLERS
    ]


@pytest.mark.parametrize("operation", ROWS)
def test_every_role(world: World, operation: str) -> None:
    found = {}
    for caller in CALLERS:
        method, path, body = request(world, operation, caller)
        answer = world.as_(caller, method, path, body)
        found[caller] = answer_cell(operation, answer.status)
        if answer.status in (401, 403, 404):
            assert set(answer.json()) == {"code", "message", "faults"}
    assert found == {caller: ROWS[operation][caller] for caller in CALLERS}


def answer_cell(operation: str, status: int) -> str:
    if status in (401, 403, 404):
        return str(status)
    # Agents' messages are not made here: malformed ones show that the gate let them through.
    good = status < 300 or (operation.startswith("POST /v1/agent/") and status == 422)
    return "ok" if good else f"unexpected {status}"


SCOPED = [operation for operation, row in ROWS.items() if row["scope"]]


@pytest.mark.parametrize("operation", SCOPED)
def test_the_scope_it_says_is_needed_and_enough(world: World, operation: str) -> None:
    needed = Scope(ROWS[operation]["scope"])
    caller = next(one for one in PEOPLE if ROWS[operation][one] == "ok" and one != "no-role")
    all_others = world.new_token(caller, *(one for one in Scope if one is not needed))
    method, path, body = request(world, operation, caller)
    refused = world.ask(method, path, body, secret=all_others)
    assert (refused.status, refused.json()["code"]) == (403, "scope-missing")
    method, path, body = request(world, operation, caller)
    if operation == "POST /v1/tokens":
        body = {"ttl_ms": 1_000, "user": caller}
    assert world.ask(method, path, body, secret=world.new_token(caller, needed)).status < 300


def test_from_other_machines_a_token_is_enough_and_needed(world: World) -> None:
    assert world.as_("owner", "GET", "/v1/jobs", client=FAR).status == 200
    assert world.ask("GET", "/v1/jobs", client=FAR).status == 401
    assert world.ask("GET", "/healthz", client=FAR).status == 200


def test_an_auditor_changes_nothing(world: World) -> None:
    """Whatever is asked, with good bodies and with bad ones."""
    held = world.new_token("auditor")
    for operation in ROWS:
        method, path, body = request(world, operation, "auditor")
        before = world.tables()
        for one in (body, {}, None, [], {"user": "auditor", "role": "lead"}):
            world.ask(method, path, one, secret=held)
        assert world.tables() == before, operation


def test_the_digest_of_the_tables_sees_changes(world: World) -> None:
    """The test above could fail."""
    before = world.tables()
    job_id = world.job()
    changed = world.tables()
    assert changed != before
    assert world.as_("owner", "POST", f"/v1/jobs/{job_id}/cancel").status == 200
    assert world.tables() not in (before, changed)


def test_an_auditor_who_holds_more_still_changes_nothing(world: World) -> None:
    """Refused twice: nobody may hold both, and one who did (by an older version) may not act."""
    body = {"user": "auditor", "role": "owner"}
    refused = world.as_("lead", "POST", "/v1/members/project/vision", body)
    assert (refused.status, refused.json()["code"]) == (409, "roles-conflict")
    body = {"user": "owner", "role": "auditor"}
    refused = world.as_("network-operator", "POST", "/v1/members/network/network", body)
    assert (refused.status, refused.json()["code"]) == (409, "roles-conflict")
    with pytest.raises(ValueError, match="auditor"):
        Rule(scope=None, change=True, roles=frozenset({Role.LEAD, Role.AUDITOR}))


# -- the table and the routes


def routes(*paths: str) -> list[Route]:
    router = APIRouter()
    for path in paths:
        router.add_api_route(path, lambda: None, methods=["GET"])
    return list(router.routes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("paths", "table", "told"),
    [
        (("/a", "/b"), {"GET /a": OPEN}, "no rule for GET /b"),
        (("/a",), {"GET /a": OPEN, "GET /b": OPEN}, "rules without a route: GET /b"),
        (("/a", "/a"), {"GET /a": OPEN}, "two routes are GET /a"),
        (("/{x}", "/a"), {"GET /{x}": OPEN, "GET /a": OPEN}, "another route stands before GET /a"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    paths: tuple[str, ...], table: dict[str, object], told: str
) -> None:
    with pytest.raises(TableBroken, match=told.replace("{", "\\{")):
        Access(routes(*paths), table)  # type: ignore[arg-type]


def test_what_is_no_plain_route_is_refused() -> None:
    with pytest.raises(TableBroken, match="no route with methods"):
        Access([Mount("/m", app=FastAPI())], {})


def test_the_framework_must_choose_the_route_that_was_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the two ever to differ, nothing is answered."""
    found = Access.find

    def other(self: Access, asked: object) -> object:
        return found(self, {**asked, "path": "/v1/whoami"})  # type: ignore[dict-item]

    monkeypatch.setattr(Access, "find", other)
    with pytest.raises(RuntimeError, match="judged as /v1/whoami, routed to /v1/jobs"):
        world.as_("no-role", "GET", "/v1/jobs")
