"""EASY backfilling by nodes: who of those bound to a pool starts now, and on which nodes.

The rules are those of ``dispatch.dispatch_easy``; two things must hold where there one does. A job
starts only when its need is free in the whole pool *and* its members find their nodes, and a job
that would outlast the head's start must leave the head both its devices and its reserved nodes. In
a pool of one-device nodes both say the same, and the starts are those of ``dispatch_easy``.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.ahead import fetch
from westward.placement.claims import add_claim
from westward.placement.packing import give, take
from westward.placement.packing_limits import (
    forget_failure,
    look_at_given,
    note_failure,
    surely_fails,
)
from westward.placement.packing_shadow import (
    begin_shadow,
    fetch_node,
    keep_end,
    keep_long,
    keep_short,
    mark_late,
    release_shadow,
    reserve_shadow,
)
from westward.placement.packing_state import DEVICE_MILLI, NONE, PLENTY, Ask, Packing
from westward.placement.profile import NEVER_MS
from westward.placement.state import BLOCK, Classes, Jobs, Rules, State
from westward.placement.waiting import unlink
from westward.placement.window import close_gap, keep_in_window, leave_window

FAR = 12
"""So many claims ahead of where the reservation of a head is worked out, lines are asked for."""
MIDDLE = 8
NEAR = 4


@jit
def ask_of(j: int, p: int, jobs: Jobs, classes: Classes, packing: Packing) -> Ask:
    """What job j asks of pool p's nodes. More than one device is asked for in whole devices."""
    c = jobs.klass[j]
    devices = 0 + classes.devices_milli[c, p]
    if devices > DEVICE_MILLI:
        devices = (devices + DEVICE_MILLI - 1) // DEVICE_MILLI * DEVICE_MILLI
    spec = NONE
    if c < packing.scores.score.shape[0]:
        spec = 0 + c
    # The kind was settled when the pool was found to fit: all its nodes are of it.
    return Ask(
        0 + classes.nodes[c],
        devices,
        0 + classes.cpus_milli[c, p],
        0 + classes.memory_mib[c, p],
        0,
        spec,
    )


@jit
def reserve_head(p: int, head: int, ask: Ask, state: State, packing: Packing) -> None:
    """When the head will start, by the expected ends of the claims, and on which nodes.

    Everything that ends at that same time counts, for nodes as for devices."""
    lacking = state.job_need[head] - state.free_milli[p]
    missing = begin_shadow(p, ask, packing.nodes, packing.shadow)
    # Nodes that fit are counted up to what the head needs: where that is reached, none is missing.
    enough = missing == 0
    released = 0
    end = NEVER_MS
    time = NONE
    time_slot = state.dir_from[p]
    time_at = 0
    missing_before = missing
    released_before = 0
    slot = state.dir_from[p]
    last_slot = slot + state.dir_count[p]
    while slot < last_slot:
        first = state.dir_block[slot] * BLOCK
        last = first + state.block_len[state.dir_block[slot]]
        for at in range(first, last):
            # Job, what it holds, the node: each lies elsewhere, and says where the next does.
            if at + FAR < last:
                fetch(state.job_chain, state.run_job[at + FAR])
            if at + MIDDLE < last:
                fetch(packing.nodes.held_node, state.job_chain[state.run_job[at + MIDDLE]])
            if at + NEAR < last:
                chain = state.job_chain[state.run_job[at + NEAR]]
                fetch_node(packing.nodes.held_node[chain], packing.nodes, packing.shadow)
            if state.run_end_ms[at] != time:
                if end < NEVER_MS:
                    last_slot = slot
                    break
                time = state.run_end_ms[at]
                time_slot = slot
                time_at = at
                missing_before = missing
                released_before = released
            chain = state.job_chain[state.run_job[at]]
            missing = release_shadow(p, ask, chain, packing.nodes, packing.shadow)
            released += state.run_need[at]
            if end == NEVER_MS and missing == 0 and released >= lacking:
                end = time
        slot += 1
    state.shadow_job[p] = head
    state.shadow_ms[p] = end
    state.shadow_extra[p] = released - lacking
    if end == NEVER_MS:
        return
    forget_failure(p, 2, packing.vain)
    forget_failure(p, 3, packing.vain)
    reserve_shadow(p, ask, packing.nodes, packing.shadow)
    packing.shadow.short[p, 0] = PLENTY if enough else missing_before
    packing.shadow.short[p, 1] = lacking - released_before
    while time_slot < state.dir_from[p] + state.dir_count[p]:
        block = state.dir_block[time_slot]
        time_at = max(time_at, block * BLOCK)
        while time_at < block * BLOCK + state.block_len[block] and state.run_end_ms[time_at] == end:
            chain = state.job_chain[state.run_job[time_at]]
            mark_late(p, chain, packing.nodes, packing.shadow)
            time_at += 1
        if time_at < block * BLOCK + state.block_len[block]:
            break
        time_slot += 1
        time_at = 0


@jit
def within_depth(p: int, j: int, rules: Rules, state: State) -> bool:
    """Is the job among those that are looked at behind the head?"""
    if state.queued_count[p] - 2 < rules.depth:
        return True
    if state.tail[p] == j:
        return False
    if state.window_count[p] > rules.depth:
        within = False
        for i in range(1, rules.depth + 1):
            within = within or state.window_job[p, i] == j
        return within
    at = state.next[state.head[p]]
    for _ in range(rules.depth):
        if at == j:
            return True
        at = state.next[at]
    return False


