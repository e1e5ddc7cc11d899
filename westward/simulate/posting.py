"""Posted prices of capacity: what the planner is told a pool's device-hours are worth to others.

Once a period the jobs that wait, those that run and those expected (from what has arrived so far,
never from what is to come) go into the linear programme of ``placement.shadow``; one slow price a
pool is posted and enters the planner's sum until the next period (docs/decisions/0011).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from westward.model.units import MS_PER_HOUR
from westward.placement.columns import COST_STEPS, NetworkColumns, cost_table
from westward.placement.shadow import (
    F64,
    ClassTable,
    Rates,
    class_of,
    class_table,
    classes_of,
    forecast,
    free_capacity,
    no_rates,
    observe,
    steady,
)
from westward.placement.shadow_lp import Posted, shadow_prices
from westward.placement.slots import Slots
from westward.placement.state import I64, Classes, Costs, Rules
from westward.simulate.live import Arrivals

BLOCKS = 12
BLOCK_HOURS = 2.0
SAMPLE = 3_000
"""Recent jobs that stand for their classes."""
PATTERNS = 12
"""Sets of usable pools told apart; jobs of rarer sets count with the first."""
LEAST_REMAINING_H = 0.25
"""A run near or past its expected end is taken to hold its devices for so long."""
GB = 1e9


class Posting:
    """What was seen so far, and the prices that follow from it."""

    def __init__(self, columns: NetworkColumns, rules: Rules, zero_ms: int) -> None:
        self._columns = columns
        self._rules = rules
        self._zero_ms = zero_ms
        self._patterns: dict[bytes, int] = {}
        self._rates: Rates = no_rates(classes_of(1))
        self._seen_ms = zero_ms
        self._recent: list[Arrivals] = []
        self._posted: Posted | None = None
        self._sample: tuple[I64, I64, I64, I64, F64, I64, I64] | None = None
        self.price: F64 | None = None
        """(P,) millionths per device-hour, as posted last."""

    def saw(self, arrivals: Arrivals, first: int, last: int) -> None:
        """Rows first..last-1 of a stretch have arrived."""
        if last > first:
            rows = slice(first, last)
            columns: dict[str, Any] = arrivals._asdict()
            for name, column in columns.items():
                columns[name] = column[rows] if len(column) > 1 else column
            self._recent.append(Arrivals(**columns))

    def post(
        self,
        now_ms: int,
        classes: Classes,
        slots: Slots,
        in_use: I64,
        factors: tuple[F64, F64] | None = None,
    ) -> Costs:
        """New prices, and the planner's cost table with them (and a forecast's ``factors``) in it."""
        submit, klass, estimate, deadline, gb, home = self._new_jobs()
        pattern = self._pattern(classes)
        kl = class_of(estimate, deadline >= 0, pattern[klass])
        count = classes_of(max(1, len(self._patterns)))
        self._observe(submit, kl, count, now_ms)
        if len(submit) > 0:
            some = slice(-SAMPLE, None)
            self._sample = (
                klass[some], estimate[some], deadline[some], submit[some], gb[some], home[some],
                kl[some],
            )  # fmt: skip
        pools = self._columns.pools
        if self._sample is not None:
            table = self._table(classes, count)
            live = slots[in_use]
            waiting = live[(live["start_ms"] < 0) & (live["job_pool"] >= 0)]
            asked = self._asked(waiting["estimate_ms"])
            waits = class_of(asked, waiting["deadline_ms"] >= 0, pattern[waiting["klass"]])
            running = live[live["start_ms"] >= 0]
            left = (running["start_ms"] + running["job_duration_ms"] - now_ms) / MS_PER_HOUR
            self._posted = shadow_prices(
                table,
                waiting=np.bincount(waits, minlength=count).astype(np.float64),
                arrivals=forecast(
                    self._rates, (now_ms - self._zero_ms) / MS_PER_HOUR, BLOCKS, BLOCK_HOURS
                ),
                free=free_capacity(
                    pools.capacity_milli / 1000.0,
                    running["job_pool"].astype(np.int64),
                    running["job_need"] / 1000.0,
                    np.maximum(LEAST_REMAINING_H, left),
                    BLOCKS,
                    BLOCK_HOURS,
                ),
                rate=self._rate(now_ms),
                block_hours=BLOCK_HOURS,
                beyond=self.price,
                before=self._posted,
            )
            self.price = steady(self.price, self._posted.price)
        shadow = None
        if self.price is not None:
            shadow = np.repeat(self.price[:, None], COST_STEPS, axis=1)
        return cost_table(self._columns, self._rules, now_ms, shadow=shadow, factors=factors)

    def _new_jobs(self) -> tuple[I64, I64, I64, I64, F64, I64]:
        """submit, class of request, estimate, deadline, GB of input, home: since the last time."""
        recent, self._recent = self._recent, []
        if not recent:
            none = np.zeros(0, dtype=np.int64)
            return none, none, none, none, np.zeros(0), none

        def joined(name: str) -> I64:
            return np.concatenate(
                [np.broadcast_to(getattr(a, name), a.submit_ms.shape) for a in recent]
            ).astype(np.int64)

        estimate = self._asked(joined("estimate_ms"))
        gb = joined("input_bytes") / GB
        return (
            joined("submit_ms"), joined("klass"), estimate, joined("deadline_ms"), gb,
            joined("home"),
        )  # fmt: skip

    def _asked(self, estimate_ms: I64) -> I64:
        return np.where(estimate_ms < 0, self._rules.assumed_ms, estimate_ms)

    def _pattern(self, classes: Classes) -> I64:
        """(C,) which set of pools each class of requests can use."""
        usable = (classes.need > 0) & (classes.allowed > 0)
        found = np.zeros(len(usable), dtype=np.int64)
        for c, row in enumerate(usable):
            if not row.any():
                continue
            key = row.tobytes()
            if key not in self._patterns and len(self._patterns) < PATTERNS:
                self._patterns[key] = len(self._patterns)
            found[c] = self._patterns.get(key, 0)
        return found

    def _observe(self, submit: I64, kl: I64, count: int, now_ms: int) -> None:
        """Arrivals by hour of day; hours without any are seen too."""
        old = self._rates
        if count > old.per_hour.shape[1]:
            more = np.zeros((len(old.weight), count - old.per_hour.shape[1]))
            self._rates = Rates(per_hour=np.hstack([old.per_hour, more]), weight=old.weight)
        at = self._seen_ms
        while at < now_ms:
            hour = (at - self._zero_ms) // MS_PER_HOUR
            until = min(now_ms, self._zero_ms + (hour + 1) * MS_PER_HOUR)
            within = (submit >= at) & (submit < until)
            counts = np.bincount(kl[within], minlength=count).astype(np.float64)
            share = (until - at) / MS_PER_HOUR
            self._rates = observe(self._rates, int(hour) % 24, counts, hours=share)
            at = until
        self._seen_ms = now_ms

    def _table(self, classes: Classes, count: int) -> ClassTable:
        assert self._sample is not None
        klass, estimate, deadline, submit, gb, home, kl = self._sample
        pools, links = self._columns.pools, self._columns.links
        devices = classes.need[klass] / 1000.0
        hours = np.maximum(1, estimate)[:, None] / pools.speed / MS_PER_HOUR
        price = np.nan_to_num(links.price_per_gb[home][:, pools.site], nan=0.0)
        value = self._rules.wait_value * devices.max(axis=1)
        slack = (
            (deadline - submit - estimate)
            / MS_PER_HOUR
            * (1.0 - self._rules.reserve_percent / 100.0)
        )
        return class_table(
            kl, count, devices=devices, hours=hours, transfer_micros=price * gb[:, None],
            wait_micros_per_hour=np.where(deadline >= 0, 0.0, value),
            slack_hours=np.where(deadline >= 0, np.maximum(slack, 0.0), np.inf),
        )  # fmt: skip

    def _rate(self, now_ms: int) -> F64:
        """(P, BLOCKS) mean price of a device-hour by block, without any shadow price."""
        table = cost_table(self._columns, self._rules, now_ms)
        per_block = max(1, int(BLOCK_HOURS * MS_PER_HOUR) // int(table.window[1]))
        at = per_block * np.arange(BLOCKS + 1)
        last = table.prefix.shape[1] - 1
        # A network of short steps: its table ends before the blocks do, and is taken to come again.
        edges = at // last * table.prefix[:, last:] + table.prefix[:, at % last]
        return np.asarray(np.diff(edges, axis=1) / BLOCK_HOURS)
