"""The lease as it is read on a node: until when may the work go on, on this host's own clock.

Standard library only: this runs on the site's nodes, which need not have Westward.

The agent writes ``lease.json`` into the run's folder. On the agent's own machine (same boot id)
its ``boot_ms`` times are used as they stand. Any other host counts from a question of its own,
as the agent does with the server: it writes ``beats/RUN.WHO`` with a rising number and notes when, by
its own clock, it did so. The agent's next ``lease.json`` names the newest number it has seen and
how long the lease had left *then*. So the lease lasts at least that long from the moment the
number was written: whatever the two clocks say, and however late a shared file system shows the
files, the deadline read here comes before the true one, never after it.
"""

from __future__ import annotations

import json
import os

from westward.agent.engines.processes import boot_id, boot_ms, write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BEAT_MS = 1_000
BEATS_KEPT = 600
"""An answer to an older number than this many is not used: it could only shorten the lease."""


class LeaseWatch:
    """``who`` names this reader among those of the run: letters, digits."""

    def __init__(self, folder: str, who: str):
        self.folder = folder
        self.who = who
        run_id = os.path.basename(folder)
        self.question = os.path.join(folder, "..", "..", "beats", f"{run_id}.{who}")
        self.boot_id = boot_id()
        self.term_at: int | None = None
        self.kill_at = 0
        self.number = 0
        self.asked: dict[int, int] = {}
        """Number → boot_ms() just before it was written."""
        self.beat_at = 0

    def times(self) -> tuple[int, int] | None:
        """(TERM at, KILL at) on this host's ``boot_ms``; None before the first answer.

        A file that is missing or not whole changes nothing: the deadline known stands, and passes.
        """
        lease = _read(os.path.join(self.folder, "lease.json"))
        if lease is not None:
            self._take(lease)
        return None if self.term_at is None else (self.term_at, self.kill_at)

    def _take(self, lease: dict[str, Any]) -> None:
        if lease["boot_id"] == self.boot_id and not lease["always_ask"]:
            self.term_at, self.kill_at = int(lease["term_at"]), int(lease["kill_at"])
            return
        self._beat()
        asked = self.asked.get(lease["seen"].get(self.who, -1))
        if asked is not None:
            self.term_at = asked + int(lease["term_in_ms"])
            self.kill_at = asked + int(lease["kill_in_ms"])

    def _beat(self) -> None:
        now = boot_ms()
        if self.number and now < self.beat_at + BEAT_MS:
            return
        self.number += 1
        self.beat_at = now
        self.asked[self.number] = now
        self.asked.pop(self.number - BEATS_KEPT, None)
        try:
            write_atomic(self.question, str(self.number))
        except OSError:  # disk full: this number was never asked
            del self.asked[self.number]


def _read(path: str) -> dict[str, Any] | None:
    """None also where a shared file system answers with an error: asked again soon."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
