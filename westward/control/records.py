"""What is known of one job at one moment: its state, where it is bound, and its runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from westward.model.job import JobSpec

ATTEMPTS_MAX_DEFAULT = 3
"""Runs one job may be given in all, when each one before was lost."""


class JobState(StrEnum):
    PENDING = "pending"
    """Not placed (yet, or again)."""
    BOUND = "bound"
    """Has a pool and waits there for capacity, data or a better hour."""
    LEASED = "leased"
    """A run was granted; the site has not said that it started."""
    RUNNING = "running"
    CANCELLING = "cancelling"
    """A stop was asked for; the site has not confirmed it and the lease has not ended."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    """No site of the network could ever take it."""


TERMINAL_JOB_STATES: tuple[JobState, ...] = (
    JobState.SUCCEEDED,
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.REFUSED,
)
ACTIVE_JOB_STATES: tuple[JobState, ...] = tuple(
    state for state in JobState if state not in TERMINAL_JOB_STATES
)


class RunState(StrEnum):
    LEASED = "leased"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """The lease ended without word from the site, or the site stopped it for want of a lease."""


LIVE_RUN_STATES: tuple[RunState, ...] = (RunState.LEASED, RunState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where a job is to run. Kept while it runs and after it ended; dropped on the way back."""

    pool: str
    site: str
    option: int
    """Index into ``JobSpec.options``."""
    need_milli: int
    duration_ms: int
    """Expected there, after the pool's relative speed."""
    not_before_ms: int
    planned_start_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One attempt. ``token`` is the fencing token under which its lease was granted."""

    run_id: str
    attempt: int
    """Counts from 1."""
    pool: str
    site: str
    token: int
    need_milli: int
    state: RunState
    lease_expires_ms: int
    """On the server's clock."""
    granted_ms: int
    offered_session: int | None = None
    """The agent session that was told of it; None = no agent ever heard of this run."""
    started_ms: int | None = None
    ended_ms: int | None = None
    outcome: str | None = None
    """The site's own word (``model.wire.Outcome``), or ``lost`` / ``never-offered``."""
    exit_code: int | None = None
    detail: str = ""

    @property
    def live(self) -> bool:
        return self.state in LIVE_RUN_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job and everything that happened to it. ``version`` rises with every accepted event
    except a lease renewal (which changes nothing a planner or user would act on)."""

    job: JobSpec
    state: JobState
    version: int = 1
    bound: Binding | None = None
    runs: tuple[RunRecord, ...] = ()
    """By attempt."""
    cancel_requested_ms: int | None = None
    attempts_max: int = ATTEMPTS_MAX_DEFAULT
    changed_ms: int
    finished_ms: int | None = None
    ending: str = ""
    """One sentence on how it ended; empty while it is active."""

    @property
    def job_id(self) -> str:
        return self.job.job_id

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL_JOB_STATES

    @property
    def live_run(self) -> RunRecord | None:
        """The run that holds a lease, if any (``validate`` holds that there is at most one)."""
        for run in reversed(self.runs):
            if run.live:
                return run
        return None

    def run(self, run_id: str) -> RunRecord | None:
        for run in self.runs:
            if run.run_id == run_id:
                return run
        return None
