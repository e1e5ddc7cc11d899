"""Whatever happens, in whatever order, twice or late: a job's record stays sound."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.control import machine, validate
from westward.control.events import (
    AfterFailed,
    CancelRequested,
    Event,
    HoldEnded,
    JobBound,
    JobRefused,
    JobSubmitted,
    JobUnbound,
    LeaseExpired,
    LeaseGranted,
    LeaseRenewed,
    PauseRequested,
    ResumeRequested,
    RunEnded,
    RunOffered,
    RunStarted,
)
from westward.control.instructions import SettleRun
from westward.control.machine import InvalidTransition, Step
from westward.control.records import Aim, Binding, JobRecord, JobState, RunState
from westward.control.transitions import JOB_MOVES, RUN_MOVES
from westward.model.job import After, Checkpoint, JobSpec, ResourceOption, Retry

JOB = JobSpec(job_id="job_1", name="j", submit_ms=0, options=(ResourceOption(cpus_milli=1),))
jobs = st.builds(
    replace,
    st.just(JOB),
    checkpoint=st.sampled_from([None, Checkpoint(path="c", every_ms=10)]),
    retry=st.sampled_from(
        [None, Retry(attempts=2, backoff_ms=5), Retry(attempts=3, on_exit_codes=(7,))]
    ),
    after=st.sampled_from([(), (), (After(job_id="job_0", name="first"),)]),
    deadline_ms=st.sampled_from([None, None, 70]),
)
"""Every kind of life a request may ask for."""

tokens = st.integers(1, 6)
run_ids = tokens.map(lambda n: f"run_{n}")
times = st.integers(0, 100)


@st.composite
def about_a_run(draw: st.DrawFn) -> tuple[str, int]:
    """Mostly a run with its own token, at times with another's."""
    run_id = draw(run_ids)
    own = int(run_id.removeprefix("run_"))
    return run_id, draw(st.one_of(st.just(own), st.just(own), st.just(own), tokens))


def _bound(pool: str, leaves: str = "") -> JobBound:
    place = Binding(
        pool=pool,
        site=f"site-{pool}",
        option=0,
        need_milli=1,
        duration_ms=1,
        not_before_ms=0,
        planned_start_ms=0,
    )
    return JobBound(binding=place, leaves=leaves)


events: st.SearchStrategy[Event] = st.one_of(
    st.just(JobRefused(reason="nowhere")),
    st.builds(_bound, st.sampled_from(["a", "b"]), st.sampled_from(["", "a", "b"])),
    st.just(JobUnbound(reason="closed")),
    st.builds(
        lambda run, until: LeaseGranted(run_id=run[0], token=run[1], lease_expires_ms=until),
        about_a_run(),
        times,
    ),
    st.builds(
        lambda run, s: RunOffered(run_id=run[0], token=run[1], session=s),
        about_a_run(),
        st.integers(1, 2),
    ),
    st.builds(
        lambda run, until: LeaseRenewed(run_id=run[0], token=run[1], lease_expires_ms=until),
        about_a_run(),
        times,
    ),
    st.builds(lambda run: RunStarted(run_id=run[0], token=run[1]), about_a_run()),
    st.builds(
        lambda run, outcome, code: RunEnded(
            run_id=run[0], token=run[1], outcome=outcome, exit_code=code
        ),
        about_a_run(),
        st.sampled_from(
            ["succeeded", "failed", "cancelled", "lease-expired", "time-limit", "preempted"]
        ),
        st.sampled_from([None, 0, 1, 7, -9]),
    ),
    st.builds(
        lambda run, seen: LeaseExpired(run_id=run[0], token=run[1], seen_expires_ms=seen),
        about_a_run(),
        times,
    ),
    st.just(CancelRequested()),
    st.sampled_from(
        [
            PauseRequested(kind="suspend"),
            PauseRequested(kind="preempt", by="the planner"),
            PauseRequested(kind="money", by="the budget", reason="nothing is left"),
            HoldEnded(code="money", reason="there is money"),
            PauseRequested(kind="move", aim=Aim(site="site-a")),
            PauseRequested(kind="move", aim=Aim(site="site-b", pool="b")),
            ResumeRequested(),
            HoldEnded(code="after", reason="all over"),
            HoldEnded(code="retry", reason="the pause is over"),
            AfterFailed(job_id="job_0", reason="it failed"),
        ]
    ),
)


