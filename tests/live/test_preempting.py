"""Stopped by the planner; checkpoints too large to travel; sites and answers that get lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness import SITES, Live, until
from lossy import LossyProxy
from steps import Steps

pytestmark = pytest.mark.long

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


def test_moved_by_the_planner_when_a_cheaper_site_opens(tmp_path: Any) -> None:
    """Thirty hours are left at a dear site; a cheaper one comes back: going on there pays for the
    way. (It is over sooner than it said, for the test's sake.)"""
    network = Live(tmp_path, server_options=("--reconsider", "2s"))
    try:
        network.start_server()
        network.start_agent("harbor")
        network.until_open(("harbor",))
        steps = Steps(network.folder)
        text = steps.task(300).replace("duration: 30s", "duration: 30h")
        network.submit("job_roamer", text)
        until(lambda: steps.at("job_roamer") >= 10, "it is under way")
        network.start_agent("plateau")
        job = network.finish("job_roamer")
        assert job["state"] == "succeeded", job
        assert steps.sites("job_roamer") == ["harbor", "plateau"], "once, and not back"
        steps.check("job_roamer", 300)
        story = network.get("/v1/jobs/job_roamer/why")["story"]
        (told,) = [line["text"] for line in story if line["kind"] == "move-requested"]
        assert told.startswith("the planner asked to move it to plateau-west: what is left costs")
    finally:
        network.close()


def test_moved_though_answers_get_lost(tmp_path: Any) -> None:
    """Of hand-over and fetch much is sent and asked for twice; every step is done once. (The
    proxy lets five pieces through, so that a part must be small to pass at all.)"""
    network = Live(tmp_path)
    proxy = None
    try:
        network.start_server()
        direct = network.url
        proxy = LossyProxy(int(direct.rpartition(":")[2]), seed=7)
        network.url = proxy.url
        for site in SITES:
            network.start_agent(site)
        network.url = direct
        network.until_open(SITES)
        steps = Steps(network.folder)
        network.submit("job_lossy", steps.task(200, envs="  BALLAST: '40000'\n"))
        for turn in range(2):
            at = steps.at("job_lossy")
            until(lambda at=at: steps.at("job_lossy") >= at + 10, "it is under way")
            until(lambda: network.job("job_lossy")["state"] == "running", "the server knows")
            here = steps.sites("job_lossy")[-1]
            there = next(site for site in SITES if site != here)
            network.call("POST", "/v1/jobs/job_lossy/move", {"to": there})
            until(
                lambda turn=turn: len(steps.sites("job_lossy")) == turn + 2, "it goes on elsewhere"
            )
        job = network.finish("job_lossy")
        assert job["state"] == "succeeded", job
        assert (job["attempts"], len(job["moves"])) == (3, 2)
        steps.check("job_lossy", 200)
        assert proxy.cut > 5, "answers were to get lost"
    finally:
        if proxy is not None:
            proxy.close()
        network.close()
