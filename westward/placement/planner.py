"""``plan(snapshot, jobs, policy, now) → Plan``: the one decision, explained.

1 columns of the network and of all jobs · 2 running claims and bound jobs into the state ·
3 dispatch every pool for those bound before · 4 bind each new job in order and dispatch its pool, so
that the next sees what is taken · 5 say what was decided and why.
Steps 3 and 4 are ``kernels.choose/bind`` and ``dispatch.dispatch``, the simulator's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from westward.model.job import JobSpec
from westward.model.plan import (
    Alternative,
    Placement,
    Plan,
    Policy,
    QueuedJob,
    Refusal,
    Snapshot,
    Why,
)
from westward.placement import kernels
from westward.placement.claims import add_claim
from westward.placement.columns import (
    NetworkColumns,
    cost_table,
    job_columns,
    network_columns,
    new_state,
    no_traffic,
    rule_columns,
)
from westward.placement.dispatch import dispatch
from westward.placement.explain import Explainer
from westward.placement.filters import static_reasons
from westward.placement.profile import NEVER_MS
from westward.placement.relax import cheapest_relaxation
from westward.placement.slots import jobs_of
from westward.placement.state import (
    OK,
    Best,
    Classes,
    Costs,
    Inputs,
    Jobs,
    Rules,
    State,
    Traffic,
)
from westward.placement.waiting import enqueue, ensure_profile, expected_release, unlink

RELAXATIONS_MAX = 8
"""Refused jobs of one plan for which changes are tried: each try plans the pass again."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything one planning pass works on, in kernel form."""

    columns: NetworkColumns
    rules: Rules
    costs: Costs
    classes: Classes
    jobs: Jobs
    inputs: Inputs
    traffic: Traffic
    state: State

    def choose(self, row: int, now_ms: int) -> Best:
        c = self.columns
        return kernels.choose(
            row, now_ms, c.pools, c.zones, self.costs, c.links, self.classes,
            self.jobs, self.inputs, self.traffic, self.rules, self.state,
        )  # fmt: skip

    def dispatch(self, pool: int, now_ms: int, started: int) -> int:
        return int(
            dispatch(
                pool, now_ms, started, -1, self.columns.pools, self.classes, self.jobs,
                self.rules, self.state, None,
            )
        )  # fmt: skip

    def bind(self, row: int, best: Best, now_ms: int) -> bool:
        return bool(kernels.bind(row, best, now_ms, self.jobs, self.rules, self.state))

    def option(self, row: int, pool: int) -> int:
        """Which of the job's options the pool would take."""
        return int(self.classes.option[self.jobs.klass[row], pool])

    def estimate(self, row: int, pool: int, now_ms: int) -> Best:
        c = self.columns
        return kernels.estimate(
            row, pool, now_ms, math.inf, c.pools, c.zones, self.costs, c.links, self.classes,
            self.jobs, self.inputs, self.traffic, self.rules, self.state,
        )  # fmt: skip


def row_order(job: JobSpec) -> tuple[int, int, str]:
    """Who goes first: priority, then submit time, then id."""
    return (-job.priority, job.submit_ms, job.job_id)


def plan(
    snapshot: Snapshot,
    jobs: Sequence[JobSpec],
    policy: Policy,
    now_ms: int,
    *,
    explain: bool = True,
    review: bool = False,
) -> Plan:
    """Decide for ``jobs`` (new) and for the snapshot's bound jobs. Pure: same arguments, same Plan.

    ``explain=False`` leaves out alternatives and relaxations (they cost a pass over all pools).
    ``review``: the first of every queue look at all pools again (``Policy.review_depth``); one
    that finds better is bound there, and its placement names another pool than the snapshot.
    Raises ValueError for a job id given twice, a snapshot that names an unknown pool, or a
    policy that packs nodes (claims do not say on which nodes they stand).
    """
    return _plan(snapshot, jobs, policy, now_ms, explain=explain, only=None, review=review)


