"""The workloads of Muri (Zhao et al., SIGCOMM 2022), made from Philly's virtual clusters.

Times are in milliseconds: Muri's own simulator divides ``submit_time`` and ``duration`` by 1,000,
and ``trace4`` is Gavel's 0e4a51 with arrivals a thousand times as large. ``priority`` there is
0 for a job with guaranteed resources and 1 for an opportunistic one, drawn at random.
The ``_pr`` variants hand in every job at time 0.
"""

from __future__ import annotations

import numpy as np

from westward.formats.traces.build import NO_CLOCK, build, gangs, gangs_note
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import MAX_COUNT, MAX_TIME_S, Cells, Drops, Source, read_csv
from westward.model.units import MS_PER_S
from westward.model.workload import Workload

FIELDS = (
    "job_id",
    "num_gpu",
    "submit_time",
    "iterations",
    "model_name",
    "batch_size",
    "duration",
    "interval",
    "iteration_time",
    "resource_time_0",
    "resource_time_1",
    "resource_time_2",
    "priority",
)
_UNUSED = ("iterations", "batch_size", "interval", "iteration_time", *FIELDS[9:12])
MAX_TIME_MS = MAX_TIME_S * MS_PER_S


def read_muri(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit)."""
    table = read_csv(source, FIELDS)
    cells = Cells(table)
    number = cells.numbers("job_id", minimum=0, maximum=MAX_COUNT, whole=True)
    gpus = cells.numbers("num_gpu", minimum=0, maximum=MAX_COUNT, whole=True)
    submit = cells.numbers("submit_time", minimum=0, maximum=MAX_TIME_MS)
    duration = cells.numbers("duration", minimum=0, maximum=MAX_TIME_MS)
    cells.filled("model_name")
    for name in _UNUSED:
        cells.numbers(name, minimum=0, maximum=np.inf)
    opportunistic = cells.numbers("priority", minimum=0, maximum=1, whole=True)
    cells.log.raise_if_any()

    drops = Drops(table.lines)
    drops.drop(duration <= 0, "no run time")
    drops.drop(gpus <= 0, "no GPUs")
    if not drops.keep.any():
        raise source.refuse(None, "", "no row has a run time and GPUs", "Give jobs that ran.")
    at_once = len(table) > 1 and not submit[drops.keep].any()
    nodes, devices_milli = gangs(gpus, options)
    return build(
        source,
        "muri",
        rows_read=len(table),
        drops=drops,
        notes=(
            "times are in milliseconds",
            *(("every job is submitted at time 0 (a _pr variant)",) if at_once else ()),
            "priority: 1 for guaranteed resources (0 in the file), 0 for opportunistic (1)",
            gangs_note(options),
            "model, batch, iterations and stage times (resource_time) are not used",
            NO_CLOCK,
        ),
        submit_ms=np.rint(submit).astype(np.int64),
        duration_ms=np.rint(duration).astype(np.int64),
        nodes=nodes,
        devices_milli=devices_milli,
        source_row=number,
        priority=1 - opportunistic,
    )
