"""Nobody is left waiting at a dear pool while a cheaper one stands free.

Looked at once a world has healed: everybody is up then. Sites draw the same power at the same tariff,
so that a cheaper device that is free now is better in every term of the sum. Left out are worlds in
which more than prices speak (funders, tariffs, files, texts that were spoiled), and jobs that may
have a reason to stay (they ran before, are wanted somewhere, must stay in a region, read data).
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

from westward.faultsim.build import network_of
from westward.faultsim.checkers import Broken
from westward.faultsim.scenario import Scenario

BETWEEN_PLANS_MS = 5_000
"""As the server is shipped: waiting jobs are looked at that often, whatever happens."""
PATIENCE_MS = 8_000
"""For work that waits for threads and disks, some of it several times over."""
DISTURBING = ("folder", "poison", "spoil", "account")
"""Acts that make rows say what nobody decided."""


class Waits:
    """``injected`` counts the moves of waiting jobs of a world."""

    def __init__(
        self, raw: sqlite3.Connection, scenario: Scenario, injected: Callable[[str], None]
    ) -> None:
        self.raw = raw
        self.injected = injected
        self.reviews = scenario.review_ms > 0
        self.reads = not any(act.kind in DISTURBING for act in scenario.acts)
        self.looks = (
            self.reviews
            and self.reads
            and scenario.rules is None
            and scenario.pot_micros is None
            and scenario.files is None
            and not scenario.tariff
        )
        self.patience_us = (scenario.review_ms + BETWEEN_PLANS_MS + PATIENCE_MS) * 1000
        self.pools = {pool.name: pool for pool in network_of(scenario).pools}
        wanted = {whim.job_id for whim in scenario.whims if whim.kind == "move"}
        self.free_to_go = {
            job.job_id
            for job in scenario.jobs
            if job.region is None and not job.data_at and not job.reads
            and job.start_after_ms is None and job.deadline_ms is None and job.job_id not in wanted
        }  # fmt: skip
        self._at: dict[str, str] = {}
        """Job → the pool where it waits, as of the last look."""
        self._since_us: dict[tuple[str, str, str], int] = {}
        """(job, its pool, a better one) → since when that has been so."""

    def look(self, now_us: int, healed: bool) -> None:
        """Raises Broken."""
        if not self.reads:
            return
        placed = {
            job_id: (state, json.loads(place))
            for job_id, state, place in self.raw.execute(
                "SELECT job_id, state, bound FROM jobs WHERE bound IS NOT NULL ORDER BY seq"
            )
        }
        for job_id, here in self._at.items():
            _, place = placed.get(job_id, ("", {}))
            there = place.get("pool", here)
            if there != here and self._told_so(job_id):  # it may have started there already
                self.injected("moved-while-it-waited")
                if not self.reviews:
                    raise Broken("moved-unasked", f"{job_id} from {here} to {there}")
        bound = {job_id: place for job_id, (state, place) in placed.items() if state == "bound"}
        at = {job_id: str(place["pool"]) for job_id, place in bound.items()}
        self._at = at
        if not (self.looks and healed):
            return
        better = self._better(bound, at)
        self._since_us = {one: self._since_us.get(one, now_us) for one in better}
        for (job_id, here, there), since_us in self._since_us.items():
            if now_us - since_us > self.patience_us:
                waited_ms = (now_us - since_us) // 1000
                raise Broken(
                    "left-waiting",
                    f"{job_id} at {here}, while {there} stood free for {waited_ms} ms",
                )

    def _better(
        self, bound: dict[str, dict[str, Any]], at: dict[str, str]
    ) -> list[tuple[str, str, str]]:
        held: Counter[str] = Counter()
        ran = set()
        for job_id, pool, need, live in self.raw.execute(
            "SELECT job_id, pool, need_milli, live FROM runs"
        ):
            ran.add(job_id)
            held[pool] += need if live else 0
        closed = {site for (site,) in self.raw.execute("SELECT site FROM site_marks")}
        taken = set(at.values())
        free = {
            name: pool.capacity_milli - held[name]
            for name, pool in self.pools.items()
            if pool.managed and pool.site not in closed and name not in taken
        }
        found = []
        for job_id, place in bound.items():
            if job_id in ran or job_id not in self.free_to_go:
                continue
            here = self.pools[at[job_id]]
            found += [
                (job_id, here.name, name)
                for name, milli in free.items()
                if milli >= place["need_milli"]
                and (self.pools[name].price_micros_per_device_hour or 0)
                < (here.price_micros_per_device_hour or 0)
            ]
        return found

    def _told_so(self, job_id: str) -> bool:
        """In place of another pool, and not because that one closed."""
        row = self.raw.execute(
            "SELECT text FROM story WHERE job_id = ? AND kind = 'bound' ORDER BY seq DESC LIMIT 1",
            (job_id,),
        ).fetchone()
        return row is not None and " in place of " in row[0]
