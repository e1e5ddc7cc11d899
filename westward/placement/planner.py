"""``plan(snapshot, jobs, policy, now) → Plan``: the one decision, explained.

1 columns of the network and of all jobs · 2 running claims and bound jobs into the state ·
3 dispatch every pool for those bound before · 4 bind each new job in order and dispatch its pool, so
that the next sees what is taken · 5 say what was decided and why.
Steps 2 to 5 are ``rows``' kernels, which call ``kernels.choose/bind`` and ``dispatch.dispatch``, the
simulator's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from westward.model.job import JobSpec
from westward.model.network import Network
from westward.model.plan import Alternative, Plan, Policy, QueuedJob, Refusal, Snapshot
from westward.placement import kernels
from westward.placement import rows as kernel_rows
from westward.placement.columns import (
    NetworkColumns,
    job_columns,
    live_traffic,
    rule_columns,
)
from westward.placement.covers import cover_rows
from westward.placement.dispatch import dispatch
from westward.placement.explain import Explainer
from westward.placement.fair_order import fair_tags
from westward.placement.fresh_state import new_state
from westward.placement.placed import PlacementColumns, found_at
from westward.placement.posted import Posted
from westward.placement.prepared import Prepared, prepared
from westward.placement.relax import cheapest_relaxation
from westward.placement.rows import Answers, new_answers
from westward.placement.site_waits import by_size, waits_of
from westward.placement.slots import jobs_of
from westward.placement.state import (
    I64,
    OK,
    Best,
    Classes,
    Costs,
    Inputs,
    Jobs,
    Pools,
    Rules,
    State,
    Traffic,
)
from westward.placement.waiting import enqueue, unlink

RELAXATIONS_MAX = 8
"""Refused jobs of one plan for which changes are tried: each try plans the pass again."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything one planning pass works on, in kernel form."""

    columns: NetworkColumns
    pools: Pools
    """The network's, those the snapshot closes closed."""
    rules: Rules
    costs: Costs
    posted: Posted | None
    classes: Classes
    jobs: Jobs
    inputs: Inputs
    traffic: Traffic
    state: State
    answers: Answers

    def with_costs(self, costs: Costs, posted: Posted | None) -> Tables:
        """The same tables at other prices."""
        return replace(self, costs=costs, posted=posted)

    def explainer(self, network: Network) -> Explainer:
        return Explainer(
            network, self.columns, self.rules, self.posted, self.jobs, self.pools.cover
        )

    def plan_rows(
        self, rows: I64, first: int, started: int, now_ms: int, *, tells: bool = False
    ) -> tuple[int, int]:
        """See ``rows.plan_rows``."""
        c = self.columns
        entry, count = kernel_rows.plan_rows(
            rows, first, started, now_ms, tells, self.pools, c.zones, self.costs, c.links, self.classes,
            self.jobs, self.inputs, self.traffic, self.rules, self.state, self.answers,
        )  # fmt: skip
        return int(entry), int(count)

    def tell_rows(self, from_row: int, to_row: int, started: int, now_ms: int) -> None:
        """See ``rows.tell_rows``."""
        c = self.columns
        kernel_rows.tell_rows(
            from_row, to_row, started, now_ms, self.pools, c.zones, c.links, self.jobs,
            self.inputs, self.rules, self.state, self.answers,
        )  # fmt: skip

    def choose(self, row: int, now_ms: int) -> Best:
        c = self.columns
        return kernels.choose(
            row, now_ms, self.pools, c.zones, self.costs, c.links, self.classes, self.jobs,
            self.inputs, self.traffic, self.rules, self.state,
        )  # fmt: skip

    def dispatch(self, pool: int, now_ms: int, started: int) -> int:
        count = dispatch(
            pool, now_ms, started, -1, self.pools, self.classes, self.jobs, self.rules,
            self.state, None,
        )  # fmt: skip
        return int(count)

    def options(self, row: int) -> list[int]:
        """By pool: which of the job's options it would take."""
        found: list[int] = self.classes.option[self.jobs.klass[row]].tolist()
        return found

    def where_others_wait(self) -> list[int]:
        """Pools with a queue: nobody who waits elsewhere moves there."""
        found: list[int] = np.flatnonzero(self.state.head >= 0).tolist()
        return found

    def look(self, row: int, now_ms: int) -> Answers:
        """Job ``row`` at every pool. See ``rows.look``."""
        c = self.columns
        count = len(c.pool_names)
        seen = new_answers(count, count)
        kernel_rows.look(
            row, now_ms, self.pools, c.zones, self.costs, c.links, self.classes, self.jobs,
            self.inputs, self.traffic, self.rules, self.state, seen,
        )  # fmt: skip
        return seen


