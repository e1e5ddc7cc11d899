"""One task of an array: word statistics over a share of the text installed packages ship.

Rank r of n takes every n-th file, reads the documentation strings, counts words and scores
pairs of neighbours by pointwise mutual information. Writes words-RANK.json into the working
directory. Exit code 1 if the share holds too little text.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
import sys
import time
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy
import sklearn

PACKAGES = (numpy, sklearn)
WORD = re.compile(r"[a-z][a-z'-]+")
MIN_PAIR_COUNT = 12
MIN_WORDS = 1_000


def files() -> list[Path]:
    """All text-bearing files of the packages, in an order every rank agrees on."""
    roots = [Path(str(package.__file__)).parent for package in PACKAGES]
    return sorted(
        path for root in roots for path in root.rglob("*") if path.suffix in (".py", ".rst")
    )


def texts(path: Path) -> list[str]:
    """A page as it is; of a source file its documentation strings."""
    source = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".rst":
        return [source]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return []
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, holders))
    return [text for text in found if text]


def main() -> int:
    rank = int(os.environ.get("SKYPILOT_NODE_RANK", "0"))
    ranks = int(os.environ.get("SKYPILOT_NUM_NODES", "1"))
    started = time.perf_counter()
    words: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    mine = files()[rank::ranks]
    for number, path in enumerate(mine, start=1):
        for text in texts(path):
            found = WORD.findall(text.lower())
            words.update(found)
            pairs.update(pairwise(found))
        if number % 200 == 0:
            print(f"rank {rank}: {number} of {len(mine)} files, {words.total()} words", flush=True)

    total, pair_total = words.total(), pairs.total()
    scored = [
        (math.log2(count * total * total / (pair_total * words[a] * words[b])), a, b, count)
        for (a, b), count in pairs.items()
        if count >= MIN_PAIR_COUNT
    ]
    scored.sort(key=lambda item: (-item[0], item[1], item[2]))
    result = {
        "rank": rank,
        "ranks": ranks,
        "files": len(mine),
        "words": total,
        "different_words": len(words),
        "seconds": round(time.perf_counter() - started, 3),
        "most_frequent": words.most_common(50),
        "collocations": [
            {"pair": f"{a} {b}", "count": count, "bits": round(bits, 3)}
            for bits, a, b, count in scored[:50]
        ],
    }
    Path(f"words-{rank}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"rank {rank} of {ranks}: {total} words, {len(words)} different, in {len(mine)} files")
    return 0 if total >= MIN_WORDS else 1


if __name__ == "__main__":
    sys.exit(main())
