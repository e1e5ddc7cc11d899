"""Breaks the planner on purpose and shows that the tests notice. By hand; not part of make test.

    .venv/bin/python tests/twin/mutations.py [name...]

Each mutation is one text change in a temporary copy of the package, run interpreted (compiling
each copy would take half a minute). Exit 1 when a mutation survives or no longer applies.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
K, W, D = "kernels.py", "waiting.py", "dispatch.py"
MUTATIONS: dict[str, tuple[str, str, str]] = {
    "tie-later-start": (K, "this.start_ms < best.start_ms", "this.start_ms > best.start_ms"),
    "tie-by-noise": (K, "candidate < best_value - TIE * abs(best_value) - noise", "candidate < best_value"),
    "first-not-cheapest": (K, "or value < lowest - slack", "or value < -1e300"),
    "forget-deadline": (K, "last = min(last, earliest + slack)", "last = last"),
    "deadline-by-start": (K, "slack = jobs.deadline_ms[j] - duration - earliest", "slack = jobs.deadline_ms[j] - earliest"),
    "no-reserve-of-slack": (K, "slack -= slack * rules.reserve_percent // 100", "slack -= 0"),
    "reserve-of-slack-always": (K, "if rules.conservative == 0 and slack > 0:", "if slack > 0:"),
    "forget-transfer-price": (K, "transfer += price * inputs.gb[i]", "transfer += 0.0"),
    "forget-transfer-time": (K, "ready = max(now + move_ms,", "ready = max(now,"),
    "forget-start-after": (K, "now + move_ms, jobs.start_after_ms[j])", "now + move_ms, 0)"),
    "forget-pue-or-power": (K, "kw = devices * pools.kw[p]\n    zone", "kw = devices\n    zone"),
    "wrong-prefix": (K, "low = prefix[i] + (prefix[i + 1]", "low = prefix[i] + (prefix[i]"),
    "wrong-period": (K, "(to_turn - from_turn) * prefix[steps]", "(to_turn - from_turn) * 0.0"),
    "forget-carbon": (K, "carbon = grams * rules.carbon_price", "carbon = 0.0"),
    "forget-hourly-cap": (K, "hourly_ok = hourly <= options", "hourly_ok = True or hourly <= options"),
    "need-not-dominant": (K, "if memory > 0:", "if memory < 0:"),
    "gang-of-one": (K, "return o, node_need * jobs.nodes[j]", "return o, node_need"),
    "gang-too-large-fits": (K, "// node_need) < jobs.nodes[j]", "// node_need) < 1"),
    "easy-forget-extra": (D, "elif need <= extra:", "elif need <= state.free_milli[p]:"),
    "easy-extra-not-spent": (D, "extra -= need", "extra -= 0"),
    "easy-shadow-strict": (D, "state.job_duration_ms[j] <= shadow", "state.job_duration_ms[j] < shadow"),
    "easy-no-backfill": (D, "while j >= 0 and looked < rules.depth and", "while False and"),
    "queue-backwards": (W, "while after >= 0 and after > j:", "while after >= 0:"),
    "overrun-free-now": (W, "end = max(state.run_end_ms[i], now + 1)", "end = max(state.run_end_ms[i], now)"),
    "put-off-forgotten": (K, "if best.start_ms == best.earliest_ms else best.start_ms", "if True else 0"),
    "fit-too-short": ("profile.py", "times[at] < end:\n            if free", "times[at] < start + 1:\n            if free"),
    "reserve-too-long": ("profile.py", "while segment < length and times[segment] < end_ms", "while segment < length and times[segment] <= end_ms"),
    "release-one-early": ("claims.py", "while released + state.run_need[at] < missing:", "while released + 2 * state.run_need[at] < missing:"),
    "release-same-end": ("claims.py", "while at < last and state.run_end_ms[at] == end:", "while at < last and released < missing:"),
    "cordoned-open": ("planner.py", "columns=_with_open(columns, open_pools)", "columns=columns"),
    "new-not-dispatched": ("planner.py", "if kernels.bind(row, best, now_ms, tables.rules, state):", "if kernels.bind(row, best, now_ms, tables.rules, state) and False:"),
    "old-not-dispatched": ("planner.py", "for p in range(len(columns.pool_names)):\n        started", "for p in range(0):\n        started"),
    "put-off-restored-at-once": ("planner.py", "or entry.not_before_ms <= now_ms", "or True"),
    "wait-per-job-not-device": (K, "rules.wait_value * devices", "rules.wait_value"),
    "deadline-job-pays-for-waiting": (K, "0.0 if jobs.deadline_ms[j] >= 0 else rules", "rules"),
    "everybody-counts-as-ahead": (W, "if state.tail[p] > j:\n        ahead_milli = 0", "if False:\n        ahead_milli = 0"),
    "jumps-see-all-reservations": (W, "jumps = state.tail[p] > j", "jumps = False"),
    "easy-depth-off-by-one": (D, "while j >= 0 and looked < rules.depth and", "while j >= 0 and looked <= rules.depth and"),
    "easy-depth-counts-starters": (D, "starts = False\n        if need", "starts = False\n        looked += 1\n        if need"),
    "slow-pool-as-fast": (K, "int(asked_ms / pools.speed[p])", "asked_ms"),
    "contract-as-location": ("columns.py", 'method == "contract" and', 'method == "location" and'),
}  # fmt: skip
TESTS = (
    "test_placement_by_hand.py",
    "test_placement_ties.py",
    "test_placement.py",
    "test_claims.py",
)
ONLY = "placement_by_hand or placement_ties or equals_the_plain_twin or as_the_twin_sees_it or plain_list"
LONG_S = 300
RUN = f"""
import sys
ONLY = {ONLY!r}
from westward.jit import interpret
interpret()
import pytest
sys.exit(pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-k", ONLY, *sys.argv[1:]]))
"""


def survives(name: str, folder: Path) -> str:
    """'caught by <test>', 'SURVIVED' or 'DOES NOT APPLY'."""
    file, old, new = MUTATIONS[name]
    path = folder / "westward" / "placement" / file
    original = path.read_text()
    if old not in original:
        return "DOES NOT APPLY"
    path.write_text(original.replace(old, new, 1))
    verdict = play(folder)
    path.write_text(original)
    return verdict


def play(folder: Path) -> str:
    tests = [str(folder / "tests" / "properties" / test) for test in TESTS]
    env = {**os.environ, "PYTHONPATH": str(folder), "WESTWARD_NO_SHRINK": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUN, *tests], cwd=folder, env=env, capture_output=True,
            text=True, check=False, timeout=LONG_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "caught by never ending"
    if done.returncode == 0:
        return "SURVIVED"
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return f"caught by {failed[0].split('::')[-1].split(' - ')[0] if failed else 'a crash'}"


def main(names: list[str]) -> int:
    bad = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "westward", folder / "westward", ignore=ignore)
        for part in ("twin", "properties"):
            shutil.copytree(ROOT / "tests" / part, folder / "tests" / part, ignore=ignore)
        shutil.copy(ROOT / "pyproject.toml", folder)
        if (unbroken := play(folder)) != "SURVIVED":
            print(f"the planner as it is: {unbroken}; nothing can be shown")
            return 1
        for name in names or MUTATIONS:
            verdict = survives(name, folder)
            bad += not verdict.startswith("caught")
            print(f"{name:24} {verdict}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
