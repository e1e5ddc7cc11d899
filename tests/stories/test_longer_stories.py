"""Jobs that wait for others, are stopped to go on later, and are tried again.

As in ``test_job_stories``: events in, exact states, instructions and sentences out.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_job_stories import JOB, PLACE, PLAN_AGAIN, ended, settle

from westward.control import machine, validate
from westward.control.events import (
    AfterFailed,
    CancelRequested,
    Event,
    HoldEnded,
    JobBound,
    JobSubmitted,
    LeaseExpired,
    LeaseGranted,
    PauseRequested,
    ResumeRequested,
    RunEnded,
    RunOffered,
    RunStarted,
)
from westward.control.instructions import StopRun
from westward.control.machine import InvalidTransition, Step
from westward.control.records import Aim, JobRecord, JobState, RunState
from westward.model.job import After, Checkpoint, JobSpec, Retry

SAVES = replace(JOB, checkpoint=Checkpoint(path="last.npz", every_ms=1_000))
SUSPEND = PauseRequested(kind="suspend")
STOP = StopRun(site="west", job_id="job_1", run_id="run_1", token=10)


class Life:
    def __init__(self, job: JobSpec = SAVES, attempts_max: int = 3) -> None:
        step = machine.submit(JobSubmitted(job=job, attempts_max=attempts_max), 0)
        validate.check(step.record)
        self.record: JobRecord = step.record
        self.kinds = [line.kind for line in step.story]

    def on(self, event: Event, at_ms: int) -> Step:
        step = machine.handle(self.record, event, at_ms)
        validate.check(step.record)
        self.record = step.record
        self.kinds += [line.kind for line in step.story]
        return step

    def running(self, run: int = 1, at_ms: int = 3) -> Life:
        self.on(JobBound(binding=PLACE), at_ms)
        self.leased(run, at_ms)
        self.on(RunStarted(run_id=f"run_{run}", token=run * 10), at_ms)
        return self

    def leased(self, run: int, at_ms: int) -> Life:
        grant = LeaseGranted(run_id=f"run_{run}", token=run * 10, lease_expires_ms=at_ms + 10_000)
        self.on(grant, at_ms)
        self.on(RunOffered(run_id=f"run_{run}", token=run * 10, session=1), at_ms)
        return self

    @property
    def codes(self) -> list[str]:
        return [hold.code for hold in self.record.holds]


def test_suspended_in_mid_run_and_resumed() -> None:
    life = Life().running()
    assert life.on(SUSPEND, 5_000).instructions == (STOP,)
    assert life.record.state is JobState.SUSPENDING
    assert life.on(SUSPEND, 5_001).ignored is not None
    step = life.on(ended(1, "preempted", None), 6_003)
    assert step.instructions == (settle(1), PLAN_AGAIN)
    assert step.story[0].text == (
        "Stopped at west after 6s, with time to save; it goes on when its owner resumes it"
    )
    assert (life.record.state, life.codes) == (JobState.HELD, ["suspended"])
    assert life.record.bound is None
    with pytest.raises(InvalidTransition):
        life.on(JobBound(binding=PLACE), 7_000)
    assert life.on(ResumeRequested(), 8_000).instructions == (PLAN_AGAIN,)
    assert life.record.state is JobState.PENDING
    life.running(2, 8_001)
    assert [run.state for run in life.record.runs] == [RunState.PREEMPTED, RunState.RUNNING]
    assert (life.record.lost_runs, life.record.failed_runs) == (0, 0)
    life.on(ended(2), 9_000)
    assert life.kinds == [
        "submitted", "bound", "leased", "started", "suspend-requested", "preempted",
        "resume-requested", "bound", "leased", "started", "succeeded",
    ]  # fmt: skip


def test_a_hundred_preemptions_cost_no_attempt() -> None:
    """A job of low priority at a busy site: two losses end it, and only those."""
    life = Life(attempts_max=2)
    for run in range(1, 101):
        life.running(run, run * 100)
        life.on(PauseRequested(kind="preempt", by="the planner"), run * 100 + 1)
        life.on(ended(run, "preempted", None), run * 100 + 2)
        assert life.record.state is JobState.PENDING
    life.running(101, 20_000)
    life.on(ended(101, "lease-expired", None), 20_001)
    assert life.record.state is JobState.PENDING, "the first loss of two that are allowed"
    life.running(102, 20_002)
    life.on(ended(102, "lease-expired", None), 20_003)
    assert life.record.state is JobState.FAILED
    assert life.record.ending.endswith("in attempt 2 of 2")


def test_moved_while_it_runs() -> None:
    """The aim is kept until a run has started somewhere, then dropped."""
    life = Life().running()
    aim = Aim(site="east")
    assert life.on(PauseRequested(kind="move", aim=aim), 4).instructions == (STOP,)
    step = life.on(ended(1, "preempted", None), 5)
    assert step.story[0].text.endswith("it goes on at east")
    assert (life.record.state, life.record.aim) == (JobState.PENDING, aim)
    life.on(JobBound(binding=replace(PLACE, site="east", pool="east-cpu")), 6)
    life.leased(2, 7)
    assert life.record.aim == aim, "not there yet"
    life.on(RunStarted(run_id="run_2", token=20), 8)
    assert life.record.aim is None
    told = life.on(PauseRequested(kind="move", aim=aim), 9).ignored
    assert told is not None
    assert told.code == "there-already"


def test_moved_before_it_runs() -> None:
    life = Life(JOB)
    life.on(JobBound(binding=PLACE), 1)
    life.on(PauseRequested(kind="move", aim=Aim(site="east", pool="east-cpu")), 2)
    assert (life.record.state, life.record.bound) == (JobState.PENDING, None)
    assert life.on(PauseRequested(kind="move", aim=Aim(site="east", pool="east-cpu")), 3).ignored


def test_without_a_checkpoint_a_run_is_left_alone() -> None:
    life = Life(JOB).running()
    for event in (SUSPEND, PauseRequested(kind="preempt", by="the planner")):
        told = life.on(event, 5).ignored
        assert told is not None
        assert told.code == "no-checkpoint"
    assert life.record.state is JobState.RUNNING


def test_without_a_checkpoint_a_waiting_job_can_be_held() -> None:
    life = Life(JOB)
    life.on(SUSPEND, 1)
    assert life.codes == ["suspended"]
    life.on(ResumeRequested(), 2)
    assert life.record.state is JobState.PENDING


def test_suspended_before_any_agent_was_told() -> None:
    """No agent can have started it: it need not be asked."""
    life = Life()
    life.on(JobBound(binding=PLACE), 1)
    life.on(LeaseGranted(run_id="run_1", token=10, lease_expires_ms=10_000), 2)
    assert life.on(SUSPEND, 3).instructions == (settle(1), PLAN_AGAIN)
    assert life.record.state is JobState.HELD
    assert life.record.runs[0].state is RunState.PREEMPTED


def test_it_ends_before_the_stop_reaches_it() -> None:
    life = Life().running()
    life.on(SUSPEND, 4)
    life.on(ended(1), 5)
    assert life.record.state is JobState.SUCCEEDED


def test_resumed_before_it_has_stopped() -> None:
    """The stop is on its way and cannot be called back: it stops, and goes on at once."""
    life = Life().running()
    life.on(SUSPEND, 4)
    assert life.on(ResumeRequested(), 5).instructions == ()
    life.on(ended(1, "preempted", None), 6)
    assert life.record.state is JobState.PENDING


def test_the_owner_comes_before_the_planner() -> None:
    life = Life().running()
    life.on(PauseRequested(kind="preempt", by="the planner"), 4)
    life.on(SUSPEND, 5)
    assert life.on(PauseRequested(kind="preempt", by="the planner"), 6).ignored is not None
    life.on(ended(1, "preempted", None), 7)
    assert life.codes == ["suspended"]


def test_the_site_is_lost_while_it_suspends() -> None:
    """Power fails between the stop and the report: a loss, and the owner's wish still holds."""
    life = Life().running()
    life.on(SUSPEND, 4)
    life.on(LeaseExpired(run_id="run_1", token=10, seen_expires_ms=10_003), 12_000)
    assert (life.record.state, life.codes) == (JobState.HELD, ["suspended"])
    assert life.record.lost_runs == 1


