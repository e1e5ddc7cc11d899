"""kill -9 and SIGSTOP of real processes. The jobs themselves are the witness (see harness)."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import SITES, Live, Witness, check_bills, until


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    network = Live(tmp_path)
    try:
        yield network
    finally:
        network.close()


def submit(live: Live, witness: Witness, count: int) -> list[str]:
    names = [f"job_witnessed-{number}" for number in range(count)]
    for name in names:
        live.submit(name, witness.task())
    return names


def test_server_and_then_an_agent_killed_in_mid_run(live: Live) -> None:
    """Both come back; every job ends exactly once, none is lost, none runs twice at a time."""
    witness = Witness(live.folder, beats=60)
    live.start_all()
    names = submit(live, witness, 12)
    until(lambda: len(witness.executions()) >= 3, "some run")

    live.kill_server()
    running = [run.run_id for run in witness.executions() if not run.ended]
    assert running, "the server was to be killed in mid-run"
    ended = {run.run_id for run in witness.executions() if run.ended}
    until(
        lambda: {run.run_id for run in witness.executions() if run.ended} - ended,
        "a run ends while there is no server",
    )
    live.start_server()
    late = [f"job_late-{number}" for number in range(3)]  # the first twelve may be over by now
    for name in late:
        live.submit(name, witness.task())
    names += late

    def busy_site() -> str | None:
        for run in witness.executions():
            if not run.ended and live.job(run.job_id)["state"] == "running":
                return run.site
        return None

    site = until(busy_site, "a site runs something again")
    live.kill_agent(site)
    live.start_agent(site)

    jobs = [live.finish(name) for name in names]
    assert {job["state"] for job in jobs} == {"succeeded"}
    witness.check(names)
    assert live.get("/healthz")["jobs"]["succeeded"] == len(names)
    for job in jobs:  # what the server believes is what the witness saw
        assert [run["state"] for run in job["runs"]].count("succeeded") == 1


def test_an_agent_killed_for_good_loses_its_runs_in_time_and_they_move(live: Live) -> None:
    """Without its agent a run stops by itself before its lease ends; the job ends elsewhere."""
    live.lease = "5s"
    witness = Witness(live.folder, beats=110)
    live.start_all()
    (name,) = submit(live, witness, 1)
    (first,) = until(witness.executions, "it runs")
    until(lambda: live.readings(first.run_id), "the server has metered something")
    live.kill_agent(first.site)
    killed_ns = time.monotonic_ns()

    job = live.finish(name)
    assert job["state"] == "succeeded", job
    assert [run["state"] for run in job["runs"]] == ["lost", "succeeded"]
    assert job["runs"][0]["site"] == first.site != job["runs"][1]["site"]
    witness.check([name])
    first = next(run for run in witness.executions() if run.run_id == first.run_id)
    assert not first.ended
    # The last renewal was sent before the kill, so the lease ended at most 5 s after it.
    assert first.last_ns < killed_ns + 5 * 10**9
    exit_file = live.state(first.site) / "runs" / first.run_id / "exit.json"
    assert json.loads(exit_file.read_text())["outcome"] == "lease-expired"
    lost, succeeded = check_bills(live, name)
    assert 0 < lost["billed"] <= lost["metered"], "charged for what the server was told in time"
    assert succeeded["billed"] == succeeded["metered"]
    kinds = [line["kind"] for line in live.get(f"/v1/jobs/{name}/why")["story"]]
    assert kinds == [
        "submitted", "bound", "leased", "started", "lost", "bound", "leased", "started", "succeeded",
    ]  # fmt: skip


def test_a_paused_agent_wakes_up_to_a_stale_token(live: Live) -> None:
    live.lease = "4s"
    witness = Witness(live.folder, beats=100)
    live.start_all()
    (name,) = submit(live, witness, 1)
    (first,) = until(witness.executions, "it runs")
    until(lambda: live.job(name)["state"] == "running", "the server knows that it runs")
    live.agents[first.site].send_signal(signal.SIGSTOP)

    def well_under_way_elsewhere() -> bool:
        runs = witness.executions()
        return len(runs) == 2 and runs[1].last_ns > runs[1].first_ns + 500_000_000

    until(well_under_way_elsewhere, "the job runs at another site")
    live.agents[first.site].send_signal(signal.SIGCONT)

    folder = live.state(first.site) / "runs" / first.run_id
    until(lambda: not folder.exists(), "the woken agent has dropped its run")
    job = live.finish(name)
    assert job["state"] == "succeeded"
    assert [run["state"] for run in job["runs"]] == ["lost", "succeeded"]
    witness.check([name])

    status, ack = live.call(
        "POST",
        f"/v1/agent/runs/{first.run_id}/ended",
        {
            "token": first.token,
            "outcome": "succeeded",
            "exit_code": 0,
            "detail": "",
            "readings": [],
        },
    )
    assert (status, ack["accepted"]) == (200, False)
    assert live.job(name)["runs"][0]["state"] == "lost"
    # The site is not out of it for good: it takes work again.
    live.until_open(SITES)


def test_the_witness_notices_what_it_is_there_to_notice(tmp_path: Path) -> None:
    """A checker that cannot fail proves nothing."""

    def verdict(*lines: str) -> bool:
        witness = Witness(tmp_path, beats=1)
        witness.file.write_text("".join(f"{line}\n" for line in lines))
        try:
            witness.check(["j"])
        except AssertionError:
            return False
        return True

    lost = ("start j r1 1 a 10", "beat j r1 1 a 20")
    assert verdict(*lost, "start j r2 2 b 30", "end j r2 2 b 40")
    assert not verdict(*lost), "lost"
    assert not verdict(
        "start j r1 1 a 10", "end j r1 1 a 20", "start j r2 2 b 30", "end j r2 2 b 40"
    )
    assert not verdict("start j r2 2 b 15", *lost, "end j r2 2 b 40"), "overlap"
    assert not verdict("start j r1 2 a 10", "start j r2 1 b 30", "end j r2 1 b 40"), "token fell"
    assert not verdict("start j r1 1 a 10", "start j r1 1 a 11", "end j r1 1 a 40"), "twice"
