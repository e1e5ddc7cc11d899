"""Rows to frozen values and back. The only place in the store that knows their JSON."""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter
from sqlalchemy import RowMapping

from westward.control.records import (
    Aim,
    Binding,
    Hold,
    JobRecord,
    JobState,
    Pause,
    RunRecord,
    RunState,
)
from westward.control.story import StoryLine
from westward.model.job import JobSpec
from westward.model.people import LOCAL_PROJECT

if TYPE_CHECKING:
    from westward.store.database import Store

_T = TypeVar("_T")
_HOLDS: TypeAdapter[tuple[Hold, ...]] = TypeAdapter(tuple[Hold, ...])


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))


def to_json(value: object) -> str:
    """A frozen dataclass as JSON text; equal values give equal text."""
    return _adapter(cast(Hashable, type(value))).dump_json(value).decode()


def from_json(kind: type[_T], text: str) -> _T:
    value: _T = _adapter(cast(Hashable, kind)).validate_json(text)
    return value


def job_row(record: JobRecord) -> dict[str, object]:
    """The columns of ``jobs`` that change with events."""
    return {
        "state": record.state.value,
        "version": record.version,
        "bound": None if record.bound is None else to_json(record.bound),
        "attempts_max": record.attempts_max,
        "cancel_requested_ms": record.cancel_requested_ms,
        "changed_ms": record.changed_ms,
        "finished_ms": record.finished_ms,
        "ending": record.ending,
        "holds": _holds_text(record.holds) if record.holds else None,
        "pause": None if record.pause is None else to_json(record.pause),
        "aim": None if record.aim is None else to_json(record.aim),
    }


def job_record(store: Store, row: RowMapping, runs: tuple[RunRecord, ...]) -> JobRecord:
    """Raises ValueError for a row that cannot be: whoever lists jobs leaves it out."""
    job = job_spec(store, row["job_id"], row["spec"])
    bound = None if row["bound"] is None else from_json(Binding, row["bound"])
    if bound is not None and not 0 <= bound.option < len(job.options):
        raise ValueError(f"bound by option {bound.option}, it has {len(job.options)}")
    return JobRecord(
        job=job,
        state=JobState(row["state"]),
        version=row["version"],
        bound=bound,
        runs=runs,
        cancel_requested_ms=row["cancel_requested_ms"],
        attempts_max=row["attempts_max"],
        changed_ms=row["changed_ms"],
        finished_ms=row["finished_ms"],
        ending=row["ending"],
        holds=() if row["holds"] is None else _HOLDS.validate_json(row["holds"]),
        pause=None if row["pause"] is None else from_json(Pause, row["pause"]),
        aim=None if row["aim"] is None else from_json(Aim, row["aim"]),
    )


def _holds_text(holds: tuple[Hold, ...]) -> str:
    return _HOLDS.dump_json(holds).decode()


def fixed_row(record: JobRecord) -> dict[str, object]:
    """The columns of ``jobs`` that never change."""
    array = record.job.array
    return {
        "job_id": record.job_id,
        "spec": to_json(record.job),
        "name": record.job.name,
        "array_id": array.array_id if array is not None else None,
        "array_index": array.index if array is not None else None,
        "account": record.job.account or LOCAL_PROJECT,
    }


def run_row(job_id: str, run: RunRecord) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "job_id": job_id,
        "attempt": run.attempt,
        "pool": run.pool,
        "site": run.site,
        "token": run.token,
        "need_milli": run.need_milli,
        "state": run.state.value,
        "live": int(run.live),
        "lease_expires_ms": run.lease_expires_ms,
        "granted_ms": run.granted_ms,
        "offered_session": run.offered_session,
        "started_ms": run.started_ms,
        "ended_ms": run.ended_ms,
        "outcome": run.outcome,
        "exit_code": run.exit_code,
        "detail": run.detail,
    }


def run_record(row: RowMapping) -> RunRecord:
    return RunRecord(
        run_id=row["run_id"],
        attempt=row["attempt"],
        pool=row["pool"],
        site=row["site"],
        token=row["token"],
        need_milli=row["need_milli"],
        state=RunState(row["state"]),
        lease_expires_ms=row["lease_expires_ms"],
        granted_ms=row["granted_ms"],
        offered_session=row["offered_session"],
        started_ms=row["started_ms"],
        ended_ms=row["ended_ms"],
        outcome=row["outcome"],
        exit_code=row["exit_code"],
        detail=row["detail"],
    )


def story_row(job_id: str, line: StoryLine) -> dict[str, object]:
    return {
        "job_id": job_id,
        "at_ms": line.at_ms,
        "kind": line.kind,
        "text": line.text,
        "data": json.dumps(dict(line.data), ensure_ascii=False),
    }


def story_line(row: RowMapping) -> StoryLine:
    data = json.loads(row["data"])
    return StoryLine(
        at_ms=row["at_ms"], kind=row["kind"], text=row["text"], data=tuple(sorted(data.items()))
    )


def job_spec(store: Store, job_id: str, text: str) -> JobSpec:
    from westward.store.database import SPEC_CACHE_JOBS, SPEC_CACHE_TEXT_MOST

    spec = store.specs.get(job_id)
    if spec is None:
        spec = from_json(JobSpec, text)
        if len(text) <= SPEC_CACHE_TEXT_MOST:
            if len(store.specs) >= SPEC_CACHE_JOBS:
                store.specs.clear()
            store.specs[job_id] = spec
    return spec
