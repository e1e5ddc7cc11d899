"""People on a server: whose jobs who sees, tokens and their ends, and that no secret gets out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.people_world import (
    FAR,
    FILES,
    PEOPLE,
    TASK,
    TES,
    World,
    opened,
    peopled,
    request,
)
from tests.unit.test_access import ROWS
from westward.model.job import Work
from westward.model.people import Role, Scope
from westward.server.rights import USED_COARSE_MS, digest_of
from westward.server.traces import steps_of
from westward.store.counts import life_of
from westward.store.jobs import load_job


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        made = peopled(tmp_path_factory.mktemp("people"), patch)
        yield made
        made.core.close()


def submitted(world: World, caller: str, project: str | None, **more: Any) -> tuple[int, Any]:
    task = TASK.format(project=project) if project else "resources:\n  cpus: 1\nrun: echo hi\n"
    answer = world.as_(caller, "POST", "/v1/jobs", {"task": task, **more})
    return answer.status, answer.json()


# -- whose jobs


def test_lists_hold_the_jobs_of_ones_projects_alone(world: World) -> None:
    """And pages are full: another project's jobs between them leave no gap."""
    mine, theirs = [], []
    for _ in range(6):
        theirs.append(world.job("speech"))
        mine.append(world.job("vision"))
    world.job(None)
    seen: list[str] = []
    after = ""
    while True:
        page = world.as_(
            "owner", "GET", "/v1/jobs", query=f"limit=4{after and f'&after={after}'}"
        ).json()
        seen += [job["job_id"] for job in page["jobs"]]
        assert len(page["jobs"]) == 4 or page["next"] is None
        after = page["next"]
        if after is None:
            break
    assert set(mine) <= set(seen)
    assert not set(theirs) & set(seen)
    everything = world.as_("auditor", "GET", "/v1/jobs", query="limit=1000").json()["jobs"]
    assert set(mine + theirs) <= {job["job_id"] for job in everything}
    assert world.as_("no-role", "GET", "/v1/jobs").json() == {"jobs": [], "next": None}
    page = world.as_("owner", "GET", "/v1/jobs", query=f"after={theirs[0]}").json()
    assert page["jobs"] == [], "another project's job is no place in the list"


def test_tasks_and_reports_hold_ones_own_alone(world: World) -> None:
    mine, theirs = world.task("vision"), world.task("speech")
    listed = world.as_("owner", "GET", "/ga4gh/tes/v1/tasks", query="page_size=2000").json()
    ids = {task["id"] for task in listed["tasks"]}
    assert mine in ids
    assert theirs not in ids
    unknown = world.as_("owner", "GET", "/ga4gh/tes/v1/tasks", query="page_token=job_tes-x")
    hidden = world.as_("owner", "GET", "/ga4gh/tes/v1/tasks", query=f"page_token={theirs}")
    assert unknown.status == hidden.status == 400
    assert hidden.body == unknown.body.replace(b"job_tes-x", theirs.encode())
    for job_id in (mine, theirs):
        assert world.as_("operator-file", "POST", f"/v1/jobs/{job_id}/cancel").status == 200
    told = {row["job_id"] for row in world.as_("owner", "GET", "/v1/report").json()["jobs"]}
    assert mine in told
    assert theirs not in told


@pytest.mark.parametrize("path", ["", "/why", "/logs"])
def test_anothers_job_answers_as_one_that_is_not_there(world: World, path: str) -> None:
    theirs = world.job("speech")
    hidden = world.as_("owner", "GET", f"/v1/jobs/{theirs}{path}")
    none = world.as_("owner", "GET", f"/v1/jobs/job_nowhere{path}")
    assert (hidden.status, none.status) == (404, 404)
    assert hidden.body == none.body.replace(b"job_nowhere", theirs.encode())
    assert hidden.headers.keys() == none.headers.keys()


