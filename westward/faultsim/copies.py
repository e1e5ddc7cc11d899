"""Records that are never written: of a job as it is, what each end of its run would make of it, and
what nobody may write.

Every copy has its answer beforehand. Nothing here is asked of the code that answers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from westward.control.events import LeaseGranted, LeaseRenewed, RunEnded, RunOffered, RunStarted
from westward.control.machine import InvalidTransition, handle
from westward.control.preempt import Runner, choose_victims
from westward.control.records import (
    Binding,
    Hold,
    JobRecord,
    JobState,
    Pause,
    RunRecord,
    RunState,
)
from westward.control.steps import Step
from westward.control.transitions import move_run
from westward.control.validate import BrokenInvariant, problems_of
from westward.faultsim.checkers import OVER, Broken
from westward.model.wire import Outcome
from westward.store.database import Store
from westward.store.rows import save_step

TEXT_MOST = 4_000
"""Of a line of a job's story."""
PLACE = Binding(
    pool="nowhere", site="nowhere", option=0, need_milli=1, duration_ms=1, not_before_ms=0,
    planned_start_ms=0,
)  # fmt: skip
LONG = "because\t" * 1_000
CANCELLED_ENDS: tuple[tuple[Outcome, str], ...] = (
    ("succeeded", "succeeded"), ("failed", "failed"), ("time-limit", "failed"),
    ("preempted", "cancelled"), ("cancelled", "cancelled"), ("lease-expired", "cancelled"),
)  # fmt: skip
"""What becomes of a job that is being cancelled: its own end counts, if it came first."""


def on_copies(store: Store, record: JobRecord, now_ms: int, size: int) -> None:
    """Raises Broken."""
    if record.live_run is not None:
        _ends(record, record.live_run, now_ms)
        _leases(record, record.live_run, now_ms)
    _nobody_may_write(store, record, now_ms)
    _never_moved(record, now_ms)
    _victims(random.Random(f"westward-faultsim-victims-{size}"))


# -- what each end would make of it -----------------------------------------------------------


def _ends(record: JobRecord, run: RunRecord, now_ms: int) -> None:
    """A run that is told over is over whatever the job was about, and its job with it, or not."""
    wanted = dict(CANCELLED_ENDS)
    cancelling = replace(
        record, state=JobState.CANCELLING, cancel_requested_ms=now_ms, pause=None, aim=None
    )
    for outcome, code in ((one, code) for one in wanted for code in (None, 0, 3, -9)):
        ended = RunEnded(
            run_id=run.run_id, token=run.token, outcome=outcome, exit_code=code, detail=LONG
        )
        for one in (record, cancelling):
            step = handle(one, ended, now_ms)
            after = step.record
            if step.ignored is not None or after.live_run is not None or problems_of(after):
                raise Broken("end-otherwise", f"{ended.outcome} of {one.state}: {after}")
            if one is cancelling and after.state != wanted[outcome]:
                raise Broken("end-otherwise", f"{outcome} while cancelling: {after.state}")
            if outcome == "succeeded" and after.state != "succeeded":
                raise Broken("end-otherwise", f"it succeeded, and is {after.state}")
            if code is None and outcome == "failed" and after.state != "failed":
                raise Broken("end-otherwise", f"without an exit code: {after.state}")
            told = [line.text for line in step.story]
            if not told or any(len(text) > TEXT_MOST or "\t" in text for text in told):
                raise Broken("end-otherwise", f"the story says {told!r}")


def _leases(record: JobRecord, run: RunRecord, now_ms: int) -> None:
    """Longer under its token; nothing else of the job changes."""
    longer = run.lease_expires_ms + 1
    event = LeaseRenewed(run_id=run.run_id, token=run.token, lease_expires_ms=longer)
    after = handle(record, event, now_ms).record
    kept = tuple(
        replace(one, lease_expires_ms=longer) if one.run_id == run.run_id else one
        for one in record.runs
    )
    if after != replace(record, runs=kept):
        raise Broken("renewed-otherwise", str(after))


# -- what nobody may write --------------------------------------------------------------------


def _nobody_may_write(store: Store, record: JobRecord, now_ms: int) -> None:
    """The store refuses each, and says what is wrong with it."""
    for changed, word in _wrong_records(record, now_ms):
        try:
            with store.write() as connection:
                save_step(connection, record, Step(record=changed))
        except BrokenInvariant as error:
            if word not in str(error):
                raise Broken("wrong-record-written", f"{error} says nothing of {word}") from None
        else:
            raise Broken("wrong-record-written", f"nobody minds: {word}")


