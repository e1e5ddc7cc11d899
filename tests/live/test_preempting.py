"""Preempted by the planner, checkpoints too large to travel, sites that go away while it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness import Live, until
from steps import Steps

WHOLE_HARBOR = "  infra: ssh/harbor\n"


@pytest.fixture
def live(tmp_path: Any) -> Iterator[Live]:
    network = Live(tmp_path, server_options=("--preempt", "--checkpoint-most", "1MB"))
    try:
        network.start_all()
        yield network
    finally:
        network.close()


def urgent(name: str, priority: int) -> str:
    return (
        f"name: {name}\nresources:\n  cpus: 4\n  infra: ssh/harbor\n  priority: {priority}\n"
        "  labels:\n    westward.duration: 1s\nrun: sleep 0.5\n"
    )


def kinds(live: Live, job_id: str) -> list[str]:
    return [line["kind"] for line in live.get(f"/v1/jobs/{job_id}/why")["story"]]


def test_preempted_twice_by_jobs_of_higher_priority(live: Live) -> None:
    """It loses no attempt and no step; a job of its own priority does not put it out."""
    steps = Steps(live.folder)
    text = steps.task(150, resources=WHOLE_HARBOR).replace("cpus: 1", "cpus: 4")
    live.submit("job_patient", text)
    until(lambda: steps.at("job_patient") >= 10, "it is under way")
    live.submit("job_equal", urgent("equal", 0))
    live.submit("job_urgent-1", urgent("first", 10))
    assert live.finish("job_urgent-1")["state"] == "succeeded"
    assert kinds(live, "job_patient").count("preempt-requested") == 1
    until(lambda: len(steps.sites("job_patient")) == 2, "it goes on")
    at = steps.at("job_patient")
    until(lambda: steps.at("job_patient") >= at + 5, "it is under way again")
    until(lambda: live.job("job_patient")["state"] == "running", "the server knows")
    live.submit("job_urgent-2", urgent("second", 10))
    assert live.finish("job_urgent-2")["state"] == "succeeded"
    job = live.finish("job_patient")
    assert job["state"] == "succeeded", job
    assert [run["state"] for run in job["runs"]] == ["preempted", "preempted", "succeeded"]
    assert (job["lost_runs"], job["failed_runs"]) == (0, 0)
    steps.check("job_patient", 150)
    assert kinds(live, "job_patient").count("preempt-requested") == 2, "not by its equal"
    assert live.finish("job_equal")["state"] == "succeeded"
    until(lambda: len(live.job("job_patient")["bills"]) == 3, "each run has its bill")


def test_a_checkpoint_that_is_too_large_keeps_the_job_at_its_site(live: Live) -> None:
    steps = Steps(live.folder)
    live.submit("job_heavy", steps.task(100, envs="  BALLAST: '2000000'\n"))
    until(lambda: steps.at("job_heavy") >= 12, "it is under way")
    until(lambda: live.job("job_heavy")["state"] == "running", "the server knows")
    (site,) = steps.sites("job_heavy")
    live.call("POST", "/v1/jobs/job_heavy/suspend", {})
    until(lambda: live.job("job_heavy")["state"] == "held", "it is suspended")
    (saved,) = live.job("job_heavy")["checkpoints"]
    assert (saved["at_server"], saved["sent_bytes"]) == (False, 0)
    other = next(one for one in ("basin", "harbor", "plateau") if one != site)
    status, told = live.call("POST", "/v1/jobs/job_heavy/move", {"to": other})
    assert (status, told["code"]) == (409, "cannot-move")
    assert "larger than the server takes" in told["message"]
    live.call("POST", "/v1/jobs/job_heavy/resume", {})
    job = live.finish("job_heavy")
    assert job["state"] == "succeeded", job
    assert steps.sites("job_heavy") == [site, site]
    steps.check("job_heavy", 100)


def test_a_suspended_job_outlives_its_site(live: Live) -> None:
    """Its site's agent is gone for good while it stands: it goes on elsewhere, with its logs."""
    steps = Steps(live.folder)
    live.submit("job_orphan", steps.task(100))
    until(lambda: steps.at("job_orphan") >= 12, "it is under way")
    until(lambda: live.job("job_orphan")["state"] == "running", "the server knows")
    (site,) = steps.sites("job_orphan")
    live.call("POST", "/v1/jobs/job_orphan/suspend", {})
    until(lambda: live.job("job_orphan")["state"] == "held", "it is suspended")
    live.kill_agent(site)
    live.kill_server()
    live.start_server()
    live.call("POST", "/v1/jobs/job_orphan/resume", {})
    job = live.finish("job_orphan")
    assert job["state"] == "succeeded", job
    first, second = steps.sites("job_orphan")
    assert (first, second != site) == (site, True)
    steps.check("job_orphan", 100)
    first_log = live.get(f"/v1/jobs/job_orphan/logs?run_id={job['runs'][0]['run_id']}")
    assert first_log["ranks"][0]["size"] > 0
