"""What Westward adds between "submit" and "started", and how many submissions a second it keeps.

    python benchmarks/overheads.py                       # everything; needs root (Slurm) and Ray
    python benchmarks/overheads.py local submissions     # parts of it
    python benchmarks/overheads.py --pairs 20
    python benchmarks/overheads.py --write               # and into benchmarks/SITES.md
    python benchmarks/overheads.py ray --keep DIR --minutes 3   # again and again, until it is whole

Each job writes the time as its first and only act; "started" is that time, "submit" the moment
before the request or command is sent, by the same clock. Every pair is one job given to the engine
itself (a process; ``sbatch``; the command ``ray job submit``, and as a part of its own, without the
command's start of a second or so, the REST request that it makes) and one through Westward, one
after the other and in turn which goes first. Server, agents, slurmctld and Ray are the real
ones. Both Ray jobs ask for one CPU. Ray: WESTWARD_RAY_VENV or ``make test-ray`` first.

200 pairs of Slurm's or Ray's jobs take ten minutes. With ``--keep DIR`` each pair is written there
as it comes, in DIR/ENGINE.csv, and the next call goes on where this one ended: the page is made of
all of them, and says in how many sittings (each with its own server, agent and engine).

Submissions: POST /v1/jobs over several connections, each waiting for its answer, and POST
/v1/batches of a thousand jobs (arrays and separate documents). An answer means that the jobs are
durable; at the end the database is read to count them.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import shlex
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
from agents import write_network
from side import Process, Server, fsync_ms, load, machine, point, until, write_section

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # tests.engines_up starts Slurm and Ray
HERE = Path(__file__).resolve().parent
PARTS = ("local", "slurm", "ray", "ray-rest", "submissions")
PLAIN = {"local": "process start (`bash -c`)", "slurm": "`sbatch`", "ray": "`ray job submit`",
         "ray-rest": "Ray's Jobs REST"}  # fmt: skip
"""The engine itself."""
GOAL_MS, GOAL_BATCH, GOAL_SINGLE = 50, 1_000, 300
OVER = ("succeeded", "failed", "cancelled", "refused")
SLURM_PORT = 22_800
CONNECTIONS = 32
LOOK_EVERY_S = 0.002
"""At a job's stamp. The time is read from the stamp: looking later changes no figure."""

TASK = """
name: first-act
resources:
  cpus: 1
  labels:
    westward.duration: 1m
run: |
  {act}
"""


@dataclass
class Way:
    """One engine: how to give it a job itself."""

    name: str
    engine: str
    submit: Callable[[str, str], None]
    """Name and shell line."""


def first_act(stamps: Path, name: str) -> str:
    """Written beside and renamed, so that nobody reads half of it."""
    path = shlex.quote(str(stamps / name))
    return f"date +%s%N > {path}.new && mv {path}.new {path}"


def started_ns(stamps: Path, name: str) -> int:
    path = stamps / name
    until(path.exists, f"{name} starts", LOOK_EVERY_S)
    return int(path.read_text())


def one_network(folder: Path, engine: str) -> Path:
    """One site with one pool."""
    write_network(folder, 1, 4)
    rows = list(csv.DictReader((folder / "pools.csv").read_text().splitlines()))
    rows[0]["engine"] = engine
    with open(folder / "pools.csv", "w", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)
    return folder


@dataclass
class Kept:
    """Pairs as they come; with a file they outlive this call."""

    file: Path | None
    ends: float
    """By ``time.monotonic``; no pair begins later."""

    def __post_init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        if self.file is not None and self.file.exists():
            with open(self.file, newline="") as file:
                self.rows = list(csv.DictReader(file))
        self.sitting = 1 + max((int(row["sitting"]) for row in self.rows), default=0)

    def add(self, plain_ms: float, through_ms: float) -> None:
        row = {
            "sitting": str(self.sitting), "plain_ms": f"{plain_ms:.2f}",
            "through_ms": f"{through_ms:.2f}", "load": load(),
        }  # fmt: skip
        self.rows.append(row)
        if self.file is not None:
            new = not self.file.exists()
            with open(self.file, "a", newline="") as file:
                out = csv.DictWriter(file, row)
                if new:
                    out.writeheader()
                out.writerow(row)

    def of(self, name: str) -> list[float]:
        return [float(row[name]) for row in self.rows]

    def sittings(self) -> int:
        return len({row["sitting"] for row in self.rows})


