"""Kernels that choose nodes for a gang, take them and give them back: all members or none.

``take`` returns the first of a chain of held rows, one per member; ``give`` takes that number and
returns exactly what the chain says. The caller keeps the number with the job.

Members of a gang stand on distinct nodes. A member asks for whole devices, for a part of one
device, or for cpus only. Which nodes are chosen is the rule's: best fit walks the lists of
``packing_state`` (its cost does not grow with the pool), the others score every node of the pool
(``packing_rules``).
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.packing_limits import admits, charge_shadow
from westward.placement.packing_rules import pick_by_score
from westward.placement.packing_state import (
    BEST_FIT,
    DEVICE_MILLI,
    NONE,
    SHARE_STEP,
    SHARES,
    Ask,
    Nodes,
    Scores,
    Shadow,
)


@jit
def _unlink_level(n: int, nodes: Nodes) -> None:
    nodes.level_count[nodes.pool_of[n], nodes.level[n]] -= 1
    before = nodes.before[n]
    after = nodes.after[n]
    if before == NONE:
        nodes.level_head[nodes.pool_of[n], nodes.level[n]] = after
    else:
        nodes.after[before] = after
    if after != NONE:
        nodes.before[after] = before


@jit
def _link_level(n: int, level: int, nodes: Nodes) -> None:
    """Put the node at the head of its level's list: the last one touched is the first to be used
    again, which keeps idle nodes idle."""
    p = nodes.pool_of[n]
    first = nodes.level_head[p, level]
    nodes.level[n] = level
    nodes.before[n] = NONE
    nodes.after[n] = first
    if first != NONE:
        nodes.before[first] = n
    nodes.level_head[p, level] = n
    nodes.level_count[p, level] += 1


@jit
def _relevel(n: int, nodes: Nodes) -> None:
    unit = nodes.cpu_unit[nodes.pool_of[n]]
    level = int(nodes.whole[n]) if unit == 0 else nodes.cpus_milli[n] // unit
    if level != nodes.level[n]:
        _unlink_level(n, nodes)
        _link_level(n, level, nodes)


@jit
def _set_share(n: int, d: int, milli: int, nodes: Nodes) -> None:
    """A device now has ``milli`` free: move it between the lists of partly used devices, and in or
    out of the node's wholly free ones."""
    p = nodes.pool_of[n]
    width = nodes.milli.shape[1]
    device = n * width + d
    old = int(nodes.milli[n, d])
    if old == DEVICE_MILLI:
        nodes.whole[n] -= 1
        nodes.whole_mask[n] &= ~(1 << d)
    elif old > 0:
        before = nodes.share_before[device]
        after = nodes.share_after[device]
        if before == NONE:
            nodes.share_head[p, old // SHARE_STEP] = after
        else:
            nodes.share_after[before] = after
        if after != NONE:
            nodes.share_before[after] = before
    nodes.milli[n, d] = milli
    if milli == DEVICE_MILLI:
        nodes.whole[n] += 1
        nodes.whole_mask[n] |= 1 << d
    elif milli > 0:
        first = nodes.share_head[p, milli // SHARE_STEP]
        nodes.share_before[device] = NONE
        nodes.share_after[device] = first
        if first != NONE:
            nodes.share_before[first] = device
        nodes.share_head[p, milli // SHARE_STEP] = device


@jit
def _tenant_size(mask: int, milli: int) -> int:
    """Column of ``tenants`` for a member with these devices; -1 for cpus only."""
    if mask == 0:
        return NONE
    if milli < DEVICE_MILLI:
        return 0
    size = 0
    rest = mask
    while rest != 0:
        rest &= rest - 1
        size += 1
    if size >= 8:
        return 4
    if size >= 4:
        return 3
    return 2 if size >= 2 else 1


@jit
def _pick(n: int, device: int, count: int, nodes: Nodes) -> int:
    nodes.picked_node[count] = n
    nodes.picked_device[count] = device
    nodes.mark[n] = nodes.serial[0]
    return count + 1


@jit
def _pick_shares(p: int, ask: Ask, cap: int, long: bool, nodes: Nodes, shadow: Shadow) -> int:
    """Partly used devices, the tightest first (to the width of a share among several lists)."""
    width = nodes.milli.shape[1]
    need = ask.devices_milli
    count = 0
    share = need // SHARE_STEP
    while share < SHARES and count < cap:
        best = NONE
        least = DEVICE_MILLI
        at = nodes.share_head[p, share]
        while at != NONE:
            n = at // width
            milli = nodes.milli[n, at % width]
            if need <= milli < least and admits(n, ask, long, nodes, shadow):
                best = at
                least = milli
            at = nodes.share_after[at]
        if best == NONE:
            share += 1
        else:
            count = _pick(best // width, best % width, count, nodes)
    return count


@jit
def at_most(p: int, ask: Ask, cap: int, nodes: Nodes) -> int:
    """No more nodes of pool p than this hold a member of the gang now (``cap``: so many or more).

    By the counts of the levels alone: exact for members that ask for whole devices and nothing else.
    """
    unit = nodes.cpu_unit[p]
    if unit > 0:
        level = ask.cpus_milli // unit
    elif 0 < ask.devices_milli < DEVICE_MILLI:
        return cap  # the partly used devices are not counted
    else:
        level = ask.devices_milli // DEVICE_MILLI
    count = 0
    while level < nodes.level_count.shape[1] and count < cap:
        count += nodes.level_count[p, level]
        level += 1
    return min(count, cap)


@jit
def _pick_levels(
    p: int, ask: Ask, count: int, cap: int, long: bool, nodes: Nodes, shadow: Shadow
) -> int:
    """From the level that just suffices upwards, each level in list order."""
    unit = nodes.cpu_unit[p]
    fraction = 0 < ask.devices_milli < DEVICE_MILLI
    if unit == 0:
        level = 1 if fraction else ask.devices_milli // DEVICE_MILLI
    elif ask.devices_milli > 0:
        return count
    else:
        level = ask.cpus_milli // unit
    while level < nodes.level_head.shape[1] and count < cap:
        n = nodes.level_head[p, level]
        while n != NONE and count < cap:
            following = nodes.after[n]
            if admits(n, ask, long, nodes, shadow):
                device = NONE
                if fraction:
                    device = 0
                    while (nodes.whole_mask[n] >> device) & 1 == 0:
                        device += 1
                count = _pick(n, device, count, nodes)
            n = following
        level += 1
    return count


@jit
def _pick_best_fit(p: int, ask: Ask, cap: int, long: bool, nodes: Nodes, shadow: Shadow) -> int:
    count = 0
    if 0 < ask.devices_milli < DEVICE_MILLI:
        count = _pick_shares(p, ask, cap, long, nodes, shadow)
    return _pick_levels(p, ask, count, cap, long, nodes, shadow)


@jit
def fits(p: int, ask: Ask, cap: int, long: bool, nodes: Nodes, shadow: Shadow) -> int:
    """How many members could be placed on distinct nodes of pool p now, at most ``cap``.

    ``long``: the gang would outlast the start of the head of the queue, so that reserved nodes
    count only with what they can spare."""
    nodes.serial[0] += 1
    if cap > nodes.picked_node.shape[0]:
        cap = nodes.picked_node.shape[0]
    return _pick_best_fit(p, ask, cap, long, nodes, shadow)


@jit
def count_fitting(p: int, ask: Ask, cap: int, nodes: Nodes, shadow: Shadow) -> int:
    """``fits`` for a gang that is not long, without telling which nodes."""
    whole = nodes.cpu_unit[p] == 0 and ask.devices_milli >= DEVICE_MILLI
    if whole and ask.cpus_milli == 0 and ask.memory_mib == 0 and ask.kinds == 0:
        return at_most(p, ask, cap, nodes)
    return fits(p, ask, cap, False, nodes, shadow)


@jit
def _occupy(n: int, device: int, ask: Ask, nodes: Nodes, shadow: Shadow) -> int:
    """One member takes its part of node n; returns its held row."""
    mask = 0
    milli = 0
    if device != NONE:
        mask = 1 << device
        milli = ask.devices_milli
        _set_share(n, device, nodes.milli[n, device] - milli, nodes)
    elif ask.devices_milli > 0:
        milli = DEVICE_MILLI
        missing = ask.devices_milli // DEVICE_MILLI
        free = int(nodes.whole_mask[n])
        nodes.whole[n] -= missing
        d = 0
        while missing > 0:
            if (free >> d) & 1:
                mask |= 1 << d
                nodes.milli[n, d] = 0
                missing -= 1
            d += 1
        nodes.whole_mask[n] = free & ~mask
    nodes.cpus_milli[n] -= ask.cpus_milli
    nodes.memory_mib[n] -= ask.memory_mib
    nodes.version[n] += 1
    size = _tenant_size(mask, milli)
    if size != NONE:
        nodes.tenants[n, size] += 1
    _relevel(n, nodes)
    row = int(nodes.held_free[0])
    nodes.held_free[0] = nodes.held_next[row]
    nodes.held_free[1] -= 1
    nodes.held_node[row] = n
    nodes.held_devices[row] = mask
    nodes.held_milli[row] = milli
    nodes.held_cpus_milli[row] = ask.cpus_milli
    nodes.held_memory_mib[row] = ask.memory_mib
    return row


@jit
def _settle(ask: Ask, picked: int, long: bool, nodes: Nodes, shadow: Shadow) -> int:
    """Take the picked nodes if they are enough; returns the head of the gang's chain, in the order
    picked, or -1."""
    chain = NONE
    if picked < ask.members:
        return chain
    if nodes.held_free[1] < ask.members:
        raise ValueError("more gang members run at once than there are rows for")
    for i in range(ask.members - 1, -1, -1):
        n = nodes.picked_node[i]
        row = _occupy(n, nodes.picked_device[i], ask, nodes, shadow)
        nodes.held_next[row] = chain
        chain = row
        if long and shadow.reserved[n] != 0:
            charge_shadow(n, nodes.held_devices[row], nodes.held_milli[row], ask, shadow)
    return chain


@jit
def take_best_fit(p: int, ask: Ask, long: bool, nodes: Nodes, shadow: Shadow) -> int:
    """``take`` by the default rule, without the code of the others."""
    nodes.serial[0] += 1
    if ask.members > nodes.picked_node.shape[0]:
        return NONE
    if at_most(p, ask, ask.members, nodes) < ask.members:
        return NONE
    picked = _pick_best_fit(p, ask, ask.members, long, nodes, shadow)
    return _settle(ask, picked, long, nodes, shadow)


@jit
def take(
    p: int, ask: Ask, rule: int, seed: int, long: bool, nodes: Nodes, shadow: Shadow, scores: Scores
) -> int:
    """Place all members of a gang in pool p, or none.

    Returns the chain of held rows to give back later, -1 if the gang does not fit. ``rule``: see
    ``packing_state.RULE_NAMES``. ``seed`` decides ties (and everything under ``RANDOM``): a hash
    of it and the node's row, so the same call gives the same nodes. ``long``: see ``fits``.
    Raises ValueError when the pool of held rows is used up."""
    nodes.serial[0] += 1
    if ask.members > nodes.picked_node.shape[0]:
        return NONE
    if at_most(p, ask, ask.members, nodes) < ask.members:
        return NONE
    count = 0
    if rule == BEST_FIT:
        count = _pick_best_fit(p, ask, ask.members, long, nodes, shadow)
    else:
        while count < ask.members:
            n, device = pick_by_score(p, ask, rule, seed, long, nodes, shadow, scores)
            if n == NONE:
                break
            count = _pick(n, device, count, nodes)
    return _settle(ask, count, long, nodes, shadow)


@jit
def give(chain: int, nodes: Nodes) -> None:
    """Give back everything a gang holds. ``chain``: what ``take`` returned; -1 does nothing."""
    row = chain
    while row != NONE:
        n = nodes.held_node[row]
        mask = int(nodes.held_devices[row])
        milli = int(nodes.held_milli[row])
        size = _tenant_size(mask, milli)
        if size != NONE:
            nodes.tenants[n, size] -= 1
        rest = mask
        d = 0
        while rest != 0:
            if rest & 1:
                _set_share(n, d, nodes.milli[n, d] + milli, nodes)
            rest >>= 1
            d += 1
        nodes.cpus_milli[n] += nodes.held_cpus_milli[row]
        nodes.memory_mib[n] += nodes.held_memory_mib[row]
        nodes.version[n] += 1
        _relevel(n, nodes)
        following = nodes.held_next[row]
        nodes.held_next[row] = nodes.held_free[0]
        nodes.held_free[0] = row
        nodes.held_free[1] += 1
        row = following
