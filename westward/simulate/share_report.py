"""Fair shares of a rehearsal, as projects read them live: entitled, used, borrowed, owed.

The sums are those of ``placement.fair_order``; use is decayed as the live server does by default, as of
the last submission: what is done after it is done by whoever is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from westward.model.scenario import Share
from westward.model.shares import ShareRow, ShareTerms, Use
from westward.model.units import MS_PER_HOUR
from westward.placement.fair_order import decayed_use, entitlements, share_table
from westward.simulate.results import SimulationResult
from westward.simulate.runs import runs_of

SHOWN_MOST = 50
"""Tenants that are told, those that used most."""
TERMS = ShareTerms()
Values = dict[str, Any]


def share_report(result: SimulationResult) -> Values | None:
    """None: jobs waited in order of arrival."""
    if not result.policy.fair_share or not len(result):
        return None
    at_ms = int(result.submit_ms.max())
    user = result.workload.user
    runs = runs_of(result)
    columns = (runs.row, runs.need_milli, runs.start_ms, runs.end_ms)
    uses = (
        Use(project=tenant_name(int(user[row])), need_milli=need, start_ms=start, end_ms=end)
        for row, need, start, end in zip(*(one.tolist() for one in columns), strict=True)
    )
    used = decayed_use(uses, TERMS, at_ms)
    rows = share_rows(() if result.scenario is None else result.scenario.shares)
    tenants = {tenant_name(int(one)) for one in set(user.tolist())}
    table = share_table(entitlements(rows, {}, tenants), used)
    told = sorted(table, key=lambda one: (-one.used_ms, one.entitlement.project))[:SHOWN_MOST]
    return {
        "at_ms": at_ms,
        "half_life_ms": TERMS.half_life_ms,
        "window_ms": TERMS.window_ms,
        "tenants": len(table),
        "used_device_hours": sum(one.used_ms for one in table) / MS_PER_HOUR,
        "rows": [
            {
                "project": one.entitlement.project,
                "group": one.entitlement.group,
                "part": one.entitlement.part,
                "entitled_device_hours": one.entitled_ms / MS_PER_HOUR,
                "used_device_hours": one.used_ms / MS_PER_HOUR,
                "borrowed_device_hours": one.borrowed_ms / MS_PER_HOUR,
                "owed_device_hours": one.owed_ms / MS_PER_HOUR,
            }
            for one in told
        ],
    }


def share_rows(shares: Sequence[Share]) -> tuple[ShareRow, ...]:
    """A scenario's shares as the live operator would set them, to the thousandth."""
    rows = []
    for one in shares:
        weight = max(1, round(one.weight * 1_000))
        if one.tenant is not None:
            name = tenant_name(one.tenant)
            group = one.programme or ""
            rows.append(ShareRow(kind="project", name=name, group=group, weight_milli=weight))
        elif one.programme is not None:
            rows.append(ShareRow(kind="group", name=one.programme, weight_milli=weight))
    return tuple(rows)


def tenant_name(user: int) -> str:
    return f"user-{user}" if user >= 0 else "no-user"
