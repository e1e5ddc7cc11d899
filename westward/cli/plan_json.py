"""A Plan as a JSON document with stable keys (docs/howto/json.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from westward.model.job import JobSpec
from westward.model.network import Network
from westward.model.plan import Alternative, Estimate, Placement, Plan, Refusal
from westward.model.units import format_instant


def plan_json(plan: Plan, network: Network, jobs: Sequence[JobSpec]) -> dict[str, Any]:
    """Money in millionths of ``currency``, times in ms since 1970 (UTC)."""
    names = {job.job_id: job.name for job in jobs}
    policy = plan.policy
    return {
        "network": network.name,
        "currency": network.currency,
        "snapshot_version": plan.snapshot_version,
        "now_ms": plan.now_ms,
        "now": format_instant(plan.now_ms),
        "policy": {
            "rule": policy.rule,
            "discipline": policy.discipline,
            "wait_value_micros_per_device_hour": policy.wait_value_micros_per_device_hour,
            "carbon_price_micros_per_tonne": policy.carbon_price_micros_per_tonne,
            "carbon_method": policy.carbon_method,
            "defer_limit_ms": policy.defer_limit_ms,
            "assumed_duration_ms": policy.assumed_duration_ms,
            "deadline_reserve_percent": policy.deadline_reserve_percent,
        },
        "placements": [_placement(one, names) for one in plan.placements],
        "refusals": [_refusal(one, names) for one in plan.refusals],
    }


def _placement(one: Placement, names: dict[str, str]) -> dict[str, Any]:
    return {
        "job_id": one.job_id,
        "name": names.get(one.job_id, one.job_id),
        "starts_now": one.starts_now,
        "not_before_ms": one.not_before_ms,
        "why": one.why.value,
        "saved_by_waiting_micros": one.saved_by_waiting,
        "duration_assumed": one.duration_assumed,
        "estimate": _estimate(one.estimate),
        "alternatives": [_alternative(other) for other in one.alternatives],
    }


def _refusal(one: Refusal, names: dict[str, str]) -> dict[str, Any]:
    relaxation = one.relaxation
    return {
        "job_id": one.job_id,
        "name": names.get(one.job_id, one.job_id),
        "alternatives": [_alternative(other) for other in one.alternatives],
        "would_help": None
        if relaxation is None
        else {"change": relaxation.change, "estimate": _estimate(relaxation.estimate)},
        "would_help_sought": one.relaxation_sought,
    }


def _alternative(other: Alternative) -> dict[str, Any]:
    return {
        "pool": other.pool,
        "site": other.site,
        "estimate": None if other.estimate is None else _estimate(other.estimate),
        "reasons": [
            {
                "code": reason.code.value,
                "resource": reason.resource,
                "asked": reason.asked,
                "available": reason.available,
                "unit": reason.unit,
                "text": str(reason),
            }
            for reason in other.reasons
        ],
    }


def _estimate(one: Estimate) -> dict[str, Any]:
    terms = one.terms
    return {
        "pool": one.pool,
        "site": one.site,
        "need_milli_devices": one.need_milli,
        "earliest_ms": one.earliest_ms,
        "start_ms": one.start_ms,
        "start": format_instant(one.start_ms),
        "duration_ms": one.duration_ms,
        "energy_kwh": one.energy_kwh,
        "carbon_g": one.carbon_g,
        "sum_micros": {
            "device": terms.device,
            "power": terms.power,
            "carbon": terms.carbon,
            "transfer": terms.transfer,
            "wait": terms.wait,
            "capacity": terms.shadow,
            "vouchers": terms.vouchers,
            "total": terms.total,
        },
    }
