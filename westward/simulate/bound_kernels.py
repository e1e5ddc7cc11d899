"""Kernels of the lower bound: each job's cheapest place and start when capacity has a price.

A candidate costs ``devices × (F[p](start + run) - F[p](start)) + transfer + wait``, where F[p] is
the running sum of everything a device-hour of pool p costs, the capacity's price included. All of
it is constant within a bucket, so the cost is linear in the start between those starts at which
the run begins or ends on a bucket's edge: trying these (and the two ends of the window) finds the
exact minimum over every start, not only over those on the grid.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from westward.jit import jit

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

MS_PER_HOUR = 3_600_000.0
NEVER_MS = 1 << 62


class Requests(NamedTuple):
    """What the jobs ask for. (J,) unless said; times are ms after the grid's zero."""

    submit_ms: I64
    duration_ms: I64
    """True, on the reference device."""
    end_by_ms: I64
    """NEVER_MS = no limit."""
    has_deadline: U8
    """1: waiting is free (until then)."""
    home: I64
    """Site row where the input lies."""
    gb: F64
    dataset: U8
    """1: other jobs read the same bytes, so that moving them may have been paid already."""
    shape: I32
    """Row of ``need_milli``."""
    pinned: U8
    """1: only pools at the home site."""
    pieces: U8
    """1: may be cut into any pieces on any pools until ``end_by_ms``."""
    need_milli: I64
    """(S, P): milli-devices of the whole gang on each pool; 0 = the pool cannot hold it."""


class Market(NamedTuple):
    """What the pools charge. (P,) unless said."""

    site: I64
    speed: F64
    order: I64
    """Pools from the cheapest to the dearest, so that most others are soon ruled out."""
    floor: F64
    """The least a device-hour of the pool ever costs, capacity's price apart (micros)."""
    rate: F64
    """(P, K) micros per device-hour, capacity's price included."""
    prefix: F64
    """(P, K + 1) micros per device since the grid's zero, capacity's price included."""
    price_per_gb: F64
    """(S, S) micros; 0 on the diagonal, NaN = no link or no price."""
    ms_per_gb: F64
    """(S, S) at the full bandwidth."""
    bucket_ms: int
    wait_value: float
    """Micros per device-hour of waiting, for jobs without deadline."""


@jit
def spent(prefix: F64, at_ms: int, bucket_ms: int) -> float:
    """The running sum at any time within the grid."""
    k = at_ms // bucket_ms
    rest = at_ms - k * bucket_ms
    if rest == 0:
        return float(prefix[k])
    return float(prefix[k] + (prefix[k + 1] - prefix[k]) * (rest / bucket_ms))


@jit
def move(j: int, p: int, requests: Requests, market: Market) -> tuple[float, int]:
    """What moving job j's input to pool p costs and when it may start there; -1 = no link."""
    submit = requests.submit_ms[j]
    gb = requests.gb[j]
    if gb <= 0.0:
        return 0.0, submit
    home = requests.home[j]
    price = market.price_per_gb[home, market.site[p]]
    pace = market.ms_per_gb[home, market.site[p]]
    if price != price or pace != pace:
        return 0.0, -1
    if requests.dataset[j] == 1:
        return 0.0, submit
    whole = int(pace * gb)
    if whole < pace * gb:
        whole += 1
    return price * gb, submit + whole


