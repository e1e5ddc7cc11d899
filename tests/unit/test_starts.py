"""Start-time rules and reserved capacity, each against a count of every minute or tick."""

from __future__ import annotations

from queue import PriorityQueue

import numpy as np
import numpy.typing as npt
from hypothesis import example, given, settings
from hypothesis import strategies as st

from westward.placement import starts
from westward.simulate.reserved import run_on_reserved

MINUTE = 60_000
HOUR = 60 * MINUTE
HOURS = 30
F64 = npt.NDArray[np.float64]

values_of_hours = st.lists(st.integers(1, 9), min_size=HOURS, max_size=HOURS)
minutes = st.integers(0, 40 * 60)
durations = st.integers(1, 300)
waits = st.integers(0, 500)
rule_settings = settings(max_examples=150, deadline=None)


class Zone:
    """A series of hourly values, as a row of prefix sums and minute by minute."""

    def __init__(self, values: list[int]) -> None:
        self.prefix: F64 = np.zeros(HOURS + 1)
        np.cumsum(np.array(values, dtype=float), out=self.prefix[1:])
        self.minute = np.tile(np.repeat(values, 60), 4)
        self.series = (self.prefix, HOURS, HOUR)

    def sum(self, start: int, duration: int) -> int:
        return int(self.minute[start : start + duration].sum())


@rule_settings
@given(values_of_hours, minutes, waits)
def test_lowest_slot_is_the_first_lowest_minute(values: list[int], now: int, wait: int) -> None:
    zone = Zone(values)
    best = now + int(zone.minute[now : now + wait + 1].argmin())
    assert starts.lowest_slot(*zone.series, now * MINUTE, wait * MINUTE) == best * MINUTE


@rule_settings
@given(values_of_hours, minutes, durations, waits, st.sampled_from([15, 60]))
def test_lowest_window_and_carbon_time(
    values: list[int], now: int, duration: int, wait: int, every: int
) -> None:
    zone = Zone(values)
    tried = range(now, now + wait + 1, every)
    lowest = min(tried, key=lambda start: zone.sum(start, duration))
    at_once = zone.sum(now, duration)

    def saving(start: int) -> float:
        return (at_once - zone.sum(start, duration)) / (start - now + duration)

    quickest = max(tried, key=saving)
    given_ms = (now * MINUTE, duration * MINUTE, wait * MINUTE, every * MINUTE)
    assert starts.lowest_window(*zone.series, *given_ms) == lowest * MINUTE
    chosen = starts.carbon_time(*zone.series, *given_ms) // MINUTE
    assert abs(saving(chosen) - saving(quickest)) < 1e-9
    assert chosen <= quickest


@rule_settings
@given(values_of_hours, minutes, waits, st.integers(1, 10))
def test_first_below(values: list[int], now: int, wait: int, threshold: int) -> None:
    zone = Zone(values)
    below = [m for m in range(now, now + wait) if zone.minute[m] < threshold]
    best = below[0] if below else now + wait
    ours = starts.first_below(*zone.series, now * MINUTE, wait * MINUTE, threshold)
    assert ours == best * MINUTE


@rule_settings
@given(values_of_hours, minutes, st.integers(1, 26 * 60), st.floats(0.0, 1.0))
@example([1, 2] * 15, 0, 120, 0.5)
def test_quantile_ahead_is_numpys(values: list[int], now: int, ahead: int, quantile: float) -> None:
    zone = Zone(values)
    expected = np.quantile(zone.minute[now : now + ahead], quantile)
    scratch = np.zeros(HOURS), np.zeros(HOURS, dtype=np.int64)
    ours = starts.quantile_ahead(
        *zone.series, now * MINUTE, ahead * MINUTE, MINUTE, quantile, *scratch
    )
    assert abs(ours - expected) < 1e-9


@rule_settings
@given(values_of_hours, minutes, durations, waits, st.integers(1, 10))
def test_threshold_runs_minute_by_minute(
    values: list[int], now: int, duration: int, wait: int, threshold: int
) -> None:
    zone = Zone(values)
    running, left, paused, minute = [], duration, 0, now
    while left:
        if zone.minute[minute] < threshold or paused >= wait:
            running.append(minute)
            left -= 1
        else:
            paused += 1
        minute += 1
    begin, end = np.zeros((2, 64), dtype=np.int64)
    count = starts.threshold_runs(
        *zone.series, now * MINUTE, duration * MINUTE, wait * MINUTE, threshold, begin, end
    )
    assert minutes_of(begin, end, count) == running


