"""What a trace holds, in lines of text: what was read, dropped and why, and what it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from westward.formats.traces.series import by_hour
from westward.formats.traces.source import NoJobList, Source, Table
from westward.model.units import MILLI, MS_PER_HOUR, MS_PER_S, format_duration
from westward.model.workload import DroppedRows, Workload

MOST_LABELS = 4
"""Frequent values shown for a column of words."""
BAR = 30
"""Characters of the longest bar."""


@dataclass(frozen=True, slots=True)
class Description:
    """``jobs`` is None where no job list can be read; ``refused`` then says why."""

    name: str
    format: str
    digest: str
    rows_read: int
    jobs: int | None
    refused: tuple[str, ...]
    dropped: tuple[DroppedRows, ...]
    notes: tuple[str, ...]
    lines: tuple[str, ...]


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
        *_what_only_some_state(workload),
        *by_hour("jobs submitted", workload.submit_ms / MS_PER_S, np.ones(len(workload))),
        *_gangs(devices, devices / MILLI * hours),
    ]
    lines += [
        f"dropped       {d.rows} rows: {d.reason}; first {d.first_row}" for d in workload.dropped
    ]
    lines += [f"note          {note}" for note in workload.notes]
    return lines


def of_workload(workload: Workload) -> Description:
    return Description(
        name=workload.name,
        format=workload.format,
        digest=workload.digest,
        rows_read=workload.rows_read,
        jobs=len(workload),
        refused=(),
        dropped=workload.dropped,
        notes=workload.notes,
        lines=tuple(describe(workload)),
    )


def of_table(source: Source, format: str, why: NoJobList) -> Description:
    """A well-formed file that is no job list: its columns, and why it is none."""
    refused = tuple(f"{fault.problem}. {fault.remedy}" for fault in why.faults)
    lines = [
        f"{source.name} ({format}), sha256 {source.digest[:16]}",
        f"rows read     {len(why.table)}",
        *(f"no job list   {text}" for text in refused),
        *why.lines,
        *_columns(why.table),
    ]
    return Description(
        name=source.name,
        format=format,
        digest=source.digest,
        rows_read=len(why.table),
        jobs=None,
        refused=refused,
        dropped=(),
        notes=(),
        lines=tuple(lines),
    )


def _what_only_some_state(workload: Workload) -> list[str]:
    lines = []
    if workload.priority is not None:
        classes, counts = np.unique(workload.priority, return_counts=True)
        told = ", ".join(f"{c}: {n}" for c, n in zip(classes, counts, strict=True))
        lines.append(f"priority      {told}")
    if workload.kind_mask is not None:
        any_kind = int((workload.kind_mask == 0).sum())
        lines.append(f"kinds         {', '.join(workload.kind_names)}; {any_kind} jobs take any")
    if workload.dataset is not None:
        known = workload.dataset[workload.dataset >= 0]
        lines.append(f"data sets     {len(np.unique(known))}, read by {len(known)} jobs")
    return lines


def _gangs(
    devices_milli: npt.NDArray[np.int64], device_hours: npt.NDArray[np.float64]
) -> list[str]:
    """Jobs and device-hours by devices of the whole gang, in classes up to a power of two."""
    whole = -(-devices_milli // MILLI)
    level = np.where(
        devices_milli == 0,
        0,
        np.where(devices_milli < MILLI, 1, 2 + np.ceil(np.log2(np.maximum(whole, 1)))),
    ).astype(np.int64)
    jobs = np.bincount(level)
    hours = np.bincount(level, weights=device_hours)
    all_hours = max(float(hours.sum()), 1e-12)
    lines = ["gang size     devices      jobs   of jobs  of device-hours"]
    for at in np.flatnonzero(jobs):
        share = hours[at] / all_hours
        row = (
            f"{_class(int(at)):>7s} {jobs[at]:>9d} {jobs[at] / jobs.sum():>8.1%} {share:>8.1%} "
            f"{'#' * round(share * BAR)}"
        )
        lines.append(f"              {row.rstrip()}")
    return lines


def _class(level: int) -> str:
    if level < 2:
        return ("none", "part")[level]
    top = 1 << (level - 2)
    return str(top) if top <= 2 else f"{top // 2 + 1}-{top}"


def _columns(table: Table) -> list[str]:
    """One line a column: the spread of numbers, the most frequent words."""
    width = max(len(name) for name in table.cells)
    lines = []
    for name, text in table.cells.items():
        filled = text.filter(text != "")
        blank = len(text) - len(filled)
        numbers = filled.cast(pl.Float64, strict=False)
        if filled.is_empty():
            told = "empty"
        elif not numbers.has_nulls():
            told = _quantiles(numbers.to_numpy())
        else:
            told = _words(filled)
        lines.append(f"{name:{width}s}  {told}" + (f"; {blank} blank" if blank else ""))
    return lines


def _words(text: pl.Series) -> str:
    count = pl.DataFrame({"word": text}).group_by("word").len()
    if len(count) == len(text) and len(text) > MOST_LABELS:
        ends = text.sort()
        return f"all different, from {ends[0]!s:.40} to {ends[-1]!s:.40}"
    top = count.sort(["len", "word"], descending=[True, False]).head(MOST_LABELS)
    some = ", ".join(f"{str(word)[:24]} {n}" for word, n in top.iter_rows())
    return f"{len(count)} values: {some}"


def _quantiles(values: npt.NDArray[np.float64]) -> str:
    low, middle, high, top = np.quantile(values, [0.0, 0.5, 0.95, 1.0])
    return f"min {low:g}, median {middle:g}, p95 {high:g}, max {top:g}"


def _durations(values: npt.NDArray[np.int64]) -> str:
    quantiles: Sequence[float] = np.quantile(values, [0.0, 0.5, 0.95, 1.0]).tolist()
    low, middle, high, top = (format_duration(round(q)) for q in quantiles)
    return f"min {low}, median {middle}, p95 {high}, max {top}"
