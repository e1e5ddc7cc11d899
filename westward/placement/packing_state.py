"""The columns of node packing: what is free on every node, in which lists it stands, and what each
gang member took.

A pool's nodes are rows ``node_from[p] .. node_from[p+1]``. Two kinds of doubly linked lists keep a
choice from looking at all of them:

- per (pool, level) the nodes with that many wholly free devices, so that best fit for whole
  devices looks at one list per level, and a gang of k whole nodes at k nodes;
- per (pool, share) the partly used devices by what is left of them, in steps of ``SHARE_STEP``.

A pool without devices uses the levels for its free cpus, in ``CPU_LEVELS`` steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
I16 = npt.NDArray[np.int16]
U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

DEVICE_MILLI = 1_000
SHARE_STEP = 50
"""Width of a list of partly used devices, in thousandths of a device."""
SHARES = DEVICE_MILLI // SHARE_STEP
CPU_LEVELS = 32
"""Steps of free cpus by which the nodes of a pool without devices are listed."""
MAX_DEVICES = 30
"""Devices of one node fit into one mask."""
NONE = -1
PLENTY = -(1 << 40)
NEVER_ASKED = 1 << 60

BEST_FIT = 0
"""Whole devices: the node with the fewest free that has enough. A fraction: the tightest device."""
FIRST_FIT = 1
RANDOM = 2
WORST_FIT = 3
BEST_FIT_SCORE = 4
"""The FGD paper's BestFit: least cpus and devices left, in equal weights."""
DOT_PRODUCT = 5
GPU_PACKING = 6
GPU_CLUSTERING = 7
FGD = 8
WESTWARD = 9
RULE_NAMES = (
    "best-fit",
    "first-fit",
    "random",
    "worst-fit",
    "best-fit-score",
    "dot-product",
    "gpu-packing",
    "gpu-clustering",
    "fgd",
    "westward",
)
"""Names of the choice rules; a rule's number is its place."""


class Ask(NamedTuple):
    """What a gang asks for: ``members`` distinct nodes, and on each of them the rest."""

    members: int
    devices_milli: int
    """Per member: a multiple of 1000 (whole devices), less than 1000 (a part of one device), or 0."""
    cpus_milli: int
    memory_mib: int
    kinds: int
    """Bit mask of node kinds that will do; 0 = any."""
    spec: int
    """Row of this kind of request in ``Scores``' cache; -1 = not cached."""


class Nodes(NamedTuple):
    """N nodes, P pools, D devices on the largest node, L levels, A rows held by gang members."""

    node_from: I64
    """(P+1,)"""
    pool_of: I32
    devices: I16
    node_cpus_milli: I32
    """In all, free or not."""
    kind: I64
    """One bit."""
    cpu_unit: I64
    """(P,) cpus of a level in a pool without devices; 0 where levels count devices."""

    cpus_milli: I32
    memory_mib: I32
    whole: I16
    """Wholly free devices."""
    whole_mask: I32
    milli: I16
    """(N, D) free thousandths of each device."""
    version: I32
    """Rises with every change of the node; what is computed from a node is stamped with it."""
    tenants: I16
    """(N, 5) members that run there by size: a part of a device, 1, 2-3, 4-7, 8 and more devices."""

    level: I16
    level_head: I32
    """(P, L) first node of each level, -1 = none."""
    level_count: I32
    """(P, L) how many nodes stand there."""
    after: I32
    before: I32
    share_head: I32
    """(P, SHARES) first device (node × D + device) of each share."""
    share_after: I32
    share_before: I32

    held_node: I32
    held_devices: I32
    """Mask of the devices of the node that the member holds."""
    held_milli: I16
    """Of each of them."""
    held_cpus_milli: I32
    held_memory_mib: I32
    held_next: I32
    """The gang's next member; in unused rows the next unused one."""
    held_free: I64
    """(2,): first unused row (-1 = none) and how many there are."""

    picked_node: I32
    """Scratch: nodes chosen for the members, as many as the largest pool has."""
    picked_device: I16
    """Scratch: the device of a fraction, -1 otherwise."""
    mark: I64
    """(N,) scratch: the serial of the choice that last picked this node."""
    serial: I64
    """(1,)"""


class Shadow(NamedTuple):
    """The nodes as they will be when enough claims have ended for the head of a queue (EASY), and
    which of them are kept for it. A node's columns hold only while its stamp is its pool's serial;
    until then the node is as it is now."""

    serial: I64
    """(P,)"""
    stamp: I64
    """(N,)"""
    cpus_milli: I32
    memory_mib: I32
    milli: I16
    """(N, D)"""
    late: I64
    """(N,) the pool's serial where a claim that ends at the very time of the head's start stands."""
    short: I64
    """(P, 2) what the head still lacked just before that time: nodes, and milli-devices of the pool;
    ``PLENTY`` where nodes were never what it lacked."""
    ready_next: I32
    """(N,) chain of the nodes that came to fit, in order of time."""
    ready: I32
    """(P, 2): first and last of that chain."""
    fitting: I32
    """(P,) nodes that fit at the time reached."""
    reserved: U8
    """(N,)"""
    reserved_next: I32
    reserved_head: I32
    """(P,)"""
    head_milli: I32
    """(P,) what one member of the head asks for."""
    head_cpus_milli: I32
    head_memory_mib: I32
    head_kinds: I64