def test_cancelled_while_it_suspends() -> None:
    life = Life().running()
    life.on(SUSPEND, 4)
    assert life.on(CancelRequested(), 5).instructions == (STOP,)
    life.on(ended(1, "preempted", None), 6)
    assert life.record.state is JobState.CANCELLED
    assert life.record.runs[0].state is RunState.CANCELLED


def test_the_sites_own_scheduler_takes_its_place() -> None:
    """Slurm preempts the run; nobody here asked."""
    life = Life(JOB).running()
    step = life.on(ended(1, "preempted", None), 5)
    assert step.story[0].text == (
        "west needed its place and stopped the run; it will be placed again"
    )
    assert (life.record.state, life.record.lost_runs) == (JobState.PENDING, 0)


AFTER = replace(JOB, after=(After(job_id="job_0", name="prepare"),))


def test_it_waits_for_another() -> None:
    life = Life(AFTER)
    assert (life.record.state, life.codes) == (JobState.HELD, ["after"])
    assert life.record.holds[0].text == "waits for prepare"
    life.on(SUSPEND, 1)
    life.on(HoldEnded(code="after", reason="prepare is over"), 2)
    assert life.codes == ["suspended"], "its owner holds it still"
    assert life.on(HoldEnded(code="after", reason="prepare is over"), 3).ignored is not None
    life.on(ResumeRequested(), 4)
    assert life.record.state is JobState.PENDING


