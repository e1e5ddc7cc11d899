"""``make bench``: the simulator's speed and memory, the rival and a C++ twin in the same run.

Each measurement is a process of its own and counts CPU seconds; machines are noisy, so read the
ratios. ``--rows 1,8`` measures only those rows of the table again; ``--jobs`` takes other sizes than
ten million, ``--long`` adds a hundred million. What was measured stands in benchmarks/measured.json,
and benchmarks/RESULTS.md is written from it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cases
import results
import rival

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks"
MEASURED = HERE / "measured.json"
Found = dict[str, Any]


_SEEN: dict[tuple[str, ...], Found] = {}


def once(script: str, *arguments: str) -> Found:
    """A measurement that several rows share: made once in a session."""
    key = (script, *arguments)
    if key not in _SEEN:
        _SEEN[key] = child(*key)
    return _SEEN[key]


def child(script: str, *arguments: str) -> Found:
    """One measurement in a fresh process; its last line of output."""
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}\n{done.stdout}")
    found: Found = json.loads(done.stdout.splitlines()[-1])
    found["command"] = f"python benchmarks/{script} {' '.join(arguments)}".strip()
    found["load_average"] = os.getloadavg()[0]
    print(json.dumps(found), flush=True)
    return found


def middle(runs: list[Found], key: str = "cpu_s") -> Found:
    """The run in the middle."""
    return sorted(runs, key=lambda run: float(run[key]))[len(runs) // 2]


def one_choice(jobs: int, repeats: int) -> Found:
    first = once("speed.py", "one-choice", str(jobs))
    runs = [first, *(child("speed.py", "one-choice", str(jobs)) for _ in range(repeats - 1))]
    return {"run": middle(runs), "repeats": repeats}


def deferrable(jobs: int, repeats: int) -> Found:
    return {"run": middle([child("speed.py", "deferrable", str(jobs)) for _ in range(repeats)]),
            "repeats": repeats}  # fmt: skip


def everything(jobs: int, repeats: int) -> Found:
    """All features, and at a tenth of the jobs each beside packing."""
    packed = f"{cases.ONE_CHOICE}+{cases.PACKING}"
    others = [name for name in cases.FEATURES if name != cases.PACKING]
    alone = [cases.ONE_CHOICE, packed, *(f"{packed}+{name}" for name in others)]
    return {
        "run": middle([child("speed.py", "everything", str(jobs)) for _ in range(repeats)]),
        "alone": {name: child("speed.py", name, str(jobs // 10)) for name in alone},
        "repeats": repeats,
    }


def long_run(jobs: int, repeats: int) -> Found:
    return {"run": child("speed.py", "one-choice", str(10 * jobs))}


def flat(jobs: int, repeats: int) -> Found:
    """A hundredth of the jobs, and all: from an empty network, and once it is full."""
    few = [child("speed.py", "steady", str(jobs // 100)) for _ in range(max(3, repeats))]
    filled = [child("speed.py", "steady", str(jobs), "filled") for _ in range(repeats)]
    return {
        "few": middle(few),
        "many": once("speed.py", "steady", str(jobs)),
        "filled": middle(filled, "ratio"),
    }


def memory(jobs: int, repeats: int) -> Found:
    """Streamed and in memory, at a tenth of the jobs and at all."""
    return {
        "base": child("speed.py", "one-choice", "1000"),
        "streamed": once("speed.py", "one-choice", str(jobs)),
        "in_memory_few": child("speed.py", "one-choice", str(jobs // 100), "memory"),
        "in_memory": child("speed.py", "one-choice", str(jobs // 10), "memory"),
    }


def accasim(jobs: int, repeats: int) -> Found:
    python = os.environ.get("RIVAL_PYTHON", str(ROOT / ".venv-bench" / "bin" / "python"))
    ours, theirs = [], []
    for _ in range(max(3, repeats)):
        theirs.append(rival.measure_rival(python))
        print(json.dumps(theirs[-1]), flush=True)
        ours.append(child("rival.py"))
    return {
        "ours": middle(ours),
        "theirs": middle(theirs),
        "with_reading": rival.ratios(ours, theirs, "cpu_s"),
        "without_reading": rival.ratios(ours, theirs, "simulate_s"),
    }


def cpp(jobs: int, repeats: int) -> Found:
    """The twin and Westward in turn, three times at a tenth of the jobs and once at all."""
    few = [child("twin.py", str(jobs // 10)) for _ in range(max(3, repeats))]
    return {"few": middle(few, "ratio"), "many": child("twin.py", str(jobs))}


def start_up(jobs: int, repeats: int) -> Found:
    """Wall seconds of a small ``westward simulate``; the kernels were compiled by the set-up."""
    program = shutil.which("westward", path=str(Path(sys.executable).parent))
    walls = []
    for _ in range(6):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                program or "westward", "simulate", str(ROOT / "networks" / "laptop"),
                "--generate", "200", "--out", str(Path(folder) / "out"), "--stream",
            ]  # fmt: skip
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            walls.append(time.perf_counter() - began)
    return {"first_s": walls[0], "later_s": statistics.median(walls[1:]), "all": walls,
            "load_average": os.getloadavg()[0]}  # fmt: skip


ROWS: dict[str, Callable[[int, int], Found]] = {
    "1": one_choice,
    "2": deferrable,
    "3": everything,
    "4": long_run,
    "5": flat,
    "6": memory,
    "7": accasim,
    "8": cpp,
    "15": start_up,
}


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else "an unknown processor"
    return f"{os.cpu_count()} cores of {name}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="", help="of the table; default: all but 4")
    parser.add_argument("--jobs", type=lambda text: int(float(text)), default=10_000_000)
    parser.add_argument("--repeats", type=int, default=1, help="of the ten-million runs")
    parser.add_argument("--long", action="store_true", help="row 4 too: ten times the jobs")
    options = parser.parse_args()
    rows = options.rows.split(",") if options.rows else [row for row in ROWS if row != "4"]
    if options.long and "4" not in rows:
        rows.append("4")
    measured: Found = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    for row in rows:
        print(f"row {row}", flush=True)
        measured[row] = ROWS[row](options.jobs, options.repeats) | {"machine": machine()}
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n")
        (HERE / "RESULTS.md").write_text(results.page(measured))
    print((HERE / "RESULTS.md").read_text())


if __name__ == "__main__":
    main()
