"""A real network on this machine: a server process and agent processes, killed and restarted.

Waiting is always for an event, with a deadline generous enough for a busy machine.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from westward.agent.engines.local import LocalEngine
from westward.model.wire import Reading
from westward.store.database import open_store
from westward.store.metering import load_readings

PATIENCE_S = 180
ROOT = Path(__file__).resolve().parents[2]
SITES = ("basin", "harbor", "plateau")
OVER = ("succeeded", "failed", "cancelled", "refused")
T = TypeVar("T")


def until(ask: Callable[[], T], what: str) -> T:
    """Ask until the answer is true."""
    end = time.monotonic() + PATIENCE_S
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < end, f"gave up waiting until {what}"
        time.sleep(0.02)


def flat_network(folder: Path) -> Path:
    """The laptop network with one price all day, so that no job waits for a cheaper hour."""
    shutil.copytree(ROOT / "networks" / "laptop", folder)
    shutil.rmtree(folder / "series", ignore_errors=True)
    (folder / "zones.facts.csv").unlink(missing_ok=True)
    return folder


@dataclass
class Live:
    """One server and its agents, by site. Everything lies below ``folder``."""

    folder: Path
    lease: str = "15s"
    server_options: tuple[str, ...] = ()
    agent_options: tuple[str, ...] = ()
    server: subprocess.Popen[bytes] | None = None
    url: str = ""
    agents: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = flat_network(self.folder / "network")
        self.data = self.folder / "data"

    def start_server(self) -> None:
        """On the port it had before, if it ran before."""
        port = self.url.rpartition(":")[2] or "0"
        announced = self.data / "server.json"
        announced.unlink(missing_ok=True)
        self.server = self._spawn(
            "server",
            "--network", str(self.network), "--data", str(self.data), "--port", port,
            "--lease", self.lease, "--margin", "300ms", *self.server_options,
        )  # fmt: skip

        def listens() -> bool:
            log = self.folder / "server.log"
            assert self.server is not None
            assert self.server.poll() is None, f"the server ended: {log.read_text()[-2000:]}"
            return announced.exists()

        until(listens, "the server listens")
        self.url = json.loads(announced.read_text())["url"]

    def start_agent(self, site: str) -> None:
        self.agents[site] = self._spawn(
            "agent",
            "--server", self.url, "--site", site, "--state", str(self.state(site)),
            "--option", "grace_ms=500", "--option", "reading_ms=500", *self.agent_options,
            log=site,
        )  # fmt: skip

    def start_all(self) -> None:
        self.start_server()
        for site in SITES:
            self.start_agent(site)
        self.until_open(SITES)

    def until_open(self, sites: tuple[str, ...]) -> None:
        def all_open() -> bool:
            shown = {site["site"]: site["status"] for site in self.get("/v1/sites")["sites"]}
            return all(shown[site] == "open" for site in sites)

        until(all_open, "all sites are open")

    def _spawn(self, what: str, *arguments: str, log: str = "server") -> subprocess.Popen[bytes]:
        with open(self.folder / f"{log}.log", "ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", f"westward.{what}", *arguments],
                stdout=out,
                stderr=out,
            )

    def state(self, site: str) -> Path:
        return self.folder / f"agent-{site}"

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def kill_agent(self, site: str) -> None:
        agent = self.agents.pop(site)
        agent.kill()
        agent.wait()

    def close(self) -> None:
        """Ends every process of this network, and every run that is still held."""
        for agent in self.agents.values():
            agent.send_signal(signal.SIGCONT)
            agent.kill()
            agent.wait()
        if self.server is not None and self.server.poll() is None:
            self.kill_server()
        for site in SITES:
            if not self.state(site).exists():
                continue
            engine = LocalEngine(self.state(site), site)
            for held in engine.recover():
                engine.stop(held.run_id, "cancelled")
                until(
                    lambda e=engine, r=held.run_id: e.look(r).status in ("ended", "unknown"),
                    "the run is gone",
                )

    # -- talking to it

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def get(self, path: str) -> Any:
        status, answer = self.call("GET", path)
        assert status == 200, answer
        return answer

    def submit(self, job_id: str, task: str) -> dict[str, Any]:
        status, answer = self.call("POST", "/v1/jobs", {"job_id": job_id, "task": task})
        assert status == 201, answer
        return dict(answer)

    def readings(self, run_id: str) -> tuple[Reading, ...]:
        """What the server has of a run's meter, from its database."""
        store = open_store(f"sqlite:///{self.data / 'westward.db'}")
        try:
            return load_readings(store, run_id)
        finally:
            store.close()

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.get(f"/v1/jobs/{job_id}"))

    def finish(self, job_id: str) -> dict[str, Any]:
        """Follow a job to its end by long polls."""
        end = time.monotonic() + PATIENCE_S
        job = self.job(job_id)
        while job["state"] not in OVER:
            assert time.monotonic() < end, f"{job_id} does not end: {job}"
            path = f"/v1/jobs/{job_id}?wait_ms=5000&unless_state={job['state']}"
            job = dict(self.get(path))
        return job


# -- bills, worked out anew from what the sites' meters wrote