@st.composite
def likely_event(draw: st.DrawFn, state: JobState, last_run: int) -> Event:
    """An event that fits the state, so that sequences get somewhere; ids may still be old."""
    own = f"run_{last_run}", last_run
    suspend = PauseRequested(kind="suspend")
    if state is JobState.HELD:
        codes: list[Event] = [
            HoldEnded(code="after", reason="over"),
            HoldEnded(code="retry", reason="over"),
            HoldEnded(code="money", reason="there is some"),
            ResumeRequested(),
        ]
        return draw(st.sampled_from([*codes, *codes, suspend, CancelRequested()]))
    if state is JobState.PENDING:
        choices = [_bound("a"), _bound("b"), _bound("a"), _bound("b"), CancelRequested(), suspend]
        return draw(st.sampled_from(choices))
    if state is JobState.BOUND:
        following = last_run + 1
        grant = LeaseGranted(run_id=f"run_{following}", token=following, lease_expires_ms=50)
        elsewhere = [_bound("b", "a"), _bound("a", "b")]
        choices = [grant, grant, grant, JobUnbound(reason="closed"), *elsewhere]
        return draw(st.sampled_from(choices))
    outcome = draw(
        st.sampled_from(["succeeded", "failed", "cancelled", "lease-expired", "preempted"])
    )
    code = draw(st.sampled_from([None, 1, 7]))
    choices = [
        RunOffered(run_id=own[0], token=own[1], session=1),
        RunStarted(run_id=own[0], token=own[1]),
        LeaseRenewed(run_id=own[0], token=own[1], lease_expires_ms=draw(times)),
        LeaseExpired(run_id=own[0], token=own[1], seen_expires_ms=100),
        RunEnded(run_id=own[0], token=own[1], outcome=outcome, exit_code=code),  # type: ignore[arg-type]
        CancelRequested(),
        suspend,
        PauseRequested(kind="preempt", by="the planner"),
        PauseRequested(kind="money", by="the budget"),
        PauseRequested(kind="move", aim=Aim(site="site-b")),
        ResumeRequested(),
    ]
    return draw(st.sampled_from(choices))


class Wish:
    """What the owner last wished, kept by simple rules of its own: beside the machine's."""

    def __init__(self) -> None:
        self.suspended = False
        self.lost = 0
        self.failed = 0

    def hears(self, event: Event, before: JobRecord, after: JobRecord) -> None:
        """An accepted event. Raises AssertionError where the machine goes against the owner."""
        if isinstance(event, PauseRequested) and event.kind == "suspend":
            self.suspended = True
        elif isinstance(event, ResumeRequested):
            self.suspended = False
        elif isinstance(event, PauseRequested) and before.state is JobState.SUSPENDING:
            self.suspended = False  # "move it" comes after "suspend it"
        if isinstance(event, LeaseGranted | JobBound):
            assert not self.suspended, "a suspended job was let go on"
        run = before.live_run
        if run is not None and after.live_run is None:
            ended = after.run(run.run_id)
            assert ended is not None
            self.failed += ended.state is RunState.FAILED
            self.lost += ended.state is RunState.LOST
            if ended.state is RunState.CANCELLED:
                assert after.state is JobState.CANCELLED, "stopped for no owner's wish"
            if ended.state is RunState.PREEMPTED:
                assert not after.terminal, "what was stopped to go on later does not go on"
            if ended.state is RunState.LOST and self.lost < 3 and not before_cancel(before):
                assert not after.terminal, "a site's fault ended the job before three of them"
        assert (self.lost, self.failed) == (after.lost_runs, after.failed_runs)


