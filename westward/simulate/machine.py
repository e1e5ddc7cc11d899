"""A rehearsal in the making: the loop's columns, fed with stretches of a workload.

Memory follows the jobs alive at one time. Address space for many is asked for at once, but a page
of it is touched only when a slot on it is opened; what is over leaves through ``Sink``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

import numpy as np

from westward.model.network import Network
from westward.model.plan import CarbonMethod, Policy
from westward.model.workload import I32, Workload
from westward.placement.columns import (
    NetworkColumns,
    cost_table,
    grow_state,
    network_columns,
    new_state,
    no_traffic,
    rule_columns,
)
from westward.placement.intervals import FIRST_HIGH, FIRST_LOW
from westward.placement.slots import (
    Slots,
    blank_slots,
    fill_slots,
    inputs_of,
    jobs_of,
    views,
)
from westward.placement.state import F64, I64, Inputs, Jobs, State
from westward.simulate.charging import charge_records
from westward.simulate.heap import LONGEST_MS, SLOT_MASK
from westward.simulate.live import (
    AT_STOP,
    CURSOR_ARRIVAL,
    CURSOR_BASE_ROW,
    CURSOR_EVENTS,
    CURSOR_HEAP,
    CURSOR_NOW,
    CURSOR_RECORDS,
    CURSOR_REVIEW_AT,
    CURSOR_STOP_MS,
    CURSOR_ZERO_MS,
    CURSORS,
    LIVE_FIELDS,
    NEED_FLUSH,
    NEED_ROWS,
    NEED_SLOTS,
    Arrivals,
    Clockwork,
    Live,
    Records,
)
from westward.simulate.loop import advance
from westward.simulate.posting import Posting
from westward.simulate.rows import Homes, Requests, arrivals

FIRST_SLOTS = 4_096
RESERVED_SLOTS = 1 << 20
"""Room in address space. Opening slots within it moves nothing; beyond it everything is copied."""
RECORDS = 65_536
FOREVER_MS = 1 << 62


class Sink(Protocol):
    """Where finished runs go."""

    def take(self, count: int, records: Records, money: F64) -> None:
        """The first ``count`` records and their charges (see ``charging``); views, to be copied."""


class Machine:
    """One rehearsal: network, policy and what changes."""

    def __init__(
        self,
        network: Network,
        policy: Policy,
        sink: Sink,
        *,
        seed: int,
        origin_ms: int,
        zero_ms: int,
        records: int = RECORDS,
        reserve: int = RESERVED_SLOTS,
    ) -> None:
        self.policy = policy
        self.sink = sink
        self.zero_ms = zero_ms
        self.columns: NetworkColumns = network_columns(network, policy.carbon_method)
        other: CarbonMethod = "contract" if policy.carbon_method == "location" else "location"
        self.other_zones = network_columns(network, other).zones
        self.rules = rule_columns(policy, self.columns, origin_ms)
        self.costs = cost_table(self.columns, self.rules, zero_ms)
        self.traffic = no_traffic(len(network.sites))
        self.requests = Requests(self.columns)
        self.homes = Homes(len(network.sites), seed)
        self.conservative = policy.discipline == "conservative"
        pools = len(self.columns.pool_names)
        reserve = max(FIRST_SLOTS, reserve)
        self._slots = blank_slots(reserve, more=LIVE_FIELDS)
        self.state: State = new_state(
            self.columns.pools, self._slots, policy.backfill_depth, conservative=self.conservative
        )
        self.jobs: Jobs = jobs_of(self._slots)
        self.inputs: Inputs = inputs_of(self._slots)
        self._opened = 0
        self.live = Live(
            **views(self._slots, LIVE_FIELDS), free=np.zeros(reserve + 1, dtype=np.int32)
        )
        self.clock = Clockwork(
            cursor=np.zeros(CURSORS, dtype=np.int64),
            heap=np.zeros(4 * reserve, dtype=np.int64),
            touched=np.zeros(pools + 1, dtype=np.int32),
            marked=np.zeros(pools, dtype=np.uint8),
            again=np.zeros(reserve + 1, dtype=np.int32),
            review=np.zeros(pools * policy.review_depth + 1, dtype=np.int32),
            quantiles=np.array([FIRST_LOW, FIRST_HIGH]),
            fair=np.zeros(1),
            weight=np.zeros(1),
        )
        self._open(FIRST_SLOTS)
        self.clock.cursor[CURSOR_ZERO_MS] = zero_ms
        self.clock.cursor[CURSOR_STOP_MS] = FOREVER_MS
        self.clock.cursor[CURSOR_REVIEW_AT] = 1
        self.records: Records = _records(records)
        self.money: F64 = np.zeros((records, 5))

        self._stops: list[tuple[int, int, Callable[[int], None]]] = []
        self._stretch: Arrivals | None = None
        self._told = 0
        self._posting: Posting | None = None
        if policy.price_period_ms > 0 and policy.rule == "westward":
            self._posting = Posting(self.columns, self.rules, zero_ms)
            self.stop_at(zero_ms + policy.price_period_ms, self._post)

    @property
    def now_ms(self) -> int:
        return int(self.clock.cursor[CURSOR_NOW])

    @property
    def events(self) -> int:
        return int(self.clock.cursor[CURSOR_EVENTS])

    @property
    def posting(self) -> Posting | None:
        """None: no prices of capacity are posted."""
        return self._posting

    @property
    def slot_records(self) -> Slots:
        """The records of live jobs, address space included that is not opened yet."""
        return self._slots

    @property
    def slots(self) -> int:
        """Slots opened: at most twice the most jobs alive at one time, or FIRST_SLOTS."""
        return self._opened

    def stop_at(self, time_ms: int, call: Callable[[int], None]) -> None:
        """Call ``call(time_ms)`` before anything that happens at that instant or later."""
        heapq.heappush(self._stops, (time_ms, len(self._stops), call))
        self.clock.cursor[CURSOR_STOP_MS] = self._stops[0][0]

    def _make_stops(self) -> None:
        now = self._stops[0][0]
        while self._stops and self._stops[0][0] == now:
            heapq.heappop(self._stops)[2](now)
        self.clock.cursor[CURSOR_STOP_MS] = self._stops[0][0] if self._stops else FOREVER_MS

    def in_use(self) -> I64:
        """Slots with a live job."""
        used = np.ones(self.slots, dtype=bool)
        height = int(self.live.free[0])
        used[self.live.free[1 : height + 1]] = False
        return np.flatnonzero(used)

    def _post(self, now_ms: int) -> None:
        """Capacity priced anew (``posting``)."""
        assert self._posting is not None
        self._tell_posting()
        self.costs = self._posting.post(now_ms, self.requests.classes, self._slots, self.in_use())
        self.stop_at(now_ms + self.policy.price_period_ms, self._post)

    def _tell_posting(self) -> None:
        if self._posting is not None and self._stretch is not None:
            until = int(self.clock.cursor[CURSOR_ARRIVAL])
            self._posting.saw(self._stretch, self._told, until)
            self._told = until

    def feed(
        self,
        workload: Workload,
        *,
        more: bool,
        home: I32 | None = None,
    ) -> None:
        """Rehearse the next stretch; ``more``: others follow."""
        if len(workload):
            last = int(workload.submit_ms[-1]) + 4 * int(workload.duration_ms.max())
            if last >= LONGEST_MS:
                raise ValueError("a rehearsal may span at most eight years, runs included")
        klass = self.requests.number(workload)
        rows = arrivals(
            workload, klass, self.homes.of(workload) if home is None else home, self.zero_ms
        )
        cursor = self.clock.cursor
        cursor[CURSOR_ARRIVAL] = 0
        self._stretch, self._told = rows, 0
        while True:
            why = self._advance(rows, more)
            if why == NEED_FLUSH:
                self.flush()
            elif why == NEED_SLOTS:
                self._grow()
            elif why == AT_STOP:
                self._make_stops()
            else:
                break
        self._tell_posting()
        cursor[CURSOR_BASE_ROW] += len(workload)
        if why != NEED_ROWS:
            self.flush()

    def _advance(self, rows: Arrivals, more: bool) -> int:
        c = self.columns
        return int(
            advance(
                rows, 1 if more else 0, c.pools, c.zones, self.costs, c.links,
                self.requests.classes, self.jobs, self.inputs, self.traffic, self.rules,
                self.state, self.live, self.clock, self.records,
            )
        )  # fmt: skip

    def flush(self) -> None:
        """Charge what is over and hand it on."""
        cursor = self.clock.cursor
        count = int(cursor[CURSOR_RECORDS])
        if count == 0:
            return
        c = self.columns
        charge_records(
            count, self.records, c.pools, c.zones, self.other_zones, self.rules, self.money
        )
        self.sink.take(count, self.records, self.money)
        cursor[CURSOR_RECORDS] = 0

    def resize(self, reserve: int, opened: int) -> None:
        """Room as another machine had it: before the first stretch only."""
        if reserve != len(self._slots):
            self._move(reserve)
        if opened > self._opened:
            self._open(opened)

    def _open(self, until: int) -> None:
        """Ready slots up to ``until`` for use; the lowest is taken first."""
        first = self._opened
        fill_slots(self._slots, first, until)
        free = self.live.free
        height = int(free[0])
        free[until - first + 1 : until - first + 1 + height] = free[1 : height + 1].copy()
        free[1 : until - first + 1] = np.arange(until - 1, first - 1, -1)
        free[0] = until - first + height
        self._opened = until

    def _grow(self) -> None:
        """Open as many slots again; where address space or the heap is full, move first."""
        reserve = len(self._slots)
        crowded = 2 * int(self.clock.cursor[CURSOR_HEAP]) > len(self.clock.heap)
        if self._opened == reserve or crowded:
            self._move(2 * reserve)
        if int(self.live.free[0]) == 0:
            self._open(min(2 * self._opened, len(self._slots)))

    def _move(self, slots: int) -> None:
        """Copy everything into address space for so many."""
        if slots > SLOT_MASK:
            raise ValueError(
                f"more than {SLOT_MASK // 2} jobs alive at once: the network is swamped"
            )
        grown = blank_slots(slots, more=LIVE_FIELDS)
        grown[: self._opened] = self._slots[: self._opened]
        self._slots = grown
        self.state = grow_state(
            self.state, self.columns.pools, grown, self.policy.backfill_depth,
            conservative=self.conservative,
        )  # fmt: skip
        self.jobs = jobs_of(grown)
        self.inputs = inputs_of(grown)
        free = np.zeros(slots + 1, dtype=np.int32)
        height = int(self.live.free[0])
        free[: height + 1] = self.live.free[: height + 1]
        self.live = Live(**views(grown, LIVE_FIELDS), free=free)
        heap = np.zeros(4 * slots, dtype=np.int64)
        length = int(self.clock.cursor[CURSOR_HEAP])
        heap[:length] = self.clock.heap[:length]
        again = np.zeros(slots + 1, dtype=np.int32)
        waiting = int(self.clock.again[0]) + 1
        again[:waiting] = self.clock.again[:waiting]
        self.clock = self.clock._replace(heap=heap, again=again)


def _records(size: int) -> Records:
    def wide() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.zeros(size, dtype=np.int64)

    return Records(
        row=wide(),
        pool=np.zeros(size, dtype=np.int32),
        start_ms=wide(),
        end_ms=wide(),
        need_milli=wide(),
        why=np.zeros(size, dtype=np.uint8),
        not_before_ms=wide(),
        predicted_ms=wide(),
        low_ms=wide(),
        high_ms=wide(),
        first_ms=wide(),
        waited_ms=wide(),
        transfer=np.zeros(size),
        due_ms=wide(),
    )