@jit
def cheapest(j: int, requests: Requests, market: Market, end_by_ms: int) -> tuple[float, int, int]:
    """Least cost of job j over all pools and starts, the pool and the start.

    Pool -1: nobody can run it (cost 0), or the least lies beyond the grid (start -1), where
    capacity is counted as free.
    """
    best = 1e300
    best_pool = -1
    best_start = -1
    bucket = market.bucket_ms
    last_edge = market.prefix.shape[1] - 1
    submit = requests.submit_ms[j]
    shape = requests.shape[j]
    for at in range(len(market.order)):
        p = market.order[at]
        need = requests.need_milli[shape, p]
        if need == 0 or (requests.pinned[j] == 1 and market.site[p] != requests.home[j]):
            continue
        transfer, ready = move(j, p, requests, market)
        if ready < 0:
            continue
        duration = max(1, int(requests.duration_ms[j] / market.speed[p]))
        latest = end_by_ms - duration
        if latest < ready:
            continue
        devices = need / 1000.0
        value = 0.0
        if requests.has_deadline[j] == 0:
            value = market.wait_value * devices / MS_PER_HOUR
        least = devices * market.floor[p] * (duration / MS_PER_HOUR) + transfer
        if least + value * (ready - submit) >= best:
            continue
        prefix = market.prefix[p]
        room = last_edge * bucket - duration  # the last start whose run ends within the grid
        if ready <= room:
            cost = (
                devices * (spent(prefix, ready + duration, bucket) - spent(prefix, ready, bucket))
                + transfer
                + value * (ready - submit)
            )
            if cost < best:
                best = cost
                best_pool = p
                best_start = ready
        end = min(latest, room)
        if ready < end and latest <= room:
            cost = (
                devices * (spent(prefix, latest + duration, bucket) - spent(prefix, latest, bucket))
                + transfer
                + value * (latest - submit)
            )
            if cost < best:
                best = cost
                best_pool = p
                best_start = latest
        # Starts on an edge: k; and starts whose run ends on an edge: m.
        k = ready // bucket + 1
        whole = duration // bucket
        part = (duration - whole * bucket) / bucket
        m = (ready + duration) // bucket + 1
        first = (m * bucket - duration) // bucket
        rest = (m * bucket - duration - first * bucket) / bucket
        back = m - first
        while True:
            on_edge = k * bucket
            to_edge = m * bucket - duration
            if min(on_edge, to_edge) > end:
                break
            if least + value * (min(on_edge, to_edge) - submit) >= best:
                break
            if on_edge <= end:
                upto = prefix[k + whole]
                if part > 0.0:
                    upto += (prefix[k + whole + 1] - upto) * part
                cost = devices * (upto - prefix[k]) + transfer + value * (on_edge - submit)
                if cost < best:
                    best = cost
                    best_pool = p
                    best_start = on_edge
            if to_edge <= end and rest > 0.0:
                low = prefix[m - back]
                low += (prefix[m - back + 1] - low) * rest
                cost = devices * (prefix[m] - low) + transfer + value * (to_edge - submit)
                if cost < best:
                    best = cost
                    best_pool = p
                    best_start = to_edge
            k += 1
            m += 1
        if latest > room:
            beyond = max(ready, room)
            cost = least + value * (beyond - submit)
            if cost < best:
                best = cost
                best_pool = p
                best_start = -1
    if best >= 1e300:
        return 0.0, -1, -1
    return best, best_pool, best_start


@jit
def cheapest_pieces(j: int, requests: Requests, market: Market) -> tuple[float, int]:
    """At least what job j costs however it is cut: all its work at the cheapest hour there is.

    No waiting, no moving of data and no work done twice is counted.
    """
    best = 1e300
    best_pool = -1
    bucket = market.bucket_ms
    buckets = market.rate.shape[1]
    shape = requests.shape[j]
    for p in range(len(market.order)):
        need = requests.need_milli[shape, p]
        if need == 0:
            continue
        duration = max(1, int(requests.duration_ms[j] / market.speed[p]))
        k = requests.submit_ms[j] // bucket
        least = 1e300
        while k * bucket < requests.end_by_ms[j] and k < buckets:
            least = min(least, market.rate[p, k])
            k += 1
        if k >= buckets:
            least = min(least, market.floor[p])
        cost = need / 1000.0 * least * (duration / MS_PER_HOUR)
        if cost < best:
            best = cost
            best_pool = p
    if best >= 1e300:
        return 0.0, -1
    return best, best_pool


@jit
def take(usage: F64, start_ms: int, end_ms: int, devices: float, bucket_ms: int) -> None:
    """Add a run to the device-hours used of each bucket of one pool."""
    k = start_ms // bucket_ms
    at = start_ms
    while at < end_ms:
        edge = min((k + 1) * bucket_ms, end_ms)
        usage[k] += devices * ((edge - at) / MS_PER_HOUR)
        at = edge
        k += 1


@jit
def cheapest_all(
    requests: Requests,
    market: Market,
    counted: U8,
    cost: F64,
    pool: I32,
    start_ms: I64,
    usage: F64,
) -> int:
    """``cheapest`` of every counted job, and the device-hours (P, K) they would use.

    A job that can keep its limit nowhere is given all the time it wants. Returns how many jobs
    found their least beyond the grid.
    """
    beyond = 0
    for j in range(len(cost)):
        cost[j] = 0.0
        pool[j] = -1
        start_ms[j] = -1
        if counted[j] == 0:
            continue
        if requests.pieces[j] == 1:
            cost[j], pool[j] = cheapest_pieces(j, requests, market)
            continue
        best, p, start = cheapest(j, requests, market, requests.end_by_ms[j])
        if p < 0:
            best, p, start = cheapest(j, requests, market, NEVER_MS)
        cost[j] = best
        pool[j] = p
        start_ms[j] = start
        if p < 0:
            continue
        if start < 0:
            beyond += 1
            continue
        duration = max(1, int(requests.duration_ms[j] / market.speed[p]))
        devices = requests.need_milli[requests.shape[j], p] / 1000.0
        take(usage[p], start, start + duration, devices, market.bucket_ms)
    return beyond
