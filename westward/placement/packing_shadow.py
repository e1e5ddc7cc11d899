"""When would a gang fit, were every running claim to end as expected, and on which nodes: EASY
backfill (Lifka 1995; Mu'alem and Feitelson 2001) counted in nodes instead of devices.

The caller goes through the pool's running claims in the order of their expected ends:

    missing = begin_shadow(p, head, nodes, shadow)
    while missing > 0 and there are claims:
        missing = release_shadow(p, head, chain of the next claim, nodes, shadow)
    reserve_shadow(p, head, nodes, shadow)

and the end of the last claim released is the shadow time. ``earliest_nodes`` does so for a
contiguous piece of the claims. After it, ``take`` and ``fits`` with ``long`` leave the reserved
nodes to the head, except for what it does not need. Nothing is copied but the nodes that a
released claim touches. No ``take`` or ``give`` in that pool may come in between.

A reservation once made is kept while claims come and go, as long as the shadow time stays what a
new one would find: the functions from ``mark_late`` on are told of every start and end there, and
say when it does not. Then the image stands for the nodes at the shadow time throughout.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.ahead import fetch
from westward.placement.packing import count_fitting, fits
from westward.placement.packing_limits import devices_used
from westward.placement.packing_state import DEVICE_MILLI, I64, NONE, Ask, Nodes, Shadow


@jit
def _copy_node(p: int, n: int, nodes: Nodes, shadow: Shadow) -> None:
    """The columns of pool p's node in the shadow are, until something is released, those of now."""
    if shadow.stamp[n] == shadow.serial[p]:
        return
    shadow.stamp[n] = shadow.serial[p]
    shadow.cpus_milli[n] = nodes.cpus_milli[n]
    shadow.memory_mib[n] = nodes.memory_mib[n]
    for d in range(nodes.devices[n]):
        shadow.milli[n, d] = nodes.milli[n, d]


@jit
def fetch_node(n: int, nodes: Nodes, shadow: Shadow) -> None:
    """Node n will be copied soon."""
    fetch(shadow.stamp, n)
    fetch(nodes.cpus_milli, n)
    fetch(nodes.memory_mib, n)
    fetch(nodes.milli, n)
    fetch(nodes.devices, n)


@jit
def _would_hold(n: int, ask: Ask, nodes: Nodes, shadow: Shadow) -> bool:
    """Could one member stand on node n as the shadow has it?"""
    if shadow.cpus_milli[n] < ask.cpus_milli or shadow.memory_mib[n] < ask.memory_mib:
        return False
    if ask.kinds != 0 and (ask.kinds & nodes.kind[n]) == 0:
        return False
    least = min(ask.devices_milli, DEVICE_MILLI)
    usable = 0
    for d in range(nodes.devices[n]):
        if shadow.milli[n, d] >= least:
            usable += 1
    return usable >= devices_used(ask.devices_milli)


@jit
def clear_reservation(p: int, shadow: Shadow) -> None:
    """Nothing of pool p is reserved any more."""
    n = shadow.reserved_head[p]
    while n != NONE:
        shadow.reserved[n] = 0
        n = shadow.reserved_next[n]
    shadow.reserved_head[p] = NONE


@jit
def begin_shadow(p: int, ask: Ask, nodes: Nodes, shadow: Shadow) -> int:
    """Start at the present; returns how many members are still without a node (0: it fits now).

    Forgets the pool's earlier reservation. -1: the gang has more members than the pool has nodes,
    and no time will do."""
    clear_reservation(p, shadow)
    if ask.members > nodes.node_from[p + 1] - nodes.node_from[p]:
        return NONE
    shadow.serial[p] += 1
    shadow.ready[p, 0] = NONE
    shadow.ready[p, 1] = NONE
    shadow.fitting[p] = count_fitting(p, ask, ask.members, nodes, shadow)
    return ask.members - int(shadow.fitting[p])


@jit
def change_image(n: int, row: int, sign: int, nodes: Nodes, shadow: Shadow) -> None:
    """Node n gets back (sign 1) or loses (-1) in the image what the held row says."""
    shadow.cpus_milli[n] += sign * nodes.held_cpus_milli[row]
    shadow.memory_mib[n] += sign * nodes.held_memory_mib[row]
    milli = sign * int(nodes.held_milli[row])
    rest = int(nodes.held_devices[row])
    d = 0
    while rest != 0:
        if rest & 1:
            shadow.milli[n, d] += milli
        rest >>= 1
        d += 1


@jit
def release_shadow(p: int, ask: Ask, chain: int, nodes: Nodes, shadow: Shadow) -> int:
    """The claim that holds ``chain`` ends; returns how many members are still without a node."""
    row = chain
    while row != NONE:
        n = nodes.held_node[row]
        _copy_node(p, n, nodes, shadow)
        change_image(n, row, 1, nodes, shadow)
        # Mostly it does not hold one yet, and then it did not before.
        comes = _would_hold(n, ask, nodes, shadow)
        if comes:
            change_image(n, row, -1, nodes, shadow)
            comes = not _would_hold(n, ask, nodes, shadow)
            change_image(n, row, 1, nodes, shadow)
        if comes:
            shadow.fitting[p] += 1
            shadow.ready_next[n] = NONE
            last = shadow.ready[p, 1]
            if last == NONE:
                shadow.ready[p, 0] = n
            else:
                shadow.ready_next[last] = n
            shadow.ready[p, 1] = n
        row = nodes.held_next[row]
    return max(0, ask.members - int(shadow.fitting[p]))


