"""Rules that score every node of a pool and take the best; of equal scores the lowest row.

The published rules are those of the FGD paper (Weng et al., "Beware of Fragmentation: Scheduling
GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC 2023) as its simulator
hkust-adsl/kubernetes-scheduler-simulator runs them: scores are whole numbers from 0 to 100, so
near-equal nodes tie on purpose, and the tie goes to the lowest row. Our own rule is in ``_loss``.
"""

from __future__ import annotations

import math

from westward.jit import jit
from westward.placement.packing_limits import admits
from westward.placement.packing_state import (
    BEST_FIT_SCORE,
    DEVICE_MILLI,
    DOT_PRODUCT,
    FGD,
    FIRST_FIT,
    GPU_CLUSTERING,
    GPU_PACKING,
    NONE,
    RANDOM,
    WESTWARD,
    WORST_FIT,
    Ask,
    Nodes,
    Scores,
    Shadow,
)

TOP = 100
"""The best score of the published rules."""
FULL_CPUS_MILLI = 128_000
FULL_DEVICES_MILLI = 8_000
"""The largest node, by which the published rules scale."""
LARGE = 1_000_000
"""More than any loss in thousandths of a device, so that our own rule's scores are positive."""
STRANDED = 0.1
FRAGMENTED = 0.1
"""Weights of our own rule's lesser terms: they only decide among nearly equal rests."""


@jit
def _hash(seed: int, n: int) -> int:
    """A 32-bit number from two (the 32-bit finaliser: fmix32 of MurmurHash3, public domain)."""
    x = (seed * 0x9E3779B1 + n * 0x85EBCA77 + 0x165667B1) & 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 0x85EBCA6B) & 0xFFFFFFFF
    x ^= x >> 13
    x = (x * 0xC2B2AE35) & 0xFFFFFFFF
    x ^= x >> 16
    return x