def pairs(
    way: Way, base: Path, count: int, agent_options: dict[str, str], env: dict[str, str], kept: Kept
) -> dict[str, Any]:
    """Until there are ``count`` jobs each way, or the time is over."""
    folder = base / way.name
    stamps = folder / "stamps"
    stamps.mkdir(parents=True, mode=0o777)
    server = Server.open(folder, one_network(folder / "network", way.engine))
    options = [
        part for key, value in agent_options.items() for part in ("--option", f"{key}={value}")
    ]
    agent = Process.start(
        folder / "agent.log", sys.executable, "-m", "westward.agent", "--server", server.url,
        "--site", "site-0000", "--state", str(folder / "state"), "--engine", way.engine,
        "--log-level", "warning", *options, env={**os.environ, **env},
    )  # fmt: skip
    through: list[float] = []
    plain: list[float] = []

    def by_engine(name: str) -> None:
        began = time.time_ns()
        way.submit(name, first_act(stamps, name))
        plain.append((started_ns(stamps, name) - began) / 1e6)

    def by_westward(name: str) -> None:
        job_id = f"job_{name}"
        body = {"job_id": job_id, "task": TASK.format(act=first_act(stamps, name))}
        began = time.time_ns()
        server.call("POST", "/v1/jobs", body)
        through.append((started_ns(stamps, name) - began) / 1e6)
        state = "pending"
        while state not in OVER:
            agent.lives()
            job = server.call("GET", f"/v1/jobs/{job_id}?wait_ms=5000&unless_state={state}")
            state = job["state"]
        if state != "succeeded":
            raise RuntimeError(f"{job_id}: {job}")

    try:
        until(
            lambda: (
                agent.lives() and server.call("GET", "/v1/sites")["sites"][0]["status"] == "open"
            ),
            "the agent has said hello",
        )
        number = -2  # the first two warm both up
        while number < 0 or (len(kept.rows) < count and time.monotonic() < kept.ends):
            ways = [(by_engine, f"plain-{number + 2}"), (by_westward, f"through-{number + 2}")]
            for call, name in ways if number % 2 else reversed(ways):
                call(name)
            if number >= 0:
                kept.add(plain[-1], through[-1])
                if len(kept.rows) % 50 == 0:
                    print(f"  {way.name}: {len(kept.rows)} pairs", flush=True)
            number += 1
    finally:
        agent.end()
        server.end()
    return summed(way.name, kept)


def summed(name: str, kept: Kept) -> dict[str, Any]:
    return {
        "name": name, "plain": kept.of("plain_ms"), "through": kept.of("through_ms"),
        "load": f"{point(kept.of('load'), 50):.1f}", "sittings": kept.sittings(),
    }  # fmt: skip


def local(base: Path, count: int, kept: Kept) -> dict[str, Any]:
    def submit(_name: str, act: str) -> None:
        subprocess.run(["/bin/bash", "-c", act], start_new_session=True, check=True)

    return pairs(Way("local", "local", submit), base, count, {}, {}, kept)


def slurm(base: Path, count: int, kept: Kept) -> dict[str, Any]:
    from tests.engines_up.slurm import Cluster

    # A socket's path must be short.
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="ww-over-")), "over", SLURM_PORT)
    script = base / "plain.sh"

    def submit(name: str, act: str) -> None:
        script.write_text(f"#!/bin/sh\n{act}\n")
        cluster.run(
            "sbatch", "--partition=main", "--output=/dev/null", "--mem=100M", f"--job-name={name}",
            str(script),
        )  # fmt: skip

    cluster.up()
    try:
        options = {"conf": str(cluster.conf), "partition": "main"}
        return pairs(Way("slurm", "slurm", submit), base, count, options, {}, kept)
    finally:
        cluster.down()


