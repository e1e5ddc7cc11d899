"""A progress bar on stderr, on a terminal only."""

from __future__ import annotations

import sys
import time

WIDTH = 30


class Progress:
    """Called with (done, all); one line rewritten, gone when the work is done."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began = time.monotonic()
        self._live = sys.stderr.isatty()
        self._length = 0

    def __call__(self, done: int, count: int) -> None:
        if not self._live:
            return
        share = done / count if count else 1.0
        spent = time.monotonic() - self._began
        left = f", {spent / share - spent:.0f} s left" if 0.02 < share < 1.0 else ""
        full = "#" * round(share * WIDTH)
        self._write(f"{self._title} [{full:<{WIDTH}}] {done:,} of {count:,} jobs{left}")

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
