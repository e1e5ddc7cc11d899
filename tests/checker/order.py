"""Rules of order: who may pass whom in a pool's queue, replayed instant by instant.

EASY (Lifka 1995): the first of a queue that does not fit holds a reservation, made from the
expected ends of what runs. A later one may start only if it is expected to end by then, or if what
is free then holds both. Conservative: one may start only where no reservation of those ahead is
in the way; reservations are remade, in queue order, from what is known at each instant, and
again after each start.

A run that has passed its expected end is thought to go on until its expected length, doubled as
often as that needs, is over; at such an instant too those who wait are looked at.

A queue is ordered by priority, then by submission. Pools where a job ran again after it was cut
short are left out: when it began to wait there again is not told, nor whom it then went before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field

from tests.checker.case import Case
from tests.checker.network import Pool
from tests.checker.rehearsal import Segment

NEVER = 1 << 62


@dataclass(order=True, frozen=True, slots=True)
class Waiting:
    """A job in a pool's queue; sorts as the queue does."""

    rank: tuple[int, int]
    entered_ms: int
    """When it could have started for the first time."""
    need: int
    expected_ms: int
    row: int
    step: int
    """-1: it waited before the present instant's arrivals; else it is that arrival."""


@dataclass
class PoolReplay:
    """One pool at one instant."""

    case: Case
    pool: Pool
    free: int
    running: list[tuple[int, int, int]] = field(default_factory=list)
    """(expected end, row, need), sorted."""
    began: dict[int, int] = field(default_factory=dict)
    """Row → when its present run started."""
    queue: list[Waiting] = field(default_factory=list)

    def ahead(self, job: Waiting, step: int) -> list[Waiting]:
        """Who stands before ``job`` once the arrivals up to ``step`` are in."""
        before = self.queue[: bisect_left(self.queue, job)]
        return [other for other in before if other.step <= step]

    def against_easy(self, now: int, job: Waiting, step: int) -> str | None:
        """Whom a start of ``job`` delays, in words; None = it may start."""
        head = next(iter(self.ahead(job, step)), None)
        if head is None:
            return None
        self.case.reach["easy-order"] += 1
        shadow, extra = self.reservation(now, head.need)
        if now + job.expected_ms <= shadow or job.need <= extra:
            return None
        return (
            f"at {now} it passed row {head.row}, whose start at {shadow} it delays: it is expected "
            f"to end at {now + job.expected_ms} and takes {job.need} of {extra} spare there"
        )

    def reservation(self, now: int, need: int) -> tuple[int, int]:
        """When ``need`` is expected to be free, and what more will be free then."""
        free = self.free
        if free >= need:
            return now, free - need
        for at, (end, _, held) in enumerate(self.running):
            free += held
            last = at + 1 == len(self.running) or self.running[at + 1][0] != end
            if free >= need and last:
                return end, free - need
        return NEVER, 0

    def against_conservative(self, now: int, job: Waiting, step: int) -> str | None:
        """The same where those ahead hold reservations: up to the depth of those that could start
        now, and as many of those that are put off."""
        depth = self.case.rehearsal.policy["backfill_depth"]
        ahead = self.ahead(job, step)
        if not ahead:
            return None
        self.case.reach["conservative-order"] += 1
        profile = Profile(now, self.free, [(end, held) for end, _, held in self.running])
        counted = {True: 0, False: 0}
        for other in ahead:
            due = other.entered_ms <= now
            counted[due] += 1
            if counted[due] > depth:
                self.case.reach["beyond-the-depth" if due else "put-off-beyond-the-depth"] += 1
                continue
            start = profile.first(other.need, other.expected_ms, max(now, other.entered_ms))
            if start < NEVER:
                profile.take(start, start + other.expected_ms, other.need)
        if counted[True] < depth and profile.first(job.need, job.expected_ms, now) == now:
            return None
        return (
            f"at {now} it passed {len(ahead)} jobs, the first row {ahead[0].row}, "
            "against a reservation"
        )

    def start_all(self, now: int, starts: list[Segment], conservative: bool) -> None:
        """The starts of one instant, in the passes in which they may have come about.

        Who waited already is looked at first, then again at each arrival of this instant: one of
        higher priority moves the head's reservation, and room for others may appear beside it.
        """
        waiting = {w.row: w for w in self.queue}
        begin = {s.row: s for s in starts if s.index == 0 and s.row in waiting}
        for segment in starts:
            if segment.row not in begin:
                self.hold(segment, now)
        rule = "conservative-order" if conservative else "easy-order"
        for step in sorted({job.step for job in self.queue}):
            # In queue order: who started makes room within the depth for those behind.
            for job in sorted(waiting[row] for row in begin):
                if job.step <= step and self._against(now, job, step, conservative) is None:
                    self.queue.remove(job)
                    self.hold(begin.pop(job.row), now)
        last = max((job.step for job in self.queue), default=-1)
        for job in sorted(waiting[row] for row in begin):
            told = self._against(now, job, last, conservative)
            if told is not None:
                self.case.say(rule, told, job.row)
            self.queue.remove(job)
            self.hold(begin.pop(job.row), now)

    def _against(self, now: int, job: Waiting, step: int, conservative: bool) -> str | None:
        if conservative:
            return self.against_conservative(now, job, step)
        return self.against_easy(now, job, step)

    def hold(self, segment: Segment, now: int) -> None:
        need = self.case.need(segment.row, self.pool) or 0
        self.free -= need
        self.began[segment.row] = now
        insort(
            self.running, (now + self.case.expected_ms(segment.row, self.pool), segment.row, need)
        )

    def prolong(self, now: int) -> None:
        """Who runs past the expected end is expected anew: start + length x 2^k, the first > now."""
        while self.running and self.running[0][0] <= now:
            end, row, need = self.running.pop(0)
            start = self.began[row]
            while end <= now:
                end = start + 2 * (end - start)
            insort(self.running, (end, row, need))

    def release(self, segment: Segment) -> None:
        for at, (_, row, need) in enumerate(self.running):
            if row == segment.row:
                self.free += need
                del self.running[at]
                return


