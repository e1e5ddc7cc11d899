"""``python -m tests.chaos.total FILE...``: adds the slices of chaos runs up, and says what was found.

Every line of the files is a slice, good or bad. Times of recovery are pooled, not averaged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.chaos.killer import KILLS
from tests.soak.measure import quantile

ALL = "all that were killed"


def total(slices: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Sums; by kind how often, and the 50th and 99th of a hundred recoveries, in seconds."""
    rows = list(slices)
    sums: Counter[str] = Counter()
    kills: Counter[str] = Counter()
    others: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    told: Counter[str] = Counter()
    trouble: Counter[str] = Counter()
    times: dict[str, list[list[float | None]]] = {}
    peaks: dict[str, int] = {}
    stands: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for name in ("jobs", "executions", "killed", "struck_s", "asked_again", "answers_lost"):
            sums[name] += row[name]
        made = f"{row['store']}, {row['servers']} server{'s' * (row['servers'] > 1)}"
        made += ", Slurm" if row.get("slurm") else ""
        stands[made]["slices"] += 1
        for name in ("jobs", "killed"):
            stands[made][name] += row[name]
        kills.update(row["kills"])
        others.update(row["others"])
        wrong.update(row["wrong_counts"])
        told.update(row["told"])
        trouble.update(row["trouble"])
        for kind, found in row["recovery"].items():
            times.setdefault(kind, []).extend(found)
            if kind in KILLS or kind in ("blackout-agent", "blackout-server"):
                times.setdefault(ALL, []).extend(found)
        for name, most in row["peaks"].items():
            peaks[name] = max(peaks.get(name, 0), most)
    recovery = {}
    for kind, found in sorted(times.items()):
        whole = [one[0] for one in found if one[0] is not None]
        healed = [one[1] for one in found if one[1] is not None]
        recovery[kind] = {
            "count": len(found),
            "never": len(found) - len(whole),
            "p50_s": round(quantile(whole, 0.5), 2),
            "p99_s": round(quantile(whole, 0.99), 2),
            "whole_p50_s": round(quantile(healed, 0.5), 2),
            "whole_p99_s": round(quantile(healed, 0.99), 2),
        }
    return {
        "slices": len(rows),
        "clean": sum(row["clean"] for row in rows),
        **{name: round(value, 1) for name, value in sums.items()},
        "stands": {name: dict(found) for name, found in sorted(stands.items())},
        "kills": dict(kills),
        "others": dict(others),
        "wrong": {name: count for name, count in wrong.items() if count},
        "told": dict(sorted(told.items())),
        "recovery": recovery,
        "peaks": peaks,
        "trouble": dict(trouble),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos.total", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    rows = [
        json.loads(line)
        for file in parser.parse_args().files
        for line in file.read_text().splitlines()
    ]
    found = total(rows)
    recovery = found.pop("recovery")
    print(json.dumps(found, indent=1))
    head = f"{'count':>6}{'unseen':>7}{'p50 s':>8}{'p99 s':>8}"
    print(f"{'hit, and what is waited for':<46}{head}   once whole: p50 s, p99 s")
    for kind, one in recovery.items():
        print(
            f"{kind:<46}{one['count']:>6}{one['never']:>7}{one['p50_s']:>8}{one['p99_s']:>8}"
            f"{one['whole_p50_s']:>11}{one['whole_p99_s']:>8}"
        )
    return 0 if found["clean"] == found["slices"] else 1


if __name__ == "__main__":
    sys.exit(main())