def test_what_it_waits_for_has_failed() -> None:
    life = Life(AFTER)
    life.on(AfterFailed(job_id="job_0", reason="prepare (job_0) is failed"), 5)
    assert life.record.state is JobState.CANCELLED
    assert "after-failed" in life.record.ending
    assert "prepare (job_0)" in life.record.ending
    assert life.on(AfterFailed(job_id="job_0", reason="again"), 6).ignored is not None


def failed(run: int, code: int | None) -> RunEnded:
    return ended(run, "failed", code)


def test_tried_again_with_growing_pauses_then_given_up() -> None:
    """A flaky download exits with 75; the third time is once too often."""
    life = Life(replace(JOB, retry=Retry(attempts=3, on_exit_codes=(75,), backoff_ms=1_000)))
    life.running(1, 3)
    step = life.on(failed(1, 75), 5)
    assert life.codes == ["retry"]
    assert life.record.holds[0].until_ms == 1_005
    assert step.story[0].text == (
        "Failed at west with exit code 75; failure 1 of 3 allowed, tried again in 1s"
    )
    life.on(HoldEnded(code="retry", reason="over"), 1_005)
    life.running(2, 1_006)
    life.on(failed(2, 75), 1_007)
    assert life.record.holds[0].until_ms == 3_007, "twice as long"
    life.on(HoldEnded(code="retry", reason="over"), 3_007)
    life.running(3, 3_008)
    life.on(failed(3, 75), 3_009)
    assert life.record.state is JobState.FAILED
    assert life.record.ending.endswith("failure 3 of 3 allowed")


def test_losses_and_failures_are_counted_apart() -> None:
    life = Life(replace(JOB, retry=Retry(attempts=2, backoff_ms=0)), attempts_max=2)
    life.running(1, 3)
    life.on(ended(1, "lease-expired", None), 4)
    life.running(2, 5)
    life.on(failed(2, 1), 6)
    assert (life.record.lost_runs, life.record.failed_runs) == (1, 1)
    life.on(HoldEnded(code="retry", reason="over"), 7)
    life.running(3, 8)
    life.on(ended(3), 9)
    assert life.record.state is JobState.SUCCEEDED


