"""A Plan as plain text, what ``westward plan --explain`` prints and golden files hold.

Pure: no clock, no colours, no terminal width. Every number of the sum is shown, so that a reader
can add it up again; times are shown absolute (UTC) and counted from the plan's now.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from westward.cli.plain_table import enough_digits, fixed, plain_table
from westward.cli.sentences import asks, assumptions, why_then, why_there
from westward.model.job import JobSpec
from westward.model.network import Network
from westward.model.plan import Alternative, Estimate, Placement, Plan, Policy, Refusal
from westward.model.reasons import Reason
from westward.model.units import MICROS, format_duration, format_instant, format_mass, format_money

_SUM = ("device", "power", "carbon", "transfer", "waiting")
_MORE = {"shadow": "capacity", "vouchers": "vouchers"}
"""Terms told only where one is not 0."""
"""A further term, shown where a price of capacity is posted."""


def render_plan(plan: Plan, network: Network, jobs: Sequence[JobSpec]) -> str:
    """The whole plan with reasons, jobs in the order of their ids; ends with a newline.

    ``jobs`` are the jobs asked about (for their names and terms); jobs bound by an earlier plan
    may be missing there.
    """
    specs = {job.job_id: job for job in jobs}
    lines = _header(plan, network)
    answers: list[Placement | Refusal] = [*plan.placements, *plan.refusals]
    for answer in sorted(answers, key=lambda one: one.job_id):
        lines += ["", *_answer(answer, plan, network, specs.get(answer.job_id))]
    return "\n".join(lines) + "\n"


def render_answer(
    answer: Placement | Refusal, plan: Plan, network: Network, job: JobSpec | None
) -> str:
    """One job's part of ``render_plan``."""
    return "\n".join(_answer(answer, plan, network, job)) + "\n"


def render_brief(plan: Plan, network: Network, jobs: Sequence[JobSpec]) -> str:
    """One line a job: where, when, what it costs, and why then or why not."""
    specs = {job.job_id: job for job in jobs}
    totals = [one.estimate.terms.total / MICROS for one in plan.placements]
    digits = enough_digits(totals)
    rows: list[tuple[str, tuple[str, ...]]] = []
    for one in plan.placements:
        estimate = one.estimate
        spec = specs.get(one.job_id)
        cells = (
            spec.name if spec else one.job_id,
            estimate.pool,
            _from_now(estimate.start_ms, plan.now_ms),
            format_duration(estimate.duration_ms),
            fixed(estimate.terms.total / MICROS, digits),
            f"{estimate.energy_kwh:.4g}",
            f"{estimate.carbon_g:.4g}",
            why_then(one, plan, network, spec),
        )
        rows.append((one.job_id, cells))
    for refusal in plan.refusals:
        spec = specs.get(refusal.job_id)
        what = (
            f"{_pools(len(refusal.alternatives))} refused; it would fit with: "
            f"{refusal.relaxation.change}"
            if refusal.relaxation
            else f"{_pools(len(refusal.alternatives))} refused; {_no_relaxation(refusal)}"
        )
        name = spec.name if spec else refusal.job_id
        rows.append((refusal.job_id, (name, "none", "-", "-", "-", "-", "-", what)))
    rows.sort(key=lambda row: row[0])
    head = ("JOB", "POOL", "START", "RUNS", f"SUM {network.currency}", "KWH", "G CO2", "WHY")
    table = plain_table(head, [cells for _, cells in rows], right=(2, 3, 4, 5, 6))
    return "\n".join([*_header(plan, network), "", *table]) + "\n"


def _header(plan: Plan, network: Network) -> list[str]:
    policy = plan.policy
    starting = sum(1 for one in plan.placements if one.starts_now)
    placed = len(plan.placements)
    return [
        f"network   {network.name}: {network.label}",
        f"policy    {_policy(policy, network.currency)}",
        f"now       {format_instant(plan.now_ms)} (snapshot {plan.snapshot_version})",
        f"answer    {placed} placed ({starting} of them start now), {len(plan.refusals)} refused; "
        f"sums in {network.currency}",
    ]


def _policy(policy: Policy, currency: str) -> str:
    per_hour = format_money(policy.wait_value_micros_per_device_hour, currency)
    per_tonne = format_money(policy.carbon_price_micros_per_tonne, currency)
    return (
        f"{policy.rule}, {policy.discipline}; waiting {per_hour} per device-hour; "
        f"carbon {per_tonne} per tonne ({policy.carbon_method}-based); "
        f"put off for at most {format_duration(policy.defer_limit_ms)}"
    )


def _answer(
    answer: Placement | Refusal, plan: Plan, network: Network, job: JobSpec | None
) -> list[str]:
    title = f"JOB {answer.job_id}"
    if job is not None and job.name != answer.job_id:
        title += f"  {job.name}"
    lines = [title]
    if job is not None:
        lines.append(f"  asks      {asks(job, network.currency)}")
    lines += [
        f"  assumed   {text}" for text in assumptions(answer, job, plan.policy, network.currency)
    ]
    lines += [f"  note      {text}" for text in (*_unknown_kinds(job, network), *_kept_only(job))]
    if isinstance(answer, Placement):
        return lines + _placed(answer, plan, network, job)
    return lines + _refused(answer, plan, network)


def _unknown_kinds(job: JobSpec | None, network: Network) -> list[str]:
    """Kinds the network does not have at all: most often the name is only written otherwise."""
    if job is None:
        return []
    here = {kind.name for kind in network.accelerators}
    folded = {name.casefold(): name for name in here}
    asked = dict.fromkeys(one.accelerator for one in job.options if one.accelerator is not None)
    found = []
    for name in asked:
        if name in here:
            continue
        near = get_close_matches(name.casefold(), sorted(folded), n=2, cutoff=0.5)
        hint = " or ".join(folded[one] for one in near) or ", ".join(sorted(here))
        found.append(f"no accelerator of this network is called {name}; is {hint} meant?")
    return found


