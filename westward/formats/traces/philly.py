"""Microsoft Philly, 2017 (Jeon et al., USENIX ATC 2019), as one row a job.

``timestamp,duration,num_gpus,gpu_time,cluster``: seconds, GPUs, GPU-seconds, and the virtual
cluster's name. The ElasticFlow and Gavel workloads, which were derived from the same trace, hold
the same times and run times in seconds; the units rest on that comparison.
"""

from __future__ import annotations

import numpy as np

from westward.formats.traces.build import (
    OWN_CLOCK,
    build,
    codes,
    from_dates,
    gangs,
    gangs_note,
    to_ms,
)
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import MAX_COUNT, Cells, Drops, Source, read_csv
from westward.model.workload import Workload

FIELDS = ("timestamp", "duration", "num_gpus", "gpu_time", "cluster")
FORM = "%Y-%m-%d %H:%M:%S"
ROUNDING_S = 1.0
"""``gpu_time`` may differ by so much from duration × GPUs, for each GPU."""


def read_philly(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit)."""
    table = read_csv(source, FIELDS)
    cells = Cells(table)
    submitted = cells.times("timestamp", FORM)
    duration = cells.numbers("duration", minimum=0)
    gpus = cells.numbers("num_gpus", minimum=0, maximum=MAX_COUNT, whole=True)
    gpu_time = cells.numbers("gpu_time", minimum=0, maximum=np.inf)
    cluster = cells.filled("cluster")
    off = np.abs(gpu_time - duration * gpus) > ROUNDING_S * np.maximum(gpus, 1)
    cells.check(off, "gpu_time", "this is not duration × num_gpus")
    cells.log.raise_if_any()

    drops = Drops(table.lines)
    drops.drop(duration <= 0, "no run time")
    drops.drop(gpus <= 0, "no GPUs")
    if not drops.keep.any():
        raise source.refuse(None, "", "no row has a run time and GPUs", "Give jobs that ran.")
    nodes, devices_milli = gangs(gpus, options)
    submit_ms, moved = from_dates(to_ms(submitted), drops.keep, OWN_CLOCK)
    home, names = codes(cluster)
    return build(
        source,
        "philly",
        rows_read=len(table),
        drops=drops,
        notes=(
            *moved,
            "the file states no time zone; hours of day are as written",
            "the timestamp is taken as the time of submitting (the file does not say)",
            f"home = virtual cluster ({len(names)} of them, in alphabetical order)",
            gangs_note(options),
            "jobs that failed or were killed are among the rows and cannot be told apart",
            "user and requested time are not in the file",
        ),
        submit_ms=submit_ms,
        duration_ms=to_ms(duration),
        nodes=nodes,
        devices_milli=devices_milli,
        home=home,
        source_row=table.lines,
    )
