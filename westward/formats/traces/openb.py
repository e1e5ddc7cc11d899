"""Alibaba's ``openb`` pod list (cluster-trace-gpu-v2023): tasks that share GPUs, times in s.

A task's run time is deletion − scheduled. A task that was never scheduled has no run time in the
recording; deletion − creation (how long its owner let it wait) stands in, and is counted in the
notes, since leaving these tasks out would remove the load that the recorded cluster turned away.
"""

from __future__ import annotations

import numpy as np

from westward.formats.traces.build import NO_CLOCK, build, to_ms
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import Cells, Drops, Source, read_csv
from westward.model.units import MILLI
from westward.model.workload import Workload

FIELDS = (
    "name",
    "cpu_milli",
    "memory_mib",
    "num_gpu",
    "gpu_milli",
    "gpu_spec",
    "qos",
    "pod_phase",
    "creation_time",
    "deletion_time",
    "scheduled_time",
)
MAX_GPUS = 1_024
MAX_CPU_MILLI = 100_000_000
MAX_MEMORY_MIB = 1 << 30


def read_openb(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit)."""
    table = read_csv(source, FIELDS)
    cells = Cells(table)
    cpus = cells.numbers("cpu_milli", minimum=0, maximum=MAX_CPU_MILLI, whole=True)
    memory = cells.numbers("memory_mib", minimum=0, maximum=MAX_MEMORY_MIB, whole=True)
    gpus = cells.numbers("num_gpu", minimum=0, maximum=MAX_GPUS, whole=True)
    share = cells.numbers("gpu_milli", minimum=0, maximum=MILLI, whole=True)
    created = cells.numbers("creation_time", minimum=0)
    deleted = cells.numbers("deletion_time", minimum=0)
    scheduled = cells.numbers("scheduled_time", minimum=0, optional=True)
    cells.check((gpus > 0) & (share == 0), "gpu_milli", "a task with a GPU takes none of it")
    cells.check((gpus == 0) & (share > 0), "gpu_milli", "a task without a GPU takes a share of one")
    cells.check(deleted < created, "deletion_time", "the task was deleted before it was created")
    cells.check(scheduled < created, "scheduled_time", "the task was scheduled before its creation")
    cells.check(deleted < scheduled, "scheduled_time", "the task was scheduled after its deletion")
    cells.log.raise_if_any()

    never = np.isnan(scheduled)
    duration_s = deleted - np.where(never, created, scheduled)
    drops = Drops(table.lines)
    drops.drop(duration_s <= 0, "no run time (deleted in the second it began)")
    if not drops.keep.any():
        raise source.refuse(None, "", "no task has a run time", "Give a list of tasks that ran.")
    spec = (table.cells["gpu_spec"] != "").to_numpy()
    zero = np.zeros(len(table))
    return build(
        source,
        "openb",
        rows_read=len(table),
        drops=drops,
        notes=_notes(never, gpus, deleted, spec, drops),
        submit_ms=to_ms(created),
        duration_ms=to_ms(duration_s),
        estimate_ms=zero - 1,
        nodes=zero + 1,
        devices_milli=gpus * share,
        cpus_milli=cpus,
        memory_mib=memory,
        user=zero - 1,
        home=zero - 1,
        source_row=table.lines,
    )


def _notes(
    never: np.ndarray[tuple[int], np.dtype[np.bool_]],
    gpus: np.ndarray[tuple[int], np.dtype[np.float64]],
    deleted: np.ndarray[tuple[int], np.dtype[np.float64]],
    spec: np.ndarray[tuple[int], np.dtype[np.bool_]],
    drops: Drops,
) -> tuple[str, ...]:
    keep = drops.keep
    last = int((deleted[keep] == deleted[keep].max()).sum())
    counted = (
        (never, "tasks were never scheduled; their run time is taken as deletion - creation"),
        (gpus == 0, "tasks ask for no GPU"),
        (spec, "tasks name GPU models (gpu_spec); not used: any kind is taken"),
    )
    return (
        "run time = deletion - scheduled time",
        *(f"{int(where[keep].sum())} {text}" for where, text in counted if where[keep].any()),
        f"censored: {last} tasks end at the recording's last second and may have run on",
        "quality of service and pod phase are not used; nothing states an estimate",
        NO_CLOCK,
    )
