"""Recorded workloads of thirteen formats, plain, gzip or tar, as they were published.

``read_workload`` reads a job list; ``describe_file`` also shows the recordings that are none.
"""

from __future__ import annotations

from pathlib import Path

from westward.formats.job_fields import suggestion
from westward.formats.traces.describe import Description, describe, of_table, of_workload
from westward.formats.traces.detect import detect
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.registry import BY_NAME, Format
from westward.formats.traces.source import NoJobList, Source, open_source
from westward.formats.traces.stated import read_figures
from westward.model.faults import Fault, InputFaults
from westward.model.workload import Workload

__all__ = [
    "FORMATS",
    "Description",
    "NoJobList",
    "TraceOptions",
    "describe",
    "describe_file",
    "read_figures",
    "read_workload",
]

FORMATS: tuple[str, ...] = tuple(BY_NAME)


def read_workload(
    path: Path, format: str | None = None, *, options: TraceOptions | None = None
) -> Workload:
    """Read a trace whole: columns sorted by submit time, rows that are no jobs counted.

    ``format`` None: found by the file's first line. Raises InputFaults for an unknown or doubtful
    format or with every wrong row (up to a named limit), and NoJobList (an InputFaults) for a
    file in order from which no job list can be read, with what it lacks.
    """
    entry, source = _open(path, format)
    return entry.read(source, options or TraceOptions())


def describe_file(
    path: Path, format: str | None = None, *, options: TraceOptions | None = None
) -> Description:
    """What a trace holds, also where it is no job list. Raises InputFaults like the readers, but
    not NoJobList: its reasons stand in the description."""
    entry, source = _open(path, format)
    try:
        return of_workload(entry.read(source, options or TraceOptions()))
    except NoJobList as why:
        return of_table(source, entry.name, why)


def _open(path: Path, format: str | None) -> tuple[Format, Source]:
    if format is not None and format not in BY_NAME:
        problem = f"unknown trace format {format!r}"
        raise InputFaults([Fault(str(path), None, "", problem, suggestion(format, FORMATS))])
    source = open_source(path)
    return BY_NAME[detect(source) if format is None else format], source
