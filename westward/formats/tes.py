"""A GA4GH TES task is a Westward job.

Two kinds of refusal, kept apart: *faults* of the document's form or of a value (nothing is kept),
and *refusals*: valid TES that this network cannot honour (the job is kept, refused, with the
reasons). Everything else about resources and terms is read by ``read_task``, as for any job.
"""

from __future__ import annotations

import fnmatch
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import yaml

from westward.formats.job_fields import RESERVED_ENV_PREFIXES, suggestion
from westward.formats.listed import NAME
from westward.formats.skypilot import read_task
from westward.formats.tes_model import FILE, TesTask
from westward.formats.tes_script import bash_script, declared_paths, is_wild, local_path
from westward.model.faults import Fault, InputFaults
from westward.model.job import JobSpec
from westward.model.units import BYTES_PER_GB

DOCUMENT_LABEL = "tes.document"
NOTES_LABEL = "tes.notes"
WORD_LABEL = "tes.word"
LABELS = (DOCUMENT_LABEL, NOTES_LABEL, WORD_LABEL)
HOST_IMAGE = "host"
"""The image that always means: this command runs on the site's own host, as it is."""

BACKEND_PARAMETERS: dict[str, str] = {
    "accelerators": "per node, as in a job file: A100, A100:8",
    "nodes": "of the gang; each runs every executor; logs and outputs are the first node's",
    "infra": "slurm/SITE, */SITE, as in a job file",
    "priority": "-1000 to 1000",
    "max_hourly_cost": "of the whole gang, in the network's currency",
    "deadline": "6h (from submitting) or an ISO time with offset",
    "start_after": "same forms",
    "duration": "your estimate on the reference device: 90s, 1h30m",
    "residency": "tags the site must have: province=Gansu|Ningxia",
    "latency": "shanghai<=20ms one-way",
    "account": "who pays",
    "data": "data that must be at hand, by site: qingyang=10GB",
    "value_of_wait": "cost of an hour's waiting: 3.5/h",
    "home": "the owner's own site",
}
"""Keys of ``resources.backend_parameters``; case does not matter."""

_TERMS = {
    key: f"westward.{'inputs' if key == 'data' else key}"
    for key in (
        "deadline", "start_after", "duration", "residency", "latency", "account", "data",
        "value_of_wait", "home",
    )
}  # fmt: skip
_FIELD_OF = {
    "num_nodes": "resources.backend_parameters.nodes",
    "resources.accelerators": "resources.backend_parameters.accelerators",
    "resources.infra": "resources.backend_parameters.infra",
    "resources.priority": "resources.backend_parameters.priority",
    "resources.max_hourly_cost": "resources.backend_parameters.max_hourly_cost",
    "resources.cpus": "resources.cpu_cores",
    "resources.memory": "resources.ram_gb",
    **{
        f"resources.labels.{term}": f"resources.backend_parameters.{k}"
        for k, term in _TERMS.items()
    },
}
_MIB = 2**20
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SITE = re.compile(r"resources\.any_of\[(\d+)\]\.infra")


@dataclass(frozen=True, slots=True, kw_only=True)
class TesJob:
    """A job read from a TES document. ``refusals``: why it can never run here; empty if it can."""

    job: JobSpec
    refusals: tuple[str, ...]


def read_tes(
    task: TesTask, *, job_id: str, now_ms: int, host_images: Sequence[str], word: str
) -> TesJob:
    """``task`` as a job. Raises InputFaults with every fault; ``word`` marks its log records.

    ``host_images`` are name patterns (``alpine*``) of images whose work the sites' hosts can do.
    """
    faults = _form_faults(task)
    notes: list[str] = []
    task = _supported(task, faults, notes)
    refusals = _refusals(task, host_images)
    if not refusals and not faults:
        notes += _host_notes(task)
    document = _task_yaml(task, bash_script(task, word) if not (refusals or faults) else "exit 121")
    try:
        job = read_task(
            yaml.safe_dump(document, allow_unicode=True), file=FILE, job_id=job_id, now_ms=now_ms
        )
    except InputFaults as error:
        faults += [_renamed(fault) for fault in error.faults]
    if faults:
        raise InputFaults(faults)
    labels = (
        (DOCUMENT_LABEL, task.model_dump_json(exclude_none=True)),
        (NOTES_LABEL, json.dumps(notes)),
        (WORD_LABEL, word),
    )
    return TesJob(job=replace(job, labels=labels), refusals=tuple(refusals))


def _form_faults(task: TesTask) -> list[Fault]:
    faults: list[Fault] = []

    def fault(field: str, problem: str, remedy: str) -> None:
        faults.append(Fault(FILE, None, field, problem, remedy))

    def path(field: str, text: str | None) -> None:
        if text is None:
            return
        if not text.startswith("/") or ".." in PurePosixPath(text).parts or not text.strip("/"):
            fault(field, f"{text!r} is not an absolute path below /", "Write for example /data/in.")

    for index, one in enumerate(task.inputs or ()):
        path(f"inputs[{index}].path", one.path)
        if not one.content and not one.url:
            fault(f"inputs[{index}]", "it has neither url nor content", "Give one of them.")
    for index, output in enumerate(task.outputs or ()):
        path(f"outputs[{index}].path", output.path)
        if is_wild(output.path):
            prefix = output.path_prefix
            path(f"outputs[{index}].path_prefix", prefix)
            if not prefix or not output.path.startswith(prefix):
                fault(
                    f"outputs[{index}].path_prefix",
                    "a path with wildcards needs a prefix that it begins with",
                    "Give the folder that is cut off, for example /data/out.",
                )
    for index, volume in enumerate(task.volumes or ()):
        path(f"volumes[{index}]", volume)
    for index, executor in enumerate(task.executors):
        for name in ("workdir", "stdin", "stdout", "stderr"):
            text = getattr(executor, name)
            if not (name == "workdir" and text == "/"):
                path(f"executors[{index}].{name}", text)
        for name in executor.env or {}:
            if _ENV_NAME.fullmatch(name) is None or name.startswith(RESERVED_ENV_PREFIXES):
                fault(
                    f"executors[{index}].env.{name}",
                    f"{name!r} cannot be set",
                    "Use letters, digits and underscore; SKYPILOT_ and WESTWARD_ are the engine's.",
                )
    return faults


