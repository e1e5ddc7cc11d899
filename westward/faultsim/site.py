"""A site: its machine, its clock, and an engine that runs work on virtual time, and may lie.

The engine keeps the contract of ``agent.engines.base``: what it has begun outlives the agent, and
stops by itself when its lease is over on the site's own clock. Its lies are those that real ones
tell: it cannot say (``unknown``), what watched a run is gone (``vanished``), it notices an end late,
it lists a run again that was forgotten, and then tells its end otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Protocol

from westward.agent.engines.base import AlreadyStarted, LeaseTimes, RunResult, RunStatus, RunView
from westward.faultsim.loop import VirtualLoop
from westward.faultsim.scenario import JobPlan, SitePlan
from westward.model.offer import DiscoveredPool
from westward.model.wire import Grant, HeldRun, Outcome, Reading

US_PER_MS = 1_000


@dataclass(slots=True, eq=False)
class Piece:
    """One run as it truly is at the site."""

    grant: Grant
    plan: JobPlan
    lease: LeaseTimes
    need_milli: int
    site: str
    begun_us: int | None = None
    """When the work itself began."""
    over_us: int | None = None
    result: RunResult | None = None
    stopping: Outcome | None = None
    vanished: bool = False
    forgotten: bool = False
    shown_from_us: int = 0
    """The engine sees its end only then."""
    readings: list[Reading] = field(default_factory=list)
    metered_us: int = 0
    output: bytes = b""

    @property
    def alive(self) -> bool:
        return self.begun_us is not None and self.over_us is None


class Watcher(Protocol):
    """Who is told what truly happens."""

    def began(self, piece: Piece) -> None: ...

    def ended(self, piece: Piece) -> None: ...

    def injected(self, kind: str) -> None: ...


class SiteMachine:
    """Outlives its agents. ``dice`` are its own."""

    def __init__(
        self,
        plan: SitePlan,
        jobs: dict[str, JobPlan],
        loop: VirtualLoop,
        dice: random.Random,
        watcher: Watcher,
        reading_ms: int,
    ) -> None:
        self.plan = plan
        self.name = plan.name
        self.jobs = jobs
        self.loop = loop
        self.dice = dice
        self.watcher = watcher
        self.reading_ms = reading_ms
        self.pieces: dict[str, Piece] = {}
        self.context = Context()
        """What watches over the work is no part of the agent, and outlives it."""
        self.news: Callable[[], None] = lambda: None
        self.unknown_until_us = 0
        self.full_until_us = 0
        self.late_until_us = 0
        self.late_us = 0
        self.remembers = False
        """What is forgotten is listed again after a restart of the agent."""
        self.changes_its_mind = False

    def boot_ms(self) -> int:
        """The site's clock: it began anywhere, and runs a little too fast or slow."""
        passed_us = self.loop.now_us * (1_000_000 + self.plan.drift_ppm) // 1_000_000
        return self.plan.boot_ms + passed_us // US_PER_MS

    def _at_boot_ms(self, boot_ms: int, callback: Callable[..., None], piece: Piece) -> None:
        """When the site's clock shows ``boot_ms``."""
        passed_us = (boot_ms - self.plan.boot_ms) * US_PER_MS
        when_us = passed_us * 1_000_000 // (1_000_000 + self.plan.drift_ppm) + 1
        self.loop.at_us(when_us, callback, piece, context=self.context)

    # -- the life of a piece of work ----------------------------------------------------------

    def start(self, grant: Grant, lease: LeaseTimes) -> None:
        self.check_disk()
        if grant.run_id in self.pieces:
            raise AlreadyStarted
        piece = Piece(
            grant=grant, plan=self.jobs[grant.job_id], lease=lease, site=self.name,
            need_milli=grant.nodes * grant.devices_per_node_milli,
            output=b"." * self.dice.choice((0, 10, 3_000)),
        )  # fmt: skip
        self.pieces[grant.run_id] = piece
        self.loop.call_later(
            self.dice.choice((0.0, 0.02, 0.3)), self._begin, piece, context=self.context
        )

    def _begin(self, piece: Piece) -> None:
        if piece.result is not None or piece.vanished:
            return
        if piece.stopping is not None:
            self._end(piece, piece.stopping, None)
            return
        if self.boot_ms() >= piece.lease.term_at:
            self._end(piece, "lease-expired", None)
            return
        piece.begun_us = piece.metered_us = self.loop.now_us
        self.watcher.began(piece)
        self._at_boot_ms(piece.lease.term_at, self._term, piece)
        self.loop.call_later(piece.plan.work_ms / 1000, self._own_end, piece, context=self.context)
        self.loop.call_later(self.reading_ms / 1000, self._meter, piece, context=self.context)
        self.news()

    def _own_end(self, piece: Piece) -> None:
        if not piece.alive:
            return
        if piece.grant.attempt <= 2 and self._other_end(piece):
            return
        code = piece.plan.exit_code
        if piece.plan.heals and piece.grant.attempt > 1:
            code = 0
        self._end(piece, "succeeded" if code == 0 else "failed", code)

    def _other_end(self, piece: Piece) -> bool:
        match piece.plan.ends:
            case "killed":
                self._end(piece, "failed", -9)
            case "no-code":
                self._end(piece, "failed", None)
            case "time-limit":
                self._end(piece, "time-limit", None)
            case "preempted":
                self._end(piece, "preempted", -15)
            case "unasked":
                self._end(piece, "cancelled", -15)
            case _:
                return False
        return True

    def _term(self, piece: Piece) -> None:
        """The lease may have been renewed since this was set."""
        if not piece.alive:
            return
        if self.boot_ms() < piece.lease.term_at:
            self._at_boot_ms(piece.lease.term_at, self._term, piece)
            return
        if piece.vanished:  # nobody asks; the guard kills
            self._at_boot_ms(piece.lease.kill_at, self._kill, piece)
            return
        self._ask_to_stop(piece, "lease-expired")
        self._at_boot_ms(piece.lease.kill_at, self._kill, piece)

    def _kill(self, piece: Piece) -> None:
        if not piece.alive:
            return
        if self.boot_ms() < piece.lease.kill_at and piece.stopping in (None, "lease-expired"):
            self._at_boot_ms(piece.lease.kill_at, self._kill, piece)
            return
        self._end(piece, piece.stopping or "lease-expired", -9)

    def stop(self, run_id: str, outcome: Outcome) -> None:
        self.check_disk()
        piece = self.pieces.get(run_id)
        if piece is not None and piece.result is None:
            self._ask_to_stop(piece, outcome)

    def _ask_to_stop(self, piece: Piece, outcome: Outcome) -> None:
        if piece.stopping is None:
            piece.stopping = outcome
            if piece.alive and not piece.vanished:
                grace_ms = self.dice.randint(0, piece.plan.grace_ms)
                self.loop.call_later(grace_ms / 1000, self._stopped, piece, context=self.context)

    def _stopped(self, piece: Piece) -> None:
        if piece.alive and not piece.vanished:
            self._end(piece, piece.stopping or "lease-expired", -15)

    def _end(self, piece: Piece, outcome: Outcome, code: int | None) -> None:
        """Nothing of it lives any more."""
        now_us = self.loop.now_us
        if piece.alive:
            self._read_meter(piece)
            piece.over_us = now_us
            self.watcher.ended(piece)
        if not piece.vanished:
            piece.result = RunResult(outcome=outcome, exit_code=code, detail="")
            if now_us < self.late_until_us:
                self.watcher.injected("engine-late-exit")
                piece.shown_from_us = now_us + self.late_us
        self.news()

    def _meter(self, piece: Piece) -> None:
        if piece.alive and not piece.vanished:
            self._read_meter(piece)
            self.loop.call_later(self.reading_ms / 1000, self._meter, piece, context=self.context)

    def _read_meter(self, piece: Piece) -> None:
        wall_ms = (self.loop.now_us - piece.metered_us) // US_PER_MS
        if wall_ms > 0:
            piece.metered_us += wall_ms * US_PER_MS
            piece.readings.append(
                Reading(
                    sequence=len(piece.readings), wall_ms=wall_ms,
                    device_milli_ms=piece.need_milli * wall_ms, cpu_ms=wall_ms, max_rss_kib=1,
                )
            )  # fmt: skip

    # -- misfortune ---------------------------------------------------------------------------

    def check_disk(self) -> None:
        if self.loop.now_us < self.full_until_us:
            self.watcher.injected("site-disk-full")
            raise OSError(28, "No space left on device")

    def lose_watch(self) -> bool:
        """What watches over one live run is gone; a guard still kills it when its lease ends."""
        for piece in self.pieces.values():
            if piece.alive and not piece.vanished:
                piece.vanished = True
                self.news()
                return True
        return False

    def reboot(self) -> None:
        """Everything that ran is dead; the files are still there."""
        for piece in self.pieces.values():
            if piece.result is None:
                if piece.alive:
                    piece.over_us = self.loop.now_us
                    self.watcher.ended(piece)
                piece.vanished = True