def check_bills(live: Live, job_id: str) -> list[dict[str, int]]:
    """Each run's bill is the price of a prefix of its readings, to the millionth's rounding; the
    report adds the bills up. Answers milli-device-ms by run: metered at the site, and billed."""

    def settled() -> dict[str, Any] | None:
        rows = live.get("/v1/report")["jobs"]
        return next((row for row in rows if row["job_id"] == job_id and row["settled"]), None)

    row = until(settled, "all runs have their bill")
    assert row is not None
    job = live.job(job_id)
    bills = {bill["run_id"]: bill for bill in job["bills"]}
    assert len(bills) == len(job["runs"])
    told = []
    for run in job["runs"]:
        told.append(_check_bill(live, run, bills[run["run_id"]]))
    assert row["price_micros"] == sum(bill["price_micros"] for bill in bills.values())
    assert math.isclose(row["energy_kwh"], sum(bill["energy_kwh"] for bill in bills.values()))
    return told


def _check_bill(live: Live, run: dict[str, Any], bill: dict[str, Any]) -> dict[str, int]:
    pools = csv.DictReader((live.network / "pools.csv").read_text().splitlines())
    pool = next(one for one in pools if one["name"] == run["pool"])
    site = next(one for one in live.get("/v1/sites")["sites"] if one["site"] == run["site"])
    state = live.state(run["site"])
    folders = [state / name / run["run_id"] for name in ("finished", "runs")]
    text = next(one for one in folders if one.exists()) / "readings.jsonl"
    readings = [json.loads(line) for line in text.read_text().splitlines()]
    assert [one["sequence"] for one in readings] == list(range(len(readings)))
    sums = list(itertools.accumulate((one["device_milli_ms"] for one in readings), initial=0))

    def price(milli_ms: int) -> tuple[int, float]:
        hours = milli_ms / 1000 / 3_600_000
        kwh = hours * float(pool["power_w_per_device"]) / 1000 * site["pue"]
        tariff = site["now"]["tariff_per_kwh"]  # the same all day in this network
        micros = (hours * float(pool["price_per_device_hour"]) + kwh * tariff) * 1e6
        return round(kwh * 3_600_000), micros

    for used in sums:
        joules, micros = price(used)
        same_energy = abs(bill["energy_kwh"] * 3_600_000 - joules) <= 1
        if same_energy and abs(bill["price_micros"] - micros) <= 1:
            wall_ms = sum(one["wall_ms"] for one in readings)
            return {"metered": sums[-1], "billed": used, "wall_ms": wall_ms}
    raise AssertionError(f"{bill} is not the price of any of {sums} milli-device-ms")


# -- the witness: what the jobs themselves wrote, read without asking the server


WITNESS_TASK = """
name: witnessed
resources:
  cpus: 1
  labels:
    westward.duration: 3s
envs:
  WITNESS: {witness}
  BEATS: "{beats}"
run: |
  exec "$WESTWARD_PYTHON" {script}
"""

WITNESS_SCRIPT = """
import os, time
out = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
who = " ".join(os.environ["WESTWARD_" + key] for key in ("JOB_ID", "RUN_ID", "TOKEN", "SITE"))
def say(word):
    os.write(out, f"{word} {who} {time.monotonic_ns()}\\n".encode())
say("start")
for _ in range(int(os.environ["BEATS"])):
    time.sleep(0.05)
    say("beat")
say("end")
"""


@dataclass
class Execution:
    """One process's life as far as it was seen: it lived at least from first to last."""

    job_id: str
    run_id: str
    token: int
    site: str
    first_ns: int
    last_ns: int = 0
    starts: int = 0
    ended: bool = False


@dataclass
class Witness:
    folder: Path
    beats: int

    def __post_init__(self) -> None:
        self.file = self.folder / "witness.txt"
        self.script = self.folder / "witness.py"
        self.script.write_text(WITNESS_SCRIPT)

    def task(self) -> str:
        return WITNESS_TASK.format(witness=self.file, beats=self.beats, script=self.script)

    def executions(self) -> list[Execution]:
        seen: dict[str, Execution] = {}
        text = self.file.read_text() if self.file.exists() else ""
        for line in text[: text.rfind("\n") + 1].splitlines():
            word, job_id, run_id, token, site, at = line.split()
            run = seen.setdefault(
                run_id, Execution(job_id, run_id, int(token), site, first_ns=int(at))
            )
            run.last_ns = int(at)
            run.starts += word == "start"
            run.ended = run.ended or word == "end"
        return list(seen.values())

    def check(self, jobs: list[str]) -> None:
        """Every job completed exactly once; no two executions of one job overlap; tokens rise."""
        by_job: dict[str, list[Execution]] = defaultdict(list)
        for run in self.executions():
            assert run.starts == 1, f"started twice: {run}"
            by_job[run.job_id].append(run)
        assert sorted(by_job) == sorted(jobs)
        for job_id, runs in by_job.items():
            runs.sort(key=lambda run: run.first_ns)
            assert sum(run.ended for run in runs) == 1, f"{job_id}: {runs}"
            for earlier, later in itertools.pairwise(runs):
                assert earlier.last_ns < later.first_ns, f"overlap: {earlier} {later}"
                assert earlier.token < later.token, f"token did not rise: {earlier} {later}"
