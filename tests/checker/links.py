"""Rule of shared links: no link ever carries more bytes than its bandwidth allows.

When a transfer ran is not told, but between when: it begins no earlier than the job is submitted,
and is over when the job may start. So for any times a < b the transfers that must lie wholly between
them take no more than b - a together. (Where transfers may be interrupted this is also enough for a
timetable to exist: Horn 1974. Where not, some impossible timetables pass.)
"""

from __future__ import annotations

import math
from bisect import insort
from fractions import Fraction

from tests.checker.case import Case

Move = tuple[int, int, Fraction, int]
"""(from when, until when, ms on the link, row)."""


def check_links(case: Case) -> None:
    """``link``. Of each job that ran once and did move its input; others only take room away."""
    scenario = case.rehearsal.summary.get("scenario") or {}
    if not scenario.get("shared_links"):
        return
    if case.source is None:
        case.notes.append("shared links were not checked: they need the workload's inputs")
        return
    for (home, site), moves in _moves(case).items():
        _fit(case, f"{home} to {site}", moves)


def _moves(case: Case) -> dict[tuple[str, str], list[Move]]:
    cut = {segment.row for segment in case.rehearsal.segments if segment.index > 0}
    found: dict[tuple[str, str], list[Move]] = {}
    for at, row in case.rehearsal.placed():
        job, pool = case.jobs[at], case.pool(row["pool"])
        if job is None or pool is None or at in cut or job.input_bytes == 0:
            continue
        moved = case.transfer(at, pool.site)
        if moved is None or moved[1] == 0:
            continue
        if job.dataset >= 0 and row["transfer_micros"] == 0:
            continue  # it read a copy that an earlier one had brought, or the way is free
        link = (row["home"], pool.site)
        found.setdefault(link, []).append((row["submit_ms"], case.entered_ms(row), moved[1], at))
    return found


def _fit(case: Case, name: str, moves: list[Move]) -> None:
    """For each beginning, from the last on: the load of all that begin then or later, by their ends."""
    by_end: list[tuple[int, int, Fraction]] = []
    worst: dict[int, str] = {}
    for begin, end, length, at in sorted(moves, reverse=True):
        insort(by_end, (end, at, length))
        load = Fraction(0)
        for count, (until, last, more) in enumerate(by_end, start=1):
            load += more
            case.reach["link"] += count > 1
            # Times are whole milliseconds, each transfer's may be cut by less than one.
            if load > until - begin + count:
                worst.setdefault(
                    last,
                    f"{name}: {count} transfers of {math.ceil(load)} ms in all between {begin} and "
                    f"{until}, {until - begin} ms",
                )
                break
    for row, text in worst.items():
        case.say("link", text, row)
