"""``westward plan`` against a running server: its snapshot, its policy, the same ``plan()``.

The decision is made here on the server's own snapshot. That is what the server would answer, since
the function is pure, and it allows several files in one plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from westward.cli.client import Client

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
