"""The random cases, planned once by ``plan()`` and once by the twin; every property reads the same.

WESTWARD_EXAMPLES says how many, WESTWARD_FIRST_SEED where to begin (others than the usual ones).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from tests.twin.cases import Case, case, smaller
from tests.twin.planner_twin import Answer, Twin, twin_plan
from westward.model.job import JobSpec
from westward.model.plan import Plan
from westward.placement import plan

COUNT = int(os.environ.get("WESTWARD_EXAMPLES", "1200"))
FIRST = int(os.environ.get("WESTWARD_FIRST_SEED", "0"))
SEEDS = range(FIRST, FIRST + COUNT)


@dataclass
class Played:
    """A case, the planner's answer and the twin's, each made when first asked for."""

    case: Case

    @cached_property
    def plan(self) -> Plan:
        return decide(self.case)

    @cached_property
    def twin(self) -> Twin:
        one = self.case
        return twin_plan(one.snapshot, list(one.jobs), one.policy, one.now)

    @cached_property
    def answers(self) -> dict[str, Answer]:
        return self.twin.answers()

    @property
    def reserves_in_order(self) -> bool:
        """Every waiting job holds a reservation, and nobody is told one that others give way to."""
        policy = self.case.policy
        if policy.discipline != "conservative" or policy.backfill_depth < 64:
            return False
        return not any(spec.priority for spec in self.specs.values())

    @property
    def specs(self) -> dict[str, JobSpec]:
        found = {job.job_id: job for job in self.case.jobs}
        for state in self.case.snapshot.pools:
            found |= {entry.job.job_id: entry.job for entry in state.queue}
        return found


def decide(one: Case, *, explain: bool = True) -> Plan:
    return plan(one.snapshot, list(one.jobs), one.policy, one.now, explain=explain)


@cache
def played(seed: int) -> Played:
    return Played(case(seed))


def every_case(check: Callable[[Played], None]) -> Callable[[], None]:
    """Makes a property a test; for the first seed that fails it tells the case made smaller."""

    def test() -> None:
        for seed in SEEDS:
            try:
                check(played(seed))
            except Exception as fault:
                if "WESTWARD_NO_SHRINK" in os.environ:
                    raise
                least = smaller(case(seed), lambda one: _fails(check, one))
                raise AssertionError(f"seed {seed}: {fault}\nmade smaller: {least}") from fault

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


def _fails(check: Callable[[Played], None], one: Case) -> bool:
    try:
        check(Played(one))
    except Exception:
        return True
    return False
