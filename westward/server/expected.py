"""When those who wait are to start, as things stand now.

A binding says what was expected when it was made. Runs end early or late, others come before, a site
goes down: each planning pass works all starts out anew, and what it found is kept here until the next.
A server whose loops do not plan (another one leads) asks the planner itself when it is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from westward.control.records import JobRecord, JobState
from westward.model.plan import Plan
from westward.server.sound import plan_sound

if TYPE_CHECKING:
    from westward.server.core import Core

log = logging.getLogger("westward.server")
FRESH_S = 15.0
"""Older answers are worked out anew: three times as long as a planning loop lets pass."""


class Expected:
    """Of one server. Reading costs nothing while its loops plan."""

    def __init__(self) -> None:
        self._starts: Mapping[str, int] = {}
        self._at_s: float | None = None
        self._asking = asyncio.Lock()

    def learn(self, decided: Plan, at_s: float) -> None:
        """A plan of all that wait was made, ``at_s`` on the server's clock."""
        self._starts = decided.starts_ms()
        self._at_s = at_s

    async def starts_ms(self, core: Core, records: Iterable[JobRecord]) -> Mapping[str, int]:
        """By job, of those of ``records`` that wait at a pool; one bound since the last plan is
        left out."""
        waiting = [one.job_id for one in records if one.state is JobState.BOUND]
        if not waiting:
            return {}
        async with self._asking:
            asked_s = core.clock.elapsed_s()
            if self._at_s is None or asked_s - self._at_s > FRESH_S:
                self._at_s = asked_s  # also of an answer that cannot be had: not at each request
                try:
                    found = await core.read(core.situation)
                    decided, _ = await core.read(plan_sound, found, core.settings.policy, 0)
                    self.learn(decided, asked_s)
                except Exception:  # jobs are shown all the same, with what was known of them
                    log.exception("when waiting jobs are to start could not be worked out")
        return {one: self._starts[one] for one in waiting if one in self._starts}