def ray(base: Path, count: int, kept: Kept) -> dict[str, Any]:
    from tests.engines_up.ray_cluster import RayCluster, ray_programs

    cluster = RayCluster()
    command = [
        str(ray_programs() / "ray"), "job", "submit", "--no-wait", "--entrypoint-num-cpus=1",
        f"--address={cluster.address}",
    ]  # fmt: skip

    def submit(name: str, act: str) -> None:
        subprocess.run(
            [*command, f"--submission-id={name}", "--", "sh", "-c", act],
            env=cluster.env(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True,
        )  # fmt: skip

    return _on_ray(cluster, Way("ray", "ray", submit), base, count, kept)


def ray_rest(base: Path, count: int, kept: Kept) -> dict[str, Any]:
    from tests.engines_up.ray_cluster import RayCluster

    cluster = RayCluster()
    token = cluster.token_file.read_text()

    def submit(name: str, act: str) -> None:
        body = {
            "entrypoint": f"sh -c {shlex.quote(act)}", "submission_id": name,
            "entrypoint_num_cpus": 1,
        }  # fmt: skip
        request = urllib.request.Request(
            f"{cluster.address}/api/jobs/",
            json.dumps(body).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {token}"},
        )
        urllib.request.urlopen(request, timeout=60).close()

    return _on_ray(cluster, Way("ray-rest", "ray", submit), base, count, kept)


def _on_ray(cluster: Any, way: Way, base: Path, count: int, kept: Kept) -> dict[str, Any]:
    cluster.start()
    try:
        options = {"address": cluster.address, "token_file": str(cluster.token_file)}
        return pairs(way, base, count, options, {}, kept)
    finally:
        cluster.stop()


async def _one_by_one(server: Server, seconds: float, connections: int) -> tuple[int, list[float]]:
    took: list[float] = []
    end = time.monotonic() + seconds

    async def client(number: int, session: aiohttp.ClientSession) -> None:
        count = 0
        while time.monotonic() < end:
            body = {"job_id": f"job_one-{number}-{count}", "task": TASK.format(act="true")}
            began = time.monotonic()
            async with session.post(f"{server.url}/v1/jobs", json=body) as answer:
                await answer.read()
                if answer.status != 201:
                    raise RuntimeError(f"submitting: {answer.status} {await answer.text()}")
            took.append((time.monotonic() - began) * 1000)
            count += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(number, session) for number in range(connections)))
    return len(took), took


def document(number: int) -> str:
    """One of several in a text: named, and waiting for none of the others."""
    alone = TASK.replace("first-act", f"act-{number}")
    return alone.replace("duration: 1m", "duration: 1m\n    westward.after: none").format(
        act="true"
    )


def submissions(base: Path, seconds: float) -> dict[str, Any]:
    """No agent: the jobs wait, so that what is measured is keeping them."""
    found: dict[str, Any] = {}
    hundred = "\n---\n".join(document(number) for number in range(100))
    thousand = TASK.replace(
        "westward.duration: 1m", 'westward.duration: 1m\n    westward.array: "1000"'
    )
    for kind in ("one by one", "arrays of 1,000", "100 documents a text"):
        folder = base / kind.replace(" ", "-").replace(",", "")
        folder.mkdir()
        server = Server.open(folder, one_network(folder / "network", "local"))
        try:
            cpu_s, began = server.cpu_s(), time.monotonic()
            took: list[float] = []
            if kind == "one by one":
                count, took = asyncio.run(_one_by_one(server, seconds, CONNECTIONS))
            else:
                count = 0
                text = hundred if kind.startswith("100") else thousand.format(act="true")
                while time.monotonic() < began + seconds:
                    sent = time.monotonic()
                    body = {"job_id": f"job_many-{count}", "task": text}
                    count += server.call("POST", "/v1/batches", body)["count"]
                    took.append((time.monotonic() - sent) * 1000)
            took_s = time.monotonic() - began
            found[kind] = {
                "jobs": count, "per_s": count / took_s, "took": took, "load": load(),
                "per_cpu_s": count / (server.cpu_s() - cpu_s),
            }  # fmt: skip
        finally:
            server.child.kill()  # what it answered must be there after a kill
            server.child.wait()
        with sqlite3.connect(folder / "data" / "westward.db") as database:
            (kept,) = database.execute("SELECT count(*) FROM jobs").fetchone()
        if kept < count:
            raise RuntimeError(f"{count} jobs were accepted and {kept} are in the database")
        print(f"  {kind}: {found[kind]['per_s']:.0f}/s", flush=True)
    return found


