"""What happened, in the past tense. The only input by which a job changes.

Reports about a run carry its id and fencing token, so that a late one can be told from a valid one.
"""

from __future__ import annotations

from dataclasses import dataclass

from westward.control.records import ATTEMPTS_MAX_DEFAULT, Aim, Binding, HoldCode, PauseKind
from westward.model.job import JobSpec
from westward.model.wire import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted:
    """First event of every job; ``machine.submit`` takes it."""

    job: JobSpec
    attempts_max: int = ATTEMPTS_MAX_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRefused:
    """No site of this network could ever take it. ``reason`` is a sentence for the owner."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBound:
    """A plan was accepted for this job. ``reason``: why there and then, for the owner."""

    binding: Binding
    reason: str = ""
    leaves: str = ""
    """The pool where it waited until now; empty: it was bound nowhere. Who names another than the
    one it is bound to has planned on an old view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUnbound:
    """Its pool closed (or is gone) before it started; it will be placed again."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseGranted:
    """A run may start. The store raised ``token`` for this grant and no other."""

    run_id: str
    token: int
    lease_expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOffered:
    """The site's agent was told of the run (again, if the answer may have been lost)."""

    run_id: str
    token: int
    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRenewed:
    run_id: str
    token: int
    lease_expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """``ago_ms``: how long before this was heard."""

    run_id: str
    token: int
    ago_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The site says that nothing of this run is left running there."""

    run_id: str
    token: int
    outcome: Outcome
    exit_code: int | None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseExpired:
    """The lease and the margin after it are over. ``seen_expires_ms`` is the end of the lease as
    the observer read it: if it was renewed meanwhile, the event is ignored."""

    run_id: str
    token: int
    seen_expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """``by`` says who asked, for the story."""

    by: str = "the owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested:
    """Stop the run so that the job can go on later, without the loss of an attempt.

    ``suspend``: until its owner resumes it; ``move``: at once, at ``aim``; ``preempt``: wherever
    the planner says; ``money``: until somebody can pay for it again. A job without a run is held
    (suspend, money) or aimed (move) as it stands.
    ``reason`` is a clause for the owner.
    """

    kind: PauseKind
    by: str = "the owner"
    aim: Aim | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequested:
    by: str = "the owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldEnded:
    """What a held job waited for has come: the jobs before it ended as asked, or the pause after a
    failure is over. ``reason`` is a sentence for the owner."""

    code: HoldCode
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterFailed:
    """A job that this one was to follow ended otherwise than asked: this one can never start."""

    job_id: str
    reason: str


RunEvent = RunOffered | LeaseRenewed | RunStarted | RunEnded | LeaseExpired
"""About a run that was granted before: matched by (run_id, token), ignored when stale."""
HoldEvent = PauseRequested | ResumeRequested | HoldEnded | AfterFailed
Event = JobRefused | JobBound | JobUnbound | LeaseGranted | RunEvent | HoldEvent | CancelRequested
