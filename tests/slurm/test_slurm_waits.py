"""Waits in a real Slurm's queue, behind users Westward does not see: heard of, told, heeded."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines_up.slurm import Cluster
from tests.slurm.test_slurm_live import SITE, LiveSlurm, until

OTHER = "plateau"
QUICK = """
name: {name}
resources:
  cpus: 1
  labels:
    westward.duration: 1s
    westward.value_of_wait: {wait_value}
run: echo done
"""
SAVES = QUICK.replace("labels:", "labels:\n    westward.checkpoint: state every 1s")
PATIENT, URGENT = "0.0001/h", "100000/h"
"""What an hour of waiting costs their owners: less, and more, than the sites' prices differ by."""
LEAST_WAIT_S = 8


class SharedSlurm(LiveSlurm):
    """Harbor's Slurm has users of its own and is the cheapest; plateau is this machine."""

    def use(self, cluster: Cluster) -> None:
        super().use(cluster)
        path = self.network / "pools.csv"
        rows = path.read_text().splitlines()
        delegated = [row.replace(",slurm,true,", ",slurm,false,") for row in rows]
        dear = [re.sub(r",0\.55,400,", ",0.01,4,", row) for row in delegated]
        assert sum(a != b for a, b in zip(rows, dear, strict=True)) == 1
        path.write_text("\n".join(dear) + "\n")

    def start_agent(self, site: str) -> None:
        if site == SITE:
            super().start_agent(site)
        else:
            super(LiveSlurm, self).start_agent(site)

    def ask(self, name: str, wait_value: str) -> None:
        self.submit(f"job_{name}", QUICK.format(name=name, wait_value=wait_value))

    def shown(self, *command: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "westward.cli.main", *command, "--server", self.url],
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout  # fmt: skip

    def pool(self) -> dict[str, Any]:
        sites = {site["site"]: site for site in self.get("/v1/sites")["sites"]}
        (pool,) = sites[SITE]["pools"]
        return dict(pool)


@pytest.fixture
def live(alpha: Cluster, tmp_path: Path) -> Iterator[SharedSlurm]:
    live = SharedSlurm(tmp_path, server_options=("--reconsider", "4s"))
    live.use(alpha)
    live.start_server()
    live.start_agent(SITE)
    live.start_agent(OTHER)
    live.until_open((SITE, OTHER))
    yield live
    live.close()
    for path in (live.state(SITE) / "runs").iterdir():
        alpha.run("scancel", f"--name={path.name}", check=False)


def placed(live: LiveSlurm, name: str) -> tuple[str, str]:
    """Site and story of a job once it has a run."""
    until(lambda: live.job(f"job_{name}")["runs"], f"{name} has a run")
    lines = live.get(f"/v1/jobs/job_{name}/why")["story"]
    return live.job(f"job_{name}")["runs"][0]["site"], "\n".join(line["text"] for line in lines)


@pytest.fixture
def full(alpha: Cluster) -> Iterator[str]:
    """The number of a job of somebody else's that fills the cluster."""
    number = alpha.run(
        "sbatch", "--parsable", "--nodes=2", "--exclusive", "--partition=main",
        "--wrap=sleep 600", "--output=/dev/null",
    ).strip()  # fmt: skip
    until(lambda: "RUNNING" in alpha.run("squeue", "-h", "-j", number, "-o", "%T"), "it runs")
    yield number
    alpha.run("scancel", number, check=False)


def test_a_queue_of_others_is_heard_of_told_and_heeded(
    live: SharedSlurm, alpha: Cluster, full: str
) -> None:
    assert live.pool()["site_wait_ms"] == [0] * 12
    handed = time.monotonic()
    live.ask("first", PATIENT)
    site, story = placed(live, "first")
    assert site == SITE
    assert "queue" not in story, "nothing is known of it yet"
    until(lambda: live.pool()["in_site_queue"] == 1, "it waits there")
    # While it waits, it tells: twice as long as it has waited so far.
    until(lambda: live.pool()["site_wait_ms"][0] > 2_000 * LEAST_WAIT_S, "it has waited long")
    live.ask("urgent", URGENT)
    site, _ = placed(live, "urgent")
    assert site == OTHER, "an hour is worth more to it than the difference of prices"
    assert live.finish("job_urgent")["state"] == "succeeded"
    live.ask("patient", PATIENT)
    site, story = placed(live, "patient")
    assert site == SITE
    assert re.search(r"expected to wait \d+\S* .*in the site's own queue", story), story
    assert live.job("job_first")["state"] == "leased"
    shown = live.shown("sites")
    head, *rows = shown.splitlines()
    assert head.split()[-4:] == ["IN", "ITS", "QUEUE", "EXPECTED"], shown
    (harbor,) = (row.split() for row in rows if row.startswith(SITE))
    assert harbor[-2] == "2", shown
    (plateau,) = (row for row in rows if row.startswith(OTHER))
    assert len(plateau.rstrip()) < head.index("IN ITS QUEUE"), "nothing is said of it"

    alpha.run("scancel", full)
    waited_s = time.monotonic() - handed
    for name in ("first", "patient"):
        assert live.finish(f"job_{name}")["state"] == "succeeded"
    # What was waited is what the next is told, though nobody waits there now: the mean of two, of
    # which the first weighs 0.09 / 0.19 and the last may have waited for nothing.
    pool = live.pool()
    assert pool["in_site_queue"] == 0
    assert LEAST_WAIT_S * 470 < pool["site_wait_ms"][0] < 1_000 * (waited_s + 30)
    live.ask("later", URGENT)
    site, _ = placed(live, "later")
    assert site == OTHER
    live.kill_server()
    live.start_server()
    live.until_open((SITE, OTHER))
    assert live.pool()["site_wait_ms"][0] > LEAST_WAIT_S * 470, "a restart forgets nothing"


def test_who_stands_there_too_long_is_called_back(
    live: SharedSlurm, alpha: Cluster, full: str
) -> None:
    live.submit("job_saves", SAVES.format(name="saves", wait_value=URGENT))
    site, _ = placed(live, "saves")
    assert site == SITE, "nothing is known of its queue yet"
    until(lambda: live.pool()["in_site_queue"] == 1, "it waits there")
    job = live.finish("job_saves")
    assert job["state"] == "succeeded"
    assert [(run["site"], run["state"]) for run in job["runs"]] == [
        (SITE, "preempted"),
        (OTHER, "succeeded"),
    ]
    assert job["runs"][0]["started_ms"] is None
    assert alpha.run("squeue", "-h", "-t", "PENDING", "-o", "%j") == ""
    assert full in alpha.run("squeue", "-h", "-o", "%i"), "the others' job was never touched"
