"""What a seed draws since session 7, each in a part of all worlds and from dice of its own (as in
``more``): the folder is edited, jobs are poisoned, callers are wrong, and moves pay.
"""

from __future__ import annotations

import random
from dataclasses import replace

from westward.faultsim.funders import funders
from westward.faultsim.scenario import Act, BudgetPlan, Scenario, SitePlan, Whim

DEAR_MICROS = 7_777_777
CHEAP_MICROS = 1_000_000
SELLERS_TRIED_MOST = 40
LONG_PROJECT = "项目 of many words " * 11
"""As long as an account may be named."""


def with_richer(one: Scenario) -> Scenario:
    """``one`` and what its seed draws here."""
    return _sellers(_names(_restarts(_money(_short(_moves(_asked(_poisons(_folders(one)))))))))


def with_reviews(one: Scenario) -> Scenario:
    """In half of them waiting jobs look at other pools again. In some of these one site comes up
    late, and jobs wait at the others until then."""
    dice = _dice(one, "reviews")
    if dice.random() >= 0.5:
        return one
    if dice.random() >= 0.2 or len(one.sites) < 2:
        return replace(one, review_ms=dice.choice((1_000, 3_000, 60_000)))
    late = one.sites[0].name  # its first pool is managed
    sites = tuple(
        replace(site, price_micros=dice.choice((0, CHEAP_MICROS, DEAR_MICROS - 1)))
        if site.name == late
        else replace(site, price_micros=DEAR_MICROS, cards=(1,) * len(site.cards))
        for site in one.sites
    )
    jobs = []
    for job in one.jobs:
        work_ms = dice.choice((60_000, 120_000))
        jobs.append(
            replace(
                job, at_ms=job.at_ms // 4, work_ms=work_ms, nodes=1, deadline_ms=None,
                stated_ms=work_ms * dice.choice((1, 1, 3)), start_after_ms=None, after=None,
                also_after=(), region=None if dice.random() < 0.7 else job.region,
            )
        )  # fmt: skip
    opens_ms = dice.randrange(one.heal_ms // 2, one.heal_ms)
    closed = Act(at_ms=1, kind="cordon", target=late, size=0)
    opened = Act(at_ms=opens_ms, kind="open", target=late, size=0)
    if dice.random() < 0.5:  # prices alone speak: ``waiting`` can tell who is left behind
        jobs = [replace(job, region=None, data_at="", reads="") for job in jobs]
        one = replace(
            one, rules=None, pot_micros=None, office=None, files=None, tariff=(), budgets=(),
            faults=(), whims=(), acts=(),
        )  # fmt: skip
    return _with_acts(
        replace(one, sites=sites, jobs=tuple(jobs), review_ms=dice.choice((1_000, 3_000))),
        [closed, opened],
    )


def _dice(one: Scenario, purpose: str) -> random.Random:
    return random.Random(f"westward-faultsim-{one.seed}-richer-{purpose}")


def _with_acts(one: Scenario, acts: list[Act]) -> Scenario:
    return replace(one, acts=tuple(sorted((*one.acts, *acts), key=lambda act: act.at_ms)))


def _folders(one: Scenario) -> Scenario:
    """Half of them where money is looked at every few seconds."""
    dice = _dice(one, "folders")
    if dice.random() >= 0.07:
        return one
    if dice.random() < 0.6:
        one = _looked_at(one)
    acts = []
    for _ in range(dice.choice((1, 1, 2))):
        at_ms = dice.randrange(one.heal_ms // 4, one.heal_ms * 3 // 4)
        target, size = dice.choice(one.sites).name, dice.randrange(1_000_000)
        acts.append(Act(at_ms=at_ms, kind="folder", target=target, size=size))
    return _with_acts(one, acts)


def _looked_at(one: Scenario) -> Scenario:
    """Runs of half a minute, whose money is looked at every few seconds."""
    jobs = tuple(
        replace(job, at_ms=job.at_ms // 2, work_ms=max(job.work_ms, one.heal_ms))
        for job in one.jobs
    )
    return replace(one, jobs=jobs, hold_ms=3_000, post_ms=1_000, reading_ms=2_000)


def _poisons(one: Scenario) -> Scenario:
    """Some of jobs that are to go somewhere, which are planned one by one."""
    dice = _dice(one, "poisons")
    if dice.random() >= 0.05:
        return one
    acts, whims = [], []
    for _ in range(4):
        job = dice.choice(one.jobs)
        at_ms = dice.randrange(100, one.heal_ms * 3 // 4)
        size = dice.randrange(1_000_000)
        acts.append(Act(at_ms=at_ms, kind="poison", target=job.job_id, size=size))
        if dice.random() < 0.4:
            to = dice.choice(one.sites).name
            whims.append(Whim(at_ms=max(0, at_ms - 50), kind="move", job_id=job.job_id, to=to))
    return _with_acts(replace(one, whims=(*one.whims, *whims)), acts)


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
    sites: list[SitePlan] = [
        replace(cheap, price_micros=dice.choice((0, CHEAP_MICROS, DEAR_MICROS - 1)))
    ]
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
    them: what is counted for one must not be for the others. In half of these worlds money is held
    for seconds, so that runs come to its end."""
    dice = _dice(one, "short")
    if dice.random() >= 0.06 or len(one.jobs) < 2:
        return one
    at_ms = one.jobs[0].at_ms
    jobs = [
        replace(
            job, at_ms=at_ms, project="alpha", after=None, also_after=(), nodes=1, region=None,
            work_ms=max(job.work_ms, 8_000), saves=job.saves and dice.random() < 0.5,
        )
        for job in one.jobs
    ]  # fmt: skip
    amounts = (1_000, 50_000, 200_000, 700_000)
    if dice.random() < 0.5:
        one, amounts = replace(one, hold_ms=3_000), (10_000, 20_000, 40_000, 60_000)
    budget = BudgetPlan(
        project="alpha",
        micros=dice.choice(amounts),
        on_empty=dice.choice(("suspend", "cancel", "run-on")),
    )
    sites = [replace(site, price_micros=site.price_micros or CHEAP_MICROS) for site in one.sites]
    pot = 10**9 if one.rules is None else None
    return replace(one, sites=tuple(sites), jobs=tuple(jobs), budgets=(budget,), pot_micros=pot)


def _money(one: Scenario) -> Scenario:
    """An account's row is spoiled; money is held for runs that are never granted."""
    dice = _dice(one, "money")
    acts = []
    if dice.random() < 0.03:
        at_ms, size = dice.randrange(2_000, one.heal_ms // 2), dice.randrange(1_000_000)
        acts.append(Act(at_ms=at_ms, kind="account", target="", size=size))
        early = [
            replace(job, at_ms=job.at_ms // 4, work_ms=min(job.work_ms, 8_000)) for job in one.jobs
        ]
        one = replace(one, jobs=tuple(early), post_ms=1_000, reading_ms=2_000)
    if dice.random() < 0.03:
        one = replace(one, hold_ms=3_000)
        for _ in range(3):
            job_id, at_ms = dice.choice(one.jobs).job_id, dice.randrange(300, one.heal_ms)
            acts.append(Act(at_ms=at_ms, kind="stray", target=job_id, size=0))
            if dice.random() < 0.5:
                # Its place is by an option that it has not: nobody can read it any more.
                acts.append(Act(at_ms=at_ms + 100, kind="poison", target=job_id, size=1))
    return _with_acts(one, acts) if acts else one


def _sellers(one: Scenario) -> Scenario:
    """Funders who reward the sites that sell."""
    dice = _dice(one, "sellers")
    if dice.random() >= 0.03:
        return one
    for _ in range(SELLERS_TRIED_MOST):
        number = dice.randrange(1_000_000)
        rules = funders(number, "", 0).rules
        if any(rule.pays == "supplier" and not rule.eligible for rule in rules):
            jobs = tuple(replace(job, project="alpha") for job in one.jobs)
            return replace(one, rules=number, pot_micros=None, jobs=jobs)
    return one


def _names(one: Scenario) -> Scenario:
    """A project of which the ledger must make a shorter name."""
    dice = _dice(one, "names")
    if dice.random() >= 0.03:
        return one
    jobs = [replace(job, project=LONG_PROJECT) if dice.random() < 0.5 else job for job in one.jobs]
    return replace(one, jobs=tuple(jobs))


def _restarts(one: Scenario) -> Scenario:
    dice = _dice(one, "restarts")
    if dice.random() >= 0.05:
        return one
    acts = [
        Act(at_ms=dice.randrange(300, one.heal_ms), kind="restart", target="", size=0)
        for _ in range(3)
    ]
    return _with_acts(one, acts)
