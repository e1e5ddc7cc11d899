"""The API's own description, with what its answers hold: the OpenAPI document.

The views are built as plain JSON (``server.views``); their types stand here, once, and are put into
the document that clients are generated from. A live test holds real answers to them.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, cast

from fastapi import FastAPI
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from westward import __version__
from westward.control.records import HoldCode, JobState
from westward.formats.tes_model import TesTask
from westward.server.openapi_money import MONEY_ANSWERS
from westward.server.openapi_people import (
    ForgottenView,
    LoginView,
    LogoutView,
    MembersView,
    OrganisationsView,
    OrganisationView,
    ProjectsView,
    ProjectView,
    SharesView,
    TokensView,
    TokenView,
    WhoamiView,
)
from westward.server.settlement_types import (
    ChargePage,
    DisputeList,
    DisputeView,
    PayoutView,
    RunFactsPage,
    SettlementView,
    StatementView,
)

Json = dict[str, Any]
_REF = "#/components/schemas/{model}"


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


class HoldView(TypedDict):
    """One thing that a held job waits for."""

    code: HoldCode
    text: str
    until_ms: int | None


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


class JobView(TypedDict):
    """A job without its request. ``planned_start_ms`` is as of its binding; of a job that waits at a
    pool ``expected_start_ms`` is as things stand now."""

    job_id: str
    name: str
    state: JobState
    submit_ms: int
    nodes: int
    site: str | None
    pool: str | None
    not_before_ms: int | None
    planned_start_ms: int | None
    expected_start_ms: int | None
    started_ms: int | None
    finished_ms: int | None
    exit_code: int | None
    ending: str
    attempts: int
    attempts_max: int
    lost_runs: int
    failed_runs: int
    holds: list[HoldView]
    pause: Literal["suspend", "move", "preempt", "money"] | None
    aim: AimView | None
    array: ArrayPlaceView | None
    runs: list[RunView]


class ArrayView(TypedDict):
    array_id: str
    name: str
    count: int
    states: dict[str, int]
    jobs: list[JobView]


class VerdictArrayView(ArrayView):
    """``accepted`` is false if that is so of every job of the array."""

    accepted: bool
    reason: str


class BatchView(TypedDict):
    """An array's first job stands for all of them; ``count`` counts each."""

    created: bool
    count: int
    jobs: list[JobView]


class CheckpointView(TypedDict):
    run_id: str
    site: str
    saved_ms: int
    size_bytes: int
    sent_bytes: int
    at_server: bool


class MoveView(TypedDict):
    run_id: str
    from_site: str
    to_site: str
    size_bytes: int
    moved_ms: int


class SubmittedView(JobView):
    """``created`` is false if this very request was handed in before."""

    created: bool


class VerdictView(JobView):
    """``accepted`` is false if what was asked for changed nothing; ``reason`` says why."""

    accepted: bool
    reason: str


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


class TermView(TypedDict):
    """A residency rule: the site's tag ``key`` must be one of ``values``."""

    key: str
    values: list[str]


class ReplicaView(TypedDict):
    """``suspect`` says why a site refused this copy."""

    site: str
    url: str
    added_ms: int
    suspect: str | None


class UsedInputView(TypedDict):
    dataset: str
    version: int
    digest: str


class ProvenanceView(TypedDict):
    job_id: str
    run_id: str
    site: str
    run_sha256: str
    setup_sha256: str
    inputs: list[UsedInputView]


class DataFileView(TypedDict):
    path: str
    size_bytes: int
    sha256: str


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


class DataSetPage(TypedDict):
    """``next`` goes into ``after`` for the next page; null: the last one."""

    currency: str
    datasets: list[DataSetView]
    next: str | None


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


class DataMovedView(TypedDict):
    run_id: str
    dataset: str
    version: int
    from_site: str
    to_site: str
    size_bytes: int
    wall_ms: int


