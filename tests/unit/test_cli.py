"""The command as a user meets it: help, errors, exit codes, JSON. Each call is a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from westward.cli.main import ENTRIES
from westward.network.loader import load_network
from westward.simulate.scale import devices_of, scale_network

ROOT = Path(__file__).resolve().parents[2]
LAPTOP = ROOT / "networks" / "laptop"
HEAVY = ("numpy", "numba", "polars", "matplotlib", "fastapi", "sqlalchemy", "pydantic", "aiohttp")
HEAVY_TOO = ("rich", "yaml", "sklearn", "uvicorn", "alembic", "http.client")

JOB = """\
name: flexible
resources:
  accelerators: west-card:1
  labels:
    westward.duration: 30s
    westward.deadline: 100s
run: echo hello
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def westward(tmp_path: Path) -> Run:
    """Run the command in an empty folder; no server is known there."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("WESTWARD_")}
        done = subprocess.run(
            [sys.executable, "-m", "westward.cli.main", *map(str, arguments)],
            cwd=tmp_path,
            env={**clean, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(JOB, encoding="utf-8")
    return path


def refused(done: subprocess.CompletedProcess[str], *said: str) -> list[str]:
    """Exit code 2, nothing on stdout, and every text on one line of stderr each."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    for text in said:
        assert any(text in line for line in lines), (text, lines)
    return lines


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from westward.cli.main import run\n"
        "assert run(['--help']) == 0\n"
        f"print(sorted(set({HEAVY + HEAVY_TOO!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
    assert all(name in done.stdout for name in ENTRIES)


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_every_command_has_help_and_imports_nothing_heavy_for_it(name: str) -> None:
    code = (
        "import sys\n"
        "from westward.cli.main import run\n"
        f"assert run([{name!r}, '--help']) == 0\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith(f"Usage: westward {name}")
    assert done.stderr.strip() == "[]"


def test_version(westward: Run) -> None:
    done = westward("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("westward ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pln"], "no command 'pln'; did you mean 'plan'?"),
        (["frobnicate"], "there are: up, network, plan"),
        (["plan"], "Missing argument 'FILE...'"),
        (["plan", "x.yaml", "--polcy", "westward"], "--policy"),
        (["jobs", "--state", "asleep"], "'asleep' is not one of"),
        (["jobs", "--limit", "0"], "0 is not in the range"),
        (["logs", "job_1", "--rank", "-1"], "-1 is not in the range"),
        (["network", "chek"], "No such command 'chek'"),
        (
            ["simulate", "x", "--generate", "1", "--out", "o", "--defer-limit", "5"],
            "is not a duration",
        ),
        (["plan", "x.yaml", "--assume-duration", "0s"], "'0s' is too short"),
        (["plan", "x.yaml", "--assume-duration", "99999999999d"], "more than two hundred years"),
    ],
)
def test_wrong_usage_is_one_line(westward: Run, arguments: list[str], said: str) -> None:
    lines = refused(westward(*arguments), said)
    assert len(lines) == 1
    assert lines[0].endswith("--help")


def test_no_command_shows_the_help(westward: Run) -> None:
    done = westward()
    assert done.returncode == 2
    assert "Start here" in done.stderr


def test_plan_explains_from_the_folder_alone(westward: Run, job: Path) -> None:
    done = westward("plan", job, "--network", LAPTOP, "--at", "2026-11-22T06:00:00Z")
    assert done.returncode == 0, done.stderr
    assert "waits 50s for cheaper hours at plateau: saves" in done.stdout
    assert "starts 2026-11-22T06:00:50Z" in done.stdout
    again = westward("plan", job, "--network", LAPTOP, "--at", "2026-11-22T06:00:00Z")
    assert again.stdout == done.stdout


