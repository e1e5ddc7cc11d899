"""A rehearsal in the making: the loop's columns, fed with stretches of a workload.

Memory follows the jobs alive at one time. Address space for many is asked for at once, but a page
of it is touched only when a slot on it is opened; what is over leaves through ``Sink``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from westward.model.network import Network
from westward.model.plan import CarbonMethod, Policy
from westward.model.scenario import Scenario
from westward.model.workload import I32, Workload
from westward.placement.columns import (
    COST_STEPS,
    NetworkColumns,
    cost_table,
    network_columns,
    no_traffic,
    rule_columns,
)
from westward.placement.fresh_state import grow_state, new_state
from westward.placement.intervals import FIRST_HIGH, FIRST_LOW, HIGH, LEARNT, LOW
from westward.placement.packing_columns import (
    SCORED,
    Usual,
    make_packing,
    with_rows,
    with_scores,
)
from westward.placement.packing_state import Packing
from westward.placement.roster import grow_roster, make_roster
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
from westward.simulate.forecast import PERIOD_MS, Forecast
from westward.simulate.heap import LONGEST_MS, SLOT_MASK, new_heap
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
    CURSOR_TOLD,
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
from westward.simulate.loop import advance, members_of
from westward.simulate.posting import Posting
from westward.simulate.rows import Homes, Requests, arrivals, kinds_of
from westward.simulate.shares import ShareTables, tenants_of
from westward.simulate.vouchers import Purses

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
        scenario: Scenario | None = None,
        reserve: int = RESERVED_SLOTS,
    ) -> None:
        scenario = scenario or Scenario()
        self.policy = policy
        self.sink = sink
        self.zero_ms = zero_ms
        self.columns: NetworkColumns = network_columns(network, policy.carbon_method)
        other: CarbonMethod = "contract" if policy.carbon_method == "location" else "location"
        self.other_zones = network_columns(network, other).zones
        self.rules = rule_columns(policy, self.columns, origin_ms)
        if scenario.shared_links:
            self.rules = self.rules._replace(shared_links=1)
        self.costs = cost_table(self.columns, self.rules, zero_ms)
        self.traffic = no_traffic(len(network.sites))
        self.packing: Packing | None = None
        if policy.packing != "pool":
            pool_names = self.columns.pool_names
            self.packing = make_packing(self.columns.pools, policy.packing, pool_names)
        self._usual: Usual | None = None
        self.requests = Requests(
            self.columns, by_nodes=self.packing is not None, strict_kinds=scenario.strict_kinds
        )
        self.homes = Homes(len(network.sites), seed)
        self.conservative = policy.discipline == "conservative"
        pools = len(self.columns.pool_names)
        reserve = max(FIRST_SLOTS, reserve)
        self._slots = blank_slots(reserve, more=LIVE_FIELDS)
        self.state: State = new_state(
            self.columns.pools, self._slots, policy.backfill_depth, conservative=self.conservative,
            ranked=policy.fair_share or policy.preemption,
        )  # fmt: skip
        if scenario.delegated_pools:
            self.state.delegated[:] = [not pool.managed for pool in network.pools]
        self.jobs: Jobs = jobs_of(self._slots)
        self.inputs: Inputs = inputs_of(self._slots)
        self._opened = 0
        self.live = Live(
            **views(self._slots, LIVE_FIELDS), free=np.zeros(reserve + 1, dtype=np.int32)
        )
        self.clock = Clockwork(
            cursor=np.zeros(CURSORS, dtype=np.int64),
            heap=new_heap(4 * reserve),
            touched=np.zeros(pools + 1, dtype=np.int32),
            marked=np.zeros(pools, dtype=np.uint8),
            again=np.zeros(2 * reserve + 1, dtype=np.int32),
            review=np.zeros(pools * policy.review_depth + 1, dtype=np.int32),
            learnt=np.zeros((2, LEARNT)),
            told=np.zeros(2 * reserve, dtype=np.int64),
            fair=np.zeros(1),
            weight=np.zeros(1),
            roster=make_roster(pools, reserve if policy.preemption else 0),
            closed=np.zeros(pools, dtype=np.uint8),
            programme=np.zeros(1, dtype=np.int32),
            alive=np.zeros(1, dtype=np.int32),
            active=np.zeros(1),
            programme_rate=np.zeros(1),
        )
        self.clock.learnt[:, LOW] = FIRST_LOW
        self.clock.learnt[:, HIGH] = FIRST_HIGH
        self._open(FIRST_SLOTS)
        self.clock.cursor[CURSOR_ZERO_MS] = zero_ms
        self.clock.cursor[CURSOR_STOP_MS] = FOREVER_MS
        self.clock.cursor[CURSOR_REVIEW_AT] = 1
        self.records: Records = _records(records, self.packing)
        self.money: F64 = np.zeros((records, 5))
        self._shares: ShareTables | None = None
        if policy.fair_share:
            devices = float(self.columns.pools.capacity_milli.sum()) / 1000.0
            self._shares = ShareTables(scenario.shares, devices)
        self._stops: list[tuple[int, int, Callable[[int], None]]] = []
        self._stops_set = 0
        self._stretch: Arrivals | None = None
        self._told = 0
        self._posting: Posting | None = None
        if policy.price_period_ms > 0 and policy.rule == "westward":
            self._posting = Posting(self.columns, self.rules, zero_ms)
            self.stop_at(zero_ms + policy.price_period_ms, self._post)
        self.purses: Purses | None = None
        if scenario.vouchers is not None:
            self.purses = Purses(scenario.vouchers, network, policy, self.columns, origin_ms, seed)
            if policy.rule == "westward":
                # The rivals go by listed prices; who pays is the same for all.
                pools_covered = self.columns.pools._replace(cover=self.purses.cover)
                self.columns = replace(self.columns, pools=pools_covered)
            self._settle(zero_ms)
        self._forecast: Forecast | None = None
        if scenario.forecast is not None:
            step_ms = int(self.costs.window[1])
            self._forecast = Forecast(scenario.forecast, len(network.zones), step_ms)
            self._foresee(zero_ms)

    def _foresee(self, now_ms: int) -> None:
        """A new forecast, and the next in an hour."""
        assert self._forecast is not None
        price = None if self._posting is None else self._posting.price
        self.costs = cost_table(
            self.columns, self.rules, now_ms, factors=self._forecast.next(),
            shadow=None if price is None else np.repeat(price[:, None], COST_STEPS, axis=1),
        )  # fmt: skip
        self.stop_at(now_ms + PERIOD_MS, self._foresee)

    def _settle(self, now_ms: int) -> None:
        """Who pays for what ran since the last time, and what vouchers will pay from now on."""
        assert self.purses is not None
        self.flush()
        self.purses.turn(now_ms, self._slots, self.in_use())
        self.stop_at(now_ms + self.purses.play.period_ms, self._settle)

    @property
    def now_ms(self) -> int:
        return int(self.clock.cursor[CURSOR_NOW])

    @property
    def events(self) -> int:
        return int(self.clock.cursor[CURSOR_EVENTS])

    @property
    def all_in_arrays(self) -> bool:
        """What the rest of the rehearsal depends on is in the tuples of arrays that the loop takes:
        no stop is set, whose call would remember something, and no table lies beside them."""
        return not self._stops and self._shares is None and self.packing is None

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
        heapq.heappush(self._stops, (time_ms, self._stops_set, call))
        self._stops_set += 1
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
        factors = None if self._forecast is None else self._forecast.next()
        self.costs = self._posting.post(
            now_ms, self.requests.classes, self._slots, self.in_use(), factors
        )
        self.stop_at(now_ms + self.policy.price_period_ms, self._post)

    def _tell_posting(self) -> None:
        if self._posting is not None and self._stretch is not None:
            until = int(self.clock.cursor[CURSOR_ARRIVAL])
            self._posting.saw(self._stretch, self._told, until)
            self._told = until

    def learn(self, workload: Workload) -> None:
        """What the rules that score nodes take for usual (not when anything comes or ends).

        Without it they learn from the first stretch they are fed."""
        if self.policy.packing not in SCORED or len(workload) == 0:
            return
        kinds = kinds_of(workload, self.columns)
        every = (1 << len(self.columns.kind_names)) - 1
        asked = np.where((kinds == every) | (workload.devices_milli == 0), 0, kinds)
        self._usual = Usual.of(workload.nodes, workload.devices_milli, workload.cpus_milli, asked)

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
        if self.packing is not None:
            if self._usual is None:
                self.learn(workload)
            if self._usual is not None:
                # Room for the scores of every class there is.
                classes = len(self.requests.classes.nodes)
                self.packing = with_scores(self.packing, classes, self._usual)
        home = self.homes.of(workload) if home is None else home
        tenant = None
        if self._shares is not None:
            tenant = tenants_of(workload)
            self.clock = self._shares.grown(self.clock, int(tenant.max(initial=0)) + 1)
        if workload.dataset is not None:
            self._meet_datasets(workload, home)
        payer = None if self.purses is None else self.purses.payers(workload)
        rows = arrivals(workload, klass, home, self.zero_ms, tenant, payer)
        cursor = self.clock.cursor
        cursor[CURSOR_ARRIVAL] = 0
        self._stretch, self._told = rows, 0
        while True:
            why = self._advance(rows, more)
            if why == NEED_FLUSH:
                self.flush()
            elif why == NEED_SLOTS:
                self._grow(rows)
            elif why == AT_STOP:
                self._make_stops()
            else:
                break
        self._tell_posting()
        cursor[CURSOR_BASE_ROW] += len(workload)
        if why != NEED_ROWS:
            self.flush()

    def _meet_datasets(self, workload: Workload, home: I32) -> None:
        """Room for the stretch's data sets; each lies from ever at the home of its first reader."""
        assert workload.dataset is not None
        reads = np.flatnonzero((workload.dataset >= 0) & (workload.input_bytes > 0))
        if len(reads) == 0:
            return
        numbers, first = np.unique(workload.dataset[reads], return_index=True)
        room = len(self.traffic.replica_ms)
        if int(numbers[-1]) >= room:
            sites = self.traffic.replica_ms.shape[1]
            replica_ms = np.full((max(2 * room, int(numbers[-1]) + 1), sites), -1, dtype=np.int64)
            replica_ms[:room] = self.traffic.replica_ms
            self.traffic = self.traffic._replace(replica_ms=replica_ms)
        new = (self.traffic.replica_ms[numbers] < 0).all(axis=1)
        self.traffic.replica_ms[numbers[new], home[reads[first[new]]]] = 0

    def _advance(self, rows: Arrivals, more: bool) -> int:
        c = self.columns
        return int(
            advance(
                rows, 1 if more else 0, c.pools, c.zones, self.costs, c.links,
                self.requests.classes, self.jobs, self.inputs, self.traffic, self.rules,
                self.state, self.live, self.clock, self.records, self.packing,
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
        if self.purses is not None:
            self.purses.over(count, self.records)
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

    def _grow(self, rows: Arrivals) -> None:
        """More room for what the next row of the stretch ran short of: rows of the nodes' table, or
        as many slots again; where address space or the heap is full, everything moves first."""
        if self.packing is not None and self.clock.cursor[CURSOR_ARRIVAL] < len(rows.klass):
            klass = rows.klass[self.clock.cursor[CURSOR_ARRIVAL]]
            members = self.packing.members[0] + members_of(
                klass, self.requests.classes, self.packing
            )
            if members > len(self.packing.nodes.held_node):
                self.packing = with_rows(self.packing, int(members))
                return
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
        heap = new_heap(4 * slots)
        length = int(self.clock.cursor[CURSOR_HEAP])
        heap[:length] = self.clock.heap[:length]
        told = np.zeros(2 * slots, dtype=np.int64)
        ends = int(self.clock.cursor[CURSOR_TOLD])
        told[:ends] = self.clock.told[:ends]
        again = np.zeros(2 * slots + 1, dtype=np.int32)
        waiting = int(self.clock.again[0]) + 1
        again[:waiting] = self.clock.again[:waiting]
        self.clock = self.clock._replace(heap=heap, told=told, again=again)
        if self.policy.preemption:
            self.clock = self.clock._replace(roster=grow_roster(self.clock.roster, slots))


def _records(size: int, packing: Packing | None) -> Records:
    widest = 0 if packing is None else len(packing.nodes.picked_node)

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
        node_from=np.zeros(1 if packing is None else size + 1, dtype=np.int64),
        node=np.zeros(0 if packing is None else 4 * size + 4 * widest, dtype=np.int32),
    )
