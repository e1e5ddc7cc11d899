"""The simulator's event loop: the planner's kernels under a virtual clock.

At each instant that something happens: ends and jobs whose not-before has come, a dispatch of each
pool that was touched, then each arrival in row order: bound, and its pool dispatched. That is what
``plan()`` does; ``reference.py`` drives ``plan()`` itself and must give the same table.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.ahead import fetch
from westward.placement.claims import add_claim, drop_claim
from westward.placement.delegated import learn_wait
from westward.placement.dispatch import dispatch, keep_reservation
from westward.placement.dispatch_nodes import end_nodes
from westward.placement.kernels import begin_moves, bind, choose, may_review
from westward.placement.packing_state import Packing
from westward.placement.roster import join_roster, leave_roster
from westward.placement.state import (
    DEADLINE,
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
from westward.simulate.fair import charge_share, served, tag_order
from westward.simulate.heap import (
    END,
    KIND_MASK,
    KIND_SHIFT,
    OVERDUE,
    SLOT_MASK,
    TIME_SHIFT,
    pop,
)
from westward.simulate.interrupt import (
    going_on,
    make_way,
    may_reopen,
    not_asked,
    pays,
    pretend_stopped,
    run_on,
    stop_run,
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
    MOVED,
    NEED_FLUSH,
    NEED_ROWS,
    NEED_SLOTS,
    OVER,
    REFUSED,
    SUSPENDED,
    Arrivals,
    Clockwork,
    Live,
    Records,
)
from westward.simulate.notes import is_full, record, release_at, schedule, touch
from westward.simulate.told import heard, tell

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
def begin_runs(count: int, p: int, now: int, pools: Pools, jobs: Jobs, rules: Rules, state: State,
               live: Live, clock: Clockwork) -> None:  # fmt: skip
    """The first ``count`` slots of ``state.started`` run from now until their true end."""
    for s in range(count):
        j = state.started[s]
        end = now + run_ms(live.left_ms[j], pools.speed[p])
        live.start_ms[j] = now
        live.end_ms[j] = end
        live.waited_ms[j] += now - live.since_ms[j]
        if rules.preempt == 1:
            priority = int(live.priority[j])
            need = state.job_need[j]
            join_roster(
                j, p, priority, need, state.job_chain[j], live.checkpoint_ms[j], now, clock.roster
            )
        if len(clock.weight) > 1:
            served(j, p, jobs, state, clock)
        if state.delegated[p] == 1 and jobs.pinned[j] == 0:
            joined_ms = max(live.since_ms[j], state.job_not_before_ms[j])
            learn_wait(p, state.job_need[j], now - joined_ms, now, state)
        if live.first[j] == 1:
            live.first[j] = 0
            live.first_ms[j] = now
            if jobs.submit_ms[j] == now and state.delegated[p] == 0:
                live.predicted_ms[j] = now  # backfilled at once: that is the answer given
                live.low_ms[j] = -1
                live.high_ms[j] = -1
            elif live.low_ms[j] >= 0:
                heard(j, now, live, clock)
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
def members_of(c: int, classes: Classes, packing: Packing) -> int:
    """Rows that a job of class c may hold; none when it is wider than every pool."""
    members = 0 + classes.nodes[c]
    return members if members <= len(packing.nodes.picked_node) else 0


@jit
def take_slot(r: int, arrivals: Arrivals, classes: Classes, jobs: Jobs, inputs: Inputs,
              state: State, live: Live, clock: Clockwork,
              packing: Packing | None) -> int:  # fmt: skip
    """Copy row r of the stretch into a free slot."""
    if packing is not None:
        packing.members[0] += members_of(arrivals.klass[r], classes, packing)
    top = live.free[0]
    j = live.free[top]
    live.free[0] = top - 1
    row = clock.cursor[CURSOR_BASE_ROW] + r
    priority = int(arrivals.priority[r if len(arrivals.priority) > 1 else 0])
    jobs.submit_ms[j] = arrivals.submit_ms[r]
    jobs.estimate_ms[j] = arrivals.estimate_ms[r]
    jobs.klass[j] = arrivals.klass[r]
    jobs.deadline_ms[j] = arrivals.deadline_ms[r if len(arrivals.deadline_ms) > 1 else 0]
    jobs.home[j] = arrivals.home[r]
    jobs.pinned[j] = arrivals.pinned[r if len(arrivals.pinned) > 1 else 0]
    jobs.payer[j] = arrivals.payer[r if len(arrivals.payer) > 1 else 0]
    jobs.order[j] = ((127 - priority) << PRIORITY_SHIFT) | row
    if len(clock.weight) > 1:
        jobs.order[j] = tag_order(j, int(arrivals.tenant[r]), priority, live, clock)
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
    live.state_gb[j] = 0.0
    live.asked[j] = 0
    state.job_pool[j] = -1
    state.job_need[j] = 0
    state.job_chain[j] = -1
    state.job_not_before_ms[j] = 0
    return j


@jit
def leave_slot(j: int, classes: Classes, jobs: Jobs, live: Live, packing: Packing | None) -> None:
    if packing is not None:
        packing.members[0] -= members_of(jobs.klass[j], classes, packing)
    top = live.free[0] + 1
    live.free[0] = top
    live.free[top] = j


@jit
def has_room(r: int, crowded: int, arrivals: Arrivals, classes: Classes, live: Live,
             clock: Clockwork, packing: Packing | None) -> bool:  # fmt: skip
    """Is there a slot, room for its events, and for what its members will hold of the nodes?"""
    room: bool = live.free[0] > 0 and clock.cursor[CURSOR_HEAP] <= crowded
    if packing is not None:
        members = packing.members[0] + members_of(arrivals.klass[r], classes, packing)
        room = room and members <= len(packing.nodes.held_node)
    return room


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
    packing: Packing | None,
) -> None:
    """Choose and bind for slot j; refuse it when nothing will do.

    A slot that is bound already (a review) stays where it is unless another pool is better. One
    that was ``asked`` runs: it goes on unless the best choice beats that.
    """
    runs = live.asked[j] == 1
    if runs and live.start_ms[j] < 0:
        live.asked[j] = 0  # it ended at this very instant, or was preempted (and is listed twice)
        return
    as_it_was = not_asked()
    staying = 0.0
    old = -1
    if runs:
        state.hint[0] = state.job_pool[j]
        staying = going_on(j, now, pools, zones, costs, jobs, rules, state, live)
        as_it_was = pretend_stopped(j, now, pools, jobs, inputs, rules, state, live)
    elif state.job_pool[j] >= 0:
        old = state.job_pool[j]
        unlink(j, old, jobs, state)
        state.profile_count[old] = 0
        state.hint[0] = old
    best = choose(j, now, pools, zones, costs, links, classes, jobs, inputs, traffic, rules, state)
    if old >= 0:
        if best.refusal != OK or best.pool == old:
            enqueue(j, old, jobs, state)
            return
        touch(old, clock)
    if runs:
        live.asked[j] = 0
        run_on(j, as_it_was, jobs, inputs, state, live)
        if not pays(j, best, staying, as_it_was, jobs, rules):
            return
        why = SUSPENDED if best.pool == as_it_was.pool else MOVED
        stop_run(j, now, why, pools, jobs, inputs, rules, state, live, clock, records, packing)
    if best.refusal != OK:
        promised = live.first[j] == 0 or live.predicted_ms[j] >= 0
        if best.refusal >= DEADLINE and promised and jobs.deadline_ms[j] >= 0:
            # It was stopped, or its place was closed: late is better than never.
            jobs.deadline_ms[j] = -1
            release_at(j, now, state, live, clock)
        elif promised or may_reopen(j, best.refusal, pools, classes, jobs, rules, clock):
            release_at(j, now + RETRY_MS, state, live, clock)
        else:
            record(j, -1, -1, REFUSED + best.refusal, live, state, clock, records, packing)
            leave_slot(j, classes, jobs, live, packing)
        return
    p = best.pool
    live.away[j] = 0
    if live.predicted_ms[j] < 0:
        live.predicted_ms[j] = best.start_ms
        if best.start_ms == best.earliest_ms and best.earliest_ms > best.ready_ms:
            tell(j, int(state.delegated[p]), best.ready_ms, best.start_ms, now, live, clock)
    if jobs.input_to[j] > jobs.input_from[j]:
        begin_moves(j, pools.site[p], now, links, jobs, inputs, traffic, rules)
    live.paid[j] += best.transfer
    joined = bind(j, best, now, jobs, rules, state)
    if len(clock.weight) > 1:
        charge_share(j, jobs.estimate_ms[j], rules, state, live, clock)
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
        # What was handed to a site's own scheduler stays there.
        j = state.head[p] if state.delegated[p] == 0 else -1
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
    packing: Packing | None,
) -> int:
    """Run until rows, slots or room for records are needed, or the stop is reached, or all is over.

    ``more``: 1 = other stretches follow this one. ``packing``: None = pools are one number.
    """
    rows = len(arrivals.submit_ms)
    cursor = clock.cursor
    newcomer = -1
    room = len(records.row) - 2
    # An instant adds at most two events a live job to those that are left from runs cut short.
    crowded = len(clock.heap) // 2
    while True:
        if is_full(room, clock, records, packing):
            return NEED_FLUSH
        row = cursor[CURSOR_ARRIVAL]
        if row >= rows and more == 1:
            return NEED_ROWS
        now = cursor[CURSOR_STOP_MS]
        pending = (
            clock.again[0] > 0
            or clock.touched[0] > 0
            or cursor[CURSOR_REVIEW_AT] <= clock.review[0]
        )
        if pending:
            now = cursor[CURSOR_NOW]  # the instant is not over: room was needed, or a stop's work
        elif cursor[CURSOR_HEAP] > 0:
            now = min(now, (clock.heap[0] >> TIME_SHIFT) + cursor[CURSOR_ZERO_MS])
        elif row >= rows:
            return OVER
        if cursor[CURSOR_HEAP] > crowded:
            return NEED_SLOTS
        if row < rows:
            if not has_room(row, crowded, arrivals, classes, live, clock, packing):
                return NEED_SLOTS
            if not pending:
                now = min(now, arrivals.submit_ms[row])
        if now >= cursor[CURSOR_STOP_MS]:
            return AT_STOP
        cursor[CURSOR_NOW] = now
        ended = False
        mark = (now - cursor[CURSOR_ZERO_MS] + 1) << TIME_SHIFT
        while cursor[CURSOR_HEAP] > 0 and clock.heap[0] < mark:
            if is_full(room, clock, records, packing):
                return NEED_FLUSH
            key = clock.heap[0]
            cursor[CURSOR_HEAP] = pop(clock.heap, cursor[CURSOR_HEAP])
            cursor[CURSOR_EVENTS] += 1
            if cursor[CURSOR_HEAP] > 0:
                following = clock.heap[0] & SLOT_MASK
                fetch(state.job_need, following)
                fetch(live.row, following)
            j = key & SLOT_MASK
            p = state.job_pool[j]
            kind = (key >> KIND_SHIFT) & KIND_MASK
            if kind == OVERDUE:
                if live.start_ms[j] >= 0 and live.start_ms[j] + state.job_duration_ms[j] == now:
                    reserved = state.shadow_job[p]
                    prolong(j, p, now, state, live, clock)
                    later = live.start_ms[j] + state.job_duration_ms[j]
                    keep_reservation(p, reserved, now, later, state)
                    if packing is not None or rules.preempt == 1 or state.shadow_job[p] < 0:
                        touch(p, clock)  # else nothing is freed, and nobody's time has come
                continue
            if kind == END:
                if live.start_ms[j] < 0 or live.end_ms[j] != now:
                    continue  # it was stopped before
                reserved = state.shadow_job[p]
                expected = live.start_ms[j] + state.job_duration_ms[j]
                drop_claim(j, p, expected, state)
                record(j, p, now, FINISHED, live, state, clock, records, packing)
                if packing is not None:
                    priority = int(live.priority[j])
                    end_nodes(j, p, priority, expected, reserved, state, packing)
                else:
                    # What it held was counted as free before the head's time, and still is.
                    keep_reservation(p, reserved, expected, expected, state)
                live.start_ms[j] = -1
                if rules.preempt == 1:
                    leave_roster(j, p, int(live.priority[j]), now, clock.roster)
                leave_slot(j, classes, jobs, live, packing)
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
            if rules.conservative == 0 or state.delegated[p] == 1:
                enqueue(j, p, jobs, state)
            touch(p, clock)
        newcomer = -1
        if rules.review_ms > 0 and ended and now >= cursor[CURSOR_REVIEW_MS]:
            cursor[CURSOR_REVIEW_MS] = now + rules.review_ms
            cursor[CURSOR_REVIEW_AT] = -1
        while True:
            t = 1
            while t <= clock.touched[0] and cursor[CURSOR_RECORDS] <= room:
                p = clock.touched[t]
                count = dispatch(p, now, 0, newcomer, pools, classes, jobs, rules, state, packing)
                begin_runs(count, p, now, pools, jobs, rules, state, live, clock)
                if rules.preempt == 1 and make_way(
                    p, now, pools, classes, jobs, inputs, rules, state, live, clock, records,
                    packing,
                ):  # fmt: skip
                    continue
                clock.marked[p] = 0
                t += 1
            # The rest has its turn when the records have been handed on.
            for left in range(t, clock.touched[0] + 1):
                clock.touched[left - t + 1] = clock.touched[left]
            clock.touched[0] -= t - 1
            newcomer = -1
            if is_full(room, clock, records, packing):
                break
            if cursor[CURSOR_REVIEW_AT] < 0:
                # Everybody who could start now has: those still waiting look again.
                list_reviews(pools, jobs, inputs, rules, state, clock)
            alone = True
            if clock.again[0] > 0:
                if cursor[CURSOR_HEAP] > crowded:
                    break
                j = clock.again[clock.again[0]]
                clock.again[0] -= 1
            elif cursor[CURSOR_REVIEW_AT] <= clock.review[0]:
                j = clock.review[cursor[CURSOR_REVIEW_AT]]
                cursor[CURSOR_REVIEW_AT] += 1
                put_off = live.away[j] == 1 and rules.conservative == 0
                if live.start_ms[j] >= 0 or put_off:
                    continue  # it started meanwhile, and may even have been put out again
                alone = False
            elif row < rows and arrivals.submit_ms[row] == now:
                if not has_room(row, crowded, arrivals, classes, live, clock, packing):
                    break
                j = take_slot(row, arrivals, classes, jobs, inputs, state, live, clock, packing)
                row += 1
                cursor[CURSOR_EVENTS] += 1
            else:
                break
            place(
                j, now, pools, zones, costs, links, classes, jobs, inputs, traffic, rules,
                state, live, clock, records, packing,
            )  # fmt: skip
            if alone:
                newcomer = j
        cursor[CURSOR_ARRIVAL] = row
