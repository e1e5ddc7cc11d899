"""The one-pool simulator against a plain twin that shares no code with it, and its refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.model.faults import InputFaults
from westward.placement.orders import ORDERS, order_number, score
from westward.simulate.onepool import STEPPING, PoolJobs, bounded_slowdown, simulate_pool

MS = 1_000


@dataclass(eq=False)
class Job:
    """One job, times in seconds."""

    row: int
    submit: int
    run: int
    asked: int
    size: int
    start: int = -1


# Operation by operation as published: two scores that differ in the last digit are no tie.
FORMS: dict[str, Callable[[Job, int], float]] = {
    "fcfs": lambda j, now: j.submit,
    "sjf": lambda j, now: j.asked,
    "smallest": lambda j, now: j.size,
    "wfp3": lambda j, now: -j.size * ((now - j.submit) / j.asked) ** 3,
    "unicep": lambda j, now: -(now - j.submit + 1e-15) / (math.log2(j.size + 1e-15) * j.asked),
    "f1": lambda j, now: math.log10(j.asked) * j.size + 870 * math.log10(j.submit or 0.1),
    "f2": lambda j, now: math.sqrt(j.asked) * j.size + 25_600 * math.log10(j.submit or 0.1),
    "f3": lambda j, now: j.asked * j.size + 6_860_000 * math.log10(j.submit or 0.1),
    "f4": lambda j, now: j.asked * math.sqrt(j.size) + 530_000 * math.log10(j.submit or 0.1),
    "wfp3_schedgym": lambda j, now: j.size * ((1 + j.submit) / j.asked) ** 3,
    "unicep_schedgym": lambda j, now: (
        (1 + j.submit - 1e-15) / (math.log2(j.size + 1e-15) * j.asked)
    ),
}


@dataclass
class PlainPool:
    """Second by second, with lists of objects."""

    jobs: list[Job]
    capacity: int
    order: str
    easy: bool
    queue: list[Job] = field(default_factory=list)
    held: list[Job] = field(default_factory=list)
    """Running jobs in the order of starting."""

    def free(self) -> int:
        return self.capacity - sum(job.size for job in self.held)

    def begin(self, job: Job, now: int) -> None:
        job.start = now
        self.queue.remove(job)
        self.held.append(job)

    def look(self, now: int) -> None:
        ranked = sorted(self.queue, key=lambda job: (FORMS[self.order](job, now), job.row))
        while ranked and ranked[0].size <= self.free():
            self.begin(ranked.pop(0), now)
        if not ranked or not self.easy:
            return
        head, *others = ranked
        ends = {job.row: max(now, job.start + job.asked) for job in self.held}

        def free_at(moment: int) -> int:
            return self.capacity - sum(j.size for j in self.held if ends[j.row] > moment)

        shadow = next(moment for moment in sorted(ends.values()) if free_at(moment) >= head.size)
        extra = free_at(shadow) - head.size
        for job in others:
            late = now + job.asked > shadow
            if job.size <= self.free() and not (late and job.size > extra):
                extra -= job.size if late else 0
                self.begin(job, now)

    def second(self, now: int, stepping: str) -> None:
        arriving = [job for job in self.jobs if job.submit == now]
        ending = [job for job in self.held if job.start + job.run == now]
        if stepping == "per-instant":
            self.held = [job for job in self.held if job not in ending]
            self.queue += arriving
            if arriving or ending:
                self.look(now)
            return
        if stepping == "ends-first":
            for job in ending:
                self.held.remove(job)
                self.look(now)
        else:
            # Jobs that were said to have ended by now are off the plan at once.
            self.held = [j for j in self.held if j not in ending or j.start + j.asked > now]
        for job in arriving:
            self.queue.append(job)
            self.look(now)
        if stepping == "arrivals-first":
            for job in ending:
                if job in self.held:
                    self.held.remove(job)
                self.look(now)

    def starts(self, stepping: str) -> list[int]:
        now = 0
        while any(job.start < 0 for job in self.jobs) or self.held:
            self.second(now, stepping)
            now += 1
        return [job.start for job in self.jobs]


def blocking_pick(jobs: list[Job], capacity: int, order: str, easy: bool) -> list[int]:
    """SchedGym's rules told as they are: two lists, sorted again and again."""
    coming, queue, held = list(jobs[1:]), [jobs[0]], list[Job]()
    now = jobs[0].submit

    def free() -> int:
        return capacity - sum(job.size for job in held)

    def step() -> None:
        nonlocal now
        held.sort(key=lambda job: job.start + job.run)
        first_end = held[0].start + held[0].run if held else 10**9
        if coming and coming[0].submit <= first_end:
            now = max(now, coming[0].submit)
            queue.append(coming.pop(0))
        else:
            now = max(now, first_end)
            held.pop(0)

    def begin(job: Job) -> None:
        job.start = now
        held.append(job)
        queue.remove(job)

    while queue:
        queue.sort(key=lambda job: FORMS[order](job, now))
        job = queue[0]
        shadow = now
        if easy and job.size > free():
            held.sort(key=lambda other: other.start + other.asked)
            freed = free()
            for other in held:
                freed += other.size
                shadow = other.start + other.asked
                if freed >= job.size:
                    break
        while job.size > free():
            if easy:
                queue.sort(key=lambda other: other.submit)
                for other in list(queue):
                    if other.size <= free() and now + other.asked < shadow:
                        begin(other)
            step()
        begin(job)
        while not queue and coming:
            step()
    return [job.start for job in jobs]


