"""The simulator's event loop: the planner's kernels under a virtual clock.

At each instant that something happens: ends and jobs whose not-before has come, a dispatch of each
pool that was touched, then each arrival in row order: bound, and its pool dispatched. That is what
``plan()`` does; ``reference.py`` drives ``plan()`` itself and must give the same table.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.claims import add_claim, drop_claim
from westward.placement.dispatch import dispatch
from westward.placement.intervals import interval, learn
from westward.placement.kernels import begin_moves, bind, choose, may_review
from westward.placement.state import (
    DEADLINE,
    NOT_OPEN,
    OK,
    Classes,
    Costs,
    Inputs,
    Jobs,
    Links,
    Pools,
    Rules,
    State,
    Traffic,
    Zones,
)
from westward.placement.waiting import enqueue, unlink
from westward.simulate.heap import (
    END,
    KIND_MASK,
    KIND_SHIFT,
    OVERDUE,
    RELEASE,
    SLOT_MASK,
    TIME_SHIFT,
    pop,
    push,
)
from westward.simulate.live import (
    AT_STOP,
    CURSOR_ARRIVAL,
    CURSOR_BASE_ROW,
    CURSOR_EVENTS,
    CURSOR_HEAP,
    CURSOR_NOW,
    CURSOR_RECORDS,
    CURSOR_REVIEW_AT,
    CURSOR_REVIEW_MS,
    CURSOR_STOP_MS,
    CURSOR_ZERO_MS,
    FINISHED,
    NEED_FLUSH,
    NEED_ROWS,
    NEED_SLOTS,
    OVER,
    REFUSED,
    Arrivals,
    Clockwork,
    Live,
    Records,
)

BYTES_PER_GB = 1_000_000_000.0
RETRY_MS = 3_600_000
"""A job that has nowhere to go while sites are closed asks again so often."""
PRIORITY_SHIFT = 48
"""Order = (127 - priority) << 48 | row: of one priority the earlier row goes first."""


@jit
def run_ms(duration_ms: int, speed: float) -> int:
    """True run time on a pool of this relative speed; the rule ``kernels.estimate`` uses."""
    return max(1, int(duration_ms / speed))


@jit
def schedule(at_ms: int, kind: int, j: int, clock: Clockwork) -> None:
    key = ((at_ms - clock.cursor[CURSOR_ZERO_MS]) << TIME_SHIFT) | (kind << KIND_SHIFT) | j
    clock.cursor[CURSOR_HEAP] = push(clock.heap, clock.cursor[CURSOR_HEAP], key)


@jit
def touch(p: int, clock: Clockwork) -> None:
    if clock.marked[p] == 0:
        clock.marked[p] = 1
        clock.touched[0] += 1
        clock.touched[clock.touched[0]] = p


@jit
def record(j: int, p: int, end_ms: int, why: int, live: Live, state: State,
           clock: Clockwork, records: Records) -> None:  # fmt: skip
    """Note a run segment (or a refusal: p = -1) of slot j."""
    at = clock.cursor[CURSOR_RECORDS]
    clock.cursor[CURSOR_RECORDS] = at + 1
    records.row[at] = live.row[j]
    records.pool[at] = p
    records.start_ms[at] = live.start_ms[j]
    records.end_ms[at] = end_ms
    records.need_milli[at] = state.job_need[j]
    records.why[at] = why
    records.not_before_ms[at] = state.job_not_before_ms[j]
    records.predicted_ms[at] = live.predicted_ms[j]
    records.low_ms[at] = live.low_ms[j]
    records.high_ms[at] = live.high_ms[j]
    records.first_ms[at] = live.first_ms[j]
    records.waited_ms[at] = live.waited_ms[j]
    records.transfer[at] = live.paid[j]
    records.due_ms[at] = live.due_ms[j]


@jit
def begin_runs(count: int, p: int, now: int, pools: Pools, jobs: Jobs, state: State,
               live: Live, clock: Clockwork) -> None:  # fmt: skip
    """The first ``count`` slots of ``state.started`` run from now until their true end."""
    for s in range(count):
        j = state.started[s]
        end = now + run_ms(live.left_ms[j], pools.speed[p])
        live.start_ms[j] = now
        live.end_ms[j] = end
        live.waited_ms[j] += now - live.since_ms[j]
        if live.first[j] == 1:
            live.first[j] = 0
            live.first_ms[j] = now
            if jobs.submit_ms[j] == now:
                live.predicted_ms[j] = now  # backfilled at once: that is the answer given
                live.low_ms[j] = -1
                live.high_ms[j] = -1
            elif live.low_ms[j] >= 0:
                learn(live.told_from_ms[j], live.predicted_ms[j], now, clock.quantiles)
        schedule(end, END, j, clock)
        expected = now + state.job_duration_ms[j]
        if expected < end:
            schedule(expected, OVERDUE, j, clock)


@jit
def prolong(j: int, p: int, now: int, state: State, live: Live, clock: Clockwork) -> None:
    """Slot j runs past its expected end: it is thought to run as long again (``Claim.end_ms``)."""
    need = state.job_need[j]
    drop_claim(j, p, now, state)
    while live.start_ms[j] + state.job_duration_ms[j] <= now:
        state.job_duration_ms[j] *= 2
    expected = live.start_ms[j] + state.job_duration_ms[j]
    add_claim(j, p, need, expected, state)
    if expected < live.end_ms[j]:
        schedule(expected, OVERDUE, j, clock)


@jit
def take_slot(r: int, arrivals: Arrivals, jobs: Jobs, inputs: Inputs, state: State, live: Live,
              clock: Clockwork) -> int:  # fmt: skip
    """Copy row r of the stretch into a free slot."""
    top = live.free[0]
    j = live.free[top]
    live.free[0] = top - 1
    row = clock.cursor[CURSOR_BASE_ROW] + r
    priority = arrivals.priority[r if len(arrivals.priority) > 1 else 0]
    jobs.submit_ms[j] = arrivals.submit_ms[r]
    jobs.estimate_ms[j] = arrivals.estimate_ms[r]
    jobs.klass[j] = arrivals.klass[r]
    jobs.deadline_ms[j] = arrivals.deadline_ms[r if len(arrivals.deadline_ms) > 1 else 0]
    jobs.home[j] = arrivals.home[r]
    jobs.pinned[j] = arrivals.pinned[r if len(arrivals.pinned) > 1 else 0]
    jobs.order[j] = ((127 - priority) << PRIORITY_SHIFT) | row
    size = arrivals.input_bytes[r if len(arrivals.input_bytes) > 1 else 0]
    jobs.input_to[j] = jobs.input_from[j]
    if size > 0:
        jobs.input_to[j] += 1
        inputs.site[j] = arrivals.home[r]
        inputs.gb[j] = size / BYTES_PER_GB
        inputs.dataset[j] = arrivals.dataset[r if len(arrivals.dataset) > 1 else 0]
    live.row[j] = row
    live.left_ms[j] = arrivals.duration_ms[r]
    live.due_ms[j] = jobs.deadline_ms[j]
    live.checkpoint_ms[j] = arrivals.checkpoint_ms[r if len(arrivals.checkpoint_ms) > 1 else 0]
    live.priority[j] = priority
    live.start_ms[j] = -1
    live.end_ms[j] = -1
    live.predicted_ms[j] = -1
    live.low_ms[j] = -1
    live.high_ms[j] = -1
    live.first[j] = 1
    live.first_ms[j] = -1
    live.away[j] = 0
    live.since_ms[j] = arrivals.submit_ms[r]
    live.waited_ms[j] = 0
    live.paid[j] = 0.0
    state.job_pool[j] = -1
    state.job_need[j] = 0
    state.job_not_before_ms[j] = 0
    return j


@jit
def release_at(j: int, at_ms: int, state: State, live: Live, clock: Clockwork) -> None:
    """Job j is away until then."""
    state.job_not_before_ms[j] = at_ms
    live.away[j] = 1
    schedule(at_ms, RELEASE, j, clock)


@jit
def leave_slot(j: int, live: Live) -> None:
    top = live.free[0] + 1
    live.free[0] = top
    live.free[top] = j


@jit
def place(
    j: int,
    now: int,
    pools: Pools,
    zones: Zones,
    costs: Costs,
    links: Links,
    classes: Classes,
    jobs: Jobs,
    inputs: Inputs,
    traffic: Traffic,
    rules: Rules,
    state: State,
    live: Live,
    clock: Clockwork,
    records: Records,
) -> None:
    """Choose and bind for slot j; refuse it when nothing will do.

    A slot that is bound already (a review) stays where it is unless another pool is better.
    """
    old = state.job_pool[j]
    if old >= 0:
        unlink(j, old, state)
        state.profile_count[old] = 0
        state.hint[0] = old
    best = choose(j, now, pools, zones, costs, links, classes, jobs, inputs, traffic, rules, state)
    if old >= 0:
        if best.refusal != OK or best.pool == old:
            enqueue(j, old, jobs, state)
            return
        touch(old, clock)
    if best.refusal != OK:
        if best.refusal == DEADLINE and live.first[j] == 0:
            # It has run before and was stopped: late is better than never.
            jobs.deadline_ms[j] = -1
            release_at(j, now, state, live, clock)
        elif best.refusal == NOT_OPEN or live.first[j] == 0:
            release_at(j, now + RETRY_MS, state, live, clock)
        else:
            record(j, -1, -1, REFUSED + best.refusal, live, state, clock, records)
            leave_slot(j, live)
        return
    p = best.pool
    if live.first[j] == 1 and old < 0:
        live.predicted_ms[j] = best.start_ms
        if best.start_ms == best.earliest_ms and best.earliest_ms > best.ready_ms:
            live.told_from_ms[j] = best.ready_ms
            low, high = interval(best.ready_ms, best.start_ms, clock.quantiles)
            live.low_ms[j] = low
            live.high_ms[j] = high
    if jobs.input_to[j] > jobs.input_from[j]:
        begin_moves(j, pools.site[p], now, links, jobs, inputs, traffic, rules)
    live.paid[j] += best.transfer
    joined = bind(j, best, now, jobs, rules, state)
    if state.job_not_before_ms[j] > now:
        release_at(j, state.job_not_before_ms[j], state, live, clock)
    if joined:
        touch(p, clock)


@jit
def list_reviews(
    pools: Pools, jobs: Jobs, inputs: Inputs, rules: Rules, state: State, clock: Clockwork
) -> None:
    """The first of every queue, pool by pool: who looks at all pools again."""
    count = 0
    idle = False
    for p in range(len(pools.site)):
        idle = idle or state.head[p] < 0
    for p in range(len(pools.site) if idle else 0):
        j = state.head[p]
        looked = 0
        while j >= 0 and looked < rules.review_depth:
            if may_review(j, p, jobs, inputs, pools):
                count += 1
                clock.review[count] = j
            looked += 1
            j = state.next[j]
    clock.review[0] = count
    clock.cursor[CURSOR_REVIEW_AT] = 1


@jit
def advance(
    arrivals: Arrivals,
    more: int,
    pools: Pools,
    zones: Zones,
    costs: Costs,
    links: Links,
    classes: Classes,
    jobs: Jobs,
    inputs: Inputs,
    traffic: Traffic,
    rules: Rules,
    state: State,
    live: Live,
    clock: Clockwork,
    records: Records,
) -> int:
    """Run until rows, slots or room for records are needed, or the stop is reached, or all is over.

    ``more``: 1 = other stretches follow this one.
    """
    rows = len(arrivals.submit_ms)
    cursor = clock.cursor
    newcomer = -1
    room = len(records.row) - 2
    # An instant adds at most two events a live job to those that are left from runs cut short.
    crowded = len(clock.heap) // 2
    while True:
        if cursor[CURSOR_RECORDS] > room:
            return NEED_FLUSH
        row = cursor[CURSOR_ARRIVAL]
        if row >= rows and more == 1:
            return NEED_ROWS
        now = cursor[CURSOR_STOP_MS]
        if cursor[CURSOR_HEAP] > 0:
            now = min(now, (clock.heap[0] >> TIME_SHIFT) + cursor[CURSOR_ZERO_MS])
        elif row >= rows:
            return OVER
        if cursor[CURSOR_HEAP] > crowded:
            return NEED_SLOTS
        if row < rows:
            if live.free[0] == 0:
                return NEED_SLOTS
            now = min(now, arrivals.submit_ms[row])
        if clock.again[0] > 0 or cursor[CURSOR_REVIEW_AT] <= clock.review[0]:
            now = cursor[CURSOR_NOW]  # left in the middle of an instant, for want of room
        if now >= cursor[CURSOR_STOP_MS]:
            return AT_STOP
        cursor[CURSOR_NOW] = now
        ended = False
        mark = (now - cursor[CURSOR_ZERO_MS] + 1) << TIME_SHIFT
        while cursor[CURSOR_HEAP] > 0 and clock.heap[0] < mark:
            if cursor[CURSOR_RECORDS] > room:
                return NEED_FLUSH
            key = clock.heap[0]
            cursor[CURSOR_HEAP] = pop(clock.heap, cursor[CURSOR_HEAP])
            cursor[CURSOR_EVENTS] += 1
            j = key & SLOT_MASK
            p = state.job_pool[j]
            kind = (key >> KIND_SHIFT) & KIND_MASK
            if kind == OVERDUE:
                if live.start_ms[j] >= 0 and live.start_ms[j] + state.job_duration_ms[j] == now:
                    prolong(j, p, now, state, live, clock)
                    touch(p, clock)
                continue
            if kind == END:
                if live.start_ms[j] < 0 or live.end_ms[j] != now:
                    continue  # it was stopped before
                drop_claim(j, p, live.start_ms[j] + state.job_duration_ms[j], state)
                record(j, p, now, FINISHED, live, state, clock, records)
                live.start_ms[j] = -1
                leave_slot(j, live)
                touch(p, clock)
                ended = True
                continue
            if live.away[j] == 0 or state.job_not_before_ms[j] != now:
                continue  # it was placed anew meanwhile
            live.away[j] = 0
            if p < 0:
                clock.again[0] += 1
                clock.again[clock.again[0]] = j
                continue
            if rules.conservative == 0:
                enqueue(j, p, jobs, state)
            touch(p, clock)
        newcomer = -1
        if rules.review_ms > 0 and ended and now >= cursor[CURSOR_REVIEW_MS]:
            cursor[CURSOR_REVIEW_MS] = now + rules.review_ms
            cursor[CURSOR_REVIEW_AT] = -1
        while True:
            for t in range(1, clock.touched[0] + 1):
                p = clock.touched[t]
                clock.marked[p] = 0
                count = dispatch(p, now, 0, newcomer, pools, jobs, rules, state)
                begin_runs(count, p, now, pools, jobs, state, live, clock)
            clock.touched[0] = 0
            newcomer = -1
            if cursor[CURSOR_RECORDS] > room:
                break
            if cursor[CURSOR_REVIEW_AT] < 0:
                # Everybody who could start now has: those still waiting look again.
                list_reviews(pools, jobs, inputs, rules, state, clock)
            alone = True
            if clock.again[0] > 0:
                j = clock.again[clock.again[0]]
                clock.again[0] -= 1
            elif cursor[CURSOR_REVIEW_AT] <= clock.review[0]:
                j = clock.review[cursor[CURSOR_REVIEW_AT]]
                cursor[CURSOR_REVIEW_AT] += 1
                if live.start_ms[j] >= 0:
                    continue
                alone = False
            elif row < rows and arrivals.submit_ms[row] == now:
                if live.free[0] == 0 or cursor[CURSOR_HEAP] > crowded:
                    break
                j = take_slot(row, arrivals, jobs, inputs, state, live, clock)
                row += 1
                cursor[CURSOR_EVENTS] += 1
            else:
                break
            place(
                j, now, pools, zones, costs, links, classes, jobs, inputs, traffic, rules,
                state, live, clock, records,
            )  # fmt: skip
            if alone:
                newcomer = j
        cursor[CURSOR_ARRIVAL] = row
