"""Events in, exact instructions out; the record is validated after every step.

Each story opens with the situation that causes it. Time is in ms from an arbitrary zero; the lease
lasts 10 s unless a story says otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from westward.control import machine, validate
from westward.control.events import (
    CancelRequested,
    Event,
    JobBound,
    JobSubmitted,
    JobUnbound,
    LeaseExpired,
    LeaseGranted,
    LeaseRenewed,
    RunEnded,
    RunOffered,
    RunStarted,
)
from westward.control.instructions import ForgetRun, PlanAgain, SettleRun, StartRun, StopRun
from westward.control.machine import InvalidTransition, Step
from westward.control.records import Binding, JobRecord, JobState, RunState
from westward.model.job import JobSpec, ResourceOption

JOB = JobSpec(job_id="job_1", name="train", submit_ms=0, options=(ResourceOption(cpus_milli=1000),))
PLACE = Binding(
    pool="west-cpu",
    site="west",
    option=0,
    need_milli=1000,
    duration_ms=60_000,
    not_before_ms=0,
    planned_start_ms=0,
)
PLAN_AGAIN = PlanAgain(job_id="job_1")


def settle(run: int) -> SettleRun:
    return SettleRun(job_id="job_1", run_id=f"run_{run}", token=run * 10)


class Life:
    """A job driven event by event. Run n has the id ``run_n`` and the token n × 10."""

    def __init__(self, attempts_max: int = 3) -> None:
        step = machine.submit(JobSubmitted(job=JOB, attempts_max=attempts_max), 0)
        assert step.instructions == (PLAN_AGAIN,)
        self.record: JobRecord = step.record
        self.kinds = [line.kind for line in step.story]

    def on(self, event: Event, at_ms: int) -> Step:
        step = machine.handle(self.record, event, at_ms)
        validate.check(step.record)
        if step.ignored is not None:
            assert step.record is self.record
            assert step.instructions == ()
            assert step.story == ()
        self.record = step.record
        self.kinds += [line.kind for line in step.story]
        return step

    def bound(self, at_ms: int = 1) -> Life:
        self.on(JobBound(binding=PLACE), at_ms)
        return self

    def leased(self, run: int = 1, at_ms: int = 2) -> Life:
        self.on(
            LeaseGranted(run_id=f"run_{run}", token=run * 10, lease_expires_ms=at_ms + 10_000),
            at_ms,
        )
        self.on(RunOffered(run_id=f"run_{run}", token=run * 10, session=1), at_ms)
        return self

    def running(self, run: int = 1, at_ms: int = 3) -> Life:
        self.on(RunStarted(run_id=f"run_{run}", token=run * 10), at_ms)
        return self


def ended(run: int, outcome: str = "succeeded", exit_code: int | None = 0) -> RunEnded:
    return RunEnded(run_id=f"run_{run}", token=run * 10, outcome=outcome, exit_code=exit_code)  # type: ignore[arg-type]


def test_an_ordinary_life() -> None:
    """Nothing goes wrong."""
    life = Life().bound()
    step = life.on(LeaseGranted(run_id="run_1", token=10, lease_expires_ms=10_002), 2)
    assert step.instructions == (StartRun(site="west", job_id="job_1", run_id="run_1", token=10),)
    assert life.on(RunOffered(run_id="run_1", token=10, session=1), 3).instructions == ()
    assert life.on(RunStarted(run_id="run_1", token=10), 4).instructions == ()
    assert life.on(ended(1), 90_004).instructions == (settle(1), PLAN_AGAIN)
    assert life.record.state is JobState.SUCCEEDED
    assert life.record.ending == "Succeeded at west after 1m30s"
    assert life.kinds == ["submitted", "bound", "leased", "started", "succeeded"]


def test_the_agent_is_lost() -> None:
    """The site's machine loses power in mid-run: no report ever comes, its lease runs out."""
    life = Life().bound().leased().running()
    step = life.on(LeaseExpired(run_id="run_1", token=10, seen_expires_ms=10_002), 12_000)
    assert step.instructions == (
        ForgetRun(site="west", job_id="job_1", run_id="run_1", token=10),
        settle(1),
        PLAN_AGAIN,
    )
    assert life.record.state is JobState.PENDING
    assert life.record.bound is None
    assert life.record.runs[0].state is RunState.LOST
    life.bound(12_001).leased(2, 12_002).running(2, 12_003)
    assert [run.attempt for run in life.record.runs] == [1, 2]


def test_every_attempt_is_lost() -> None:
    """A job that takes its site down with it each time must not do so for ever."""
    life = Life(attempts_max=2)
    for run, at_ms in ((1, 0), (2, 20_000)):
        life.bound(at_ms).leased(run, at_ms).running(run, at_ms)
        lost = LeaseExpired(run_id=f"run_{run}", token=run * 10, seen_expires_ms=at_ms + 10_000)
        life.on(lost, at_ms + 12_000)
    assert life.record.state is JobState.FAILED
    assert "attempt 2 of 2" in life.record.ending