def before_cancel(record: JobRecord) -> bool:
    return record.state is JobState.CANCELLING


def _handle(record: JobRecord, event: Event, now_ms: int) -> Step | None:
    """None where the machine says that this cannot happen."""
    try:
        return machine.handle(record, event, now_ms)
    except InvalidTransition:
        return None


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_sequence_keeps_the_invariants(data: st.DataObject) -> None:
    record = machine.submit(JobSubmitted(job=data.draw(jobs), attempts_max=3), 0).record
    validate.check(record)
    seen: list[Event] = []
    settled: list[str] = []
    owner = Wish()
    for _ in range(data.draw(st.integers(5, 40), label="events")):
        kind = data.draw(st.sampled_from(["likely", "likely", "likely", "any", "again"]))
        if kind == "again" and seen:
            event = data.draw(st.sampled_from(seen))
        elif kind == "likely":
            event = data.draw(likely_event(record.state, len(record.runs)))
        else:
            event = data.draw(events)
        now_ms = data.draw(st.sampled_from([0, 60, 200]))
        step = _handle(record, event, now_ms)
        if step is None:
            # A report about a run may be late or repeated: only an expiry claimed too early, or
            # an offer of a run that runs, is impossible.
            assert not isinstance(event, LeaseRenewed | RunStarted | RunEnded | CancelRequested)
            assert not isinstance(event, PauseRequested | ResumeRequested | HoldEnded)
            continue
        seen.append(event)
        after = step.record
        validate.check(after)
        assert (step.ignored is not None) == (after is record)
        if step.ignored is not None:
            assert step.instructions == ()
            assert step.story == ()
            continue
        if record.terminal:
            raise AssertionError(f"{event} changed a job that was over")
        assert after.state is record.state or after.state in JOB_MOVES[record.state, type(event)]
        if isinstance(event, JobBound):
            was = record.bound.pool if record.state is JobState.BOUND and record.bound else ""
            assert event.leaves == was, "bound on an old view of where it waits"
            assert after.bound == event.binding
        assert after.version == record.version + (not isinstance(event, LeaseRenewed))
        # What is over stays as it was; runs are only added at the end.
        for old, new in zip(record.runs, after.runs, strict=False):
            assert old == new or (old.live and (old.state, type(event)) in RUN_MOVES)
        assert len(after.runs) - len(record.runs) == isinstance(event, LeaseGranted)
        owner.hears(event, record, after)
        settled += [i.run_id for i in step.instructions if isinstance(i, SettleRun)]
        record = after
    note(f"ends {record.state.value}")
    # Every run that is over was settled exactly once, no other was.
    assert settled == [run.run_id for run in record.runs if not run.live]
    # At most one run may have succeeded, and only the last.
    assert sum(run.state is RunState.SUCCEEDED for run in record.runs) <= 1


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_repeated_event_changes_nothing_the_second_time(data: st.DataObject) -> None:
    """What an agent or user may send twice has the effect of sending it once."""
    record = machine.submit(JobSubmitted(job=data.draw(jobs), attempts_max=3), 0).record
    for _ in range(data.draw(st.integers(1, 15))):
        event = data.draw(likely_event(record.state, len(record.runs)))
        step = _handle(record, event, 200)
        if step is None:
            continue
        record = step.record
        if isinstance(
            event,
            RunStarted
            | RunEnded
            | RunOffered
            | LeaseRenewed
            | CancelRequested
            | PauseRequested
            | ResumeRequested
            | HoldEnded,
        ):
            again = machine.handle(record, event, 300)
            assert again.ignored is not None
            assert again.record is record


def test_terminal_states_have_no_way_out() -> None:
    for (state, event), _ in JOB_MOVES.items():
        assert state not in (
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.REFUSED,
        ), event
    reachable = {to for moves in JOB_MOVES.values() for to in moves} | {JobState.PENDING}
    assert all(to in reachable for to in JobState)
    assert reachable == set(JobState)