class SimEngine:
    """What one agent process sees of its site's machine (``agent.engines.base.Engine``)."""

    def __init__(self, site: SiteMachine) -> None:
        self.site = site

    def start(self, grant: Grant, lease: LeaseTimes) -> None:
        self.site.start(grant, lease)

    def extend(self, run_id: str, lease: LeaseTimes) -> None:
        self.site.check_disk()
        piece = self.site.pieces.get(run_id)
        if piece is not None and not piece.vanished:
            piece.lease = lease

    def stop(self, run_id: str, outcome: Outcome) -> None:
        self.site.stop(run_id, outcome)

    def look(self, run_id: str) -> RunView:
        site, piece = self.site, self.site.pieces[run_id]
        begun = piece.begun_us is not None
        ago_ms = (site.loop.now_us - (piece.begun_us or 0)) // US_PER_MS if begun else 0
        if site.loop.now_us < site.unknown_until_us:
            site.watcher.injected("engine-unknown")
            return RunView(status=RunStatus.UNKNOWN, started=begun, result=None, engine_state="?")
        status = RunStatus.RUNNING if begun else RunStatus.STARTING
        result = piece.result
        if result is not None and site.loop.now_us >= piece.shown_from_us:
            status = RunStatus.ENDED
        else:
            result = None
            if piece.vanished:
                status = RunStatus.VANISHED
        return RunView(
            status=status, started=begun, result=result, engine_state=status.value,
            started_ago_ms=ago_ms,
        )  # fmt: skip

    def clean(self, run_id: str, detail: str) -> None:
        site, piece = self.site, self.site.pieces[run_id]
        if piece.result is None:
            piece.vanished = False
            site._end(piece, "lease-expired", None)

    def read_log(self, run_id: str, rank: int, offset: int, most: int) -> bytes:
        return self.site.pieces[run_id].output[offset : offset + most]

    def readings(self, run_id: str, after: int) -> tuple[Reading, ...]:
        return tuple(self.site.pieces[run_id].readings[after + 1 :])

    def ranks(self, run_id: str) -> int:
        return 1

    def forget(self, run_id: str) -> None:
        site, piece = self.site, self.site.pieces[run_id]
        if site.remembers:
            site.watcher.injected("engine-forgets-to-forget")
            if site.changes_its_mind and piece.result is not None:
                site.watcher.injected("engine-changes-its-mind")
                flipped: Outcome = "failed" if piece.result.outcome == "succeeded" else "succeeded"
                piece.result = RunResult(outcome=flipped, exit_code=1, detail="")
            return
        piece.forgotten = True

    def recover(self) -> tuple[HeldRun, ...]:
        return tuple(
            HeldRun(run_id=run_id, token=piece.grant.token)
            for run_id, piece in self.site.pieces.items()
            if not piece.forgotten
        )

    def discover(self) -> tuple[DiscoveredPool, ...]:
        return ()

    def wake_fd(self) -> int | None:
        return None

    def close(self) -> None:
        """Runs go on."""
