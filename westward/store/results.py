"""What the store takes and answers. Expected refusals are values with a reason, not exceptions."""

from __future__ import annotations

from dataclasses import dataclass

from westward.control.events import Event
from westward.control.instructions import Instruction
from westward.control.records import ATTEMPTS_MAX_DEFAULT, Binding, JobRecord, RunRecord
from westward.ledger.price import Bill
from westward.model.job import JobSpec
from westward.model.plan import Placement, Policy, Refusal
from westward.model.wire import HeldRun, SavedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """``body_digest`` is of the caller's own text: the same id with the same text is a repeat.

    ``refused``: a sentence, when no site of the network could ever take the job; it is then kept
    as refused, so that its owner can ask why.
    """

    job: JobSpec
    body_digest: str
    attempts_max: int = ATTEMPTS_MAX_DEFAULT
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """``created`` is false when the same submission was made before; ``record`` is as of now."""

    record: JobRecord
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """The id is taken by another request."""

    job_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event for one job. ``expected_version`` set: only if the job has not changed since."""

    job_id: str
    event: Event
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The event was accepted and is durable."""

    record: JobRecord
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """The job changed (or was never there): read again and decide again."""

    job_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFull:
    """Granting would put more on the pool than it has; the plan was made on an older view."""

    job_id: str
    pool: str
    need_milli: int
    free_milli: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRequest:
    """Start the bound job ``job_id`` as run ``run_id`` (made by the caller, never used before).

    ``place``: where the caller saw it bound. ``capacity_milli``: what that pool has in all.
    """

    job_id: str
    expected_version: int
    run_id: str
    place: Binding
    capacity_milli: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    site: str
    session: int
    agent_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOver:
    """A newer agent speaks for the site; ``newest`` None = no agent ever said hello."""

    site: str
    session: int
    newest: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    record: JobRecord
    run: RunRecord
    checkpoint_kept: bool = False
    """The server holds a checkpoint of the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePoll:
    """Answer to one poll. ``renewed`` holds the leases extended now, the offered ones included.

    ``stops``, ``pauses`` and ``unknown`` are run ids, sorted.
    """

    renewed: tuple[HeldRun, ...]
    offers: tuple[Offer, ...]
    stops: tuple[str, ...]
    unknown: tuple[str, ...]
    pauses: tuple[str, ...] = ()
    """Runs to be stopped with time to save."""
    broken: tuple[tuple[str, Exception], ...] = ()
    """(job id, what was raised): these jobs' runs could not be offered; the others were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRecord:
    site: str
    session: int
    agent_id: str
    pools: tuple[str, ...]
    hello_ms: int
    last_seen_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """Every job that is not over, in the order of submission, as of one snapshot version."""

    version: int
    records: tuple[JobRecord, ...]
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A row that is not what this version writes. It must not hide the other jobs."""

    job_id: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToSettle:
    """A run that is over and has no bill."""

    job_id: str
    run: RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTotal:
    """Bills summed by site. Carbon sums leave out runs whose carbon is not known;
    ``carbon_unknown_runs`` counts those without a location-based figure."""

    site: str
    runs: int
    carbon_unknown_runs: int
    sums: Bill


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What the run ``run_id`` left at ``site``. ``sent_bytes``: of it, what the server had not yet.
    ``at_server`` false: it was too large to be sent and lies at the site only."""

    job_id: str
    run_id: str
    site: str
    saved_ms: int
    size_bytes: int
    sent_bytes: int
    at_server: bool
    files: tuple[SavedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointMove:
    """A checkpoint brought from the server for ``run_id``; ``from_site`` had saved it."""

    run_id: str
    from_site: str
    to_site: str
    size_bytes: int
    moved_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEnd:
    """Bytes are known up to ``next_offset``. ``full``: the log reached its limit, the rest of
    this rank's output is dropped."""

    next_offset: int
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGap:
    """Bytes before this chunk are missing: send again from ``expected_offset``."""

    expected_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the planner last said of a job, and under which policy and snapshot."""

    job_id: str
    at_ms: int
    snapshot_version: int
    policy: Policy
    answer: Placement | Refusal
