"""Why a job was placed there and then, in one sentence each, with the numbers. Pure text."""

from __future__ import annotations

from westward.model.job import JobSpec, ResourceOption
from westward.model.network import Network
from westward.model.plan import Estimate, Placement, Plan, Policy, Refusal, Rule, Why
from westward.model.units import (
    BYTES_PER_GB,
    MIB_PER_GIB,
    MILLI,
    format_duration,
    format_instant,
    format_money,
)

_RULE_TEXT: dict[Rule, str] = {
    "westward": "smallest sum",
    "cheapest-static": "lowest price list entry (rule cheapest-static)",
    "earliest-start": "earliest start (rule earliest-start)",
    "first-to-admit": "first pool by name that admits it (rule first-to-admit)",
    "home-site": "the owner's own site (rule home-site)",
    "lowest-carbon": "least CO2 (rule lowest-carbon)",
}
_SEARCHES_HOURS: tuple[Rule, ...] = ("westward", "lowest-carbon")
"""Rules that look for a better hour than the earliest."""


def why_then(one: Placement, plan: Plan, network: Network, job: JobSpec | None) -> str:
    """Why it starts when it does."""
    estimate = one.estimate
    waits = f"waits {format_duration(estimate.start_ms - plan.now_ms)}"
    if one.why is Why.STARTS_NOW:
        if not one.alternatives or plan.policy.rule not in _SEARCHES_HOURS:
            return "starts now: it fits"
        return "starts now: it fits, and no later hour makes the sum smaller"
    if one.why is Why.WAITS_IN_SITE_QUEUE:
        return (
            f"{waits} in the queue of {estimate.site}, whose own scheduler decides: it is handed "
            "over now, and what ours have waited there lets it expect so much"
        )
    if one.why is Why.WAITS_FOR_CAPACITY:
        need = estimate.need_milli / MILLI
        devices = "1 device" if need == 1 else f"{need:g} devices"
        return f"{waits} for capacity: {devices} at {estimate.site} should be free then"
    if one.why is Why.WAITS_FOR_DATA:
        moved = _moved_gb(job, estimate.site)
        return f"{waits} for its data: {moved:g} GB must first be moved to {estimate.site}"
    if one.why is Why.WAITS_FOR_START_AFTER:
        return f"{waits}: the job asks to start no earlier than {format_instant(one.not_before_ms)}"
    return _better_hour(one, plan, network, job)


def _better_hour(one: Placement, plan: Plan, network: Network, job: JobSpec | None) -> str:
    site = one.estimate.site
    if not one.alternatives and one.saved_by_waiting == 0:
        waits = f"waits {format_duration(one.estimate.start_ms - plan.now_ms)}"
        return f"{waits}: an earlier plan put it off to {format_instant(one.not_before_ms)}"
    put_off = one.estimate.start_ms - one.estimate.earliest_ms
    first = one.estimate.earliest_ms - plan.now_ms
    at_once = "at once" if first == 0 else f"when it first could, in {format_duration(first)}"
    waits = f"waits {format_duration(put_off)}"
    kind = "cleaner" if plan.policy.rule == "lowest-carbon" else "cheaper"
    change = format_money(abs(one.saved_by_waiting), network.currency)
    if round(one.saved_by_waiting) > 0:
        return (
            f"{waits} for {kind} hours at {site}: saves {change} against starting there {at_once}"
        )
    if job is not None and any(o.max_hourly_cost_micros is not None for o in job.options):
        return f"{waits} for an hour at {site} within its max_hourly_cost"
    more = "the same as" if round(one.saved_by_waiting) == 0 else f"{change} higher than"
    return f"{waits} for {kind} hours at {site}; the sum is {more} starting there {at_once}"


def why_there(one: Placement, plan: Plan, network: Network) -> str:
    """Why this pool: the rule's ground, the sum, and the runner-up with its distance."""
    total = format_money(one.estimate.terms.total, network.currency)
    if not one.alternatives:
        return f"bound by an earlier plan; it keeps its pool ({total} in all)"
    ground = f"{_RULE_TEXT[plan.policy.rule]}, {total} in all"
    others = [
        other.estimate
        for other in one.alternatives
        if other.estimate is not None and other.pool != one.estimate.pool
    ]
    if not others:
        return f"the only pool of {len(one.alternatives)} that can take it, {total} in all"
    return f"{ground}; {_runner_up(one.estimate, others[0], plan.policy, network.currency)}"