def rehearse(
    snapshot: Snapshot, jobs: Sequence[JobSpec], policy: Policy, now_ms: int, job_id: str
) -> Plan:
    """The same decisions, with the alternatives of one job only and no relaxations."""
    return _plan(snapshot, jobs, policy, now_ms, explain=False, only=job_id)


def _plan(
    snapshot: Snapshot,
    jobs: Sequence[JobSpec],
    policy: Policy,
    now_ms: int,
    *,
    explain: bool,
    only: str | None,
    review: bool = False,
) -> Plan:
    if policy.packing != "pool":
        raise ValueError(
            f"plan() counts pools, not nodes: it is not told on which nodes claims stand. "
            f"Packing {policy.packing!r} is for rehearsals"
        )
    queued: dict[str, tuple[int, QueuedJob]] = {}
    columns = network_columns(snapshot.network, policy.carbon_method)
    pool_rows = {name: row for row, name in enumerate(columns.pool_names)}
    for pool_state in snapshot.pools:
        if pool_state.pool not in pool_rows:
            raise ValueError(f"the snapshot names pool {pool_state.pool!r}, the network has none")
        for entry in pool_state.queue:
            queued[entry.job.job_id] = (pool_rows[pool_state.pool], entry)
    new_ids = {job.job_id for job in jobs}
    everyone = sorted([*jobs, *(entry.job for _, entry in queued.values())], key=row_order)
    if len({job.job_id for job in everyone}) != len(everyone):
        raise ValueError("a job id occurs twice among the new and the bound jobs")

    tables = _tables(snapshot, columns, everyone, policy, now_ms)
    state = tables.state
    for row, job in enumerate(everyone):
        if job.job_id not in new_ids:
            _restore(row, *queued[job.job_id], now_ms, tables)

    started = 0
    for p in range(len(columns.pool_names)):
        started = tables.dispatch(p, now_ms, started)

    explainer = Explainer(snapshot.network, columns, policy, snapshot.series_origin_ms)
    chosen: dict[int, Best] = {}
    alternatives: dict[int, tuple[Alternative, ...]] = {}
    refusals: list[Refusal] = []
    if review:
        started, chosen = _review(tables, policy, now_ms, started)
    ahead: list[JobSpec] = []
    for row, job in enumerate(everyone):
        if job.job_id not in new_ids:
            continue
        best = tables.choose(row, now_ms)
        seen: tuple[Alternative, ...] = ()
        told = explain or job.job_id == only
        if told or best.refusal != OK:
            count = len(columns.pool_names)
            candidates = [tables.estimate(row, p, now_ms) for p in range(count)]
            seen = explainer.alternatives(
                job, candidates, now_ms, tables.rules, tables.jobs, state,
                job_row=row, options=[tables.option(row, p) for p in range(count)],
                chosen=int(best.pool) if best.refusal == OK else -1,
            )  # fmt: skip
        if best.refusal == OK:
            ahead.append(job)
            chosen[row] = best
            alternatives[row] = seen if told else ()
            if tables.bind(row, best, now_ms):
                started = tables.dispatch(int(best.pool), now_ms, started)
        else:
            seeks = explain and len(refusals) < RELAXATIONS_MAX
            relaxation = (
                cheapest_relaxation(snapshot, ahead, job, policy, now_ms, seen, rehearse)
                if seeks
                else None
            )
            refusals.append(
                Refusal(
                    job_id=job.job_id,
                    alternatives=seen,
                    relaxation=relaxation,
                    relaxation_sought=seeks,
                )
            )

    starts = {int(row) for row in state.started[:started]}
    bound_option = {
        everyone[row].job_id: entry.option
        for row, entry in (
            (row, queued[job.job_id][1])
            for row, job in enumerate(everyone)
            if job.job_id in queued and row not in chosen
        )
    }
    placements = [
        _placement(row, job, bound_option.get(job.job_id), chosen.get(row), alternatives.get(row, ()), starts, now_ms, tables, explainer)
        for row, job in enumerate(everyone)
        if state.job_pool[row] >= 0
    ]  # fmt: skip
    return Plan(
        snapshot_version=snapshot.version,
        now_ms=now_ms,
        policy=policy,
        placements=tuple(sorted(placements, key=lambda one: one.job_id)),
        refusals=tuple(sorted(refusals, key=lambda one: one.job_id)),
    )