def _wrong_records(record: JobRecord, now_ms: int) -> Iterator[tuple[JobRecord, str]]:
    """Each with a word that must be said of it."""
    live = record.live_run
    over = record.state.value in OVER
    hold = Hold(code="retry", text="", until_ms=now_ms)
    yield replace(record, finished_ms=None if over else now_ms), "finished_ms"
    yield replace(record, ending="" if over else "it ended"), "an ending"
    yield replace(record, holds=(hold, hold), state=JobState.HELD), "twice"
    yield replace(record, holds=(replace(hold, until_ms=None),), state=JobState.HELD), "a time"
    follows = replace(record, holds=(Hold(code="after", text=""),))
    if record.state is not JobState.HELD:
        yield follows, "holds"
    elif record.runs or not record.job.after:
        yield follows, "without a reason"
    yield replace(record, state=JobState.SUSPENDING, pause=None), "how it goes on"
    yield replace(record, attempts_max=-1), "attempts allowed"
    if not over:
        yield replace(record, state=JobState.CANCELLING, cancel_requested_ms=None), "asked to stop"
        yield replace(record, state=JobState.SUCCEEDED), "without a run that did"
        pause = Pause(kind="suspend", by="nobody")
        bare = replace(record.job, checkpoint=None)
        suspending = replace(record, state=JobState.SUSPENDING, pause=pause, job=bare)
        yield suspending, "without a checkpoint"
    if record.bound is not None:
        yield replace(record, state=JobState.PENDING), "keeps a place"
    if record.bound is None:
        yield replace(record, state=JobState.BOUND), "has no place"
    if record.runs:
        yield from _wrong_runs(record, record.runs[-1], now_ms)
    if live is not None and record.bound is not None:
        elsewhere = replace(record.bound, pool="elsewhere")
        yield replace(record, bound=elsewhere), "the job at"
        begun = replace(live, state=RunState.RUNNING, started_ms=now_ms)
        yield _with_last(replace(record, state=JobState.LEASED), begun), "its job is not"
        told = replace(live, state=RunState.LEASED)
        yield _with_last(replace(record, state=JobState.RUNNING), told), "its run is not"
        second = replace(live, run_id="run_second", attempt=live.attempt + 1, token=live.token + 1)
        yield replace(record, runs=(*record.runs, second)), "lease at once"


def _wrong_runs(record: JobRecord, last: RunRecord, now_ms: int) -> Iterator[tuple[JobRecord, str]]:
    ended = None if last.ended_ms is not None else now_ms
    yield _with_last(record, replace(last, attempt=last.attempt + 1)), "counts as attempt"
    yield _with_last(record, replace(last, token=0)), "the one before had"
    yield _with_last(record, replace(last, ended_ms=ended)), "ended_ms"
    outcome = None if last.outcome is not None else "failed"
    yield _with_last(record, replace(last, outcome=outcome)), "an outcome"
    unbegun = replace(last, state=RunState.RUNNING, started_ms=None)
    yield _with_last(record, unbegun), "without having started"
    failed = replace(
        last, state=RunState.FAILED, outcome="failed", ended_ms=now_ms, started_ms=now_ms
    )
    many = tuple(
        replace(failed, run_id=f"run_{at}", attempt=at + 1, token=at + 1) for at in range(100)
    )
    yield replace(record, runs=many), "runs failed"
    won = replace(many[0], state=RunState.SUCCEEDED, outcome="succeeded")
    yield replace(record, runs=(won, *many[1:])), "another was started after it"


def _with_last(record: JobRecord, run: RunRecord) -> JobRecord:
    return replace(record, runs=(*record.runs[:-1], run))


# -- what never happens -----------------------------------------------------------------------


def _never_moved(record: JobRecord, now_ms: int) -> None:
    """A record that cannot be (by a bug, or a hand at the database) is not made worse."""
    grant = LeaseGranted(run_id="run_new", token=10**9, lease_expires_ms=now_ms)
    bound = replace(record, state=JobState.BOUND)
    _must_refuse(lambda: handle(replace(bound, bound=None), grant, now_ms), "without a place")
    for run in record.runs[-1:]:
        offer = RunOffered(run_id=run.run_id, token=run.token, session=1)
        begun = replace(run, state=RunState.RUNNING, offered_session=None)
        late = partial(handle, _with_last(record, begun), offer, now_ms)
        _must_refuse(late, "an offer too late")
        over = replace(run, state=RunState.LOST)
        again = replace(_with_last(record, over), state=JobState.BOUND, bound=PLACE)
        for wrong in (replace(grant, token=run.token), replace(grant, run_id=run.run_id)):
            _must_refuse(partial(handle, again, wrong, now_ms), "a lease twice")
        worn = replace(again, attempts_max=0)
        _must_refuse(partial(handle, worn, grant, now_ms), "an attempt too many")
        start = RunStarted(run_id=run.run_id, token=run.token)
        back = partial(move_run, record, over, start, RunState.RUNNING)
        _must_refuse(back, "a run came back")


def _must_refuse(asked: Callable[[], object], what: str) -> None:
    try:
        asked()
    except InvalidTransition:
        return
    raise Broken("caller-heeded", what)


# -- whom a waiting job puts out --------------------------------------------------------------


def _victims(dice: random.Random) -> None:
    """Enough of them or nobody, none of whom could have stayed, none of as high a priority."""
    runners = [
        Runner(
            job_id=f"job_{at}", need_milli=dice.choice((500, 1_000, 4_000)),
            priority=dice.choice((0, 0, 5, 10)), started_ms=dice.randrange(10_000),
            checkpoint_ms=dice.choice((1_000, 7_000)), order=at,
        )
        for at in range(dice.randrange(8))
    ]  # fmt: skip
    missing, below = dice.choice((-1, 500, 2_000, 5_000)), dice.choice((0, 5, 10, 11))
    need = {one.job_id: one.need_milli for one in runners if one.priority < below}
    chosen = choose_victims(runners, missing, below, 20_000)
    freed = sum(need.get(one, 0) for one in chosen)
    if not chosen:
        fine = missing <= 0 or sum(need.values()) < missing
    else:
        fine = freed >= missing and all(
            one in need and freed - need[one] < missing for one in chosen
        )
    if not fine or len(set(chosen)) < len(chosen):
        raise Broken("victims-wrong", f"{chosen} of {runners} for {missing} below {below}")
