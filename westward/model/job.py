"""A job as the planner and the engines see it: what it needs, its terms, and the work itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LatencyMode = Literal["one-way", "round-trip"]
AfterMode = Literal["ok", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceOption:
    """One acceptable shape of each node of the gang. Alternatives are tried in the order written.

    ``accelerator`` None means no device is asked for. ``any_accelerator`` (recorded workloads
    only) takes every kind. ``devices_milli`` counts thousandths of a device per node.
    """

    accelerator: str | None = None
    any_accelerator: bool = False
    devices_milli: int = 0
    cpus_milli: int = 0
    memory_mib: int = 0
    site: str | None = None
    engine: str | None = None
    max_hourly_cost_micros: int | None = None
    """Of the whole gang: devices and power at the price of the hour it would start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRule:
    """The site's tag ``key`` must be one of ``values`` (residency, approval)."""

    key: str
    values: tuple[str, ...]
    because: str = ""
    """Whose rule it is, where not the job's own: a data set that it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRule:
    """At most ``limit_ms`` between the site and ``place``; always says which way it counts."""

    place: str
    limit_ms: float
    mode: LatencyMode


@dataclass(frozen=True, slots=True, kw_only=True)
class InputData:
    """Bytes that lie at a site and must be at hand before the job starts.

    With ``dataset`` (its digest) equal bytes lie at each of ``replicas``; ``site`` is the first.
    """

    site: str
    size_bytes: int
    dataset: str = ""
    replicas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInput:
    """A data set of the catalogue, read-only for the job at ``target`` (a folder).

    As written it is a name and perhaps a version; at submit version, digest, size and price are
    fixed, and so stay whatever becomes of the catalogue.
    """

    dataset: str
    version: int = 0
    """0: the newest at submit."""
    target: str
    digest: str = ""
    size_bytes: int = 0
    price_micros_per_gb: int | None = None
    """What its owner asks for reading; None = does not say, and nothing is charged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOutput:
    """What the job leaves at ``path`` below $WESTWARD_OUTPUT becomes a version of ``dataset``."""

    path: str
    dataset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The job can be stopped and resumed: it saves to ``path`` at least every ``every_ms``, and
    once more when it gets ``signal``; after ``grace_ms`` (None: the engine's own) it is killed.

    ``path`` counts from the folder that the site keeps for the job between its runs.
    """

    path: str
    every_ms: int
    signal: str = "TERM"
    grace_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """The job may start only when ``job_id`` (a job, or an array: all of it) is over: ``ok`` if it
    succeeded, ``any`` however it ended. ``name`` is what the owner wrote."""

    job_id: str
    mode: AfterMode = "ok"
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPlace:
    """Which of ``count`` alike jobs of the array ``array_id`` this is; ``index`` counts from 0."""

    array_id: str
    name: str
    index: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What becomes of a run that failed by its own doing. ``on_exit_codes`` empty: every code but
    those of ``never_on``. A process killed by signal n counts as code 128 + n, as in a shell."""

    attempts: int
    """Runs that may fail in all; 1 = none is tried again."""
    on_exit_codes: tuple[int, ...] = ()
    never_on: tuple[int, ...] = ()
    backoff_ms: int = 10_000
    """Before the second attempt; doubles with each failure, at most an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMount:
    """A file or folder made available to the job at ``target``. ``source`` is a path or URI."""

    target: str
    source: str
    mode: Literal["COPY", "MOUNT"] = "COPY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What an engine runs: bash texts and their surroundings. Not read by the planner."""

    run: str = ""
    setup: str = ""
    envs: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Not in the text of a job that a log may hold: people put keys there."""
    workdir: str | None = None
    file_mounts: tuple[FileMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One request. Times are absolute ms (UTC); durations are for the reference device speed."""

    job_id: str
    name: str
    submit_ms: int
    nodes: int = 1
    options: tuple[ResourceOption, ...]
    duration_ms: int | None = None
    """The owner's estimate; None = unknown (the policy then assumes one and says so)."""
    start_after_ms: int | None = None
    deadline_ms: int | None = None
    residency: tuple[TagRule, ...] = ()
    latency: tuple[LatencyRule, ...] = ()
    inputs: tuple[InputData, ...] = ()
    datasets: tuple[DataInput, ...] = ()
    outputs: tuple[DataOutput, ...] = ()
    home_site: str | None = None
    """Where the owner sits; used by the rule ``home-site`` only."""
    account: str | None = None
    purpose: str | None = None
    """What the work is for, as its owner states it; sites may take only some purposes."""
    checkpoint: Checkpoint | None = None
    priority: int = 0
    """-1000 to 1000 as in SkyPilot; higher goes first."""
    wait_value_micros_per_hour: int | None = None
    """What an hour of waiting costs the owner. None = the policy's figure; a job with a
    deadline and no figure of its own counts waiting as free until the deadline."""
    labels: tuple[tuple[str, str], ...] = ()
    work: Work = field(default_factory=Work)
    after: tuple[After, ...] = ()
    array: ArrayPlace | None = None
    retry: Retry | None = None
    """None: a run that failed is the end of the job."""
