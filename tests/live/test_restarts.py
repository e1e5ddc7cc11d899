"""Agents and servers that are told to end, or replaced, on one network: nothing is lost by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import SITES, Live, Witness, check_bills, until


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    network = Live(tmp_path_factory.mktemp("restarts"), lease="30s")
    try:
        network.start_all()
        yield network
    finally:
        network.close()


def test_an_agent_told_to_end_leaves_its_run_to_the_next_agent(live: Live) -> None:
    witness = Witness(live.folder, beats=100)
    name = "job_witnessed"
    live.submit(name, witness.task())
    (run,) = until(witness.executions, "it runs")
    agent = live.agents.pop(run.site)
    agent.terminate()
    assert agent.wait(timeout=60) == 0
    live.start_agent(run.site)
    job = live.finish(name)
    assert (job["state"], job["attempts"]) == ("succeeded", 1)
    witness.check([name])
    (told,) = check_bills(live, name)
    assert told["billed"] == told["metered"], "two agents told it: nothing twice, nothing left out"
    (seen,) = witness.executions()
    assert told["wall_ms"] >= (seen.last_ns - seen.first_ns) // 10**6


def test_a_server_told_to_end_lets_held_requests_go(live: Live) -> None:
    assert live.server is not None
    live.server.terminate()
    assert live.server.wait(timeout=60) == 0
    live.start_server()
    live.until_open(SITES)
    live.submit("job_after", "run: echo\nresources:\n  cpus: 1\n")
    assert live.finish("job_after")["attempts"] == 1


def test_two_agents_never_share_a_state_folder(live: Live) -> None:
    second = live._spawn(
        "agent", "--server", live.url, "--site", "basin", "--state", str(live.state("basin")),
        log="second",
    )  # fmt: skip
    assert second.wait(timeout=60) == 4
    assert live.agents["basin"].poll() is None


def test_a_newer_agent_of_the_same_site_wins(live: Live, tmp_path: Path) -> None:
    older = live.agents["basin"]
    newer = live._spawn(
        "agent", "--server", live.url, "--site", "basin", "--state", str(tmp_path / "other"),
        log="newer",
    )  # fmt: skip
    live.agents["newer"] = newer
    assert older.wait(timeout=60) == 3
    assert newer.poll() is None
    del live.agents["basin"]
    live.submit("job_taken-over", 'run: echo\nresources:\n  infra: "*/basin"\n  cpus: 1\n')
    assert live.finish("job_taken-over")["state"] == "succeeded"
