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
sys.path.insert(0, str(ROOT))

from tests.twin import mutations_loop  # noqa: E402
from tests.twin.mutations_loop import Suite  # noqa: E402

K, W, D, P, C = "kernels.py", "waiting.py", "dispatch.py", "pricing.py", "classes.py"
MUTATIONS: dict[str, tuple[str, str, str]] = {
    "tie-later-start": (K, "this.start_ms < best.start_ms", "this.start_ms > best.start_ms"),
    "tie-by-noise": (K, "candidate < best_value - TIE * abs(best_value) - noise", "candidate < best_value"),
    "first-not-cheapest": (K, "or value < lowest - slack", "or value < -1e300"),
    "forget-deadline": (K, "last = min(last, earliest + slack)", "last = last"),
    "deadline-by-start": (K, "slack = jobs.deadline_ms[j] - duration - earliest", "slack = jobs.deadline_ms[j] - earliest"),
    "no-reserve-of-slack": (K, "slack -= slack * rules.reserve_percent // 100", "slack -= 0"),
    "reserve-of-slack-always": (K, "if rules.conservative == 0 and slack > 0:", "if slack > 0:"),
    "forget-transfer-price": (K, "price += paid", "price += 0.0"),
    "forget-transfer-time": (K, "at = arrival\n        price", "price"),
    "dearest-copy": (K, "if price * gb < best_price or", "if price * gb > best_price or"),
    "forget-start-after": (K, "max(arrival, jobs.start_after_ms[j])", "arrival"),
    "forget-pue-or-power": (P, "kw = devices * pools.kw[p]\n    zone", "kw = devices\n    zone"),
    "table-forgets-power": ("columns.py", "rate[p] = price + powers", "rate[p] = price + 0 * powers"),
    "table-forgets-carbon": ("columns.py", "rate[p] += weights", "rate[p] += 0 * weights"),
    "wrong-prefix": (P, "low = prefix[i] + (prefix[i + 1]", "low = prefix[i] + (prefix[i]"),
    "wrong-period": (P, "(to_turn - from_turn) * prefix[steps]", "(to_turn - from_turn) * 0.0"),
    "wrong-step-of-the-table": (P, "total -= costs.prefix[p, i] +", "total -= costs.prefix[p, i + 1] +"),
    "least-too-high": ("columns.py", "least[p] = price + power.min()", "least[p] = price + power.max()"),
    "bound-too-low": (K, "bound = min(bound, lowest + 2 * TIE * abs(lowest)", "bound = min(bound, 0.9 * lowest"),
    "limit-too-early": (K, "int((bound - floor) * asks.patience) + 2", "int((bound - floor) * asks.patience / 2)"),
    "walk-stops-early": ("claims.py", "if state.dir_end_ms[slot] > limit_ms:", "if state.dir_end_ms[slot] > limit_ms // 2:"),
    "forget-hourly-cap": (K, "if not capped or (", "if True or ("),
    "need-not-dominant": (C, "if memory > 0:", "if memory < 0:"),
    "gang-of-one": (C, "return o, node_need * nodes", "return o, node_need"),
    "gang-too-large-fits": (C, "// node_need) < nodes:", "// node_need) < 1:"),
    "easy-forget-extra": (D, "starts = need <= extra", "starts = True"),
    "easy-extra-not-spent": (D, "extra -= need\n        if starts", "extra -= 0\n        if starts"),
    "easy-shadow-strict": (D, "now + duration > shadow", "now + duration >= shadow"),
    "easy-shadow-kept-too-long": (D, "if state.shadow_job[p] != j:", "if state.shadow_job[p] < 0:"),
    "easy-no-backfill": (D, "while looked < rules.depth and", "while looked < 0 and"),
    "easy-depth-off-by-one": (D, "while looked < rules.depth and", "while looked <= rules.depth and"),
    "easy-depth-counts-starters": (D, "free -= need\n            if looked < 0:", "free -= need\n            looked += 1 if looked >= 0 else 0\n            if looked < 0:"),
    "head-gone-shadow-stays": (D, "if looked < 0:\n                state.shadow_job[p] = -1", "if False:\n                state.shadow_job[p] = -1"),
    "window-forgets-the-list": (D, "if count < state.queued_count[p]:", "if False:"),
    "window-keeps-who-started": ("window.py", "close_gap(p, at, at + 1, count, state)", "count"),
    "window-joins-at-the-end": ("window.py", "at = count - 1\n            while", "at = count\n            while False and"),
    "window-gap-stays": ("window.py", "    if to == source:\n        return count", "    return count"),
    "leap-too-far": ("claims.py", "if more >= missing or state.dir_end_ms[slot + LEAP - 1]", "if released >= missing or state.dir_end_ms[slot + LEAP - 1]"),
    "leap-within-too-far": ("claims.py", "if released + (first + second) >= missing:", "if released >= missing:"),
    "newcomer-passes-anyway": (D, "if need > state.shadow_extra[p]:\n                return started", "if False:\n                return started"),
    "newcomer-spends-nothing": (D, "state.shadow_extra[p] -= need", "state.shadow_extra[p] -= 0"),
    "newcomer-beyond-the-depth": (D, "or state.queued_count[p] - 2 >= rules.depth", "or False"),
    "queue-backwards": (W, "while after >= 0 and jobs.order[after] > rank:", "while after >= 0:"),
    "overrun-free-now": (W, "end = max(state.run_end_ms[i], now + 1)", "end = max(state.run_end_ms[i], now)"),
    "overdue-by-one": ("../model/plan.py", "length *= 2", "length += length // 2 + 1"),
    "put-off-forgotten": (K, "if best.start_ms == best.earliest_ms else best.start_ms", "if True else 0"),
    "later-tie-by-noise": (P, "lowest = value - TIE * abs(value) - slack\n    at_ms", "lowest = value\n    at_ms"),
    "later-waits-for-nothing": (P, "candidate = base + waited + devices * total", "candidate = base + devices * total"),
    "later-end-of-the-step-before": (P, "costs.prefix[p, k + length + 1] - low) * part", "costs.prefix[p, k + length + 1] - low) * 0.0"),
    "later-beyond-the-table": (P, "count = min(\n        (until_ms - first_ms) // rules.defer_step_ms,", "count = max(\n        (until_ms - first_ms) // rules.defer_step_ms,"),
    "later-one-too-few": (P, "for _ in range(count + 1):", "for _ in range(count):"),
    "fit-too-short": ("profile.py", "times[at] < start + duration_ms:\n        at", "times[at] < start + 1:\n        at"),
    "run-of-starts-too-long": ("profile.py", "return start, times[at] - duration_ms", "return start, times[at] - 1"),
    "run-of-starts-for-ever": (K, "elif boundary > until:", "elif False:"),
    "later-run-too-early": ("profile.py", "            start = times[at + 1]\n        at", "        at"),
    "queue-beyond-the-depth-ignored": (W, "if sums[p, DUE] >= rules.depth:\n        held", "if False:\n        held"),
    "put-off-count-towards-the-depth": (W, "place = sums[p, PUT_OFF]", "place = sums[p, DUE] + sums[p, PUT_OFF]"),
    "put-off-reserve-without-end": (W, "place = sums[p, PUT_OFF]", "place = 0 * sums[p, PUT_OFF]"),
    "put-off-hold-up-those-beyond": (W, "    if not_before > now:\n", "    if False:\n"),
    "due-now-profile-stays": (W, "or state.profile_sums[p, NEXT_DUE_MS] <= now", "or False"),
    "put-off-told-as-ahead": ("rows.py", "and queued and state.job_not_before_ms[j] <= now:", "and queued:"),
    "reserve-too-long": ("profile.py", "while segment < length and times[segment] < end_ms", "while segment < length and times[segment] <= end_ms"),
    "release-one-early": ("claims.py", "while released + state.run_need[at] < missing:", "while released + 2 * state.run_need[at] < missing:"),
    "release-same-end": ("claims.py", "while at < last and state.run_end_ms[at] == end:", "while at < last and released < missing:"),
    "cordoned-open": ("planner.py", "_replace(open=open_pools, cover=cover)", "_replace(cover=cover)"),
    "wait-per-job-not-device": (K, "rules.wait_value * devices", "rules.wait_value"),
    "deadline-job-pays-for-waiting": (K, "0.0 if jobs.deadline_ms[j] >= 0 else rules", "rules"),
    "everybody-counts-as-ahead": (W, "jobs.order[state.tail[p]] > rank:\n        ahead_milli = 0", "False:\n        ahead_milli = 0"),
    "jumps-see-all-reservations": (W, "jumps = state.tail[p] >= 0 and jobs.order[state.tail[p]] > rank", "jumps = False"),
    "exact-fit-passed-over": (D, "state.window_need[p, i] > free:", "state.window_need[p, i] >= free:"),
    "claims-of-one-end-unsorted": ("claims.py", "goes_on = state.run_job[state.dir_block[base + middle] * BLOCK] <= job", "goes_on = False"),
    "slow-pool-as-fast": (K, "int(asked_ms / speed)", "asked_ms"),
    "handed-over-at-the-better-hour": (K, "else best.start_ms - wait_ms", "else best.start_ms"),
    "no-place-held-while-it-waits-there": (K, "= wait_ms + best.duration_ms", "= best.duration_ms"),
    "data-come-while-it-waits-there": (K, "boundary = ready + site_wait(p, need, state)", "boundary = ready"),
    "site-wait-not-reserved": (W, "            duration + wait_ms,\n            ready,", "            duration,\n            ready,"),
    "site-wait-not-reserved-later": (W, "        duration + wait_ms,\n        ready - wait_ms,", "        duration,\n        ready - wait_ms,"),
    "fits-later-but-for-the-site": (W, "return start + wait_ms, until + wait_ms", "return start + wait_ms, until + 4 * wait_ms"),
    "waits-for-capacity-alone": ("rows.py", "return max(expected, not_before) + wait_ms", "return max(expected, not_before)"),
    "reservation-is-the-start": ("rows.py", "return max(reserved, now) + wait_ms", "return max(reserved, now)"),
    "starts-as-it-is-handed-over": ("rows.py", "start = now + wait_ms", "start = now"),
    "pays-for-waiting-there": ("rows.py", "duration = held_ms - wait_ms", "duration = held_ms"),
    "contract-as-location": ("columns.py", 'method == "contract" and', 'method == "location" and'),
}  # fmt: skip
PLANNER = Suite(
    (
        "properties/test_fits.py",
        "properties/test_placement_by_hand.py",
        "properties/test_placement_ties.py",
        "properties/test_placement.py",
        "properties/test_claims.py",
        "parity/test_loop_equals_plan.py",
        "parity/test_pruning.py",
    ),
    "placement_by_hand or placement_ties or equals_the_plain_twin or as_the_twin_sees_it"
    " or test_fits or plain_list or more_seeds or (every_candidate and 1200)",
)
EXAMPLES = "1200"
LONG_S = 300
RUN = """
import sys
from westward.jit import interpret
interpret()
import pytest
sys.exit(pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def every_mutation() -> dict[str, tuple[Suite, str, str, str]]:
    """Name → tests, file below westward/, text, what stands there in its place."""
    found = {
        name: (PLANNER, f"placement/{file}", old, new)
        for name, (file, old, new) in MUTATIONS.items()
    }
    for name, (suite, file, old, new) in mutations_loop.MUTATIONS.items():
        found[name] = (mutations_loop.SUITES[suite], file, old, new)
    return found


def survives(mutation: tuple[Suite, str, str, str], folder: Path) -> str:
    """'caught by <test>', 'SURVIVED' or 'DOES NOT APPLY'."""
    suite, file, old, new = mutation
    path = folder / "westward" / file
    original = path.read_text()
    if old not in original:
        return "DOES NOT APPLY"
    path.write_text(original.replace(old, new, 1))
    verdict = play(suite, folder)
    path.write_text(original)
    return verdict


def play(suite: Suite, folder: Path) -> str:
    tests = [str(folder / "tests" / test) for test in suite.files]
    if suite.only:
        tests += ["-k", suite.only]
    env = {"WESTWARD_EXAMPLES": EXAMPLES, **os.environ}
    env |= {"PYTHONPATH": str(folder), "WESTWARD_NO_SHRINK": "1"}
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
        parts = (
            "tests/twin",
            "tests/properties",
            "tests/parity",
            "tests/unit",
            "tests/stories",
            "tests/engines_up",
            "tests/checker",
            "networks",
        )
        for part in parts:
            shutil.copytree(ROOT / part, folder / part, ignore=ignore)
        shutil.copy(ROOT / "tests/databases.py", folder / "tests")
        shutil.copy(ROOT / "pyproject.toml", folder)
        every = every_mutation()
        if unknown := [name for name in names if name not in every]:
            print(f"no such mutation: {', '.join(unknown)}")
            return 2
        sound: set[Suite] = set()
        for name in names or every:
            suite = every[name][0]
            if suite not in sound and (unbroken := play(suite, folder)) != "SURVIVED":
                print(f"{', '.join(suite.files)} as they are: {unbroken}; nothing can be shown")
                return 1
            sound.add(suite)
            verdict = survives(every[name], folder)
            bad += not verdict.startswith("caught")
            print(f"{name:34} {verdict}", flush=True)
        print(f"{len(names or every) - bad} of {len(names or every)} caught")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
