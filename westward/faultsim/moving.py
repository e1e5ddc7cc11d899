"""What the planner moves of its own accord goes to where a device-hour costs less.

Sites draw the same power at the same tariff, so that only the price of the device can make a move
pay. Worlds whose funders may pay more at one place than at another are left out, and those in which
an hour costs less than the one before (what is moved goes on later).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

from westward.faultsim.build import network_of
from westward.faultsim.checkers import Broken
from westward.faultsim.scenario import Scenario

PLANNER = "the planner"


class Moves:
    """``injected`` counts the moves of a world."""

    def __init__(
        self, raw: sqlite3.Connection, scenario: Scenario, injected: Callable[[str], None]
    ) -> None:
        self.raw = raw
        self.looks = scenario.reconsider_ms > 0 and scenario.rules is None and not scenario.tariff
        self.own_queues = {one.name for one in network_of(scenario).pools if not one.managed}
        self.prices = {one.name: one.price_micros for one in scenario.sites}
        self.injected = injected
        self._seen: set[str] = set()

    def look(self) -> None:
        """Raises Broken."""
        if not self.looks:
            return
        rows = self.raw.execute(
            "SELECT r.run_id, r.site, r.pool, r.started_ms, j.pause, j.aim FROM jobs j "
            "JOIN runs r ON r.job_id = j.job_id WHERE j.state = 'suspending' AND r.live = 1"
        ).fetchall()
        for run_id, site, pool, started_ms, pause, aim in rows:
            told = json.loads(pause or "{}")
            if run_id in self._seen or told.get("kind") != "move" or told.get("by") != PLANNER:
                continue
            self._seen.add(run_id)
            if started_ms is None:
                self.injected("called-back-by-the-planner")
                if pool not in self.own_queues:
                    raise Broken("called-back", f"{run_id} from {pool}, which has no own queue")
                continue
            self.injected("moved-by-the-planner")
            to = json.loads(aim)["site"]
            if self.prices[to] >= self.prices[site]:
                raise Broken(
                    "move-does-not-pay",
                    f"{run_id} from {site} ({self.prices[site]}) to {to} ({self.prices[to]})",
                )