@st.composite
def workloads(draw: st.DrawFn) -> tuple[list[Job], int]:
    capacity = draw(st.integers(2, 8))
    jobs, submit = list[Job](), 0
    for row in range(draw(st.integers(1, 20))):
        submit += draw(st.sampled_from([0, 0, 1, 1, 2, 4]))
        asked = draw(st.integers(1, 9))
        run = draw(st.one_of(st.just(asked), st.integers(1, 12)))
        jobs.append(Job(row, submit, run, asked, draw(st.integers(1, capacity))))
    return jobs, capacity


def columns(jobs: list[Job]) -> PoolJobs:
    def column(name: str, unit: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([getattr(job, name) * unit for job in jobs], dtype=np.int64)

    return PoolJobs(
        submit_ms=column("submit", MS),
        run_ms=column("run", MS),
        requested_ms=column("asked", MS),
        processors=column("size", 1),
    )


@pytest.mark.parametrize("stepping", STEPPING)
@pytest.mark.parametrize("discipline", ["none", "easy"])
@settings(max_examples=150, deadline=None)
@given(drawn=workloads(), order=st.sampled_from([*ORDERS]))
def test_every_start_equals_the_plain_twins(
    stepping: str, discipline: str, drawn: tuple[list[Job], int], order: str
) -> None:
    jobs, capacity = drawn
    ours = simulate_pool(
        columns(jobs), capacity, order=order, discipline=discipline, stepping=stepping
    )
    easy = discipline == "easy"
    if stepping == "blocking-pick":
        plain = blocking_pick(jobs, capacity, order, easy)
    else:
        plain = PlainPool(jobs, capacity, order, easy).starts(stepping)
    assert (ours // MS).tolist() == plain


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([*ORDERS]), st.integers(0, 10**7), st.integers(1, 10**6), st.integers(1, 4096),
    st.integers(0, 10**6),
)  # fmt: skip
def test_scores_are_the_published_formulas(
    order: str, submit: int, asked: int, size: int, wait: int
) -> None:
    job = Job(0, submit, 1, asked, size)
    ours = score(order_number(order), float(submit), float(asked), size, float(submit + wait))
    assert ours == pytest.approx(FORMS[order](job, submit + wait), rel=1e-12)


def test_a_window_sees_neither_the_jobs_before_it_nor_those_after() -> None:
    jobs = [Job(row, row, 100, 100, 2) for row in range(6)]
    assert simulate_pool(columns(jobs), 2, window=(2, 2)).tolist() == [2 * MS, 102 * MS]


def test_bounded_slowdown_divides_by_ten_seconds_at_least() -> None:
    wait_ms, run_ms = np.array([0, 90, 90]) * MS, np.array([1, 1, 100]) * MS
    assert bounded_slowdown(wait_ms, run_ms).tolist() == [1.0, 9.1, 1.9]


def test_every_fault_of_the_jobs_is_told_at_once() -> None:
    jobs = [Job(0, 5, 1, 1, 1), Job(1, 4, 0, 1, 9), Job(2, 6, 1, 0, 0)]
    with pytest.raises(InputFaults) as refused:
        simulate_pool(columns(jobs), 8)
    told = {(fault.field, fault.row) for fault in refused.value.faults}
    assert told == {
        ("submit_ms", 2),
        ("run_ms", 2),
        ("processors", 2),
        ("requested_ms", 3),
        ("processors", 3),
    }


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"order": "fifo"}, "order"),
        ({"discipline": "conservative"}, "discipline"),
        ({"stepping": "each"}, "stepping"),
        ({"window": (0, 2)}, ""),
        ({"window": (-1, 1)}, ""),
    ],
)
def test_unknown_names_and_windows_are_refused(
    options: dict[str, str | tuple[int, int]], field: str
) -> None:
    with pytest.raises(InputFaults) as refused:
        simulate_pool(columns([Job(0, 0, 1, 1, 1)]), 1, **options)  # type: ignore[arg-type]
    assert [fault.field for fault in refused.value.faults] == [field]
