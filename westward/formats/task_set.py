"""All the jobs of one text: several documents that follow one another by name, and arrays.

SkyPilot runs the documents of one file as a chain. Westward runs each when what its
``westward.after`` names is over; so that nobody takes the one for the other, every document after
the first must state the term (``none``: it waits for nothing).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from westward.formats.cycles import find_cycle
from westward.formats.job_reader import JobReader
from westward.formats.life_terms import ARRAY_MOST
from westward.formats.skypilot import Task, read_tree_as_task
from westward.formats.yaml_nodes import read_trees
from westward.model.faults import InputFaults
from westward.model.job import After, ArrayPlace, JobSpec

DOCUMENTS_MOST = 100
JOBS_MOST = ARRAY_MOST
"""Of one text, all arrays counted out: they are submitted in one transaction."""
AFTER_FIELD = "resources.labels.westward.after"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedJob:
    """A document: one job or, with ``count``, an array of so many. ``job.after`` with an empty id
    names a job outside the text, to be looked up; ``after_row`` is where it stands."""

    job: JobSpec
    count: int | None
    variables: tuple[tuple[tuple[str, str], ...], ...]
    after_row: int | None

    def jobs(self) -> Iterator[JobSpec]:
        """Each job of the array, or the one."""
        if self.count is None:
            yield self.job
            return
        job = self.job
        for index in range(self.count):
            ours = (
                ("WESTWARD_ARRAY_ID", job.job_id),
                ("WESTWARD_ARRAY_INDEX", str(index)),
                ("WESTWARD_ARRAY_COUNT", str(self.count)),
            )
            own = dict(self.variables[index]) if self.variables else {}
            kept = tuple(pair for pair in job.work.envs if pair[0] not in own)
            yield replace(
                job,
                job_id=f"{job.job_id}.{index}",
                name=f"{job.name}.{index}",
                array=ArrayPlace(array_id=job.job_id, name=job.name, index=index, count=self.count),
                work=replace(job.work, envs=(*kept, *own.items(), *ours)),
            )


def read_tasks(
    text: str,
    *,
    file: str,
    job_id: str,
    now_ms: int,
    base_dir: Path | None = None,
    check_paths: bool = False,
    home_site: str | None = None,
    account: str | None = None,
) -> tuple[NamedJob, ...]:
    """As ``skypilot.read_task``, for any number of documents. A single one has the id ``job_id``;
    of several each has ``job_id.NAME``. Raises InputFaults with every fault of all of them."""
    trees, faults = read_trees(text, file)
    reader = JobReader(file)
    reader.faults.extend(faults)
    if len(trees) > DOCUMENTS_MOST:
        problem = f"the file holds {len(trees)} documents; at most {DOCUMENTS_MOST} are read"
        reader.fault(trees[DOCUMENTS_MOST].line, "", problem, "Use westward.array, or more files.")
        raise InputFaults(reader.faults)
    several = len(trees) > 1
    tasks = [
        read_tree_as_task(
            reader,
            tree,
            job_id=job_id,
            now_ms=now_ms,
            base_dir=base_dir,
            check_paths=check_paths,
            home_site=home_site,
            account=account,
        )
        for tree in trees
    ]
    if several:
        _check_set(reader, tasks)
    total = sum(task.terms.array.count if task.terms.array else 1 for task in tasks)
    if total > JOBS_MOST:
        problem = f"the file asks for {total} jobs; at most {JOBS_MOST} are taken at once"
        reader.fault(None, "resources.labels.westward.array", problem, "Submit it in parts.")
    ids = {task.job.name: f"{job_id}.{task.job.name}" if several else job_id for task in tasks}
    named = [_named(task, ids, several) for task in tasks]
    for task in tasks:
        if not several and any(one.name == task.job.name for one in task.job.after):
            row = task.rows.get("westward.after")
            reader.fault(row, AFTER_FIELD, "the job follows itself", "Name another job.")
    if reader.faults:
        raise InputFaults(reader.faults)
    return tuple(named)


def _check_set(reader: JobReader, tasks: list[Task]) -> None:
    rows: dict[str, int] = {}
    for number, task in enumerate(tasks):
        name = task.job.name
        if not task.named:
            problem = "the document has no name, and the file holds several jobs"
            reader.fault(task.row, "name", problem, "Give each a `name:` of its own.")
        elif name in rows:
            problem = f"two jobs are named {name!r}; the first stands at line {rows[name]}"
            reader.fault(task.row, "name", problem, "Give each a name of its own.")
        rows.setdefault(name, task.row)
        if number and task.terms.after is None:
            reader.fault(
                task.row,
                AFTER_FIELD,
                "a document after the first does not say what it waits for (SkyPilot would run "
                "them one after the other)",
                f"Write westward.after: {tasks[number - 1].job.name}, or westward.after: none.",
            )
    circle = find_cycle({task.job.name: [a.name for a in task.job.after] for task in tasks})
    if circle:
        first = next(task for task in tasks if task.job.name == circle[0])
        text = " follows ".join((*circle, circle[0]))
        problem = f"{text}: none of them could ever start"
        reader.fault(
            first.rows.get("westward.after"), AFTER_FIELD, problem, "Take one of them out."
        )


def _named(task: Task, ids: dict[str, str], several: bool) -> NamedJob:
    after = tuple(
        After(job_id=ids.get(one.name, "") if several else "", mode=one.mode, name=one.name)
        for one in task.job.after
    )
    array = task.terms.array
    return NamedJob(
        job=replace(task.job, job_id=ids[task.job.name], after=after),
        count=array.count if array is not None else None,
        variables=array.variables if array is not None else (),
        after_row=task.rows.get("westward.after"),
    )
