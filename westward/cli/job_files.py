"""Job files for a dry run, and the planner without its compiler."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from westward.model.job import JobSpec


def use_interpreter() -> None:
    """One plan costs less than importing a compiler; where it is loaded already, it is used.

    Other kernels than the planner's may have loaded it: then it is too late to switch, and cheap.
    """
    if "numba" not in sys.modules and "westward.placement.kernels" not in sys.modules:
        from westward.jit import interpret

        interpret()


def read_jobs(files: Sequence[Path], now_ms: int) -> list[JobSpec]:
    """The job files, numbered in the order given; of an array its first job stands for all. All
    faults of all files at once. Data sets are a fault: only a server has the catalogue."""
    from westward.formats.task_set import read_tasks_file
    from westward.model.faults import Fault, InputFaults

    faults: list[Fault] = []
    jobs = []
    width = len(str(len(files)))
    for number, path in enumerate(files, start=1):
        try:
            named = read_tasks_file(path, job_id=f"job_{number:0{width}}", now_ms=now_ms)
            jobs += [next(one.jobs()) if one.count is not None else one.job for one in named]
            if any(one.job.datasets for one in named):
                problem = (
                    "the job reads data sets, and what they are only a server's catalogue says"
                )
                remedy = (
                    "Ask the server alone: POST /v1/plan; or leave dataset: out to rehearse it."
                )
                field = "resources.labels.westward.inputs"
                faults.append(Fault(str(path), None, field, problem, remedy))
        except InputFaults as found:
            faults += found.faults
    if faults:
        raise InputFaults(faults)
    return jobs
