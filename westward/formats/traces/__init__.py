"""Recorded workloads: SWF logs, Alibaba's openb pod lists, the GAIA samples. ``.gz`` as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from westward.formats.job_fields import suggestion
from westward.formats.traces.gaia import read_gaia
from westward.formats.traces.openb import read_openb
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import Source, open_source
from westward.formats.traces.swf import read_swf
from westward.model.faults import Fault, InputFaults
from westward.model.units import MILLI, MS_PER_HOUR, format_duration
from westward.model.workload import Workload

__all__ = ["FORMATS", "TraceOptions", "describe", "read_workload"]

_READERS: dict[str, Callable[[Source, TraceOptions], Workload]] = {
    "gaia": read_gaia,
    "openb": read_openb,
    "swf": read_swf,
}
FORMATS: tuple[str, ...] = tuple(_READERS)


def read_workload(path: Path, format: str, *, options: TraceOptions | None = None) -> Workload:
    """Read a trace whole: columns sorted by submit time, rows that are no jobs counted.

    Raises InputFaults for an unknown format or with every wrong row (up to a named limit).
    """
    reader = _READERS.get(format)
    if reader is None:
        problem = f"unknown trace format {format!r}"
        raise InputFaults([Fault(str(path), None, "", problem, suggestion(format, FORMATS))])
    return reader(open_source(path), options or TraceOptions())


def describe(workload: Workload) -> list[str]:
    """A workload in a few lines of text, for ``--describe`` and reports."""
    devices = workload.nodes.astype(np.int64) * workload.devices_milli
    hours = workload.duration_ms / MS_PER_HOUR
    span_ms = int(workload.submit_ms[-1] - workload.submit_ms[0])
    stated = workload.estimate_ms > 0
    homes = int(workload.home.max()) + 1
    lines = [
        f"{workload.name} ({workload.format}), sha256 {workload.digest[:16]}",
        f"rows read     {workload.rows_read}",
        f"jobs          {len(workload)}",
        f"submitted     over {format_duration(span_ms)}, first at "
        f"{format_duration(int(workload.submit_ms[0]))}",
        f"devices       {_quantiles(devices / MILLI)}",
        f"run time      {_durations(workload.duration_ms)}",
        f"device-hours  {float((devices / MILLI * hours).sum()):,.1f}",
        f"estimates     {int(stated.sum())} of {len(workload)} jobs state one",
        f"deadlines     {int((workload.deadline_ms >= 0).sum())} jobs have one",
        f"homes         {homes if homes else 'none stated'}",
    ]
    lines += [
        f"dropped       {d.rows} rows: {d.reason}; first {d.first_row}" for d in workload.dropped
    ]
    lines += [f"note          {note}" for note in workload.notes]
    return lines


def _quantiles(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    low, middle, high, top = np.quantile(values, [0.0, 0.5, 0.95, 1.0])
    return f"min {low:g}, median {middle:g}, p95 {high:g}, max {top:g}"


def _durations(values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    low, middle, high, top = (
        format_duration(round(float(q))) for q in np.quantile(values, [0.0, 0.5, 0.95, 1.0])
    )
    return f"min {low}, median {middle}, p95 {high}, max {top}"