def test_the_end_is_reported_after_the_lease_expired() -> None:
    """The site was cut off, finished meanwhile, and reports when the job already runs elsewhere."""
    life = Life().bound().leased().running()
    life.on(LeaseExpired(run_id="run_1", token=10, seen_expires_ms=10_002), 12_000)
    life.bound(12_001).leased(2, 12_002)
    late = life.on(ended(1), 12_003)
    assert late.ignored is not None
    assert late.ignored.code == "run-over"
    assert life.record.live_run is not None
    assert life.record.live_run.run_id == "run_2"


def test_a_report_with_an_older_token() -> None:
    """A paused agent wakes and writes under a run id that was reused by a restored server."""
    life = Life().bound().leased()
    stale = life.on(RunEnded(run_id="run_1", token=9, outcome="succeeded", exit_code=0), 5)
    assert stale.ignored is not None
    assert stale.ignored.code == "stale-token"
    assert life.record.state is JobState.LEASED


def test_started_is_told_twice() -> None:
    """The answer to the first report was lost, so the agent repeats it."""
    life = Life().bound().leased().running()
    again = life.on(RunStarted(run_id="run_1", token=10), 9)
    assert again.ignored is not None
    assert again.ignored.code == "repeat"
    assert life.record.runs[0].started_ms == 3


def test_ended_is_told_twice() -> None:
    """As above; the job must neither end again nor be settled again."""
    life = Life().bound().leased().running()
    life.on(ended(1), 50)
    again = life.on(ended(1), 60)
    assert again.ignored is not None
    assert again.ignored.code == "repeat"
    assert life.record.finished_ms == 50


def test_ended_overtakes_started() -> None:
    """A job of a few ms; the two reports go over different connections."""
    life = Life().bound().leased()
    assert life.on(ended(1, "failed", 3), 5).instructions == (settle(1), PLAN_AGAIN)
    assert life.record.state is JobState.FAILED
    assert life.record.ending == "Failed at west with exit code 3"
    late = life.on(RunStarted(run_id="run_1", token=10), 6)
    assert late.ignored is not None
    assert late.ignored.code == "repeat"


def test_a_failed_job_is_not_tried_again() -> None:
    """A bug in the job would fail at every site and be paid for at every site."""
    life = Life().bound().leased().running()
    life.on(ended(1, "failed", 1), 50)
    assert life.record.state is JobState.FAILED
    assert len(life.record.runs) == 1


def test_cancelled_while_pending() -> None:
    """The owner sees a typing error a second after submitting."""
    life = Life()
    assert life.on(CancelRequested(), 1).instructions == (PLAN_AGAIN,)
    assert life.record.state is JobState.CANCELLED
    again = life.on(CancelRequested(), 2)
    assert again.ignored is not None
    assert again.ignored.code == "job-over"


def test_cancelled_between_grant_and_poll() -> None:
    """A lease was granted, and no agent has heard of it: there is nothing to stop and nobody to
    wait for."""
    life = Life().bound()
    life.on(LeaseGranted(run_id="run_1", token=10, lease_expires_ms=10_002), 2)
    assert life.on(CancelRequested(), 3).instructions == (settle(1), PLAN_AGAIN)
    assert life.record.state is JobState.CANCELLED
    assert life.record.runs[0].outcome == "never-offered"


def test_cancelled_while_leased() -> None:
    """The agent was told and may be starting it this moment: only it can say that nothing runs."""
    life = Life().bound().leased()
    step = life.on(CancelRequested(), 5)
    assert step.instructions == (StopRun(site="west", job_id="job_1", run_id="run_1", token=10),)
    assert life.record.state is JobState.CANCELLING
    life.on(RunStarted(run_id="run_1", token=10), 6)
    assert life.record.state is JobState.CANCELLING
    assert life.on(ended(1, "cancelled", -15), 9).instructions == (settle(1), PLAN_AGAIN)
    assert life.record.state is JobState.CANCELLED
    assert life.record.lost_runs == 0, "nobody lost it"


def test_cancelled_and_the_site_never_answers() -> None:
    """The stop cannot be delivered: the end of the lease proves that nothing runs any more."""
    life = Life().bound().leased().running()
    life.on(CancelRequested(), 5)
    life.on(LeaseExpired(run_id="run_1", token=10, seen_expires_ms=10_002), 12_000)
    assert life.record.state is JobState.CANCELLED


def test_it_finishes_before_the_stop_arrives() -> None:
    """The work was done and the result lies there: to call it cancelled would be untrue."""
    life = Life().bound().leased().running()
    life.on(CancelRequested(), 5)
    life.on(ended(1), 6)
    assert life.record.state is JobState.SUCCEEDED


def test_its_pool_closes_before_it_starts() -> None:
    """The operator cordons a pool that has a queue."""
    life = Life().bound()
    step = life.on(JobUnbound(reason="pool west-cpu takes no new work"), 2)
    assert step.instructions == (PLAN_AGAIN,)
    assert life.record.state is JobState.PENDING
    assert life.record.bound is None