def _supported(task: TesTask, faults: list[Fault], notes: list[str]) -> TesTask:
    """``task`` with its supported backend parameters alone, their keys in lower case."""
    resources = task.resources
    if resources is None or not resources.backend_parameters:
        return task
    kept: dict[str, str] = {}
    for key, value in resources.backend_parameters.items():
        if key.lower() in BACKEND_PARAMETERS:
            kept[key.lower()] = value
        elif resources.backend_parameters_strict:
            field = f"resources.backend_parameters.{key}"
            remedy = suggestion(key.lower(), BACKEND_PARAMETERS)
            faults.append(Fault(FILE, None, field, f"{key!r} is not supported", remedy))
        else:
            notes.append(f"warning: backend parameter {key!r} is not supported and has no effect")
    return task.model_copy(
        update={"resources": resources.model_copy(update={"backend_parameters": kept})}
    )


def _refusals(task: TesTask, host_images: Sequence[str]) -> list[str]:
    told: list[str] = []
    for index, executor in enumerate(task.executors):
        if not any(fnmatch.fnmatchcase(executor.image, one) for one in (HOST_IMAGE, *host_images)):
            told.append(
                f"executors[{index}].image: the sites start processes, not containers, and "
                f"{executor.image!r} is not among the images whose work their hosts can do "
                f"({', '.join((HOST_IMAGE, *host_images))})"
            )
    for index, one in enumerate(task.inputs or ()):
        if not one.content and local_path(one.url or "") is None:
            told.append(
                f"inputs[{index}].url: {one.url} cannot be fetched; sites read file:// and plain "
                "paths of their own, and `content`"
            )
    for index, output in enumerate(task.outputs or ()):
        if local_path(output.url) is None:
            told.append(
                f"outputs[{index}].url: {output.url} cannot be written; sites write file:// and "
                "plain paths of their own"
            )
    if task.resources is not None and task.resources.disk_gb:
        told.append("resources.disk_gb: no site states its disk space, so the wish cannot be kept")
    return told


def _host_notes(task: TesTask) -> list[str]:
    images = sorted({executor.image for executor in task.executors})
    notes = [
        f"executors run as processes on the site's host; image {', '.join(images)} not started"
    ]
    if declared_paths(task):
        notes.append("declared paths lie below the job's own folder tes/RANK at the site")
    return notes


def _task_yaml(task: TesTask, run: str) -> dict[str, Any]:
    wanted = task.resources
    given = dict((wanted.backend_parameters if wanted else None) or {})
    resources: dict[str, Any] = {}
    if wanted is not None and wanted.cpu_cores is not None:
        resources["cpus"] = wanted.cpu_cores
    if wanted is not None and wanted.ram_gb is not None:
        resources["memory"] = f"{max(1, math.ceil(wanted.ram_gb * BYTES_PER_GB / _MIB))}MB"
    for key in ("accelerators", "infra"):
        if key in given:
            resources[key] = given[key]
    if "priority" in given:
        resources["priority"] = _number(given["priority"])
    if "max_hourly_cost" in given:
        resources["max_hourly_cost"] = _number(given["max_hourly_cost"])
    if wanted is not None and wanted.zones:
        resources["any_of"] = [{"infra": f"*/{zone}"} for zone in wanted.zones]
    labels = {term: given[key] for key, term in _TERMS.items() if key in given}
    if labels:
        resources["labels"] = labels
    document: dict[str, Any] = {"run": run}
    if task.name and (name := _job_name(task.name)):
        document["name"] = name
    if "nodes" in given:
        document["num_nodes"] = _number(given["nodes"])
    if resources:
        document["resources"] = resources
    mounts = {
        f"tes/in/{index}": path
        for index, one in enumerate(task.inputs or ())
        if not one.content and (path := local_path(one.url or "")) is not None
    }
    if mounts:
        document["file_mounts"] = mounts
    return document


def _number(text: str) -> int | float | str:
    """As YAML would read it; what is no number stays text, for the reader to refuse."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _job_name(text: str) -> str | None:
    """A task's name made into a job's: what a job's name cannot hold becomes a dash."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")[:63]
    return name if NAME.fullmatch(name) else None


def _renamed(fault: Fault) -> Fault:
    """A fault of the job that was made, at the field of the TES document it came from."""
    zone = _SITE.fullmatch(fault.field)
    field = f"resources.zones[{zone[1]}]" if zone else fault.field
    mount = re.fullmatch(r"file_mounts\.tes/in/(\d+)", field)
    field = f"inputs[{mount[1]}].url" if mount else field
    return Fault(FILE, None, _FIELD_OF.get(field, field), fault.problem, fault.remedy)