def page(found: dict[str, Any], sync_ms: float) -> str:
    words = ["DIR" if before == "--keep" else word for before, word in pairwise(sys.argv)]
    command = " ".join(["python", "benchmarks/overheads.py", *words])
    lines = ["", f"`{command}`"]
    if set(found) != {"submissions"}:
        lines += [
            "", "## From submit to started", "",
            "| engine | jobs each way, sittings | the engine itself, p50 / p99, ms | through "
            "Westward, p50 / p99, ms | added to the median, ms (goal < 50) | load, median |",
            "|---|---|---|---|---|---|",
        ]  # fmt: skip
    for name in PLAIN:
        if name not in found:
            continue
        one = found[name]
        plain, through = one["plain"], one["through"]
        added = point(through, 50) - point(plain, 50)
        lines.append(
            f"| {name.removesuffix('-rest')}; itself: {PLAIN[name]} | {len(plain)}, {one['sittings']} | "
            f"{point(plain, 50):.0f} / "
            f"{point(plain, 99):.0f} | {point(through, 50):.0f} / {point(through, 99):.0f} | "
            f"**{added:.0f}** {'met' if added < GOAL_MS else 'missed'} | {one['load']} |"
        )
    if "submissions" in found:
        lines += [
            "", "## Submissions accepted durably (SQLite)", "",
            "| how | jobs a second | goal | jobs a CPU second of the server | an answer, p50 / p99, ms "
            "| load |",
            "|---|---|---|---|---|---|",
        ]  # fmt: skip
        for kind, one in found["submissions"].items():
            goal = GOAL_SINGLE if kind == "one by one" else GOAL_BATCH
            how = f"one by one, {CONNECTIONS} connections" if kind == "one by one" else kind
            lines.append(
                f"| {how} ({one['jobs']:,} jobs) | **{one['per_s']:,.0f}** | {goal:,} "
                f"{'met' if one['per_s'] >= goal else 'missed'} | {one['per_cpu_s']:,.0f} | "
                f"{point(one['took'], 50):.0f} / {point(one['took'], 99):.0f} | {one['load']} |"
            )
    lines += [
        "",
        f"A write of 4 KiB is durable after {sync_ms:.1f} ms here (median), and no answer comes before "
        f"that. Machine: {machine()}; shared with other work: read the load (runnable processes, one "
        "minute's mean) beside each figure.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--pairs", type=int, default=200, help="of jobs, for each engine")
    parser.add_argument("--keep", type=Path, help="a folder: go on with the pairs kept there")
    parser.add_argument("--minutes", type=float, default=60, help="no pair begins later")
    parser.add_argument("--seconds", type=float, default=10, help="for each kind of submission")
    parser.add_argument("--write", action="store_true", help="into benchmarks/SITES.md")
    asked = parser.parse_args()
    parts = asked.parts or PARTS
    found: dict[str, Any] = {}
    ends = time.monotonic() + asked.minutes * 60
    if asked.keep is not None:
        asked.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="westward-overheads-") as name:
        base = Path(name)
        base.chmod(0o755)
        sync_ms = fsync_ms(base)
        for part in parts:
            print(part, flush=True)
            if part == "submissions":
                found[part] = submissions(base, asked.seconds)
                continue
            kept = Kept(None if asked.keep is None else asked.keep / f"{part}.csv", ends)
            run = {"local": local, "slurm": slurm, "ray": ray, "ray-rest": ray_rest}[part]
            if len(kept.rows) < asked.pairs and time.monotonic() < ends:
                found[part] = run(base, asked.pairs, kept)
            elif kept.rows:
                found[part] = summed(part, kept)
    text = page(found, sync_ms)
    print(text)
    if asked.write:
        name = "overheads" if parts == PARTS else f"overheads of {' '.join(parts)}"
        write_section(HERE / "SITES.md", name, text)


if __name__ == "__main__":
    main()
