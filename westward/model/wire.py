"""Messages between agent and server. Plain frozen values; the edges turn them into JSON.

Durations go over the wire, never deadlines: the two ends' clocks need not agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from westward.model.dataset import DataFile
from westward.model.job import DataInput, DataOutput, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """An agent introduces itself. ``agent_id`` is new for every agent process."""

    site: str
    agent_id: str
    pools: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """``agent_session`` is a rising integer per site; an older session is refused with 409."""

    agent_session: int
    lease_ttl_ms: int
    poll_wait_ms: int
    rotate_ms: int | None = None
    """A joined site's credential is to be renewed when it is this old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRun:
    """A run the agent still has (starting, running, or ended but not yet acknowledged)."""

    run_id: str
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    agent_session: int
    site: str
    runs: tuple[HeldRun, ...]
    wait_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointOrder:
    """Where a run finds what the job's earlier runs saved, and saves to itself.

    The site's own copy is the newest exactly if ``last_run_id`` wrote it; else the server's is, if
    it has one.
    """

    path: str
    """Below the folder that the site keeps for the job; told as WESTWARD_CHECKPOINT."""
    last_run_id: str | None = None
    """The job's last run that started, at any site; None = it never started before."""
    server_has: bool = False
    """The server holds a checkpoint of this job: the agent asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Leave to start one run. ``ttl_ms`` counts from before the agent sent its poll."""

    run_id: str
    job_id: str
    attempt: int
    token: int
    ttl_ms: int
    pool: str
    nodes: int
    devices_per_node_milli: int
    accelerator: str | None
    cpus_per_node_milli: int
    memory_per_node_mib: int
    time_limit_ms: int | None
    """Kill the run after this long; None = no limit stated."""
    work: Work
    gpus_per_node: int = 0
    """Accelerators the job asked for per node, as it is told (SKYPILOT_NUM_GPUS_PER_NODE);
    ``devices_per_node_milli`` is the share of a node that is held and metered."""
    stop_signal: str = "TERM"
    """Sent to the job's processes when it must stop; a job that saves a checkpoint may name another."""
    grace_ms: int | None = None
    """From that signal to KILL; None = the engine's own. The lease's end comes first."""
    checkpoint: CheckpointOrder | None = None
    """Set for a job that saves checkpoints."""
    inputs: tuple[DataInput, ...] = ()
    """Data sets to be brought before the run starts."""
    outputs: tuple[DataOutput, ...] = ()
    """What is to be published once it has succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewedLease:
    run_id: str
    token: int
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PollAnswer:
    """``stops``: end these runs and report. ``unknown``: not yours any more, kill and forget.
    ``pauses``: end these runs as "preempted", with time to save; their jobs go on later."""

    grants: tuple[Grant, ...]
    stops: tuple[str, ...]
    leases: tuple[RenewedLease, ...]
    unknown: tuple[str, ...]
    pauses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """``ago_ms``: how long ago, by the site's clock; the server may have been away since."""

    token: int
    ago_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Metered use over one interval of a run. (run, sequence) is its key: a repeat is ignored.

    ``wall_ms`` is the interval's length, ``device_milli_ms`` devices held × that, ``cpu_ms`` and
    ``max_rss_kib`` as measured by the operating system (cumulative maxima for the latter).
    """

    sequence: int
    wall_ms: int
    device_milli_ms: int
    cpu_ms: int
    max_rss_kib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    token: int
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """Bytes of one rank's output from ``offset``, base64; a repeat of known bytes is ignored."""

    token: int
    rank: int
    offset: int
    data_b64: str


Outcome = Literal["succeeded", "failed", "cancelled", "lease-expired", "time-limit", "preempted"]
"""preempted: stopped on request (of its owner, the planner or the site's scheduler) with time to
save; the job goes on later and no attempt is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """``exit_code`` is the first non-zero of the gang's ranks; negative = killed by that signal."""

    token: int
    outcome: Outcome
    exit_code: int | None
    detail: str
    readings: tuple[Reading, ...]
    """The last readings, so that ending and settling is one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    accepted: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFile:
    """One file of a checkpoint, or with ``link`` a symbolic link within it (no bytes, no digest).
    ``path`` and ``link`` count from the job's checkpoint folder and the link's own."""

    path: str
    size_bytes: int = 0
    sha256: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCheckpoint:
    """What a run left. Sent again after the missing parts were, until ``missing`` is empty."""

    token: int
    files: tuple[SavedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointAnswer:
    """``missing``: (sha256, bytes that the server has of it). Empty and accepted: it is kept."""

    accepted: bool
    reason: str = ""
    missing: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPart:
    """Bytes of the file with this digest and size from ``offset``, base64. A repeat is harmless."""

    token: int
    sha256: str
    size_bytes: int
    offset: int
    data_b64: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAnswer:
    """``next_offset``: what the server has; not after what was sent means: go on from there."""

    accepted: bool
    next_offset: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointAsk:
    """What does the server hold for this run's job?"""

    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAsk:
    """Up to ``most`` bytes of a file of it from ``offset``."""

    token: int
    sha256: str
    offset: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartData:
    data_b64: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCheckpoint:
    """What the server holds for a job; ``site`` saved it in ``run_id``. Empty: nothing."""

    run_id: str = ""
    site: str = ""
    files: tuple[SavedFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFetched:
    """A site has brought the server's checkpoint to itself; ``size_bytes`` went over the line."""

    token: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataAsk:
    """Where may this run read the data set from? ``refused``: sites whose copy was found wrong
    (``problem`` says how, of the last one) or could not be read from here."""

    token: int
    dataset: str
    version: int
    refused: tuple[str, ...] = ()
    suspect: bool = False
    """The last of ``refused`` holds other bytes than the catalogue says."""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """``site`` "" = nowhere (any more); ``reason`` says why."""

    site: str = ""
    url: str = ""
    digest: str = ""
    files: tuple[DataFile, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMoved:
    """Bytes fetched for a run. (run, sequence) is its key: a repeat is ignored."""

    token: int
    sequence: int
    dataset: str
    version: int
    source_site: str
    size_bytes: int
    wall_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStaged:
    """The data set is whole at the run's site, its digest checked. ``cached``: it was before;
    ``source_site`` is then where the site had it from."""

    token: int
    dataset: str
    version: int
    digest: str
    source_site: str
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPublished:
    """The run's output lies whole at ``url``, the folder of ``files``, at the run's site."""

    token: int
    dataset: str
    url: str
    files: tuple[DataFile, ...]


CHECKPOINT_TOO_LARGE = "checkpoint-too-large"
"""Reason of a refused SavedCheckpoint: it stays where it is, and the job with it."""
LOG_FULL = "log-full"
"""Reason of an accepted Ack: the server keeps no more of this rank's output; send none."""
LOG_GAP = "log-gap"
"""Reason of a refused log chunk, followed by a space and the offset the server expects next."""
