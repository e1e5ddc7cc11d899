"""``westward up`` and the commands against it: real processes, real sockets, one shared network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAPTOP = ROOT / "networks" / "laptop"
COMMAND = (sys.executable, "-m", "westward.cli.main")
UP_WITHIN_S = 180.0
TALK = """\
name: talk
num_nodes: 2
resources:
  accelerators: west-card:1
  labels:
    westward.duration: 2s
run: |
  echo "rank $SKYPILOT_NODE_RANK of $SKYPILOT_NUM_NODES"
"""
FAIL = TALK.replace("talk", "fails").replace("run: |", "run: |\n  exit 7")
LATER = TALK.replace("talk", "later").replace(
    "duration: 2s", "duration: 2s\n    westward.start_after: 1h"
)
NEVER = TALK.replace("talk", "never").replace("west-card:1", "no-such-card:1")


def environment(data: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WESTWARD_")}
    return {**clean, "WESTWARD_DATA": str(data)}


class Up:
    """``westward up`` as a child, until its usage has been printed."""

    def __init__(self, data: Path, *options: str, until: str = "Ctrl-C stops the network.") -> None:
        self.data = data
        self.out, self.err = data / "up.out", data / "up.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--network", str(LAPTOP), *options],
                env=environment(data),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        end = time.monotonic() + UP_WITHIN_S
        while until not in self.said:
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError(self.said + self.err.read_text(encoding="utf-8"))
            time.sleep(0.05)

    @property
    def said(self) -> str:
        return self.out.read_text(encoding="utf-8")

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of the whole life."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return code, self.said, self.err.read_text(encoding="utf-8")

    def call(self, *arguments: object, code: int = 0) -> str:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env=environment(self.data),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stdout + done.stderr


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    network = Up(tmp_path_factory.mktemp("up"))
    yield network
    if network.process.poll() is None:
        network.stop()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


def test_it_says_how_to_use_it(up: Up) -> None:
    assert "basin, harbor, plateau: connected" in up.said
    assert "westward submit" in up.said


def test_sites_are_open(up: Up) -> None:
    document = json.loads(up.call("sites", "--json"))
    assert [site["status"] for site in document["sites"]] == ["open"] * 3
    text = up.call("sites")
    assert "plateau-west" in text
    assert "4   4" in text


def test_a_job_from_submit_to_report(up: Up, file: Path) -> None:
    file.write_text(TALK, encoding="utf-8")
    told = up.call("submit", file, "--id", "job_talk-1", "--wait").splitlines()
    assert told[-1].startswith("job_talk-1 talk: succeeded at ")
    again = json.loads(up.call("submit", file, "--id", "job_talk-1", "--json"))
    assert again["created"] is False
    assert again["state"] == "succeeded"
    assert up.call("logs", "talk") == "[0] rank 0 of 2\n[1] rank 1 of 2\n"
    assert up.call("logs", "-f", "talk", "--rank", "1") == "rank 1 of 2\n"
    assert json.loads(up.call("logs", "talk", "--json"))["text"] == "rank 0 of 2\n"
    why = up.call("why", "talk")
    for text in (
        "why there smallest sum",
        "runner-up",
        "THE STORY",
        "submitted",
        "metered over 1 run",
    ):
        assert text in why
    row = next(r for r in json.loads(up.call("report", "--json"))["jobs"] if r["name"] == "talk")
    assert row["state"] == "succeeded"
    assert row["price_micros"] >= 0
    assert "talk" in up.call("report")
    assert "nothing to cancel" in up.call("cancel", "talk")


def test_a_job_that_fails_ends_with_1(up: Up, file: Path) -> None:
    file.write_text(FAIL, encoding="utf-8")
    told = up.call("submit", file, "--wait", code=1)
    assert "fails: failed at" in told
    assert "exit code 7" in told


def test_a_job_that_no_site_can_take_is_refused_with_reasons(up: Up, file: Path) -> None:
    file.write_text(NEVER, encoding="utf-8")
    assert "never: refused" in up.call("submit", file, code=1)
    why = up.call("why", "never")
    assert "wrong-accelerator" in why
    assert "would help" in why


def test_a_waiting_job_is_explained_and_cancelled(up: Up, file: Path) -> None:
    file.write_text(LATER, encoding="utf-8")
    assert "later: bound to" in up.call("submit", file)
    assert "the job asks to start no earlier than" in up.call("why", "later")
    assert json.loads(up.call("jobs", "--state", "bound", "--json"))["jobs"][0]["name"] == "later"
    assert "later: cancelled" in up.call("cancel", "later")


def test_plan_on_the_live_network(up: Up, file: Path) -> None:
    file.write_text(TALK, encoding="utf-8")
    document = json.loads(up.call("plan", file, file, "--json"))
    assert len(document["placements"]) == 2
    assert document["policy"]["discipline"] == "conservative"
    assert "JOB job_dry-run-1  talk" in up.call("plan", file)
    before = len(json.loads(up.call("jobs", "--json"))["jobs"])
    assert len(json.loads(up.call("jobs", "--json"))["jobs"]) == before


def test_unknown_jobs_and_taken_ids(up: Up, file: Path) -> None:
    assert "there is no job 'nobody'" in up.call("why", "nobody", code=2)
    assert "'westward jobs' lists" in up.call("logs", "job_nobody", code=2)
    file.write_text(TALK, encoding="utf-8")
    up.call("submit", file, "--id", "job_taken", "--wait")
    file.write_text(FAIL, encoding="utf-8")
    assert "Choose another id" in up.call("submit", file, "--id", "job_taken", code=2)


def test_a_second_network_on_the_same_folder_leaves_the_first_alone(up: Up) -> None:
    told = up.call("up", "--network", LAPTOP, code=2)
    assert "a network already runs on" in told
    up.call("sites")


def test_ctrl_c_stops_everything_and_a_dead_server_is_told(tmp_path: Path) -> None:
    first = Up(tmp_path)
    pid = json.loads((tmp_path / "server.json").read_text(encoding="utf-8"))["pid"]
    code, out, _ = first.stop()
    assert code == 0
    assert "stopped." in out
    assert not (tmp_path / "server.json").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)

    second = Up(tmp_path)
    pid = json.loads((tmp_path / "server.json").read_text(encoding="utf-8"))["pid"]
    os.kill(pid, signal.SIGKILL)
    assert second.process.wait(timeout=60) == 1
    _, _, err = second.stop()
    assert "the server ended by itself (exit code -9)" in err


def test_a_policy_is_adopted_and_a_faulty_one_told(tmp_path: Path, file: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rule: first-to-admit\n")
    network = Up(tmp_path, "--policy", str(policy))
    try:
        file.write_text(TALK.replace("num_nodes: 2", "num_nodes: 1"))
        network.call("submit", file, "--wait")
        told = json.loads(network.call("why", "talk", "--json"))
        assert told["decision"]["policy"]["rule"] == "first-to-admit"
        assert told["job"]["site"] == "basin"
    finally:
        network.stop()
    policy.write_text("rule: first\nprice_period: 6h\n")
    told_faults = network.call("up", "--network", LAPTOP, "--policy", policy, code=2)
    assert f"{policy}:1 [rule]" in told_faults
    assert f"{policy}:2 [price_period]: a server posts no prices" in told_faults
    assert "starting" not in told_faults


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends children with their parent")
def test_a_killed_up_leaves_no_process_behind(tmp_path: Path) -> None:
    network = Up(tmp_path, "--json", until="}\n")
    ready = json.loads(network.said)
    server = json.loads((tmp_path / "server.json").read_text(encoding="utf-8"))
    assert ready["url"] == server["url"]
    assert ready["sites"] == ["basin", "harbor", "plateau"]
    pid = server["pid"]
    network.process.kill()
    network.process.wait()
    end = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
