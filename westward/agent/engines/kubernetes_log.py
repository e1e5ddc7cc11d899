"""One pod's output, followed through the API server in a thread of its own until the pod ends."""

from __future__ import annotations

import threading

from westward.agent.engines.kubernetes_link import KubernetesLink, Missing, Refused, Unreachable
from westward.agent.engines.processes import boot_ms
from westward.agent.engines.watched import WatchedRuns

RETRY_S = 1.0
OVERLAP_S = 5


class PodLog:
    """Appends to the run's log file. After a break it goes on behind the last line's time; after a
    restart of the agent behind the bytes that are in the file."""

    def __init__(self, runs: WatchedRuns, link: KubernetesLink, run_id: str, rank: int, pod: str):
        self.runs = runs
        self.link = link
        self.run_id = run_id
        self.rank = rank
        self.pod = pod
        self.last = ""
        self.last_at = 0
        self.skip = runs.log_size(run_id, rank)
        self.over = threading.Event()
        self._appending = threading.Lock()
        threading.Thread(target=self._follow, name=f"log of {pod}", daemon=True).start()

    def stop(self) -> None:
        """Nothing is appended after this: the next agent goes on behind what is in the file."""
        with self._appending:
            self.over.set()

    def _follow(self) -> None:
        while not self.over.is_set() and not self.runs.has_ended(self.run_id):
            try:
                self._stream()
            except (Unreachable, Refused):  # not served (yet), or broken off
                self.over.wait(RETRY_S)
            except Missing:
                self.over.set()
            else:
                self.over.set()

    def _stream(self) -> None:
        since_s = None
        if self.last:
            since_s = (boot_ms() - self.last_at) // 1000 + OVERLAP_S
        seen = self.last
        kept = b""
        for piece in self.link.log(self.pod, since_s):
            *lines, kept = (kept + piece).split(b"\n")
            if self.over.is_set():
                return
            for line in lines:
                self._line(line + b"\n", seen)
        if kept:
            self._line(kept, seen)

    def _line(self, line: bytes, seen: str) -> None:
        time, _, text = line.partition(b" ")
        stamp = _comparable(time.decode(errors="replace"))
        if seen and stamp <= seen:
            return
        self.last, self.last_at = stamp, boot_ms()
        known = min(self.skip, len(text))
        self.skip -= known
        with self._appending:
            if not self.over.is_set():
                self.runs.append_log(self.run_id, self.rank, text[known:])


def _comparable(stamp: str) -> str:
    """RFC 3339 with up to nine digits, trailing zeros left out: filled up, so that texts compare."""
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<9}"
