"""A planner that stays: ``plan()``'s answers for one arriving job at a time, without its set-up.

``plan()`` turns a whole snapshot into columns for each call: right for a pass over what waits, a
hundred times the work of placing one job. A ``Resident`` keeps the columns between calls and is told
what changes: a run that ended, a claim from elsewhere, a pool that closed. What it places it takes
for done: a job that starts holds its claim from then on.

It answers what ``plan()`` answers on ``snapshot()`` (a property test holds it to that): both call
``rows.plan_rows``. Not pure, and of one thread.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from westward.model.job import JobSpec
from westward.model.network import PoolStatus
from westward.model.plan import (
    Claim,
    Placement,
    Policy,
    PoolState,
    QueuedJob,
    ShadowPrices,
    Snapshot,
)
from westward.placement import rows as kernel_rows
from westward.placement.claims import add_claim, drop_claim
from westward.placement.columns import (
    add_classes,
    class_key,
    fill_terms,
    moved_inputs,
    new_classes,
    no_traffic,
    rule_columns,
    table_step_ms,
)
from westward.placement.covers import cover_rows
from westward.placement.fresh_state import new_state
from westward.placement.placed import placement_at
from westward.placement.planner import Tables, row_order
from westward.placement.prepared import prepared
from westward.placement.rows import new_answers
from westward.placement.slots import jobs_of, new_inputs, new_slots
from westward.placement.waiting import unlink

SPACING = 1 << 32
"""Between the ranks of neighbours, so that one who comes between finds a number."""
ROOM_LEAST = 256
CLASS_CELLS = 1 << 17
"""Room for so many pairs of a class of requests and a pool (33 bytes each). A class more than there
is room for loads everything anew, some milliseconds."""


@dataclass(slots=True)
class _Held:
    """A claim as the state holds it."""

    key: int
    """What the state knows it by: its job's row, or below 0."""
    pool: int
    end_ms: int
    claim: Claim