def _tables(
    snapshot: Snapshot,
    columns: NetworkColumns,
    everyone: Sequence[JobSpec],
    policy: Policy,
    now_ms: int,
) -> Tables:
    network = snapshot.network
    sites = {site.name: site for site in network.sites}
    allowed = []
    for job in everyone:
        by_site = {name: not static_reasons(job, site, network) for name, site in sites.items()}
        allowed.append([by_site[pool.site] for pool in network.pools])
    slots, classes, inputs = job_columns(everyone, allowed, columns)
    claims = max((len(one.running) for one in snapshot.pools), default=0)
    conservative = policy.discipline == "conservative"
    state = new_state(
        columns.pools, slots, policy.backfill_depth, conservative=conservative, extra=claims
    )
    open_pools = columns.pools.open.copy()
    for pool_state in snapshot.pools:
        row = columns.pool_names.index(pool_state.pool)
        if pool_state.status != "open":
            open_pools[row] = 0
        for number, claim in enumerate(pool_state.running):
            add_claim(-1 - number, row, claim.need_milli, claim.end_ms(now_ms), state)
    rules = rule_columns(policy, columns, snapshot.series_origin_ms)
    return Tables(
        columns=replace(columns, pools=columns.pools._replace(open=open_pools)),
        rules=rules,
        costs=cost_table(columns, rules, now_ms, until_ms=_horizon(everyone, policy, now_ms)),
        classes=classes,
        jobs=jobs_of(slots),
        inputs=inputs,
        traffic=no_traffic(len(network.sites)),
        state=state,
    )


def _horizon(everyone: Sequence[JobSpec], policy: Policy, now_ms: int) -> int:
    """Until when the cost table is worth its building: later starts are priced from the series."""
    longest = max((job.duration_ms or policy.assumed_duration_ms for job in everyone), default=0)
    return now_ms + policy.defer_limit_ms + 2 * longest


def _review(
    tables: Tables, policy: Policy, now_ms: int, started: int
) -> tuple[int, dict[int, Best]]:
    """Waiting jobs look at all pools again, queue by queue; (starts so far, who moved where)."""
    state, pools = tables.state, tables.columns.pools
    moved: dict[int, Best] = {}
    waiting: list[tuple[int, int]] = []
    for p in range(len(tables.columns.pool_names)):
        row = int(state.head[p])
        for _ in range(policy.review_depth):
            if row < 0:
                break
            if kernels.may_review(row, p, tables.jobs, tables.inputs, pools):
                waiting.append((row, p))
            row = int(state.next[row])
    for row, p in waiting:
        if row in {int(one) for one in state.started[:started]}:
            continue
        unlink(row, p, state)
        state.profile_count[p] = 0
        state.hint[0] = p
        best = tables.choose(row, now_ms)
        if best.refusal != OK or best.pool == p:
            enqueue(row, p, tables.jobs, state)
            continue
        moved[row] = best
        joined = tables.bind(row, best, now_ms)
        started = tables.dispatch(p, now_ms, started)
        if joined:
            started = tables.dispatch(int(best.pool), now_ms, started)
    return started, moved


def _restore(row: int, pool: int, entry: QueuedJob, now_ms: int, tables: Tables) -> None:
    """A job bound by an earlier plan keeps its pool, option, need and not-before."""
    state = tables.state
    state.job_pool[row] = pool
    state.job_need[row] = entry.need_milli
    state.job_duration_ms[row] = entry.duration_ms
    state.job_not_before_ms[row] = entry.not_before_ms
    if tables.rules.conservative == 1 or entry.not_before_ms <= now_ms:
        enqueue(row, pool, tables.jobs, state)


