"""Made by ``scripts/generate_sdk.py`` from the server's OpenAPI document; do not edit.

The types of all answers, and one method a route.
"""

# mypy: disable-error-code="no-any-return"
# What a call answers is JSON; each method's signature says which type the server promises.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict
from urllib.parse import quote

Json = dict[str, Any]
Call: TypeAlias = Callable[[str, str, Json, Json | None], Any]
"""(method, path, query, body) → the decoded answer."""
AsyncCall: TypeAlias = Callable[[str, str, Json, Json | None], Awaitable[Any]]


JobState: TypeAlias = Literal[
    "held",
    "pending",
    "bound",
    "leased",
    "running",
    "suspending",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
    "refused",
]


class AimView(TypedDict):
    site: str
    pool: str | None


class ArrayPlaceView(TypedDict):
    """``states`` is set where the job stands for its whole array: jobs by state."""

    array_id: str
    name: str
    index: int
    count: int
    states: dict[str, int] | None


class ArrayView(TypedDict):
    array_id: str
    name: str
    count: int
    states: dict[str, int]
    jobs: list[JobView]


class AsideView(TypedDict):
    """A job (or run) that the server leaves out for now, and why."""

    id: str
    at_ms: int
    step: str
    problem: str
    times: int
    again_ms: int


class BatchView(TypedDict):
    """An array's first job stands for all of them; ``count`` counts each."""

    created: bool
    count: int
    jobs: list[JobView]


class BillView(TypedDict):
    """Money in millionths of the network's currency; energy and carbon are estimates."""

    run_id: NotRequired[str]
    energy_kwh: float
    carbon_location_g: float | None
    carbon_contract_g: float | None
    device_micros: int
    power_micros: int
    transfer_micros: int
    data_micros: int
    rounding_micros: int
    price_micros: int


class CheckpointView(TypedDict):
    run_id: str
    site: str
    saved_ms: int
    size_bytes: int
    sent_bytes: int
    at_server: bool


class DataFileView(TypedDict):
    path: str
    size_bytes: int
    sha256: str


class DataMovedView(TypedDict):
    run_id: str
    dataset: str
    version: int
    from_site: str
    to_site: str
    size_bytes: int
    wall_ms: int


class DataRequest(TypedDict):
    """A data set and where a copy lies. Blank stays blank: without ``licence`` it is not stated;
    without ``price_micros_per_gb`` nothing is charged for reading, and it is not called free."""

    name: str
    owner: NotRequired[str]
    files: list[FileEntry]
    site: str
    url: str
    licence: NotRequired[str]
    residency: NotRequired[str]
    price_micros_per_gb: NotRequired[int | None]


class DataSetPage(TypedDict):
    """``next`` goes into ``after`` for the next page; null: the last one."""

    currency: str
    datasets: list[DataSetView]
    next: str | None


class DataSetView(TypedDict):
    """One version. A licence of "" and a price of null: its owner did not say."""

    name: str
    version: int
    owner: str
    size_bytes: int
    digest: str
    licence: str
    residency: list[TermView]
    price_micros_per_gb: int | None
    created_ms: int
    replicas: list[ReplicaView]
    provenance: ProvenanceView | None
    files: NotRequired[list[DataFileView]]
    currency: NotRequired[str]
    created: NotRequired[bool]


class DataUseView(TypedDict):
    """The proof that a data set's terms were kept by a run."""

    run_id: str
    dataset: str
    version: int
    digest: str
    from_site: str
    url: str
    to_site: str
    terms: list[TermView]
    tags: dict[str, str]
    checked_ms: int
    staged_ms: int | None
    cached: bool


class DecisionView(TypedDict):
    """``placement`` or ``refusal`` is set, the other null."""

    at_ms: NotRequired[int]
    now_ms: NotRequired[int]
    currency: NotRequired[str]
    snapshot_version: int
    policy: dict[str, Any]
    summary: str
    placement: dict[str, Any] | None
    refusal: dict[str, Any] | None


class ErrorView(TypedDict):
    """Every refusal: a stable code, one sentence, and the faults of an input."""

    code: str
    message: str
    faults: list[FaultView]


class FaultView(TypedDict):
    file: str
    row: int | None
    field: str
    problem: str
    remedy: str


class FileEntry(TypedDict):
    path: str
    size_bytes: int
    sha256: str


