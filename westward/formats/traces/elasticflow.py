"""The workloads of ElasticFlow (Gu et al., ASPLOS 2023): training jobs with deadlines.

All times are in seconds on one clock; ``ddl`` is a moment on it (its generator adds 0.5 to 1.5
run times to the arrival), ``duration`` the run time on ``num_gpu`` GPUs. ElasticFlow gives a job
more GPUs when its deadline is tight; here a gang has the size that the file states, so that a
deadline shorter than the run time cannot be kept: the notes count those.
"""

from __future__ import annotations

import numpy as np

from westward.formats.traces.build import NO_CLOCK, build, gangs, gangs_note, to_ms
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import MAX_COUNT, Cells, Drops, Source, header_of, read_csv
from westward.model.workload import Workload

FIELDS = (
    "job_id",
    "submit_time",
    "iteration",
    "model_name",
    "ddl",
    "batch_size",
    "num_gpu",
    "duration",
)
BEST_EFFORT_FIELDS = (*FIELDS, "best_effort")
PHILLY_FIELDS = (
    "job_id",
    "submit_time",
    "real_iteration",
    "model_name",
    "ddl",
    "batch_size",
    "num_gpu",
    "real_duration",
    "duration",
    "iteration",
)
HEADERS = (FIELDS, BEST_EFFORT_FIELDS, PHILLY_FIELDS)


def read_elasticflow(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit)."""
    header = header_of(source)
    names = header if header in HEADERS else FIELDS
    table = read_csv(source, names)
    cells = Cells(table)
    number = cells.numbers("job_id", minimum=0, maximum=MAX_COUNT, whole=True)
    submit = cells.numbers("submit_time", minimum=0)
    deadline = cells.numbers("ddl", minimum=0)
    gpus = cells.numbers("num_gpu", minimum=0, maximum=MAX_COUNT, whole=True)
    duration = cells.numbers("duration", minimum=0)
    cells.filled("model_name")
    for name in ("iteration", "batch_size", "real_iteration", "real_duration"):
        if name in names:
            cells.numbers(name, minimum=0, maximum=np.inf)
    free = np.zeros(len(table), dtype=np.bool_)
    if "best_effort" in names:
        free = cells.numbers("best_effort", minimum=0, maximum=1, whole=True) == 1
    cells.check(~free & (deadline < submit), "ddl", "the deadline is before the submit time")
    cells.log.raise_if_any()

    drops = Drops(table.lines)
    drops.drop(duration <= 0, "no run time")
    drops.drop(gpus <= 0, "no GPUs")
    if not drops.keep.any():
        raise source.refuse(None, "", "no row has a run time and GPUs", "Give jobs that ran.")
    tight = drops.keep & ~free & (deadline - submit < duration)
    nodes, devices_milli = gangs(gpus, options)
    return build(
        source,
        "elasticflow",
        rows_read=len(table),
        drops=drops,
        notes=(
            "times are in seconds; ddl is a moment on the submit times' clock",
            *(
                (f"{int(tight.sum())} deadlines leave less time than the run takes on its GPUs",)
                if tight.any()
                else ()
            ),
            *(
                (f"{int((free & drops.keep).sum())} best-effort jobs have no deadline",)
                if (free & drops.keep).any()
                else ()
            ),
            gangs_note(options),
            "model, batch and iterations are not used",
            NO_CLOCK,
        ),
        submit_ms=to_ms(submit),
        duration_ms=to_ms(duration),
        nodes=nodes,
        devices_milli=devices_milli,
        source_row=number,
        deadline_ms=np.where(free, -1, to_ms(deadline)),
    )
