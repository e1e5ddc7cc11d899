"""Makes a world that fails smaller: whatever can go while the same rule is still broken, goes.

Greedy, large pieces first: half of the faults, then single ones; then whims, jobs, sites, money. The
result is a file that tells the story; ``tests/faults`` plays every such file again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from westward.faultsim.disk import Disk
from westward.faultsim.scenario import Scenario
from westward.faultsim.world import World

TRIALS_MOST = 300
LISTS = ("faults", "whims", "acts", "jobs", "budgets", "sites")


def shrink(
    scenario: Scenario, rule: str, disk: Disk, told: Callable[[str], None] = lambda _line: None
) -> Scenario:
    """The smallest world found in which ``rule`` is broken as well."""
    trials = 0
    while True:
        for smaller in _smaller(scenario):
            trials += 1
            if trials > TRIALS_MOST:
                return scenario
            if World(smaller, disk).play().rule == rule:
                scenario = smaller
                told(_size(scenario))
                break
        else:
            return scenario


def _size(one: Scenario) -> str:
    parts = [f"{len(getattr(one, name))} {name}" for name in LISTS]
    return ", ".join(parts)


def _smaller(one: Scenario) -> Iterator[Scenario]:
    for name in LISTS:
        items: tuple[Any, ...] = getattr(one, name)
        size = len(items)
        step = max(1, size // 2)
        while step >= 1 and size:
            for at in range(0, size, step):
                kept = items[:at] + items[at + step :]
                if kept or name not in ("jobs", "sites"):
                    changes: dict[str, Any] = {name: kept}
                    yield _sound(replace(one, **changes))
            if step == 1:
                break
            step //= 2
    if one.pot_micros is not None:
        yield replace(one, pot_micros=None)
    if one.rules is not None:
        yield replace(one, rules=None)
    if one.tariff:
        yield replace(one, tariff=())
    if one.post_ms:
        yield replace(one, post_ms=0)
    if one.year_turns:
        yield replace(one, year_turns=False)
    if one.preempt:
        yield replace(one, preempt=False)
    if one.reconsider_ms:
        yield replace(one, reconsider_ms=0)
    if one.review_ms:
        yield replace(one, review_ms=0)
    if one.thread_us:
        yield replace(one, thread_us=0)


def _sound(one: Scenario) -> Scenario:
    """Nothing points at what was taken out."""
    jobs = {job.job_id for job in one.jobs}
    sites = {site.name for site in one.sites}
    regions = {site.region for site in one.sites}
    room = max(max(site.cards) for site in one.sites)
    return replace(
        one,
        jobs=tuple(
            replace(
                job,
                after=job.after if job.after in jobs else None,
                also_after=tuple(other for other in job.also_after if other in jobs),
                data_at=job.data_at if job.data_at in sites else "",
                region=job.region if job.region in regions else None,
                nodes=min(job.nodes, room),
            )
            for job in one.jobs
        ),
        whims=tuple(w for w in one.whims if w.job_id in jobs and w.to in sites),
        acts=tuple(a for a in one.acts if a.target in {*jobs, *sites, "alpha", "beta"}),
        faults=tuple(f for f in one.faults if f.target in sites or not f.target),
    )
