"""The server's own work: plan, end leases, settle. Each loop: load → decide → apply → announce.

A loop that meets an unexpected error logs it and goes on after a pause; an error that repeats is
visible in /healthz.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from westward.model.network import PoolStatus
from westward.placement import plan
from westward.server.applier import Outcome, apply_plan, expire_leases, settle
from westward.server.core import Core
from westward.server.snapshot import Situation
from westward.store.lifecycle import next_lease_end

ERROR_PAUSE_S = 1.0
SOON_MS = 5
"""Slack added to timed wake-ups, so that the time is over when we look."""

log = logging.getLogger("westward.server")


class Loops:
    """Runs from ``start`` to ``stop``. ``errors`` counts failures in a row, by loop."""

    def __init__(self, core: Core):
        self.core = core
        self.errors: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._alive: dict[str, PoolStatus] = {}

    def start(self) -> None:
        for name, step in (
            ("plan", self._plan_step),
            ("expire", self._expire_step),
            ("settle", self._settle_step),
        ):
            self.errors[name] = 0
            self._tasks.append(asyncio.create_task(self._for_ever(name, step), name=name))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _for_ever(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
                self.errors[name] = 0
            except Exception:
                self.errors[name] = self.errors.get(name, 0) + 1
                log.exception("the %s loop failed (%d in a row)", name, self.errors[name])
                await asyncio.sleep(ERROR_PAUSE_S)

    async def _plan_step(self) -> None:
        core = self.core
        seen = core.plan_bell.rings
        if await core.read(core.expects_sites):
            await core.plan_bell.wait(seen, core.settings.poll_wait_ms / 1000)
            return
        before = await core.read(core.situation)
        if before.to_place or any(pool.queue for pool in before.snapshot.pools):
            await self._plan(before)
        await core.plan_bell.wait(seen, self._until_next_plan_s(before))

    async def _plan(self, before: Situation) -> None:
        core = self.core
        decided = await core.read(
            plan, before.snapshot, before.to_place, core.settings.policy, before.now_ms
        )
        outcome = await core.write(
            apply_plan,
            core.store,
            decided,
            before,
            core.settings.lease_ttl_ms,
            core.clock.now_ms(),
        )
        core.announce(outcome)

    def _until_next_plan_s(self, before: Situation) -> float:
        """To the next put-off start or the next look, whichever is first."""
        now_ms = self.core.clock.now_ms()
        due = now_ms + self.core.settings.plan_every_ms
        for pool in before.snapshot.pools:
            for job in pool.queue:
                if job.not_before_ms > before.now_ms:
                    due = min(due, job.not_before_ms + SOON_MS)
        return max(0.0, (due - now_ms) / 1000)

    async def _expire_step(self) -> None:
        """No lease is ended before a whole lease has passed since the server's own start: agents
        must have had the time to renew, and clocks may have been set while nobody counted."""
        core, settings = self.core, self.core.settings
        opens_ms = core.clock.started_ms + settings.lease_ttl_ms + settings.margin_ms
        now_ms = core.clock.now_ms()
        if now_ms >= opens_ms:
            outcome: Outcome = await core.write(
                expire_leases, core.store, settings.margin_ms, now_ms
            )
            core.announce(outcome)
            await self._notice_sites()
        ends_ms = await core.read(next_lease_end, core.store)
        due = now_ms + settings.lease_ttl_ms // 4
        if ends_ms is not None:
            due = min(due, max(ends_ms + settings.margin_ms, opens_ms) + SOON_MS)
        await asyncio.sleep(max(SOON_MS, due - core.clock.now_ms()) / 1000)

    async def _notice_sites(self) -> None:
        """Plan again when a pool opened or went down."""
        alive = await self.core.read(self.core.pool_statuses)
        if alive != self._alive:
            log.info("pools: %s", alive)
            self._alive = alive
            self.core.plan_bell.ring()

    async def _settle_step(self) -> None:
        core = self.core
        seen = core.settle_bell.rings
        await core.write(
            settle,
            core.store,
            core.network,
            core.settings.policy,
            core.series_origin_ms,
            core.clock.now_ms(),
        )
        await core.settle_bell.wait(seen, 60.0)