class JobDataView(TypedDict):
    uses: list[DataUseView]
    moved: list[DataMovedView]
    published: list[DataSetView]


class JobDetail(JobView):
    data: JobDataView
    request: dict[str, Any]
    bills: list[BillView]
    checkpoints: list[CheckpointView]
    moves: list[MoveView]


class JobPage(TypedDict):
    """``next`` goes into ``after`` for the next page; null: the last one."""

    jobs: list[JobView]
    next: str | None


class StoryView(TypedDict):
    at_ms: int
    kind: str
    text: str
    data: dict[str, str | int | None]


class AsideView(TypedDict):
    """A job (or run) that the server leaves out for now, and why."""

    id: str
    at_ms: int
    step: str
    problem: str
    times: int
    again_ms: int


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


class WhyView(TypedDict):
    job: JobView
    currency: str
    decision: DecisionView | None
    set_aside: list[AsideView]
    story: list[StoryView]


class RankView(TypedDict):
    rank: int
    size: int


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


class HourView(TypedDict):
    tariff_per_kwh: float | None
    carbon_location_g_per_kwh: float | None
    carbon_contract_g_per_kwh: float | None


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
    managed: bool
    in_site_queue: int
    site_wait_ms: list[int]
    price_micros_per_device_hour: int | None


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


class SharingView(TypedDict):
    """Of a server that shares its database with others. ``clock_off_ms``: by how much the
    database's clock is ahead of its own."""

    name: str
    role: Literal["leader", "standby"]
    leader: str
    epoch: int
    since_ms: int
    hears_others: bool
    clock_off_ms: int


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
    replica: SharingView | None


class FaultView(TypedDict):
    file: str
    row: int | None
    field: str
    problem: str
    remedy: str


class ErrorView(TypedDict):
    """Every refusal: a stable code, one sentence, and the faults of an input."""

    code: str
    message: str
    faults: list[FaultView]


ANSWERS: dict[tuple[str, str], Any] = {
    ("post", "/v1/datasets"): DataSetView,
    ("get", "/v1/datasets"): DataSetPage,
    ("get", "/v1/datasets/{name}"): DataSetView,
    ("post", "/v1/datasets/{name}/replicas"): DataSetView,
    ("post", "/v1/jobs"): SubmittedView,
    ("get", "/v1/jobs"): JobPage,
    ("get", "/v1/jobs/{job_id}"): JobDetail,
    ("get", "/v1/jobs/{job_id}/why"): WhyView,
    ("get", "/v1/jobs/{job_id}/logs"): LogView,
    ("post", "/v1/jobs/{job_id}/cancel"): (VerdictView, VerdictArrayView),
    ("post", "/v1/jobs/{job_id}/suspend"): (VerdictView, VerdictArrayView),
    ("post", "/v1/jobs/{job_id}/resume"): (VerdictView, VerdictArrayView),
    ("post", "/v1/jobs/{job_id}/move"): (VerdictView, VerdictArrayView),
    ("post", "/v1/batches"): BatchView,
    ("get", "/v1/arrays/{array_id}"): ArrayView,
    ("post", "/v1/plan"): DecisionView,
    ("get", "/v1/sites"): SitesView,
    ("get", "/v1/report"): ReportView,
    ("get", "/healthz"): HealthView,
    ("get", "/v1/whoami"): WhoamiView,
    ("get", "/v1/organisations"): OrganisationsView,
    ("post", "/v1/organisations"): OrganisationView,
    ("get", "/v1/projects"): ProjectsView,
    ("post", "/v1/projects"): ProjectView,
    ("get", "/v1/members/{kind}/{place}"): MembersView,
    ("post", "/v1/members/{kind}/{place}"): MembersView,
    ("post", "/v1/members/{kind}/{place}/remove"): MembersView,
    ("get", "/v1/tokens"): TokensView,
    ("post", "/v1/tokens"): TokenView,
    ("post", "/v1/tokens/{token_id}/revoke"): TokenView,
    ("post", "/v1/login/token"): LoginView,
    ("post", "/v1/login/forget"): ForgottenView,
    ("post", "/v1/logout"): LogoutView,
    ("get", "/v1/shares"): SharesView,
    ("post", "/v1/shares"): SharesView,
    ("post", "/v1/shares/remove"): SharesView,
    ("post", "/v1/shares/terms"): SharesView,
    ("get", "/v1/settlement"): SettlementView,
    ("get", "/v1/charges"): ChargePage,
    ("get", "/v1/projects/{project}/charges"): ChargePage,
    ("get", "/v1/sites/{site}/statement"): StatementView,
    ("get", "/v1/statements/{earner}"): StatementView,
    ("get", "/v1/sites/{site}/reconciliation"): RunFactsPage,
    ("get", "/v1/disputes"): DisputeList,
    ("post", "/v1/disputes"): DisputeView,
    ("post", "/v1/disputes/{dispute_id}/answer"): DisputeView,
    ("post", "/v1/disputes/{dispute_id}/close"): DisputeView,
    ("post", "/v1/payouts"): PayoutView,
    **MONEY_ANSWERS,
}
"""What a good answer holds (a tuple: one of these); those not here are any JSON object."""