class HealthView(TypedDict):
    status: Literal["ok", "degraded"]
    version: str
    network: str
    now_ms: int
    series_origin_ms: int
    failures_in_a_row: dict[str, int]
    set_aside: list[AsideView]
    set_aside_count: int
    jobs: dict[str, int]


class HoldView(TypedDict):
    """One thing that a held job waits for."""

    code: Literal["after", "retry", "suspended"]
    text: str
    until_ms: int | None


class HourView(TypedDict):
    tariff_per_kwh: float | None
    carbon_location_g_per_kwh: float | None
    carbon_contract_g_per_kwh: float | None


class JobDataView(TypedDict):
    uses: list[DataUseView]
    moved: list[DataMovedView]
    published: list[DataSetView]


class JobDetail(TypedDict):
    job_id: str
    name: str
    state: JobState
    submit_ms: int
    nodes: int
    site: str | None
    pool: str | None
    not_before_ms: int | None
    planned_start_ms: int | None
    started_ms: int | None
    finished_ms: int | None
    exit_code: int | None
    ending: str
    attempts: int
    attempts_max: int
    lost_runs: int
    failed_runs: int
    holds: list[HoldView]
    pause: Literal["suspend", "move", "preempt"] | None
    aim: AimView | None
    array: ArrayPlaceView | None
    runs: list[RunView]
    data: JobDataView
    request: dict[str, Any]
    bills: list[BillView]
    checkpoints: list[CheckpointView]
    moves: list[MoveView]


class JobPage(TypedDict):
    """``next`` goes into ``after`` for the next page; null: the last one."""

    jobs: list[JobView]
    next: str | None


class JobRequest(TypedDict):
    """A SkyPilot task YAML. ``base_dir``: what its relative paths count from (at the site)."""

    task: str
    job_id: NotRequired[str | None]
    file: NotRequired[str]
    base_dir: NotRequired[str | None]
    home_site: NotRequired[str | None]
    account: NotRequired[str | None]


class JobView(TypedDict):
    """A job without its request."""

    job_id: str
    name: str
    state: JobState
    submit_ms: int
    nodes: int
    site: str | None
    pool: str | None
    not_before_ms: int | None
    planned_start_ms: int | None
    started_ms: int | None
    finished_ms: int | None
    exit_code: int | None
    ending: str
    attempts: int
    attempts_max: int
    lost_runs: int
    failed_runs: int
    holds: list[HoldView]
    pause: Literal["suspend", "move", "preempt"] | None
    aim: AimView | None
    array: ArrayPlaceView | None
    runs: list[RunView]


class LogView(TypedDict):
    """A piece of one rank's output. ``complete``: nothing follows ``next_offset``."""

    job_id: str
    state: JobState
    run_id: str | None
    newest_run_id: str | None
    rank: int
    ranks: list[RankView]
    offset: int
    next_offset: int
    size: int
    data_b64: str
    complete: bool


class MoveRequest(TypedDict):
    """``to``: the name of a site or of a pool."""

    by: NotRequired[str]
    to: str


class MoveView(TypedDict):
    run_id: str
    from_site: str
    to_site: str
    size_bytes: int
    moved_ms: int


class PauseRequest(TypedDict):
    by: NotRequired[str]


class PoolView(TypedDict):
    pool: str
    engine: str
    status: Literal["open", "cordoned", "down"]
    accelerator: str | None
    nodes: int
    devices_per_node: int
    capacity_milli: int
    held_milli: int
    running: int
    waiting: int
    price_micros_per_device_hour: int | None


class ProvenanceView(TypedDict):
    job_id: str
    run_id: str
    site: str
    run_sha256: str
    setup_sha256: str
    inputs: list[UsedInputView]


class RankView(TypedDict):
    rank: int
    size: int


class ReplicaRequest(TypedDict):
    site: str
    url: NotRequired[str | None]
    version: NotRequired[int]


class ReplicaView(TypedDict):
    """``suspect`` says why a site refused this copy."""

    site: str
    url: str
    added_ms: int
    suspect: str | None


class ReportRow(TypedDict):
    job_id: str
    name: str
    state: JobState
    site: str | None
    pool: str | None
    why: str
    wait_ms: int | None
    run_ms: int | None
    attempts: int
    exit_code: int | None
    settled: bool
    energy_kwh: float
    carbon_location_g: float | None
    carbon_contract_g: float | None
    price_micros: int


class ReportView(TypedDict):
    network: str
    currency: str
    energy_is: str
    jobs: list[ReportRow]


