"""Whatever happens, in whatever order, twice or late: a job's record stays sound."""

from __future__ import annotations

from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.control import machine, validate
from westward.control.events import (
    CancelRequested,
    Event,
    JobBound,
    JobRefused,
    JobSubmitted,
    JobUnbound,
    LeaseExpired,
    LeaseGranted,
    LeaseRenewed,
    RunEnded,
    RunOffered,
    RunStarted,
)
from westward.control.instructions import SettleRun
from westward.control.machine import InvalidTransition, Step
from westward.control.records import Binding, JobRecord, JobState, RunState
from westward.control.transitions import JOB_MOVES, RUN_MOVES
from westward.model.job import JobSpec, ResourceOption

JOB = JobSpec(job_id="job_1", name="j", submit_ms=0, options=(ResourceOption(cpus_milli=1),))

tokens = st.integers(1, 6)
run_ids = tokens.map(lambda n: f"run_{n}")
times = st.integers(0, 100)


@st.composite
def about_a_run(draw: st.DrawFn) -> tuple[str, int]:
    """Mostly a run with its own token, at times with another's."""
    run_id = draw(run_ids)
    own = int(run_id.removeprefix("run_"))
    return run_id, draw(st.one_of(st.just(own), st.just(own), st.just(own), tokens))


def _bound(pool: str) -> JobBound:
    place = Binding(
        pool=pool,
        site=f"site-{pool}",
        option=0,
        need_milli=1,
        duration_ms=1,
        not_before_ms=0,
        planned_start_ms=0,
    )
    return JobBound(binding=place)


events: st.SearchStrategy[Event] = st.one_of(
    st.just(JobRefused(reason="nowhere")),
    st.sampled_from(["a", "b"]).map(_bound),
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
        lambda run, outcome: RunEnded(run_id=run[0], token=run[1], outcome=outcome, exit_code=None),
        about_a_run(),
        st.sampled_from(["succeeded", "failed", "cancelled", "lease-expired", "time-limit"]),
    ),
    st.builds(
        lambda run, seen: LeaseExpired(run_id=run[0], token=run[1], seen_expires_ms=seen),
        about_a_run(),
        times,
    ),
    st.just(CancelRequested()),
)


@st.composite
def likely_event(draw: st.DrawFn, state: JobState, last_run: int) -> Event:
    """An event that fits the state, so that sequences get somewhere; ids may still be old."""
    own = f"run_{last_run}", last_run
    if state is JobState.PENDING:
        return draw(st.sampled_from([_bound("a"), _bound("b"), CancelRequested()]))
    if state is JobState.BOUND:
        following = last_run + 1
        grant = LeaseGranted(run_id=f"run_{following}", token=following, lease_expires_ms=50)
        return draw(st.sampled_from([grant, grant, grant, JobUnbound(reason="closed")]))
    outcome = draw(st.sampled_from(["succeeded", "failed", "cancelled", "lease-expired"]))
    choices: list[Event] = [
        RunOffered(run_id=own[0], token=own[1], session=1),
        RunStarted(run_id=own[0], token=own[1]),
        LeaseRenewed(run_id=own[0], token=own[1], lease_expires_ms=draw(times)),
        LeaseExpired(run_id=own[0], token=own[1], seen_expires_ms=100),
        RunEnded(run_id=own[0], token=own[1], outcome=outcome, exit_code=None),  # type: ignore[arg-type]
        CancelRequested(),
    ]
    return draw(st.sampled_from(choices))


def _handle(record: JobRecord, event: Event, now_ms: int) -> Step | None:
    """None where the machine says that this cannot happen."""
    try:
        return machine.handle(record, event, now_ms)
    except InvalidTransition:
        return None


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_sequence_keeps_the_invariants(data: st.DataObject) -> None:
    record = machine.submit(JobSubmitted(job=JOB, attempts_max=3), 0).record
    seen: list[Event] = []
    settled: list[str] = []
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
        assert after.version == record.version + (not isinstance(event, LeaseRenewed))
        # What is over stays as it was; runs are only added at the end.
        for old, new in zip(record.runs, after.runs, strict=False):
            assert old == new or (old.live and (old.state, type(event)) in RUN_MOVES)
        assert len(after.runs) - len(record.runs) == isinstance(event, LeaseGranted)
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
    record = machine.submit(JobSubmitted(job=JOB, attempts_max=3), 0).record
    for _ in range(data.draw(st.integers(1, 15))):
        event = data.draw(likely_event(record.state, len(record.runs)))
        step = _handle(record, event, 200)
        if step is None:
            continue
        record = step.record
        if isinstance(event, RunStarted | RunEnded | RunOffered | LeaseRenewed | CancelRequested):
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
    assert reachable == set(JobState)
