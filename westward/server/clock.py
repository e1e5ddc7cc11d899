"""The time by which leases, deadlines and bills go: of one server, or of several that share a store."""

from __future__ import annotations

import time
from collections.abc import Callable


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def boot_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Clock:
    """UTC milliseconds that never jump: read from the wall once, then counted since boot.

    A wall clock set forward would otherwise end leases that the sites still hold.
    """

    def __init__(
        self,
        wall_ms: Callable[[], int] = wall_ms,
        boot_ms: Callable[[], int] = boot_ms,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._boot_ms = boot_ms
        self.elapsed_s = elapsed_s
        """For durations; its origin means nothing."""
        self._offset_ms = wall_ms() - boot_ms()
        self.started_ms = self.now_ms()

    def now_ms(self) -> int:
        return self._boot_ms() + self._offset_ms


class SharedClock(Clock):
    """The clock of servers that share a database: its wall clock, followed slowly.

    Leases are written by one server and ended by another, so they must count alike whatever their
    machines' clocks say. ``now_ms`` never goes back and is off in its rate by at most
    ``STEER_SHARE``, also when the database's wall clock is set.
    """

    STEER_SHARE = 0.005

    def __init__(self, now_ms: int, boot_ms: Callable[[], int] = boot_ms) -> None:
        self._boot_ms = boot_ms
        self._ahead_ms = float(now_ms - boot_ms())
        self._last_ms = now_ms
        self._steered_ms = boot_ms()
        self.off_ms = 0.0
        """By how much the database's clock was ahead when it was last looked at."""
        super().__init__(boot_ms=boot_ms)

    def now_ms(self) -> int:
        self._last_ms = max(self._last_ms, int(self._boot_ms() + self._ahead_ms))
        return self._last_ms

    def steer(self, told_ms: float, took_ms: float) -> None:
        """The database's clock, as of half of ``took_ms`` ago. What lies within is not known."""
        boot_ms = self._boot_ms()
        self.off_ms = told_ms + took_ms / 2 - (boot_ms + self._ahead_ms)
        most = (boot_ms - self._steered_ms) * self.STEER_SHARE
        self._steered_ms = boot_ms
        if abs(self.off_ms) > took_ms / 2:
            self._ahead_ms += max(-most, min(most, self.off_ms))