def _kept_only(job: JobSpec | None) -> list[str]:
    """What a dry run leaves out, and terms that nothing acts on yet: said, not passed over."""
    found = []
    if job is not None and job.array is not None:
        found.append(f"one of {job.array.count} alike jobs; the others come beside it")
    if job is not None and job.after:
        names = ", ".join(one.name or one.job_id for one in job.after)
        found.append(f"planned as if what it follows were over now: {names}")
    if job is not None and job.account is not None:
        found.append(f"westward.account {job.account} is kept; nobody is charged yet")
    return found


def _placed(one: Placement, plan: Plan, network: Network, job: JobSpec | None) -> list[str]:
    estimate = one.estimate
    carbon = plan.policy.carbon_method
    lines = [
        f"  placed    at {estimate.site} (pool {estimate.pool}), "
        f"starts {_when(estimate.start_ms, plan.now_ms)}, runs {format_duration(estimate.duration_ms)}",
        f"  why then  {why_then(one, plan, network, job)}",
        f"  why there {why_there(one, plan, network)}",
        f"  takes     {estimate.energy_kwh:.4g} kWh, {format_mass(estimate.carbon_g)} CO2 ({carbon}-based), "
        f"{estimate.need_milli / 1000:g} of {network.pool(estimate.pool).capacity_milli / 1000:g} devices",
    ]
    if not one.alternatives:
        return [*lines, *_sum_table([(">", estimate)], plan.now_ms)]
    # The chosen row shows the plan's own estimate: dispatching may have moved its start.
    rows = [(">", estimate)]
    rows += [
        (" ", other.estimate)
        for other in one.alternatives
        if other.estimate is not None and other.pool != estimate.pool
    ]
    return [*lines, *_sum_table(rows, plan.now_ms), *_reasons(one.alternatives)]


def _refused(refusal: Refusal, plan: Plan, network: Network) -> list[str]:
    if not network.pools:
        return ["  NOT PLACED  the network has no pools: none of its sites has joined yet"]
    lines = [f"  NOT PLACED  {_pools(len(refusal.alternatives))}, none can take it"]
    lines += _reasons(refusal.alternatives)
    relaxation = refusal.relaxation
    if relaxation is None:
        lines.append(f"  would help  {_no_relaxation(refusal)}")
        return lines
    there = relaxation.estimate
    lines.append(
        f"  would help  {relaxation.change}: then at {there.site} (pool {there.pool}), starts "
        f"{_when(there.start_ms, plan.now_ms)}, {format_money(there.terms.total, network.currency)} in all"
    )
    return lines


def _no_relaxation(refusal: Refusal) -> str:
    if refusal.relaxation_sought:
        return "no single change to the request would place it"
    return "not tried, too many jobs of this plan were refused; plan this one alone to know"


def _sum_table(rows: Sequence[tuple[str, Estimate]], now_ms: int) -> list[str]:
    """The candidates with each term of the sum; ``>`` marks the chosen one."""
    more = [name for name in _MORE if any(getattr(one.terms, name) for _, one in rows)]
    terms = {id(one): _terms(one, more) for _, one in rows}
    digits = enough_digits([value for values in terms.values() for value in values])
    energy = enough_digits([one.energy_kwh for _, one in rows], keep=3, least=0)
    carbon = enough_digits([one.carbon_g for _, one in rows], keep=3, least=0)
    cells = []
    for mark, one in rows:
        values = terms[id(one)]
        cells.append(
            (
                mark,
                one.pool,
                _from_now(one.start_ms, now_ms),
                format_duration(one.start_ms - one.earliest_ms),
                format_duration(one.duration_ms),
                *(fixed(value, digits) for value in values),
                fixed(sum(values), digits),
                fixed(one.energy_kwh, energy),
                fixed(one.carbon_g, carbon),
            )
        )
    names = (*_SUM, *(_MORE[name] for name in more))
    head = ("", "pool", "start", "put off", "runs", *names, "SUM", "kWh", "g CO2")
    return plain_table(head, cells, right=tuple(range(2, len(head))), indent="    ")


def _terms(one: Estimate, more: Sequence[str]) -> tuple[float, ...]:
    """The terms of the sum in currency units, in the order of ``_SUM``, then those of ``more``."""
    terms = one.terms
    values = (terms.device, terms.power, terms.carbon, terms.transfer, terms.wait)
    return tuple(value / MICROS for value in (*values, *(getattr(terms, name) for name in more)))


def _reasons(alternatives: Sequence[Alternative]) -> list[str]:
    """Refusing pools with coded reasons; pools with the very same reasons share a line."""
    groups: dict[tuple[Reason, ...], list[str]] = {}
    for other in alternatives:
        if other.estimate is None:
            groups.setdefault(other.reasons, []).append(other.pool)
    lines = []
    for reasons, pools in groups.items():
        lines.append(f"    refused  {', '.join(pools)}")
        lines += [f"             {reason}" for reason in reasons]
    return lines


def _pools(count: int) -> str:
    return "1 pool" if count == 1 else f"{count} pools"


def _when(at_ms: int, now_ms: int) -> str:
    if at_ms == now_ms:
        return "now"
    return f"{format_instant(at_ms)} (in {format_duration(at_ms - now_ms)})"


def _from_now(at_ms: int, now_ms: int) -> str:
    return "now" if at_ms == now_ms else f"+{format_duration(at_ms - now_ms)}"