class Scores(NamedTuple):
    """C typical requests (what a workload usually asks for), and the cached scores of S specs."""

    class_milli: I64
    """(C,) of each device; 0 = cpus only."""
    class_devices: I64
    class_cpus_milli: I64
    class_kinds: I64
    class_weight: F64
    """Share of all requests; sums to 1."""
    cpus_per_device: float
    """Cpus (thousandths) that the typical requests ask for a device, all requests counted."""
    rest_value: F64
    """(1001,) shadow value, in thousandths of a device, of a device's rest of so many thousandths."""
    frag: F64
    """(N,) fragmentation of each node, thousandths of a device."""
    frag_version: I32
    """(N,) version of the node that ``frag`` was computed for; -1 = never."""
    score: I64
    """(S, N)"""
    device: I16
    """(S, N) the device a fraction would take."""
    score_version: I32
    """(S, N)"""
    parts: I64
    """(D,) scratch: what is left of the partly used devices of the node looked at."""


class Packing(NamedTuple):
    """All that a rehearsal by nodes keeps. Kernels take None in its place where pools are counted
    as one number: the compiler then leaves out what is about nodes."""

    nodes: Nodes
    shadow: Shadow
    scores: Scores
    rule: int
    """See ``RULE_NAMES``."""
    barred: I64
    """(P,) workload row of the head that all runs of lower priority together could not make way for,
    as long as nothing has been given back there since; -1 = none."""
    hopeless: I64
    """(P, 2) workload row of a head that would find no nodes were all runs of lower priority over,
    and its priority. That stays so until a run of no lower priority gives something back: all others
    count as over. -1 = none."""
    vain: I64
    """(P, 4, 4) devices, cpus, memory of a member and number of members of the least that was asked
    for in vain, and would be still: one short member, a short gang of several, and the same of long
    ones, under the present reservation. ``NEVER_ASKED`` = nobody did."""
    members: I64
    """(1,) gang members of all live jobs, running or not; never more than there are held rows."""


class Typical(NamedTuple):
    """What a workload usually asks for: C kinds of request (see ``packing_values.typical_of``)."""

    milli: I64
    """(C,) of each device; 0 = cpus only."""
    devices: I64
    cpus_milli: I64
    kinds: I64
    weight: F64
    """Share of the requests; sums to 1."""
    rest_value: F64
    """(1001,) see ``Scores``."""


