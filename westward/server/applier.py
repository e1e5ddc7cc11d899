"""Turns plans, reports and silence into guarded writes. Runs in the one writer thread.

A plan is a proposal against a snapshot: every change carries the job version it was made for, and
leases are granted only if the pool still has room. What does not fit any more is dropped; the
next plan sees why. A job whose change raises is written by itself and told in ``Outcome.broken``;
the others' changes stand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from uuid import uuid4

from westward.control.events import JobBound, JobUnbound, PauseRequested
from westward.control.instructions import Instruction
from westward.control.machine import Ignored
from westward.control.records import Binding, JobRecord, JobState, RunRecord
from westward.ledger.charged import Charged
from westward.ledger.price import DataRead, Transfer, intervals
from westward.model.network import Network
from westward.model.plan import Placement, Plan
from westward.server.aside import Broken, each_apart
from westward.server.data_sources import bring_ms
from westward.server.purse import Purse, Short, Start
from westward.server.snapshot import Situation
from westward.server.wording import refusal_text, why_there
from westward.store.checkpoints import load_moves
from westward.store.data_runs import MovedBytes, load_moved, load_uses, staged_digests
from westward.store.database import Store
from westward.store.decisions import save_decisions
from westward.store.jobs import load_job
from westward.store.lifecycle import apply_events, expired_leases, grant_leases
from westward.store.metering import load_readings
from westward.store.results import (
    Applied,
    Change,
    CheckpointMove,
    GrantRequest,
    PoolFull,
    RunToSettle,
    Stale,
)

Answers = Sequence[Applied | Ignored | Stale]
END_LEASE = "end the lease"
log = logging.getLogger("westward.server")


def fresh_run_id() -> str:
    return f"run_{uuid4().hex[:16]}"


@dataclass
class Outcome:
    """What a batch of writes led to."""

    instructions: list[Instruction] = field(default_factory=list)
    changed_jobs: list[str] = field(default_factory=list)
    plan_again: bool = False
    """Something in the plan was out of date."""
    broken: list[Broken] = field(default_factory=list)
    """Jobs whose change raised. Nothing of it was written; see ``server.aside``."""

    def take(self, answers: Iterable[Applied | Ignored | Stale | PoolFull]) -> None:
        for answer in answers:
            if isinstance(answer, Applied):
                self.instructions.extend(answer.instructions)
                self.changed_jobs.append(answer.record.job_id)
            elif not isinstance(answer, Ignored):
                self.plan_again = True
                log.info("not applied: %s", answer)

    def failed(self, step: str, versions: dict[str, int]) -> Callable[[str, Exception], None]:
        """Notes the jobs that raise at ``step``."""

        def note(job_id: str, error: Exception) -> None:
            self.broken.append(
                Broken(key=job_id, step=step, error=error, version=versions.get(job_id))
            )

        return note


def apply_plan(
    store: Store,
    plan: Plan,
    before: Situation,
    ttl_ms: int,
    now_ms: int,
    purse: Purse | None = None,
    *,
    new_run_id: Callable[[], str] = fresh_run_id,
) -> Outcome:
    """Bind what was placed, unbind what lost its pool, grant leases to what starts now and can be
    paid for. Without a ``purse`` nobody is asked for money."""
    outcome = Outcome()
    placed = {job.job_id for job in before.to_place}
    network = before.snapshot.network
    versions = {record.job_id: record.version for record in before.records.values()}
    changes: dict[str, list[Change]] = {}
    for refusal in plan.refusals:
        record = before.records[refusal.job_id]
        if record.state is JobState.BOUND:
            changes[record.job_id] = [_change(record, JobUnbound(reason=refusal_text(refusal)))]
    for placement in plan.placed(placed):
        changes[placement.job_id] = _bind(before, placement, network.currency)
        if before.records[placement.job_id].job.datasets and not placement.starts_now:
            outcome.plan_again = True  # it may be granted now, for its data to come

    def write(job_ids: Sequence[str]) -> Answers:
        wanted = list(chain.from_iterable(changes[job_id] for job_id in job_ids))
        return apply_events(store, _chained(wanted, versions), now_ms)

    answers = each_apart(write, list(changes), outcome.failed("bind", versions))
    outcome.take(answers)
    each_apart(
        lambda job_ids: (save_decisions(store, plan, job_ids=job_ids),),
        sorted(placed),
        outcome.failed("save the decision", versions),
    )
    left_out = {broken.key for broken in outcome.broken}
    records = {placement.job_id: before.records[placement.job_id] for placement in plan.starting()}
    for answer in answers:
        if isinstance(answer, Applied) and answer.record.job_id in records:
            records[answer.record.job_id] = answer.record
    grants = {
        placement.job_id: GrantRequest(
            job_id=placement.job_id,
            expected_version=records[placement.job_id].version,
            run_id=new_run_id(),
            place=place,
            capacity_milli=network.pool(placement.estimate.pool).capacity_milli,
        )
        for placement in sorted(plan.starting(), key=lambda one: one.estimate.start_ms)
        if placement.job_id not in left_out
        and (place := records[placement.job_id].bound) is not None
    }
    if purse is not None and grants:
        grants = _paid_for(store, purse, network, grants, records, now_ms, outcome)
    leased = each_apart(
        lambda job_ids: grant_leases(store, [grants[i] for i in job_ids], ttl_ms, now_ms),
        list(grants),
        outcome.failed("grant the lease", {i: one.expected_version for i, one in grants.items()}),
    )
    outcome.take(leased)
    if purse is not None:
        granted = {one.record.job_id for one in leased if isinstance(one, Applied)}
        purse.give_back(
            store, [one.run_id for i, one in grants.items() if i not in granted], now_ms
        )
    return outcome


def _paid_for(
    store: Store,
    purse: Purse,
    network: Network,
    grants: dict[str, GrantRequest],
    records: Mapping[str, JobRecord],
    now_ms: int,
    outcome: Outcome,
) -> dict[str, GrantRequest]:
    """Those whose money is held now; the others wait for some."""
    starts = {
        job_id: Start(run_id=one.run_id, job=records[job_id].job, place=one.place)
        for job_id, one in grants.items()
    }
    short: dict[str, Short] = {}

    def reserve(job_ids: Sequence[str]) -> tuple[dict[str, Short]]:
        return (purse.reserve(store, network, [starts[i] for i in job_ids], now_ms),)

    versions = {job_id: one.expected_version for job_id, one in grants.items()}
    for answer in each_apart(reserve, list(starts), outcome.failed("hold its money", versions)):
        short |= {one.job_id: one for one in answer.values()}
    waits = {
        one.job_id: Change(
            job_id=one.job_id,
            event=PauseRequested(kind="money", by="the budget", reason=one.text),
            expected_version=versions[one.job_id],
        )
        for one in short.values()
    }

    def hold(job_ids: Sequence[str]) -> Answers:
        return apply_events(store, [waits[i] for i in job_ids], now_ms)

    outcome.take(each_apart(hold, list(waits), outcome.failed("have it wait for money", versions)))
    broken = {one.key for one in outcome.broken}
    return {i: one for i, one in grants.items() if i not in short and i not in broken}


def parts(plan: Plan, before: Situation, most: int) -> Iterator[tuple[Plan, Situation]]:
    """For ``apply_plan``: the plan in parts of at most ``most`` jobs that something is to be written
    of, those that start now first: between two writes the writer has time for renewals."""
    starting = sorted(plan.starting(), key=lambda one: one.estimate.start_ms)
    ids = dict.fromkeys(
        [
            *(one.job_id for one in starting),
            *(job.job_id for job in before.to_place),
            *(one.job_id for one in plan.refusals),
        ]
    )
    if len(ids) <= most:
        yield plan, before
        return
    rest = iter(ids)
    while chunk := frozenset(islice(rest, most)):
        part = replace(
            plan,
            placements=tuple(plan.placed(chunk)),
            refusals=tuple(one for one in plan.refusals if one.job_id in chunk),
        )
        asked = tuple(job for job in before.to_place if job.job_id in chunk)
        yield part, replace(before, to_place=asked)


def _bind(before: Situation, placement: Placement, currency: str) -> list[Change]:
    record = before.records[placement.job_id]
    chosen = placement.estimate
    # The plan counts on its data coming before the start; the site brings them after the grant.
    early_ms = bring_ms(before.snapshot.network, record.job, before.copies, chosen.site)
    not_before_ms = placement.not_before_ms
    if early_ms:
        not_before_ms = max(min(before.now_ms, not_before_ms), not_before_ms - early_ms)
    binding = Binding(
        pool=chosen.pool,
        site=chosen.site,
        option=chosen.option,
        need_milli=chosen.need_milli,
        duration_ms=chosen.duration_ms,
        not_before_ms=not_before_ms,
        planned_start_ms=chosen.start_ms,
    )
    pool = record.bound.pool if record.state is JobState.BOUND and record.bound else ""
    looked_again = placement.job_id in before.looked_again
    bound = JobBound(
        binding=binding, reason=why_there(placement, currency), leaves=pool if looked_again else ""
    )
    changes = [_change(record, bound)]
    if pool and not looked_again:
        changes.insert(0, _change(record, JobUnbound(reason=f"pool {pool} takes no new work")))
    return changes


def _change(record: JobRecord, event: JobBound | JobUnbound) -> Change:
    return Change(job_id=record.job_id, event=event, expected_version=record.version)


def _chained(changes: Sequence[Change], versions: dict[str, int]) -> list[Change]:
    """Each accepted event raises a job's version by one: a second event expects one more."""
    seen: dict[str, int] = {}
    chained = []
    for change in changes:
        before = seen.get(change.job_id, 0)
        seen[change.job_id] = before + 1
        chained.append(
            Change(
                job_id=change.job_id,
                event=change.event,
                expected_version=versions[change.job_id] + before,
            )
        )
    return chained


