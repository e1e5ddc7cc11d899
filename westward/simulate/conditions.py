"""What was rehearsed beside network, workload and rule, in words: a report must not leave it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from westward.model.units import format_duration

Values = dict[str, Any]


def conditions(policies: Sequence[Values]) -> list[str]:
    """One sentence each, from the policies' summaries (``metrics.policy_summary``)."""
    scenario = policies[0].get("scenario") or {}
    lines = [_outage(one) for one in scenario.get("outages", ())]
    forecast = scenario.get("forecast")
    if forecast:
        lines.append(
            f"The planner saw hours ahead with errors of up to {forecast['tariff_sigma']:.0%} "
            f"(tariff) and {forecast['carbon_sigma']:.0%} (carbon); charged was the truth."
        )
    if scenario.get("shared_links"):
        lines.append("Transfers over one link queued behind each other.")
    if policies[0].get("vouchers"):
        lines.append(
            "Funders paid part by the network's voucher rules, for made-up organisations. Only "
            "westward placed jobs by what is left for their owners to pay."
        )
    if scenario.get("delegated_pools"):
        lines.append("Pools that are not managed kept their own order; waits there were learnt.")
    if scenario.get("strict_kinds"):
        lines.append("Jobs ran only on accelerator kinds they named.")
    lines += _settings(policies)
    return lines


def intervals(policies: Sequence[Values]) -> list[str]:
    """How often starts lay in the interval told, for each policy that told any."""
    lines = []
    for one in policies:
        told = one["start_prediction"]
        if told.get("interval_jobs"):
            lines.append(
                f"{one['label']}: {told['interval_jobs']:,} jobs had to wait for capacity and were "
                f"told when between; {told['interval_share_inside']:.1%} of them started then "
                f"(stated: {told['interval_share_stated']:.0%})."
            )
    return lines


def _outage(outage: Values) -> str:
    begin, end = format_duration(outage["from_ms"]), format_duration(outage["until_ms"])
    what = "was drained" if outage["kind"] == "drain" else "was lost"
    return f"Site {outage['site']} {what} from {begin} to {end} after the workload's zero."


def _settings(policies: Sequence[Values]) -> list[str]:
    """What the policies may do beyond choosing. Reviews and prices belong to rule westward alone."""
    lines = []
    chosen = policies[0]["policy"]
    if any(one["policy"]["rule"] == "westward" for one in policies):
        if chosen["review_ms"] > 0:
            lines.append(
                "Under westward, waiting jobs looked at other pools again when a run had ended, at "
                f"most every {format_duration(chosen['review_ms'])}."
            )
        if chosen["price_period_ms"] > 0:
            lines.append(
                "Under westward, capacity was priced anew every "
                f"{format_duration(chosen['price_period_ms'])}."
            )
    if chosen["packing"] != "pool":
        lines.append(f"Jobs were packed on nodes by {chosen['packing']}.")
    if chosen["preemption"]:
        lines.append("The first of a queue could stop runs of lower priority.")
    if chosen["reconsider_ms"] > 0:
        every = format_duration(chosen["reconsider_ms"])
        lines.append(f"Runs that save checkpoints were reconsidered every {every}.")
    if chosen["fair_share"]:
        lines.append("Jobs of one priority waited by their tenants' shares.")
    return lines
