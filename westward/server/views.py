"""Stored records as the JSON that users get. Times are UTC ms, money millionths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from westward.control.records import JobRecord, JobState, RunRecord
from westward.control.story import StoryLine
from westward.ledger.price import Bill
from westward.model.job import JobSpec
from westward.model.plan import Estimate, Placement, Plan, Policy, Refusal, Snapshot
from westward.server.aside import Aside
from westward.server.wording import refusal_text, why_there
from westward.store.results import Checkpoint, CheckpointMove, Decision

Json = dict[str, Any]
_SPEC = TypeAdapter(JobSpec)
_PLACEMENT = TypeAdapter(Placement)
_REFUSAL = TypeAdapter(Refusal)
_POLICY = TypeAdapter(Policy)
_SNAPSHOT = TypeAdapter(Snapshot)
_JOULES_PER_KWH = 3_600_000
_MICROGRAMS_PER_GRAM = 1_000_000


def job_view(
    record: JobRecord,
    array_states: Mapping[JobState, int] | None = None,
    starts_ms: Mapping[str, int] | None = None,
) -> Json:
    """A job without its request: what a table of jobs shows. ``array_states``: of all the jobs of
    its array, where it stands for them. ``starts_ms``: see ``server.expected``."""
    run = record.runs[-1] if record.runs else None
    place = record.bound
    return {
        "job_id": record.job_id,
        "name": record.job.name,
        "state": record.state.value,
        "submit_ms": record.job.submit_ms,
        "nodes": record.job.nodes,
        "site": place.site if place else (run.site if run else None),
        "pool": place.pool if place else (run.pool if run else None),
        "not_before_ms": place.not_before_ms if place else None,
        "planned_start_ms": place.planned_start_ms if place else None,
        "expected_start_ms": _expected_start_ms(record, starts_ms or {}),
        "started_ms": run.started_ms if run else None,
        "finished_ms": record.finished_ms,
        "exit_code": run.exit_code if run else None,
        "ending": record.ending,
        "attempts": len(record.runs),
        "attempts_max": record.attempts_max,
        "lost_runs": record.lost_runs,
        "failed_runs": record.failed_runs,
        "holds": [
            {"code": one.code, "text": one.text, "until_ms": one.until_ms} for one in record.holds
        ],
        "pause": record.pause.kind if record.pause else None,
        "aim": {"site": record.aim.site, "pool": record.aim.pool} if record.aim else None,
        "array": _array(record, array_states),
        "runs": [run_view(one) for one in record.runs],
    }


def _expected_start_ms(record: JobRecord, starts_ms: Mapping[str, int]) -> int | None:
    """As things stand now, of a job that waits at a pool; as of its binding where nothing newer is
    known."""
    if record.state is not JobState.BOUND or record.bound is None:
        return None
    return starts_ms.get(record.job_id, record.bound.planned_start_ms)


def _array(record: JobRecord, states: Mapping[JobState, int] | None) -> Json | None:
    """Where it stands in its array; ``states`` is null unless it stands for the whole array."""
    array = record.job.array
    if array is None:
        return None
    return {
        "array_id": array.array_id,
        "name": array.name,
        "index": array.index,
        "count": array.count,
        "states": None if states is None else {one.value: n for one, n in states.items()},
    }


def array_view(records: Sequence[JobRecord], starts_ms: Mapping[str, int] | None = None) -> Json:
    """An array and its jobs. There is at least one."""
    array = records[0].job.array
    assert array is not None
    states: dict[str, int] = {}
    for record in records:
        states[record.state.value] = states.get(record.state.value, 0) + 1
    return {
        "array_id": array.array_id,
        "name": array.name,
        "count": array.count,
        "states": states,
        "jobs": [job_view(record, starts_ms=starts_ms) for record in records],
    }


def job_detail(
    record: JobRecord,
    bills: tuple[tuple[str, Bill], ...],
    checkpoints: tuple[Checkpoint, ...] = (),
    moves: tuple[CheckpointMove, ...] = (),
    starts_ms: Mapping[str, int] | None = None,
) -> Json:
    return {
        **job_view(record, starts_ms=starts_ms),
        "checkpoints": [
            {
                "run_id": one.run_id,
                "site": one.site,
                "saved_ms": one.saved_ms,
                "size_bytes": one.size_bytes,
                "sent_bytes": one.sent_bytes,
                "at_server": one.at_server,
            }
            for one in checkpoints
        ],
        "moves": [
            {
                "run_id": one.run_id,
                "from_site": one.from_site,
                "to_site": one.to_site,
                "size_bytes": one.size_bytes,
                "moved_ms": one.moved_ms,
            }
            for one in moves
        ],
        "request": _SPEC.dump_python(record.job, mode="json"),
        "bills": [{"run_id": run_id, **bill_view(bill)} for run_id, bill in bills],
    }


def run_view(run: RunRecord) -> Json:
    return {
        "run_id": run.run_id,
        "attempt": run.attempt,
        "site": run.site,
        "pool": run.pool,
        "token": run.token,
        "state": run.state.value,
        "granted_ms": run.granted_ms,
        "started_ms": run.started_ms,
        "ended_ms": run.ended_ms,
        "outcome": run.outcome,
        "exit_code": run.exit_code,
        "detail": run.detail,
    }


def bill_view(bill: Bill) -> Json:
    """Energy and carbon are estimates from declared power and metered device time."""
    return {
        "energy_kwh": bill.energy_j / _JOULES_PER_KWH,
        "carbon_location_g": _grams(bill.carbon_location_ug),
        "carbon_contract_g": _grams(bill.carbon_contract_ug),
        "device_micros": bill.device_micros,
        "power_micros": bill.power_micros,
        "transfer_micros": bill.transfer_micros,
        "data_micros": bill.data_micros,
        "rounding_micros": bill.rounding_micros,
        "price_micros": bill.total_micros,
    }


def _grams(micrograms: int | None) -> float | None:
    return None if micrograms is None else micrograms / _MICROGRAMS_PER_GRAM


def report_row(
    record: JobRecord, bills: tuple[tuple[str, Bill], ...], decision: Decision | None, currency: str
) -> Json:
    """One finished job. Sums go over all of its runs, lost ones too: they used the devices."""
    run = record.runs[-1] if record.runs else None
    began = run.started_ms if run else None
    ended = run.ended_ms if run else None
    return {
        "job_id": record.job_id,
        "name": record.job.name,
        "state": record.state.value,
        "site": run.site if run else None,
        "pool": run.pool if run else None,
        "why": why_text(decision, currency),
        "wait_ms": began - record.job.submit_ms if began is not None else None,
        "run_ms": ended - began if began is not None and ended is not None else None,
        "attempts": len(record.runs),
        "exit_code": run.exit_code if run else None,
        "settled": len(bills) == len(record.runs),
        "energy_kwh": sum(bill.energy_j for _, bill in bills) / _JOULES_PER_KWH,
        "carbon_location_g": _grams(_sum([bill.carbon_location_ug for _, bill in bills])),
        "carbon_contract_g": _grams(_sum([bill.carbon_contract_ug for _, bill in bills])),
        "price_micros": sum(bill.total_micros for _, bill in bills),
    }


def _sum(values: list[int | None]) -> int | None:
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def why_text(decision: Decision | None, currency: str) -> str:
    if decision is None:
        return ""
    if isinstance(decision.answer, Refusal):
        return refusal_text(decision.answer)
    return why_there(decision.answer, currency)


def decision_view(decision: Decision, currency: str) -> Json:
    return {
        "at_ms": decision.at_ms,
        "snapshot_version": decision.snapshot_version,
        "policy": _POLICY.dump_python(decision.policy, mode="json"),
        "summary": why_text(decision, currency),
        **answer_view(decision.answer),
    }


def answer_view(answer: Placement | Refusal) -> Json:
    """``placement`` or ``refusal`` is set, the other null. Estimates carry their total."""
    if isinstance(answer, Placement):
        shown = _PLACEMENT.dump_python(answer, mode="json")
        _add_total(shown["estimate"], answer.estimate)
        for view, other in zip(shown["alternatives"], answer.alternatives, strict=True):
            if other.estimate is not None:
                _add_total(view["estimate"], other.estimate)
        return {"placement": shown, "refusal": None}
    return {"placement": None, "refusal": _REFUSAL.dump_python(answer, mode="json")}


def _add_total(view: Json, estimate: Estimate) -> None:
    view["terms"]["total"] = estimate.terms.total


def plan_view(plan: Plan, job_id: str, currency: str) -> Json:
    """The dry run's answer for one job."""
    answers: tuple[Placement | Refusal, ...] = (*plan.placed((job_id,)), *plan.refusals)
    for answer in answers:
        if answer.job_id == job_id:
            text = (
                why_there(answer, currency)
                if isinstance(answer, Placement)
                else refusal_text(answer)
            )
            return {
                "snapshot_version": plan.snapshot_version,
                "now_ms": plan.now_ms,
                "currency": currency,
                "policy": _POLICY.dump_python(plan.policy, mode="json"),
                "summary": text,
                **answer_view(answer),
            }
    raise KeyError(job_id)


def snapshot_view(
    snapshot: Snapshot, to_place: tuple[JobSpec, ...], policy: Policy, now_ms: int
) -> Json:
    """All four arguments of ``plan()``, to be replayed."""
    return {
        "snapshot": _SNAPSHOT.dump_python(snapshot, mode="json"),
        "jobs": [_SPEC.dump_python(job, mode="json") for job in to_place],
        "policy": _POLICY.dump_python(policy, mode="json"),
        "now_ms": now_ms,
    }


def story_view(line: StoryLine) -> Json:
    return {"at_ms": line.at_ms, "kind": line.kind, "text": line.text, "data": dict(line.data)}


def aside_view(aside: Aside) -> Json:
    """A job (or a run that has no bill) that is left out for now, and why."""
    return {
        "id": aside.key,
        "at_ms": aside.at_ms,
        "step": aside.step,
        "problem": aside.problem,
        "times": aside.times,
        "again_ms": aside.again_ms,
    }
