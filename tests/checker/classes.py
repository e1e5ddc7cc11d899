"""Rules across priority classes, which hold whatever orders the jobs within a class.

The first of a queue is of its highest class. Under fair shares, or where jobs ran again, it is not
told which of that class it is. But when every one of them would fit beside what runs, the first would,
too, and may not wait: whoever of a lower class runs in its place has passed it unduly.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tests.checker.case import Case
from tests.checker.network import Pool
from tests.checker.outages import windows
from tests.checker.rehearsal import Segment

PREEMPTED = "preempted"


@dataclass(frozen=True, slots=True)
class Wait:
    """One stay of a job in a pool's queue."""

    row: int
    priority: int
    need: int
    sure_ms: int
    """From here on it could start."""


def check_classes(case: Case) -> None:
    """``class-idle`` and ``preempted-by``."""
    if case.source is None:
        return
    scenario = case.rehearsal.summary.get("scenario") or {}
    reasons = (
        (case.by_nodes, "jobs wait for nodes"),
        (case.reviewed, "waiting jobs could change their pool"),
        (bool(windows(case)), "jobs of closed sites were placed again"),
        (bool(case.rehearsal.policy.get("reconsider_ms", 0)), "runs were reconsidered"),
        (bool(scenario.get("delegated_pools")), "sites kept their own order"),
    )
    told = [text for holds, text in reasons if holds]
    if told:
        case.notes.append(f"classes were not checked: {'; '.join(told)}")
        return
    for name, segments in case.by_pool().items():
        pool = case.network.pools[name]
        if pool.status == "open":
            _sweep(case, pool, segments)
        _victims(case, segments)


def _victims(case: Case, segments: list[Segment]) -> None:
    """Whoever is put out is put out for one of a higher class, which starts there at that instant."""
    starts: dict[int, int] = {}
    for segment in segments:
        job = case.jobs[segment.row]
        if job is not None:
            highest = starts.get(segment.start_ms, -129)
            starts[segment.start_ms] = max(highest, job.priority)
    for segment in segments:
        job = case.jobs[segment.row]
        if segment.why != PREEMPTED or job is None:
            continue
        case.reach["preempted-by"] += 1
        if starts.get(segment.end_ms, -129) <= job.priority:
            case.say(
                "preempted-by",
                f"it was put out at {segment.end_ms}, and nobody of a higher class started there",
                segment.row,
            )


def _sweep(case: Case, pool: Pool, segments: list[Segment]) -> None:
    """``class-idle``, at each instant at which something happened in the pool."""
    arrive: dict[int, list[tuple[Wait, int]]] = defaultdict(list)
    starts: dict[int, list[tuple[int, int]]] = defaultdict(list)
    ends: dict[int, int] = defaultdict(int)
    cut_ms = {(s.row, s.index): s.end_ms for s in case.rehearsal.segments}
    for segment in segments:
        job, need = case.jobs[segment.row], case.need(segment.row, pool)
        if job is None or need is None:
            continue  # told already
        starts[segment.start_ms].append((segment.row, need))
        ends[segment.end_ms] += need
        row = case.rehearsal.rows[segment.row]
        if segment.index == 0:
            bound, sure = row["submit_ms"], case.entered_ms(row)
        else:
            # It may be held back by its checkpoint's way: it could start at its start, for sure.
            bound, sure = cut_ms[segment.row, segment.index - 1], segment.start_ms
        if bound <= segment.start_ms:
            arrive[bound].append((Wait(segment.row, job.priority, need, sure), segment.start_ms))
    entered = {wait.sure_ms for waits in arrive.values() for wait, _ in waits}
    queue: dict[int, Wait] = {}
    free = pool.capacity_milli
    for now in sorted({*arrive, *starts, *ends, *entered}):
        free += ends.get(now, 0)
        for wait, _ in arrive.get(now, ()):
            queue[wait.row] = wait
        for row, need in starts.get(now, ()):
            free -= need
            queue.pop(row, None)
        _look(case, pool, queue, free, now)


def _look(case: Case, pool: Pool, queue: dict[int, Wait], free: int, now: int) -> None:
    sure = [wait for wait in queue.values() if wait.sure_ms <= now]
    if not sure:
        return
    top = max(wait.priority for wait in sure)
    first = [wait for wait in queue.values() if wait.priority >= top]
    if any(wait.sure_ms > now for wait in first) and (
        case.rehearsal.policy["discipline"] == "conservative"
        or any(wait.need > free for wait in first)
    ):
        return  # one that may or may not stand in the queue may be its first
    case.reach["class-idle"] += 1
    if all(wait.need <= free for wait in first):
        case.say(
            "class-idle",
            f"at {now} it is of the highest class that waits at {pool.name}; {free} are free, and "
            f"the {len(first)} of that class need {max(wait.need for wait in first)} at most",
            sure[0].row
            if sure[0].priority == top
            else next(w.row for w in sure if w.priority == top),
        )
