"""Whether a node can be used at all by a gang member, apart from its devices.

A node reserved for the head of the queue may be used by a long gang only with what the head will
not need at its start: EASY's "extra nodes" rule, here to the device.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.packing_state import DEVICE_MILLI, Ask, Nodes, Shadow


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
