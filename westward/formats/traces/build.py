"""From a reader's float columns to a checked, sorted Workload."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import F64, I64, Drops, Mask, Source
from westward.model.units import MS_PER_DAY, MS_PER_S
from westward.model.workload import Workload

EPOCH_TIMES_FROM_MS = 3_650 * MS_PER_DAY
"""A first submit later than ten years after zero is a date counted from 1970, not a log's zero."""

NO_CLOCK = "hour of day unknown: the file states no start time; its time 0 is midnight"
"""The note of formats that have no place for a start time."""

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
    first = int(submit_ms[keep].min())
    if first < EPOCH_TIMES_FROM_MS:
        return submit_ms, ()
    zero = first // MS_PER_DAY * MS_PER_DAY
    date = np.datetime64(zero, "ms").astype("datetime64[D]")
    return submit_ms - zero, (f"times were dates since 1970; time 0 is now {date} 00:00 {clock}",)


def devices_note(unit: str, options: TraceOptions) -> str:
    """How processors were read, in words."""
    if options.processors_are_devices:
        return f"each {unit} = one node of the gang with one whole device, any kind"
    return f"each {unit} = one node of the gang with one cpu and no device"


def build(
    source: Source,
    format: str,
    *,
    rows_read: int,
    drops: Drops,
    notes: tuple[str, ...],
    submit_ms: I64,
    duration_ms: I64,
    estimate_ms: Column,
    nodes: Column,
    devices_milli: Column,
    cpus_milli: Column,
    memory_mib: Column,
    user: Column,
    home: Column,
    source_row: Column,
) -> Workload:
    """Kept rows in the order (submit, source row). Columns have one entry per row read."""
    kept = np.flatnonzero(drops.keep)
    order = kept[np.lexsort((source_row[kept], submit_ms[kept]))]

    def i64(column: Column) -> npt.NDArray[np.int64]:
        return np.ascontiguousarray(column[order], dtype=np.int64)

    def i32(column: Column) -> npt.NDArray[np.int32]:
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
        cpus_milli=i32(cpus_milli),
        memory_mib=i32(memory_mib),
        user=i32(user),
        home=i32(home),
        deadline_ms=np.full(len(order), -1, dtype=np.int64),
        input_bytes=np.zeros(len(order), dtype=np.int64),
        source_row=i64(source_row),
    )
