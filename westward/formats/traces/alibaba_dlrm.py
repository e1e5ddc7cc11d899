"""Alibaba's GPU-disaggregated recommendation service (Yang et al., Prism, NSDI 2025).

One row an inference instance (cluster-trace-gpu-v2025): a CPU node's (CN) or a GPU node's (HN).
Times are seconds from the trace's start; blank where the instance was there before the start or
still there at the end (its README). Memory is in GiB, CPU in cores. An instance whose begin or
end is blank has no known run time: it is dropped, unless the caller lets it run from the start
or to the end of the recording (option ``unfinished``).
"""

from __future__ import annotations

import numpy as np

from westward.formats.traces.build import NO_CLOCK, build, codes, to_ms
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import F64, Cells, Drops, Source, read_csv
from westward.model.units import MIB_PER_GIB, MILLI
from westward.model.workload import Workload

FIELDS = (
    "instance_sn",
    "role",
    "app_name",
    "cpu_request",
    "cpu_limit",
    "gpu_request",
    "gpu_limit",
    "rdma_request",
    "rdma_limit",
    "memory_request",
    "memory_limit",
    "disk_request",
    "disk_limit",
    "max_instance_per_node",
    "creation_time",
    "scheduled_time",
    "deletion_time",
)
ROLES = ("CN", "HN")
MAX_CPUS = 100_000
MAX_GPUS = 1_024
MAX_MEMORY_GIB = 1 << 20
_UNUSED = (*FIELDS[4:5], *FIELDS[6:9], *FIELDS[10:14])


def read_alibaba_dlrm(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit)."""
    table = read_csv(source, FIELDS)
    cells = Cells(table)
    cells.filled("instance_sn")
    app = cells.filled("app_name")
    cpus = cells.numbers("cpu_request", minimum=0, maximum=MAX_CPUS)
    gpus = cells.numbers("gpu_request", minimum=0, maximum=MAX_GPUS, whole=True)
    memory = cells.numbers("memory_request", minimum=0, maximum=MAX_MEMORY_GIB)
    for name in _UNUSED:
        cells.numbers(name, minimum=-1, maximum=np.inf)
    created = cells.numbers("creation_time", minimum=0, optional=True)
    scheduled = cells.numbers("scheduled_time", minimum=0, optional=True)
    deleted = cells.numbers("deletion_time", minimum=0, optional=True)
    other = ~table.cells["role"].is_in(list(ROLES))
    cells.check(other.to_numpy(), "role", f"the role is none of {', '.join(ROLES)}")
    cells.check(scheduled < created, "scheduled_time", "the instance was scheduled before creation")
    cells.check(deleted < scheduled, "deletion_time", "the instance was deleted before scheduling")
    cells.log.raise_if_any()

    drops = Drops(table.lines)
    notes = []
    if options.unfinished == "drop":
        drops.drop(np.isnan(created), "began before the recording (no creation time)")
        drops.drop(np.isnan(deleted), "still ran at the recording's end (no deletion time)")
    else:
        created, scheduled, deleted, told = _closed(created, scheduled, deleted)
        notes.append(told)
    drops.drop(np.isnan(scheduled), "never scheduled")
    duration = deleted - scheduled
    drops.drop(duration <= 0, "no run time (deleted in the second it began)")
    if not drops.keep.any():
        raise source.refuse(
            None,
            "deletion_time",
            "no instance has a creation and a deletion time",
            "Let instances run to the recording's end: option unfinished.",
        )
    user, apps = codes(app)
    zero = np.zeros(len(table))
    known = np.nan_to_num(duration)
    return build(
        source,
        "alibaba-dlrm",
        rows_read=len(table),
        drops=drops,
        notes=(
            *notes,
            "run time = deletion - scheduled time; submitted at creation",
            f"{int((gpus[drops.keep] == 0).sum())} instances ask for no GPU (CPU nodes)",
            f"user = application ({len(apps)} of them)",
            "all instances are latency sensitive and of one class: no priority",
            "network share, disk, limits and instances per node are not used",
            NO_CLOCK,
        ),
        submit_ms=to_ms(np.nan_to_num(created)),
        duration_ms=to_ms(known),
        nodes=zero + 1,
        devices_milli=gpus * MILLI,
        cpus_milli=np.rint(cpus * MILLI),
        memory_mib=np.rint(memory * MIB_PER_GIB),
        user=user,
        source_row=table.lines,
    )


def _closed(created: F64, scheduled: F64, deleted: F64) -> tuple[F64, F64, F64, str]:
    """Blank begins become the recording's start, blank ends its last instant."""
    times = np.concatenate([created, scheduled, deleted])
    last = float(np.nanmax(times)) if not np.isnan(times).all() else 0.0
    early, late = np.isnan(created), np.isnan(deleted)
    told = (
        f"censored as told: {int(early.sum())} instances began before the recording and run from "
        f"its start, {int(late.sum())} run to its end at {last:g} s"
    )
    begun = np.where(early & np.isnan(scheduled), 0.0, scheduled)
    return np.where(early, 0.0, created), begun, np.where(late, last, deleted), told