def make_nodes(
    node_from: I64,
    devices: I64,
    cpus_milli: I64,
    memory_mib: I64,
    kind: I64,
    *,
    held_rows: int,
) -> Nodes:
    """Idle nodes of all pools.

    ``devices``, ``cpus_milli``, ``memory_mib``, ``kind`` (one bit each) are per node.
    ``held_rows``: how many gang members may run at once over all pools. Raises ValueError for a
    node with more than ``MAX_DEVICES`` devices or for columns of unequal length.
    """
    count = int(node_from[-1])
    if any(len(column) != count for column in (devices, cpus_milli, memory_mib, kind)):
        raise ValueError("every node column needs one row per node")
    if count and int(devices.max()) > MAX_DEVICES:
        raise ValueError(f"a node may have at most {MAX_DEVICES} devices")
    pools = len(node_from) - 1
    width = max(1, int(devices.max()) if count else 1)
    levels = max(width, CPU_LEVELS) + 1
    pool_of = np.repeat(np.arange(pools, dtype=np.int32), np.diff(node_from))
    unit = np.zeros(pools, np.int64)
    for p in range(pools):
        rows = slice(int(node_from[p]), int(node_from[p + 1]))
        if rows.start < rows.stop and int(devices[rows].max()) == 0:
            unit[p] = max(1, -(-int(cpus_milli[rows].max()) // CPU_LEVELS))
    present = np.arange(width) < devices[:, None]
    level = np.where(unit[pool_of] > 0, cpus_milli // np.maximum(unit[pool_of], 1), devices)
    nodes = Nodes(
        node_from=node_from.astype(np.int64),
        pool_of=pool_of,
        devices=devices.astype(np.int16),
        node_cpus_milli=cpus_milli.astype(np.int32),
        kind=kind.astype(np.int64),
        cpu_unit=unit,
        cpus_milli=cpus_milli.astype(np.int32),
        memory_mib=memory_mib.astype(np.int32),
        whole=devices.astype(np.int16),
        whole_mask=((1 << devices) - 1).astype(np.int32),
        milli=np.where(present, DEVICE_MILLI, 0).astype(np.int16),
        version=np.zeros(count, np.int32),
        tenants=np.zeros((count, 5), np.int16),
        level=level.astype(np.int16),
        level_head=np.full((pools, levels), NONE, np.int32),
        level_count=np.zeros((pools, levels), np.int32),
        after=np.full(count, NONE, np.int32),
        before=np.full(count, NONE, np.int32),
        share_head=np.full((pools, SHARES), NONE, np.int32),
        share_after=np.full(count * width, NONE, np.int32),
        share_before=np.full(count * width, NONE, np.int32),
        held_node=np.zeros(held_rows, np.int32),
        held_devices=np.zeros(held_rows, np.int32),
        held_milli=np.zeros(held_rows, np.int16),
        held_cpus_milli=np.zeros(held_rows, np.int32),
        held_memory_mib=np.zeros(held_rows, np.int32),
        held_next=np.append(np.arange(1, held_rows), NONE).astype(np.int32)[:held_rows],
        held_free=np.array([0 if held_rows else NONE, held_rows], np.int64),
        picked_node=np.zeros(max(1, int(np.diff(node_from).max(initial=0))), np.int32),
        picked_device=np.zeros(max(1, int(np.diff(node_from).max(initial=0))), np.int16),
        mark=np.zeros(count, np.int64),
        serial=np.zeros(1, np.int64),
    )
    _link_levels(nodes)
    return nodes


def _link_levels(nodes: Nodes) -> None:
    """Idle nodes in row order: the lowest row of a level is its first."""
    for n in range(len(nodes.level) - 1, -1, -1):
        p, level = int(nodes.pool_of[n]), int(nodes.level[n])
        first = int(nodes.level_head[p, level])
        nodes.after[n] = first
        if first != NONE:
            nodes.before[first] = n
        nodes.level_head[p, level] = n
        nodes.level_count[p, level] += 1


def make_shadow(nodes: Nodes) -> Shadow:
    """Scratch for ``packing_shadow``, with nothing reserved."""
    count, width = nodes.milli.shape
    pools = len(nodes.node_from) - 1
    return Shadow(
        serial=np.zeros(pools, np.int64),
        stamp=np.full(count, NONE, np.int64),
        cpus_milli=np.zeros(count, np.int32),
        memory_mib=np.zeros(count, np.int32),
        milli=np.zeros((count, width), np.int16),
        late=np.full(count, NONE, np.int64),
        short=np.zeros((pools, 2), np.int64),
        ready_next=np.full(count, NONE, np.int32),
        ready=np.full((pools, 2), NONE, np.int32),
        fitting=np.zeros(pools, np.int32),
        reserved=np.zeros(count, np.uint8),
        reserved_next=np.full(count, NONE, np.int32),
        reserved_head=np.full(pools, NONE, np.int32),
        head_milli=np.zeros(pools, np.int32),
        head_cpus_milli=np.zeros(pools, np.int32),
        head_memory_mib=np.zeros(pools, np.int32),
        head_kinds=np.zeros(pools, np.int64),
    )


def make_scores(nodes: Nodes, *, specs: int = 0, typical: Typical | None = None) -> Scores:
    """Cache for the rules that score nodes. ``specs``: how many distinct requests are numbered in
    ``Ask.spec``. ``typical``: what is usually asked for, which ``FGD`` and ``WESTWARD`` go by;
    without it they see no fragmentation. Takes ``specs`` × nodes × 14 bytes: for pools of
    thousands of nodes and dozens of specs, not for a million devices."""
    count = len(nodes.level)
    typical = typical or Typical(*(np.zeros(0, np.int64),) * 4, np.zeros(0), np.zeros(1001))
    devices = float((typical.weight * typical.devices * typical.milli).sum()) / DEVICE_MILLI
    cpus = float((typical.weight * typical.cpus_milli).sum())
    return Scores(
        class_milli=typical.milli.astype(np.int64),
        class_devices=typical.devices.astype(np.int64),
        class_cpus_milli=typical.cpus_milli.astype(np.int64),
        class_kinds=typical.kinds.astype(np.int64),
        class_weight=typical.weight.astype(np.float64),
        cpus_per_device=cpus / devices if devices else 0.0,
        rest_value=typical.rest_value.astype(np.float64),
        frag=np.zeros(count),
        frag_version=np.full(count, NONE, np.int32),
        score=np.zeros((specs, count), np.int64),
        device=np.zeros((specs, count), np.int16),
        score_version=np.full((specs, count), NONE, np.int32),
        parts=np.zeros(nodes.milli.shape[1], np.int64),
    )
