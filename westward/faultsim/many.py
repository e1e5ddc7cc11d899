"""Many seeds, in one process or several; what they injected and found, added up."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice

from westward.faultsim.disk import Disk
from westward.faultsim.scenario import draw
from westward.faultsim.verdicts import Counts, Verdict
from westward.faultsim.world import World

AHEAD = 3
"""Worlds handed out for each worker: the one it plays, and what it goes on with."""
COLLECT_EVERY = 5
"""Worlds between two collections: a killed process is a heap of circles, some 20 MB a world."""


@dataclass(slots=True, kw_only=True)
class Totals(Counts):
    """``seeds``: played so far. ``failed``: verdicts with a broken rule, by seed."""

    seeds: int = 0
    seconds: float = 0.0
    failed: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        self.seeds += 1
        self.count(verdict)
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
        began = time.process_time()
        self._played += 1
        if self._played % COLLECT_EVERY == 0:
            gc.collect()
        verdict = World(draw(seed, ablate), self.disk).play()
        verdict.cpu_s = time.process_time() - began
        return verdict


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


def play_many(
    seeds: Sequence[int],
    ablate: tuple[str, ...],
    workers: int,
    stopping: Callable[[], bool] = lambda: False,
) -> Generator[Verdict, None, None]:
    """Verdicts as they come; with several workers not in the order of their seeds. An error in a
    worker, or its death, is raised here. ``stopping``: no other world is begun."""
    if workers <= 1:
        with rarely_collected():
            player = Player()
            for seed in seeds:
                if stopping():
                    return
                yield player.play(seed, ablate)
        return
    context = multiprocessing.get_context("spawn")
    left = iter(seeds)
    with ProcessPoolExecutor(workers, context, initializer=_begin) as pool:
        asked: set[Future[Verdict]] = set()
        try:
            while True:
                if stopping():  # what is handed out already is played
                    left = iter(())
                for seed in islice(left, workers * AHEAD - len(asked)):
                    asked.add(pool.submit(_play, seed, ablate))
                if not asked:
                    return
                done, asked = wait(asked, return_when=FIRST_COMPLETED)
                for one in sorted(done, key=lambda one: one.result().seed):
                    yield one.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_PLAYER: list[Player] = []


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops all
    gc.freeze()
    gc.disable()
    _PLAYER.append(Player())


def _play(seed: int, ablate: tuple[str, ...]) -> Verdict:
    return _PLAYER[0].play(seed, ablate)


def total(
    seeds: Sequence[int], ablate: tuple[str, ...] = (), workers: int = 1, *, stop_at_first: bool,
    told: Callable[[Verdict], None] = lambda _verdict: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Totals]:  # fmt: skip
    """The sums after every seed; the same object each time. ``told``: of every verdict.
    ``stopping``: asked between worlds."""
    sums = Totals()
    began = time.perf_counter()
    with closing(play_many(seeds, ablate, workers, stopping)) as verdicts:
        for verdict in verdicts:
            sums.add(verdict)
            sums.seconds = time.perf_counter() - began
            told(verdict)
            yield sums
            if stop_at_first and sums.failed:
                return
