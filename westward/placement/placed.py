"""Placements as columns: what a pass found, made into objects when somebody reads it.

Ten thousand jobs that wait are thirty thousand objects: making them one at a time took half of a
planning pass, and the garbage collector, woken by so many, as long again. Those who ask for a plan
read few of them (who starts, who is new). Where all are read they are made a column at a time.
``placement_at`` is the same for one job, without numpy's fixed cost of some microseconds a column.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import repeat
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt

from westward.model.job import JobSpec
from westward.model.plan import (
    Alternative,
    CostTerms,
    Estimate,
    Placement,
    Placements,
    Why,
)
from westward.model.units import MS_PER_HOUR
from westward.placement.explain import Explainer
from westward.placement.rows import Answers
from westward.placement.site_waits import waits_of
from westward.placement.state import F64, I64, U8, Classes, Jobs, State

T = TypeVar("T")
WHY = (
    Why.WAITS_IN_SITE_QUEUE,
    Why.STARTS_NOW,
    Why.WAITS_FOR_BETTER_HOUR,
    Why.WAITS_FOR_START_AFTER,
    Why.WAITS_FOR_DATA,
    Why.WAITS_FOR_CAPACITY,
)


def in_bulk(kind: type[T], count: int, **columns: Sequence[Any]) -> list[T]:
    """``count`` values of a frozen dataclass with slots, a column at a time: six times as fast as
    one after the other. Raises TypeError unless there is a column for every field."""
    names = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    if set(names) != set(columns) or any(len(one) != count for one in columns.values()):
        raise TypeError(f"{kind.__name__} takes {count} each of {', '.join(names)}")
    made = list(map(object.__new__, repeat(kind, count)))
    for name in names:
        # What ``__init__`` does for each field of each value, by way of ``object.__setattr__``.
        deque(map(getattr(kind, name).__set__, made, columns[name]), maxlen=0)
    return made


class Found(NamedTuple):
    """What is known of N bound jobs after a pass; copies, all of them."""

    pool: I64
    option: I64
    need_milli: I64
    duration_ms: I64
    not_before_ms: I64
    earliest_ms: I64
    start_ms: I64
    chosen_ms: I64
    """(N, 2): earliest and start as chosen in this pass, where ``fresh``."""
    starts: U8
    fresh: U8
    transfer: F64
    cost: F64
    """(N, 3): device, power (millionths), grams."""
    at_once: F64
    """(N, 3): the same from the earliest start chosen."""
    submit_ms: I64
    estimate_ms: I64
    start_after_ms: I64
    deadline_ms: I64
    wait_value: F64
    payer: I64

    def at(self, rows: I64) -> Found:
        """Those rows only."""
        return Found._make(column[rows] for column in self)


def found_at(
    rows: I64, options: I64, classes: Classes, jobs: Jobs, state: State, answers: Answers
) -> Found:
    """``options``: by row the option a job was bound with before, -1 = the class's."""
    pool = state.job_pool[rows].astype(np.int64)
    option = classes.option[jobs.klass[rows], pool]
    told = answers.at[rows]
    return Found(
        pool=pool,
        option=np.where(options >= 0, options, option).astype(np.int64),
        need_milli=state.job_need[rows],
        duration_ms=state.job_duration_ms[rows] - waits_of(rows, state),
        not_before_ms=state.job_not_before_ms[rows],
        earliest_ms=told[:, 0],
        start_ms=told[:, 1],
        chosen_ms=answers.best[rows, 5:],
        starts=answers.starts[rows],
        fresh=answers.fresh[rows],
        transfer=answers.transfer[rows],
        cost=answers.cost[rows],
        at_once=answers.at_once[rows],
        submit_ms=jobs.submit_ms[rows],
        estimate_ms=jobs.estimate_ms[rows],
        start_after_ms=jobs.start_after_ms[rows],
        deadline_ms=jobs.deadline_ms[rows],
        wait_value=jobs.wait_value[rows],
        payer=jobs.payer[rows].astype(np.int64),
    )


