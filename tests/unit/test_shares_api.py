"""Fair shares on a server: what the operator sets, what each project reads, the order that follows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.people_world import World, billed_run, peopled
from westward.cli.main import run
from westward.model.plan import Policy
from westward.placement import plan
from westward.server.sharing import USE_AGAIN_MS
from westward.store.schema import RUNS

HOUR = 3_600_000


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = peopled(tmp_path, monkeypatch)
    yield made
    made.core.close()


def used(world: World, hours: float, ended_ago_ms: int = 0) -> None:
    """A run of ``vision`` that held a whole device."""
    run_id = billed_run(world)
    now_ms = world.core.clock.now_ms() - ended_ago_ms
    with world.core.store.write() as connection:
        connection.execute(
            RUNS.update()
            .where(RUNS.c.run_id == run_id)
            .values(need_milli=1000, started_ms=now_ms - int(hours * HOUR), ended_ms=now_ms)
        )


def lines(world: World, caller: str = "auditor") -> dict[str, dict[str, float]]:
    answer = world.as_(caller, "GET", "/v1/shares")
    assert answer.status == 200
    return {one["project"]: one for one in answer.json()["projects"]}


def share(world: World, **body: object) -> int:
    return world.as_("network-operator", "POST", "/v1/shares", body).status


def test_each_project_reads_its_line_and_overseers_all(world: World) -> None:
    used(world, 10.0)
    assert lines(world)["vision"]["explanation"].endswith("jobs go in order of arrival.")
    assert share(world, kind="group", name="east", weight_milli=3_000) == 200
    assert share(world, kind="organisation", name="rival", group="east") == 200
    assert set(lines(world, "lead")) == {"vision"}
    assert set(lines(world, "other-lead")) == {"speech"}
    assert lines(world, "no-role") == {}
    assert world.as_("lead", "GET", "/v1/shares").json()["shares"] == []
    both = lines(world)
    vision, speech = both["vision"], both["speech"]
    assert (vision["part"], speech["part"]) == (0.25, 0.75)
    total = world.as_("auditor", "GET", "/v1/shares").json()["used_device_hours"]
    assert total == pytest.approx(10.0, rel=0.03), "use of now counts in full"
    assert vision["borrowed_device_hours"] == pytest.approx(0.75 * total)
    assert speech["owed_device_hours"] == pytest.approx(0.75 * total)
    assert speech["group"] == "east"
    assert "go behind" in str(vision["explanation"])
    assert "entitled to 75.0% of the network (weight 1 in east, which weighs 3)" in str(
        speech["explanation"]
    )


def test_use_is_forgotten_by_the_terms(world: World) -> None:
    used(world, 1.0, ended_ago_ms=24 * HOUR)
    before = lines(world)["vision"]["used_device_hours"]
    body = {"half_life_ms": 12 * HOUR, "window_ms": 48 * HOUR}
    assert world.as_("network-operator", "POST", "/v1/shares/terms", body).status == 200
    after = lines(world)["vision"]["used_device_hours"]
    assert before == pytest.approx(0.9, abs=0.02)
    assert after == pytest.approx(0.245, abs=0.01), "two half-lives and a little"
    body = {"half_life_ms": 12 * HOUR, "window_ms": 13 * HOUR}
    assert world.as_("network-operator", "POST", "/v1/shares/terms", body).status == 200
    assert lines(world)["vision"]["used_device_hours"] == 0.0
    body = {"half_life_ms": 12 * HOUR, "window_ms": 1 * HOUR}
    assert world.as_("network-operator", "POST", "/v1/shares/terms", body).status == 400


def test_the_live_order_follows_and_goes_back(world: World) -> None:
    """Two of vision, then one of speech; vision has used the network."""
    used(world, 5.0)
    first = [world.job("vision", duration_ms=HOUR) for _ in range(2)]
    last = world.job("speech", duration_ms=HOUR)
    core = world.core

    def order() -> list[str]:
        found = core.situation()
        decided = plan(found.snapshot, found.to_place, Policy(), found.now_ms)
        snapshot = found.snapshot
        from westward.placement.planner import _fair_tags, ranks

        tags = _fair_tags(snapshot, [], Policy())
        rows, _ = ranks(found.to_place, tags)
        assert len(decided.placements) == 3
        return [found.to_place[one].job_id for one in rows.tolist()]

    assert core.situation().snapshot.fair == ()
    assert order() == [*first, last]
    assert share(world, kind="project", name="speech") == 200
    assert {one.account for one in core.situation().snapshot.fair} == {"vision", "speech"}
    assert order() == [last, *first]
    body = {"kind": "project", "name": "speech"}
    assert world.as_("network-operator", "POST", "/v1/shares/remove", body).status == 200
    assert order() == [*first, last]
    assert world.as_("network-operator", "POST", "/v1/shares/remove", body).status == 404


def test_what_ran_is_looked_at_again_in_time(world: World) -> None:
    assert share(world, kind="project", name="vision") == 200
    world.job("vision")

    def served() -> float:
        return world.core.situation().snapshot.fair[0].served_ms

    before = served()
    used(world, 3.0)
    assert served() == before, "added up before"
    world.core.clock._offset_ms += USE_AGAIN_MS
    assert served() == pytest.approx(3.0 * HOUR, rel=0.02)


def test_what_is_no_share_is_refused(world: World) -> None:
    for body in (
        {"kind": "project", "name": "nobody"},
        {"kind": "organisation", "name": "nobody"},
        {"kind": "project", "name": "vision", "weight_milli": 0},
        {"kind": "group", "name": "a", "group": "b"},
        {"kind": "planet", "name": "a"},
        {"kind": "group", "name": "/"},
    ):
        assert share(world, **body) in (400, 404, 422), body
    assert world.as_("auditor", "GET", "/v1/shares").json()["on"] is False


def test_westward_share(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command's own reading and printing; the requests go to the application."""
    from westward.cli import client

    def asked(_self: object, method: str, path: str, body: object) -> object:
        answer = world.as_("network-operator", method, path, body)
        assert answer.status == 200, answer.body
        return answer.json()

    monkeypatch.setattr(client.Client, "_request", asked)
    monkeypatch.setenv("WESTWARD_SERVER", "http://127.0.0.1:1")
    monkeypatch.setenv("WESTWARD_TOKEN", "t")
    used(world, 2.0)
    assert run(["share", "list"]) == 0
    assert "No shares are set" in capsys.readouterr().out
    assert run(["share", "set", "project", "vision", "--weight", "0.5", "--group", "west"]) == 0
    assert run(["share", "terms", "--half-life", "2d"]) == 0
    capsys.readouterr()
    assert run(["share", "list", "--why"]) == 0
    told = capsys.readouterr().out
    assert "Device-hours of the last 8d" in told
    assert next(line.split()[:3] for line in told.splitlines() if line.startswith("vision ")) == [
        "vision", "west", "50.0%",
    ]  # fmt: skip
    assert "vision is entitled to 50.0%" in told
    assert run(["share", "set", "project", "vision", "--weight", "-1"]) == 2
    asyncio.run(world.core.people_changed())


def test_a_dry_run_stands_where_its_project_would(world: World) -> None:
    """Of a project that has no job in the network: what it has used counts for it too."""
    used(world, 1_000.0)
    assert share(world, kind="project", name="vision") == 200
    world.job("speech", duration_ms=HOUR)
    from westward.server.sharing import live_standings

    core, found = world.core, world.core.situation()
    assert [one.account for one in found.snapshot.fair] == ["speech"]
    own = live_standings(
        core.store, core.uses, core.people.projects, found.records.values(), found.now_ms, "vision"
    )
    served = {one.account: one.served_ms for one in own}
    assert served["vision"] > 100 * HOUR > served["speech"] == 0.0
    task = "resources:\n  cpus: 1\n  labels:\n    westward.account: vision\nrun: echo hi\n"
    answer = world.as_("lead", "POST", "/v1/plan", {"task": task})
    assert answer.status == 200
    assert answer.json()["placement"] is not None or answer.json()["refusal"] is not None