def apply_changes(store: Store, changes: Sequence[Change], step: str, now_ms: int) -> Outcome:
    """Events decided elsewhere, each for the job as it was then; ``step`` names them in errors."""
    outcome = Outcome()
    by_job = {change.job_id: change for change in changes}

    def write(job_ids: Sequence[str]) -> Answers:
        return apply_events(store, [by_job[job_id] for job_id in job_ids], now_ms)

    outcome.take(each_apart(write, list(by_job), outcome.failed(step, {})))
    return outcome


def expire_leases(
    store: Store,
    margin_ms: int,
    now_ms: int,
    left_out: Callable[[str], bool] = lambda _job_id: False,
) -> Outcome:
    """End every lease that was over ``margin_ms`` ago; their jobs are placed again.

    Jobs that are ``left_out`` keep theirs, and what it holds, until they are tried again.
    """
    outcome = Outcome()
    while True:
        broken = {one.key for one in outcome.broken}
        changes = {
            change.job_id: change
            for change in expired_leases(store, now_ms, margin_ms)
            if change.job_id not in broken and not left_out(change.job_id)
        }
        for change in changes.values():
            log.warning("lease expired: %s", change.event)

        def write(job_ids: Sequence[str], ends: dict[str, Change] = changes) -> Answers:
            return apply_events(store, [ends[job_id] for job_id in job_ids], now_ms)

        answers = each_apart(write, list(changes), outcome.failed(END_LEASE, {}))
        outcome.take(answers)
        if not any(isinstance(answer, Applied) for answer in answers):
            break
    return outcome


