"""A SkyPilot task YAML is a Westward job.

What cannot be honoured is refused by name, never ignored: a job that runs somewhere else than
its owner believes is worse than one that is refused. All faults of a file are told at once.

One departure from SkyPilot: relative local paths count from the job file's folder, not from
where the command was typed, so that a file means the same from everywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from westward.formats.job_fields import (
    MOUNT_FIELDS,
    MOUNT_REFUSED,
    RESERVED_ENV_PREFIXES,
    RESOURCE_FIELDS,
    RESOURCE_REFUSED,
    TASK_FIELDS,
    TASK_REFUSED,
    TERM_FIELDS,
    nearest,
    suggestion,
)
from westward.formats.job_reader import JobReader, join, stated, whole_number
from westward.formats.job_resources import read_options
from westward.formats.job_terms import (
    Terms,
    contradictions,
    example,
    read_term,
)
from westward.formats.listed import NAME, NAME_FORM
from westward.formats.yaml_nodes import Entry, Value, read_tree
from westward.model.faults import Fault, InputFaults
from westward.model.job import FileMount, JobSpec, ResourceOption, Work

MAX_NODES = 1_000_000
MIN_PRIORITY = -1_000
MAX_PRIORITY = 1_000
TERM_PREFIX = "westward."

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_VARIABLE = re.compile(r"\$\{?[A-Za-z_]")


def read_task(
    text: str,
    *,
    file: str,
    job_id: str,
    now_ms: int,
    base_dir: Path | None = None,
    check_paths: bool = False,
    home_site: str | None = None,
    account: str | None = None,
) -> JobSpec:
    """Read one job. ``file`` is the name that faults show; nothing is opened unless asked.

    ``now_ms`` (UTC) is the submit time, from which relative deadlines count. Relative
    local paths count from ``base_dir`` and are faults without one. ``check_paths`` also
    demands that they exist on this machine. ``home_site`` and ``account`` stand in where the job
    states none. Raises InputFaults with every fault found.
    """
    tree, faults = read_tree(text, file)
    if tree is None:
        raise InputFaults(faults)
    reader = JobReader(file)
    reader.faults.extend(faults)
    task = read_tree_as_task(
        reader,
        tree,
        job_id=job_id,
        now_ms=now_ms,
        base_dir=base_dir,
        check_paths=check_paths,
        home_site=home_site,
        account=account,
    )
    if reader.faults:
        raise InputFaults(reader.faults)
    return task.job


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One document: the job (of an array: what its jobs have in common) and its terms; ``rows``
    of the terms, by name, and of the document."""

    job: JobSpec
    terms: Terms
    named: bool
    row: int
    rows: Mapping[str, int]


def read_tree_as_task(
    reader: JobReader,
    tree: Value,
    *,
    job_id: str,
    now_ms: int,
    base_dir: Path | None,
    check_paths: bool,
    home_site: str | None,
    account: str | None,
) -> Task:
    """One document's task. Faults go to ``reader``: with any, the task is not to be used."""
    tree = stated(tree, {*TASK_FIELDS, *TASK_REFUSED} - {"envs"})
    reader.check_names(tree, "", TASK_FIELDS, TASK_REFUSED)
    name = _name(reader, tree.get("name"))
    nodes = reader.take_integer(tree.get("num_nodes"), "", minimum=1, maximum=MAX_NODES)
    options: tuple[ResourceOption, ...] = (ResourceOption(),)
    terms, priority = Terms(), None
    labels: tuple[tuple[str, str], ...] = ()
    rows: dict[str, int] = {}
    resources = _resources(reader, tree.get("resources"))
    if resources is not None:
        options = read_options(reader, resources)
        priority = reader.take_integer(
            resources.get("priority"), "resources", minimum=MIN_PRIORITY, maximum=MAX_PRIORITY
        )
        terms, labels, rows = _labels(reader, resources.get("labels"), now_ms)
    work = _work(reader, tree, _Paths(reader, base_dir, check_paths))
    job = JobSpec(
        job_id=job_id,
        name=name or job_id,
        submit_ms=now_ms,
        nodes=nodes or 1,
        options=options,
        duration_ms=terms.duration_ms,
        start_after_ms=terms.start_after_ms,
        deadline_ms=terms.deadline_ms,
        residency=terms.residency,
        latency=terms.latency,
        inputs=terms.inputs,
        datasets=terms.datasets,
        outputs=terms.outputs,
        home_site=terms.home_site or home_site,
        account=terms.account or account,
        purpose=terms.purpose,
        checkpoint=terms.checkpoint,
        priority=priority or 0,
        wait_value_micros_per_hour=terms.wait_value_micros_per_hour,
        labels=labels,
        work=work,
        after=terms.after or (),
        retry=terms.retry,
    )
    return Task(job=job, terms=terms, named=name is not None, row=tree.line, rows=rows)