class PlacementColumns(Placements):
    """Placements by job id. Equal to, and hashed like, the tuple of them."""

    def __init__(
        self,
        job_ids: list[str],
        found: Found,
        alternatives: Mapping[str, tuple[Alternative, ...]],
        now_ms: int,
        explainer: Explainer,
    ) -> None:
        """``job_ids`` sorted; ``found`` in their order."""
        self._job_ids = job_ids
        self._found = found
        self._alternatives = alternatives
        self._now_ms = now_ms
        self._explainer = explainer
        self._made: tuple[Placement, ...] | None = None

    def __len__(self) -> int:
        return len(self._job_ids)

    def __iter__(self) -> Iterator[Placement]:
        return iter(self._all())

    @overload
    def __getitem__(self, at: int) -> Placement: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Placement]: ...
    def __getitem__(self, at: int | slice) -> Placement | Sequence[Placement]:
        rows = range(len(self))[at]  # an IndexError where there is none
        if self._made is not None:
            return self._made[at]
        if isinstance(rows, int):
            return self._some([rows])[0]
        return tuple(self._some(rows))

    def starting(self) -> tuple[Placement, ...]:
        return tuple(self._some(np.flatnonzero(self._found.starts).tolist()))

    def of(self, job_ids: Collection[str]) -> tuple[Placement, ...]:
        rows = []
        for job_id in sorted(set(job_ids)):
            row = bisect_left(self._job_ids, job_id)
            if row < len(self) and self._job_ids[row] == job_id:
                rows.append(row)
        return tuple(self._some(rows))

    def not_before_ms(self) -> list[int]:
        told: list[int] = self._found.not_before_ms.tolist()
        return told

    def starts_ms(self) -> dict[str, int]:
        return dict(zip(self._job_ids, self._found.start_ms.tolist(), strict=True))

    def chosen(self) -> list[str]:
        return [self._job_ids[row] for row in np.flatnonzero(self._found.fresh).tolist()]

    def _all(self) -> tuple[Placement, ...]:
        if self._made is None:
            self._made = tuple(self._some(range(len(self))))
        return self._made

    def _some(self, rows: Sequence[int]) -> list[Placement]:
        if self._made is not None:
            return [self._made[row] for row in rows]
        if len(rows) == 0:
            return []
        found = self._found
        if len(rows) < len(self):
            found = found.at(np.array(rows, dtype=np.int64))
        job_ids = [self._job_ids[row] for row in rows]
        alternatives = [self._alternatives.get(job_id, ()) for job_id in job_ids]
        return _placements(job_ids, found, alternatives, self._now_ms, self._explainer)


def _placements(
    job_ids: list[str],
    found: Found,
    alternatives: list[tuple[Alternative, ...]],
    now_ms: int,
    explainer: Explainer,
) -> list[Placement]:
    count = len(job_ids)
    pools = explainer.network.pools
    pool_of = found.pool.tolist()
    kw = np.array(explainer.kw)[found.pool]
    terms, totals = _terms(found, found.start_ms, found.cost, explainer)
    estimates = in_bulk(
        Estimate,
        count,
        pool=[pools[row].name for row in pool_of],
        site=[pools[row].site for row in pool_of],
        option=found.option.tolist(),
        need_milli=found.need_milli.tolist(),
        earliest_ms=found.earliest_ms.tolist(),
        start_ms=found.start_ms.tolist(),
        duration_ms=found.duration_ms.tolist(),
        energy_kwh=(found.need_milli / 1000.0 * kw * found.duration_ms / MS_PER_HOUR).tolist(),
        carbon_g=found.cost[:, 2].tolist(),
        terms=terms,
    )
    why = _whys(found, now_ms)
    saved = np.zeros(count)
    put_off = np.flatnonzero((why == WHY.index(Why.WAITS_FOR_BETTER_HOUR)) & (found.fresh == 1))
    if len(put_off):
        early = found.at(put_off)
        _, at_once = _terms(early, early.chosen_ms[:, 0], early.at_once, explainer)
        saved[put_off] = at_once - totals[put_off]
    return in_bulk(
        Placement,
        count,
        job_id=job_ids,
        estimate=estimates,
        not_before_ms=found.not_before_ms.tolist(),
        starts_now=(found.starts == 1).tolist(),
        why=[WHY[code] for code in why.tolist()],
        saved_by_waiting=saved.tolist(),
        duration_assumed=(found.estimate_ms < 0).tolist(),
        alternatives=alternatives,
    )


