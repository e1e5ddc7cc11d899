"""Shadow prices: what the jobs that a pool's capacity is denied would have paid for it.

Each planning period a small linear programme over (class of jobs × pool × block of hours), see
``shadow_lp``, shares the capacity that running jobs leave free among the jobs that wait and those
that the recent past lets expect. The prices of its capacity limits enter the planner's sum, so
that a job takes a scarce pool only when it gains more there than the others would.

Pure: no clock, no state kept here. What was learnt of arrivals goes in and comes out as ``Rates``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from westward.model.units import MS_PER_HOUR

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HOURS_OF_DAY = 24
RUN_EDGES_MS = tuple(round(h * MS_PER_HOUR) for h in (0.25, 1, 4, 16))
"""Classes of run time: the longer a job runs, the less its waiting counts against its cost."""
DECAY = 0.8
"""Weight of what was known of an hour of day, when that hour comes round again."""
PRIOR_HOURS = 2.0
"""An hour of day seen so often counts as much as the mean over the day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTable:
    """Classes of jobs, as the mean of their members. C classes, P pools."""

    devices: F64
    """(C, P) devices a job of the class holds there; 0 = it cannot run there."""
    hours: F64
    """(C, P) how long it runs there."""
    transfer_micros: F64
    """(C, P) moving its input there."""
    wait_micros_per_hour: F64
    """(C,) what an hour of one job's waiting costs."""
    slack_hours: F64
    """(C,) how long it may wait before its deadline is lost; inf = no deadline."""

    def __len__(self) -> int:
        return len(self.slack_hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Arrivals by class and hour of day, exponentially weighted."""

    per_hour: F64
    """(24, C) jobs per hour."""
    weight: F64
    """(24,) how much was seen of that hour; tends to 1 / (1 - DECAY)."""


def class_of(duration_ms: I64, has_deadline: Bools, pattern: I64) -> I64:
    """(J,) number of each job's class: run time (5 steps), a deadline or not, and ``pattern``.

    ``pattern`` ≥ 0 numbers what else tells jobs apart, for instance the set of pools that can hold
    them together with the region their data lies in. Classes are (pattern, deadline, run time).
    """
    step = np.searchsorted(np.array(RUN_EDGES_MS), duration_ms, side="right")
    steps = len(RUN_EDGES_MS) + 1
    return (pattern * 2 + has_deadline) * steps + step


def classes_of(patterns: int) -> int:
    """How many classes ``class_of`` tells apart."""
    return patterns * 2 * (len(RUN_EDGES_MS) + 1)


def class_table(
    klass: I64,
    classes: int,
    *,
    devices: F64,
    hours: F64,
    transfer_micros: F64,
    wait_micros_per_hour: F64,
    slack_hours: F64,
) -> ClassTable:
    """The mean job of each class, from a sample of jobs (J rows; recent and waiting ones).

    ``devices``, ``hours``, ``transfer_micros``: (J, P); devices 0 = the pool cannot hold the job.
    The mean weighs jobs alike; its work (devices × hours) is the mean work. A class without
    members, or a pool that some member cannot use, has devices 0 there.
    """
    count = np.bincount(klass, minlength=classes).astype(np.float64)
    some = np.maximum(count, 1.0)

    def mean(values: F64) -> F64:
        total = np.zeros((classes, values.shape[1]))
        np.add.at(total, klass, values)
        return total / some[:, None]

    held = mean(devices)
    work = mean(devices * hours)
    can_all = mean((devices > 0).astype(np.float64)) >= 1.0
    held = np.where(can_all & (count > 0)[:, None], held, 0.0)
    has_slack = np.where(np.isfinite(slack_hours), slack_hours, 0.0)
    limited = np.bincount(klass, weights=np.isfinite(slack_hours), minlength=classes)
    slack = np.bincount(klass, weights=has_slack, minlength=classes) / np.maximum(limited, 1.0)
    return ClassTable(
        devices=held,
        hours=np.where(held > 0, work / np.where(held > 0, held, 1.0), 0.0),
        transfer_micros=mean(transfer_micros),
        wait_micros_per_hour=np.bincount(klass, weights=wait_micros_per_hour, minlength=classes)
        / some,
        slack_hours=np.where(limited > 0, slack, np.inf),
    )


def no_rates(classes: int) -> Rates:
    """Nothing seen yet."""
    return Rates(per_hour=np.zeros((HOURS_OF_DAY, classes)), weight=np.zeros(HOURS_OF_DAY))


def observe(rates: Rates, hour_of_day: int, counts: F64, hours: float = 1.0) -> Rates:
    """``rates`` after ``counts`` (C,) jobs came in ``hours`` hours that began at that hour of day.

    Part hours may be given; an hour's new figures weigh ``1 - DECAY`` in the long run.
    """
    h = hour_of_day % HOURS_OF_DAY
    per_hour, weight = rates.per_hour.copy(), rates.weight.copy()
    kept = weight[h] * DECAY**hours
    weight[h] = kept + hours
    per_hour[h] = (per_hour[h] * kept + counts) / weight[h]
    return Rates(per_hour=per_hour, weight=weight)


def forecast(rates: Rates, from_hour: float, blocks: int, block_hours: float) -> F64:
    """(C, blocks) jobs expected in each block, the first of which begins at ``from_hour`` of day.

    An hour of day that was seen seldom leans on the mean over the day.
    """
    seen = rates.weight.sum()
    mean = (rates.per_hour * rates.weight[:, None]).sum(axis=0) / max(seen, 1e-12)
    trust = rates.weight / (rates.weight + PRIOR_HOURS)
    hourly = trust[:, None] * rates.per_hour + (1.0 - trust[:, None]) * mean
    running = np.concatenate([np.zeros((1, hourly.shape[1])), np.cumsum(hourly, axis=0)])
    edges = from_hour % HOURS_OF_DAY + np.arange(blocks + 1) * block_hours
    turns, rest = np.divmod(edges, HOURS_OF_DAY)
    whole = rest.astype(np.int64)
    upto = running[whole] + hourly[np.minimum(whole, HOURS_OF_DAY - 1)] * (rest - whole)[:, None]
    upto += turns[:, None] * running[-1]
    return np.asarray(np.diff(upto, axis=0).T)


def free_capacity(
    capacity: F64, pool: I64, devices: F64, remaining_hours: F64, blocks: int, block_hours: float
) -> F64:
    """(P, blocks) mean devices left by running claims (one row a claim), never below 0.

    ``remaining_hours``: until each claim's expected end; one past its end is taken to end now.
    """
    used = np.zeros((len(capacity), blocks))
    for k in range(blocks):
        part = np.clip(remaining_hours / block_hours - k, 0.0, 1.0)
        np.add.at(used[:, k], pool, devices * part)
    return np.maximum(capacity[:, None] - used, 0.0)


def steady(before: F64 | None, price: F64, keep: float = 0.5) -> F64:
    """(P,) one price a pool for all hours: the mean of ``price`` (P, H), smoothed over periods.

    ``before``: the last period's answer. Measured against the clairvoyant bound, one slow price a
    pool gains almost what the best possible one would; prices by the hour lose it again unless run
    times are known, because jobs put off for the same cheap hour meet there (ADR 0011).
    """
    now: F64 = price.mean(axis=1)
    return now if before is None else keep * before + (1.0 - keep) * now