def _placement(
    row: int,
    job: JobSpec,
    option: int | None,
    best: Best | None,
    alternatives: tuple[Alternative, ...],
    starts: set[int],
    now_ms: int,
    tables: Tables,
    explainer: Explainer,
) -> Placement:
    state = tables.state
    pool = int(state.job_pool[row])
    starts_now = row in starts
    not_before = int(state.job_not_before_ms[row])
    if starts_now:
        start_ms = now_ms
    elif best is not None:
        start_ms = best.start_ms
    else:
        start_ms = _expected_start(row, pool, now_ms, tables)
    estimate = explainer.estimate_at(
        job,
        pool,
        option=tables.option(row, pool) if option is None else option,
        need_milli=int(state.job_need[row]),
        duration_ms=int(state.job_duration_ms[row]),
        earliest_ms=min(start_ms, best.earliest_ms) if best is not None else start_ms,
        start_ms=int(start_ms),
        transfer=best.transfer if best is not None else tables_transfer(row, pool, tables),
    )
    saved = 0.0
    why = _why(job, best, starts_now, not_before, now_ms)
    if why is Why.WAITS_FOR_BETTER_HOUR and best is not None:
        at_once = explainer.estimate_at(
            job,
            pool,
            option=estimate.option,
            need_milli=estimate.need_milli,
            duration_ms=estimate.duration_ms,
            earliest_ms=best.earliest_ms,
            start_ms=best.earliest_ms,
            transfer=best.transfer,
        )
        saved = at_once.terms.total - estimate.terms.total
    return Placement(
        job_id=job.job_id,
        estimate=estimate,
        not_before_ms=not_before,
        starts_now=starts_now,
        why=why,
        saved_by_waiting=saved,
        duration_assumed=job.duration_ms is None,
        alternatives=alternatives,
    )


def tables_transfer(row: int, pool: int, tables: Tables) -> float:
    """Price of moving a job's inputs to a pool, millionths."""
    total = 0.0
    site = tables.columns.pools.site[pool]
    for i in range(int(tables.jobs.input_from[row]), int(tables.jobs.input_to[row])):
        source = tables.inputs.site[i]
        total += float(tables.columns.links.price_per_gb[source, site] * tables.inputs.gb[i])
    return total


def _why(job: JobSpec, best: Best | None, starts_now: bool, not_before_ms: int, now_ms: int) -> Why:
    if starts_now:
        return Why.STARTS_NOW
    if best is not None and best.start_ms > best.earliest_ms:
        return Why.WAITS_FOR_BETTER_HOUR
    if not_before_ms > now_ms:
        if job.start_after_ms == not_before_ms:
            return Why.WAITS_FOR_START_AFTER
        if best is not None:
            return Why.WAITS_FOR_DATA
        return Why.WAITS_FOR_BETTER_HOUR
    return Why.WAITS_FOR_CAPACITY


def _expected_start(row: int, pool: int, now_ms: int, tables: Tables) -> int:
    """When a bound job is now expected to start: its reservation, or (EASY) the release of what
    it and everybody ahead of it need."""
    state, rules = tables.state, tables.rules
    not_before = int(state.job_not_before_ms[row])
    if rules.conservative == 1:
        ensure_profile(pool, now_ms, tables.jobs, rules, state)
        reserved = int(state.job_reserved_ms[row])
        if reserved < NEVER_MS:
            return max(reserved, now_ms)
    ahead, ahead_work = 0, 0
    other = int(state.head[pool])
    while other >= 0 and other < row:
        ahead += int(state.job_need[other])
        ahead_work += int(state.job_need[other] * state.job_duration_ms[other])
        other = int(state.next[other])
    need = int(state.job_need[row])
    expected = expected_release(
        pool, ahead, ahead_work, need, now_ms, NEVER_MS, tables.columns.pools, state
    )
    return max(int(expected), not_before)
