"""Checks a rehearsal's folder against its network and its workload."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.checker.capacity import check_capacity
from tests.checker.case import Case, Violation
from tests.checker.classes import check_classes
from tests.checker.links import check_links
from tests.checker.network import read_network
from tests.checker.order import check_order
from tests.checker.outages import check_outages, windows
from tests.checker.preempted import check_preempted
from tests.checker.rehearsal import Rehearsal, read_rehearsals, scaled_devices
from tests.checker.rows import check_homes, check_rows, join_source
from tests.checker.summary import check_hours, check_moved, check_summary
from tests.checker.workload import Reading, read_workload


@dataclass(frozen=True)
class Checked:
    """What was found of one policy."""

    label: str
    jobs: int
    violations: list[Violation]
    notes: list[str]
    case: Case


def check_folder(
    folder: Path,
    network_folder: Path,
    workload: Path | None = None,
    reading: Reading | None = None,
    *,
    as_of: str | None = None,
) -> list[Checked]:
    """One entry for each policy of the folder. Without a workload, what needs it is not checked."""
    rehearsals = read_rehearsals(folder)
    inputs = rehearsals[0].inputs
    network = read_network(network_folder, as_of=as_of, devices=scaled_devices(inputs))
    source = None
    if workload is not None:
        reading = reading or Reading(format=_format(workload))
        source = read_workload(workload, reading)
    ends = [row["end_ms"] for r in rehearsals for row in r.rows if row["end_ms"] is not None]
    submits = [row["submit_ms"] for row in rehearsals[0].rows]
    until_ms = max(ends, default=max(submits, default=0))
    return [check_case(Case(rehearsal, network, source), until_ms) for rehearsal in rehearsals]


def check_case(case: Case, until_ms: int) -> Checked:
    """Every rule, on one policy's tables."""
    rehearsal: Rehearsal = case.rehearsal
    stated = rehearsal.inputs["network"]
    if stated["digest_sha256"] != case.network.digest:
        case.say("inputs", f"rehearsed on another network: digest {stated['digest_sha256']}")
    if stated["series_origin_ms"] != case.network.origin_ms:
        case.say("inputs", f"series begin at {stated['series_origin_ms']}")
    join_source(case)
    if case.source is None:
        case.notes.append("no workload given: run times, shapes and transfers were not checked")
    check_homes(case)
    check_rows(case)
    check_capacity(case)
    check_preempted(case)
    if case.by_nodes:
        case.notes.append("order rules were not checked: jobs wait for nodes, not for devices")
    elif case.reviewed:
        case.notes.append("order rules were not checked: waiting jobs could change their pool")
    elif windows(case):
        case.notes.append("order rules were not checked: jobs of closed sites were placed again")
    elif case.rehearsal.policy.get("fair_share"):
        case.notes.append("order within a class was not checked: it goes by shares")
    else:
        check_order(case)
    check_classes(case)
    check_outages(case)
    check_links(case)
    check_moved(case)
    check_summary(case, until_ms)
    check_hours(case)
    return Checked(rehearsal.label, len(rehearsal.rows), case.violations, case.notes, case)


def _format(workload: Path) -> str:
    name = workload.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return "table"
    if name.endswith(".swf"):
        return "swf"
    return "openb" if "openb" in name else "gaia"