def test_it_waits_and_another_pool_is_free_before_its_own() -> None:
    """It looked at all pools again: bound anew in one step, it is never without a place."""
    life = Life().bound()
    elsewhere = replace(PLACE, site="east", pool="east-cpu")
    step = life.on(JobBound(binding=elsewhere, reason="cheaper", leaves="west-cpu"), 2)
    assert step.instructions == ()
    assert [line.text for line in step.story] == [
        "Placed in pool east-cpu at east in place of west-cpu, where it waited: cheaper"
    ]
    assert life.record.bound == elsewhere
    life.leased()
    assert life.record.runs[0].site == "east"


@pytest.mark.parametrize("leaves", ["", "north-cpu"])
def test_it_is_placed_anew_by_somebody_who_did_not_know_where_it_waits(leaves: str) -> None:
    """A second planner, or a plan made on an old view."""
    life = Life().bound()
    with pytest.raises(InvalidTransition, match="it is bound to west-cpu"):
        life.on(JobBound(binding=PLACE, leaves=leaves), 2)
    with pytest.raises(InvalidTransition, match="it is bound to no pool"):
        Life().on(JobBound(binding=PLACE, leaves="west-cpu"), 1)


def test_the_server_restarts_mid_run() -> None:
    """The server was away for less than a lease. Its expiry loop reads an old lease end while the
    agent's first poll renews it: the renewal wins, the run goes on."""
    life = Life().bound().leased().running()
    life.on(LeaseRenewed(run_id="run_1", token=10, lease_expires_ms=22_000), 12_000)
    step = life.on(LeaseExpired(run_id="run_1", token=10, seen_expires_ms=10_002), 12_001)
    assert step.ignored is not None
    assert step.ignored.code == "lease-renewed"
    life.on(ended(1), 13_000)
    assert life.record.state is JobState.SUCCEEDED


def test_an_old_renewal_does_not_shorten_the_lease() -> None:
    """Two polls overtake each other."""
    life = Life().bound().leased()
    life.on(LeaseRenewed(run_id="run_1", token=10, lease_expires_ms=30_000), 20_000)
    life.on(LeaseRenewed(run_id="run_1", token=10, lease_expires_ms=25_000), 15_000)
    assert life.record.runs[0].lease_expires_ms == 30_000


def test_the_site_stopped_it_for_want_of_a_lease() -> None:
    """The site's supervisor killed the job on time and says so before the server's margin is
    over: the next run need not wait for it."""
    life = Life().bound().leased().running()
    step = life.on(ended(1, "lease-expired", -9), 10_500)
    assert step.instructions == (settle(1), PLAN_AGAIN)
    assert life.record.state is JobState.PENDING
    assert life.record.runs[0].state is RunState.LOST


def test_another_agent_is_not_offered_the_same_run() -> None:
    """The agent was restarted after it was told of a run: the new one cannot know whether the old
    one started it."""
    life = Life().bound().leased()
    step = life.on(RunOffered(run_id="run_1", token=10, session=2), 5)
    assert step.ignored is not None
    assert step.ignored.code == "run-over"


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (JobBound(binding=PLACE), "no move from running"),
        (LeaseGranted(run_id="run_2", token=11, lease_expires_ms=99), "no move from running"),
        (LeaseExpired(run_id="run_1", token=10, seen_expires_ms=10_002), "has not ended"),
    ],
)
def test_what_cannot_happen_raises_with_the_story(event: Event, problem: str) -> None:
    """A bug in the server, not a late message: it must not be papered over."""
    life = Life().bound().leased().running()
    with pytest.raises(InvalidTransition) as caught:
        machine.handle(life.record, event, 9)
    assert problem in str(caught.value)
    assert "run run_1 attempt 1 at west/west-cpu, token 10: running" in str(caught.value)


def test_a_token_that_does_not_rise_raises() -> None:
    """A store restored from an old copy would hand out tokens again."""
    life = Life().bound().leased()
    life.on(LeaseExpired(run_id="run_1", token=10, seen_expires_ms=10_002), 12_000)
    life.bound(12_001)
    with pytest.raises(InvalidTransition, match="did not rise"):
        machine.handle(
            life.record, LeaseGranted(run_id="run_2", token=10, lease_expires_ms=99_999), 12_002
        )


def test_a_start_that_is_told_late_is_dated_back_but_not_before_its_lease() -> None:
    """The server was away: the run is priced from when it began."""
    life = Life().bound().leased(at_ms=2_000)
    life.on(RunStarted(run_id="run_1", token=10, ago_ms=500), 3_000)
    assert life.record.runs[0].started_ms == 2_500
    for ago_ms, started_ms in ((99_999, 2_000), (-7, 3_000)):
        life = Life().bound().leased(at_ms=2_000)
        life.on(RunStarted(run_id="run_1", token=10, ago_ms=ago_ms), 3_000)
        assert life.record.runs[0].started_ms == started_ms