def row_order(job: JobSpec) -> tuple[int, int, str]:
    """Who goes first: priority, then submit time, then id."""
    return (-job.priority, job.submit_ms, job.job_id)


def ranks(
    jobs: Sequence[JobSpec], tags_of: Callable[[Sequence[JobSpec]], list[float]] | None = None
) -> tuple[I64, I64]:
    """Which job takes each row of ``row_order``, and which comes where by id. ``tags_of``: of jobs in
    that order, what goes before the time of submission among jobs of one priority."""
    ids = [job.job_id for job in jobs]
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    submit_ms = np.array([job.submit_ms for job in jobs], dtype=np.int64)[by_id]
    priority = np.array([job.priority for job in jobs], dtype=np.int64)[by_id]
    order = by_id[np.lexsort((submit_ms, -priority))]
    if tags_of is not None:
        # Lexsort is stable: the order above is kept among equals.
        tags = np.array(tags_of([jobs[one] for one in order.tolist()]))
        order = order[np.lexsort((tags, [-jobs[one].priority for one in order.tolist()]))]
    return order, by_id


def plan(
    snapshot: Snapshot,
    jobs: Sequence[JobSpec],
    policy: Policy,
    now_ms: int,
    *,
    explain: bool = True,
    explain_most: int | None = None,
    review: bool = False,
) -> Plan:
    """Decide for ``jobs`` (new) and for the snapshot's bound jobs. Pure: same arguments, same Plan.

    ``explain=False`` leaves out alternatives and relaxations (they cost a pass over all pools).
    ``explain_most``: so many alternatives are told, those of the first jobs; placed jobs after
    them have none, refused ones always have theirs. The decisions are the same.
    ``review``: the first of every queue look at all pools again (``Policy.review_depth``), but for
    those that keep their pool; one that finds better is bound there: its placement names another
    pool than the snapshot, and has alternatives (``Plan.chosen`` lists it).
    Raises ValueError for a job id given twice, a snapshot that names an unknown pool, shadow
    prices off the grid of the network's series, or a policy that packs nodes (claims do not say
    on which nodes they stand).
    """
    return _plan(
        snapshot, jobs, policy, now_ms, explain=explain, only=None, review=review, most=explain_most
    )


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
    most: int | None = None,
) -> Plan:
    if policy.packing != "pool":
        raise ValueError(
            f"plan() counts pools, not nodes: it is not told on which nodes claims stand. "
            f"Packing {policy.packing!r} is for rehearsals"
        )
    network = prepared(snapshot.network, policy.carbon_method)
    pools: list[int] = []
    entries: list[QueuedJob] = []
    for pool_state in snapshot.pools:
        pool = network.pool_rows.get(pool_state.pool)
        if pool is None:
            raise ValueError(f"the snapshot names pool {pool_state.pool!r}, the network has none")
        entries += pool_state.queue
        pools += [pool] * len(pool_state.queue)
    specs = [*jobs, *(entry.job for entry in entries)]
    if len({spec.job_id for spec in specs}) != len(specs):
        raise ValueError("a job id occurs twice among the new and the bound jobs")
    order, by_id = ranks(specs, _fair_tags(snapshot, entries, policy))
    everyone = [specs[one] for one in order.tolist()]
    bound_rows = np.flatnonzero(order >= len(jobs))
    bound = [entries[one] for one in (order[bound_rows] - len(jobs)).tolist()]
    bound_pools = np.array(pools, dtype=np.int64)[order[bound_rows] - len(jobs)]

    tables = _tables(snapshot, network, everyone, policy, now_ms)
    restore(bound_rows, bound, bound_pools, now_ms, tables)
    explainer = tables.explainer(snapshot.network)
    new_rows = np.flatnonzero(order < len(jobs))
    alternatives: dict[str, tuple[Alternative, ...]] = {}
    refusals: list[Refusal] = []

    def seen(row: int) -> tuple[Alternative, ...]:
        return explainer.alternatives(
            everyone[row], tables.look(row, now_ms), now_ms, tables.rules, tables.jobs,
            tables.state, job_row=row, options=tables.options(row),
        )  # fmt: skip

    def within() -> bool:
        return most is None or (len(alternatives) + 1) * len(snapshot.pools) <= most

    _, started = tables.plan_rows(new_rows[:0], -1, 0, now_ms)
    if review:
        kept = set(bound_rows[[entry.keeps_pool for entry in bound]].tolist()) if bound else set()

        def moves(row: int, p: int, to: int) -> None:
            if explain and within():
                names = network.columns.pool_names
                crowded = {names[q] for q in tables.where_others_wait() if q != p}
                compared = [
                    one for one in seen(row) if one.estimate is None or one.pool not in crowded
                ]
                alternatives[everyone[row].job_id] = chosen_first(compared, names[to])

        started = _review(tables, policy, now_ms, started, kept, moves)
    turn = 0
    while turn < len(new_rows):
        row = int(new_rows[turn])
        job_id = everyone[row].job_id
        told = (explain and within()) or job_id == only
        until = turn + 1
        if told:
            alternatives[job_id] = seen(row)
        else:
            until = _place_of(only, everyone, new_rows, turn)
        turn, started = tables.plan_rows(new_rows[:until], turn, started, now_ms)
        if turn == until:
            if told:
                pool_name = network.columns.pool_names[tables.answers.best[row, 1]]
                alternatives[job_id] = chosen_first(alternatives[job_id], pool_name)
            continue
        row = int(new_rows[turn])
        why_not = alternatives.pop(job_id) if told else seen(row)
        seeks = explain and len(refusals) < RELAXATIONS_MAX
        relaxation = None
        if seeks:
            fresh = tables.answers.fresh
            ahead = [everyone[one] for one in new_rows[:turn].tolist() if fresh[one]]
            relaxation = cheapest_relaxation(
                snapshot, ahead, everyone[row], policy, now_ms, why_not, rehearse
            )
        refusals.append(
            Refusal(
                job_id=everyone[row].job_id,
                alternatives=why_not,
                relaxation=relaxation,
                relaxation_sought=seeks,
            )
        )
        turn += 1

    tables.tell_rows(0, len(everyone), started, now_ms)
    row_of = np.empty_like(order)
    row_of[order] = np.arange(len(order))
    rows = row_of[by_id]
    rows = rows[tables.state.job_pool[rows] >= 0]
    options = np.full(len(everyone), -1, dtype=np.int64)
    options[bound_rows] = [entry.option for entry in bound]
    options[tables.answers.fresh[: len(everyone)] == 1] = -1  # those that moved took another
    found = found_at(rows, options[rows], tables.classes, tables.jobs, tables.state, tables.answers)
    return Plan(
        snapshot_version=snapshot.version,
        now_ms=now_ms,
        policy=policy,
        placements=PlacementColumns(
            [everyone[row].job_id for row in rows.tolist()], found, alternatives, now_ms, explainer
        ),
        refusals=tuple(sorted(refusals, key=attrgetter("job_id"))),
    )