def run_charge(
    store: Store, network: Network, purse: Purse, ended: RunToSettle, *, carbon: bool = True
) -> Charged:
    """The bill of a run that is over, or so far, from everything metered, as vouchers see it. Only
    reads: a long run has many readings, and the writer must stay free for renewals. Raises
    PriceUnknown, KeyError (the network has no such pool any more), ValueError (an impossible
    reading)."""
    run = ended.run
    began_ms = run.started_ms if run.started_ms is not None else run.granted_ms
    metered = intervals(began_ms, load_readings(store, run.run_id))
    return purse.charge(
        network, run.pool, prices_metered=metered, began_ms=began_ms,
        transfers=charged_transfers(store, network, ended), reads=_reads(store, ended),
        carbon=carbon,
    )  # fmt: skip


def charged_transfers(store: Store, network: Network, ended: RunToSettle) -> tuple[Transfer, ...]:
    """Everything that was moved over priced lines for this run."""
    moved = moved_data(network, load_moved(store, ended.job_id, ended.run.run_id))
    return (*_transfers(store, network, ended), *moved)


def moved_data(network: Network, moved: Sequence[MovedBytes]) -> tuple[Transfer, ...]:
    """Bytes of data sets that were fetched over a line between sites, as metered: also those of
    a run that never started, or that were fetched twice. A line whose price the network no longer
    states is not charged."""
    found = []
    for one in moved:
        link = network.link(one.from_site, one.to_site) if one.from_site != one.to_site else None
        if link is not None and link.price_micros_per_gb is not None:
            found.append(
                Transfer(size_bytes=one.size_bytes, micros_per_gb=link.price_micros_per_gb)
            )
    return tuple(found)


def _reads(store: Store, ended: RunToSettle) -> tuple[DataRead, ...]:
    """Data sets that were whole at the site when the run started, at the prices of the day the
    job was submitted. Of one whose owner states no price nothing is charged."""
    record = load_job(store, ended.job_id)
    if record is None or ended.run.started_ms is None or not record.job.datasets:
        return ()
    staged = staged_digests(load_uses(store, ended.job_id), ended.run.run_id)
    return tuple(
        DataRead(size_bytes=one.size_bytes, micros_per_gb=one.price_micros_per_gb)
        for one in record.job.datasets
        if one.price_micros_per_gb is not None and (one.dataset, one.version) in staged
    )


def _transfers(store: Store, network: Network, ended: RunToSettle) -> tuple[Transfer, ...]:
    """Input data moved to the run's site; none for a run that never started."""
    record = load_job(store, ended.job_id)
    if record is None:
        return ()
    moved = moved_checkpoint(network, load_moves(store, ended.job_id), ended.run)
    if ended.run.started_ms is None:
        return moved  # the line was used, though nothing started
    return (*moved_inputs(network, record, ended.run), *moved)


def moved_checkpoint(
    network: Network, moves: Sequence[CheckpointMove], run: RunRecord
) -> tuple[Transfer, ...]:
    """The checkpoint that was brought for this run from another site. One that goes back to where
    it was saved uses no line between sites."""
    found = []
    for move in moves:
        if move.run_id != run.run_id or move.from_site == move.to_site:
            continue
        link = network.link(move.from_site, move.to_site)
        if link is not None and link.price_micros_per_gb is not None:
            found.append(
                Transfer(size_bytes=move.size_bytes, micros_per_gb=link.price_micros_per_gb)
            )
    return tuple(found)


def moved_inputs(network: Network, record: JobRecord, run: RunRecord) -> tuple[Transfer, ...]:
    moved = []
    for data in record.job.inputs:
        link = network.link(data.site, run.site) if data.site != run.site else None
        if link is not None and link.price_micros_per_gb is not None:
            moved.append(
                Transfer(size_bytes=data.size_bytes, micros_per_gb=link.price_micros_per_gb)
            )
    return tuple(moved)