class RunView(TypedDict):
    """One attempt. Times are ms UTC."""

    run_id: str
    attempt: int
    site: str
    pool: str
    token: int
    state: Literal["leased", "running", "succeeded", "failed", "cancelled", "lost", "preempted"]
    granted_ms: int
    started_ms: int | None
    ended_ms: int | None
    outcome: str | None
    exit_code: int | None
    detail: str


class SiteView(TypedDict):
    site: str
    label: str
    operator: str
    status: Literal["open", "down"]
    last_seen_ms: int | None
    agent_session: int | None
    pue: float | None
    now: HourView
    pools: list[PoolView]
    runs_settled: int
    sums: BillView | None


class SitesView(TypedDict):
    network: str
    currency: str
    now_ms: int
    sites: list[SiteView]


class StoryView(TypedDict):
    at_ms: int
    kind: str
    text: str
    data: dict[str, str | int | None]


class SubmittedView(TypedDict):
    """``created`` is false if this very request was handed in before."""

    job_id: str
    name: str
    state: JobState
    submit_ms: int
    nodes: int
    site: str | None
    pool: str | None
    not_before_ms: int | None
    planned_start_ms: int | None
    started_ms: int | None
    finished_ms: int | None
    exit_code: int | None
    ending: str
    attempts: int
    attempts_max: int
    lost_runs: int
    failed_runs: int
    holds: list[HoldView]
    pause: Literal["suspend", "move", "preempt"] | None
    aim: AimView | None
    array: ArrayPlaceView | None
    runs: list[RunView]
    created: bool


class TermView(TypedDict):
    """A residency rule: the site's tag ``key`` must be one of ``values``."""

    key: str
    values: list[str]


class UsedInputView(TypedDict):
    dataset: str
    version: int
    digest: str


class VerdictArrayView(TypedDict):
    """``accepted`` is false if that is so of every job of the array."""

    array_id: str
    name: str
    count: int
    states: dict[str, int]
    jobs: list[JobView]
    accepted: bool
    reason: str


class VerdictView(TypedDict):
    """``accepted`` is false if what was asked for changed nothing; ``reason`` says why."""

    job_id: str
    name: str
    state: JobState
    submit_ms: int
    nodes: int
    site: str | None
    pool: str | None
    not_before_ms: int | None
    planned_start_ms: int | None
    started_ms: int | None
    finished_ms: int | None
    exit_code: int | None
    ending: str
    attempts: int
    attempts_max: int
    lost_runs: int
    failed_runs: int
    holds: list[HoldView]
    pause: Literal["suspend", "move", "preempt"] | None
    aim: AimView | None
    array: ArrayPlaceView | None
    runs: list[RunView]
    accepted: bool
    reason: str


class WhyView(TypedDict):
    job: JobView
    currency: str
    decision: DecisionView | None
    set_aside: list[AsideView]
    story: list[StoryView]


