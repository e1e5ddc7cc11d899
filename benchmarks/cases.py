"""The benchmark's cases: one network of national size, generated jobs, the policy, the scenario.

A case may name features of row 3, joined by +: ``one-choice+packing+links``; ``everything`` is
``one-choice`` with all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from national import KINDS, national

from westward.formats.generate import NATIONAL, NATIONAL_DEFERRABLE, generate, generate_blocks
from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.scenario import Scenario, Share
from westward.model.workload import Workload

DEVICES = 1_000_000
LOAD = 0.9
SEED = 1
HOUR_MS = 3_600_000

ONE_CHOICE = "one-choice"
"""Row 1: each job is placed once, as soon as it arrives."""
DEFERRABLE = "deferrable"
"""Row 2: a fifth of the jobs may start in any of the next 24 hours that their deadline allows."""


STEADY = "steady"
"""Row 5: row 1's jobs, arriving evenly. With the day's profile a short run sees only the night and a
long one the peaks, when more is asked than there is: the load factor would not be the same."""


EVERYTHING = "everything"
"""Row 3: row 1's jobs with all of the features below."""
PACKING = "packing"
"""Jobs start on nodes of 8 devices, by best fit."""
A_KIND = "kinds"
"""Sites have three kinds of accelerator in turn, of speeds 1.0, 0.6 and 1.6; half of the jobs name
those that will do."""
PRICES = "prices"
"""Capacity is priced every six hours by linear programme (``westward simulate``'s usual period)."""
LINKS = "links"
"""One move at a time over a link."""
PREEMPTION = "preemption"
"""Three priorities; the first of a queue stops runs below it. Half of the jobs save checkpoints."""
FAIR_SHARE = "fair-share"
"""5,000 tenants in 20 programmes of weights 1 to 4."""
FEATURES = (PACKING, A_KIND, PRICES, LINKS, PREEMPTION, FAIR_SHARE)

PRICE_PERIOD_MS = 6 * HOUR_MS
PRIORITY_SHARES = (0.85, 0.12, 0.03)
CHECKPOINT_SHARE = 0.5
PROGRAMMES = 20
NAMED_KINDS = ((0.2, 0b001), (0.35, 0b101), (0.5, 0b010), (1.0, 0))
"""Up to this share of the jobs: bits of ``national.KINDS`` that will do; 0 = any."""
HASH = 2_654_435_761


def parts(case: str) -> tuple[str, frozenset[str]]:
    """The case of rows 1, 2 or 5, and the features beside it. Raises ValueError for another name."""
    base, *named = case.split("+")
    if base == EVERYTHING:
        base, named = ONE_CHOICE, [*FEATURES, *named]
    unknown = [name for name in named if name not in FEATURES]
    if base not in (ONE_CHOICE, DEFERRABLE, STEADY) or unknown:
        raise ValueError(f"no case {case!r}: give {EVERYTHING}, or {ONE_CHOICE}, {DEFERRABLE} or "
                         f"{STEADY}, and after it any of +{' +'.join(FEATURES)}")  # fmt: skip
    return base, frozenset(named)


def network(case: str = ONE_CHOICE) -> Network:
    return national(kinds=len(KINDS) if A_KIND in parts(case)[1] else 1)


def policy(case: str) -> Policy:
    base, features = parts(case)
    return Policy(
        defer_limit_ms=24 * HOUR_MS if base == DEFERRABLE else 0,
        packing="best-fit" if PACKING in features else "pool",
        price_period_ms=PRICE_PERIOD_MS if PRICES in features else 0,
        preemption=PREEMPTION in features,
        fair_share=FAIR_SHARE in features,
    )


def scenario(case: str) -> Scenario | None:
    """None where the case has nothing beside network, jobs and policy."""
    features = parts(case)[1]
    shares: tuple[Share, ...] = ()
    if FAIR_SHARE in features:
        names = [f"programme-{k:02d}" for k in range(PROGRAMMES)]
        shares = tuple(
            Share(weight=1.0 + k % 4, programme=name) for k, name in enumerate(names)
        ) + tuple(
            Share(weight=1.0, tenant=user, programme=names[user % PROGRAMMES])
            for user in range(NATIONAL.users)
        )
    if not shares and LINKS not in features:
        return None
    return Scenario(shared_links=LINKS in features, shares=shares)


def _arguments(case: str) -> dict[str, Any]:
    base, features = parts(case)
    options = NATIONAL_DEFERRABLE if base == DEFERRABLE else NATIONAL
    if base == STEADY:
        options = replace(options, day_profile=(1.0,))
    if PREEMPTION in features:
        options = replace(
            options, priority_shares=PRIORITY_SHARES, checkpoint_share=CHECKPOINT_SHARE
        )
    return {"capacity_devices": DEVICES, "load": LOAD, "options": options}


def _with_kinds(block: Workload) -> Workload:
    """The same jobs; which kinds will do follows from a job's number."""
    drawn = (block.source_row * HASH & 0xFFFF_FFFF) / 2.0**32
    row = np.searchsorted([share for share, _ in NAMED_KINDS], drawn, side="right")
    return replace(
        block,
        kind_names=tuple(name for name, _, _ in KINDS),
        kind_mask=np.array([mask for _, mask in NAMED_KINDS], dtype=np.int64)[row],
    )


def workload(case: str, jobs: int) -> Workload:
    made = generate(jobs, SEED, **_arguments(case))
    return _with_kinds(made) if A_KIND in parts(case)[1] else made


def blocks(case: str, jobs: int) -> Iterator[Workload]:
    made = generate_blocks(jobs, SEED, **_arguments(case))
    return map(_with_kinds, made) if A_KIND in parts(case)[1] else made
