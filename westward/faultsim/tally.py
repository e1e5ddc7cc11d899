"""What was played, kept in a file while it is played: which seeds, on which code, what they held,
what was injected, what failed.

A part for each state of the code (and for each set of protections taken away). The file is replaced
whole every few seconds and at the end; seeds that it holds of the same code are not played again.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from westward import __version__
from westward.faultsim.verdicts import Counts, Verdict

SAVE_EVERY_S = 5.0


@dataclass(slots=True, kw_only=True)
class Part(Counts):
    """Of one state of the code. ``seeds``: ranges [first, last + 1), ascending, apart."""

    code: str
    ablated: list[str] = field(default_factory=list)
    seeds: list[list[int]] = field(default_factory=list)
    worlds: int = 0
    wall_s: float = 0.0
    """With all workers together, as long as somebody waited."""
    failed: list[dict[str, Any]] = field(default_factory=list)

    def holds(self, seed: int) -> bool:
        at = bisect_right(self.seeds, seed, key=lambda one: one[0]) - 1
        return at >= 0 and seed < self.seeds[at][1]

    def note(self, seed: int) -> None:
        ranges = self.seeds
        at = bisect_right(ranges, seed, key=lambda one: one[0])
        before = at > 0 and ranges[at - 1][1] == seed
        after = at < len(ranges) and ranges[at][0] == seed + 1
        if before and after:
            ranges[at - 1][1] = ranges.pop(at)[1]
        elif before:
            ranges[at - 1][1] = seed + 1
        elif after:
            ranges[at][0] = seed
        else:
            ranges.insert(at, [seed, seed + 1])

    def add(self, verdict: Verdict) -> None:
        self.note(verdict.seed)
        self.worlds += 1
        self.count(verdict)
        if verdict.rule:
            found = {"seed": verdict.seed, "rule": verdict.rule, "text": verdict.text}
            self.failed.append(found)


class Tally:
    """A file, and the part of it that is added to. Raises ValueError, OSError."""

    def __init__(self, path: Path, code: str, ablated: Sequence[str]) -> None:
        self.path = path
        self.parts = _load(path) if path.exists() else []
        names = sorted(ablated)
        found = [one for one in self.parts if (one.code, one.ablated) == (code, names)]
        if not found:
            found = [Part(code=code, ablated=names)]
            self.parts += found
        self.part = found[0]
        self._had_s = self.part.wall_s
        self._began = self._saved = time.monotonic()
        self.save()  # better now than after an hour

    def left(self, seeds: Iterable[int]) -> list[int]:
        return [seed for seed in seeds if not self.part.holds(seed)]

    def add(self, verdict: Verdict) -> None:
        self.part.add(verdict)
        if time.monotonic() - self._saved >= SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        self._saved = time.monotonic()
        self.part.wall_s = round(self._had_s + self._saved - self._began, 1)
        self.part.injected = dict(sorted(self.part.injected.items()))
        text = json.dumps({"parts": [asdict(one) for one in self.parts]}, indent=1)
        made = self.path.with_name(self.path.name + ".new")
        with made.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        made.replace(self.path)


def _load(path: Path) -> list[Part]:
    try:
        return [Part(**one) for one in json.loads(path.read_text(encoding="utf-8"))["parts"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a tally ({error})") from None


def code_of() -> str:
    """Which code is played: the commit, with ``+changes`` if files were changed since; else the
    version."""
    folder = Path(__file__).parents[1]

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    tracked = git("ls-files", "--error-unmatch", "__init__.py")
    commit = git("rev-parse", "HEAD") if tracked else None
    if commit is None:
        return __version__
    return commit + ("+changes" if git("status", "--porcelain", "--", ".") else "")
