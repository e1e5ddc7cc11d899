"""``westward plan`` against a running server: its snapshot, its policy, the same ``plan()``.

The decision is made here on the server's own snapshot. That is what the server would answer, since
the function is pure, and it allows several files in one plan.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from westward.cli.client import Client
from westward.cli.fail import Failure

if TYPE_CHECKING:
    from westward.model.job import JobSpec
    from westward.model.network import Network
    from westward.model.plan import Placement, Plan, Refusal


def ask_server(server: str | None, files: Sequence[Path]) -> tuple[Plan, Network, list[JobSpec]]:
    """What would be decided for the jobs in ``files`` now, among all that runs and waits."""
    from pydantic import TypeAdapter

    from westward.cli.job_files import read_jobs, use_interpreter

    use_interpreter()
    from westward.model.job import JobSpec
    from westward.model.plan import Policy, Snapshot
    from westward.placement import plan

    found = Client(server).get("/v1/snapshot")
    snapshot = TypeAdapter(Snapshot).validate_python(found["snapshot"], strict=False)
    waiting = TypeAdapter(tuple[JobSpec, ...]).validate_python(found["jobs"], strict=False)
    policy = TypeAdapter(Policy).validate_python(found["policy"], strict=False)
    jobs = [
        replace(job, job_id=f"job_dry-run-{number}")
        for number, job in enumerate(read_jobs(files, found["now_ms"]), start=1)
    ]
    decided = plan(snapshot, (*waiting, *jobs), policy, found["now_ms"])
    own = {job.job_id for job in jobs}
    asked = replace(
        decided,
        placements=tuple(decided.placed(own)),
        refusals=tuple(one for one in decided.refusals if one.job_id in own),
    )
    return asked, snapshot.network, jobs


def ask_each(server: str | None, files: Sequence[Path]) -> list[dict[str, Any]]:
    """The server's dry run of each file by itself, for who may not see the whole queue. A file's
    ``file`` and its decision; ``placement`` or ``refusal`` is set."""
    client = Client(server)
    found = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            what = getattr(error, "strerror", None) or "it is no text"
            raise Failure(f"{path} cannot be read ({what}).") from None
        body = {"task": text, "file": path.name, "base_dir": str(path.parent.resolve())}
        if os.environ.get("WESTWARD_PROJECT"):
            body["account"] = os.environ["WESTWARD_PROJECT"]
        found.append({"file": str(path), **client.post("/v1/plan", body)})
    return found


def print_each(decisions: Sequence[dict[str, Any]]) -> None:
    from westward.cli.output import print_table
    from westward.model.units import MICROS, format_duration, format_instant

    rows = []
    for one in decisions:
        placement = one["placement"]
        if placement is None:
            rows.append((one["file"], "not placed", "", "", "", one["summary"]))
            continue
        there = placement["estimate"]
        rows.append(
            (
                one["file"], there["pool"], format_instant(there["start_ms"]),
                format_duration(there["duration_ms"]), f"{there['terms']['total'] / MICROS:,.2f}",
                one["summary"],
            )
        )  # fmt: skip
    print_table(("FILE", "POOL", "START", "RUNS", "SUM", "WHY"), rows, right=(4,))
    print("Each by itself, among all that waits and runs: the whole queue is for its operators.")


def decision_as_plan(decision: dict[str, Any]) -> Plan:
    """The server's saved decision on one job, as the Plan it was part of (that job alone)."""
    from pydantic import TypeAdapter

    from westward.model.plan import Placement, Plan, Policy, Refusal

    placements: tuple[Placement, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    without = _without_totals(decision)
    if without["placement"] is not None:
        placements = (TypeAdapter(Placement).validate_python(without["placement"]),)
    if without["refusal"] is not None:
        refusals = (TypeAdapter(Refusal).validate_python(without["refusal"]),)
    return Plan(
        snapshot_version=decision["snapshot_version"],
        now_ms=decision["at_ms"] if "at_ms" in decision else decision["now_ms"],
        policy=TypeAdapter(Policy).validate_python(decision["policy"]),
        placements=placements,
        refusals=refusals,
    )


def _without_totals(value: Any) -> Any:
    """Sums carry a ``total`` for readers; the types compute it."""
    if isinstance(value, dict):
        return {
            name: {k: v for k, v in inner.items() if k != "total"}
            if name == "terms" and isinstance(inner, dict)
            else _without_totals(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_totals(inner) for inner in value]
    return value
