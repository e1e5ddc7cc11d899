"""Jobs that money holds back or stops: which, and what becomes of them. The writes are elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from westward.control.events import CancelRequested, HoldEnded, PauseRequested
from westward.control.records import Binding, JobRecord, RunRecord
from westward.model.job import JobSpec
from westward.model.network import Network
from westward.server.purse import Purse, Short
from westward.store.database import Store
from westward.store.jobs import load_readable
from westward.store.money import RunMoney, never_granted, short_runs
from westward.store.results import Change

Outlasting = tuple[RunMoney, JobSpec, Binding, RunRecord]
log = logging.getLogger("westward.server")


def outlasting(store: Store, before_ms: int, network: Network) -> list[Outlasting]:
    """Live runs whose money reaches no further than ``before_ms``, at pools there still are. A run
    whose job's row cannot be read keeps what it has: the others must not wait for it."""
    found: list[Outlasting] = []
    runs = short_runs(store, before_ms)
    records, unreadable = load_readable(store, [run.job_id for run in runs])
    for run in runs:
        if run.job_id in unreadable:
            problem = unreadable[run.job_id]
            log.error("run %s is not held for any further: its job: %s", run.run_id, problem)
            continue
        record = records.get(run.job_id)
        live = None if record is None else record.live_run
        if record is None or live is None or live.run_id != run.run_id or record.bound is None:
            continue  # over: its settlement gives back what is left; or never granted
        if any(pool.name == live.pool for pool in network.pools):
            found.append((run, record.job, record.bound, live))
    return found


def return_strays(store: Store, purse: Purse, seen: Collection[str], now_ms: int) -> None:
    """Gives back what is held for the runs ``seen`` earlier as never granted and not granted since.
    A writer may stand between a run's money and its grant, for as long as a disk is slow: so they
    are seen by one look, given back by a later one, and asked after again here, where no other
    writer is at work."""
    purse.give_back(store, sorted(never_granted(store).intersection(seen)), now_ms)


def end_of_money(short: Short, runs: Sequence[Outlasting]) -> Change | None:
    """What the project chose for a run that nobody can pay for any longer. A job that saves no
    checkpoints is not suspended: it runs on, and the network bears what it costs."""
    if short.on_empty == "run-on":
        return None
    job = next(job for run, job, _, _ in runs if run.run_id == short.run_id)
    if short.on_empty == "cancel":
        by = f"the budget of {short.project} ({short.text})"
        return Change(job_id=short.job_id, event=CancelRequested(by=by), expected_version=None)
    if job.checkpoint is None:
        return None
    event = PauseRequested(kind="money", by="the budget", reason=short.text)
    return Change(job_id=short.job_id, event=event, expected_version=None)


def funded(store: Store, purse: Purse, held: Sequence[JobRecord], now_ms: int) -> list[Change]:
    """Held jobs that there is money for again."""
    return [
        Change(
            job_id=one.job_id,
            event=HoldEnded(code="money", reason="There is money for it again"),
            expected_version=one.version,
        )
        for one in held
        if one.hold("money") is not None
        and purse.may_go_on(store, one.job_id, one.job.account, now_ms)
    ]
