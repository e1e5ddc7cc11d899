"""The whole network for real: server and three agents as processes, jobs over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from harness import Live, until
from pydantic import TypeAdapter

from westward.model.job import JobSpec
from westward.model.plan import Policy, Snapshot
from westward.placement import plan

LABELS = "resources:\n  labels:\n    westward.duration"
READING = {"sequence": 0, "wall_ms": 1, "device_milli_ms": 1, "cpu_ms": 0, "max_rss_kib": 0}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    network = Live(tmp_path_factory.mktemp("live"))
    try:
        network.start_all()
        yield network
    finally:
        network.close()


def task(run: str, *, resources: str = "cpus: 1", extra: str = "", labels: str = "") -> str:
    return (
        f"name: test\n{extra}\nresources:\n  {resources}\n  labels:\n"
        f"    westward.duration: 2s\n{labels}run: |\n  {run}\n"
    )


def log_of(live: Live, job_id: str, rank: int = 0) -> str:
    data, offset = b"", 0
    while True:
        answer = live.get(f"/v1/jobs/{job_id}/logs?rank={rank}&offset={offset}&wait_ms=5000")
        data += base64.b64decode(answer["data_b64"])
        offset = answer["next_offset"]
        if answer["complete"]:
            return data.decode()


def kinds(live: Live, job_id: str) -> list[str]:
    return [line["kind"] for line in live.get(f"/v1/jobs/{job_id}/why")["story"]]


def settled(live: Live, job_id: str) -> dict[str, Any] | None:
    for row in live.get("/v1/report")["jobs"]:
        if row["job_id"] == job_id and row["settled"]:
            return dict(row)
    return None


def test_an_array_of_jobs_succeeds_and_each_story_is_complete(live: Live) -> None:
    names = [f"job_array-{number}" for number in range(8)]
    for number, name in enumerate(names):
        # Long enough for a joule: energy is metered in whole ones.
        live.submit(name, task(f"sleep 0.2; echo part {number} at $WESTWARD_SITE"))
    for number, name in enumerate(names):
        job = live.finish(name)
        assert (job["state"], job["exit_code"], job["attempts"]) == ("succeeded", 0, 1), job
        assert log_of(live, name) == f"part {number} at {job['site']}\n"
        assert kinds(live, name) == ["submitted", "bound", "leased", "started", "succeeded"]
        row = until(lambda name=name: settled(live, name), "the run has its bill")
        assert row["site"] == job["site"]
        assert row["why"]
        assert row["energy_kwh"] > 0
        assert row["price_micros"] >= 0


def test_the_metered_price_agrees_with_the_network_folder(live: Live) -> None:
    live.submit("job_priced", task("sleep 1.2"))
    job = live.finish("job_priced")
    row = until(lambda: settled(live, "job_priced"), "the run has its bill")
    site = next(one for one in live.get("/v1/sites")["sites"] if one["site"] == job["site"])
    (pool,) = site["pools"]
    decision = live.get("/v1/jobs/job_priced/why")["decision"]["placement"]
    devices = decision["estimate"]["need_milli"] / 1000
    hours = row["energy_kwh"] / (devices * 0.4 * site["pue"])  # 400 W a device, in pools.csv
    assert 1.2 <= hours * 3600 < 60
    expected = hours * devices * pool["price_micros_per_device_hour"]
    expected += row["energy_kwh"] * site["now"]["tariff_per_kwh"] * 1_000_000
    assert row["price_micros"] == pytest.approx(expected, abs=3)


def test_a_gang_runs_on_both_nodes(live: Live) -> None:
    text = task("echo rank $SKYPILOT_NODE_RANK of $SKYPILOT_NUM_NODES", extra="num_nodes: 2")
    live.submit("job_gang", text)
    assert live.finish("job_gang")["state"] == "succeeded"
    assert log_of(live, "job_gang", 0) == "rank 0 of 2\n"
    assert log_of(live, "job_gang", 1) == "rank 1 of 2\n"


def test_a_failing_job_keeps_its_exit_code_and_is_not_tried_again(live: Live) -> None:
    live.submit("job_fails", task("echo broken; exit 7"))
    job = live.finish("job_fails")
    assert (job["state"], job["exit_code"], job["attempts"]) == ("failed", 7, 1)
    assert log_of(live, "job_fails") == "broken\n"


def test_a_running_job_is_cancelled(live: Live) -> None:
    live.submit("job_stopped", task("sleep 1000"))
    until(lambda: live.job("job_stopped")["state"] == "running", "it runs")
    status, answer = live.call("POST", "/v1/jobs/job_stopped/cancel")
    assert (status, answer["accepted"]) == (200, True)
    assert live.finish("job_stopped")["state"] == "cancelled"
    assert live.call("POST", "/v1/jobs/job_stopped/cancel")[1]["accepted"] is False


def test_a_waiting_job_is_cancelled_at_once_and_a_snapshot_of_it_can_be_replayed(
    live: Live,
) -> None:
    live.submit("job_later", task("true", labels="    westward.start_after: 6h\n"))
    until(lambda: live.job("job_later")["state"] == "bound", "it has a place")
    saved = live.get("/v1/snapshot")
    snapshot = TypeAdapter(Snapshot).validate_python(saved["snapshot"])
    jobs = TypeAdapter(tuple[JobSpec, ...]).validate_python(saved["jobs"])
    policy = TypeAdapter(Policy).validate_python(saved["policy"])
    decided = plan(snapshot, jobs, policy, saved["now_ms"])
    (placement,) = [one for one in decided.placements if one.job_id == "job_later"]
    job = live.job("job_later")
    assert placement.estimate.pool == job["pool"]
    assert not placement.starts_now
    assert live.call("POST", "/v1/jobs/job_later/cancel")[1]["state"] == "cancelled"


def test_an_impossible_job_is_refused_with_every_pools_reason(live: Live) -> None:
    answer = live.submit("job_huge", task("true", resources="accelerators: nonesuch:8"))
    assert answer["state"] == "refused"
    told = live.get("/v1/jobs/job_huge/why")
    codes = {
        reason["code"]
        for other in told["decision"]["refusal"]["alternatives"]
        for reason in other["reasons"]
    }
    assert "wrong-accelerator" in codes
    assert kinds(live, "job_huge") == ["submitted", "refused"]


def test_the_same_request_twice_is_one_job(live: Live) -> None:
    body = {"job_id": "job_twice", "task": task("echo once")}
    assert live.call("POST", "/v1/jobs", body)[0] == 201
    status, again = live.call("POST", "/v1/jobs", body)
    assert (status, again["created"]) == (200, False)
    body["task"] = task("echo other")
    status, answer = live.call("POST", "/v1/jobs", body)
    assert (status, answer["code"]) == (409, "job-id-taken")
    assert live.finish("job_twice")["attempts"] == 1


def test_a_request_repeated_after_its_deadline_is_still_the_same_job(live: Live) -> None:
    due_ms = live.get("/healthz")["now_ms"] + 2_000
    due = datetime.fromtimestamp(due_ms / 1000, UTC).isoformat()
    text = task("echo once", labels=f'    westward.deadline: "{due}"\n').replace("2s", "1s")
    body = {"job_id": "job_due", "task": text}
    assert live.call("POST", "/v1/jobs", body)[0] == 201
    until(lambda: live.get("/healthz")["now_ms"] > due_ms, "the deadline has passed")
    status, again = live.call("POST", "/v1/jobs", body)
    assert (status, again.get("created")) == (200, False), again
    status, answer = live.call("POST", "/v1/jobs", {**body, "job_id": "job_due-2"})
    assert (status, answer["code"]) == (400, "invalid-input")


def test_a_dry_run_changes_nothing(live: Live) -> None:
    before = live.get("/healthz")["jobs"]
    status, answer = live.call("POST", "/v1/plan", {"task": task("true")})
    assert status == 200
    assert len(answer["placement"]["alternatives"]) == 3
    assert live.get("/healthz")["jobs"] == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/jobs", {"task": "nmae: x\nrun: true"}, 400, "invalid-input"),
        ("POST", "/v1/jobs", {"task": "run: [unclosed"}, 400, "invalid-input"),
        ("POST", "/v1/jobs", {"text": "x"}, 422, "malformed-request"),
        ("POST", "/v1/jobs", {"task": "run: x", "job_id": "../x"}, 422, "malformed-request"),
        ("POST", "/v1/jobs", {"task": "x" * 9_000_000}, 413, "too-large"),
        ("POST", "/v1/jobs", {"task": 'run: "\\ud800"'}, 400, "invalid-input"),
        ("POST", "/v1/jobs", {"task": f"run: x\n{LABELS}: 999999999999d"}, 400, "invalid-input"),
        ("POST", "/v1/plan", {"task": f"run: x\n{LABELS}: 999999999999d"}, 400, "invalid-input"),
        ("GET", f"/v1/jobs/job_none/logs?offset={2**70}", None, 422, "malformed-request"),
        (
            "POST",
            "/v1/agent/runs/run_none/logs",
            {"token": 1, "rank": 0, "offset": 0, "data_b64": "é"},
            422,
            "malformed-request",
        ),
        ("POST", "/v1/agent/runs/run_none/started", {"token": 2**70}, 422, "malformed-request"),
        (
            "POST",
            "/v1/agent/runs/run_none/readings",
            {"token": 1, "readings": [READING | {"wall_ms": -1}]},
            422,
            "malformed-request",
        ),
        ("GET", "/v1/jobs/job_none", None, 404, "not-found"),
        ("GET", "/v1/jobs/job_none/why", None, 404, "not-found"),
        ("GET", "/v1/jobs/job_none/logs", None, 404, "not-found"),
        ("POST", "/v1/jobs/job_none/cancel", None, 404, "not-found"),
        ("GET", "/v1/nothing", None, 404, "not-found"),
        ("DELETE", "/v1/jobs", None, 405, "method-not-allowed"),
        (
            "POST",
            "/v1/agent/hello",
            {"site": "atlantis", "agent_id": "a", "pools": []},
            404,
            "not-found",
        ),
        (
            "POST",
            "/v1/agent/poll",
            {"site": "basin", "agent_session": 99, "runs": [], "wait_ms": 0},
            409,
            "session-unknown",
        ),
        (
            "POST",
            "/v1/agent/poll",
            {"site": "basin", "agent_session": 0, "runs": [], "wait_ms": 0},
            409,
            "session-superseded",
        ),
    ],
)
def test_wrong_requests_get_a_code_and_no_traceback(
    live: Live, method: str, path: str, body: object, status: int, code: str
) -> None:
    got, answer = live.call(method, path, body)
    assert (got, answer["code"]) == (status, code)
    assert answer["message"]
    assert "Traceback" not in str(answer)


def test_faults_name_the_field_and_the_remedy(live: Live) -> None:
    _, answer = live.call("POST", "/v1/jobs", {"task": "nmae: x\nrun: echo", "file": "my.yaml"})
    assert [(one["file"], one["field"]) for one in answer["faults"]] == [("my.yaml", "nmae")]
    assert answer["faults"][0]["remedy"]


def test_the_api_describes_itself(live: Live) -> None:
    paths = live.get("/openapi.json")["paths"]
    assert {"/v1/jobs", "/v1/jobs/{job_id}/why", "/v1/agent/poll", "/v1/report"} <= set(paths)