@jit
def hold_again(p: int, ask: Ask, chain: int, nodes: Nodes, shadow: Shadow) -> int:
    """Undo ``release_shadow``; no reservation may be made from the image afterwards. Returns how
    many members are without a node."""
    row = chain
    while row != NONE:
        n = nodes.held_node[row]
        held_before = _would_hold(n, ask, nodes, shadow)
        change_image(n, row, -1, nodes, shadow)
        if held_before and not _would_hold(n, ask, nodes, shadow):
            shadow.fitting[p] -= 1
        row = nodes.held_next[row]
    return max(0, ask.members - int(shadow.fitting[p]))


@jit
def _reserve(p: int, n: int, nodes: Nodes, shadow: Shadow) -> None:
    _copy_node(p, n, nodes, shadow)
    shadow.reserved[n] = 1
    shadow.reserved_next[n] = shadow.reserved_head[p]
    shadow.reserved_head[p] = n


@jit
def reserve_shadow(p: int, ask: Ask, nodes: Nodes, shadow: Shadow) -> None:
    """Keep as many nodes for the head as it has members: first those that came to fit while
    claims were released, in that order (they are busy now and cost a backfill nothing), then of
    those that fit already the ones best fit would choose."""
    shadow.head_milli[p] = ask.devices_milli
    shadow.head_cpus_milli[p] = ask.cpus_milli
    shadow.head_memory_mib[p] = ask.memory_mib
    shadow.head_kinds[p] = ask.kinds
    left = ask.members
    n = shadow.ready[p, 0]
    while n != NONE and left > 0:
        _reserve(p, n, nodes, shadow)
        left -= 1
        n = shadow.ready_next[n]
    fitting = fits(p, ask, left, False, nodes, shadow)
    for i in range(fitting):
        _reserve(p, nodes.picked_node[i], nodes, shadow)


@jit
def earliest_nodes(
    p: int, ask: Ask, chains: I64, first: int, last: int, nodes: Nodes, shadow: Shadow
) -> int:
    """Release ``chains[first:last]`` (in order of expected end) until the gang fits, and reserve.

    To be called after ``begin_shadow`` said that something is missing; may be called piece by
    piece. Returns the place in ``chains`` of the claim whose end is the shadow time, ``last`` when
    the piece was not enough (then nothing is reserved yet)."""
    for i in range(first, last):
        if release_shadow(p, ask, chains[i], nodes, shadow) == 0:
            reserve_shadow(p, ask, nodes, shadow)
            return i
    return last


@jit
def _head_ask(p: int, shadow: Shadow) -> Ask:
    """What one member of the head asks for."""
    return Ask(
        1,
        0 + shadow.head_milli[p],
        0 + shadow.head_cpus_milli[p],
        0 + shadow.head_memory_mib[p],
        0 + shadow.head_kinds[p],
        NONE,
    )


@jit
def mark_late(p: int, chain: int, nodes: Nodes, shadow: Shadow) -> None:
    """The claim that holds ``chain`` ends at the very shadow time: just before it, the image has too
    much on these nodes."""
    row = chain
    while row != NONE:
        shadow.late[nodes.held_node[row]] = shadow.serial[p]
        row = nodes.held_next[row]


@jit
def keep_short(p: int, chain: int, nodes: Nodes, shadow: Shadow) -> None:
    """A gang that is to end by the shadow time took its nodes: then they will be as they were."""
    row = chain
    while row != NONE:
        n = nodes.held_node[row]
        if shadow.stamp[n] != shadow.serial[p]:
            _copy_node(p, n, nodes, shadow)
            change_image(n, row, 1, nodes, shadow)
        row = nodes.held_next[row]


@jit
def keep_long(p: int, chain: int, need: int, nodes: Nodes, shadow: Shadow) -> None:
    """A gang that outlasts the shadow time took its nodes. (What it took of reserved ones, ``take``
    has charged: they fit the head still.)"""
    ask = _head_ask(p, shadow)
    shadow.short[p, 1] += need
    row = chain
    while row != NONE:
        n = nodes.held_node[row]
        if shadow.reserved[n] == 0:
            if shadow.stamp[n] != shadow.serial[p]:
                _copy_node(p, n, nodes, shadow)
                change_image(n, row, 1, nodes, shadow)
            held_before = _would_hold(n, ask, nodes, shadow)
            change_image(n, row, -1, nodes, shadow)
            # Of a late node it is not known whether it counted: rather too little is lacking.
            known = shadow.late[n] != shadow.serial[p]
            if known and held_before and not _would_hold(n, ask, nodes, shadow):
                shadow.short[p, 0] += 1
        row = nodes.held_next[row]


@jit
def keep_end(p: int, chain: int, need: int, nodes: Nodes, shadow: Shadow) -> bool:
    """A claim that was to end after the shadow time ends now (its nodes are not given back yet).

    False: the head may fit earlier now, work the shadow time out anew."""
    ask = _head_ask(p, shadow)
    shadow.short[p, 1] -= need
    row = chain
    while row != NONE:
        n = nodes.held_node[row]
        if shadow.late[n] == shadow.serial[p]:
            return False
        _copy_node(p, n, nodes, shadow)
        held_before = _would_hold(n, ask, nodes, shadow)
        change_image(n, row, 1, nodes, shadow)
        if not held_before and _would_hold(n, ask, nodes, shadow):
            shadow.short[p, 0] -= 1
        row = nodes.held_next[row]
    return bool(shadow.short[p, 0] > 0 or shadow.short[p, 1] > 0)
