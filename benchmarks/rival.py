"""AccaSim beside Westward on one recorded log, in turn: same log, same discipline, same run."""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("WESTWARD_SHARED", ROOT.parent / "shared"))
LOG = SHARED / "traces" / "swf" / "SDSC-SP2-1998-4.2-cln.swf.gz"
PROCESSORS = 128


def measure_log() -> dict[str, Any]:
    """In this process: the SWF log on one pool, EASY without a depth limit, reading included."""
    from one_pool import one_pool

    from westward.formats.traces import read_workload
    from westward.model.plan import Policy
    from westward.simulate.engine import simulate

    policy = Policy(rule="earliest-start", backfill_depth=1_000_000)
    simulate(one_pool(PROCESSORS), read_workload(LOG, "swf"), policy, seed=1)  # compiled
    began = time.process_time()
    workload = read_workload(LOG, "swf")
    read_s = time.process_time() - began
    result = simulate(one_pool(PROCESSORS), workload, policy, seed=1)
    wait_s = (result.start_ms - result.submit_ms) / 1000.0
    return {
        "jobs": len(workload),
        "read_s": read_s,
        "simulate_s": result.cpu_s,
        "cpu_s": result.cpu_s + read_s,
        "mean_wait_s": float(wait_s.mean()),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_rival(python: str) -> dict[str, Any]:
    """AccaSim in its own environment; its own CPU seconds, reading included as ours."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "log.swf"
        with gzip.open(LOG, "rt") as source, plain.open("w") as target:
            target.writelines(line for line in source if not line.startswith(";"))
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


def ratios(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], key: str) -> list[float]:
    """Jobs per CPU second, pair by pair: least, median, most. ``key``: our seconds."""
    found = sorted(
        (o["jobs"] / o[key]) / (t["jobs"] / t["cpu_s"]) for o, t in zip(ours, theirs, strict=True)
    )
    return [found[0], statistics.median(found), found[-1]]


if __name__ == "__main__":
    print(json.dumps(measure_log()))
