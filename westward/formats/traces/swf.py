"""Standard Workload Format v2 (Parallel Workloads Archive): 18 numbers a row, ``;`` comments.

Times are in seconds, -1 is "not known". Columns after the 18th (some logs append node lists)
are not used. Times are moved so that the log's hours of day are kept (``clock``). Row order in a
file may be that of starting or ending; jobs are put in the order of submitting, then of number.

A log of some size is parsed from its bytes (``swf_kernel``). What that refuses, and what is
outside its range, is read again as text, cell by cell, which names every fault.
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
    I64,
    MAX_COUNT,
    MAX_TIME_S,
    Cells,
    Drops,
    Mask,
    Source,
    split_columns,
    text_lines,
)
from westward.jit import compiled
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
_KEPT = tuple(name for name in FIELDS if name not in _UNUSED and name not in _UNUSED_TAIL)
NEWLINE = 10
COMPILED_FROM_BYTES = 1 << 18
"""Below, starting the compiler costs more than reading as text."""


def headers(source: Source) -> dict[str, str]:
    """The ``; Name: value`` lines before the first job; of repeated names the first."""
    found: dict[str, str] = {}
    for line in source.data[: first_row_at(source.data)].decode("utf-8", "replace").split("\n"):
        match = _HEADER.match(line.strip())
        if match:
            found.setdefault(match[1], match[2])
    return found


def first_row_at(data: bytes) -> int:
    """Where the first line begins that is neither blank nor a comment; the end if none is."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        line = (data[start:] if end < 0 else data[start:end]).strip()
        if line and not line.startswith(b";"):
            return start
        if end < 0:
            break
        start = end + 1
    return len(data)


def read_swf(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit)."""
    fast = None
    if compiled() and len(source.data) >= COMPILED_FROM_BYTES:
        fast = columns_of_bytes(source)
    columns, lines = fast or columns_of_text(source)
    header = headers(source)
    processors, stood_in = _processors(columns, options)
    duration = columns["run_time"]
    drops = Drops(lines)
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
    home = np.full(len(lines), -1.0) if simulated else columns["partition"]
    requested = columns["requested_time"]
    each = np.full(len(lines), float(MILLI))
    nothing = np.zeros(len(lines))
    return build(
        source,
        "swf",
        rows_read=len(lines),
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


def columns_of_bytes(source: Source) -> tuple[dict[str, F64], I64] | None:
    """The used columns and each row's line; None where only reading as text can tell."""
    from westward.formats.traces.swf_kernel import parse_rows

    data = source.data if source.data.endswith(b"\n") else source.data + b"\n"
    view = np.frombuffer(data, dtype=np.uint8)
    capacity = int(np.count_nonzero(view == NEWLINE))
    found = np.empty((len(_KEPT), capacity))
    lines = np.empty(capacity, dtype=np.int64)
    keep = np.array([_KEPT.index(f) if f in _KEPT else -1 for f in FIELDS], dtype=np.int64)
    start = first_row_at(source.data)
    rows = parse_rows(view, start, keep, found, lines)
    if rows <= 0:
        return None
    columns = {name: found[at, :rows] for at, name in enumerate(_KEPT)}
    for name, values in columns.items():
        minimum, maximum, whole = _range(name)
        if values.min() < minimum or values.max() > maximum:
            return None
        if whole and (values != np.floor(values)).any():
            return None
    return columns, lines[:rows]


def columns_of_text(source: Source) -> tuple[dict[str, F64], I64]:
    """The used columns and each row's line. Raises InputFaults with every wrong cell."""
    rows = text_lines(source).filter(~pl.col("text").str.starts_with(";"))
    if rows.is_empty():
        raise source.refuse(None, "", "the log has comments but no job", "Give a log with jobs.")
    parts = pl.col("text").str.replace_all(r"[ \t]+", " ").str.split(" ")
    table = split_columns(source, rows, FIELDS, exact=False, parts=parts)
    cells = Cells(table)
    columns = {}
    for name in FIELDS:
        minimum, maximum, whole = _range(name)
        columns[name] = cells.numbers(name, minimum=minimum, maximum=maximum, whole=whole)
    cells.log.raise_if_any()
    return {name: columns[name] for name in _KEPT}, table.lines


def _range(name: str) -> tuple[float, float, bool]:
    """Least, greatest, whether whole."""
    if name not in _KEPT:
        return -np.inf, np.inf, False
    if name == "run_time":
        # Logs hold end − start of jobs that never ended; such rows are dropped, not refused.
        return -MAX_TIME_S, MAX_TIME_S, False
    minimum = 0.0 if name in ("job_number", "submit_time") else -1.0
    if name in _INTEGER_FIELDS:
        return minimum, MAX_COUNT, True
    return minimum, MAX_TIME_S, False


def _processors(columns: dict[str, F64], options: TraceOptions) -> tuple[F64, Mask]:
    """The field asked for, and where the other had to stand in."""
    allocated, requested = columns["allocated_processors"], columns["requested_processors"]
    first, second = (
        (allocated, requested) if options.processors == "allocated" else (requested, allocated)
    )
    missing = first <= 0
    return np.where(missing, second, first), missing & (second > 0)


def _notes(
    header: dict[str, str],
    columns: dict[str, F64],
    drops: Drops,
    stood_in: Mask,
    options: TraceOptions,
) -> tuple[str, ...]:
    notes = [f"gang size = {options.processors} processors"]
    missing = int((stood_in & drops.keep).sum())
    if missing:
        other = "requested" if options.processors == "allocated" else "allocated"
        notes.append(f"{missing} jobs without {options.processors} processors: {other} taken")
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
