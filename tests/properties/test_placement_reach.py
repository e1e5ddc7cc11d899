"""The random cases really meet the branches that matter: a proof by thin cases proves little."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from tests.twin.planner_twin import Candidate
from tests.twin.played import COUNT, FIRST, SEEDS, Played, played

LEAST = {
    "overdue with a known start": 100,
    # EASY
    "easy: ends before": 20,
    "easy: ends as the head begins": 20,
    "easy: fits beside the head": 20,
    "easy: no room left beside": 10,
    "easy: would delay": 20,
    "easy: the depth ends the look": 20,
    "released at an end": 100,
    "released as a fluid": 100,
    "overrun released": 20,
    # Conservative
    "conservative: starts past another": 30,
    "conservative: fits in before another's reservation": 30,
    "conservative: goes ahead of the queue": 30,
    "conservative: more wait than have reservations": 20,
    "conservative: beyond the depth": 20,
    "conservative: put off beyond the depth": 20,
    # One candidate
    "waits in the site's own queue": 100,
    "starts": 100,
    "data on the way": 50,
    "start after": 50,
    "second option": 50,
    "cpus or memory dominate": 100,
    "gang": 100,
    "a better hour": 50,
    "deadline ends the search": 50,
    "deadline refuses": 50,
    "hourly cap puts off": 10,
    "hourly cap refuses": 20,
    # The choice
    "device decides the pool": 20,
    "power decides the pool": 10,
    "carbon decides the pool": 10,
    "transfer decides the pool": 10,
    "wait decides the pool": 10,
    "capacity decides the pool": 10,
    "vouchers decides the pool": 10,
    "a price of capacity": 100,
    "a voucher": 100,
    "bound before starts now": 50,
    "new starts past one bound before": 30,
    "refused": 100,
    "reservations without priorities": 100,
}
TERMS = ("device", "power", "carbon", "transfer", "wait", "capacity", "vouchers")


def met(one: Played) -> set[str]:
    """Names of the branches that this case takes."""
    found = set(one.twin.met)
    if one.reserves_in_order and len(one.answers) > 2:
        found.add("reservations without priorities")
    if one.twin.refused:
        found.add("refused")
    new = {job.job_id for job in one.case.jobs}
    waits = {a.pool for name, a in one.answers.items() if name not in new and not a.starts_now}
    for name, answer in one.answers.items():
        if answer.starts_now and name not in new:
            found.add("bound before starts now")
        if answer.starts_now and name in new and answer.pool in waits:
            found.add("new starts past one bound before")
    if one.case.policy.rule == "westward":
        for job_id, best in one.twin.chosen.items():
            seen = [other for other in one.twin.candidates[job_id] if other.code is None]
            for at, name in enumerate(TERMS):
                if min(seen, key=lambda other: without(other, at)).pool != best.pool:
                    found.add(f"{name} decides the pool")
    return found


def without(one: Candidate, term: int) -> float:
    return math.fsum(value for at, value in enumerate(one.terms) if at != term)


@pytest.mark.skipif(COUNT < 1200 or FIRST != 0, reason="counted over the usual seeds")
def test_every_branch_is_met_often_enough() -> None:
    count = Counter(name for seed in SEEDS for name in met(played(seed)))
    thin = {name: (count[name], least) for name, least in LEAST.items() if count[name] < least}
    assert not thin, f"(met, wanted at least): {thin}"
    uncounted = set(count) - set(LEAST)
    assert not uncounted, f"the twin names branches that nobody counts: {uncounted}"