def _runner_up(chosen: Estimate, other: Estimate, policy: Policy, currency: str) -> str:
    dearer = other.terms.total - chosen.terms.total
    text = f"runner-up {other.pool}"
    if round(dearer) == 0:
        text += " costs the same"
    else:
        text += (
            f" is {'dearer' if dearer > 0 else 'cheaper'} by {format_money(abs(dearer), currency)}"
        )
        if chosen.terms.total > 0:
            text += f" ({abs(dearer) / chosen.terms.total:.1%})"
    if policy.rule == "lowest-carbon":
        text += f" and emits {other.carbon_g - chosen.carbon_g:+.4g} g"
    if policy.rule == "earliest-start" and other.start_ms != chosen.start_ms:
        text += f" and starts {format_duration(other.start_ms - chosen.start_ms)} later"
    return text


def assumptions(
    answer: Placement | Refusal, job: JobSpec | None, policy: Policy, currency: str
) -> list[str]:
    """What the planner had to assume about the job for want of a statement."""
    found = []
    unknown = answer.duration_assumed if isinstance(answer, Placement) else False
    if unknown or (job is not None and job.duration_ms is None):
        found.append(
            f"a run time of {format_duration(policy.assumed_duration_ms)} "
            "(the job states no westward.duration)"
        )
    if job is not None and job.wait_value_micros_per_hour is None:
        if job.deadline_ms is not None:
            found.append("waiting costs nothing until the deadline (no westward.value_of_wait)")
        elif policy.rule == "westward":
            worth = format_money(policy.wait_value_micros_per_device_hour, currency)
            found.append(f"waiting costs {worth} per device-hour (no westward.value_of_wait)")
    return found


def asks(job: JobSpec, currency: str) -> str:
    """What the job asks for, in one line."""
    shapes = " or ".join(_shape(option) for option in job.options)
    parts = [f"{job.nodes} x ({shapes})" if job.nodes > 1 else shapes]
    if job.duration_ms is not None:
        parts.append(f"for {format_duration(job.duration_ms)}")
    if job.priority:
        parts.append(f"priority {job.priority}")
    if job.start_after_ms is not None:
        parts.append(f"from {format_instant(job.start_after_ms)}")
    if job.deadline_ms is not None:
        parts.append(f"by {format_instant(job.deadline_ms)}")
    parts += [f"{rule.key} in {' or '.join(rule.values)}" for rule in job.residency]
    parts += [f"{rule.mode} <= {rule.limit_ms:g} ms to {rule.place}" for rule in job.latency]
    parts += [f"{data.size_bytes / BYTES_PER_GB:g} GB from {data.site}" for data in job.inputs]
    if job.wait_value_micros_per_hour is not None:
        parts.append(f"waiting {format_money(job.wait_value_micros_per_hour, currency)}/h")
    if job.home_site is not None:
        parts.append(f"home {job.home_site}")
    return ", ".join(parts)


def _shape(option: ResourceOption) -> str:
    parts = []
    if option.any_accelerator:
        parts.append(f"{option.devices_milli / MILLI:g} of any accelerator")
    elif option.accelerator is not None:
        parts.append(f"{option.devices_milli / MILLI:g} {option.accelerator}")
    if option.cpus_milli:
        parts.append(f"{option.cpus_milli / MILLI:g} cpus")
    if option.memory_mib:
        parts.append(f"{option.memory_mib / MIB_PER_GIB:g} GiB")
    if option.site is not None:
        parts.append(f"at {option.site}")
    if option.engine is not None:
        parts.append(f"by engine {option.engine}")
    return " + ".join(parts) if parts else "1 cpu"


def _moved_gb(job: JobSpec | None, site: str) -> float:
    if job is None:
        return 0.0
    return sum(data.size_bytes for data in job.inputs if data.site != site) / BYTES_PER_GB