def test_also_where_the_rest_of_the_request_is_wrong(world: World) -> None:
    """Nothing of the body is looked at before the right is."""
    theirs = world.job("speech")
    for raw in (b"{", b'{"to": 5}', b"[]"):
        hidden = world.as_("owner", "POST", f"/v1/jobs/{theirs}/move", raw=raw)
        none = world.as_("owner", "POST", "/v1/jobs/job_nowhere/move", raw=raw)
        assert hidden.status == none.status == 404
        assert hidden.body == none.body.replace(b"job_nowhere", theirs.encode())


def test_the_same_request_for_another_project_tells_nothing(world: World) -> None:
    """Job ids are chosen by callers, and what a job's text says may be known to others."""
    task = "resources:\n  cpus: 1\nrun: echo hi\n"
    body = {"task": task, "job_id": world.fresh("job_same")}
    first = world.as_("other-lead", "POST", "/v1/jobs", body)
    assert (first.status, first.json()["created"]) == (201, True)
    for path in ("/v1/jobs", "/v1/batches"):
        again = world.as_("owner", "POST", path, body)
        assert (again.status, again.json()["code"]) == (409, "job-id-taken")
    assert world.as_("other-lead", "POST", "/v1/jobs", body).status == 200


def test_a_job_cannot_follow_anothers(world: World) -> None:
    theirs = world.job("speech", name="their-train")
    for name in (theirs, "their-train"):
        task = TASK.format(project="vision").replace(
            "  labels:\n", f"  labels:\n    westward.after: {name}\n"
        )
        refused = world.as_("owner", "POST", "/v1/jobs", {"task": task})
        assert refused.status == 400
        (fault,) = refused.json()["faults"]
        assert fault["problem"] == f"there is no job {name!r} to follow"


def test_which_project_a_job_is_of(world: World) -> None:
    status, answer = submitted(world, "owner", None)
    assert status == 201
    record = load_job(world.core.store, answer["job_id"])
    assert record is not None
    assert record.job.account == "vision", "the owner's only one"
    world.give("both", Role.OWNER, "vision")
    world.give("both", Role.OWNER, "speech")
    world.secrets["both"] = world.new_token("both")
    assert submitted(world, "both", None)[1]["code"] == "project-missing"
    assert submitted(world, "both", None, account="speech")[0] == 201
    assert submitted(world, "owner", "speech")[0] == 404
    status, answer = submitted(world, "owner", "nowhere")
    assert (status, answer["message"]) == (404, "there is no project 'nowhere'")
    assert submitted(world, "network-operator", None)[1]["code"] == "project-missing"
    second = TASK.format(project="speech").replace("train", "other")
    second = second.replace("labels:", "labels:\n    westward.after: none")
    batch = TASK.format(project="vision") + "---\n" + second
    before = world.tables()
    assert world.as_("owner", "POST", "/v1/batches", {"task": batch}).status == 404
    assert world.tables() == before, "all or none"
    assert world.as_("both", "POST", "/ga4gh/tes/v1/tasks", {**TES, "resources": {}}).status == 400


def test_a_local_jobs_project(world: World) -> None:
    """From before users were told apart: whoever is made a member sees them."""
    old = world.job(None)
    assert world.as_("owner", "GET", f"/v1/jobs/{old}").status == 404
    world.give("keeper", Role.OWNER, "local")
    world.secrets["keeper"] = world.new_token("keeper")
    assert world.as_("keeper", "GET", f"/v1/jobs/{old}").status == 200


