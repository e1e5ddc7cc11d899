"""What the planner said of each job: the table of alternatives behind ``why``."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, delete, insert, select

from westward.model.plan import Placement, Plan, Policy, Refusal
from westward.store import codec
from westward.store.database import Store
from westward.store.results import Decision
from westward.store.rows import chunks
from westward.store.schema import DECISIONS, JOBS

DECISIONS_KEPT = 10
"""Per job; older ones are dropped."""

_KINDS: dict[str, type[Placement] | type[Refusal]] = {"placement": Placement, "refusal": Refusal}


def save_decisions(store: Store, plan: Plan, job_ids: Collection[str] | None = None) -> int:
    """Keeps the plan's answers for the jobs ``job_ids`` (None: all); answers how many were new.

    An answer equal to the job's last one is not written again: a job that no site can take is
    refused at every round, and its reasons need keeping once. Jobs not in the store are skipped.
    """
    answers: dict[str, Placement | Refusal] = {}
    placed = plan.placements if job_ids is None else plan.placed(job_ids)
    both: tuple[Placement | Refusal, ...] = (*placed, *plan.refusals)
    for answer in both:
        if job_ids is None or answer.job_id in job_ids:
            answers[answer.job_id] = answer
    if not answers:
        return 0
    policy = codec.to_json(plan.policy)
    written = 0
    with store.write() as connection:
        known = _known_jobs(connection, sorted(answers))
        for job_id in sorted(answers):
            if job_id not in known:
                continue
            answer = answers[job_id]
            kind = "placement" if isinstance(answer, Placement) else "refusal"
            text = codec.to_json(answer)
            if _last_text(connection, job_id) == (kind, text, policy):
                continue
            connection.execute(
                _INSERT,
                {
                    "job_id": job_id,
                    "at_ms": plan.now_ms,
                    "snapshot_version": plan.snapshot_version,
                    "policy": policy,
                    "kind": kind,
                    "answer": text,
                },
            )
            _drop_old(connection, job_id)
            written += 1
    return written


def last_decision(store: Store, job_id: str) -> Decision | None:
    """The newest answer for the job, or None if it was never planned."""
    query = (
        select(DECISIONS)
        .where(DECISIONS.c.job_id == job_id)
        .order_by(DECISIONS.c.seq.desc())
        .limit(1)
    )
    with store.read() as connection:
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    return Decision(
        job_id=job_id,
        at_ms=row["at_ms"],
        snapshot_version=row["snapshot_version"],
        policy=codec.from_json(Policy, row["policy"]),
        answer=codec.from_json(_KINDS[row["kind"]], row["answer"]),
    )


def _known_jobs(connection: Connection, job_ids: list[str]) -> frozenset[str]:
    found: list[str] = []
    for chunk in chunks(job_ids):
        found.extend(connection.execute(_KNOWN, {"ids": chunk}).scalars())
    return frozenset(found)


def _last_text(connection: Connection, job_id: str) -> tuple[str, str, str] | None:
    row = connection.execute(_LAST_TEXT, {"of_job": job_id}).one_or_none()
    return None if row is None else (row.kind, row.answer, row.policy)


def _drop_old(connection: Connection, job_id: str) -> None:
    oldest = connection.execute(_OLDEST_KEPT, {"of_job": job_id}).scalar_one_or_none()
    if oldest is not None:
        connection.execute(
            delete(DECISIONS).where(DECISIONS.c.job_id == job_id, DECISIONS.c.seq < oldest)
        )


# Built once: a burst of jobs asks them of each.
_INSERT = insert(DECISIONS)
_KNOWN = select(JOBS.c.job_id).where(JOBS.c.job_id.in_(bindparam("ids", expanding=True)))
_OF_JOB = DECISIONS.c.job_id == bindparam("of_job")
_LAST_TEXT = (
    select(DECISIONS.c.kind, DECISIONS.c.answer, DECISIONS.c.policy)
    .where(_OF_JOB)
    .order_by(DECISIONS.c.seq.desc())
    .limit(1)
)
_OLDEST_KEPT = (
    select(DECISIONS.c.seq)
    .where(_OF_JOB)
    .order_by(DECISIONS.c.seq.desc())
    .offset(DECISIONS_KEPT - 1)
    .limit(1)
)
