"""What a seed draws besides: further ends of work, richer money, and what operators do meanwhile.

Each group has dice of its own and comes to a part of all worlds. In the others the world is what it
was before the group was thought of.
"""

from __future__ import annotations

import random
from dataclasses import replace

from westward.faultsim.scenario import Act, BudgetPlan, JobPlan, Scenario, Whim

TARIFF_STEP_MS = 4_000
ENDS = ("killed", "no-code", "time-limit", "preempted", "unasked")
ACTS = (
    "cordon", "drain", "open", "open", "gift", "no-budget", "budget", "fact", "contract", "revoke",
    "admit", "step", "claw-back", "close-year", "dispute", "quote", "book", "book", "stranger",
    "restart",
)  # fmt: skip
FUNDERS_ACTS = ("fact", "contract", "revoke", "admit", "step", "step", "claw-back", "close-year")


def with_more(one: Scenario) -> Scenario:
    """``one`` and what its seed draws here."""
    from westward.faultsim.richer import with_reviews, with_richer

    return with_reviews(with_richer(_spoils(_acts(_whims(_budgets(_money(_jobs(one))))))))


def _dice(one: Scenario, purpose: str) -> random.Random:
    return random.Random(f"westward-faultsim-{one.seed}-more-{purpose}")


def _jobs(one: Scenario) -> Scenario:
    dice = _dice(one, "jobs")
    if dice.random() >= 0.4:
        return one
    jobs: list[JobPlan] = []
    for job in one.jobs:
        also: tuple[str, ...] = ()
        if job.after is not None and dice.random() < 0.3:
            also = tuple(other.job_id for other in jobs if other.job_id != job.after)
        ends = dice.choice(ENDS) if dice.random() < 0.4 else ""
        jobs.append(
            replace(
                job,
                also_after=also,
                ends=ends,
                only_codes=dice.choice(((), (), (3,), (137,), (5,))),
                never_codes=dice.choice(((), (), (3,), (137,))),
                attempts=3 if ends and dice.random() < 0.7 else job.attempts,
                refused="it asks for\ttoo much" if dice.random() < 0.04 else "",
                deadline_ms=dice.choice((None, None, None, 20_000, 60_000)),
            )
        )
    return replace(one, jobs=tuple(jobs))


def _money(one: Scenario) -> Scenario:
    dice = _dice(one, "money")
    if dice.random() < 0.4:
        one = replace(one, post_ms=dice.choice((1_000, 3_000)))
    if dice.random() < 0.3:
        prices = [dice.choice((0.25, 0.5, 1.0, 1.75, -0.5)) for _ in range(6)]
        one = replace(one, tariff=tuple(prices))
    if dice.random() < 0.3:
        sites = [site.name for site in one.sites]
        one = replace(
            one,
            line_micros=dice.choice((0, 1_000_000, 333_333)),
            jobs=tuple(
                replace(job, data_at=dice.choice(sites), data_bytes=dice.choice((1, 10**6, 10**8)))
                if dice.random() < 0.5
                else job
                for job in one.jobs
            ),
        )
    if dice.random() < 0.35:
        one = replace(one, rules=dice.randrange(1_000_000), pot_micros=None)
    at_once = dice.choice((0, 0, 1, 2))
    return replace(one, year_turns=dice.random() < 0.15, at_once=at_once)


def _budgets(one: Scenario) -> Scenario:
    """Where money is held for seconds: enough to begin with, not to end."""
    dice = _dice(one, "budgets")
    if not one.hold_ms or dice.random() >= 0.4:
        return one
    budgets = tuple(
        BudgetPlan(
            project=project,
            micros=dice.choice((1_000, 6_000, 20_000, 60_000)),
            on_empty=dice.choice(("suspend", "cancel", "run-on")),
        )
        for project in ("alpha", "beta")
    )
    return replace(one, budgets=budgets)


def _whims(one: Scenario) -> Scenario:
    """An owner who changes his mind within a second."""
    dice = _dice(one, "whims")
    if dice.random() >= 0.3:
        return one
    job, at_ms = dice.choice(one.jobs), dice.randrange(500, one.heal_ms)
    found = []
    for _ in range(dice.randint(2, 5)):
        kind = dice.choice(("suspend", "suspend", "resume", "move", "cancel"))
        to = dice.choice(one.sites).name
        found.append(Whim(at_ms=at_ms, kind=kind, job_id=job.job_id, to=to))
        at_ms += dice.choice((1, 30, 250, 700))
    return replace(one, whims=(*one.whims, *found))


def _acts(one: Scenario) -> Scenario:
    dice = _dice(one, "acts")
    if dice.random() >= 0.4:
        return one
    kinds = [kind for kind in ACTS if dice.random() < 0.4]
    if one.rules is not None:
        kinds += FUNDERS_ACTS
    if not kinds:
        return one
    found = []
    for _ in range(dice.randint(1, 8)):
        kind = dice.choice(kinds)
        target = dice.choice(("alpha", "beta"))
        if kind in ("cordon", "drain", "open"):
            target = dice.choice(one.sites).name
        elif kind in ("spoil", "quote"):
            target = dice.choice(one.jobs).job_id
        found.append(
            Act(
                at_ms=dice.randrange(200, one.heal_ms),
                kind=kind,
                target=target,
                size=dice.randrange(1_000_000),
            )
        )
    found.sort(key=lambda act: (act.at_ms, act.kind))
    return replace(one, acts=tuple(found))


def _spoils(one: Scenario) -> Scenario:
    dice = _dice(one, "spoils")
    if dice.random() >= 0.1:
        return one
    found = [
        Act(
            at_ms=dice.randrange(100, one.heal_ms),
            kind="spoil",
            target=dice.choice(one.jobs).job_id,
            size=dice.randrange(1_000_000),
        )
        for _ in range(6)
    ]
    return replace(one, acts=tuple(sorted((*one.acts, *found), key=lambda act: act.at_ms)))
