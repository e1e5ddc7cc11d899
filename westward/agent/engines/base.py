"""What an engine must be able to do for the agent. One engine starts, holds and ends runs.

Methods are synchronous and short; they may be repeated safely. ``look``, ``read_log``,
``readings`` and ``ranks`` are called from the agent's own loop, four times a second for each run,
and must not wait for anything: an engine that has to ask somebody does so in a thread of its own.
A status that cannot be determined is ``unknown``, never success.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, cast, get_args

from westward.model.offer import DiscoveredPool as DiscoveredPool
from westward.model.wire import Grant, HeldRun, Outcome, Reading

STOP_SHARE = 0.8
"""After this share of the lease without renewal the work is asked to stop (TERM) …"""
KILL_SHARE = 0.9
"""… and after this share it is killed, so that nothing of it lives when the lease ends."""


class RunStatus(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"
    """The engine cannot say now (its controller does not answer). Asked again; nothing is done."""
    VANISHED = "vanished"
    """What watched over the run is gone for good: ``clean`` ends what is left of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """When the engine must stop by itself, on the site's ``boot_ms`` clock."""

    term_at: int
    kill_at: int


def lease_times(asked_ms: int, ttl_ms: int) -> LeaseTimes:
    """``asked_ms`` is the ``boot_ms`` just before the request was sent whose answer gave ``ttl_ms``."""
    return LeaseTimes(
        term_at=asked_ms + round(ttl_ms * STOP_SHARE), kill_at=asked_ms + round(ttl_ms * KILL_SHARE)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended. ``exit_code``: first non-zero of the ranks, negative = that signal."""

    outcome: Outcome
    exit_code: int | None
    detail: str


def read_result(noted: Mapping[str, Any]) -> RunResult:
    """How a run ended, out of a file or a message that says so."""
    return RunResult(
        outcome=cast(Outcome, noted["outcome"]),
        exit_code=noted["exit_code"],
        detail=str(noted["detail"]),
    )


def result_noted(noted: Mapping[str, Any] | None) -> RunResult | None:
    """As ``read_result``, of a file in the run's own folder, which the run's job may have written
    where nothing confines it: None where it is not there, or not as a supervisor writes it."""
    if noted is None or not {"outcome", "exit_code", "detail"} <= noted.keys():
        return None
    code = noted["exit_code"]
    if noted["outcome"] not in get_args(Outcome) or not isinstance(code, int | None):
        return None
    return read_result(noted)


def whole_number(noted: Mapping[str, Any] | None, name: str) -> int | None:
    """Of such a file."""
    value = None if noted is None else noted.get(name)
    return value if isinstance(value, int) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What the engine knows of a run now. ``engine_state`` is the engine's own word for it."""

    status: RunStatus
    started: bool
    result: RunResult | None
    engine_state: str
    started_ago_ms: int = 0


class AlreadyStarted(Exception):
    """This run id was started here before; it is never started twice."""


class Engine(Protocol):
    def start(self, grant: Grant, lease: LeaseTimes) -> None:
        """Begin a run. Raises AlreadyStarted; OSError when the site cannot hold it."""

    def extend(self, run_id: str, lease: LeaseTimes) -> None:
        """The lease was renewed. Unknown runs are ignored."""

    def stop(self, run_id: str, outcome: Outcome) -> None:
        """Ask a run to end with this outcome; returns before it has. Safe to repeat."""

    def look(self, run_id: str) -> RunView:
        """The run's state now."""

    def clean(self, run_id: str, detail: str) -> None:
        """End a vanished run: kill what is left of it and note it as not ended by itself."""

    def read_log(self, run_id: str, rank: int, offset: int, most: int) -> bytes:
        """Up to ``most`` bytes of a rank's output."""

    def readings(self, run_id: str, after: int) -> tuple[Reading, ...]:
        """Metered intervals with a sequence number above ``after``."""

    def ranks(self, run_id: str) -> int:
        """How many ranks the run has."""

    def forget(self, run_id: str) -> None:
        """The server has acknowledged the end; ``recover`` no longer lists the run."""

    def recover(self) -> tuple[HeldRun, ...]:
        """Every run that was started and not forgotten, also by an earlier agent process."""

    def discover(self) -> tuple[DiscoveredPool, ...]:
        """What the engine finds at the site now. OSError when it cannot be asked."""

    def wake_fd(self) -> int | None:
        """Readable when some run has news (opened non-blocking, drained by the agent); None = the
        engine cannot tell, and the agent looks at its runs by the clock alone."""

    def close(self) -> None:
        """Let go of what this object holds; runs go on."""
