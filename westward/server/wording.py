"""Decisions in one sentence, for stories and tables. The full tables are in the saved decision."""

from __future__ import annotations

from westward.model.plan import Placement, Refusal, Why
from westward.model.units import format_duration, format_money


def why_there(placement: Placement, currency: str) -> str:
    """Why this pool and this hour, against the runner-up."""
    chosen = placement.estimate
    text = f"{format_money(chosen.terms.total, currency)} in all"
    rivals = [
        other.estimate
        for other in placement.alternatives
        if other.estimate is not None and other.pool != chosen.pool
    ]
    refused = sum(1 for other in placement.alternatives if other.estimate is None)
    if rivals:
        best = min(rivals, key=lambda one: one.terms.total)
        more = best.terms.total - chosen.terms.total
        text += f", {format_money(more, currency)} below {best.site}"
    elif refused:
        text += ", the only place that fits"
    if placement.why is Why.WAITS_FOR_BETTER_HOUR:
        wait = format_duration(chosen.start_ms - chosen.earliest_ms)
        saved = format_money(placement.saved_by_waiting, currency)
        text += f"; waits {wait} for a cheaper hour, which saves {saved}"
    elif placement.why is Why.WAITS_IN_SITE_QUEUE:
        wait = format_duration(chosen.start_ms - placement.not_before_ms)
        text += f"; handed over at once, and expected to wait {wait} in the site's own queue"
    elif placement.why is not Why.STARTS_NOW:
        text += f"; {placement.why.value.replace('-', ' ')}"
    return text


def refusal_text(refusal: Refusal) -> str:
    """Each pool's first reason, and what would help."""
    by_reason: dict[str, list[str]] = {}
    for other in refusal.alternatives:
        reason = str(other.reasons[0]) if other.reasons else "no reason given"
        by_reason.setdefault(reason, []).append(other.pool)
    parts = [f"{', '.join(sorted(pools))}: {reason}" for reason, pools in by_reason.items()]
    text = "; ".join(parts) or "the network has no pool"
    if refusal.relaxation is not None:
        text += f". It would fit with: {refusal.relaxation.change}"
    return text
