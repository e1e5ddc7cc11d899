"""Names in ``westward.after`` that stand outside the text, looked up among the jobs there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from westward.formats.task_set import AFTER_FIELD, NamedJob
from westward.model.faults import Fault, InputFaults
from westward.model.job import After
from westward.store.database import Store
from westward.store.sets import find_named, states_of


def look_up(
    store: Store,
    named: Sequence[NamedJob],
    file: str,
    accounts: Collection[str] | None = None,
) -> tuple[NamedJob, ...]:
    """The same jobs, with an id for every name. Raises InputFaults with every name that is no
    job's, or several jobs'; jobs of other projects than ``accounts`` (None: all) are none."""
    faults: list[Fault] = []
    found = []
    for one in named:
        after = tuple(
            _id_of(store, each, one.after_row, file, accounts, faults) for each in one.job.after
        )
        found.append(replace(one, job=replace(one.job, after=after)))
    if faults:
        raise InputFaults(faults)
    return tuple(found)


def _id_of(
    store: Store,
    after: After,
    row: int | None,
    file: str,
    accounts: Collection[str] | None,
    faults: list[Fault],
) -> After:
    if after.job_id:
        return after
    if states_of(store, [after.name], accounts):
        return replace(after, job_id=after.name)
    ids = find_named(store, after.name, accounts=accounts)
    if len(ids) == 1:
        return replace(after, job_id=ids[0])
    if ids:
        problem = f"{len(ids)} jobs are named {after.name!r}, the newest is {ids[0]}"
        remedy = "Give the id."
    else:
        problem = f"there is no job {after.name!r} to follow"
        remedy = "Name a job of this file, or one that was submitted before; look at westward jobs."
    faults.append(Fault(file, row, AFTER_FIELD, problem, remedy))
    return after
