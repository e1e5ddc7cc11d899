"""EASY backfilling by nodes: who of those bound to a pool starts now, and on which nodes.

The rules are those of ``dispatch.dispatch_easy``; two things must hold where there one does. A job
starts only when its need is free in the whole pool *and* its members find their nodes, and a job
that would outlast the head's start must leave the head both its devices and its reserved nodes. In
a pool of one-device nodes both say the same, and the starts are those of ``dispatch_easy``.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.claims import add_claim
from westward.placement.packing import give, take
from westward.placement.packing_shadow import begin_shadow, release_shadow, reserve_shadow
from westward.placement.packing_state import DEVICE_MILLI, NONE, Ask, Packing
from westward.placement.profile import NEVER_MS
from westward.placement.state import BLOCK, Classes, Jobs, Rules, State
from westward.placement.waiting import unlink


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
    released = 0
    end = NEVER_MS
    slot = state.dir_from[p]
    last_slot = slot + state.dir_count[p]
    while slot < last_slot:
        first = state.dir_block[slot] * BLOCK
        last = first + state.block_len[state.dir_block[slot]]
        for at in range(first, last):
            if end < NEVER_MS and state.run_end_ms[at] != end:
                last_slot = slot
                break
            chain = state.job_chain[state.run_job[at]]
            missing = release_shadow(p, ask, chain, packing.nodes, packing.shadow)
            released += state.run_need[at]
            if end == NEVER_MS and missing == 0 and released >= lacking:
                end = state.run_end_ms[at]
        slot += 1
    if end < NEVER_MS:
        reserve_shadow(p, ask, packing.nodes, packing.shadow)
    state.shadow_job[p] = head
    state.shadow_ms[p] = end
    state.shadow_extra[p] = released - lacking


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

    The head's reservation is worked out only when somebody behind it could pass by size."""
    head = state.head[p]
    j = head
    blocked = False
    alone = newcomer >= 0 and head != newcomer and state.shadow_job[p] == head
    alone = alone and (state.tail[p] == newcomer or state.queued_count[p] <= rules.depth)
    if alone:
        if state.queued_count[p] - 2 >= rules.depth:
            return started
        j = newcomer
        blocked = True
    looked = 0
    while j >= 0:
        if blocked and (looked >= rules.depth or state.free_milli[p] <= 0):
            break
        after = state.next[j]
        if alone:
            after = NONE
        need = state.job_need[j]
        chain = NONE
        long = False
        if need <= state.free_milli[p]:
            if blocked:
                if state.shadow_job[p] != head:
                    asked = ask_of(head, p, jobs, classes, packing)
                    reserve_head(p, head, asked, state, packing)
                long = now + state.job_duration_ms[j] > state.shadow_ms[p]
            if not long or need <= state.shadow_extra[p]:
                ask = ask_of(j, p, jobs, classes, packing)
                chain = take(
                    p, ask, packing.rule, int(jobs.order[j]), long,
                    packing.nodes, packing.shadow, packing.scores,
                )  # fmt: skip
        if chain != NONE:
            state.job_chain[j] = chain
            unlink(j, p, state)
            add_claim(j, p, need, now + state.job_duration_ms[j], state)
            state.started[started] = j
            started += 1
            if long:
                state.shadow_extra[p] -= need
            if not blocked:
                state.shadow_job[p] = -1
                head = after
        elif blocked:
            # Only those left behind count: a second pass then finds nothing more to start.
            looked += 1
        else:
            blocked = True
        j = after
    return started


@jit
def leave_nodes(j: int, state: State, packing: Packing) -> None:
    """Job j stopped running: its nodes are free again."""
    give(state.job_chain[j], packing.nodes)
    state.job_chain[j] = NONE
