"""Sums over a rehearsal whose jobs do not fit in memory: one pass, a fixed number of bytes.

Waits are counted in bins of equal ratio, ``BINS_PER_OCTAVE`` to a doubling, so a quantile is known
to within half a bin (1.1 %). ``checksum`` adds a hash of every run, in integers, so that it does
not depend on the order in which runs end: two rehearsals with the same sum placed every job alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from westward.jit import jit
from westward.placement.state import F64, I64
from westward.simulate.live import FINISHED, REFUSED, Records

BINS_PER_OCTAVE = 32
OCTAVES = 40
"""Waits up to 2⁴⁰ ms (34 years)."""
PRIME = 2_147_483_647
MONEY = ("device_micros", "power_micros", "grams", "other_grams", "energy_kwh")

COUNTS = ("finished", "refused", "runs", "waited", "late", "dated", "wait_ms", "checksum")
FINISHED_JOBS, REFUSED_JOBS, RUNS, WAITED, LATE, DATED, WAIT_MS, CHECKSUM = range(len(COUNTS))


class Tally(NamedTuple):
    """What ``tally_records`` adds to."""

    counts: I64
    """(8,) by ``COUNTS``."""
    money: F64
    """(7,) by ``MONEY``, then transfer and the worth of waiting, millionths."""
    wait_bins: I64
    """(1 + OCTAVES × BINS_PER_OCTAVE,): entry 0 counts jobs that did not wait."""
    device_ms: I64
    """(P,) milli-device-seconds held at each pool."""
    edges: I64
    """Least wait of each bin."""


@jit
def mixed(row: int, pool: int, start_ms: int) -> int:
    """A hash of one run below 2³¹: squares modulo a prime, so that no sum of it ever wraps."""
    mix = (row * 1_000_003 + (pool + 1) * 7_919) % PRIME
    mix = (mix * mix + start_ms // 65_536) % PRIME
    mix = (mix * 69_621 + start_ms % 65_536) % PRIME
    return mix * mix % PRIME


@jit
def tally_records(
    count: int, records: Records, money: F64, wait_value: float, tally: Tally
) -> None:
    """Add the first ``count`` records. ``wait_value``: millionths per milli-device and ms."""
    for r in range(count):
        why = records.why[r]
        if why >= REFUSED:
            tally.counts[REFUSED_JOBS] += 1
            tally.counts[CHECKSUM] += mixed(records.row[r], -1, -1)
            continue
        p = records.pool[r]
        need = records.need_milli[r]
        tally.counts[RUNS] += 1
        tally.counts[CHECKSUM] += mixed(records.row[r], p, records.start_ms[r])
        tally.device_ms[p] += need * (records.end_ms[r] - records.start_ms[r]) // 1000
        for k in range(5):
            tally.money[k] += money[r, k]
        if why != FINISHED:
            continue
        tally.counts[FINISHED_JOBS] += 1
        tally.money[5] += records.transfer[r]
        waited = records.waited_ms[r]
        due = records.due_ms[r]
        if due >= 0:
            tally.counts[DATED] += 1
            if records.end_ms[r] > due:
                tally.counts[LATE] += 1
        else:
            tally.money[6] += wait_value * need * waited
        low = 0
        if waited > 0:
            tally.counts[WAITED] += 1
            tally.counts[WAIT_MS] += waited
            high = len(tally.edges)
            while high - low > 1:
                middle = (low + high) >> 1
                if tally.edges[middle] <= waited:
                    low = middle
                else:
                    high = middle
        tally.wait_bins[low] += 1


class Totals:
    """A ``Sink``. ``wait_value_micros_per_device_hour``: the policy's."""

    def __init__(self, pools: int, wait_value_micros_per_device_hour: int) -> None:
        bins = OCTAVES * BINS_PER_OCTAVE
        edges = np.zeros(bins + 1, dtype=np.int64)
        edges[1:] = np.ceil(2.0 ** (np.arange(bins) / BINS_PER_OCTAVE))
        self.tally = Tally(
            counts=np.zeros(len(COUNTS), dtype=np.int64),
            money=np.zeros(len(MONEY) + 2),
            wait_bins=np.zeros(bins + 1, dtype=np.int64),
            device_ms=np.zeros(pools, dtype=np.int64),
            edges=edges,
        )
        self._wait_value = wait_value_micros_per_device_hour / 1000.0 / 3_600_000.0

    def take(self, count: int, records: Records, money: F64) -> None:
        tally_records(count, records, money, self._wait_value, self.tally)

    def save(self) -> dict[str, Any]:
        return self.tally._asdict()

    def load(self, saved: dict[str, Any]) -> None:
        for name, column in self.tally._asdict().items():
            column[...] = saved[name]

    def quantile_ms(self, share: float) -> float:
        """The wait that ``share`` of the finished jobs did not exceed, to within half a bin."""
        below = np.cumsum(self.tally.wait_bins)
        if below[-1] == 0:
            return 0.0
        at = int(np.searchsorted(below, share * below[-1]))
        if at == 0:
            return 0.0
        return float(2.0 ** ((at - 0.5) / BINS_PER_OCTAVE))

    def summary(self) -> dict[str, Any]:
        """Figures by name, units last; ``device_hours`` has one entry a pool."""
        count = {name: int(self.tally.counts[k]) for k, name in enumerate(COUNTS)}
        finished = max(1, count["finished"])
        return {
            "jobs": count["finished"] + count["refused"],
            "finished": count["finished"],
            "refused": count["refused"],
            "runs": count["runs"],
            "waited": count["waited"],
            "with_deadline": count["dated"],
            "late": count["late"],
            "mean_wait_ms": count["wait_ms"] / finished,
            "p50_wait_ms": self.quantile_ms(0.50),
            "p95_wait_ms": self.quantile_ms(0.95),
            **{name: float(self.tally.money[k]) for k, name in enumerate(MONEY)},
            "transfer_micros": float(self.tally.money[5]),
            "wait_micros": float(self.tally.money[6]),
            "device_hours": [float(one) / 3_600_000.0 for one in self.tally.device_ms],
            "checksum": f"{count['checksum']:016x}",
        }