def read_task_file(
    path: Path,
    *,
    job_id: str,
    now_ms: int,
    home_site: str | None = None,
    account: str | None = None,
) -> JobSpec:
    """``read_task`` over a file: local paths count from its folder and must exist."""
    return read_task(
        read_task_text(path),
        file=str(path),
        job_id=job_id,
        now_ms=now_ms,
        base_dir=path.resolve().parent,
        check_paths=True,
        home_site=home_site,
        account=account,
    )


def read_task_text(path: Path) -> str:
    """The file's text; a file that cannot be read is a fault like any other."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"the job file cannot be read: {error.strerror or error}"
        remedy = "Give the path of a SkyPilot task YAML."
        raise InputFaults([Fault(str(path), None, "", problem, remedy)]) from error
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8 text"
        remedy = "Save the file as UTF-8."
        raise InputFaults([Fault(str(path), None, "", problem, remedy)]) from error


def _name(reader: JobReader, entry: Entry | None) -> str | None:
    text = reader.take_text(entry, "", "my-job")
    if entry is not None and text is not None and NAME.fullmatch(text) is None:
        reader.fault(entry.line, "name", f"{text!r} is not a name", f"Use {NAME_FORM}.")
    return text


def _resources(reader: JobReader, entry: Entry | None) -> Value | None:
    if entry is not None and entry.value.kind == "null":
        return None
    mapping = reader.take_mapping(entry, "", "resources: {accelerators: A100:8}")
    return None if mapping is None else stated(mapping, (*RESOURCE_FIELDS, *RESOURCE_REFUSED))


def _labels(
    reader: JobReader, entry: Entry | None, now_ms: int
) -> tuple[Terms, tuple[tuple[str, str], ...], dict[str, int]]:
    """Westward's terms, the labels that are not ours, and the row of each."""
    terms = Terms()
    others: list[tuple[str, str]] = []
    lines: dict[str, int] = {}
    mapping = reader.take_mapping(entry, "resources", "labels: {westward.duration: 1h30m}")
    for label in mapping.entries if mapping is not None else ():
        path = "resources.labels"
        ours = label.key.startswith(TERM_PREFIX)
        if ours and label.key not in TERM_FIELDS:
            problem = f"unknown term {label.key!r}"
            reader.fault(label.line, join(path, label.key), problem, _term_suggestion(label.key))
            continue
        text = reader.take_text(label, path, example(label.key) if ours else "text")
        if text is None:
            continue
        lines[label.key] = label.line
        if not ours:
            others.append((label.key, text))
            continue
        try:
            read_term(terms, label.key, text, now_ms)
        except (ValueError, OverflowError) as error:
            reader.fault(
                label.line,
                join(path, label.key),
                str(error),
                f"Write for example {example(label.key)}.",
            )
    for term, problem, remedy in contradictions(terms, now_ms):
        reader.fault(lines[term], join("resources.labels", term), problem, remedy)
    return terms, tuple(others), lines


def _term_suggestion(label: str) -> str:
    """Compared without the prefix they share, or every term would look alike."""
    near = nearest(
        label.removeprefix(TERM_PREFIX), [t.removeprefix(TERM_PREFIX) for t in TERM_FIELDS]
    )
    return f"Did you mean {TERM_PREFIX}{near}?" if near else suggestion("", TERM_FIELDS)


class _Paths:
    """Judges and completes the local paths a job names."""

    def __init__(self, reader: JobReader, base_dir: Path | None, check: bool) -> None:
        self.reader = reader
        self.base_dir = base_dir
        self.check = check

    def source(self, text: str, line: int, field: str, *, folder: bool) -> str:
        scheme = _SCHEME.match(text)
        if scheme and scheme[1].lower() != "file":
            self.reader.fault(
                line,
                field,
                f"Westward cannot honour {scheme[1]}:// sources: it fetches from no bucket or host",
                "Give a local path or file://, or fetch the data in `setup:`.",
            )
            return text
        if _VARIABLE.search(text):
            self.reader.fault(
                line,
                field,
                f"{text!r} holds a variable, and paths are read before any variable is set",
                "Write the path itself.",
            )
            return text
        local = text[len("file://") :] if scheme else text
        path = Path(local).expanduser() if local.startswith("~/") else Path(local)
        if self.base_dir is not None:
            path = self.base_dir / path
        elif not path.is_absolute():
            self.reader.fault(
                line,
                field,
                f"{text!r} is relative, and the job came without the folder it counts from",
                "Give an absolute path, or submit the job as a file.",
            )
        if self.check and not (os.path.isdir(path) if folder else os.path.exists(path)):
            what = "a folder" if folder else "a file or folder"
            self.reader.fault(
                line,
                field,
                f"{path} is not {what} on this machine",
                "Correct the path; relative ones count from the job file's folder.",
            )
        return str(path)

    def target(self, text: str, line: int, field: str) -> str:
        inside = text.removeprefix("~/")
        parts = PurePosixPath(inside).parts
        if not parts or PurePosixPath(inside).is_absolute() or ".." in parts or "~" in parts[0]:
            self.reader.fault(
                line,
                field,
                f"Westward cannot honour the target {text!r}: a job may write below its work "
                "folder and its own ~/ only",
                "Write a relative target (data/in.csv) or one below ~/.",
            )
        return text


