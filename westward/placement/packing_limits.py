"""Whether a node can be used at all by a gang member, apart from its devices.

A node reserved for the head of the queue may be used by a long gang only with what the head will
not need at its start: EASY's "extra nodes" rule, here to the device.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.packing_state import (
    DEVICE_MILLI,
    I64,
    NEVER_ASKED,
    NONE,
    Ask,
    Nodes,
    Shadow,
)


@jit
def devices_used(devices_milli: int) -> int:
    """How many devices of a node a member touches: whole ones, or the one it shares."""
    return (devices_milli + DEVICE_MILLI - 1) // DEVICE_MILLI


@jit
def spares(n: int, ask: Ask, nodes: Nodes, shadow: Shadow) -> bool:
    """Would the head still fit on its reserved node n, had this member stayed?

    Which device a fraction takes is not yet known: it is counted as the loss of one that the head
    could use."""
    p = nodes.pool_of[n]
    used = devices_used(ask.devices_milli) + devices_used(shadow.head_milli[p])
    if used > nodes.devices[n]:
        return False
    if shadow.cpus_milli[n] - ask.cpus_milli < shadow.head_cpus_milli[p]:
        return False
    if shadow.memory_mib[n] - ask.memory_mib < shadow.head_memory_mib[p]:
        return False
    head = shadow.head_milli[p]
    least = min(head, DEVICE_MILLI)
    usable = 0
    for d in range(nodes.devices[n]):
        if shadow.milli[n, d] >= least:
            usable += 1
    return usable - devices_used(ask.devices_milli) >= devices_used(head)


@jit
def charge_shadow(n: int, mask: int, milli: int, ask: Ask, shadow: Shadow) -> None:
    """A long member took part of a reserved node: the head finds so much less there."""
    shadow.cpus_milli[n] -= ask.cpus_milli
    shadow.memory_mib[n] -= ask.memory_mib
    rest = mask
    d = 0
    while rest != 0:
        if rest & 1:
            shadow.milli[n, d] -= milli
        rest >>= 1
        d += 1


@jit
def admits(n: int, ask: Ask, long: bool, nodes: Nodes, shadow: Shadow) -> bool:
    """Enough of everything but devices, the right kind, not chosen by this gang yet, and, for a
    member that would outlast the head's start, not needed by the head."""
    if nodes.cpus_milli[n] < ask.cpus_milli or nodes.memory_mib[n] < ask.memory_mib:
        return False
    if ask.kinds != 0 and (ask.kinds & nodes.kind[n]) == 0:
        return False
    if nodes.mark[n] == nodes.serial[0]:
        return False
    return not long or shadow.reserved[n] == 0 or spares(n, ask, nodes, shadow)


@jit
def _holds(n: int, devices_milli: int, nodes: Nodes) -> bool:
    """Enough devices now on node n, of a pool with devices or without."""
    if devices_milli >= DEVICE_MILLI or devices_milli == 0:
        return bool(nodes.whole[n] * DEVICE_MILLI >= devices_milli)
    fitting = 0
    for d in range(nodes.devices[n]):
        if nodes.milli[n, d] >= devices_milli:
            fitting += 1
    return fitting > 0


@jit
def _in_vain(p: int, at: int, ask: Ask, vain: I64) -> bool:
    return bool(
        ask.devices_milli >= vain[p, at, 0]
        and ask.cpus_milli >= vain[p, at, 1]
        and ask.memory_mib >= vain[p, at, 2]
        and ask.members >= vain[p, at, 3]
    )


@jit
def surely_fails(p: int, ask: Ask, long: bool, vain: I64) -> bool:
    """Did one that asks for no more find no nodes, with nothing given back at pool p since that
    would have served it? (Who may not stay for short may not stay for long.)"""
    if _in_vain(p, 0, ask, vain) or _in_vain(p, 1, ask, vain):
        return True
    return long and (_in_vain(p, 2, ask, vain) or _in_vain(p, 3, ask, vain))


@jit
def note_failure(p: int, ask: Ask, long: bool, vain: I64) -> None:
    """The gang found no nodes. Kept are the least that was asked for by one member, and by several."""
    at = (2 if long else 0) + (0 if ask.members == 1 else 1)
    if ask.kinds == 0 and (
        ask.devices_milli <= vain[p, at, 0]
        and ask.cpus_milli <= vain[p, at, 1]
        and ask.memory_mib <= vain[p, at, 2]
        and ask.members <= vain[p, at, 3]
    ):
        vain[p, at, 0] = ask.devices_milli
        vain[p, at, 1] = ask.cpus_milli
        vain[p, at, 2] = ask.memory_mib
        vain[p, at, 3] = ask.members


@jit
def forget_failure(p: int, at: int, vain: I64) -> None:
    """Row ``at`` of pool p's failures (see ``Packing.vain``) says nothing any more."""
    for field in range(4):
        vain[p, at, field] = NEVER_ASKED


@jit
def look_at_given(p: int, count: int, nodes: Nodes, shadow: Shadow, vain: I64) -> None:
    """The first ``count`` of ``picked_node`` have more free than before: only there can who asked in
    vain stand now and could not before."""
    for at in range(4):
        if vain[p, at, 0] == NEVER_ASKED:
            continue
        ask = Ask(1, vain[p, at, 0], vain[p, at, 1], vain[p, at, 2], 0, NONE)
        nodes.serial[0] += 1
        for i in range(count):
            n = nodes.picked_node[i]
            if _holds(n, ask.devices_milli, nodes) and admits(n, ask, at >= 2, nodes, shadow):
                forget_failure(p, at, vain)
                break
