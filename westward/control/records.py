"""What is known of one job at one moment: its state, where it is bound, and its runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from westward.model.job import JobSpec

ATTEMPTS_MAX_DEFAULT = 3
"""Runs of one job that may be lost by sites in all, before it is given up."""

HoldCode = Literal["after", "retry", "suspended", "money"]
PauseKind = Literal["suspend", "move", "preempt", "money"]


class JobState(StrEnum):
    HELD = "held"
    """Must not be placed yet: its ``holds`` say why (other jobs, a pause after a failure, its
    owner)."""
    PENDING = "pending"
    """Not placed (yet, or again)."""
    BOUND = "bound"
    """Has a pool and waits there for capacity, data or a better hour."""
    LEASED = "leased"
    """A run was granted; the site has not said that it started."""
    RUNNING = "running"
    SUSPENDING = "suspending"
    """Its run was asked to save and stop; the job goes on later (``pause`` says how). The site has
    not confirmed it and the lease has not ended."""
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
    """Stopped because the job's owner cancelled it."""
    PREEMPTED = "preempted"
    """Stopped on request, with time to save. Counts neither as lost nor as failed."""
    LOST = "lost"
    """The lease ended without word from the site, or the site stopped it unasked."""


LIVE_RUN_STATES: tuple[RunState, ...] = (RunState.LEASED, RunState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One thing a held job waits for. At most one of each code at a time.

    ``after``: the jobs of its request's ``after``; ``retry``: the time ``until_ms``;
    ``suspended``: its owner's ``resume``; ``money``: that whoever pays has enough again. ``text`` is
    for the owner.
    """

    code: HoldCode
    text: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why a run is asked to stop so that the job can go on later."""

    kind: PauseKind
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where the next run must be: the owner asked for it (``move``). Dropped when a run starts."""

    site: str
    pool: str | None = None
    """None = any of the site's pools."""


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
    """The run's number among all the job's runs, from 1."""
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

    @property
    def handed_back(self) -> bool:
        """The site said itself that nothing of it ever began there: its disk is full, say."""
        return (
            self.state is RunState.LOST
            and self.outcome == "lease-expired"
            and self.started_ms is None
        )


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
    holds: tuple[Hold, ...] = ()
    """What a held job waits for; empty in every other state."""
    pause: Pause | None = None
    """Set exactly while it is suspending."""
    aim: Aim | None = None

    @property
    def lost_runs(self) -> int:
        """Runs ended by a site's fault: their lease ended, or the site stopped them unasked."""
        return sum(run.state is RunState.LOST for run in self.runs)

    @property
    def unable_sites(self) -> frozenset[str]:
        """Sites that gave the job back before it began: others are tried first."""
        return frozenset(run.site for run in self.runs if run.handed_back)

    @property
    def failed_runs(self) -> int:
        """Runs ended by the job's own fault."""
        return sum(run.state is RunState.FAILED for run in self.runs)

    def hold(self, code: HoldCode) -> Hold | None:
        return next((hold for hold in self.holds if hold.code == code), None)

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