class Api:
    """One method a route; ``call`` sends."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def submit_job(
        self,
        *,
        task: str,
        job_id: str | None = None,
        file: str = "task.yaml",
        base_dir: str | None = None,
        home_site: str | None = None,
        account: str | None = None,
    ) -> SubmittedView:
        """201 with the new job; 200 with the job as it stands when it was submitted before."""
        return self._call(
            "POST",
            "/v1/jobs",
            {},
            {
                "task": task,
                "job_id": job_id,
                "file": file,
                "base_dir": base_dir,
                "home_site": home_site,
                "account": account,
            },
        )

    def jobs(
        self,
        *,
        state: JobState | None = None,
        limit: int = 100,
        after: str | None = None,
        newest_first: bool = False,
        arrays_once: bool = False,
    ) -> JobPage:
        """A page in order of submission; ``next`` goes into ``after`` for the next page. With
        ``arrays_once`` (and no ``state``) an array's first job stands for all of them.
        """
        return self._call(
            "GET",
            "/v1/jobs",
            {
                "state": state,
                "limit": limit,
                "after": after,
                "newest_first": newest_first,
                "arrays_once": arrays_once,
            },
            None,
        )

    def dry_run(
        self,
        *,
        task: str,
        job_id: str | None = None,
        file: str = "task.yaml",
        base_dir: str | None = None,
        home_site: str | None = None,
        account: str | None = None,
    ) -> DecisionView:
        """What would be decided for this job now, on the live network. Changes nothing."""
        return self._call(
            "POST",
            "/v1/plan",
            {},
            {
                "task": task,
                "job_id": job_id,
                "file": file,
                "base_dir": base_dir,
                "home_site": home_site,
                "account": account,
            },
        )

    def job(
        self, job_id: str, *, wait_ms: int = 0, unless_state: JobState | None = None
    ) -> JobDetail:
        """The job. With ``unless_state`` and ``wait_ms`` the answer waits while that is its state."""
        return self._call(
            "GET",
            f"/v1/jobs/{quote(job_id, safe='')}",
            {"wait_ms": wait_ms, "unless_state": unless_state},
            None,
        )

    def why(self, job_id: str) -> WhyView:
        """The newest decision with every alternative, and the job's story."""
        return self._call("GET", f"/v1/jobs/{quote(job_id, safe='')}/why", {}, None)

    def logs(
        self,
        job_id: str,
        *,
        offset: int = 0,
        rank: int = 0,
        run_id: str | None = None,
        wait_ms: int = 0,
    ) -> LogView:
        """Output of one rank of a run (the newest unless ``run_id``), from ``offset``.

        ``complete``: the run is over and nothing follows ``next_offset``. ``newest_run_id``
        differs from ``run_id`` when the job was tried again. Waits up to ``wait_ms`` for something.
        """
        return self._call(
            "GET",
            f"/v1/jobs/{quote(job_id, safe='')}/logs",
            {"offset": offset, "rank": rank, "run_id": run_id, "wait_ms": wait_ms},
            None,
        )

    def cancel(self, job_id: str) -> VerdictView | VerdictArrayView:
        """Asks for the end of the job, or of every job of an array. A job that is over stays as it is:
        ``accepted`` is then false.
        """
        return self._call("POST", f"/v1/jobs/{quote(job_id, safe='')}/cancel", {}, {})

    def submit_batch(
        self,
        *,
        task: str,
        job_id: str | None = None,
        file: str = "task.yaml",
        base_dir: str | None = None,
        home_site: str | None = None,
        account: str | None = None,
    ) -> BatchView:
        """Every job of the text, all or none: several documents, arrays. Safe to repeat with an id:
        200 then, with the jobs as they stand.
        """
        return self._call(
            "POST",
            "/v1/batches",
            {},
            {
                "task": task,
                "job_id": job_id,
                "file": file,
                "base_dir": base_dir,
                "home_site": home_site,
                "account": account,
            },
        )

    def array(self, array_id: str) -> ArrayView:
        """An array: how many of its jobs are in which state, and each of them."""
        return self._call("GET", f"/v1/arrays/{quote(array_id, safe='')}", {}, None)

    def suspend(self, job_id: str, *, by: str = "the owner") -> VerdictView | VerdictArrayView:
        """Stop it with time to save, until it is resumed; one that waits is held. Arrays too."""
        return self._call("POST", f"/v1/jobs/{quote(job_id, safe='')}/suspend", {}, {"by": by})

    def resume(self, job_id: str, *, by: str = "the owner") -> VerdictView | VerdictArrayView:
        """Resume"""
        return self._call("POST", f"/v1/jobs/{quote(job_id, safe='')}/resume", {}, {"by": by})

    def move(
        self, job_id: str, *, to: str, by: str = "the owner"
    ) -> VerdictView | VerdictArrayView:
        """Stop it with time to save, and let it go on at a site or pool. Refused where it could not."""
        return self._call(
            "POST", f"/v1/jobs/{quote(job_id, safe='')}/move", {}, {"by": by, "to": to}
        )

    def sites(self) -> SitesView:
        """Every site with its pools, who runs and waits there, prices now, and sums so far."""
        return self._call("GET", "/v1/sites", {}, None)

    def snapshot(self) -> dict[str, Any]:
        """All that ``plan()`` is given now: feed it back to get the same plan."""
        return self._call("GET", "/v1/snapshot", {}, None)

    def report(self, *, limit: int = 1000) -> ReportView:
        """The newest finished jobs, in the order of submission: where, why there, how long, how much."""
        return self._call("GET", "/v1/report", {"limit": limit}, None)

    def new_dataset(
        self,
        *,
        name: str,
        files: list[FileEntry],
        site: str,
        url: str,
        owner: str = "",
        licence: str = "",
        residency: str = "",
        price_micros_per_gb: int | None = None,
    ) -> DataSetView:
        """201 with the new version; 200 where the newest is just this already."""
        return self._call(
            "POST",
            "/v1/datasets",
            {},
            {
                "name": name,
                "owner": owner,
                "files": files,
                "site": site,
                "url": url,
                "licence": licence,
                "residency": residency,
                "price_micros_per_gb": price_micros_per_gb,
            },
        )

    def datasets(self, *, limit: int = 100, after: str | None = None) -> DataSetPage:
        """The newest version of each, by name; ``next`` goes into ``after`` for the next page."""
        return self._call("GET", "/v1/datasets", {"limit": limit, "after": after}, None)

    def dataset(self, name: str, *, version: int = 0) -> DataSetView:
        """One version (0: the newest) with its files, copies and provenance."""
        return self._call("GET", f"/v1/datasets/{quote(name, safe='')}", {"version": version}, None)

    def set_replica(
        self, name: str, *, site: str, url: str | None = None, version: int = 0
    ) -> DataSetView:
        """Say where another copy lies, or (without ``url``) that there is none any more. The bytes
        are checked by each site that reads them.
        """
        return self._call(
            "POST",
            f"/v1/datasets/{quote(name, safe='')}/replicas",
            {},
            {"site": site, "url": url, "version": version},
        )

    def healthz(self) -> HealthView:
        """``ok`` while every loop's last round went through and no job or run is set aside."""
        return self._call("GET", "/healthz", {}, None)


