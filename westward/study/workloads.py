"""A study's workloads as columns: generated for a seed, or read from a trace."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from westward.formats.generate import generate
from westward.formats.traces import read_workload
from westward.model.workload import Workload
from westward.study.model import Generated, Recorded


def build_workload(
    source: Generated | Recorded, *, seed: int, capacity_devices: int, homes: int, demand: float
) -> Workload:
    """``demand`` times as much work per unit of time; ``capacity_devices`` is the base network's.

    Generated: ``demand`` times the jobs over about the same span. Recorded: the same jobs handed
    in ``demand`` times as fast, with as much time from submission to deadline as before. Raises
    InputFaults as the generator and the readers do.
    """
    if isinstance(source, Generated):
        options = source.options
        if "homes" in {field.name for field in fields(options)}:
            options = replace(options, homes=homes)
        return generate(
            max(1, round(source.jobs * demand)),
            seed,
            capacity_devices=capacity_devices,
            load=source.load * demand,
            options=options,
        )
    workload = read_workload(source.path, source.format, options=source.options)
    if source.jobs_max is not None and len(workload) > source.jobs_max:
        workload = first_jobs(workload, source.jobs_max)
    return faster(workload, demand) if demand != 1.0 else workload


def first_jobs(workload: Workload, jobs: int) -> Workload:
    """The first ``jobs`` rows, every column cut alike."""
    cut: dict[str, Any] = {
        field.name: value[:jobs]
        for field in fields(workload)
        if isinstance(value := getattr(workload, field.name), np.ndarray)
    }
    note = f"only the first {jobs:,} of {len(workload):,} jobs"
    digest = f"{workload.digest}+first={jobs}"
    return replace(workload, **cut, digest=digest, notes=(*workload.notes, note))


def faster(workload: Workload, factor: float) -> Workload:
    """Submissions ``factor`` times as close; the first stays, and so does each job's slack."""
    first = workload.submit_ms[0] if len(workload) else 0
    submit = first + np.rint((workload.submit_ms - first) / factor).astype(np.int64)
    moved = workload.deadline_ms - workload.submit_ms + submit
    return replace(
        workload,
        submit_ms=submit,
        deadline_ms=np.where(workload.deadline_ms >= 0, moved, -1),
        digest=f"{workload.digest}+faster={factor!r}",
        notes=(*workload.notes, f"handed in {factor:g} times as fast as recorded"),
    )
