"""Recordings that are no job lists: series of counts, lists of nodes. Checked, shown, refused."""

from __future__ import annotations

import numpy as np
import polars as pl

from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import (
    F64,
    MAX_COUNT,
    Cells,
    NoJobList,
    Source,
    read_csv,
)
from westward.model.units import MS_PER_HOUR, MS_PER_S
from westward.model.workload import Workload

HELIOS_FIELDS = (
    "time",
    "submit_job_all",
    "start_job_all",
    "end_job_all",
    "submit_gpu_job",
    "start_gpu_job",
    "end_gpu_job",
    "submit_gpu_num",
    "start_gpu_num",
    "end_gpu_num",
)
SPOT_FIELDS = ("gpu_model", "gpu_capacity_num", "cpu_num", "node_name")
FORM = "%Y-%m-%d %H:%M:%S"
MAX_GPUS_A_NODE = 1_024


def read_helios(source: Source, options: TraceOptions) -> Workload:
    """SenseTime's Helios (Hu et al., SC 2021), cluster Venus: jobs and GPUs submitted, started
    and ended in each step. Always raises NoJobList, or InputFaults with every wrong cell."""
    table = read_csv(source, HELIOS_FIELDS)
    cells = Cells(table)
    at = cells.times("time", FORM)
    counts = {
        name: cells.numbers(name, minimum=0, maximum=MAX_COUNT, whole=True)
        for name in HELIOS_FIELDS[1:]
    }
    cells.log.raise_if_any()
    step = f"steps of {np.median(np.diff(at)) / 60:g} minutes" if len(at) > 1 else "one step"
    lines = [
        f"{name:24s}{int(values.sum()):>12,} in all, at most {int(values.max()):,} in a step"
        for name, values in counts.items()
    ]
    raise NoJobList(
        [
            source.fault(
                None,
                "",
                f"the file counts jobs and GPUs in {step}; sizes and run times of single jobs are "
                "not recorded",
                "Compare a generated workload's load with it, or give a job list (philly, openb).",
            )
        ],
        table,
        [*lines, *by_hour("submit_job_all", at, counts["submit_job_all"])],
    )


def read_alibaba_spot(source: Source, options: TraceOptions) -> Workload:
    """The nodes of Alibaba's spot GPU service (Duan et al., GFS, ASPLOS 2026). Always raises
    NoJobList, or InputFaults with every wrong cell."""
    table = read_csv(source, SPOT_FIELDS)
    cells = Cells(table)
    model = cells.filled("gpu_model")
    gpus = cells.numbers("gpu_capacity_num", minimum=0, maximum=MAX_GPUS_A_NODE, whole=True)
    cells.numbers("cpu_num", minimum=0, maximum=MAX_COUNT, whole=True)
    cells.filled("node_name")
    cells.log.raise_if_any()
    nodes = pl.DataFrame({"model": model, "gpus": gpus.astype(np.int64)})
    total = nodes.group_by("model").agg(pl.len(), pl.col("gpus").sum()).sort("model")
    lines = [f"{name:24s}{n:>8,} nodes {sum_:>8,} GPUs" for name, n, sum_ in total.iter_rows()]
    problem = "this is a list of nodes, not of jobs"
    remedy = "Use it for the pools of a network folder; its job list is a file of its own."
    raise NoJobList([source.fault(None, "", problem, remedy)], table, lines)


def by_hour(name: str, at_s: F64, weight: F64) -> list[str]:
    """One line: how ``weight`` falls on the 24 hours of the day, 0-9 of the busiest hour."""
    hour = (np.nan_to_num(at_s) * MS_PER_S // MS_PER_HOUR % 24).astype(np.int64)
    total = np.bincount(hour, weights=weight, minlength=24)
    top = float(total.max())
    if not 0 < top < float("inf"):
        return []
    digits = "".join(str(int(max(value, 0.0) / top * 9 + 0.5)) for value in total)
    return [f"by hour       {digits} ({name}; 00:00 first, 9 = the busiest hour)"]
