"""Where the time between "submit" and "started" goes at Slurm, through Westward and by plain sbatch.

    python benchmarks/slurm_parts.py [--jobs 60] [--write]        # needs root (slurmd does)

slurmctld starts jobs at its own tick of a second, so the whole time of a job is mostly the wait for
that tick, and a difference of 50 ms between two medians of 200 jobs lies within their error. The
parts before and after that wait are Westward's own, and are taken from stamps of files: from the
request to ``sbatch.sent`` (written before sbatch is started), sbatch itself, and from the batch
script's output file (made by slurmstepd just before the script) to the job's first act. Every job is
handed in at a random part of a second.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from overheads import OVER, SLURM_PORT, TASK, first_act, one_network, started_ns
from side import Process, Server, load, machine, point, until, write_section

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # tests.engines_up starts Slurm
HERE = Path(__file__).resolve().parent


def born_ns(path: Path) -> int:
    """When a file was made; the standard library does not tell."""
    told = subprocess.run(
        ["stat", "--format=%.9W", str(path)], capture_output=True, text=True, check=True
    ).stdout.strip()
    whole, _, part = told.partition(".")
    return int(whole) * 10**9 + int(part)


def measure(base: Path, jobs: int) -> tuple[list[list[float]], list[list[float]]]:
    """ms a job, (before sbatch, in sbatch, until the script begins, in the script until the first
    act): of plain jobs, and through Westward."""
    from tests.engines_up.slurm import Cluster

    cluster = Cluster(Path(tempfile.mkdtemp(prefix="ww-over-")), "parts", SLURM_PORT + 100)
    dice = random.Random(1)
    stamps = base / "stamps"
    stamps.mkdir(mode=0o777)
    script = base / "plain.sh"
    plain, through = [], []
    cluster.up()
    server = Server.open(base, one_network(base / "network", "slurm"))
    agent = Process.start(
        base / "agent.log", sys.executable, "-m", "westward.agent", "--server", server.url,
        "--site", "site-0000", "--state", str(base / "state"), "--engine", "slurm",
        "--log-level", "warning", "--option", f"conf={cluster.conf}", "--option", "partition=main",
        env=dict(os.environ),
    )  # fmt: skip
    try:
        until(
            lambda: (
                agent.lives() and server.call("GET", "/v1/sites")["sites"][0]["status"] == "open"
            ),
            "the agent has said hello",
        )
        for number in range(-2, jobs):  # the first two warm both up
            time.sleep(dice.random())
            name, out = f"plain-{number + 2}", base / f"plain-{number + 2}.out"
            script.write_text(f"#!/bin/sh\n{first_act(stamps, name)}\n")
            began = time.time_ns()
            cluster.run(
                "sbatch", "--partition=main", f"--output={out}", "--mem=100M", f"--job-name={name}",
                str(script),
            )  # fmt: skip
            taken = time.time_ns()
            act = started_ns(stamps, name)
            begins = born_ns(out)
            if number >= 0:
                plain.append(parts(began, began, taken, begins, act))

            time.sleep(dice.random())
            name = f"through-{number + 2}"
            body = {"job_id": f"job_{name}", "task": TASK.format(act=first_act(stamps, name))}
            began = time.time_ns()
            server.call("POST", "/v1/jobs", body)
            act = started_ns(stamps, name)
            sent = max((base / "state").rglob("sbatch.sent"), key=lambda path: path.stat().st_mtime)
            asked, taken = sent.stat().st_mtime_ns, (sent.parent / "slurm.json").stat().st_mtime_ns
            begins = born_ns(sent.parent / "slurm.out")
            if number >= 0:
                through.append(parts(began, asked, taken, begins, act))
            state = "pending"
            while state not in OVER:
                agent.lives()
                at = f"/v1/jobs/job_{name}?wait_ms=5000&unless_state={state}"
                state = server.call("GET", at)["state"]
    finally:
        agent.end()
        server.end()
        cluster.down()
    return plain, through


def parts(*times_ns: int) -> list[float]:
    return [(later - earlier) / 1e6 for earlier, later in pairwise(times_ns)]


def page(plain: list[list[float]], through: list[list[float]]) -> str:
    lines = [
        "", f"`python benchmarks/slurm_parts.py --jobs {len(plain)}`, medians of {len(plain)} jobs each way:",
        "", "| part of the way | plain `sbatch`, ms | through Westward, ms | added, ms |",
        "|---|---|---|---|",
    ]  # fmt: skip
    names = ("request until sbatch is started", "sbatch", "the wait for slurmctld's tick",
             "batch script until the job's first act")  # fmt: skip
    added = 0.0
    for part, name in enumerate(names):
        mine = point([one[part] for one in plain], 50)
        ours = point([one[part] for one in through], 50)
        ticks = part == 2
        added += 0.0 if ticks else ours - mine
        told = "(chance)" if ticks else f"{ours - mine:.1f}"
        lines.append(f"| {name} | {mine:.1f} | {ours:.1f} | {told} |")
    lines.append(f"| **all but the wait for the tick** | | | **{added:.1f}** |")
    lines += ["", f"Machine: {machine()}; load average {load()} at the end."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=60, help="each way")
    parser.add_argument("--write", action="store_true", help="into benchmarks/SITES.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="westward-parts-") as name:
        base = Path(name)
        base.chmod(0o755)
        text = page(*measure(base, asked.jobs))
    print(text)
    if asked.write:
        write_section(HERE / "SITES.md", "parts of a start at Slurm", text)


if __name__ == "__main__":
    main()
