"""Kernels that work out, once for each class of requests, what fits where."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.state import I32, I64, Classes, Options, Pools


@jit
def node_need_milli(options: Options, o: int, pools: Pools, p: int) -> int:
    """Milli-devices one gang node takes on this pool: its dominant share of a node, rounded up.

    0 = a node of this pool cannot hold it.
    """
    devices = options.devices_milli[o]
    cpus = options.cpus_milli[o]
    memory = options.memory_mib[o]
    node = pools.devices[p] * 1000
    if pools.kind[p] < 0:
        devices = 0
    if devices > node or cpus > pools.cpus_milli[p] or memory > pools.memory_mib[p]:
        return 0
    need = devices
    if cpus > 0:
        need = max(need, (cpus * node + pools.cpus_milli[p] - 1) // pools.cpus_milli[p])
    if memory > 0:
        need = max(need, (memory * node + pools.memory_mib[p] - 1) // pools.memory_mib[p])
    return max(need, 1)


@jit
def fit_option(
    options: Options, first: int, last: int, nodes: int, pools: Pools, p: int
) -> tuple[int, int]:
    """The first option of rows first..last that pool p can hold, and its whole need; (-1, 0)."""
    for o in range(first, last):
        if options.site[o] >= 0 and options.site[o] != pools.site[p]:
            continue
        if options.engine[o] >= 0 and options.engine[o] != pools.engine[p]:
            continue
        kinds = options.kinds[o]
        if kinds != 0 and (pools.kind[p] < 0 or (kinds >> pools.kind[p]) & 1 == 0):
            continue
        node_need = node_need_milli(options, o, pools, p)
        if node_need == 0:
            continue
        if pools.nodes[p] * ((pools.devices[p] * 1000) // node_need) < nodes:
            continue
        return o, node_need * nodes
    return -1, 0


@jit
def fill_classes(
    first_class: int, option_from: I64, nodes: I32, options: Options, pools: Pools, classes: Classes
) -> None:
    """Classes ``first_class`` and on: their options are rows option_from[c]..option_from[c+1],
    counted from ``first_class``."""
    for n in range(len(nodes)):
        c = first_class + n
        classes.nodes[c] = nodes[n]
        classes.capped[c] = 0
        for p in range(len(pools.site)):
            o, need = fit_option(options, option_from[n], option_from[n + 1], nodes[n], pools, p)
            classes.need[c, p] = need
            classes.option[c, p] = -1
            if o < 0:
                continue
            classes.option[c, p] = o - option_from[n]
            classes.hourly[c, p] = options.max_hourly[o]
            if options.max_hourly[o] == options.max_hourly[o]:  # not NaN
                classes.capped[c] = 1
            classes.devices_milli[c, p] = 0 if pools.kind[p] < 0 else options.devices_milli[o]
            classes.cpus_milli[c, p] = options.cpus_milli[o]
            classes.memory_mib[c, p] = options.memory_mib[o]


@jit
def classify(
    nodes: I32,
    devices_milli: I32,
    cpus_milli: I32,
    memory_mib: I32,
    kinds: I64,
    keys: I64,
    slots: I32,
    count: int,
    klass: I32,
) -> int:
    """Number equal requests alike: ``klass`` gets each row's class; returns how many there are.

    ``keys`` (M, 5) holds the classes' requests, ``slots`` (a power of two, at least twice M) is an
    open-addressing table of class + 1. ``kinds`` may have one entry that stands for every row.
    Returns -1 - row when the tables are full at that row.
    """
    mask = len(slots) - 1
    stride = 0 if len(kinds) == 1 else 1
    for r in range(len(nodes)):
        kind = kinds[r * stride]
        # int(): numpy's narrow integers would overflow where the kernels run uncompiled.
        mix = int(nodes[r]) * 0x9E3779B1 + int(devices_milli[r]) * 0x85EBCA6B
        mix += int(cpus_milli[r]) * 0xC2B2AE35 + int(memory_mib[r]) * 0x27D4EB2F
        mix += (int(kind) & 0xFFFFFFFF) * 0x165667B1
        mix ^= mix >> 29
        at = (mix * 0x2545F491) >> 7 & mask
        while True:
            c = slots[at] - 1
            if c < 0:
                if count == len(keys):
                    return -1 - r
                c = count
                count += 1
                slots[at] = c + 1
                keys[c, 0] = nodes[r]
                keys[c, 1] = devices_milli[r]
                keys[c, 2] = cpus_milli[r]
                keys[c, 3] = memory_mib[r]
                keys[c, 4] = kind
                break
            if (
                keys[c, 0] == nodes[r]
                and keys[c, 1] == devices_milli[r]
                and keys[c, 2] == cpus_milli[r]
                and keys[c, 3] == memory_mib[r]
                and keys[c, 4] == kind
            ):
                break
            at = (at + 1) & mask
        klass[r] = c
    return count