class Profile:
    """Free milli-devices over time to come, as breakpoints."""

    def __init__(self, now: int, free: int, ends: list[tuple[int, int]]):
        self.times, self.free = [now], [free]
        for end, need in sorted(ends):
            if end > self.times[-1]:
                self.times.append(end)
                self.free.append(self.free[-1])
            self.free[-1] += need

    def first(self, need: int, length: int, from_ms: int) -> int:
        """The first start from ``from_ms`` with ``need`` free for ``length``."""
        starts = [from_ms, *(time for time in self.times if time > from_ms)]
        for start in starts:
            low = bisect_right(self.times, start) - 1
            high = bisect_left(self.times, start + length)
            if all(free >= need for free in self.free[low:high]):
                return start
        return NEVER

    def take(self, start: int, end: int, need: int) -> None:
        for time in (start, end):
            at = bisect_right(self.times, time) - 1
            if self.times[at] != time:
                self.times.insert(at + 1, time)
                self.free.insert(at + 1, self.free[at])
        for at in range(bisect_left(self.times, start), bisect_left(self.times, end)):
            self.free[at] -= need


def check_order(case: Case) -> None:
    """``easy-order``, ``conservative-order``, ``head-idle`` and ``first-reservation``."""
    if case.source is None:
        case.notes.append("order rules were not checked: they need the workload's estimates")
        return
    conservative = case.rehearsal.policy["discipline"] == "conservative"
    left_out = 0
    for name, segments in case.by_pool().items():
        if any(segment.index for segment in segments):
            left_out += 1
        else:
            _replay(case, case.network.pools[name], segments, conservative)
    if left_out:
        case.notes.append(f"order rules were not checked at {left_out} pools: jobs ran again there")
    if conservative:
        _first_reservations(case)


