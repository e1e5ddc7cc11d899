"""Westward's answer to a file of the corpus, in the oracle's words, and where the two differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from westward.formats.skypilot import read_task_file
from westward.model.faults import InputFaults
from westward.model.job import JobSpec

_ENGINE = {"ssh": "local", "kubernetes": "kubernetes", "k8s": "kubernetes", "slurm": "slurm"}


def ask_westward(path: Path) -> JobSpec | str:
    """The job, or the fields that were refused, in order."""
    try:
        return read_task_file(path, job_id="job_1", now_ms=0)
    except InputFaults as error:
        return ", ".join(dict.fromkeys(fault.field for fault in error.faults))


def differs(oracle: dict[str, Any], own: JobSpec | str) -> str | None:
    """None: both refuse, or both take it alike. Else one line on how they differ."""
    if isinstance(own, str):
        return None if "refused" in oracle else f"refused: {own}"
    if "refused" in oracle:
        return f"taken; SkyPilot: {oracle['refused']}"
    told = []
    if own.nodes != oracle["nodes"]:
        told.append(f"nodes {own.nodes}, not {oracle['nodes']}")
    theirs = [_theirs(one) for one in oracle["options"]]
    ours = [
        (one.accelerator, one.devices_milli, one.cpus_milli, one.memory_mib, one.site, one.engine)
        for one in own.options
    ]
    same = (
        ours == theirs
        if oracle["ordered"]
        else sorted(map(repr, ours)) == sorted(map(repr, theirs))
    )
    if not same:
        told.append(f"alternatives {ours}, not {theirs}")
    for name, have, want in (
        ("priority", own.priority, max(one["priority"] or 0 for one in oracle["options"])),
        ("name", own.name, oracle["name"] or "job_1"),
        ("envs", dict(own.work.envs), oracle["envs"]),
        ("run", own.work.run, oracle["run"] or ""),
        ("setup", own.work.setup, oracle["setup"] or ""),
    ):
        if have != want:
            told.append(f"{name} {have!r}, not {want!r}")
    return "; ".join(told) or None


def _theirs(option: dict[str, Any]) -> tuple[Any, ...]:
    """An alternative in Westward's units."""
    ((kind, count),) = (option["accelerators"] or {None: 0}).items()
    cpus = float(str(option["cpus"] or 0).rstrip("+"))
    memory = float(str(option["memory"] or 0).rstrip("+"))
    engine, site = None, None
    if option["infra"] is not None:
        word, _, site = option["infra"].partition("/")
        engine = None if word == "*" else _ENGINE.get(word, word)
    return (
        kind,
        round(count * 1000),
        round(cpus * 1000),
        round(memory * 1024),
        site or None,
        engine,
    )
