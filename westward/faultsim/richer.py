"""What a seed draws since session 7, each in a part of all worlds and from dice of its own (as in
``more``): the folder is edited, jobs are poisoned, callers are wrong, and moves pay.
"""

from __future__ import annotations

import random
from dataclasses import replace

from westward.faultsim.scenario import Act, BudgetPlan, Scenario, SitePlan

DEAR_MICROS = 7_777_777
CHEAP_MICROS = 1_000_000


def with_richer(one: Scenario) -> Scenario:
    """``one`` and what its seed draws here."""
    return _restarts(_short(_moves(_asked(_poisons(_folders(one))))))


def _dice(one: Scenario, purpose: str) -> random.Random:
    return random.Random(f"westward-faultsim-{one.seed}-richer-{purpose}")


def _with_acts(one: Scenario, acts: list[Act]) -> Scenario:
    return replace(one, acts=tuple(sorted((*one.acts, *acts), key=lambda act: act.at_ms)))


def _folders(one: Scenario) -> Scenario:
    dice = _dice(one, "folders")
    if dice.random() >= 0.06:
        return one
    return _with_acts(
        one,
        [
            Act(
                at_ms=dice.randrange(one.heal_ms // 8, one.heal_ms),
                kind="folder",
                target=dice.choice(one.sites).name,
                size=dice.randrange(1_000_000),
            )
            for _ in range(dice.choice((1, 1, 2)))
        ],
    )


def _poisons(one: Scenario) -> Scenario:
    dice = _dice(one, "poisons")
    if dice.random() >= 0.05:
        return one
    return _with_acts(
        one,
        [
            Act(
                at_ms=dice.randrange(100, one.heal_ms * 3 // 4),
                kind="poison",
                target=dice.choice(one.jobs).job_id,
                size=dice.randrange(1_000_000),
            )
            for _ in range(4)
        ],
    )


def _asked(one: Scenario) -> Scenario:
    dice = _dice(one, "asked")
    if dice.random() >= 0.08:
        return one
    acts = []
    for _ in range(2):
        kind = dice.choice(("wrong-caller", "wrong-caller", "possible"))
        at_ms, size = dice.randrange(500, one.heal_ms), dice.randrange(1_000_000)
        acts.append(Act(at_ms=at_ms, kind=kind, target=dice.choice(one.jobs).job_id, size=size))
    return _with_acts(one, acts)


def _moves(one: Scenario) -> Scenario:
    """The cheap site takes nothing until jobs run at the dear one, and then it does."""
    dice = _dice(one, "moves")
    if dice.random() >= 0.04 or len(one.sites) < 2:
        return one
    cheap, *dear = one.sites
    sites: list[SitePlan] = [replace(cheap, price_micros=dice.choice((0, CHEAP_MICROS)))]
    sites += [replace(site, price_micros=DEAR_MICROS, region=cheap.region) for site in dear]
    jobs = []
    for job in one.jobs:
        work_ms = dice.choice((30_000, 60_000))
        stated_ms = work_ms * dice.choice((1, 1, 4))
        jobs.append(
            replace(
                job, at_ms=job.at_ms // 4, work_ms=work_ms, stated_ms=stated_ms, saves=True,
                region=None if dice.random() < 0.7 else cheap.region, start_after_ms=None,
                nodes=1, deadline_ms=None,
            )
        )  # fmt: skip
    opens_ms = max(1_000, one.heal_ms // 4)
    closed = Act(at_ms=1, kind="cordon", target=cheap.name, size=0)
    opened = Act(at_ms=opens_ms, kind="open", target=cheap.name, size=0)
    # Files of nothing: a job's checkpoint is thought to be large, and lines carry 10 Gb/s.
    return _with_acts(
        replace(
            one, sites=tuple(sites), jobs=tuple(jobs), budgets=(), line_micros=None,
            reconsider_ms=dice.choice((1_000, 2_000)),
        ),
        [closed, opened],
    )  # fmt: skip


def _short(one: Scenario) -> Scenario:
    """Jobs that start at once, half paid by a funder, whose project has the money for some of
    them: what is counted for one must not be for the others."""
    dice = _dice(one, "short")
    if dice.random() >= 0.04 or len(one.jobs) < 2:
        return one
    at_ms = one.jobs[0].at_ms
    jobs = [
        replace(job, at_ms=at_ms, project="alpha", after=None, also_after=(), nodes=1, region=None)
        for job in one.jobs
    ]
    budget = BudgetPlan(
        project="alpha",
        micros=dice.choice((1_000, 50_000, 200_000, 700_000)),
        on_empty=dice.choice(("suspend", "cancel")),
    )
    sites = [replace(site, price_micros=site.price_micros or CHEAP_MICROS) for site in one.sites]
    pot = 10**9 if one.rules is None else None
    return replace(
        one, sites=tuple(sites), jobs=tuple(jobs), budgets=(budget,), pot_micros=pot
    )


def _restarts(one: Scenario) -> Scenario:
    dice = _dice(one, "restarts")
    if dice.random() >= 0.05:
        return one
    acts = [
        Act(at_ms=dice.randrange(300, one.heal_ms), kind="restart", target="", size=0)
        for _ in range(3)
    ]
    return _with_acts(one, acts)
