"""The whole road over real Slurm: server, agent, slurmctld; kills in mid-run."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "live"))

from harness import Live, until  # noqa: E402

from tests.engines_up.slurm import Cluster  # noqa: E402

SITE = "harbor"
TASK = """
name: over-slurm
resources:
  cpus: 1
  labels:
    westward.duration: 5s
num_nodes: {nodes}
run: |
  echo "rank $SKYPILOT_NODE_RANK on $SLURMD_NODENAME"
  echo "$WESTWARD_TOKEN" >> {folder}/begun.$SKYPILOT_NODE_RANK
  until [ -e {folder}/go ]; do sleep 0.1; done
"""


class LiveSlurm(Live):
    """Harbor's only pool is a partition of a real cluster; the other sites have no agent."""

    cluster: Cluster

    def use(self, cluster: Cluster) -> None:
        self.cluster = cluster
        path = self.network / "pools.csv"
        rows = list(csv.DictReader(path.read_text().splitlines()))
        for row in rows:
            if row["site"] == SITE:
                row |= {"engine": "slurm", "nodes": "2", "devices_per_node": "4"}
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def start_agent(self, site: str) -> None:
        options = {
            "conf": str(self.cluster.conf), "partition": "main", "grace_ms": "500",
            "reading_ms": "500",
        }  # fmt: skip
        self.agents[site] = self._spawn(
            "agent", "--server", self.url, "--site", site, "--state", str(self.state(site)),
            "--engine", "slurm",
            *(part for name, value in options.items() for part in ("--option", f"{name}={value}")),
            log=site,
        )  # fmt: skip


@pytest.fixture
def live(alpha: Cluster, tmp_path: Path) -> Iterator[LiveSlurm]:
    live = LiveSlurm(tmp_path)
    live.use(alpha)
    live.start_server()
    live.start_agent(SITE)
    live.until_open((SITE,))
    yield live
    for agent in live.agents.values():
        agent.kill()
        agent.wait()
    live.kill_server()
    names = {path.name for path in (live.state(SITE) / "runs").iterdir()}
    for name in names:
        alpha.run("scancel", f"--name={name}", check=False)


def task(live: LiveSlurm, nodes: int = 1) -> str:
    return TASK.format(folder=live.folder, nodes=nodes)


def running(live: LiveSlurm, job: str) -> None:
    until(lambda: live.job(job)["state"] == "running", "the job runs")


def begun(live: LiveSlurm, rank: int = 0) -> list[str]:
    path = live.folder / f"begun.{rank}"
    return path.read_text().split() if path.exists() else []


def test_a_gang_is_placed_run_metered_and_billed(live: LiveSlurm) -> None:
    live.submit("job_gang", task(live, nodes=2))
    running(live, "job_gang")
    time.sleep(2)
    (live.folder / "go").touch()
    job = live.finish("job_gang")
    assert job["state"] == "succeeded", job
    (bill,) = until(lambda: live.job("job_gang")["bills"], "it is settled")
    assert bill["price_micros"] > 0
    for rank in (0, 1):
        shown = subprocess.run(
            [
                sys.executable, "-m", "westward.cli.main", "logs", "job_gang", "--rank", str(rank),
                "--server", live.url,
            ],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert f"rank {rank} on alpha-n{rank + 1}" in shown.stdout, shown
    assert len(begun(live, 0)) == len(begun(live, 1)) == 1


def test_an_agent_killed_in_mid_run_is_replaced_and_the_run_goes_on(live: LiveSlurm) -> None:
    live.submit("job_kill", task(live))
    running(live, "job_kill")
    live.kill_agent(SITE)
    time.sleep(2)
    live.start_agent(SITE)
    time.sleep(3)
    (live.folder / "go").touch()
    job = live.finish("job_kill")
    assert job["state"] == "succeeded", job
    assert len(job["runs"]) == 1
    assert len(begun(live)) == 1


def test_a_controller_away_for_longer_than_a_lease_costs_no_run(
    live: LiveSlurm, alpha: Cluster
) -> None:
    live.submit("job_away", task(live))
    running(live, "job_away")
    alpha.pause("slurmctld")
    try:
        time.sleep(20)
        assert live.job("job_away")["state"] == "running"
    finally:
        alpha.go_on("slurmctld")
    (live.folder / "go").touch()
    job = live.finish("job_away")
    assert job["state"] == "succeeded", job
    assert len(job["runs"]) == 1
    assert len(begun(live)) == 1


def test_an_agent_away_for_longer_than_a_lease_loses_the_run_and_only_it(live: LiveSlurm) -> None:
    live.submit("job_lost", task(live))
    running(live, "job_lost")
    live.kill_agent(SITE)
    until(lambda: live.job("job_lost")["state"] != "running", "the lease has ended")
    (live.folder / "go").touch()
    live.start_agent(SITE)
    job = live.finish("job_lost")
    assert job["state"] == "succeeded", job
    tokens = begun(live)
    assert len(tokens) == len(set(tokens)) == 2, "one more run, under a new token"
