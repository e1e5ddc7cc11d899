"""Made by ``scripts/generate_sdk.py`` from the server's OpenAPI document; do not edit.

The types of all answers, and one method a route.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict
from urllib.parse import quote

Json = dict[str, Any]
Call: TypeAlias = Callable[[str, str, Json, Json | None], Any]
"""(method, path, query, body) → the decoded answer."""
AsyncCall: TypeAlias = Callable[[str, str, Json, Json | None], Awaitable[Any]]


JobState: TypeAlias = Literal[
    "pending",
    "bound",
    "leased",
    "running",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
    "refused",
]


class AsideView(TypedDict):
    """A job (or run) that the server leaves out for now, and why."""

    id: str
    at_ms: int
    step: str
    problem: str
    times: int
    again_ms: int


class BillView(TypedDict):
    """Money in millionths of the network's currency; energy and carbon are estimates."""

    run_id: NotRequired[str]
    energy_kwh: float
    carbon_location_g: float | None
    carbon_contract_g: float | None
    device_micros: int
    power_micros: int
    transfer_micros: int
    rounding_micros: int
    price_micros: int


class CancelledView(TypedDict):
    """``accepted`` is false if the job was over already."""

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
    runs: list[RunView]
    accepted: bool
    reason: str


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


class HourView(TypedDict):
    tariff_per_kwh: float | None
    carbon_location_g_per_kwh: float | None
    carbon_contract_g_per_kwh: float | None


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
    runs: list[RunView]
    request: dict[str, Any]
    bills: list[BillView]


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


class RankView(TypedDict):
    rank: int
    size: int


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
    state: Literal["leased", "running", "succeeded", "failed", "cancelled", "lost"]
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
    runs: list[RunView]
    created: bool


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
        answer: SubmittedView = self._call(
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
        return answer

    def jobs(
        self,
        *,
        state: JobState | None = None,
        limit: int = 100,
        after: str | None = None,
        newest_first: bool = False,
    ) -> JobPage:
        """A page in order of submission; ``next`` goes into ``after`` for the next page."""
        answer: JobPage = self._call(
            "GET",
            "/v1/jobs",
            {"state": state, "limit": limit, "after": after, "newest_first": newest_first},
            None,
        )
        return answer

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
        answer: DecisionView = self._call(
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
        return answer

    def job(
        self, job_id: str, *, wait_ms: int = 0, unless_state: JobState | None = None
    ) -> JobDetail:
        """The job. With ``unless_state`` and ``wait_ms`` the answer waits while that is its state."""
        answer: JobDetail = self._call(
            "GET",
            f"/v1/jobs/{quote(job_id, safe='')}",
            {"wait_ms": wait_ms, "unless_state": unless_state},
            None,
        )
        return answer

    def why(self, job_id: str) -> WhyView:
        """The newest decision with every alternative, and the job's story."""
        answer: WhyView = self._call("GET", f"/v1/jobs/{quote(job_id, safe='')}/why", {}, None)
        return answer

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
        answer: LogView = self._call(
            "GET",
            f"/v1/jobs/{quote(job_id, safe='')}/logs",
            {"offset": offset, "rank": rank, "run_id": run_id, "wait_ms": wait_ms},
            None,
        )
        return answer

    def cancel(self, job_id: str) -> CancelledView:
        """Asks for the job's end. A job that is over stays as it is: ``accepted`` is then false."""
        answer: CancelledView = self._call(
            "POST", f"/v1/jobs/{quote(job_id, safe='')}/cancel", {}, {}
        )
        return answer

    def sites(self) -> SitesView:
        """Every site with its pools, who runs and waits there, prices now, and sums so far."""
        answer: SitesView = self._call("GET", "/v1/sites", {}, None)
        return answer

    def snapshot(self) -> dict[str, Any]:
        """All that ``plan()`` is given now: feed it back to get the same plan."""
        answer: dict[str, Any] = self._call("GET", "/v1/snapshot", {}, None)
        return answer

    def report(self, *, limit: int = 1000) -> ReportView:
        """The newest finished jobs, in the order of submission: where, why there, how long, how much."""
        answer: ReportView = self._call("GET", "/v1/report", {"limit": limit}, None)
        return answer

    def healthz(self) -> HealthView:
        """``ok`` while every loop's last round went through and no job or run is set aside."""
        answer: HealthView = self._call("GET", "/healthz", {}, None)
        return answer


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
        answer: SubmittedView = await self._call(
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
        return answer

    async def jobs(
        self,
        *,
        state: JobState | None = None,
        limit: int = 100,
        after: str | None = None,
        newest_first: bool = False,
    ) -> JobPage:
        """A page in order of submission; ``next`` goes into ``after`` for the next page."""
        answer: JobPage = await self._call(
            "GET",
            "/v1/jobs",
            {"state": state, "limit": limit, "after": after, "newest_first": newest_first},
            None,
        )
        return answer

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
        answer: DecisionView = await self._call(
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
        return answer

    async def job(
        self, job_id: str, *, wait_ms: int = 0, unless_state: JobState | None = None
    ) -> JobDetail:
        """The job. With ``unless_state`` and ``wait_ms`` the answer waits while that is its state."""
        answer: JobDetail = await self._call(
            "GET",
            f"/v1/jobs/{quote(job_id, safe='')}",
            {"wait_ms": wait_ms, "unless_state": unless_state},
            None,
        )
        return answer

    async def why(self, job_id: str) -> WhyView:
        """The newest decision with every alternative, and the job's story."""
        answer: WhyView = await self._call(
            "GET", f"/v1/jobs/{quote(job_id, safe='')}/why", {}, None
        )
        return answer

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
        answer: LogView = await self._call(
            "GET",
            f"/v1/jobs/{quote(job_id, safe='')}/logs",
            {"offset": offset, "rank": rank, "run_id": run_id, "wait_ms": wait_ms},
            None,
        )
        return answer

    async def cancel(self, job_id: str) -> CancelledView:
        """Asks for the job's end. A job that is over stays as it is: ``accepted`` is then false."""
        answer: CancelledView = await self._call(
            "POST", f"/v1/jobs/{quote(job_id, safe='')}/cancel", {}, {}
        )
        return answer

    async def sites(self) -> SitesView:
        """Every site with its pools, who runs and waits there, prices now, and sums so far."""
        answer: SitesView = await self._call("GET", "/v1/sites", {}, None)
        return answer

    async def snapshot(self) -> dict[str, Any]:
        """All that ``plan()`` is given now: feed it back to get the same plan."""
        answer: dict[str, Any] = await self._call("GET", "/v1/snapshot", {}, None)
        return answer

    async def report(self, *, limit: int = 1000) -> ReportView:
        """The newest finished jobs, in the order of submission: where, why there, how long, how much."""
        answer: ReportView = await self._call("GET", "/v1/report", {"limit": limit}, None)
        return answer

    async def healthz(self) -> HealthView:
        """``ok`` while every loop's last round went through and no job or run is set aside."""
        answer: HealthView = await self._call("GET", "/healthz", {}, None)
        return answer
