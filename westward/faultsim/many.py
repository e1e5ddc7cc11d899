"""Many seeds, in one process or several; what they injected and found, added up."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from westward.faultsim.disk import Disk
from westward.faultsim.scenario import draw
from westward.faultsim.world import Verdict, World

CHUNK = 10
"""Seeds handed to a worker at once."""
COLLECT_EVERY = 5
"""Worlds between two collections: a killed process is a heap of circles, some 20 MB a world."""


@dataclass(slots=True)
class Totals:
    """``seeds``: played so far. ``failed``: verdicts with a broken rule, by seed."""

    seeds: int = 0
    jobs: int = 0
    runs: int = 0
    commits: int = 0
    looks: int = 0
    virtual_ms: int = 0
    seconds: float = 0.0
    injected: Counter[str] = field(default_factory=Counter)
    failed: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        self.seeds += 1
        self.jobs += verdict.jobs
        self.runs += verdict.runs
        self.commits += verdict.commits
        self.looks += verdict.looks
        self.virtual_ms += verdict.virtual_ms
        self.injected.update(verdict.injected or {})
        if verdict.rule:
            self.failed.append(verdict)

    @property
    def per_minute(self) -> float:
        return 60 * self.seeds / self.seconds if self.seconds else 0.0


class Player:
    """Keeps what is costly to make: the engine with its compiled statements."""

    def __init__(self) -> None:
        self.disk = Disk()
        self._played = 0

    def play(self, seed: int, ablate: tuple[str, ...] = ()) -> Verdict:
        self._played += 1
        if self._played % COLLECT_EVERY == 0:
            gc.collect()
        return World(draw(seed, ablate), self.disk).play()


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Python's own collections would take a tenth of the time."""
    had = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if had:
            gc.enable()


def play_many(seeds: Sequence[int], ablate: tuple[str, ...], workers: int) -> Iterator[Verdict]:
    """Verdicts as they come; with several workers not in the order of their seeds."""
    with rarely_collected():
        if workers <= 1:
            player = Player()
            for seed in seeds:
                yield player.play(seed, ablate)
            return
        chunks = [(tuple(seeds[at : at + CHUNK]), ablate) for at in range(0, len(seeds), CHUNK)]
        context = multiprocessing.get_context("spawn")
        with context.Pool(workers, initializer=_begin) as pool:
            for verdicts in pool.imap_unordered(_chunk, chunks):
                yield from verdicts


_PLAYER: list[Player] = []


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops all
    gc.freeze()
    gc.disable()
    _PLAYER.append(Player())


def _chunk(asked: tuple[tuple[int, ...], tuple[str, ...]]) -> list[Verdict]:
    seeds, ablate = asked
    return [_PLAYER[0].play(seed, ablate) for seed in seeds]


def total(
    seeds: Sequence[int], ablate: tuple[str, ...] = (), workers: int = 1, *, stop_at_first: bool
) -> Iterator[Totals]:
    """The sums after every seed; the same object each time."""
    sums = Totals()
    began = time.perf_counter()
    for verdict in play_many(seeds, ablate, workers):
        sums.add(verdict)
        sums.seconds = time.perf_counter() - began
        yield sums
        if stop_at_first and sums.failed:
            return
