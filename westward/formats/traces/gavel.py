"""The workloads of Gavel (Narayanan et al., OSDI 2020): tab-separated rows without a header.

Two forms: ten columns (its later simulator) and seven (``msr_seed0``, one file for each virtual
cluster of Philly). Arrivals are in seconds; the work is a number of training steps. Steps a
second depend on job type, GPUs and device; Gavel keeps them in a separate file of measurements,
and so the caller states them here (option ``steps_per_s``).
"""

from __future__ import annotations

import polars as pl

from westward.formats.traces.build import NO_CLOCK, build, codes, gangs, gangs_note, to_ms
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import (
    MAX_COUNT,
    Cells,
    Drops,
    NoJobList,
    Source,
    Table,
    split_columns,
    text_lines,
)
from westward.formats.traces.stated import bounded, listed, look_up
from westward.model.workload import Workload

FIELDS = (
    "job_type",
    "command",
    "working_directory",
    "num_steps_arg",
    "needs_data_dir",
    "total_steps",
    "scale_factor",
    "priority_weight",
    "slo",
    "arrival_time",
)
MSR_FIELDS = (
    "job_type",
    "command",
    "num_steps_arg",
    "needs_data_dir",
    "total_steps",
    "arrival_time",
    "scale_factor",
)
_DATA = r".*%s/(?:data/)?(\S+)"
"""The folder that a command reads: what follows the last placeholder."""
MAX_STEPS = 1e15


def read_gavel(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit), NoJobList when
    ``options.steps_per_s`` lacks a job type."""
    table = _table(source)
    cells = Cells(table)
    job_type = cells.filled("job_type")
    submit = cells.numbers("arrival_time", minimum=0)
    steps = cells.numbers("total_steps", minimum=0, maximum=MAX_STEPS, whole=True)
    gpus = cells.numbers("scale_factor", minimum=1, maximum=MAX_COUNT, whole=True)
    reads_data = cells.numbers("needs_data_dir", minimum=0, maximum=1, whole=True) == 1
    weight = slo = None
    if "slo" in table.cells:
        weight = cells.numbers("priority_weight", minimum=0, maximum=MAX_COUNT)
        slo = cells.numbers("slo", minimum=-1)
    rate, missing = look_up(options.steps_per_s, job_type, gpus)
    lacking = []
    if missing:
        problem = f"only steps are recorded, and no speed is stated for {listed(missing)}"
        remedy = (
            "State steps a second with the option steps_per_s (a file name,value with rows such "
            'as "ResNet-18 (batch size 64)",35 or "ResNet-18 (batch size 64)@4",120).'
        )
        lacking.append(source.fault(None, "job_type", problem, remedy))
    cells.log.raise_if_any(also=lacking)
    if lacking:
        raise NoJobList(lacking, table)
    run_s = bounded(source, steps / rate, "steps_per_s")

    drops = Drops(table.lines)
    drops.drop(steps <= 0, "no steps")
    if not drops.keep.any():
        raise source.refuse(None, "", "no row has steps", "Give jobs that train.")
    unused = []
    if weight is not None and (weight != 1).any():
        unused.append("priority weights are shares of a fair division, not classes: not used")
    if slo is not None and (slo > 0).any():
        unused.append(f"{int((slo > 0).sum())} jobs state a service level; not used")
    folder = table.cells["command"].str.extract(_DATA).fill_null("").str.strip_chars_end("/")
    dataset, _ = codes(
        folder.zip_with(pl.Series(reads_data), pl.repeat("", len(folder), eager=True))
    )
    nodes, devices_milli = gangs(gpus, options)
    return build(
        source,
        "gavel",
        rows_read=len(table),
        drops=drops,
        notes=(
            "run time = steps over the speed stated by the caller; the file records no time",
            gangs_note(options),
            "data set = the folder that the command reads; its bytes are not stated",
            *unused,
            NO_CLOCK,
        ),
        submit_ms=to_ms(submit),
        duration_ms=to_ms(run_s),
        nodes=nodes,
        devices_milli=devices_milli,
        source_row=table.lines,
        dataset=dataset,
    )


def _table(source: Source) -> Table:
    """By the number of columns of its first row."""
    rows = text_lines(source)
    first = len(str(rows["text"][0]).split("\t"))
    names = MSR_FIELDS if first == len(MSR_FIELDS) else FIELDS
    return split_columns(source, rows, names, exact=True, parts=pl.col("text").str.split("\t"))
