"""From a reader's float columns to a checked, sorted Workload."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import F64, I64, Drops, Mask, Source
from westward.model.units import MILLI, MS_PER_DAY, MS_PER_S
from westward.model.workload import Workload

EPOCH_TIMES_FROM_MS = 3_650 * MS_PER_DAY
"""A first submit later than ten years after zero is a date counted from 1970, not a log's zero."""

NO_CLOCK = "hour of day unknown: the file states no start time; its time 0 is midnight"
"""The note of formats that have no place for a start time."""

OWN_CLOCK = "of the file's own clock"
"""Of dates written without a time zone."""

Column = npt.NDArray[np.float64] | npt.NDArray[np.int64]


def to_ms(seconds: F64) -> I64:
    """Seconds → whole milliseconds."""
    return np.rint(seconds * MS_PER_S).astype(np.int64)


def dense(labels: F64, keep: Mask) -> I64:
    """Non-negative labels of kept rows → 0, 1, 2 … in rising order; negative ones → -1."""
    known = np.unique(labels[keep & (labels >= 0)])
    found = np.searchsorted(known, labels)
    return np.where(labels >= 0, found, -1).astype(np.int64)


def rebase(submit_ms: I64, keep: Mask, clock: str = "UTC") -> tuple[I64, tuple[str, ...]]:
    """Dates since 1970 become times since the first job's midnight; others stay.

    ``clock`` names what the dates are counted in; the note says it.
    """
    if int(submit_ms[keep].min()) < EPOCH_TIMES_FROM_MS:
        return submit_ms, ()
    return from_dates(submit_ms, keep, clock)


def from_dates(submit_ms: I64, keep: Mask, clock: str) -> tuple[I64, tuple[str, ...]]:
    """Milliseconds since 1970 → since the midnight before the first job."""
    zero = int(submit_ms[keep].min()) // MS_PER_DAY * MS_PER_DAY
    date = np.datetime64(zero, "ms").astype("datetime64[D]")
    return submit_ms - zero, (f"times were dates since 1970; time 0 is now {date} 00:00 {clock}",)


def devices_note(unit: str, options: TraceOptions) -> str:
    """How processors were read, in words."""
    if options.processors_are_devices:
        return f"each {unit} = one node of the gang with one whole device, any kind"
    return f"each {unit} = one node of the gang with one cpu and no device"


def gangs(gpus: F64, options: TraceOptions) -> tuple[I64, I64]:
    """(nodes, devices_milli of each) of jobs whose source states a number of whole GPUs only.

    Nodes take up to ``options.devices_per_node`` and all of a gang take the same number: the
    greatest divisor of the GPUs that does not exceed it (12 GPUs, 8 a node: 2 nodes of 6).
    """
    count = np.maximum(gpus.astype(np.int64), 1)
    each = np.ones(len(count), dtype=np.int64)
    for size in range(2, options.devices_per_node + 1):
        each = np.where(count % size == 0, size, each)
    return count // each, np.where(gpus > 0, each * MILLI, 0)


def gangs_note(options: TraceOptions) -> str:
    """How GPUs were read, in words."""
    if options.devices_per_node == 1:
        return "each GPU = one node of the gang with one whole device (nodes are not stated)"
    return (
        f"gangs put on nodes of up to {options.devices_per_node} whole devices, "
        "the same number on each (as told; the source does not state nodes)"
    )


def codes(labels: pl.Series) -> tuple[I64, tuple[str, ...]]:
    """Labels → 0, 1, 2 … in alphabetical order, and the labels; -1 where empty."""
    known = tuple(sorted(label for label in labels.unique().to_list() if label))
    order = pl.Series("label", known, dtype=pl.String)
    at = labels.replace_strict(order, np.arange(len(known)), default=-1, return_dtype=pl.Int64)
    return at.to_numpy(), known


def build(
    source: Source,
    format: str,
    *,
    rows_read: int,
    drops: Drops,
    notes: tuple[str, ...],
    submit_ms: I64,
    duration_ms: I64,
    nodes: Column,
    devices_milli: Column,
    source_row: Column,
    estimate_ms: Column | None = None,
    cpus_milli: Column | None = None,
    memory_mib: Column | None = None,
    user: Column | None = None,
    home: Column | None = None,
    deadline_ms: Column | None = None,
    priority: Column | None = None,
    dataset: Column | None = None,
    kind_names: tuple[str, ...] = (),
    kind_mask: I64 | None = None,
) -> Workload:
    """Kept rows in the order (submit, priority falling, source row). Columns have one entry per row read; those
    that are None are stated by nobody."""
    order = np.flatnonzero(drops.keep)
    step = np.diff(submit_ms[order])
    if priority is not None:
        order = order[np.lexsort((source_row[order], -priority[order], submit_ms[order]))]
    elif not ((step > 0) | ((step == 0) & (np.diff(source_row[order]) >= 0))).all():
        order = order[np.lexsort((source_row[order], submit_ms[order]))]

    def i64(column: Column | None, unstated: int = -1) -> npt.NDArray[np.int64]:
        if column is None:
            return np.full(len(order), unstated, dtype=np.int64)
        return np.ascontiguousarray(column[order], dtype=np.int64)

    def i32(column: Column | None, unstated: int = -1) -> npt.NDArray[np.int32]:
        if column is None:
            return np.full(len(order), unstated, dtype=np.int32)
        return np.ascontiguousarray(column[order], dtype=np.int32)

    return Workload(
        name=source.name,
        format=format,
        digest=source.digest,
        rows_read=rows_read,
        dropped=tuple(drops.dropped),
        notes=notes,
        submit_ms=i64(submit_ms),
        # A run shorter than a millisecond still occupies one.
        duration_ms=np.maximum(i64(duration_ms), 1),
        estimate_ms=i64(estimate_ms),
        nodes=i32(nodes),
        devices_milli=i32(devices_milli),
        cpus_milli=i32(cpus_milli, unstated=0),
        memory_mib=i32(memory_mib, unstated=0),
        user=i32(user),
        home=i32(home),
        deadline_ms=i64(deadline_ms),
        input_bytes=np.zeros(len(order), dtype=np.int64),
        source_row=i64(source_row),
        priority=None if priority is None else np.ascontiguousarray(priority[order], dtype=np.int8),
        dataset=None if dataset is None else i32(dataset),
        kind_names=kind_names,
        kind_mask=None if kind_mask is None else i64(kind_mask),
    )