@jit
def dispatch_nodes(
    p: int,
    now: int,
    started: int,
    newcomer: int,
    jobs: Jobs,
    classes: Classes,
    rules: Rules,
    state: State,
    packing: Packing,
) -> int:
    """``dispatch_easy`` by nodes. What a job took is chained from ``state.job_chain``.

    The head's reservation is worked out only when somebody behind it could pass by size, and kept
    while it stays the same (``packing_shadow``); while it is, the head does not fit. The queue is
    read from its window first, then from the list, which fills the window again."""
    head = state.head[p]
    blocked = head >= 0 and state.shadow_job[p] == head
    alone = newcomer >= 0 and head != newcomer and blocked
    if alone:
        # Only the newcomer can start: for all others time has only run on.
        need = state.job_need[newcomer]
        if need > state.free_milli[p]:
            return started
        long = now + state.job_duration_ms[newcomer] > state.shadow_ms[p]
        if long and need > state.shadow_extra[p]:
            return started
        if not within_depth(p, newcomer, rules, state):
            return started
    count = state.window_count[p]
    beyond = head
    if count > 0:
        beyond = NONE
        if count < state.queued_count[p]:
            beyond = state.next[state.window_job[p, count - 1]]
    i = 0
    kept = 0
    if alone:
        i = count
        beyond = newcomer
    elif blocked:
        if count > 0:
            i = 1
        else:
            beyond = state.next[head]
        kept = keep_in_window(head, p, 0, state.job_need[head], state.job_duration_ms[head], state)
    before = started
    looked = 0
    while not blocked or (looked < rules.depth and state.free_milli[p] > 0):
        if i < count:
            j = state.window_job[p, i]
            need = state.window_need[p, i]
            duration = state.window_ms[p, i]
            i += 1
        else:
            j = beyond
            if j < 0:
                break
            beyond = NONE if alone else state.next[j]
            need = state.job_need[j]
            duration = state.job_duration_ms[j]
        chain = NONE
        long = False
        if need <= state.free_milli[p]:
            if blocked:
                if state.shadow_job[p] != head:
                    asked = ask_of(head, p, jobs, classes, packing)
                    reserve_head(p, head, asked, state, packing)
                long = now + duration > state.shadow_ms[p]
            if not long or need <= state.shadow_extra[p]:
                ask = ask_of(j, p, jobs, classes, packing)
                if not surely_fails(p, ask, long, packing.vain):
                    chain = take(
                        p, ask, packing.rule, int(jobs.order[j]), long,
                        packing.nodes, packing.shadow, packing.scores,
                    )  # fmt: skip
                    if chain == NONE:
                        note_failure(p, ask, long, packing.vain)
        if chain != NONE:
            state.job_chain[j] = chain
            unlink(j, p, jobs, state)
            end = now + duration
            add_claim(j, p, need, end, state)
            state.started[started] = j
            started += 1
            if not blocked:
                state.shadow_job[p] = -1
            elif long:
                state.shadow_extra[p] -= need
                keep_long(p, chain, need, packing.nodes, packing.shadow)
            else:
                keep_short(p, chain, packing.nodes, packing.shadow)
                if end == state.shadow_ms[p]:
                    mark_late(p, chain, packing.nodes, packing.shadow)
            continue
        if blocked:
            # Only those left behind count: a second pass then finds nothing more to start.
            looked += 1
        else:
            blocked = True
            head = j
        if not alone:
            kept = keep_in_window(j, p, kept, need, duration, state)
    if not alone:
        state.window_count[p] = close_gap(p, kept, i, count, state) if i < count else kept
    elif started > before:
        leave_window(newcomer, p, count, state)
    return started


@jit
def end_nodes(
    j: int, p: int, priority: int, expected_end_ms: int, head: int, state: State, packing: Packing
) -> None:
    """Job j ended by itself: ``leave_nodes``, and the reservation that ``head`` had before j's claim
    was dropped (-1: none) is kept if its time stays what it is."""
    shadow_ms = state.shadow_ms[p]
    if head >= 0 and head == state.head[p] and shadow_ms < NEVER_MS:
        kept = expected_end_ms < shadow_ms
        if expected_end_ms > shadow_ms:
            need = state.job_need[j]
            state.shadow_extra[p] += need
            kept = keep_end(p, state.job_chain[j], need, packing.nodes, packing.shadow)
        if kept:
            state.shadow_job[p] = head
    leave_nodes(j, priority, state, packing)


@jit
def leave_nodes(j: int, priority: int, state: State, packing: Packing) -> None:
    """Job j stopped running: its nodes are free again."""
    p = state.job_pool[j]
    nodes = packing.nodes
    packing.barred[p] = NONE
    if priority >= packing.hopeless[p, 1]:
        packing.hopeless[p, 0] = NONE
    count = 0
    row = state.job_chain[j]
    while row != NONE:
        nodes.picked_node[count] = nodes.held_node[row]
        count += 1
        row = nodes.held_next[row]
    give(state.job_chain[j], nodes)
    state.job_chain[j] = NONE
    look_at_given(p, count, nodes, packing.shadow, packing.vain)