def test_data_sets(world: World) -> None:
    """A name of its own is for the project's members; ``images`` also for its data owner."""
    images = {"name": "images", "owner": "vision", "files": FILES, "site": "harbor"}
    body = {**images, "url": "file:///other"}
    assert world.as_("data-owner", "POST", "/v1/datasets", body).status == 200
    new = {**body, "name": world.fresh("set")}
    assert world.as_("data-owner", "POST", "/v1/datasets", new).status == 403
    theirs = {**body, "name": world.fresh("set"), "owner": "speech"}
    assert world.as_("owner", "POST", "/v1/datasets", theirs).status == 403
    nobodys = {**body, "name": world.fresh("set"), "owner": ""}
    assert world.as_("owner", "POST", "/v1/datasets", nobodys).status == 403
    mixed = {**body, "owner": "speech"}
    assert world.as_("other-lead", "POST", "/v1/datasets", mixed).json()["code"] == "not-the-owner"


def test_sums_of_sites_are_their_operators(world: World) -> None:
    def sums(caller: str) -> dict[str, bool]:
        found = world.as_(caller, "GET", "/v1/sites").json()["sites"]
        return {one["site"]: one["runs_settled"] > 0 or one["sums"] is not None for one in found}

    assert not any(sums("owner").values())
    health = world.ask("GET", "/healthz").json()
    assert (health["set_aside"], health["jobs"]) == ([], {})
    assert world.as_("auditor", "GET", "/healthz").json()["jobs"]["pending"] > 0


# -- people and tokens


