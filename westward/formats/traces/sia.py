"""The workloads of Sia (Jayaram Subramanya et al., SOSP 2023), also used by Pollux and AdaptDL.

``name,time,application,num_replicas,batch_size``: time in seconds (160 jobs in 8 hours for the
philly folder, 960 in 48 for newtrace: the rates the paper states), one GPU a replica. A job is a
training run to a stated accuracy; its run time is not recorded and depends on the device, so that
the caller states it per application (option ``run_s``).
"""

from __future__ import annotations

from westward.formats.traces.build import NO_CLOCK, build, gangs, gangs_note, to_ms
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import MAX_COUNT, Cells, Drops, NoJobList, Source, read_csv
from westward.formats.traces.stated import bounded, listed, look_up
from westward.model.workload import Workload

FIELDS = ("name", "time", "application", "num_replicas", "batch_size")


def read_sia(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit), NoJobList when
    ``options.run_s`` lacks an application."""
    table = read_csv(source, FIELDS)
    cells = Cells(table)
    cells.filled("name")
    submit = cells.numbers("time", minimum=0)
    application = cells.filled("application")
    replicas = cells.numbers("num_replicas", minimum=1, maximum=MAX_COUNT, whole=True)
    cells.numbers("batch_size", minimum=1, maximum=MAX_COUNT, whole=True)
    run_s, missing = look_up(options.run_s, application, replicas)
    lacking = []
    if missing:
        problem = f"no run time is recorded, and none is stated for {listed(missing)}"
        remedy = (
            "State seconds with the option run_s (a file name,value with rows such as "
            "bert,3600 or bert@8,1200)."
        )
        lacking.append(source.fault(None, "application", problem, remedy))
    cells.log.raise_if_any(also=lacking)
    if lacking:
        raise NoJobList(lacking, table)
    run_s = bounded(source, run_s, "run_s")

    nodes, devices_milli = gangs(replicas, options)
    return build(
        source,
        "sia",
        rows_read=len(table),
        drops=Drops(table.lines),
        notes=(
            "run time as stated by the caller for each application; the file records none",
            "gang size = num_replicas as submitted (Sia itself resizes jobs)",
            gangs_note(options),
            "batch size is not used",
            NO_CLOCK,
        ),
        submit_ms=to_ms(submit),
        duration_ms=to_ms(run_s),
        nodes=nodes,
        devices_milli=devices_milli,
        source_row=table.lines,
    )
