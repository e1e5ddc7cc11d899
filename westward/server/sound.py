"""Planning where some jobs cannot be planned with: what raises is bisected to them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from westward.model.plan import Plan, Policy
from westward.placement import plan
from westward.server.aside import Broken, sound_part
from westward.server.snapshot import Situation

EXPLAINED_MOST = 20_000
"""Alternatives told in one plan (500 jobs at 40 pools); each takes some 15 microseconds, and room
in the database. Jobs placed after them are told their place alone."""


def plan_sound(
    before: Situation,
    policy: Policy,
    explain_most: int | None = EXPLAINED_MOST,
    *,
    review: bool = False,
) -> tuple[Plan, list[Broken]]:
    """The plan of all waiting jobs; if that raises, of all but those it cannot do with, and without
    a ``review``."""
    try:
        decided = plan(
            before.snapshot, before.to_place, policy, before.now_ms, explain_most=explain_most,
            review=review,
        )  # fmt: skip
        return decided, []
    except Exception as error:
        first = error
    seen: list[Exception] = []

    def works(job_ids: Sequence[str]) -> bool:
        part = before.with_only(frozenset(job_ids))
        try:
            plan(part.snapshot, part.to_place, policy, part.now_ms)
        except Exception as error:
            seen.append(error)
            return False
        return True

    if not works([]):  # no job's fault
        raise first
    waiting = before.waiting
    sound = frozenset(sound_part(waiting, works))
    part = before.with_only(sound)
    decided = plan(part.snapshot, part.to_place, policy, part.now_ms)
    last = seen[-1] if seen else first
    broken = [
        Broken(key=job_id, step="plan it", error=last, version=_version(before, job_id))
        for job_id in waiting
        if job_id not in sound
    ]
    return decided, broken


def _version(before: Situation, job_id: str) -> int | None:
    """None: it is only asked about, and no job yet."""
    record = before.records.get(job_id)
    return None if record is None else record.version