def _fair_tags(
    snapshot: Snapshot, bound: Sequence[QueuedJob], policy: Policy
) -> Callable[[Sequence[JobSpec]], list[float]] | None:
    """None: the snapshot knows no shares."""
    if not snapshot.fair:
        return None
    needs = {one.job.job_id: one.need_milli for one in bound}
    return lambda jobs: fair_tags(
        jobs, snapshot.fair, needs, snapshot.network, policy.assumed_duration_ms
    )


def chosen_first(seen: Sequence[Alternative], pool: str) -> tuple[Alternative, ...]:
    """The pool that was taken before the others, which stay as they are."""
    return tuple(sorted(seen, key=lambda one: one.pool != pool))


def _place_of(job_id: str | None, everyone: Sequence[JobSpec], new_rows: I64, first: int) -> int:
    """The entry of the job that is to be told of, or the end."""
    for entry in range(first, len(new_rows)):
        if everyone[new_rows[entry]].job_id == job_id:
            return entry
    return len(new_rows)


def _tables(
    snapshot: Snapshot,
    network: Prepared,
    everyone: Sequence[JobSpec],
    policy: Policy,
    now_ms: int,
) -> Tables:
    columns = network.columns
    slots, classes, inputs = job_columns(everyone, network.all_allowed(everyone), columns)
    jobs = jobs_of(slots)
    cover = columns.pools.cover
    if snapshot.covers and policy.rule == "westward":
        accounts = {job.account for job in everyone}
        rows, cover = cover_rows(snapshot.covers, network.pool_rows, columns.pools.price, accounts)
        jobs.payer[: len(everyone)] = [rows.get(job.account, 0) for job in everyone]
    claims = max((len(one.running) for one in snapshot.pools), default=0)
    conservative = policy.discipline == "conservative"
    state = new_state(
        columns.pools, slots, policy.backfill_depth, conservative=conservative, extra=claims,
        site_waits=any(one.site_wait_ms for one in snapshot.pools),
    )  # fmt: skip
    rules = rule_columns(policy, columns, snapshot.series_origin_ms)
    costs, posted = network.costs(rules, now_ms, snapshot.shadow)
    open_pools = columns.pools.open.copy()
    held: list[tuple[int, int, int]] = []
    for pool_state in snapshot.pools:
        row = network.pool_rows[pool_state.pool]
        if pool_state.status != "open":
            open_pools[row] = 0
        if pool_state.site_wait_ms:
            state.site_wait_ms[row] = by_size(pool_state.site_wait_ms)
        held += [(row, claim.need_milli, claim.end_ms(now_ms)) for claim in pool_state.running]
    if held:
        pool, need, end = np.array(held, dtype=np.int64).T.copy()
        kernel_rows.hold_claims(pool, need, end, 0, state)
    return Tables(
        columns=columns,
        pools=columns.pools._replace(open=open_pools, cover=cover),
        rules=rules,
        costs=costs,
        posted=posted,
        classes=classes,
        jobs=jobs,
        inputs=inputs,
        traffic=live_traffic(everyone, columns.site_names),
        state=state,
        answers=new_answers(len(everyone), len(columns.pool_names)),
    )


