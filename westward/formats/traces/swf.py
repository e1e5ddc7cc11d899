"""Standard Workload Format v2 (Parallel Workloads Archive): 18 numbers a row, ``;`` comments.

Times are in seconds, -1 is "not known". Columns after the 18th (some logs append node lists)
are not used. Times are moved so that the log's hours of day are kept (``clock``). Row order in a file may be that of starting or ending; jobs are put in the order of
submitting, then of job number.
"""

from __future__ import annotations

import re

import numpy as np
import polars as pl

from westward.formats.traces.build import build, dense, devices_note, to_ms
from westward.formats.traces.clock import keep_hour_of_day
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import (
    F64,
    MAX_COUNT,
    MAX_TIME_S,
    Cells,
    Drops,
    Source,
    split_columns,
    text_lines,
)
from westward.model.units import MILLI
from westward.model.workload import Workload

FIELDS = (
    "job_number",
    "submit_time",
    "wait_time",
    "run_time",
    "allocated_processors",
    "average_cpu_time",
    "used_memory",
    "requested_processors",
    "requested_time",
    "requested_memory",
    "status",
    "user_id",
    "group_id",
    "executable",
    "queue",
    "partition",
    "preceding_job",
    "think_time",
)
_INTEGER_FIELDS = frozenset(
    {"job_number", "allocated_processors", "requested_processors", "user_id", "partition"}
)
_UNUSED = ("wait_time", "average_cpu_time", "used_memory", "requested_memory", "group_id")
_UNUSED_TAIL = ("executable", "queue", "preceding_job", "think_time")
_HEADER = re.compile(r"^;\s*(\w+):\s*(.*?)\s*$")


def headers(source: Source) -> dict[str, str]:
    """The ``; Name: value`` lines before the first job; of repeated names the first."""
    found: dict[str, str] = {}
    for line in source.text.split("\n"):
        stripped = line.strip()
        if stripped and not stripped.startswith(";"):
            break
        match = _HEADER.match(stripped)
        if match:
            found.setdefault(match[1], match[2])
    return found


def read_swf(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit)."""
    rows = text_lines(source).filter(~pl.col("text").str.starts_with(";"))
    if rows.is_empty():
        raise source.refuse(None, "", "the log has comments but no job", "Give a log with jobs.")
    parts = pl.col("text").str.replace_all(r"[ \t]+", " ").str.split(" ")
    table = split_columns(source, rows, FIELDS, exact=False, parts=parts)
    cells = Cells(table)
    columns = {name: _column(cells, name) for name in FIELDS}
    cells.log.raise_if_any()

    header = headers(source)
    processors, stood_in = _processors(columns, options)
    duration = columns["run_time"]
    drops = Drops(table.lines)
    drops.drop(duration < -1, "run time below -1: the record is broken")
    drops.drop(duration <= 0, "no run time (0 or not recorded)")
    drops.drop(processors <= 0, "no processors (0 or not recorded)")
    if not drops.keep.any():
        raise source.refuse(
            None, "run_time", "no row has a run time and processors", "Give a log of jobs that ran."
        )
    submit_ms, notes = keep_hour_of_day(to_ms(columns["submit_time"]), drops.keep, header)
    notes = (
        *_notes(header, columns, drops, stood_in, options),
        *notes,
        devices_note("processor", options),
    )
    simulated = header.get("Computer", "").startswith("Pyss Simulator")
    home = np.full(len(table), -1.0) if simulated else columns["partition"]
    requested = columns["requested_time"]
    each = np.full(len(table), float(MILLI))
    nothing = np.zeros(len(table))
    return build(
        source,
        "swf",
        rows_read=len(table),
        drops=drops,
        notes=notes,
        submit_ms=submit_ms,
        duration_ms=to_ms(duration),
        estimate_ms=np.where(requested > 0, to_ms(np.maximum(requested, 0.0)), -1),
        nodes=processors,
        devices_milli=each if options.processors_are_devices else nothing,
        cpus_milli=nothing if options.processors_are_devices else each,
        memory_mib=nothing,
        user=columns["user_id"],
        home=dense(home, drops.keep),
        source_row=columns["job_number"],
    )


def _column(cells: Cells, name: str) -> F64:
    minimum = 0.0 if name in ("job_number", "submit_time") else -1.0
    if name == "run_time":
        # Logs hold end − start of jobs that never ended; such rows are dropped, not refused.
        return cells.numbers(name, minimum=-MAX_TIME_S)
    if name in _UNUSED or name in _UNUSED_TAIL:
        return cells.numbers(name, minimum=-np.inf, maximum=np.inf)
    if name in _INTEGER_FIELDS:
        return cells.numbers(name, minimum=minimum, maximum=MAX_COUNT, whole=True)
    return cells.numbers(name, minimum=minimum)


def _processors(columns: dict[str, F64], options: TraceOptions) -> tuple[F64, int]:
    """The field asked for, and how often the other had to stand in."""
    allocated, requested = columns["allocated_processors"], columns["requested_processors"]
    first, second = (
        (allocated, requested) if options.processors == "allocated" else (requested, allocated)
    )
    missing = first <= 0
    return np.where(missing, second, first), int((missing & (second > 0)).sum())


def _notes(
    header: dict[str, str],
    columns: dict[str, F64],
    drops: Drops,
    stood_in: int,
    options: TraceOptions,
) -> tuple[str, ...]:
    notes = [f"gang size = {options.processors} processors"]
    if stood_in:
        other = "requested" if options.processors == "allocated" else "allocated"
        notes.append(f"{stood_in} rows without {options.processors} processors: {other} taken")
    asked, ran = columns["requested_time"][drops.keep], columns["run_time"][drops.keep]
    if not (asked > 0).all():
        notes.append(f"{int((asked <= 0).sum())} jobs state no requested time (estimate unknown)")
    if ((asked > 0) & (ran > asked)).any():
        notes.append(f"{int(((asked > 0) & (ran > asked)).sum())} jobs ran longer than requested")
    status = columns["status"][drops.keep]
    for code, word in ((0, "failed"), (5, "cancelled")):
        if (status == code).any():
            notes.append(f"{int((status == code).sum())} {word} jobs kept: they held processors")
    if "MaxProcs" in header:
        notes.append(f"the recorded machine had {header['MaxProcs']} processors")
    else:
        notes.append("the log does not state its machine's size (no MaxProcs)")
    if header.get("Computer", "").startswith("Pyss Simulator"):
        notes.append("written by a simulator: the partition column is no partition and not used")
    notes.append("memory, queue, group, executable and dependencies are not used")
    return tuple(notes)
