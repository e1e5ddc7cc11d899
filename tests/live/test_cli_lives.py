"""Longer lives as a user types them: the words, the exit codes, the logs of several runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Live, until
from steps import Steps

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    network = Live(tmp_path_factory.mktemp("cli-lives"))
    try:
        network.start_all()
        yield network
    finally:
        network.close()


class Shell:
    def __init__(self, live: Live) -> None:
        self.live = live
        self.env = {**os.environ, "WESTWARD_SERVER": live.url}

    def begin(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "westward.cli.main", *map(str, arguments)],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: object, code: int = 0) -> str:
        """What it printed: on stderr if it failed, else on stdout."""
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, (out, err)
        assert "Traceback" not in err, err
        return err if code == 2 else out


@pytest.fixture
def shell(live: Live) -> Shell:
    return Shell(live)


GANG = """\
name: duo
num_nodes: 2
resources:
  cpus: 1
  infra: ssh/plateau
  labels:
    westward.duration: 30s
    westward.checkpoint: last every 1s grace 10s
run: |
  echo "run $WESTWARD_ATTEMPT of rank $SKYPILOT_NODE_RANK, resumed: $WESTWARD_RESUME"
  [ "$WESTWARD_RESUME" = 1 ] && exit 0
  trap 'echo saved > "$WESTWARD_CHECKPOINT"; exit 0' TERM
  exec 2> /dev/null  # the shell would tell that its sleep was stopped
  while sleep 0.1; do :; done
"""


def test_logs_are_followed_over_runs_and_ranks(live: Live, shell: Shell, tmp_path: Path) -> None:
    """Suspended and resumed while somebody follows: one command shows all of it."""
    file = tmp_path / "duo.yaml"
    file.write_text(GANG)
    assert "duo: " in shell.call("submit", file, "--id", "job_duo")
    follower = shell.begin("logs", "-f", "duo")
    until(lambda: live.job("job_duo")["state"] == "running", "it runs")
    log = live.state("plateau") / "runs"
    until(lambda: all(p.stat().st_size for p in log.glob("*/rank?.log")), "both have printed")
    assert "suspending at plateau" in shell.call("suspend", "duo")
    until(lambda: live.job("job_duo")["state"] == "held", "it is suspended")
    why = shell.call("why", "duo")
    assert "duo: held (suspended until its owner resumes it)" in why
    assert "checkpoint: " in why
    assert "saved at plateau, kept by the server" in why
    assert "nothing changed: the job is suspended" in shell.call("suspend", "duo")
    shell.call("resume", "duo")
    out, err = follower.communicate(timeout=120)
    assert follower.returncode == 0
    assert sorted(out.splitlines()) == [
        "[0] run 1 of rank 0, resumed: 0",
        "[0] run 2 of rank 0, resumed: 1",
        "[1] run 1 of rank 1, resumed: 0",
        "[1] run 2 of rank 1, resumed: 1",
    ]
    assert "-- run 1 at plateau was preempted; now run 2 at plateau --" in err
    assert "resumed: 0" in shell.call("logs", "duo", "--run", 1)
    both = shell.call("logs", "duo", "--all", "--rank", 0)
    assert both == "run 1 of rank 0, resumed: 0\nrun 2 of rank 0, resumed: 1\n"
    assert "has 2 runs so far" in shell.call("logs", "duo", "--run", 3, code=2)
    shell.call("resume", "duo", code=1)


FILE = """\
name: first
resources:
  labels:
    westward.duration: 1s
run: sleep 0.2
---
name: many
resources:
  labels:
    westward.duration: 1s
    westward.array: n=1|2|3
    westward.after: first
run: echo "n is $n"
---
name: last
resources:
  labels:
    westward.duration: 1s
    westward.after: many
run: "true"
"""


def test_several_jobs_of_one_file(live: Live, shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text(FILE)
    said = shell.call("submit", file, "--id", "job_three").splitlines()
    assert said[0].startswith("job_three.first first: ")
    assert said[1] == "job_three.many many: 3 jobs, 3 held"
    assert said[2] == "job_three.last last: held (waits for many)"
    again = shell.call("submit", file, "--id", "job_three", "--wait")
    assert "job_three.last last: succeeded" in again
    lines = shell.call("jobs").splitlines()
    (array,) = [line for line in lines if "many" in line]
    assert "many x 3" in array
    assert "3 succeeded" in array
    assert len(shell.call("jobs", "--array", "many").splitlines()) == 4
    assert shell.call("logs", "many.1") == "n is 2\n"
    assert "'many' is an array" in shell.call("logs", "many", code=2)
    assert "is an array" in shell.call("why", "job_three.many", code=2)
    assert "nothing to cancel" in shell.call("cancel", "many")
    page = json.loads(shell.call("jobs", "--json"))["jobs"]
    assert {job["name"]: job["array"] and job["array"]["states"] for job in page}["many.0"] == {
        "succeeded": 3
    }


def test_moves_and_their_refusals(live: Live, shell: Shell, tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    file = tmp_path / "count.yaml"
    file.write_text(steps.task(200, name="wander"))
    shell.call("submit", file, "--id", "job_wander")
    until(lambda: steps.at("job_wander") > 5, "it runs")
    until(lambda: live.job("job_wander")["state"] == "running", "the server knows")
    (site,) = steps.sites("job_wander")
    told = shell.call("move", "wander", "--to", "nowhere", code=2)
    assert "there is no site or pool 'nowhere'" in told
    assert f"it runs at {live.job('job_wander')['pool']} already" in shell.call(
        "move", "wander", "--to", site, code=1
    )
    other = "harbor" if site != "harbor" else "basin"
    pool = {"harbor": "harbor-east", "basin": "basin-west"}[other]
    assert f"to go on at {pool}" in shell.call("move", "wander", "--to", pool)
    assert live.finish("job_wander")["state"] == "succeeded"
    assert steps.sites("job_wander") == [site, other]
    steps.check("job_wander", 200)
    assert "brought to another site once" in shell.call("why", "wander")
