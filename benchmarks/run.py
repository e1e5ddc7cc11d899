"""``make bench``: the first marks of speed, the rival in the same run. Writes benchmarks/RESULTS.md.

Each measurement is a process of its own: CPU seconds of the simulation itself, peak memory of the
process. AccaSim lives in an environment of its own (built by ``make bench``). Machines are noisy:
read the ratios. ``--quick`` takes a tenth of the jobs, to see that it runs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("WESTWARD_SHARED", ROOT.parent / "shared"))
LOG = SHARED / "traces" / "swf" / "SDSC-SP2-1998-4.2-cln.swf.gz"
PROCESSORS = 128
REPEATS = 3
BASE_JOBS = 1_000
"""A run this small shows what the process needs before any job."""


def measure_generated(jobs: int, rule: str) -> dict[str, Any]:
    """In this process: generated gang jobs over networks/east-west, EASY, one core."""
    from westward.formats.generate import GeneratorOptions, generate
    from westward.model.plan import Policy
    from westward.network.loader import load_network
    from westward.simulate.engine import simulate

    network = load_network(ROOT / "networks" / "east-west")
    devices = sum(pool.nodes * pool.devices_per_node for pool in network.pools)
    homes = GeneratorOptions(homes=len(network.sites))
    tiny = generate(BASE_JOBS, 1, capacity_devices=devices, load=0.8, options=homes)
    simulate(network, tiny, Policy(rule=rule), seed=1)
    workload = generate(jobs, 1, capacity_devices=devices, load=0.8, options=homes)
    result = simulate(network, workload, Policy(rule=rule), seed=1)
    return {
        "jobs": jobs,
        "placed": int((result.pool >= 0).sum()),
        "devices": devices,
        "pools": len(network.pools),
        "cpu_s": result.cpu_s,
        "jobs_per_cpu_s": jobs / result.cpu_s,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_log() -> dict[str, Any]:
    """In this process: the SWF log on one pool, EASY without a depth limit, reading included."""
    import time

    from one_pool import one_pool

    from westward.formats.traces import read_workload
    from westward.model.plan import Policy
    from westward.simulate.engine import simulate

    policy = Policy(rule="earliest-start", backfill_depth=1_000_000)
    began = time.process_time()
    workload = read_workload(LOG, "swf")
    read_s = time.process_time() - began
    result = simulate(one_pool(PROCESSORS), workload, policy, seed=1)
    first_s = result.cpu_s
    result = simulate(one_pool(PROCESSORS), workload, policy, seed=1)
    wait_s = (result.start_ms - result.submit_ms) / 1000.0
    return {
        "jobs": len(workload),
        "read_s": read_s,
        "first_s": first_s,
        "cpu_s": result.cpu_s + read_s,
        "jobs_per_cpu_s": len(workload) / (result.cpu_s + read_s),
        "mean_wait_s": float(wait_s.mean()),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def child(*arguments: str) -> dict[str, Any]:
    """One measurement in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def rival(python: str, rows: int | None) -> dict[str, Any]:
    """AccaSim on the same log, in its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "log.swf"
        with gzip.open(LOG, "rt") as source, plain.open("w") as target:
            body = (line for line in source if not line.startswith(";"))
            target.writelines(line for at, line in enumerate(body) if rows is None or at < rows)
        out = Path(folder) / "out"
        script = str(ROOT / "benchmarks" / "rival_accasim.py")
        command = [python, script, str(plain), str(PROCESSORS), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"AccaSim failed:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        scheduled = next(out.glob("sched-*"))
        found["jobs"] = sum(1 for _ in scheduled.open())
        shutil.rmtree(out)
        return found


def median(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.median(float(run[key]) for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rival-python", default=str(ROOT / ".venv-bench" / "bin" / "python"))
    parser.add_argument("--child", nargs=3)
    options = parser.parse_args()
    if options.child:
        kind, jobs, rule = options.child
        found = measure_log() if kind == "log" else measure_generated(int(jobs), rule)
        print(json.dumps(found))
        return
    jobs = 100_000 if options.quick else 1_000_000
    lines = header()
    for rule in ("westward", "earliest-start"):
        base = child("--child", "generated", str(BASE_JOBS), rule)
        runs = [child("--child", "generated", str(jobs), rule) for _ in range(REPEATS)]
        per_job = (median(runs, "peak_rss_mb") - base["peak_rss_mb"]) * 1024 * 1024 / jobs
        lines.append(
            f"| generated, {jobs:,} jobs, {runs[0]['pools']} pools, {runs[0]['devices']:,} devices, "
            f"rule `{rule}`, EASY | {median(runs, 'cpu_s'):.2f} | "
            f"**{median(runs, 'jobs_per_cpu_s'):,.0f}** | {median(runs, 'peak_rss_mb'):.0f} | "
            f"{per_job:.0f} |"
        )
        print(lines[-1], flush=True)
    lines += ["", *compare(options.rival_python, 5_000 if options.quick else None)]
    (ROOT / "benchmarks" / "RESULTS.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def header() -> list[str]:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    return [
        "# Measured speed",
        "",
        f"`make bench` on {os.cpu_count()} cores of {model}, Python {platform.python_version()}, "
        f"medians of {REPEATS} processes, one core. The machine is shared: read the ratios.",
        "",
        "| workload | CPU s | jobs / CPU s | peak MB | bytes per job above a 1,000-job run |",
        "|---|---|---|---|---|",
    ]


def compare(rival_python: str, rows: int | None) -> list[str]:
    """The same log through both, in turn."""
    theirs, ours = [], []
    for _ in range(REPEATS):
        theirs.append(rival(rival_python, rows))
        ours.append(child("--child", "log", "0", "-"))
    ratios = sorted(
        (o["jobs"] / o["cpu_s"]) / (t["jobs"] / t["cpu_s"])
        for o, t in zip(ours, theirs, strict=True)
    )
    their_speed = statistics.median(t["jobs"] / t["cpu_s"] for t in theirs)
    return [
        f"Log {LOG.name}, EASY, {PROCESSORS} processors, reading the log included, in turn:",
        "",
        "| simulator | jobs | CPU s | jobs / CPU s | peak MB |",
        "|---|---|---|---|---|",
        f"| AccaSim 1.1.3 | {theirs[0]['jobs']:,} | {median(theirs, 'cpu_s'):.2f} | "
        f"{their_speed:,.0f} | {median(theirs, 'peak_rss_mb'):.0f} |",
        f"| Westward | {ours[0]['jobs']:,} | {median(ours, 'cpu_s'):.3f} | "
        f"{median(ours, 'jobs_per_cpu_s'):,.0f} | {median(ours, 'peak_rss_mb'):.0f} |",
        "",
        "Westward's reader leaves out the log's rows with no run time (it says so); AccaSim takes "
        "them as jobs.",
        "",
        f"Ratio of jobs per CPU second, pair by pair: {ratios[0]:.0f} / "
        f"**{statistics.median(ratios):.0f}** / {ratios[-1]:.0f} (least, median, most).",
    ]


if __name__ == "__main__":
    main()
