"""What was played, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Counts:
    """What was played, of one world or of several."""

    jobs: int = 0
    runs: int = 0
    commits: int = 0
    looks: int = 0
    """Of the rules at the server's rows."""
    virtual_ms: int = 0
    cpu_s: float = 0.0
    """CPU time of the worlds alone; set by who measures."""
    injected: dict[str, int] = field(default_factory=dict)
    """By kind of fault."""

    def count(self, more: Counts) -> None:
        self.jobs += more.jobs
        self.runs += more.runs
        self.commits += more.commits
        self.looks += more.looks
        self.virtual_ms += more.virtual_ms
        self.cpu_s += more.cpu_s
        for kind, times in more.injected.items():
            self.injected[kind] = self.injected.get(kind, 0) + times


@dataclass(slots=True, kw_only=True)
class Verdict(Counts):
    """What became of a world. ``rule`` empty: nothing was broken."""

    seed: int
    rule: str = ""
    text: str = ""
    trace: str = ""
    """Digest of everything that happened, in its order."""