@dataclass(slots=True)
class _Bound:
    row: int
    pool: int
    option: int
    job: JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What ``place`` found."""

    placement: Placement | None
    """None: no pool will take it; ``plan()`` says why."""
    started: tuple[str, ...]
    """Every job that starts now: this one, and those that time alone has let start."""


class Resident:
    """Takes over a snapshot as of ``now_ms``; time may only go on from there."""

    def __init__(self, snapshot: Snapshot, policy: Policy, now_ms: int) -> None:
        self.policy = policy
        if snapshot.fair:
            raise ValueError("a resident planner keeps the order of arrival: it knows no shares")
        if any(one.site_wait_ms for one in snapshot.pools):
            raise ValueError("a resident planner knows no queues of sites' own")
        self.version = snapshot.version
        self.network = snapshot.network
        self.origin_ms = snapshot.series_origin_ms
        self._load(snapshot, now_ms)

    # -- what is told of ----------------------------------------------------------------------

    def place(self, job: JobSpec, now_ms: int) -> Placed:
        """Choose pool and start, bind, and start what can. Raises ValueError for a job id that is
        already here, or a time before the last one."""
        if job.job_id in self._bound or job.job_id in self._held:
            raise ValueError(f"job {job.job_id} has been placed before")
        self._advance(now_ms)
        row = self._take_row(job, now_ms)
        tables, state = self._tables, self._tables.state
        self._one[0] = row
        entry, count = tables.plan_rows(self._one, -1, 0, now_ms, tells=True)
        rows = state.started[:count].tolist()
        found: Placement | None = None
        if entry == 1:
            found = placement_at(
                row, job, now_ms, tables.classes, tables.jobs, state, tables.answers,
                self._explainer,
            )  # fmt: skip
            self._bound[job.job_id] = _Bound(
                row, state.job_pool.item(row), found.estimate.option, job
            )
            self._job_of[row] = job
            if self.policy.discipline == "easy" and found.not_before_ms > now_ms:
                heapq.heappush(self._put_off, (found.not_before_ms, row, job.job_id))
        else:
            self._leave_row(row, job)
        started = [self._begin(one, now_ms) for one in rows]
        tables.answers.fresh[row] = 0
        tables.answers.starts[rows] = 0
        return Placed(placement=found, started=tuple(sorted(started)))

    def runs(self, job_id: str) -> bool:
        """The job holds a claim."""
        return job_id in self._held

    def ended(self, job_id: str) -> None:
        """The run is over, or its lease given up: its claim goes. Raises KeyError if there is none."""
        held = self._held.pop(job_id)
        drop_claim(held.key, held.pool, held.end_ms, self._tables.state)
        if held.key >= 0:
            self._leave_row(held.key, self._job_of[held.key])

    def withdrawn(self, job_id: str) -> None:
        """A bound job waits no longer. Raises KeyError if there is none."""
        bound = self._bound.pop(job_id)
        if self._queued(bound):
            self._unlink(bound)
        self._leave_row(bound.row, bound.job)

    def hold(self, pool: str, claim: Claim, now_ms: int) -> None:
        """A claim that was not placed here. Raises ValueError for one that is here already."""
        if claim.job_id in self._held or claim.job_id in self._bound:
            raise ValueError(f"job {claim.job_id} has a claim or a place already")
        self._advance(now_ms)
        if self._foreign == self._foreign_most:
            self._load(self.snapshot(), now_ms)
        self._hold(self._pool_rows[pool], -1 - self._claims, claim, claim.end_ms(now_ms))
        self._claims += 1
        self._foreign += 1

    def set_status(self, pool: str, status: PoolStatus) -> None:
        """Bound jobs stay bound: withdraw and place them again if the pool will not come back. A
        pool that the network itself closes stays closed."""
        self._status[pool] = status
        row = self._pool_rows[pool]
        is_open = status == "open" and self._network.columns.pools.open[row] == 1
        self._tables.pools.open[row] = is_open

    def post(self, shadow: ShadowPrices | None, now_ms: int) -> None:
        """Prices of capacity from now on."""
        self._shadow = shadow
        self._reprice(now_ms)

    def snapshot(self) -> Snapshot:
        """All that is known here, as ``plan()`` takes it."""
        state = self._tables.state
        running: dict[int, list[Claim]] = {}
        queues: dict[int, list[QueuedJob]] = {}
        for held in self._held.values():
            running.setdefault(held.pool, []).append(held.claim)
        for bound in self._bound.values():
            queues.setdefault(bound.pool, []).append(
                QueuedJob(
                    job=bound.job,
                    option=bound.option,
                    need_milli=int(state.job_need[bound.row]),
                    duration_ms=int(state.job_duration_ms[bound.row]),
                    not_before_ms=int(state.job_not_before_ms[bound.row]),
                )
            )
        return Snapshot(
            version=self.version,
            network=self.network,
            series_origin_ms=self.origin_ms,
            pools=tuple(
                PoolState(
                    pool=name,
                    status=self._status[name],
                    running=tuple(running.get(row, ())),
                    queue=tuple(queues.get(row, ())),
                )
                for name, row in self._pool_rows.items()
            ),
            shadow=self._shadow,
            covers=self._covers,
        )

    # -- columns ------------------------------------------------------------------------------

    def _load(self, snapshot: Snapshot, now_ms: int) -> None:
        """Columns anew, with room for twice as much as there is."""
        network = self._network = prepared(snapshot.network, self.policy.carbon_method)
        columns, count = network.columns, len(network.columns.pool_names)
        self._pool_rows = network.pool_rows
        self._site_rows = {name: row for row, name in enumerate(columns.site_names)}
        self._status: dict[str, PoolStatus] = dict.fromkeys(columns.pool_names, "down")
        waiting = sum(len(one.queue) for one in snapshot.pools)
        claims = [len(one.running) for one in snapshot.pools]
        room = max(ROOM_LEAST, 2 * (waiting + sum(claims)))
        self._foreign = sum(claims)
        self._foreign_most = self._foreign + room
        slots = new_slots(room)
        state = new_state(
            columns.pools,
            slots,
            self.policy.backfill_depth,
            conservative=self.policy.discipline == "conservative",
            extra=max(claims, default=0) + room,
        )
        rules = rule_columns(self.policy, columns, self.origin_ms)
        self._shadow = snapshot.shadow
        self._covers = snapshot.covers
        covers = self._covers if self.policy.rule == "westward" else ()
        self._payers, cover = cover_rows(covers, self._pool_rows, columns.pools.price)
        costs, posted = network.costs(rules, now_ms, snapshot.shadow)
        self._tables = Tables(
            columns=columns,
            pools=columns.pools._replace(open=np.zeros_like(columns.pools.open), cover=cover),
            rules=rules,
            costs=costs,
            posted=posted,
            classes=new_classes(max(ROOM_LEAST, CLASS_CELLS // count) + waiting, count),
            jobs=jobs_of(slots),
            inputs=new_inputs(
                room + sum(len(q.job.inputs) for p in snapshot.pools for q in p.queue)
            ),
            traffic=no_traffic(len(columns.site_names)),
            state=state,
            answers=new_answers(room, count),
        )
        self._tables.inputs.dataset[:] = -1
        self._explainer = self._tables.explainer(self.network)
        self._rules, self._one = rules, np.zeros(1, dtype=np.int64)
        self._step_ms = table_step_ms(columns, rules)
        self._now_ms = self._priced_ms = now_ms
        self._free = list(range(room - 1, -1, -1))
        self._klass: dict[tuple[object, ...], int] = {}
        self._inputs_used = 0
        self._ranks: list[tuple[tuple[int, int, str], int]] = []
        self._job_of: dict[int, JobSpec] = {}
        self._bound: dict[str, _Bound] = {}
        self._held: dict[str, _Held] = {}
        self._claims = 0
        self._ends: list[tuple[int, str]] = []
        self._put_off: list[tuple[int, int, str]] = []
        for one in snapshot.pools:
            self.set_status(one.pool, one.status)
            for claim in one.running:
                pool = self._pool_rows[one.pool]
                self._hold(pool, -1 - self._claims, claim, claim.end_ms(now_ms))
                self._claims += 1
        self._restore(snapshot, now_ms)

    def _restore(self, snapshot: Snapshot, now_ms: int) -> None:
        state = self._tables.state
        queue = [(one.pool, entry) for one in snapshot.pools for entry in one.queue]
        queue.sort(key=lambda one: row_order(one[1].job))
        due = []
        for pool, entry in queue:
            row = self._take_row(entry.job, now_ms)
            state.job_pool[row] = self._pool_rows[pool]
            state.job_need[row] = entry.need_milli
            state.job_duration_ms[row] = entry.duration_ms
            state.job_not_before_ms[row] = entry.not_before_ms
            self._bound[entry.job.job_id] = _Bound(
                row, self._pool_rows[pool], entry.option, entry.job
            )
            self._job_of[row] = entry.job
            if self.policy.discipline == "easy" and entry.not_before_ms > now_ms:
                heapq.heappush(self._put_off, (entry.not_before_ms, row, entry.job.job_id))
            else:
                due.append(row)
        self._enqueue(due, now_ms)

    def _take_row(self, job: JobSpec, now_ms: int) -> int:
        """A row with the job's terms in it. May load everything anew to make room."""
        allowed = self._network.allowed(job)
        key = (class_key(job, ()), allowed)
        moved = moved_inputs(job, self._site_rows) if job.inputs else []
        tables = self._tables
        if (
            not self._free
            or (key not in self._klass and len(self._klass) == len(tables.classes.nodes))
            or self._inputs_used + len(moved) > len(tables.inputs.gb)
        ):
            self._load(self.snapshot(), now_ms)
            tables = self._tables
        klass = self._klass.get(key)
        if klass is None:
            klass = self._klass[key] = len(self._klass)
            add_classes(klass, [job], [allowed], tables.columns, tables.classes)
        row = self._free.pop()
        jobs, first = tables.jobs, self._inputs_used
        jobs.klass[row] = klass
        jobs.payer[row] = self._payers.get(job.account, 0)
        jobs.order[row] = self._rank(job, row)
        fill_terms(jobs, slice(row, row + 1), [job], self._site_rows)
        jobs.input_from[row] = first
        self._inputs_used = jobs.input_to[row] = first + len(moved)
        for at, (site, gb) in enumerate(moved, start=first):
            tables.inputs.site[at], tables.inputs.gb[at] = site, gb
        state = tables.state
        state.prev[row] = state.next[row] = state.job_pool[row] = -1
        return row

    def _leave_row(self, row: int, job: JobSpec) -> None:
        key = row_order(job)
        del self._ranks[bisect_left(self._ranks, (key, -1))]
        self._tables.state.job_pool[row] = -1
        self._job_of.pop(row, None)
        self._free.append(row)

    def _rank(self, job: JobSpec, row: int) -> int:
        """A number between those of its neighbours in ``row_order``."""
        entry = (row_order(job), row)
        order = self._tables.jobs.order
        at = bisect_left(self._ranks, entry)
        self._ranks.insert(at, entry)
        low = int(order[self._ranks[at - 1][1]]) if at > 0 else None
        high = int(order[self._ranks[at + 1][1]]) if at + 1 < len(self._ranks) else None
        if low is None:
            return 0 if high is None else high - SPACING
        if high is None:
            return low + SPACING
        if high - low > 1:
            return (low + high) // 2
        for number, (_, other) in enumerate(self._ranks):
            order[other] = number * SPACING
        return int(order[row])

    # -- time ---------------------------------------------------------------------------------

    def _advance(self, now_ms: int) -> None:
        """Claims past their end are thought to run on; jobs put off until now join their queues."""
        if now_ms < self._now_ms:
            raise ValueError("time went back")
        self._now_ms = now_ms
        since = self.origin_ms
        if (now_ms - since) // self._step_ms != (self._priced_ms - since) // self._step_ms:
            self._reprice(now_ms)
        state = self._tables.state
        while self._ends and self._ends[0][0] <= now_ms:
            end_ms, job_id = heapq.heappop(self._ends)
            held = self._held.get(job_id)
            if held is None or held.end_ms != end_ms:
                continue
            later = held.claim.end_ms(now_ms)
            need = held.claim.need_milli
            drop_claim(held.key, held.pool, end_ms, state)
            add_claim(held.key, held.pool, need, later, state)
            held.end_ms = later
            heapq.heappush(self._ends, (later, job_id))
        due = []
        while self._put_off and self._put_off[0][0] <= now_ms:
            _, row, job_id = heapq.heappop(self._put_off)
            bound = self._bound.get(job_id)
            if bound is not None and bound.row == row and not self._queued(bound):
                due.append(row)
        self._enqueue(due, now_ms)

    def _reprice(self, now_ms: int) -> None:
        self._priced_ms = now_ms
        costs, posted = self._network.costs(self._rules, now_ms, self._shadow)
        if costs is not self._tables.costs:
            self._tables = self._tables.with_costs(costs, posted)
            self._explainer = self._tables.explainer(self.network)

    def _enqueue(self, rows: Sequence[int], now_ms: int) -> None:
        if rows:
            tables = self._tables
            joining = np.array(rows, dtype=np.int64)
            kernel_rows.queue_rows(joining, now_ms, tables.jobs, tables.rules, tables.state)
            tables.state.shadow_job[tables.state.job_pool[joining]] = -1

    def _queued(self, bound: _Bound) -> bool:
        state = self._tables.state
        return bool(state.prev[bound.row] >= 0 or state.head[bound.pool] == bound.row)

    def _unlink(self, bound: _Bound) -> None:
        state = self._tables.state
        unlink(bound.row, bound.pool, self._tables.jobs, state)
        state.profile_count[bound.pool] = 0
        state.shadow_job[bound.pool] = -1

    def _begin(self, row: int, now_ms: int) -> str:
        """A dispatched job's claim is in the state already."""
        job = self._job_of[row]
        bound = self._bound.pop(job.job_id)
        state = self._tables.state
        end_ms = now_ms + int(state.job_duration_ms[row])
        claim = Claim(
            job_id=job.job_id,
            need_milli=int(state.job_need[row]),
            expected_end_ms=end_ms,
            started_ms=now_ms,
        )
        self._held[job.job_id] = _Held(row, bound.pool, end_ms, claim)
        heapq.heappush(self._ends, (end_ms, job.job_id))
        return job.job_id

    def _hold(self, pool: int, key: int, claim: Claim, end_ms: int) -> None:
        state = self._tables.state
        add_claim(key, pool, claim.need_milli, end_ms, state)
        state.shadow_job[pool] = -1
        self._held[claim.job_id] = _Held(key, pool, end_ms, claim)
        if claim.started_ms is not None:
            heapq.heappush(self._ends, (end_ms, claim.job_id))