def _terms(
    found: Found, start_ms: I64, cost: F64, explainer: Explainer
) -> tuple[list[CostTerms], F64]:
    """``Explainer.terms_at`` and their totals, of many; term by term in the same order, so that
    the sums are equal to the bit."""
    devices = found.need_milli / 1000.0
    paid = np.where(found.deadline_ms >= 0, 0.0, explainer.rules.wait_value * devices)
    per_hour = np.where(np.isnan(found.wait_value), paid, found.wait_value)
    columns: dict[str, F64] = {
        "device": cost[:, 0],
        "power": cost[:, 1],
        "carbon": cost[:, 2] * explainer.rules.carbon_price,
        "transfer": found.transfer,
        "wait": (start_ms - found.submit_ms) / MS_PER_HOUR * per_hour,
        "shadow": np.zeros(len(start_ms)),
        "vouchers": np.zeros(len(start_ms)),
    }
    if len(explainer.cover) > 1:
        covered = explainer.cover[found.payer, found.pool]
        columns["vouchers"] = -(devices * (found.duration_ms / MS_PER_HOUR) * covered)
    if explainer.posted is not None:
        columns["shadow"] = devices * explainer.posted.costs(
            found.pool, start_ms, start_ms + found.duration_ms
        )
    total = columns["device"] + columns["power"] + columns["carbon"] + columns["transfer"]
    total = total + columns["wait"] + columns["shadow"] + columns["vouchers"]
    lists = {name: column.tolist() for name, column in columns.items()}
    return in_bulk(CostTerms, len(start_ms), **lists), total


def _whys(found: Found, now_ms: int) -> npt.NDArray[np.intp]:
    """Rows of ``WHY``; the first that holds."""
    fresh = found.fresh == 1
    later = found.not_before_ms > now_ms
    put_off = fresh & (found.chosen_ms[:, 1] > found.chosen_ms[:, 0])
    held = [
        ((found.starts == 1) & (found.start_ms > now_ms), Why.WAITS_IN_SITE_QUEUE),
        (found.starts == 1, Why.STARTS_NOW),
        (put_off, Why.WAITS_FOR_BETTER_HOUR),
        (later & (found.start_after_ms == found.not_before_ms), Why.WAITS_FOR_START_AFTER),
        (later & fresh, Why.WAITS_FOR_DATA),
        (later, Why.WAITS_FOR_BETTER_HOUR),
    ]
    return np.select(
        [condition for condition, _ in held],
        [WHY.index(why) for _, why in held],
        WHY.index(Why.WAITS_FOR_CAPACITY),
    )


def placement_at(
    row: int,
    job: JobSpec,
    now_ms: int,
    classes: Classes,
    jobs: Jobs,
    state: State,
    answers: Answers,
    explainer: Explainer,
) -> Placement:
    """The job of ``row``, placed in this pass."""
    pool: int = state.job_pool.item(row)
    need_milli: int = state.job_need.item(row)
    duration_ms: int = state.job_duration_ms.item(row)
    not_before_ms: int = state.job_not_before_ms.item(row)
    transfer: float = answers.transfer.item(row)
    earliest_ms, start_ms = answers.at[row].tolist()
    chosen_ms, chosen_start_ms = answers.best[row, 5:].tolist()
    starts = answers.starts.item(row) == 1
    estimate = explainer.estimate_at(
        job,
        row,
        pool,
        option=classes.option.item(jobs.klass.item(row), pool),
        need_milli=need_milli,
        duration_ms=duration_ms,
        earliest_ms=earliest_ms,
        start_ms=start_ms,
        transfer=transfer,
        cost=answers.cost[row].tolist(),
    )
    why, saved = Why.WAITS_FOR_CAPACITY, 0.0
    if starts:
        why = Why.STARTS_NOW
    elif chosen_start_ms > chosen_ms:
        why = Why.WAITS_FOR_BETTER_HOUR
        at_once = explainer.terms_at(
            job,
            row,
            pool,
            need_milli,
            duration_ms,
            chosen_ms,
            transfer,
            answers.at_once[row].tolist(),
        )
        saved = at_once.total - estimate.terms.total
    elif not_before_ms > now_ms:
        held = job.start_after_ms == not_before_ms
        why = Why.WAITS_FOR_START_AFTER if held else Why.WAITS_FOR_DATA
    return Placement(
        job_id=job.job_id,
        estimate=estimate,
        not_before_ms=not_before_ms,
        starts_now=starts,
        why=why,
        saved_by_waiting=saved,
        duration_assumed=job.duration_ms is None,
    )
