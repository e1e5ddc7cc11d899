"""Data sets that jobs name: fixed at submit, and told to the planner as inputs with copies."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from westward.formats.task_set import NamedJob
from westward.model.dataset import DataSet
from westward.model.faults import Fault, InputFaults
from westward.model.job import DataInput, InputData, JobSpec, TagRule
from westward.store.catalogue import Reference, load_dataset
from westward.store.database import Store

INPUTS_FIELD = "resources.labels.westward.inputs"
OUTPUTS_FIELD = "resources.labels.westward.outputs"
Copies = Mapping[Reference, tuple[str, ...]]
"""Sites with a copy, by data set."""


def pin_all(store: Store, named: Sequence[NamedJob], file: str) -> tuple[NamedJob, ...]:
    """``pin_data`` for every job of a text; all faults at once."""
    faults: list[Fault] = []
    pinned = [replace(one, job=_pin(store, one.job, file, faults)) for one in named]
    if faults:
        raise InputFaults(faults)
    return tuple(pinned)


def pin_data(store: Store, job: JobSpec, file: str) -> JobSpec:
    """The job with version, digest, size and price of every data set it reads, and with their
    residency terms as its own. Raises InputFaults: no such data set, no copy of it, an output's
    name that belongs to somebody else."""
    faults: list[Fault] = []
    pinned = _pin(store, job, file, faults)
    if faults:
        raise InputFaults(faults)
    return pinned


def _pin(store: Store, job: JobSpec, file: str, faults: list[Fault]) -> JobSpec:
    if not job.datasets and not job.outputs:
        return job
    rules: list[TagRule] = []
    pinned = []
    for one in job.datasets:
        found = load_dataset(store, one.dataset, one.version)
        problem = _problem(one, found)
        if problem is not None:
            faults.append(Fault(file, None, INPUTS_FIELD, *problem))
        if found is None:
            continue
        because = f"data set {found.reference}"
        rules += [replace(rule, because=because) for rule in found.residency]
        pinned.append(
            replace(
                one,
                version=found.version,
                digest=found.digest,
                size_bytes=found.size_bytes,
                price_micros_per_gb=found.price_micros_per_gb,
            )
        )
    for output in job.outputs:
        known = load_dataset(store, output.dataset)
        if known is not None and known.owner != (job.account or ""):
            problem = (
                f"the data set {known.name!r} belongs to {known.owner or 'nobody'}",
                "Choose another name, or submit under its owner's account.",
            )
            faults.append(Fault(file, None, OUTPUTS_FIELD, *problem))
    return replace(job, datasets=tuple(pinned), residency=(*job.residency, *rules))


def _problem(asked: DataInput, found: DataSet | None) -> tuple[str, str] | None:
    if found is None:
        version = f"@{asked.version}" if asked.version else ""
        remedy = "Look at westward data list; add it with westward data add."
        return f"there is no data set {asked.dataset + version!r}", remedy
    if not found.replicas:
        remedy = f"Say where one lies: westward data replica {found.reference} --site SITE URL."
        return f"no copy of the data set {found.reference} is known", remedy
    return None


def references(jobs: Collection[JobSpec]) -> set[Reference]:
    return {(one.dataset, one.version) for job in jobs for one in job.datasets}


def with_data(job: JobSpec, copies: Copies, sites: Collection[str]) -> JobSpec:
    """The job as the planner is to see it: each data set is an input that lies at every site with
    a copy. One without a copy at any of ``sites`` can be brought nowhere."""
    if not job.datasets:
        return job
    inputs = []
    for one in job.datasets:
        known = tuple(site for site in copies.get((one.dataset, one.version), ()) if site in sites)
        inputs.append(
            InputData(
                site=known[0] if known else "",
                size_bytes=one.size_bytes,
                dataset=one.digest,
                replicas=known,
            )
        )
    return replace(job, inputs=(*job.inputs, *inputs))
