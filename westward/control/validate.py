"""What must hold of every job record at every moment. Run by tests, and by the store on each write."""

from __future__ import annotations

from collections.abc import Iterator

from westward.control.records import JobRecord, JobState, RunState

_LIVE_JOB_STATES = (
    JobState.LEASED,
    JobState.RUNNING,
    JobState.SUSPENDING,
    JobState.CANCELLING,
)
_UNPLACED = (JobState.HELD, JobState.PENDING, JobState.REFUSED)


class BrokenInvariant(Exception):
    """A record that cannot be. Holds the record and every problem found."""

    def __init__(self, record: JobRecord, problems: tuple[str, ...]) -> None:
        self.record = record
        self.problems = problems
        super().__init__(f"{record.job_id}: " + "; ".join(problems) + f"\n  {record!r}")


def check(record: JobRecord) -> None:
    """Raises ``BrokenInvariant`` with everything that is wrong with the record."""
    problems = problems_of(record)
    if problems:
        raise BrokenInvariant(record, problems)


def problems_of(record: JobRecord) -> tuple[str, ...]:
    """Each broken invariant as a sentence; empty for a sound record."""
    return (*_job_problems(record), *_run_problems(record))


def _job_problems(record: JobRecord) -> Iterator[str]:
    live = sum(run.live for run in record.runs)
    state = record.state
    if live > 1:
        yield f"{live} runs hold a lease at once"
    if (live == 1) != (state in _LIVE_JOB_STATES):
        yield f"a job that is {state.value} has {live} live runs"
    if record.terminal != (record.finished_ms is not None):
        yield "finished_ms is set exactly for a job that is over"
    if (record.ending != "") != record.terminal:
        yield "an ending is told exactly for a job that is over"
    if state in _UNPLACED and record.bound is not None:
        yield f"a job that is {state.value} keeps a place"
    if (state is JobState.BOUND or state in _LIVE_JOB_STATES) and record.bound is None:
        yield f"a job that is {state.value} has no place"
    if state in (JobState.CANCELLING, JobState.CANCELLED) and record.cancel_requested_ms is None:
        yield f"a job that is {state.value} was never asked to stop"
    if state is JobState.SUCCEEDED and not (
        record.runs and record.runs[-1].state is RunState.SUCCEEDED
    ):
        yield "a job succeeded without a run that did"
    if record.lost_runs > record.attempts_max:
        yield f"{record.lost_runs} runs were lost, {record.attempts_max} attempts allowed"
    retry = record.job.retry
    failed_most = 1 if retry is None else retry.attempts
    if record.failed_runs > failed_most:
        yield f"{record.failed_runs} runs failed, {failed_most} allowed"
    yield from _hold_problems(record)
    run = record.live_run
    if run is not None:
        if run.state is RunState.LEASED and state is JobState.RUNNING:
            yield "the job is running, its run is not"
        if run.state is RunState.RUNNING and state is JobState.LEASED:
            yield "the run is running, its job is not"
        place = record.bound
        if place is not None and (run.pool, run.site) != (place.pool, place.site):
            yield f"the run is at {run.site}/{run.pool}, the job at {place.site}/{place.pool}"


def _hold_problems(record: JobRecord) -> Iterator[str]:
    state = record.state
    if (record.holds != ()) != (state is JobState.HELD):
        yield f"a job that is {state.value} has {len(record.holds)} holds"
    codes = [hold.code for hold in record.holds]
    if len(codes) != len(set(codes)):
        yield f"it is held twice for one reason: {codes}"
    if any((hold.until_ms is None) == (hold.code == "retry") for hold in record.holds):
        yield "a time is set exactly for a pause after a failure"
    if (record.pause is not None) != (state is JobState.SUSPENDING):
        yield "how it goes on is set exactly while it is being suspended"
    if state is JobState.SUSPENDING and record.job.checkpoint is None:
        yield "a job without a checkpoint is being suspended"
    if record.terminal and record.aim is not None:
        yield "a job that is over is to go somewhere"
    if record.hold("after") is not None and (record.runs or not record.job.after):
        yield "it waits for other jobs without a reason to"


def _run_problems(record: JobRecord) -> Iterator[str]:
    token = 0
    for index, run in enumerate(record.runs):
        if run.attempt != index + 1:
            yield f"run {run.run_id} counts as attempt {run.attempt}, it is number {index + 1}"
        if run.token <= token:
            yield f"run {run.run_id} has token {run.token}, the one before had {token}"
        token = run.token
        if run.live != (run.ended_ms is None):
            yield f"run {run.run_id}: ended_ms is set exactly for a run that is over"
        if run.live != (run.outcome is None):
            yield f"run {run.run_id}: an outcome is set exactly for a run that is over"
        if run.state is RunState.RUNNING and run.started_ms is None:
            yield f"run {run.run_id} runs without having started"
        if run.state is RunState.SUCCEEDED and index != len(record.runs) - 1:
            yield f"run {run.run_id} succeeded, and another was started after it"