def _work(reader: JobReader, tree: Value, paths: _Paths) -> Work:
    run = reader.take_text(tree.get("run"), "", "python train.py")
    if tree.get("run") is None:
        reader.fault(
            None, "run", "the job has nothing to run", "Add `run:` with a bash command or text."
        )
    setup_entry = tree.get("setup")
    setup = ""
    if setup_entry is not None and setup_entry.value.kind != "null":
        setup = reader.take_text(setup_entry, "", "pip install -r requirements.txt") or ""
    return Work(
        run=run or "",
        setup=setup,
        envs=_envs(reader, tree.get("envs")),
        workdir=_workdir(reader, tree.get("workdir"), paths),
        file_mounts=_file_mounts(reader, tree.get("file_mounts"), paths),
    )


def _workdir(reader: JobReader, entry: Entry | None, paths: _Paths) -> str | None:
    if entry is not None and entry.value.kind == "mapping":
        reader.fault(
            entry.line,
            "workdir",
            "Westward cannot honour a git workdir: sites fetch no repository",
            "Clone it and give the local folder, or clone it in `setup:`.",
        )
        return None
    text = reader.take_text(entry, "", ".")
    if entry is None or text is None:
        return None
    return paths.source(text, entry.line, "workdir", folder=True)


def _envs(reader: JobReader, entry: Entry | None) -> tuple[tuple[str, str], ...]:
    mapping = reader.take_mapping(entry, "", 'envs: {EPOCHS: "10"}')
    envs: list[tuple[str, str]] = []
    for one in mapping.entries if mapping is not None else ():
        field = join("envs", one.key)
        if _ENV_NAME.fullmatch(one.key) is None:
            problem = f"{one.key!r} is not the name of a variable"
            remedy = "Use letters, digits and underscore, not beginning with a digit."
            reader.fault(one.line, field, problem, remedy)
        elif one.key.startswith(RESERVED_ENV_PREFIXES):
            problem = f"{one.key} is set by the engine for each rank"
            reader.fault(one.line, field, problem, "Choose another name.")
        elif one.value.kind == "null":
            problem = "the variable has no value, and Westward asks for none at submit"
            reader.fault(one.line, field, problem, 'Give a value; empty is "".')
        elif one.value.kind == "text" or whole_number(one.value) is not None:
            if "\0" in one.value.raw:
                problem = "the value holds a NUL character"
                reader.fault(one.line, field, problem, "Remove it.")
            envs.append((one.key, one.value.raw))
        else:
            remedy = f'Put it in quotes: {one.key}: "{one.value.raw}"'
            reader.wrong_kind(one, field, "text", remedy)
    return tuple(envs)


def _file_mounts(reader: JobReader, entry: Entry | None, paths: _Paths) -> tuple[FileMount, ...]:
    mapping = reader.take_mapping(entry, "", "file_mounts: {data/in.csv: ./in.csv}")
    mounts: list[FileMount] = []
    for one in mapping.entries if mapping is not None else ():
        field = join("file_mounts", one.key)
        target = paths.target(one.key, one.line, field)
        mode: Literal["COPY", "MOUNT"] | None = "COPY"
        source_entry: Entry | None = one
        parent = "file_mounts"
        if one.value.kind == "mapping":
            parent = field
            reader.check_names(one.value, field, MOUNT_FIELDS, MOUNT_REFUSED)
            source_entry = one.value.get("source")
            mode = _mode(reader, one.value.get("mode"), field)
            if source_entry is None:
                reader.fault(
                    one.line, field, "the mount has no source", "Add `source:` with a path."
                )
        source = reader.take_text(source_entry, parent, "./data")
        if source_entry is None or source is None or mode is None:
            continue
        place = join(parent, source_entry.key)
        local = paths.source(source, source_entry.line, place, folder=False)
        mounts.append(FileMount(target=target, source=local, mode=mode))
    return tuple(mounts)


def _mode(reader: JobReader, entry: Entry | None, path: str) -> Literal["COPY", "MOUNT"] | None:
    if entry is None:
        return "MOUNT"
    text = reader.take_text(entry, path, "COPY")
    if text is None:
        return None
    if text.upper() == "COPY":
        return "COPY"
    if text.upper() == "MOUNT":
        return "MOUNT"
    problem = f"Westward cannot honour mode {text!r}: there is no bucket to cache"
    reader.fault(entry.line, join(path, "mode"), problem, "Write COPY or MOUNT.")
    return None