def test_from_an_empty_server_to_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator does first, over the API alone."""
    world = opened(tmp_path, monkeypatch)
    world.secrets["op"] = world.core.operator_token
    post = "POST"
    assert world.as_("op", "GET", "/v1/whoami").json()["user"] == "operator"
    assert world.as_("op", post, "/v1/organisations", {"organisation": "acme"}).status == 201
    project = {"project": "vision", "organisation": "acme"}
    assert world.as_("op", post, "/v1/projects", project).status == 201
    assert world.as_("op", post, "/v1/projects", project).status == 200, "safe to repeat"
    other = {**project, "label": "another"}
    assert world.as_("op", post, "/v1/projects", other).json()["code"] == "name-taken"
    nowhere = {"project": "x", "organisation": "nowhere"}
    assert world.as_("op", post, "/v1/projects", nowhere).status == 404
    lead = {"user": "li", "role": "lead"}
    assert world.as_("op", post, "/v1/members/project/vision", lead).status == 200
    minted = world.as_("op", post, "/v1/tokens", {"user": "li", "scopes": ["read", "people"]})
    world.secrets["li"] = minted.json()["token"]
    owner = {"user": "wu", "role": "owner"}
    assert world.as_("li", post, "/v1/members/project/vision", owner).status == 200
    told = world.as_("li", "GET", "/v1/members/project/vision").json()["members"]
    assert [(one["user"], one["role"], one["added_by"]) for one in told] == [
        ("li", "lead", "operator"),
        ("wu", "owner", "li"),
    ]
    world.secrets["wu"] = world.as_("op", post, "/v1/tokens", {"user": "wu"}).json()["token"]
    assert submitted(world, "wu", None)[0] == 201
    assert submitted(world, "li", None)[1]["code"] == "scope-missing"
    assert world.as_("li", post, "/v1/members/project/vision/remove", owner).status == 200
    assert submitted(world, "wu", "vision")[0] == 404, "at once"
    assert world.as_("li", post, "/v1/members/project/vision/remove", owner).status == 404
    for caller, names in (("op", ["acme", "local"]), ("li", ["acme"]), ("wu", [])):
        found = world.as_(caller, "GET", "/v1/organisations").json()["organisations"]
        assert [one["organisation"] for one in found] == names
    world.core.close()
    again = opened(tmp_path, monkeypatch)
    again.secrets = world.secrets
    assert again.as_("li", "GET", "/v1/whoami").json()["grants"] == [
        {"role": "lead", "kind": "project", "place": "vision"}
    ], "kept over a restart"
    again.core.close()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/organisations", {"organisation": "a b"}, "organisation"),
        ("/v1/organisations", {"organisation": "operator"}, "organisation"),
        ("/v1/projects", {"project": "", "organisation": "acme"}, "project"),
        ("/v1/members/project/vision", {"user": "local", "role": "owner"}, "user"),
        ("/v1/members/project/vision", {"user": "li", "role": "auditor"}, "role"),
        ("/v1/members/site/harbor", {"user": "li", "role": "owner"}, "role"),
        ("/v1/tokens", {"user": "operator"}, "user"),
        ("/v1/tokens", {"user": "li", "scopes": []}, "scopes"),
    ],
)
def test_bad_names_and_roles(world: World, path: str, body: Any, field: str) -> None:
    before = world.tables()
    refused = world.as_("operator-file", "POST", path, body)
    assert refused.status == 400
    assert [fault["field"] for fault in refused.json()["faults"]] == [field]
    assert world.tables() == before


def test_places_that_are_not_there(world: World) -> None:
    for kind, name in (("project", "x"), ("site", "x"), ("dataset", "x"), ("network", "x")):
        answer = world.as_("operator-file", "GET", f"/v1/members/{kind}/{name}")
        assert answer.status == 404
    assert world.as_("operator-file", "GET", "/v1/members/moon/x").status == 404


def test_a_lead_chooses_no_more_than_a_lead_may(world: World) -> None:
    for kind, place, role, status in (
        ("project", "vision", "owner", 200),
        ("project", "vision", "lead", 200),
        ("dataset", "images", "data-owner", 200),
        ("project", "speech", "owner", 404),
        ("site", "harbor", "site-operator", 404),
        ("network", "network", "network-operator", 404),
    ):
        body = {"user": "friend", "role": role}
        answer = world.as_("lead", "POST", f"/v1/members/{kind}/{place}", body)
        assert answer.status == status, (kind, place)


@pytest.mark.parametrize(
    ("kind", "place", "role", "choosers"),
    [
        ("project", "vision", "owner", {"lead"}),
        ("site", "harbor", "site-operator", {"site-operator"}),
        ("dataset", "images", "data-owner", {"data-owner", "lead"}),
        ("programme", "city", "funder", {"funder"}),
        ("network", "network", "network-operator", set()),
        ("network", "network", "auditor", set()),
    ],
)
def test_who_chooses_whom(
    world: World, kind: str, place: str, role: str, choosers: set[str]
) -> None:
    """And sees who holds what there: whoever holds something there, and the overseers."""
    path = f"/v1/members/{kind}/{place}"
    for caller in PEOPLE:
        body = {"user": world.fresh("new"), "role": role}
        done = [world.as_(caller, "POST", path + end, body).status for end in ("", "/remove")]
        allowed = caller in choosers or caller == "network-operator"
        assert (done == [200, 200]) == allowed, caller
        assert allowed or set(done) <= {403, 404}
        if allowed or caller == "auditor":
            assert world.as_(caller, "GET", path).status == 200


def test_a_token_makes_none_that_is_more_than_itself(world: World) -> None:
    little = world.new_token(
        "owner", Scope.PEOPLE, Scope.READ, expires_ms=world.core.clock.now_ms() + 60_000
    )
    mint = "/v1/tokens"
    made = world.ask("POST", mint, {"ttl_ms": 30_000}, secret=little)
    assert made.json()["scopes"] == ["people", "read"]
    refused = world.ask("POST", mint, {"ttl_ms": 90_000, "scopes": ["jobs"]}, secret=little)
    assert [fault["field"] for fault in refused.json()["faults"]] == ["scopes", "ttl_ms"]
    assert world.ask("POST", mint, {"user": "lead"}, secret=little).status == 403
    operators = world.new_token("network-operator", Scope.PEOPLE)
    refused = world.ask("POST", mint, {"user": "x", "scopes": ["jobs"]}, secret=operators)
    assert refused.status == 400


def test_ends_of_tokens_are_told_by_code(world: World) -> None:
    def code(secret: str | None) -> str:
        answer = world.ask("GET", "/v1/jobs", secret=secret)
        assert answer.status == 401
        return str(answer.json()["code"])

    assert code(None) == "token-missing"
    assert code("wut_never") == code("") == "token-unknown"
    assert code(world.secrets["expired"]) == "token-expired"
    assert code(world.secrets["revoked"]) == "token-revoked"
    assert code(world.secrets["agent"]) == "token-unknown", "a site is no user"


def test_a_revocation_is_in_force_when_it_is_told(world: World) -> None:
    secret = world.new_token("owner")
    assert world.ask("GET", "/v1/jobs", secret=secret).status == 200
    token_id = world.core.people.tokens[digest_of(secret)].token_id
    assert world.as_("owner", "POST", f"/v1/tokens/{token_id}/revoke").status == 200
    assert world.ask("GET", "/v1/jobs", secret=secret).status == 401
    assert world.as_("owner", "POST", f"/v1/tokens/{token_id}/revoke").status == 200
    last = world.new_token("owner")
    token_id = world.core.people.tokens[digest_of(last)].token_id
    assert world.ask("POST", f"/v1/tokens/{token_id}/revoke", secret=last).status == 200


@pytest.mark.parametrize("how", ["token", "member"])
def test_a_held_poll_of_one_who_lost_the_right_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    from tests.unit.people_world import _asked

    world = peopled(tmp_path, monkeypatch)
    job_id = world.job("vision", name="secret-name")
    secret = world.new_token("owner")
    token_id = world.core.people.tokens[digest_of(secret)].token_id

    async def both() -> Any:
        query = "wait_ms=20000&unless_state=pending"
        path = f"/v1/jobs/{job_id}"
        held = asyncio.create_task(
            _asked(world.app, "GET", path, b"", secret, query, ("127.0.0.1", 5))
        )
        while not world.core.jobs._bells:
            await asyncio.sleep(0.01)
        operator = world.core.operator_token
        path, body = f"/v1/tokens/{token_id}/revoke", b"{}"
        if how == "member":
            path = "/v1/members/project/vision/remove"
            body = b'{"user": "owner", "role": "owner"}'
        done = await _asked(world.app, "POST", path, body, operator, "", ("127.0.0.1", 5))
        assert done.status == 200
        world.core.jobs.ring_all()
        world.core.closing = True
        return await held

    answer = asyncio.run(both())
    assert answer.status == (401 if how == "token" else 404)
    assert b"secret-name" not in answer.body
    world.core.close()


def test_the_last_use_is_kept_to_the_hour(world: World) -> None:
    secret = world.new_token("owner")
    assert world.core.people.tokens[digest_of(secret)].used_ms is None
    for _ in range(3):
        world.ask("GET", "/v1/whoami", secret=secret)
    world.look_again()
    used_ms = world.core.people.tokens[digest_of(secret)].used_ms
    assert used_ms is not None
    assert used_ms % USED_COARSE_MS == 0
    assert 0 <= world.core.clock.now_ms() - used_ms < 2 * USED_COARSE_MS


def test_tokens_listed_are_ones_own(world: World) -> None:
    own = world.as_("owner", "GET", "/v1/tokens").json()["tokens"]
    assert {one["user"] for one in own} == {"owner"}
    everyones = world.as_("auditor", "GET", "/v1/tokens").json()["tokens"]
    assert {one["user"] for one in everyones} >= set(PEOPLE)
    assert not any("token" in one or "digest" in one for one in everyones)


# -- one user


def test_with_no_users_told_apart_nothing_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But what is the operator's stays so: whoever reaches an open server plants no token."""
    world = opened(tmp_path, monkeypatch, users=False)
    assert world.ask("GET", "/v1/whoami").json()["everything"] is True
    assert world.ask("GET", "/v1/whoami", client=FAR).status == 403
    body = {"task": TASK.format(project="vision")}
    assert world.ask("POST", "/v1/jobs", body).status == 201
    assert world.ask("GET", "/v1/jobs", secret="wut_anything").status == 200
    assert world.ask("GET", "/metrics").status == 200
    for path, more in (
        ("/v1/organisations", {"organisation": "acme"}),
        ("/v1/members/network/network", {"user": "me", "role": "network-operator"}),
        ("/v1/tokens", {"user": "me"}),
        ("/v1/joined/harbor/status", {"status": "open"}),
    ):
        assert world.ask("POST", path, more).json()["code"] == "operator-only"
        done = world.ask("POST", path, more, secret=world.core.operator_token)
        assert done.status in (200, 201)
    world.core.close()