def _replay(case: Case, pool: Pool, segments: list[Segment], conservative: bool) -> None:
    rows = case.rehearsal.rows
    first: dict[int, Waiting] = {}
    events: dict[int, tuple[list[Segment], list[Waiting], list[Segment]]] = {}

    def at_time(time: int) -> tuple[list[Segment], list[Waiting], list[Segment]]:
        return events.setdefault(time, ([], [], []))

    for segment in segments:
        job, row = case.jobs[segment.row], rows[segment.row]
        need = case.need(segment.row, pool)
        if job is None or need is None:
            continue  # told already: a job that is not in the source, or does not fit
        at_time(segment.start_ms)[2].append(segment)
        at_time(segment.end_ms)[0].append(segment)
        if segment.index == 0:
            entered = case.entered_ms(row)
            arrives = row["submit_ms"] if conservative else entered
            waits = Waiting(
                (-job.priority, segment.row),
                entered,
                need,
                case.expected_ms(segment.row, pool),
                segment.row,
                segment.row if entered == row["submit_ms"] else -1,
            )
            first[segment.row] = waits
            if segment.start_ms >= arrives:  # else it broke another rule already
                at_time(arrives)[1].append(waits)
    replay = PoolReplay(case, pool, pool.capacity_milli)
    for now in sorted(events):
        ends, arrivals, starts = events[now]
        for segment in ends:
            replay.release(segment)
        replay.prolong(now)
        # Who waited from before this instant came before all its arrivals.
        replay.queue = [
            w if w.step < 0 else Waiting(w.rank, w.entered_ms, w.need, w.expected_ms, w.row, -1)
            for w in replay.queue
        ]
        for waits in arrivals:
            insort(replay.queue, waits)
        replay.start_all(now, starts, conservative)
        _check_head(replay, now, conservative)


def _check_head(replay: PoolReplay, now: int, conservative: bool) -> None:
    """The first of a queue is never kept waiting beside enough free devices."""
    queue = [w for w in replay.queue if not conservative or w.entered_ms <= now]
    if not queue or (conservative and queue[0] is not replay.queue[0]):
        return  # a put-off job ahead holds a reservation of its own
    replay.case.reach["head-idle"] += 1
    if queue[0].need <= replay.free and replay.pool.status == "open":
        replay.case.say(
            "head-idle",
            f"at {now} it is the first of {replay.pool.name}, needs {queue[0].need} and "
            f"{replay.free} are free",
            queue[0].row,
        )


def _first_reservations(case: Case) -> None:
    """A job starts no later than first reserved, unless what the reservation rested on changed.

    It rests on expected ends and on those ahead. It may be remade later when a job ran longer or
    shorter than said, when one of higher priority came, or when more waited than are reserved for.
    """
    rows, depth = case.rehearsal.rows, case.rehearsal.policy["backfill_depth"]
    remade = 0
    for name, segments in case.by_pool().items():
        pool = case.network.pools[name]
        for segment in segments:
            row, job = rows[segment.row], case.jobs[segment.row]
            told = row["predicted_wait_ms"]
            if segment.index or told is None or job is None:
                continue
            case.reach["first-reservation"] += told > 0
            if segment.start_ms <= row["submit_ms"] + told:
                continue
            since, until = row["submit_ms"], segment.start_ms
            excused = waiting = 0
            for other in segments:
                theirs, them = rows[other.row], case.jobs[other.row]
                if them is None or other.row == segment.row:
                    continue
                expected = case.expected_ms(other.row, pool)
                due = other.start_ms + expected
                # It ended early in between, or was overdue at some time in between.
                early = other.end_ms < due and since <= other.end_ms <= until
                late = other.end_ms > due and other.end_ms >= since and due <= until
                if early or late or other.index > 0:
                    excused += 1
                if them.priority > job.priority and since <= theirs["submit_ms"] < until:
                    excused += 1
                if theirs["submit_ms"] <= since <= other.start_ms:
                    waiting += 1
            if excused or waiting >= depth:
                remade += 1
            else:
                case.say(
                    "first-reservation",
                    f"first reserved at {since + told}, it started at {until}",
                    segment.row,
                )
    if remade:
        case.notes.append(f"{remade} jobs started after their first reservation, which was remade")