def test_a_failure_while_it_suspends_waits_for_both() -> None:
    life = Life(replace(SAVES, retry=Retry(attempts=2, backoff_ms=10)))
    life.running(1, 3)
    life.on(SUSPEND, 4)
    life.on(failed(1, 1), 5)
    assert life.codes == ["retry", "suspended"]
    life.on(HoldEnded(code="retry", reason="over"), 15)
    assert life.codes == ["suspended"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (2, "never on exit code 2"),
        (4, "exit code 4 is not one of those to retry"),
        (None, "it left no exit code"),
    ],
)
def test_failures_that_are_not_tried_again(code: int | None, why: str) -> None:
    policy = Retry(attempts=5, on_exit_codes=(75, 137), never_on=(2,))
    life = Life(replace(JOB, retry=policy)).running()
    life.on(failed(1, code), 5)
    assert life.record.state is JobState.FAILED
    assert why in life.record.ending


def test_killed_by_a_signal_counts_as_in_a_shell() -> None:
    """The kernel kills it for its memory: -9 at the site, 137 in the job file."""
    life = Life(replace(JOB, retry=Retry(attempts=2, on_exit_codes=(137,)))).running()
    life.on(failed(1, -9), 5)
    assert life.record.state is JobState.HELD


def test_not_tried_again_when_it_could_not_end_by_its_deadline() -> None:
    """A run takes a minute there; half a minute is left."""
    late = replace(JOB, retry=Retry(attempts=5, backoff_ms=0), deadline_ms=90_000)
    life = Life(late).running(1, 3)
    life.on(failed(1, 1), 60_000)
    assert life.record.state is JobState.FAILED
    assert "could not end by its deadline" in life.record.ending
    saved = replace(late, checkpoint=Checkpoint(path="c", every_ms=1_000))
    life = Life(saved).running(1, 3)
    life.on(failed(1, 1), 60_000)
    assert life.record.state is JobState.HELD, "most of it may be done already"


def test_a_time_limit_is_not_a_failure_to_try_again() -> None:
    life = Life(replace(JOB, retry=Retry(attempts=5))).running()
    life.on(ended(1, "time-limit", None), 5)
    assert life.record.state is JobState.FAILED


def test_money_runs_out_in_mid_run_and_comes_again() -> None:
    life = Life().running()
    assert life.on(PauseRequested(kind="money", by="the budget"), 9).instructions == (STOP,)
    assert life.record.state is JobState.SUSPENDING
    life.on(ended(1, "preempted", 0), 10)
    assert (life.record.state, life.codes) == (JobState.HELD, ["money"])
    ignored = life.on(ResumeRequested(), 11)
    assert ignored.ignored is not None, "its owner cannot wish money into being"
    life.on(HoldEnded(code="money", reason="The pot was filled"), 12)
    assert life.record.state is JobState.PENDING
    assert life.kinds[-3:] == ["money-requested", "preempted", "released"]
    assert (life.record.lost_runs, life.record.failed_runs) == (0, 0)


def test_no_money_before_the_start() -> None:
    life = Life(JOB)
    life.on(JobBound(binding=PLACE), 3)
    life.on(PauseRequested(kind="money", by="the budget", reason="5.00 CNY are left, 9 asked"), 4)
    assert (life.record.state, life.codes) == (JobState.HELD, ["money"])
    assert "5.00 CNY are left" in life.record.holds[0].text
    assert life.record.bound is None
    assert life.on(PauseRequested(kind="money", by="the budget"), 5).ignored is not None


def test_a_run_that_saves_nothing_is_not_stopped_for_money() -> None:
    """Who would rather lose the work than bear the rest cancels it: that is another event."""
    life = Life(JOB).running()
    ignored = life.on(PauseRequested(kind="money", by="the budget"), 9).ignored
    assert ignored is not None
    assert ignored.code == "no-checkpoint"