def _review(
    tables: Tables,
    policy: Policy,
    now_ms: int,
    started: int,
    kept: Set[int],
    moves: Callable[[int, int, int], None],
) -> int:
    """Waiting jobs look at all pools again, queue by queue, but for the rows ``kept``; those that
    moved are ``fresh``. ``moves`` is called of each before it does: its row, from where, to where."""
    state, pools = tables.state, tables.pools
    waiting: list[tuple[int, int]] = []
    for p in range(len(tables.columns.pool_names)):
        row = int(state.head[p])
        for _ in range(policy.review_depth):
            if row < 0:
                break
            if row not in kept and kernels.may_review(row, p, tables.jobs, tables.inputs, pools):
                waiting.append((row, p))
            row = int(state.next[row])
    for row, p in waiting:
        if row in state.started[:started]:
            continue
        unlink(row, p, tables.jobs, state)
        state.profile_count[p] = 0
        state.hint[0] = p
        best = tables.choose(row, now_ms)
        if best.refusal != OK or best.pool == p:
            enqueue(row, p, tables.jobs, state)
            continue
        moves(row, p, int(best.pool))
        tables.answers.fresh[row] = 1
        tables.answers.best[row] = best[:7]
        tables.answers.sums[row, :2] = best[7:]
        joined = kernels.bind(row, best, now_ms, tables.jobs, tables.rules, state)
        started = tables.dispatch(p, now_ms, started)
        if joined:
            started = tables.dispatch(int(best.pool), now_ms, started)
    return started


def restore(
    rows: I64, entries: Sequence[QueuedJob], pools: I64, now_ms: int, tables: Tables
) -> None:
    """Jobs bound by an earlier plan keep their pool, option, need and not-before."""
    if not entries:
        return
    state = tables.state
    state.job_pool[rows] = pools
    state.job_need[rows] = [entry.need_milli for entry in entries]
    run_ms = np.array([entry.duration_ms for entry in entries], dtype=np.int64)
    state.job_duration_ms[rows] = waits_of(rows, state) + run_ms
    state.job_not_before_ms[rows] = [entry.not_before_ms for entry in entries]
    kernel_rows.queue_rows(rows, now_ms, tables.jobs, tables.rules, state)
