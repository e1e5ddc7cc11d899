"""How projects stand in the order of fair shares, from what their runs have held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from westward.control.records import JobRecord
from westward.model.people import LOCAL_PROJECT, Project
from westward.model.plan import FairStanding
from westward.model.shares import Entitlement, ShareRow, ShareTerms
from westward.model.units import MS_PER_HOUR, format_duration
from westward.placement.fair_order import (
    Account,
    decayed_use,
    entitlements,
    share_table,
    standings,
)
from westward.store.database import Store
from westward.store.shares import load_shares, load_terms, uses_since

USE_AGAIN_MS = 30_000
"""What runs have held is added up anew so often; half-lives are days."""
Json = dict[str, Any]


@dataclass(slots=True)
class UseCache:
    """Of one server; threads share it."""

    lock: Lock
    at_ms: int = 0
    terms: ShareTerms | None = None
    used: Mapping[str, float] | None = None

    def look(self, store: Store, terms: ShareTerms, now_ms: int) -> Mapping[str, float]:
        """Device-ms by project. Reads the store where it is old."""
        with self.lock:
            fresh = self.at_ms <= now_ms < self.at_ms + USE_AGAIN_MS and self.terms == terms
            if self.used is None or not fresh:
                uses = uses_since(store, now_ms - terms.window_ms, now_ms)
                self.used = decayed_use(uses, terms, now_ms)
                self.at_ms, self.terms = now_ms, terms
            return self.used


def live_standings(
    store: Store,
    cache: UseCache,
    projects: Mapping[str, Project],
    records: Iterable[JobRecord],
    now_ms: int,
    also: str | None = None,
) -> tuple[FairStanding, ...]:
    """Of the projects that have jobs in the network now, and of ``also``, which would have one. None:
    the operator has set no shares."""
    rows = load_shares(store)
    if not rows:
        return ()
    records = tuple(records)
    present = {one.job.account or LOCAL_PROJECT for one in records}
    if also is not None:
        present.add(also)
    parts = entitlements(rows, organisations(projects), present)
    return standings(parts, cache.look(store, load_terms(store), now_ms), promised(records, now_ms))


def promised(records: Iterable[JobRecord], now_ms: int) -> dict[str, float]:
    """Device-ms that running jobs are expected to hold still, by project."""
    found: dict[str, float] = defaultdict(float)
    for one in records:
        run, place = one.live_run, one.bound
        if run is not None and place is not None:
            since_ms = run.started_ms if run.started_ms is not None else now_ms
            left_ms = max(0, since_ms + place.duration_ms - now_ms)
            found[one.job.account or LOCAL_PROJECT] += run.need_milli / 1_000 * left_ms
    return found


def organisations(projects: Mapping[str, Project]) -> dict[str, str]:
    return {one.project: one.organisation for one in projects.values()}


def shares_view(
    store: Store, projects: Mapping[str, Project], now_ms: int, shown: frozenset[str] | None
) -> Json:
    """``shown``: the projects whose lines the asker may read; None: all."""
    rows, terms = load_shares(store), load_terms(store)
    used = decayed_use(uses_since(store, now_ms - terms.window_ms, now_ms), terms, now_ms)
    listed = set(projects) - {LOCAL_PROJECT}  # built in: there is not always somebody behind it
    parts = entitlements(rows, organisations(projects), {*listed, *named(rows), *used})
    table = share_table(parts, used)
    return {
        "on": bool(rows),
        "half_life_ms": terms.half_life_ms,
        "window_ms": terms.window_ms,
        "used_device_hours": sum(one.used_ms for one in table) / MS_PER_HOUR,
        "shares": [share_row_view(row) for row in rows] if shown is None else [],
        "projects": [
            account_view(one, terms, on=bool(rows))
            for one in table
            if shown is None or one.entitlement.project in shown
        ],
    }


def named(rows: Iterable[ShareRow]) -> set[str]:
    return {row.name for row in rows if row.kind == "project"}


def share_row_view(row: ShareRow) -> Json:
    return {
        "kind": row.kind, "name": row.name, "group": row.group, "weight": row.weight_milli / 1_000,
    }  # fmt: skip


def account_view(one: Account, terms: ShareTerms, *, on: bool) -> Json:
    own = one.entitlement
    return {
        "project": own.project,
        "group": own.group,
        "part": own.part,
        "entitled_device_hours": one.entitled_ms / MS_PER_HOUR,
        "used_device_hours": one.used_ms / MS_PER_HOUR,
        "borrowed_device_hours": one.borrowed_ms / MS_PER_HOUR,
        "owed_device_hours": one.owed_ms / MS_PER_HOUR,
        "explanation": explanation(one, terms, on=on),
    }


def explanation(one: Account, terms: ShareTerms, *, on: bool) -> str:
    """A sentence for the project's people."""
    own, hour = one.entitlement, MS_PER_HOUR
    since = f"the last {format_duration(terms.window_ms)}"
    life = f"use counts half after {format_duration(terms.half_life_ms)}"
    text = (
        f"{own.project} is entitled to {own.part:.1%} of the network{_why(own)}; of what was used "
        f"in {since} ({life}) that is {one.entitled_ms / hour:,.1f} device-hours, and it used "
        f"{one.used_ms / hour:,.1f}: "
    )
    if one.borrowed_ms > one.owed_ms:
        text += f"{one.borrowed_ms / hour:,.1f} more, which others left"
        end = "its waiting jobs go behind those of projects that had less"
    elif one.owed_ms > 0:
        text += f"{one.owed_ms / hour:,.1f} less, which others had"
        end = "its waiting jobs go before those of projects that had more"
    else:
        text += "just that"
        end = "its waiting jobs go in order of its part"
    return f"{text}; {end if on else 'no shares are set: jobs go in order of arrival'}."


def _why(own: Entitlement) -> str:
    weight = f"{own.weight_milli / 1_000:g}"
    if not own.group:
        return f" (by itself, weight {weight})"
    return f" (weight {weight} in {own.group}, which weighs {own.group_weight_milli / 1_000:g})"
