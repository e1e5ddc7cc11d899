"""``python verify.py FRESH.json``: the recorded answers against SkyPilot's of now. Exit 1 if any
differ; texts of errors may change from version to version, what is refused may not."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(path: str) -> int:
    recorded = json.loads((Path(__file__).parent / "recorded.json").read_text(encoding="utf-8"))
    fresh = json.loads(Path(path).read_text(encoding="utf-8"))
    wrong = 0
    for case in sorted({*recorded["answers"], *fresh["answers"]}):
        old, new = (_plain(one["answers"].get(case)) for one in (recorded, fresh))
        if old != new:
            wrong += 1
            print(f"{case}: recorded {old}, SkyPilot says {new}")
    print(f"{len(fresh['answers'])} files asked of SkyPilot {fresh['skypilot']}: {wrong} differ")
    return 1 if wrong else 0


def _plain(answer: object) -> object:
    return "refused" if isinstance(answer, dict) and "refused" in answer else answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