@rule_settings
@given(values_of_hours, minutes, durations, waits)
def test_cheapest_runs_take_the_lowest_minutes(
    values: list[int], now: int, duration: int, wait: int
) -> None:
    zone = Zone(values)
    order = np.argsort(zone.minute[now : now + duration + wait], kind="stable")
    lowest = sorted(int(minute) for minute in now + order[:duration])
    begin, end, scratch = np.zeros((3, 64), dtype=np.int64)
    count = starts.cheapest_runs(
        *zone.series, now * MINUTE, duration * MINUTE, wait * MINUTE, begin, end, scratch
    )
    assert minutes_of(begin, end, count) == lowest


def minutes_of(begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64], count: int) -> list[int]:
    """The minutes of the runs; a gap must lie between two runs."""
    assert (begin[1:count] > end[: count - 1]).all()
    return [
        minute
        for k in range(count)
        for minute in range(int(begin[k]) // MINUTE, int(end[k]) // MINUTE)
    ]


class Waiting:
    """An entry of the plain queue, compared by its arrival alone."""

    def __init__(self, arrival: int, row: int) -> None:
        self.arrival, self.row = arrival, row

    def __lt__(self, other: Waiting) -> bool:
        return self.arrival < other.arrival


@st.composite
def reserved_jobs(draw: st.DrawFn) -> list[tuple[int, int, int, int, bool]]:
    """(arrival, told, run, size, spot), sorted by arrival."""
    arrival, jobs = 0, []
    for _ in range(draw(st.integers(1, 25))):
        arrival += draw(st.sampled_from([0, 0, 0, 1, 3]))
        told = arrival + draw(st.integers(0, 12))
        jobs.append(
            (arrival, told, draw(st.integers(1, 8)), draw(st.integers(1, 4)), draw(st.booleans()))
        )
    return jobs


def tick_by_tick(
    jobs: list[tuple[int, int, int, int, bool]], reserved: int, conserving: bool, heap: bool
) -> tuple[list[int], list[bool]]:
    start, held = [-1] * len(jobs), [False] * len(jobs)
    free, now, coming = reserved, 0, list(range(len(jobs)))
    queue: PriorityQueue[Waiting] = PriorityQueue()
    plain: list[int] = []
    while -1 in start:
        while coming and jobs[coming[0]][0] <= now:
            row = coming.pop(0)
            queue.put(Waiting(jobs[row][0], row))
            plain.append(row)
        rows = [queue.get().row for _ in range(queue.qsize())] if heap else list(plain)
        plain.clear()
        for row in rows:
            _, told, _, size, spot = jobs[row]
            fits = size <= free and not spot
            if now >= told or (conserving and fits):
                start[row], held[row] = now, fits
                free -= size if fits else 0
            else:
                queue.put(Waiting(jobs[row][0], row))
                plain.append(row)
        free += sum(
            size
            for row, (_, _, run, size, _) in enumerate(jobs)
            if held[row] and start[row] + run == now
        )
        now += 1
    return start, held


@settings(max_examples=250, deadline=None)
@given(reserved_jobs(), st.integers(0, 8), st.booleans(), st.booleans())
def test_reserved_capacity_tick_by_tick(
    jobs: list[tuple[int, int, int, int, bool]], reserved: int, conserving: bool, heap: bool
) -> None:
    arrival, told, run, size, spot = (np.array(column) for column in zip(*jobs, strict=True))
    done = run_on_reserved(
        reserved,
        arrival_ms=arrival * MINUTE,
        told_ms=told * MINUTE,
        run_ms=run * MINUTE,
        processors=size,
        spot=spot,
        conserving=conserving,
        tick_ms=MINUTE,
        heap_ties=heap,
    )
    start, held = tick_by_tick(jobs, reserved, conserving, heap)
    assert (done.start_ms // MINUTE).tolist() == start
    assert done.on_reserved.tolist() == held