def describe(app: FastAPI) -> None:
    """Puts the answers into ``app``'s document, and readable names on its operations."""
    plain = app.openapi

    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _described(plain())
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _described(document: Json) -> Json:
    schemas: Json = document["components"]["schemas"]
    for (method, path), answer in ANSWERS.items():
        operation = document["paths"].get(path, {}).get(method)
        if operation is None:
            continue
        for status in [one for one in operation["responses"] if one.startswith("2")]:
            content = operation["responses"][status]["content"]["application/json"]
            several = answer if isinstance(answer, tuple) else (answer,)
            found = [_component(schemas, one) for one in several]
            content["schema"] = found[0] if len(found) == 1 else {"anyOf": found}
    if "/ga4gh/tes/v1/tasks" in document["paths"]:  # its body is read by the route itself
        _component(schemas, TesTask, mode="validation")
    told = "A token, where the server tells users apart; an agent's credential; the operator's."
    bearer = {"type": "http", "scheme": "bearer", "description": told}
    document["components"]["securitySchemes"] = {"token": bearer}
    document["security"] = [{}, {"token": []}]
    error = _component(schemas, ErrorView)
    for operations in document["paths"].values():
        for operation in operations.values():
            refusal = {"description": "Refused", "content": {"application/json": {"schema": error}}}
            operation["responses"].pop("422", None)
            made = operation["responses"].get("201")
            if made is not None:  # who asks the same again hears it again
                there = {**made, "description": "It was there already, just so"}
                operation["responses"].setdefault("200", there)
            operation["responses"]["default"] = refusal
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document


def _component(
    schemas: Json, answer: Any, mode: Literal["validation", "serialization"] = "serialization"
) -> Json:
    made = TypeAdapter(answer).json_schema(ref_template=_REF, mode=mode)
    schemas.update(made.pop("$defs", {}))
    name = cast(str, answer.__name__)
    schemas[name] = made
    return {"$ref": _REF.format(model=name)}


def user_document() -> Json:
    """The document of the routes for users, without a server: what the SDK is generated from."""
    from westward.server import (
        api_data,
        api_jobs,
        api_lives,
        api_login,
        api_money,
        api_network,
        api_people,
        api_settlement,
        api_shares,
    )

    app = FastAPI(title="Westward", version=__version__)
    routers = (
        api_jobs, api_lives, api_network, api_data, api_people, api_login, api_settlement, api_money,
        api_shares,
    )  # fmt: skip
    for router in (*(one.router for one in routers), api_network.health):
        app.include_router(router)
    describe(app)
    return app.openapi()
