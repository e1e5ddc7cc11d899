"""``python -m tests.checker DIR NETWORK [WORKLOAD]``: every broken rule with its job's story."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.checker.check import check_folder
from tests.checker.workload import Reading

SHOWN = 20


def main(arguments: list[str] | None = None) -> int:
    """0 = no rule is broken, 1 = some are."""
    parser = argparse.ArgumentParser(prog="python -m tests.checker", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="of simulate --out")
    parser.add_argument("network", type=Path, metavar="NETWORK")
    parser.add_argument("workload", type=Path, nargs="?", metavar="WORKLOAD")
    parser.add_argument("--format", choices=("swf", "openb", "gaia", "table"))
    parser.add_argument("--processors", choices=("allocated", "requested"), default="allocated")
    parser.add_argument("--processors-as", choices=("devices", "cpus"), default="devices")
    parser.add_argument("--as-of", metavar="DATE")
    parser.add_argument("--show", type=int, default=SHOWN, help="violations told one by one")
    told = parser.parse_args(arguments)
    reading = None
    if told.format:
        reading = Reading(
            format=told.format, processors=told.processors, processors_as=told.processors_as
        )
    broken = 0
    for checked in check_folder(
        told.folder, told.network, told.workload, reading, as_of=told.as_of
    ):
        counts = Counter(violation.rule for violation in checked.violations)
        broken += len(checked.violations)
        verdict = ", ".join(f"{rule} {n}" for rule, n in sorted(counts.items())) or "no rule broken"
        print(f"{checked.label}: {checked.jobs} jobs: {verdict}")
        for note in checked.notes:
            print(f"  note: {note}")
        for violation in checked.violations[: told.show]:
            print(f"{violation.rule}: {violation.text}")
            if violation.row is not None:
                print(checked.case.story(violation.row))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
