"""Workload rows as the planner's columns, and as JobSpecs: two views of the same request."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from westward.model.job import InputData, JobSpec, ResourceOption
from westward.model.network import Network
from westward.model.units import BYTES_PER_GB
from westward.model.workload import I32, Workload
from westward.placement.columns import NetworkColumns
from westward.placement.state import U8, Inputs, Jobs, Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The workload on one network, every job allowed everywhere (traces state no residency)."""

    jobs: Jobs
    options: Options
    inputs: Inputs
    allowed: U8
    """(1, P): one constraint class."""
    home_site: I32
    """(n,) row of the network's sites."""


def home_sites(workload: Workload, network: Network, seed: int) -> I32:
    """The site each job counts as home: where its owner sits and its input lies.

    A workload that states partitions maps each to a site, one that states only users maps each
    user to a site, else each job; always drawn uniformly with ``seed``. A trace's places are not
    the network's places, so this is an assumption of the rehearsal and its report says so.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    sites = len(network.sites)
    owner = workload.home if (workload.home >= 0).any() else workload.user
    if not (owner >= 0).any():
        return rng.integers(0, sites, len(workload)).astype(np.int32)
    draw = rng.integers(0, sites, int(owner.max()) + 2)
    return draw[owner].astype(np.int32)


def workload_rows(
    workload: Workload, network: Network, columns: NetworkColumns, *, zero_ms: int, seed: int
) -> Rows:
    """Columns for the kernels. ``zero_ms``: absolute time of the workload's own zero."""
    count = len(workload)
    home = home_sites(workload, network, seed)
    every_kind = (1 << len(columns.kind_names)) - 1
    devices = workload.devices_milli.astype(np.int64)
    cpus = workload.cpus_milli.astype(np.int64)
    memory = workload.memory_mib.astype(np.int64)
    cpus = np.where((devices == 0) & (cpus == 0) & (memory == 0), 1000, cpus)
    has_input = workload.input_bytes > 0
    return Rows(
        jobs=Jobs(
            submit_ms=workload.submit_ms + zero_ms,
            estimate_ms=workload.estimate_ms,
            nodes=workload.nodes.astype(np.int64),
            option_from=np.arange(count + 1, dtype=np.int64),
            constraint=np.zeros(count, dtype=np.int64),
            start_after_ms=np.zeros(count, dtype=np.int64),
            deadline_ms=np.where(workload.deadline_ms >= 0, workload.deadline_ms + zero_ms, -1),
            wait_value=np.full(count, math.nan),
            input_from=np.concatenate([[0], np.cumsum(has_input)]).astype(np.int64),
            home=home.astype(np.int64),
        ),
        options=Options(
            kinds=np.where(devices > 0, every_kind, 0).astype(np.int64),
            devices_milli=devices,
            cpus_milli=cpus,
            memory_mib=memory,
            site=np.full(count, -1, dtype=np.int64),
            engine=np.full(count, -1, dtype=np.int64),
            max_hourly=np.full(count, math.nan),
        ),
        inputs=Inputs(
            site=home[has_input].astype(np.int64),
            gb=workload.input_bytes[has_input] / BYTES_PER_GB,
        ),
        allowed=np.ones((1, len(columns.pool_names)), dtype=np.uint8),
        home_site=home,
    )


def job_id(row: int) -> str:
    """Ids that sort as rows do."""
    return f"job_{row:09d}"


def job_spec(row: int, workload: Workload, rows: Rows, network: Network) -> JobSpec:
    """The same request as an object, for ``plan()``."""
    jobs, options = rows.jobs, rows.options
    devices = int(options.devices_milli[row])
    home = network.sites[int(rows.home_site[row])].name
    size = int(workload.input_bytes[row])
    estimate = int(jobs.estimate_ms[row])
    deadline = int(jobs.deadline_ms[row])
    return JobSpec(
        job_id=job_id(row),
        name=f"row {int(workload.source_row[row])}",
        submit_ms=int(jobs.submit_ms[row]),
        nodes=int(jobs.nodes[row]),
        options=(
            ResourceOption(
                any_accelerator=devices > 0,
                devices_milli=devices,
                cpus_milli=int(options.cpus_milli[row]),
                memory_mib=int(options.memory_mib[row]),
            ),
        ),
        duration_ms=None if estimate < 0 else estimate,
        deadline_ms=None if deadline < 0 else deadline,
        inputs=(InputData(site=home, size_bytes=size),) if size > 0 else (),
        home_site=home,
    )