class AsyncApi:
    """One method a route; ``call`` sends."""

    def __init__(self, call: AsyncCall) -> None:
        self._call = call

    async def submit_job(
        self,
        *,
        task: str,
        job_id: str | None = None,
        file: str = "task.yaml",
        base_dir: str | None = None,
        home_site: str | None = None,
        account: str | None = None,
    ) -> SubmittedView:
        """201 with the new job; 200 with the job as it stands when it was submitted before."""
        return await self._call(
            "POST",
            "/v1/jobs",
            {},
            {
                "task": task,
                "job_id": job_id,
                "file": file,
                "base_dir": base_dir,
                "home_site": home_site,
                "account": account,
            },
        )

    async def jobs(
        self,
        *,
        state: JobState | None = None,
        limit: int = 100,
        after: str | None = None,
        newest_first: bool = False,
        arrays_once: bool = False,
    ) -> JobPage:
        """A page in order of submission; ``next`` goes into ``after`` for the next page. With
        ``arrays_once`` (and no ``state``) an array's first job stands for all of them.
        """
        return await self._call(
            "GET",
            "/v1/jobs",
            {
                "state": state,
                "limit": limit,
                "after": after,
                "newest_first": newest_first,
                "arrays_once": arrays_once,
            },
            None,
        )

    async def dry_run(
        self,
        *,
        task: str,
        job_id: str | None = None,
        file: str = "task.yaml",
        base_dir: str | None = None,
        home_site: str | None = None,
        account: str | None = None,
    ) -> DecisionView:
        """What would be decided for this job now, on the live network. Changes nothing."""
        return await self._call(
            "POST",
            "/v1/plan",
            {},
            {
                "task": task,
                "job_id": job_id,
                "file": file,
                "base_dir": base_dir,
                "home_site": home_site,
                "account": account,
            },
        )

    async def job(
        self, job_id: str, *, wait_ms: int = 0, unless_state: JobState | None = None
    ) -> JobDetail:
        """The job. With ``unless_state`` and ``wait_ms`` the answer waits while that is its state."""
        return await self._call(
            "GET",
            f"/v1/jobs/{quote(job_id, safe='')}",
            {"wait_ms": wait_ms, "unless_state": unless_state},
            None,
        )

    async def why(self, job_id: str) -> WhyView:
        """The newest decision with every alternative, and the job's story."""
        return await self._call("GET", f"/v1/jobs/{quote(job_id, safe='')}/why", {}, None)

    async def logs(
        self,
        job_id: str,
        *,
        offset: int = 0,
        rank: int = 0,
        run_id: str | None = None,
        wait_ms: int = 0,
    ) -> LogView:
        """Output of one rank of a run (the newest unless ``run_id``), from ``offset``.

        ``complete``: the run is over and nothing follows ``next_offset``. ``newest_run_id``
        differs from ``run_id`` when the job was tried again. Waits up to ``wait_ms`` for something.
        """
        return await self._call(
            "GET",
            f"/v1/jobs/{quote(job_id, safe='')}/logs",
            {"offset": offset, "rank": rank, "run_id": run_id, "wait_ms": wait_ms},
            None,
        )

    async def cancel(self, job_id: str) -> VerdictView | VerdictArrayView:
        """Asks for the end of the job, or of every job of an array. A job that is over stays as it is:
        ``accepted`` is then false.
        """
        return await self._call("POST", f"/v1/jobs/{quote(job_id, safe='')}/cancel", {}, {})

    async def submit_batch(
        self,
        *,
        task: str,
        job_id: str | None = None,
        file: str = "task.yaml",
        base_dir: str | None = None,
        home_site: str | None = None,
        account: str | None = None,
    ) -> BatchView:
        """Every job of the text, all or none: several documents, arrays. Safe to repeat with an id:
        200 then, with the jobs as they stand.
        """
        return await self._call(
            "POST",
            "/v1/batches",
            {},
            {
                "task": task,
                "job_id": job_id,
                "file": file,
                "base_dir": base_dir,
                "home_site": home_site,
                "account": account,
            },
        )

    async def array(self, array_id: str) -> ArrayView:
        """An array: how many of its jobs are in which state, and each of them."""
        return await self._call("GET", f"/v1/arrays/{quote(array_id, safe='')}", {}, None)

    async def suspend(
        self, job_id: str, *, by: str = "the owner"
    ) -> VerdictView | VerdictArrayView:
        """Stop it with time to save, until it is resumed; one that waits is held. Arrays too."""
        return await self._call(
            "POST", f"/v1/jobs/{quote(job_id, safe='')}/suspend", {}, {"by": by}
        )

    async def resume(self, job_id: str, *, by: str = "the owner") -> VerdictView | VerdictArrayView:
        """Resume"""
        return await self._call("POST", f"/v1/jobs/{quote(job_id, safe='')}/resume", {}, {"by": by})

    async def move(
        self, job_id: str, *, to: str, by: str = "the owner"
    ) -> VerdictView | VerdictArrayView:
        """Stop it with time to save, and let it go on at a site or pool. Refused where it could not."""
        return await self._call(
            "POST", f"/v1/jobs/{quote(job_id, safe='')}/move", {}, {"by": by, "to": to}
        )

    async def sites(self) -> SitesView:
        """Every site with its pools, who runs and waits there, prices now, and sums so far."""
        return await self._call("GET", "/v1/sites", {}, None)

    async def snapshot(self) -> dict[str, Any]:
        """All that ``plan()`` is given now: feed it back to get the same plan."""
        return await self._call("GET", "/v1/snapshot", {}, None)

    async def report(self, *, limit: int = 1000) -> ReportView:
        """The newest finished jobs, in the order of submission: where, why there, how long, how much."""
        return await self._call("GET", "/v1/report", {"limit": limit}, None)

    async def new_dataset(
        self,
        *,
        name: str,
        files: list[FileEntry],
        site: str,
        url: str,
        owner: str = "",
        licence: str = "",
        residency: str = "",
        price_micros_per_gb: int | None = None,
    ) -> DataSetView:
        """201 with the new version; 200 where the newest is just this already."""
        return await self._call(
            "POST",
            "/v1/datasets",
            {},
            {
                "name": name,
                "owner": owner,
                "files": files,
                "site": site,
                "url": url,
                "licence": licence,
                "residency": residency,
                "price_micros_per_gb": price_micros_per_gb,
            },
        )

    async def datasets(self, *, limit: int = 100, after: str | None = None) -> DataSetPage:
        """The newest version of each, by name; ``next`` goes into ``after`` for the next page."""
        return await self._call("GET", "/v1/datasets", {"limit": limit, "after": after}, None)

    async def dataset(self, name: str, *, version: int = 0) -> DataSetView:
        """One version (0: the newest) with its files, copies and provenance."""
        return await self._call(
            "GET", f"/v1/datasets/{quote(name, safe='')}", {"version": version}, None
        )

    async def set_replica(
        self, name: str, *, site: str, url: str | None = None, version: int = 0
    ) -> DataSetView:
        """Say where another copy lies, or (without ``url``) that there is none any more. The bytes
        are checked by each site that reads them.
        """
        return await self._call(
            "POST",
            f"/v1/datasets/{quote(name, safe='')}/replicas",
            {},
            {"site": site, "url": url, "version": version},
        )

    async def healthz(self) -> HealthView:
        """``ok`` while every loop's last round went through and no job or run is set aside."""
        return await self._call("GET", "/healthz", {}, None)