@jit
def _has_devices(n: int, devices_milli: int, nodes: Nodes) -> bool:
    if devices_milli >= DEVICE_MILLI:
        return bool(nodes.whole[n] >= devices_milli // DEVICE_MILLI)
    enough = devices_milli == 0 or int(nodes.whole[n]) > 0
    for d in range(nodes.devices[n]):
        if enough:
            break
        enough = int(nodes.milli[n, d]) >= devices_milli
    return bool(enough)


@jit
def _free_milli(n: int, nodes: Nodes) -> int:
    total = 0
    for d in range(nodes.devices[n]):
        total += int(nodes.milli[n, d])
    return total


@jit
def _tightest(n: int, devices_milli: int, nodes: Nodes) -> int:
    best = NONE
    for d in range(nodes.devices[n]):
        if nodes.milli[n, d] >= devices_milli and (
            best == NONE or nodes.milli[n, d] < nodes.milli[n, best]
        ):
            best = d
    return best


@jit
def _loosest(n: int, devices_milli: int, nodes: Nodes) -> int:
    best = NONE
    for d in range(nodes.devices[n]):
        if nodes.milli[n, d] >= devices_milli and (
            best == NONE or nodes.milli[n, d] > nodes.milli[n, best]
        ):
            best = d
    return best


@jit
def _drawn(n: int, devices_milli: int, seed: int, nodes: Nodes) -> int:
    best = NONE
    highest = NONE
    for d in range(nodes.devices[n]):
        if nodes.milli[n, d] >= devices_milli:
            drawn = _hash(seed + 1 + d, n)
            if drawn > highest:
                best = d
                highest = drawn
    return best


@jit
def _score_best_fit(n: int, ask: Ask, nodes: Nodes) -> int:
    """Least cpus and devices left, each against the largest node, in equal weights."""
    cpus = (nodes.cpus_milli[n] - ask.cpus_milli) / FULL_CPUS_MILLI
    devices = (_free_milli(n, nodes) - ask.devices_milli) / FULL_DEVICES_MILLI
    return int((1.0 - 0.5 * cpus - 0.5 * devices) * TOP)


@jit
def _score_dot_product(n: int, ask: Ask, nodes: Nodes) -> int:
    """Least dot product of what is free and what is asked (Tetris' alignment, turned round)."""
    cpus = (nodes.cpus_milli[n] / FULL_CPUS_MILLI) * (ask.cpus_milli / FULL_CPUS_MILLI)
    free = _free_milli(n, nodes) / FULL_DEVICES_MILLI
    devices = free * (ask.devices_milli / FULL_DEVICES_MILLI)
    return int(TOP * (1.0 - (cpus + devices) / 2))


@jit
def _score_packing(n: int, ask: Ask, nodes: Nodes) -> int:
    """First shared devices, then free devices of used nodes, then idle nodes."""
    if ask.devices_milli == 0:
        return 0
    whole = int(nodes.whole[n])
    if whole == nodes.devices[n]:
        return max(TOP // 3 - whole, whole)
    opened = ask.devices_milli // DEVICE_MILLI
    if opened == 0:
        left = int(nodes.milli[n, _tightest(n, ask.devices_milli, nodes)])
        if left < DEVICE_MILLI:
            return max(TOP - left * 100 // DEVICE_MILLI // 10, TOP // 2)
        opened = 1
    return max(TOP // 2 - opened, TOP // 3)


@jit
def _score_clustering(n: int, ask: Ask, nodes: Nodes) -> int:
    """Like to like: nodes that run only requests of this size, then with others, then idle."""
    if ask.devices_milli == 0:
        return 0
    count = ask.devices_milli // DEVICE_MILLI
    size = 0
    if count >= 8:
        size = 4
    elif count >= 4:
        size = 3
    elif count >= 2:
        size = 2
    elif count == 1:
        size = 1
    sizes = 0
    for i in range(nodes.tenants.shape[1]):
        if nodes.tenants[n, i] > 0:
            sizes += 1
    quarter = TOP // 4 * (FULL_DEVICES_MILLI - _free_milli(n, nodes)) // FULL_DEVICES_MILLI
    if nodes.tenants[n, size] > 0:
        return quarter + (TOP * 3 // 4 if sizes == 1 else TOP * 2 // 4)
    return quarter + (TOP // 4 if sizes == 0 else 0)


@jit
def fragmentation(
    n: int, cpus_milli: int, device: int, left: int, removed: int, nodes: Nodes, scores: Scores
) -> float:
    """FGD's measure: thousandths of free devices of node n that a typical request cannot use,
    averaged over the typical requests.

    Of the node as it would be with ``cpus_milli`` free, ``left`` of ``device`` (-1 = as it is) and
    ``removed`` wholly free devices fewer. A request for cpus only can use no device, so all count.
    """
    whole = -removed
    parts = 0
    total = 0
    for d in range(nodes.devices[n]):
        milli = left if d == device else int(nodes.milli[n, d])
        if milli == DEVICE_MILLI:
            whole += 1
        elif milli > 0:
            scores.parts[parts] = milli
            parts += 1
            total += milli
    total += whole * DEVICE_MILLI
    unusable = 0.0
    for c in range(scores.class_milli.shape[0]):
        need = scores.class_milli[c]
        kinds = scores.class_kinds[c]
        if (
            need == 0
            or cpus_milli < scores.class_cpus_milli[c]
            or (kinds != 0 and (kinds & nodes.kind[n]) == 0)
        ):
            unusable += scores.class_weight[c] * total
            continue
        hosts = whole
        small = 0
        for i in range(parts):
            if scores.parts[i] >= need:
                hosts += 1
            else:
                small += scores.parts[i]
        if hosts < scores.class_devices[c]:
            small = total
        unusable += scores.class_weight[c] * small
    return unusable


@jit
def _frag_now(n: int, nodes: Nodes, scores: Scores) -> float:
    if scores.frag_version[n] != nodes.version[n]:
        scores.frag[n] = fragmentation(n, nodes.cpus_milli[n], NONE, 0, 0, nodes, scores)
        scores.frag_version[n] = nodes.version[n]
    return float(scores.frag[n])


@jit
def _stranded_milli(free_milli: int, cpus_milli: int, scores: Scores) -> float:
    """Free devices of a node beyond what its free cpus can feed, at the workload's cpus a device."""
    if scores.cpus_per_device <= 0.0:
        return 0.0
    return max(0.0, free_milli - DEVICE_MILLI * cpus_milli / scores.cpus_per_device)


@jit
def _loss(
    n: int, device: int, more_fragmented: float, ask: Ask, nodes: Nodes, scores: Scores
) -> float:
    """Westward's rule: what taking node n (and, for a fraction, ``device``) costs, in thousandths
    of a device. What the rest of a shared device loses in shadow value beside the part sold
    (``packing_values``), plus a tenth of the devices left without cpus, plus a tenth of FGD's
    fragmentation. The part sold is the same on every node and left out."""
    free = _free_milli(n, nodes)
    after = _stranded_milli(free - ask.devices_milli, nodes.cpus_milli[n] - ask.cpus_milli, scores)
    loss = FRAGMENTED * more_fragmented
    loss += STRANDED * (after - _stranded_milli(free, nodes.cpus_milli[n], scores))
    if device != NONE:
        milli = nodes.milli[n, device]
        loss += scores.rest_value[milli] - scores.rest_value[milli - ask.devices_milli]
    return loss


@jit
def _gain(
    n: int, device: int, ask: Ask, ours: bool, now: float, nodes: Nodes, scores: Scores
) -> int:
    """Score of taking node n and, for a fraction, ``device``; always positive."""
    left = 0
    removed = ask.devices_milli // DEVICE_MILLI
    if device != NONE:
        left = nodes.milli[n, device] - ask.devices_milli
    cpus = nodes.cpus_milli[n] - ask.cpus_milli
    more = fragmentation(n, cpus, device, left, removed, nodes, scores) - now
    if ours:
        return math.floor(LARGE - _loss(n, device, more, ask, nodes, scores))
    return int(TOP / (1.0 + math.exp(more / DEVICE_MILLI)))


@jit
def _score_gradient(n: int, ask: Ask, ours: bool, nodes: Nodes, scores: Scores) -> tuple[int, int]:
    """The best score of node n, and for a fraction the device that has it (-1 otherwise).

    FGD: fragmentation gradient descent, the least growth of fragmentation. ``ours``: ``_loss``."""
    now = _frag_now(n, nodes, scores)
    fraction = 0 < ask.devices_milli < DEVICE_MILLI
    best = NONE
    score = NONE
    opened = False
    for d in range(max(1, nodes.devices[n])):
        device = NONE
        if fraction:
            if nodes.milli[n, d] < ask.devices_milli:
                continue
            if nodes.milli[n, d] == DEVICE_MILLI:
                if opened:
                    continue
                opened = True
            device = d
        gained = _gain(n, device, ask, ours, now, nodes, scores)
        if gained > score:
            best = device
            score = gained
        if not fraction:
            break
    return score, best


@jit
def _score(n: int, ask: Ask, rule: int, seed: int, nodes: Nodes, scores: Scores) -> tuple[int, int]:
    """Score of node n, higher is better, and the device a fraction would take there."""
    device = NONE
    if 0 < ask.devices_milli < DEVICE_MILLI and rule != RANDOM:
        device = _tightest(n, ask.devices_milli, nodes)
    if rule == BEST_FIT_SCORE:
        return _score_best_fit(n, ask, nodes), device
    if rule == DOT_PRODUCT:
        return _score_dot_product(n, ask, nodes), device
    if rule == GPU_PACKING:
        return _score_packing(n, ask, nodes), device
    if rule == GPU_CLUSTERING:
        return _score_clustering(n, ask, nodes), device
    if rule == WORST_FIT:
        if device != NONE:
            device = _loosest(n, ask.devices_milli, nodes)
        return _free_milli(n, nodes) * FULL_CPUS_MILLI + nodes.cpus_milli[n] // 8, device
    if rule in (FGD, WESTWARD):
        cached = ask.spec != NONE
        if not cached or scores.score_version[ask.spec, n] != nodes.version[n]:
            score, device = _score_gradient(n, ask, rule == WESTWARD, nodes, scores)
            if not cached:
                return score, device
            scores.score[ask.spec, n] = score
            scores.device[ask.spec, n] = device
            scores.score_version[ask.spec, n] = nodes.version[n]
        return scores.score[ask.spec, n], scores.device[ask.spec, n]
    if rule == RANDOM:
        return _hash(seed, n), device
    return 0, device


@jit
def pick_by_score(
    p: int, ask: Ask, rule: int, seed: int, long: bool, nodes: Nodes, shadow: Shadow, scores: Scores
) -> tuple[int, int]:
    """The node of pool p with the highest score for one member, and the device for a fraction
    (-1: none asked for). (-1, -1) when no node will do. Looks at every node of the pool."""
    best = NONE
    best_device = NONE
    highest = NONE
    for n in range(nodes.node_from[p], nodes.node_from[p + 1]):
        if not _has_devices(n, ask.devices_milli, nodes):
            continue
        if not admits(n, ask, long, nodes, shadow):
            continue
        score, device = _score(n, ask, rule, seed, nodes, scores)
        if score > highest:
            best = n
            best_device = device
            highest = score
            if rule == FIRST_FIT:
                break
    if best != NONE and rule == RANDOM and 0 < ask.devices_milli < DEVICE_MILLI:
        best_device = _drawn(best, ask.devices_milli, seed, nodes)
    return best, best_device