def test_plan_as_json_holds_what_the_text_says(westward: Run, job: Path) -> None:
    done = westward("plan", job, job, "--network", LAPTOP, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [one["job_id"] for one in document["placements"]] == ["job_1", "job_2"]
    one = document["placements"][0]
    assert one["why"] == "waits-for-better-hour"
    assert one["saved_by_waiting_micros"] > 0
    terms = one["estimate"]["sum_micros"]
    parts = [terms[name] for name in ("device", "power", "carbon", "transfer", "wait")]
    assert terms["total"] == pytest.approx(sum(parts))
    by_pool = {other["pool"]: other for other in one["alternatives"]}
    assert [r["code"] for r in by_pool["harbor-east"]["reasons"]] == ["wrong-accelerator"]


def test_plan_takes_another_rule(westward: Run, job: Path) -> None:
    done = westward(
        "plan", job, "--network", LAPTOP, "--policy", "earliest-start", "--brief", "--json"
    )
    document = json.loads(done.stdout)
    assert document["policy"]["rule"] == "earliest-start"
    assert document["placements"][0]["starts_now"] is True


def test_faults_of_all_files_are_told_at_once(westward: Run, job: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(JOB.replace("30s", "30").replace("name:", "nam:"), encoding="utf-8")
    lines = refused(
        westward("plan", job, bad, tmp_path / "none.yaml", "--network", LAPTOP),
        "bad.yaml:5 [resources.labels.westward.duration]",
        "bad.yaml:1 [nam]",
        "none.yaml: the job file cannot be read",
    )
    assert len(lines) == 3


def test_bad_moments_and_folders(westward: Run, job: Path) -> None:
    refused(westward("plan", job, "--network", LAPTOP, "--at", "noon"), "--at: 'noon' is neither")
    refused(westward("plan", job, "--network", "nowhere"), "nowhere: the network folder does not")
    refused(westward("network", "check", "nowhere"), "nowhere: the network folder does not")
    refused(westward("network", "check", LAPTOP, "--as-of", "x"), "as_of")


def test_a_running_server_takes_no_policy_from_outside(westward: Run, job: Path) -> None:
    lines = refused(westward("plan", job, "--policy", "home-site", "--wait-value", "1"))
    assert "--policy, --wait-value cannot be asked of a running server" in lines[0]


def test_network_check(westward: Run) -> None:
    text = westward("network", "check", LAPTOP)
    assert text.returncode == 0, text.stderr
    assert "ASSUMPTIONS" in text.stdout
    document = json.loads(westward("network", "check", LAPTOP, "--json").stdout)
    assert document["network"] == "laptop"
    assert document["devices"] == 12


@pytest.mark.parametrize(
    "command",
    [["jobs"], ["why", "x"], ["logs", "x"], ["cancel", "x"], ["sites"], ["report"], ["plan", "job.yaml"],
     ["submit", "job.yaml"]],
)  # fmt: skip
def test_without_a_server_it_says_what_to_do(westward: Run, job: Path, command: list[str]) -> None:
    lines = refused(westward(*command), "Start one here with 'westward up'")
    assert len(lines) == 1
    lines = refused(
        westward(*command, WESTWARD_SERVER="http://127.0.0.1:9"), "no Westward server answers"
    )
    assert "http://127.0.0.1:9" in lines[0]
    refused(westward(*command, "--server", "127.0.0.1:9"), "is no URL")


def test_a_broken_server_file_is_told(westward: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "server.json").write_text("{", encoding="utf-8")
    refused(westward("jobs"), "server.json cannot be read")


class _Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>some other service</html>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Stranger)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_service_at_the_url(westward: Run, stranger: str) -> None:
    refused(westward("jobs", "--server", stranger), "but not as a Westward server")


def test_submit_checks_the_file_and_the_id_before_it_asks(westward: Run, job: Path) -> None:
    refused(westward("submit", job, "--id", "seven"), "--id 'seven' is no job id")
    job.write_text("run: [1", encoding="utf-8")
    refused(westward("submit", job), f"{job}:")


def test_up_on_a_bad_network_starts_nothing(westward: Run, tmp_path: Path) -> None:
    refused(westward("up", "--network", tmp_path, "--data", "d"), "network.yaml")
    assert not (tmp_path / "d").exists()
    refused(westward("up", "--network", LAPTOP, "--demo"), "Start it in the project's folder")
    assert not (tmp_path / "run").exists()


def test_the_demonstration_removes_no_data_of_others(westward: Run, tmp_path: Path) -> None:
    for name in ("run/westward.db", "run/server.log", "examples/train-digits.yaml",
                 "examples/word-array.yaml", "examples/flexible-batch.yaml"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("precious", encoding="utf-8")
    done = westward("up", "--network", LAPTOP, "--demo", "--data", "run")
    refused(done, "run holds something else than a demonstration")
    assert (tmp_path / "run" / "westward.db").read_text(encoding="utf-8") == "precious"


def test_simulate_says_all_that_is_missing(westward: Run) -> None:
    lines = refused(
        westward("simulate", LAPTOP), "give either --workload", "say where the results go"
    )
    assert len(lines) == 2
    refused(
        westward(
            "simulate", LAPTOP, "--workload", "x", "--format", "swf", "--load", 1, "--out", "o"
        ),
        "--load goes with --generate",
    )


def test_simulate_finds_the_format_and_takes_its_options(westward: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "timestamp,duration,num_gpus,gpu_time,cluster\n2017-10-03 10:00:00,60,12,720,a\n"
    )
    told = ("simulate", LAPTOP, "--workload", log, "--describe", "--json")
    assert json.loads(westward(*told).stdout)["format"] == "philly"
    gangs = [westward(*told[:-1], "--devices-per-node", each).stdout for each in (1, 8)]
    assert ["nodes of up to 8" in told for told in gangs] == [False, True]
    log.write_text("what,is,this\n1,2,3\n")
    refused(westward("simulate", LAPTOP, "--workload", log, "--out", "o"), "no known trace format")


def test_simulate_refuses_to_overwrite_before_it_works(westward: Run, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "thesis.txt").write_text("years of work", encoding="utf-8")
    refused(westward("simulate", LAPTOP, "--generate", 10, "--out", "o"), "thesis.txt")
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["thesis.txt"]


def test_describe_writes_nothing(westward: Run, tmp_path: Path) -> None:
    done = westward("simulate", LAPTOP, "--generate", 50, "--describe", "--json")
    assert json.loads(done.stdout)["jobs"] == 50
    assert list(tmp_path.iterdir()) == []


def test_simulate_twice_gives_the_same_tables(westward: Run, tmp_path: Path) -> None:
    arguments = ("--generate", 80, "--seed", 3, "--policy", "westward", "--policy", "home-site")
    for out in ("one", "two"):
        done = westward("simulate", LAPTOP, *arguments, "--out", out)
        assert done.returncode == 0, done.stderr
        assert "report.html" in done.stdout
    names = sorted(path.name for path in (tmp_path / "one").glob("*.parquet"))
    assert any("home-site" in name for name in names)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("devices", [8, 12, 13, 40, 1000, 12345])
def test_scaling_keeps_the_mix(devices: int) -> None:
    network = load_network(LAPTOP)
    scaled = scale_network(network, devices)
    largest = max(pool.devices_per_node for pool in network.pools)
    assert abs(devices_of(scaled) - devices) < largest
    assert all(pool.nodes >= 1 for pool in scaled.pools)
    assert scaled.digest == f"{network.digest}+devices={devices}"
    if devices == 12:
        assert scaled.pools == network.pools


def test_scaling_below_one_node_a_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="Give 7 or more"):
        scale_network(load_network(LAPTOP), 6)
