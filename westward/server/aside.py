"""Jobs that could not be handled. One of them must not stop the work on all the others.

A job is set aside when planning or writing it raised: its story says so, the log holds the story
and the traceback, /healthz counts it. It is tried again after a pause that doubles, or as soon as
the job changes (its owner cancels it, say). Kept in memory: a new server tries everything anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

FIRST_PAUSE_MS = 30_000
MOST_PAUSE_MS = 3_600_000
PROBLEM_MOST_CHARS = 300
"""Of the error's first line, as shown to owners; the log has all of it."""

STORE_TROUBLE = (OperationalError, InterfaceError, InternalError)
"""Not the fault of any one job: disk full, database locked or gone, a transaction that the database
has ended."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Handling ``key`` (a job or a run id) failed at ``step``. ``version``: the job's, if known."""

    key: str
    step: str
    error: BaseException | str
    version: int | None = None

    @property
    def problem(self) -> str:
        """One line for people."""
        if isinstance(self.error, str):
            return " ".join(self.error.split())[:PROBLEM_MOST_CHARS]
        lines = str(self.error).splitlines()
        text = f"{type(self.error).__name__}: {lines[0]}" if lines else type(self.error).__name__
        return text[:PROBLEM_MOST_CHARS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What is known of one job or run that is left out for now."""

    key: str
    step: str
    problem: str
    at_ms: int
    again_ms: int
    times: int
    version: int | None


class SetAside:
    """Everything that is left out now, by id. Shared by all threads."""

    def __init__(self) -> None:
        self._asides: dict[tuple[str, str], Aside] = {}
        """By id and step."""
        self._lock = threading.Lock()

    def add(self, broken: Broken, now_ms: int) -> Aside | None:
        """None if that is known already and its pause is not over."""
        with self._lock:
            known = self._asides.get((broken.key, broken.step))
            if known is not None and now_ms < known.again_ms and known.version == broken.version:
                return None
            times = known.times + 1 if known is not None else 1
            pause_ms = min(MOST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** min(times - 1, 20))
            aside = Aside(
                key=broken.key,
                step=broken.step,
                problem=broken.problem,
                at_ms=now_ms,
                again_ms=now_ms + pause_ms,
                times=times,
                version=broken.version,
            )
            self._asides[broken.key, broken.step] = aside
            return aside

    def holds(
        self, key: str, now_ms: int, version: int | None = None, step: str | None = None
    ) -> bool:
        """Whether it is to be left out (of ``step``; None: at all) now: a pause is not over and
        it is what it was."""
        return any(
            now_ms < one.again_ms
            and (step is None or one.step == step)
            and (one.version is None or version is None or one.version == version)
            for one in self.of(key)
        )

    def settle(self, key: str) -> None:
        """It went through."""
        with self._lock:
            for known in [known for known in self._asides if known[0] == key]:
                del self._asides[known]

    def keep(self, versions: dict[str, int | None]) -> None:
        """Forget what is not in ``versions`` (the jobs that are not over) or has changed since;
        None: not known."""
        with self._lock:
            for key, aside in list(self._asides.items()):
                now = versions.get(aside.key, -1)
                if now == -1 or (None not in (now, aside.version) and now != aside.version):
                    del self._asides[key]

    def of(self, key: str) -> list[Aside]:
        """What is known of one job or run."""
        return [one for one in self.all() if one.key == key] if self._asides else []

    def all(self) -> list[Aside]:
        with self._lock:
            return sorted(self._asides.values(), key=lambda one: (one.at_ms, one.key, one.step))


def each_apart(
    work: Callable[[Sequence[T]], Sequence[R]],
    items: Sequence[T],
    failed: Callable[[T, Exception], None],
) -> list[R]:
    """``work(items)`` in one go; if that raises, item by item, and ``failed`` hears of each that
    raises alone. ``work`` writes all or nothing. Trouble with the store itself is raised."""
    if not items:
        return []
    try:
        return list(work(items))
    except STORE_TROUBLE:
        raise
    except Exception:
        done: list[R] = []
        for item in items:
            try:
                done.extend(work([item]))
            except STORE_TROUBLE:
                raise
            except Exception as error:
                failed(item, error)
        return done


def sound_part(items: Sequence[T], works: Callable[[Sequence[T]], bool]) -> list[T]:
    """The items, in order, without those with which ``works`` is false; tries halves, so k bad
    ones of n cost about k log n trials. ``works([])`` must be true."""

    def grow(good: list[T], more: Sequence[T]) -> list[T]:
        if not more or works([*good, *more]):
            return [*good, *more]
        if len(more) == 1:
            return good
        middle = len(more) // 2
        return grow(grow(good, more[:middle]), more[middle:])

    return grow([], items)
