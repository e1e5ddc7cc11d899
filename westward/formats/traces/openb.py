"""Alibaba's ``openb`` pod list (cluster-trace-gpu-v2023): tasks that share GPUs, times in s.

A task's run time is deletion − scheduled. A task that was never scheduled has no run time in the
recording; deletion − creation (how long its owner let it wait) stands in, and is counted in the
notes, since leaving these tasks out would remove the load that the recorded cluster turned away.

Accelerator kinds are those of ``gpu_spec``; a task that names none takes any. Quality of service
becomes priority after the order of the trace's own scheduler (Koordinator: latency sensitive
before best effort; Kubernetes: Guaranteed before Burstable before BestEffort).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from westward.formats.traces.build import NO_CLOCK, build, to_ms
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import (
    I64,
    Cells,
    Drops,
    NoJobList,
    Source,
    header_of,
    read_csv,
)
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
UNTIMED_FIELDS = FIELDS[:5]
"""The ``multigpu`` lists: the same tasks by size only."""
NODE_FIELDS = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
PRIORITY_OF = {"BE": 0, "Burstable": 1, "LS": 2, "Guaranteed": 2}
MAX_KINDS = 63
"""A mask is a signed 64-bit integer."""
MAX_GPUS = 1_024
MAX_CPU_MILLI = 100_000_000
MAX_MEMORY_MIB = 1 << 30


def read_openb(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit), NoJobList for a list of
    nodes or of tasks without times."""
    if header_of(source) in (NODE_FIELDS, UNTIMED_FIELDS):
        raise _without_times(source)
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
    qos, known = table.cells["qos"], list(PRIORITY_OF)
    names = ", ".join(known)
    cells.check((~qos.is_in(known)).to_numpy(), "qos", f"the class is none of {names}")
    cells.log.raise_if_any()
    kind_names, kind_mask = _kinds(source, table.cells["gpu_spec"])

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
        nodes=zero + 1,
        devices_milli=gpus * share,
        cpus_milli=cpus,
        memory_mib=memory,
        source_row=table.lines,
        priority=qos.replace_strict(PRIORITY_OF, return_dtype=pl.Int64).to_numpy(),
        kind_names=kind_names,
        kind_mask=kind_mask if kind_names else None,
    )


def _kinds(source: Source, specs: pl.Series) -> tuple[tuple[str, ...], I64]:
    """``A|B`` → names in alphabetical order and a mask a row. A row's repeats count once."""
    stated = [spec for spec in specs.unique().to_list() if spec]
    names = tuple(sorted({name.strip() for spec in stated for name in spec.split("|")} - {""}))
    if len(names) > MAX_KINDS:
        problem = f"{len(names)} kinds of accelerator are named; at most {MAX_KINDS} can be"
        raise source.refuse(None, "gpu_spec", problem, "Split the list.")
    bit = {name: 1 << at for at, name in enumerate(names)}
    masks = {"": 0}
    for spec in stated:
        wanted = {name.strip() for name in spec.split("|")} - {""}
        masks[spec] = sum(bit[name] for name in sorted(wanted))
    return names, specs.replace_strict(masks, return_dtype=pl.Int64).to_numpy()


def _without_times(source: Source) -> NoJobList:
    """The two other tables of the trace: well-formed, checked, and no job lists."""
    names = header_of(source)
    table = read_csv(source, names)
    cells = Cells(table)
    nodes = names == NODE_FIELDS
    cells.numbers("cpu_milli", minimum=0, maximum=MAX_CPU_MILLI, whole=True)
    cells.numbers("memory_mib", minimum=0, maximum=MAX_MEMORY_MIB, whole=True)
    cells.numbers("gpu" if nodes else "num_gpu", minimum=0, maximum=MAX_GPUS, whole=True)
    if not nodes:
        cells.numbers("gpu_milli", minimum=0, maximum=MILLI, whole=True)
    cells.log.raise_if_any()
    if nodes:
        problem = "this is a list of nodes, not of jobs"
        remedy = "Use it for the pools of a network folder; jobs are in openb_pod_list_default."
    else:
        problem = "the list states tasks by size only: no creation, schedule or deletion time"
        remedy = "Give a list with times, such as openb_pod_list_default."
    return NoJobList([source.fault(None, "", problem, remedy)], table)


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
        (spec, "tasks name the GPU models they can run on (gpu_spec)"),
    )
    return (
        "run time = deletion - scheduled time",
        *(f"{int(where[keep].sum())} {text}" for where, text in counted if where[keep].any()),
        f"censored: {last} tasks end at the recording's last second and may have run on",
        "priority from quality of service: BE 0, Burstable 1, LS and Guaranteed 2",
        "pod phase is not used; nothing states an estimate",
        NO_CLOCK,
    )
