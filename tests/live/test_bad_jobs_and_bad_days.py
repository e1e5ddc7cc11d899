"""One network, three bad days: jobs that break the server's rules, a server killed right after it
answered, and a site that goes down while jobs wait for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from harness import SITES, Live, until

from westward.control.events import JobBound
from westward.control.records import Binding
from westward.model.job import JobSpec, ResourceOption, Work
from westward.store.database import open_store
from westward.store.jobs import submit_jobs
from westward.store.lifecycle import apply_event
from westward.store.results import Submission

QUICK = "run: echo done\nresources:\n  cpus: 1\n  labels:\n    westward.duration: 2s\n"
WHOLE_NODE = "run: {run}\nresources:\n  cpus: 4\n  labels:\n    westward.duration: {duration}\n"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    network = Live(tmp_path_factory.mktemp("bad"), lease="5s")
    try:
        network.start_all()
        yield network
    finally:
        network.close()


def spec(name: str, **changes: object) -> JobSpec:
    values: dict[str, object] = {
        "job_id": name,
        "name": name,
        "submit_ms": 0,
        "options": (ResourceOption(cpus_milli=1000),),
        "work": Work(run="true"),
    }
    return JobSpec(**(values | changes))  # type: ignore[arg-type]


def plant_bad_jobs(live: Live) -> list[str]:
    """Past the API, as a bug or an older version might: each breaks another step."""
    now_ms = live.get("/healthz")["now_ms"]
    store = open_store(f"sqlite:///{live.data / 'westward.db'}")
    try:
        submit_jobs(
            store,
            [
                # The planner counts in 64 bits: this raises within plan().
                Submission(
                    job=spec("job_bad-plan", submit_ms=now_ms, duration_ms=10**20), body_digest="a"
                ),
                # No attempt is left, so the machine refuses the lease: InvalidTransition.
                Submission(
                    job=spec("job_bad-grant", submit_ms=now_ms), body_digest="b", attempts_max=0
                ),
                Submission(job=spec("job_bad-row", submit_ms=now_ms), body_digest="c"),
                Submission(job=spec("job_bad-pool", submit_ms=now_ms), body_digest="d"),
            ],
            now_ms,
        )
        place = Binding(
            pool="no-more", site="basin", option=0, need_milli=1000, duration_ms=1000,
            not_before_ms=now_ms, planned_start_ms=now_ms,
        )  # fmt: skip
        apply_event(store, "job_bad-pool", JobBound(binding=place), now_ms)
    finally:
        store.close()
    with sqlite3.connect(live.data / "westward.db") as database:
        database.execute("UPDATE jobs SET spec = '{}' WHERE job_id = 'job_bad-row'")
    database.close()
    return ["job_bad-plan", "job_bad-grant", "job_bad-row"]


def aside(live: Live) -> list[str]:
    return [one["id"] for one in live.get("/healthz")["set_aside"]]


def test_bad_jobs_are_set_aside_and_the_others_go_on(live: Live) -> None:
    bad = plant_bad_jobs(live)
    live.submit("job_good-1", QUICK)
    assert live.finish("job_good-1")["state"] == "succeeded"
    until(lambda: set(bad) <= set(aside(live)), "all bad jobs are set aside")
    live.submit("job_good-2", QUICK)
    assert live.finish("job_good-2")["state"] == "succeeded"

    health = live.get("/healthz")
    assert health["status"] == "degraded"
    assert not any(health["failures_in_a_row"].values()), "no loop failed, only these jobs"
    for name, problem in (("job_bad-plan", "OverflowError"), ("job_bad-grant", "attempts")):
        told = live.get(f"/v1/jobs/{name}/why")
        assert [one["id"] for one in told["set_aside"]] == [name]
        (line,) = [line for line in told["story"] if line["kind"] == "set-aside"]
        assert problem in line["text"]
        log = (live.folder / "server.log").read_text()
        assert f"job {name}: Set aside" in log
        assert f"{name} was submitted" in log, "the log tells the job's story"
    assert {job["job_id"] for job in live.get("/v1/jobs")["jobs"]} >= {"job_good-1", "job_good-2"}
    # Bound to a pool that the network does not have: simply placed anew.
    assert live.finish("job_bad-pool")["state"] == "succeeded"

    for name in ("job_bad-plan", "job_bad-grant"):
        assert live.call("POST", f"/v1/jobs/{name}/cancel")[1]["state"] == "cancelled"
    until(lambda: aside(live) == ["job_bad-row"], "cancelled jobs are not held aside any more")


def test_what_was_answered_survives_a_kill_and_is_one_job(live: Live) -> None:
    later = QUICK.replace("2s", "2s\n    westward.start_after: 6h")
    live.submit("job_kept", later)
    live.kill_server()
    live.start_server()
    assert live.job("job_kept")["job_id"] == "job_kept"
    body = {"job_id": "job_kept", "task": later}
    status, again = live.call("POST", "/v1/jobs", body)
    assert (status, again["created"]) == (200, False)
    assert [job["job_id"] for job in live.get("/v1/jobs?limit=1000")["jobs"]].count("job_kept") == 1
    assert live.call("POST", "/v1/jobs", {**body, "task": QUICK})[0] == 409
    assert live.call("POST", "/v1/jobs/job_kept/cancel")[1]["state"] == "cancelled"


def place(job: dict[str, Any]) -> str | None:
    return job["site"] if job["state"] == "bound" else None


def test_jobs_waiting_for_a_site_that_goes_down_move(live: Live) -> None:
    live.until_open(SITES)
    nodes = ("plateau",) * 4 + ("basin",) * 2 + ("harbor",)
    long = [f"job_long-{number}" for number in range(len(nodes))]
    for name, site in zip(long, nodes, strict=True):
        text = WHOLE_NODE.format(run="sleep 1000", duration="10m")
        live.submit(name, text.replace("cpus: 4", f'cpus: 4\n  infra: "*/{site}"'))
    until(lambda: all(live.job(name)["state"] == "running" for name in long), "every node is taken")
    waiting = [f"job_wait-{number}" for number in range(4)]
    for name in waiting:
        live.submit(name, WHOLE_NODE.format(run="echo done", duration="2s"))
    until(lambda: all(place(live.job(name)) for name in waiting), "they are bound and wait")
    there = {name: place(live.job(name)) for name in waiting}
    down = next(site for site in SITES if site in there.values())
    moving = [name for name in waiting if there[name] == down]
    live.kill_agent(down)

    until(
        lambda: all(place(live.job(name)) not in (down, None) for name in moving),
        "what waited there has another place",
    )
    for name in moving:
        told = live.get(f"/v1/jobs/{name}/why")["story"]
        assert [line["kind"] for line in told] == ["submitted", "bound", "unbound", "bound"]
        assert "takes no new work" in told[2]["text"]
    for name in long:
        live.call("POST", f"/v1/jobs/{name}/cancel")
    for name in waiting:
        job = live.finish(name)
        assert (job["state"], job["attempts"]) == ("succeeded", 1)
        assert job["site"] != down
    assert {live.finish(name)["state"] for name in long} == {"cancelled"}
