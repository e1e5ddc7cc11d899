"""What a job may hold beyond what its text's reader asks: spans the planner can count, texts that
can be kept and handed to a process, paths that a site can make."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, cast

from westward.model.faults import Fault, InputFaults
from westward.model.job import JobSpec
from westward.model.units import SPAN_MOST_MS

PART_MOST_BYTES = 255
"""Of a name in a path: what Linux's file systems take (NAME_MAX)."""
PATH_MOST_BYTES = 1_000
"""Of a path that a site makes for a job: the site's own folders come before it (PATH_MAX 4,096)."""
_UNFIT = re.compile("[\0\ud800-\udfff]")
_TERMS = {
    "checkpoint": "resources.labels.westward.checkpoint",
    "datasets": "resources.labels.westward.inputs",
    "inputs": "resources.labels.westward.inputs",
    "labels": "resources.labels",
    "latency": "resources.labels.westward.latency",
    "options": "resources",
    "outputs": "resources.labels.westward.outputs",
    "residency": "resources.labels.westward.residency",
    "retry": "resources.labels.westward.retry",
}
"""Where a part of a job stands in its text; ``work``'s parts and the others under their own names."""


def check_job(job: JobSpec, file: str) -> JobSpec:
    """``job``, if it can be planned, kept and run. Raises InputFaults with everything that cannot."""
    faults: list[Fault] = []
    spans: dict[str, int | None] = {
        "westward.duration": job.duration_ms,
        "westward.start_after": _since(job.start_after_ms, job.submit_ms),
        "westward.deadline": _since(job.deadline_ms, job.submit_ms),
    }
    for term, span in spans.items():
        if span is not None and abs(span) > SPAN_MOST_MS:
            problem = "that is more than two hundred years"
            field = f"resources.labels.{term}"
            faults.append(Fault(file, None, field, problem, "Write for example 6h or 2d."))
    for field, text in _texts_of(job):
        if _UNFIT.search(text):
            problem = "it holds a character that no file or process can take"
            remedy = "Leave out \\0 and \\ud800 to \\udfff."
            faults.append(Fault(file, None, field, problem, remedy))
    for field, path in _made_paths(job):
        long = _too_long(path)
        if long is not None:
            faults.append(Fault(file, None, field, long, "Choose shorter names."))
    if faults:
        raise InputFaults(faults)
    return job


def _since(at_ms: int | None, from_ms: int) -> int | None:
    return None if at_ms is None else at_ms - from_ms


def _made_paths(job: JobSpec) -> Iterator[tuple[str, str]]:
    """Each path that a site makes or looks for in the run's folders, and where it stands."""
    for mount in job.work.file_mounts:
        yield f"file_mounts.{mount.target!r}", mount.target
    if job.checkpoint is not None:
        yield _TERMS["checkpoint"], job.checkpoint.path
    for output in job.outputs:
        yield _TERMS["outputs"], output.path
    for dataset in job.datasets:
        yield _TERMS["datasets"], dataset.target


def _too_long(path: str) -> str | None:
    if len(path.encode(errors="replace")) > PATH_MOST_BYTES:
        return f"the path has more than {PATH_MOST_BYTES} bytes"
    if any(len(part.encode(errors="replace")) > PART_MOST_BYTES for part in path.split("/")):
        return f"a name in the path has more than {PART_MOST_BYTES} bytes"
    return None


def _texts_of(job: JobSpec) -> Iterator[tuple[str, str]]:
    """Every text in the job, and where it stands."""
    for name in _names(JobSpec):
        if name != "work":
            yield from _texts(_TERMS.get(name, name), getattr(job, name))
    yield from _texts("run", job.work.run)
    yield from _texts("setup", job.work.setup)
    yield from _texts("workdir", job.work.workdir)
    for variable, value in job.work.envs:
        yield from _texts(f"envs.{variable}", value)
    for mount in job.work.file_mounts:
        yield from _texts(f"file_mounts.{mount.target!r}", mount)


def _texts(field: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, tuple):
        for one in value:
            yield from _texts(field, one)
    else:
        for name in _names(cast(Hashable, type(value))):
            yield from _texts(field, getattr(value, name))


@cache
def _names(kind: Any) -> tuple[str, ...]:
    """Of its fields, if it is a dataclass."""
    return tuple(one.name for one in fields(kind)) if is_dataclass(kind) else ()