# -- secrets


def test_no_secret_and_nothing_of_another_project_gets_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Planted in everything that another project hands in, and in what people and sites show; then
    everything is asked for by everyone whom it does not concern."""
    caplog.set_level(logging.DEBUG)
    world = peopled(tmp_path, monkeypatch)
    word = "PLANTED"
    world.job(
        "speech",
        name=f"{word}-name",
        labels=(("note", f"{word}-label"),),
        work=Work(run=f"echo {word}-run", setup=word, envs=(("KEY", f"{word}-env"),)),
    )
    (kept,) = world.as_("other-lead", "GET", "/v1/jobs").json()["jobs"]
    life = life_of(world.core.store, kept["job_id"])
    assert life is not None
    work = life[0].job.work
    assert word in repr(work.envs), "they are there"
    assert word in repr(work)
    assert f"{word}-env" not in repr(life[0]), "an error about a job may be logged with all of it"
    for secret in (f"{word}-env", f"{word}-run"):
        assert secret not in repr(steps_of(*life)), "and in no trace"
        assert secret not in repr(life[2]), "nor in its events"
    job_id = world.job("speech", name=f"{word}-ended")
    world.as_("operator-file", "POST", f"/v1/jobs/{job_id}/cancel")
    world.task("speech", name=f"{word}-task", tags={"a": f"{word}-tag"})
    refused = world.as_(
        "other-lead",
        "POST",
        "/v1/jobs",
        {"task": f"secrets:\n  API_KEY: {word}-secret\nrun: echo hi\n"},
    )
    assert refused.status == 400
    assert word.encode() not in refused.body, "a fault does not repeat a secret"
    shown = [world.as_("other-lead", "GET", "/v1/jobs").body]
    assert word.encode() in shown[0], "what is looked for is there to be found"
    mint = {"ttl_ms": 60_000, "label": "mine"}
    minted = world.as_("lead", "POST", "/v1/tokens", mint).json()["token"]
    secrets = [*world.secrets.values(), minted, "wsc_lab", world.core.operator_token]
    told: list[bytes] = []
    for caller in ("none", "expired", "revoked", "unknown", "narrow", "no-role", "owner", "lead"):
        for operation in ROWS:
            method, path, body = request(world, operation, caller)
            for query in ("", "view=FULL", "limit=1000", "arrays_once=true"):
                told.append(world.as_(caller, method, path, body, query=query).body)
            told.append(
                world.as_(caller, method, path, raw=b'{"x": "' + b"wut_in-body" + b'"').body
            )
    told += [world.as_("auditor", "GET", path).body for path in ("/metrics", "/v1/tokens")]
    everything = b"\n".join(told)
    assert word.encode() not in everything
    minted_before = {one.encode() for one in secrets}
    assert not [one for one in minted_before if one in everything]
    logged = "\n".join(f"{one.getMessage()} {one.exc_text or ''}" for one in caplog.records)
    assert "is revoked" in logged, "the log is read"
    assert not [one for one in (*secrets, word, "wut_in-body") if one in logged]
    world.core.close()
    for file in tmp_path.glob("westward.db*"):
        stored = file.read_bytes()
        assert not [one for one in minted_before - {b"lab"} if one in stored], file.name
