"""A progress bar on stderr, on a terminal only; long work may tell a log of its progress too."""

from __future__ import annotations

import sys
import time

WIDTH = 30
TOLD_EVERY_S = 60.0


class Progress:
    """Called with (done, all); one line rewritten, gone when the work is done."""

    def __init__(self, title: str, things: str = "jobs", *, minutes: bool = False) -> None:
        """``minutes``: where there is no terminal, a line a minute."""
        self._title = title
        self._things = things
        self._minutes = minutes
        self._began = self._told = time.monotonic()
        self._live = sys.stderr.isatty()
        self._length = 0

    def __call__(self, done: int, count: int) -> None:
        now = time.monotonic()
        if not self._live and (not self._minutes or now - self._told < TOLD_EVERY_S):
            return
        share = done / count if count else 1.0
        spent = now - self._began
        left = f", {spent / share - spent:.0f} s left" if 0.02 < share < 1.0 else ""
        told = f"{done:,} of {count:,} {self._things}{left}"
        if not self._live:
            self._told = now
            print(told, file=sys.stderr, flush=True)
            return
        full = "#" * round(share * WIDTH)
        self._write(f"{self._title} [{full:<{WIDTH}}] {told}")

    def close(self) -> None:
        if self._live:
            self._write("")
            print("\r", end="", file=sys.stderr, flush=True)

    def _write(self, text: str) -> None:
        print(f"\r{text.ljust(self._length)}", end="", file=sys.stderr, flush=True)
        self._length = len(text)


class Notes:
    """Called with the name of what is being written; a line like the bar's."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def __call__(self, name: str) -> None:
        if self._live:
            print(f"\rwriting {name}".ljust(60), end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._live:
            print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)
