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

Role: TypeAlias = Literal[
    "owner", "lead", "site-operator", "data-owner", "funder", "network-operator", "auditor"
]

Scope: TypeAlias = Literal["read", "jobs", "data", "sites", "people", "metrics", "money"]


class AimView(TypedDict):
    site: str
    pool: str | None


class AnswerRequest(TypedDict):
    answer: str
    by: str


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


class BudgetRequest(TypedDict):
    """What becomes of running jobs when nothing is left."""

    on_empty: NotRequired[Literal["suspend", "cancel", "run-on"]]


class BudgetView(TypedDict):
    """``on_empty`` null: no budget. ``billed``: what was spent without one."""

    project: str
    organisation: str
    currency: str
    on_empty: str | None
    set_ms: int | None
    set_by: str | None
    budget: MoneyView
    billed: MoneyView


class ChargePage(TypedDict):
    """``next`` goes into ``after`` for the next page; null: the last one, which also has the
    month's corrections."""

    network: str
    currency: str
    month: str
    utc_offset: str
    start_ms: int
    end_ms: int
    now_ms: int
    charges: list[ChargeView]
    next: str | None
    sites: dict[str, SiteFactsView]


class ChargeView(TypedDict):
    """One part of one bill, of one earner and one payer. ``quantity`` (milli-device ms, joules or
    bytes) cost ``basis_micros``, of which this payer bears ``micros``."""

    charge_id: str
    kind: Literal["charge", "correction"]
    part: Literal["device", "power", "transfer", "data", "rounding"]
    job_id: str
    job_name: str
    run_id: str
    attempt: int
    site: str
    pool: str
    project: str
    earner: str
    payer: str
    payer_reason: str
    began_ms: int
    ended_ms: int
    posted_ms: int
    micros: int
    basis_micros: int
    quantity: int
    unit_price_micros: int | None
    dispute_id: str
    corrects_ms: int | None


class CheckpointView(TypedDict):
    run_id: str
    site: str
    saved_ms: int
    size_bytes: int
    sent_bytes: int
    at_server: bool


class ClaimView(TypedDict):
    """``next_step`` null: none is left, or it was revoked."""

    id: str
    rule: str
    entity: str
    contract: str
    done: list[str]
    approved_micros: int | None
    approved_device_milli_ms: int | None
    expires_ms: int | None
    revoked: bool
    evidence: list[EvidenceView]
    steps: list[str]
    next_step: str | None
    next_evidence: list[str]


class ClaimsView(TypedDict):
    rule: str
    claims: list[ClaimView]


class ClawBackRequest(TypedDict):
    """``amount_micros`` None: all that was paid. ``dry_run``: only shown."""

    claw_back_id: str
    amount_micros: NotRequired[int | None]
    reason: str
    evidence: list[EvidenceRequest]
    dry_run: NotRequired[bool]


class ClawBackView(TypedDict):
    """``left_micros``: that the rule has paid and not taken back."""

    rule: str
    organisation: str
    currency: str
    posted: bool
    repeated: bool
    taken_micros: int
    left_micros: int | None
    parts: list[YearPartView]


class ContractRequest(TypedDict):
    contract: str
    value_micros: NotRequired[int | None]
    signed_ms: NotRequired[int | None]
    start_ms: NotRequired[int | None]
    end_ms: NotRequired[int | None]
    related: NotRequired[bool | None]
    facts: NotRequired[list[FactRequest] | None]


class ContractView(TypedDict):
    id: str
    value_micros: int | None
    signed_ms: int | None
    start_ms: int | None
    end_ms: int | None
    related: bool | None
    facts: list[FactView]


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


class DisputeList(TypedDict):
    network: str
    currency: str
    disputes: list[DisputeView]


class DisputeRequest(TypedDict):
    """``dispute_id`` is the caller's own, so that the request can be repeated. ``part`` null: all
    of the run."""

    dispute_id: str
    run_id: str
    part: NotRequired[Literal["device", "power", "transfer", "data", "rounding"] | None]
    reason: str
    by: str


class DisputeView(TypedDict):
    dispute_id: str
    run_id: str
    job_id: str
    site: str
    part: Literal["device", "power", "transfer", "data", "rounding"] | None
    reason: str
    opened_by: str
    opened_ms: int
    answer: str
    answered_by: str
    answered_ms: int | None
    outcome: Literal["upheld", "rejected", "withdrawn"] | None
    correction_micros: int
    note: str
    closed_by: str
    closed_ms: int | None
    state: Literal["open", "answered", "closed"]
    created: NotRequired[bool]


class DryView(TypedDict):
    """Days; null: not before the year ends. ``low_day`` to ``high_day``: four draws of five."""

    draws: int
    mean_micros_per_day: int
    dry_share: float
    low_day: str | None
    median_day: str | None
    high_day: str | None


class ErrorView(TypedDict):
    """Every refusal: a stable code, one sentence, and the faults of an input."""

    code: str
    message: str
    faults: list[FaultView]


class EvidenceRequest(TypedDict):
    kind: str
    reference: str


class EvidenceView(TypedDict):
    step: str
    kind: str
    reference: str
    at_ms: int


class FactRequest(TypedDict):
    name: str
    value: bool | int | str
    evidence: str
    until_ms: NotRequired[int | None]


class FactView(TypedDict):
    name: str
    value: bool | int | str
    evidence: str
    until_ms: int | None


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


class ForecastView(TypedDict):
    """``simulation`` null: less than ``past_days_least`` days are past."""

    rule: str
    year: int
    currency: str
    left_micros: int
    past_days: int
    past_days_least: int
    horizon_days: int
    last_day: str
    simulation: DryView | None


class ForgetRequest(TypedDict):
    user: str


class ForgottenView(TypedDict):
    user: str
    forgotten: bool


class FundRequest(TypedDict):
    """``year`` None: this one, by the rule's calendar."""

    transfer_id: str
    amount_micros: int
    reason: NotRequired[str]
    year: NotRequired[int | None]


class GrantView(TypedDict):
    role: str
    kind: str
    place: str


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


class HoldView(TypedDict):
    """One thing that a held job waits for."""

    code: Literal["after", "retry", "suspended", "money"]
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


class LeftView(TypedDict):
    """What is left of a rule's limits without and with this job; null: no limit."""

    year: int
    beneficiary: str
    pot_before_micros: int | None
    pot_after_micros: int | None
    cap_before_micros: int | None
    cap_after_micros: int | None


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


class LoginView(TypedDict):
    """The token of a log-in. ``token``, the secret, is told this once."""

    user: str
    token: str
    token_id: str
    scopes: list[str]
    expires_ms: int


class LogoutView(TypedDict):
    """``ended``: the token's id; null: none that a log-in had made was shown."""

    ended: str | None
    end_session_url: str | None


class MemberRequest(TypedDict):
    user: str
    role: Role


class MemberView(TypedDict):
    user: str
    role: str
    added_ms: int
    added_by: str


class MembersView(TypedDict):
    kind: str
    place: str
    members: list[MemberView]


class MoneyRequest(TypedDict):
    """``transfer_id`` is chosen by the caller: the same again brings nothing in twice."""

    transfer_id: str
    amount_micros: int
    reason: NotRequired[str]


class MoneyView(TypedDict):
    account: str
    paid_in_micros: int
    spent_micros: int
    held_micros: int
    available_micros: int


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


class NoShareRequest(TypedDict):
    kind: Literal["group", "organisation", "project"]
    name: str


class NotPossibleView(TypedDict):
    pool: str
    site: str
    reasons: list[str]


class NotYetView(TypedDict):
    code: str
    text: str


class OrganisationMoneyView(TypedDict):
    organisation: str
    currency: str
    facts: list[FactView]
    contract: ContractView | None
    claims: list[ClaimView]


class OrganisationRequest(TypedDict):
    organisation: str
    label: NotRequired[str]


class OrganisationView(TypedDict):
    organisation: str
    label: str
    created_ms: int
    created_by: str


class OrganisationsView(TypedDict):
    organisations: list[OrganisationView]


class PartView(TypedDict):
    """``payee``: of a supplier's reward."""

    payer: str
    rule: str
    year: int | None
    micros: int
    payee: str


class PauseRequest(TypedDict):
    by: NotRequired[str]


class PayoutRequest(TypedDict):
    """``payout_id`` is the caller's own, so that the request can be repeated."""

    payout_id: str
    earner: str
    micros: int
    reference: NotRequired[str]
    by: str


class PayoutView(TypedDict):
    payout_id: str
    earner: str
    micros: int
    paid_ms: int
    reference: str
    paid_by: str
    created: NotRequired[bool]


class PoolQuoteView(TypedDict):
    """``price_micros`` is devices, power, links, data and rounding, and is what funders
    (``funded_micros``, by ``parts``) and the project (``own_micros``) pay together. ``hold_micros``:
    what must be in its budget for the job to start."""

    pool: str
    site: str
    option: int
    starts_now: bool
    start_ms: int
    duration_ms: int
    need_milli: int
    device_milli_ms: int
    price_micros: int
    device_micros: int
    power_micros: int
    transfer_micros: int
    data_micros: int
    rounding_micros: int
    funded_micros: int
    own_micros: int
    hold_micros: int
    budget_after_micros: int | None
    parts: list[PartView]
    rewards: list[PartView]
    rules: list[RuleVerdictView]


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


class PotView(TypedDict):
    account: str
    paid_in_micros: int
    spent_micros: int
    held_micros: int
    available_micros: int
    year: int


class ProgrammeView(TypedDict):
    """``pot`` and ``admitted``: for its funders, and who oversees the network."""

    rule: str
    label: str
    funder: str
    pays: str
    share_ppm: int | None
    cap_entity_year_micros: int | None
    pot_stated_micros: int | None
    year: int
    currency: str
    pot: PotView | None
    admitted: list[str] | None
    sharing: Literal["first-come", "pro-rata"]
    due_years: list[int] | None


class ProgrammesView(TypedDict):
    currency: str
    programmes: list[ProgrammeView]


class ProjectRequest(TypedDict):
    """``project`` is what its jobs name as their account."""

    project: str
    organisation: str
    label: NotRequired[str]


class ProjectView(TypedDict):
    """``project`` is what its jobs name as their account."""

    project: str
    organisation: str
    label: str
    created_ms: int
    created_by: str


class ProjectsView(TypedDict):
    projects: list[ProjectView]


class ProvenanceView(TypedDict):
    job_id: str
    run_id: str
    site: str
    run_sha256: str
    setup_sha256: str
    inputs: list[UsedInputView]


class QuoteBudgetView(TypedDict):
    available_micros: int
    held_micros: int
    on_empty: str


class QuoteView(TypedDict):
    """``pools``: the cheapest for the project first. ``not_admitted``: rules of the network that the
    organisation has no claim under."""

    now_ms: int
    currency: str
    project: str
    organisation: str
    budget: QuoteBudgetView | None
    not_admitted: int
    summary: str
    duration_assumed: bool
    held: Literal[False]
    pools: list[PoolQuoteView]
    not_possible: list[NotPossibleView]


class RankView(TypedDict):
    rank: int
    size: int


class ReasonView(TypedDict):
    code: str
    text: str


class RedeemRequest(TypedDict):
    """``verifier``: what the challenge of the log-in was made of (RFC 7636)."""

    code: str
    verifier: str


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


class RuleVerdictView(TypedDict):
    rule: str
    funder: str
    counted_micros: int
    entitled_micros: int
    pays_micros: int
    deferred_micros: int
    refused: list[ReasonView]
    limited: list[ReasonView]
    left: list[LeftView]


class RunFactsPage(TypedDict):
    """``next`` goes into ``after`` for the next page; null: the last one."""

    network: str
    currency: str
    month: str
    utc_offset: str
    start_ms: int
    end_ms: int
    now_ms: int
    runs: list[RunFactsView]
    next: int | None


class RunFactsView(TypedDict):
    """``price_micros``: the bill worked out anew; null: the prices are not known any more.
    ``posted_micros``: what the ledger took from payers for it; null: it has nothing of it."""

    job_id: str
    job_name: str
    run_id: str
    attempt: int
    pool: str
    need_milli: int
    started_ms: int | None
    ended_ms: int | None
    outcome: str
    in_period: bool
    readings: int
    missing_readings: int
    wall_ms: int
    device_milli_ms: int
    repeated_ms: int
    billed: bool
    bill_device_milli_ms: int
    bill_device_micros: int
    bill_micros: int
    price_micros: int | None
    unpriced_bytes: int
    corrected_micros: int
    disputes_closed: list[str]
    posted_micros: int | None


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


class SettlementView(TypedDict):
    """Each of the groupings adds up to ``charges_micros`` = bills + corrections."""

    network: str
    currency: str
    month: str
    utc_offset: str
    start_ms: int
    end_ms: int
    now_ms: int
    charges_micros: int
    bills_micros: int
    corrections_micros: int
    runs: int
    by_earner: dict[str, int]
    by_project: dict[str, int]
    by_payer: dict[str, int]
    by_part: dict[str, int]


class ShareAccountView(TypedDict):
    """``part``: of the network. Decayed use; over all projects borrowed and owed are the same sum."""

    project: str
    group: str
    part: float
    entitled_device_hours: float
    used_device_hours: float
    borrowed_device_hours: float
    owed_device_hours: float
    explanation: str


class ShareRequest(TypedDict):
    """``group``: of a project, or of an organisation whose projects it holds for."""

    kind: Literal["group", "organisation", "project"]
    name: str
    weight_milli: NotRequired[int]
    group: NotRequired[str]


class ShareRowView(TypedDict):
    kind: str
    name: str
    group: str
    weight: float


class SharesView(TypedDict):
    """``shares``: what is set, for who oversees the network."""

    on: bool
    half_life_ms: int
    window_ms: int
    used_device_hours: float
    shares: list[ShareRowView]
    projects: list[ShareAccountView]


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


class SiteFactsView(TypedDict):
    label: str
    operator: str
    region: str
    region_label: str


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


class StatementView(TypedDict):
    """``opening + earned + corrected - paid = closing``. ``over``: the month was, at ``as_of_ms``."""

    network: str
    currency: str
    month: str
    utc_offset: str
    start_ms: int
    end_ms: int
    now_ms: int
    earner: str
    as_of_ms: int
    over: bool
    opening_micros: int
    earned_micros: int
    corrected_micros: int
    paid_micros: int
    closing_micros: int
    disputed_micros: int
    payable_micros: int
    charges: list[ChargeView]
    payouts: list[PayoutView]
    disputes: list[DisputeView]


class StepRequest(TypedDict):
    """What was approved, and until when, may be said at ``approve``."""

    step: Literal["claim", "approve", "hold", "use", "settle", "redeem"]
    evidence: NotRequired[list[EvidenceRequest] | None]
    approved_micros: NotRequired[int | None]
    approved_device_ms: NotRequired[int | None]
    expires_ms: NotRequired[int | None]


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
    created: bool


class TermView(TypedDict):
    """A residency rule: the site's tag ``key`` must be one of ``values``."""

    key: str
    values: list[str]


class TermsRequest(TypedDict):
    half_life_ms: int
    window_ms: int


class TokenRequest(TypedDict):
    """``user`` None: oneself. ``scopes`` None: those of the token that asks."""

    user: NotRequired[str | None]
    scopes: NotRequired[list[Scope] | None]
    ttl_ms: NotRequired[int]
    label: NotRequired[str]


class TokenView(TypedDict):
    """``token``, the secret, is told once, when it is made. ``used_ms`` is to the hour."""

    token_id: str
    user: str
    scopes: list[str]
    label: str
    created_ms: int
    expires_ms: int
    revoked_ms: int | None
    used_ms: int | None
    made_by: str
    token: NotRequired[str]


class TokensView(TypedDict):
    tokens: list[TokenView]


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
    accepted: bool
    reason: str


class WhoamiView(TypedDict):
    """``everything``: the server tells no users apart."""

    user: str
    users_told_apart: bool
    everything: bool
    grants: list[GrantView]
    scopes: list[str]
    token_id: str | None
    expires_ms: int | None


class WhyView(TypedDict):
    job: JobView
    currency: str
    decision: DecisionView | None
    set_aside: list[AsideView]
    story: list[StoryView]


class YearPartView(TypedDict):
    transfer_id: str
    account: str
    pot: str
    micros: int


class YearView(TypedDict):
    """What a year's pot pays. ``posted`` false: only shown. ``repeated``: posted by an earlier request,
    whose transfers these are. ``pot_micros`` null: no limit. ``not_yet``: why it could not be posted."""

    rule: str
    year: int
    currency: str
    posted: bool
    repeated: bool
    entitled_micros: int | None
    pot_micros: int | None
    not_yet: NotYetView | None
    paid_micros: int
    parts: list[YearPartView]


class westward__server__api_money__CloseRequest(TypedDict):
    dry_run: NotRequired[bool]


class westward__server__api_settlement__CloseRequest(TypedDict):
    """``correction_micros``: of an upheld one, added to the charge; negative = taken back."""

    outcome: Literal["upheld", "rejected", "withdrawn"]
    correction_micros: NotRequired[int]
    note: NotRequired[str]
    by: str


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
        """A page, in order of submission, of the jobs that the asker may see; ``next`` goes into
        ``after`` for the next page. With
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
        """Every site with its pools, how many run and wait there, prices now, and, for who oversees
        the network or the site, sums so far.
        """
        return self._call("GET", "/v1/sites", {}, None)

    def snapshot(self) -> dict[str, Any]:
        """All that ``plan()`` is given now: feed it back to get the same plan."""
        return self._call("GET", "/v1/snapshot", {}, None)

    def report(self, *, limit: int = 1000) -> ReportView:
        """The newest finished jobs that the asker may see, in the order of submission: where, why
        there, how long, how much.
        """
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
        """One version (0: the newest) with its files, copies and, for who may see the job that made
        it, its provenance.
        """
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

    def whoami(self) -> WhoamiView:
        """Who the server takes the asker for, and what that one may do."""
        return self._call("GET", "/v1/whoami", {}, None)

    def organisations(self) -> OrganisationsView:
        """Those of the asker's projects; for who oversees the network all."""
        return self._call("GET", "/v1/organisations", {}, None)

    def new_organisation(self, *, organisation: str, label: str = "") -> OrganisationView:
        """201; 200 if it is there already, just so."""
        return self._call(
            "POST", "/v1/organisations", {}, {"organisation": organisation, "label": label}
        )

    def projects(self) -> ProjectsView:
        """The asker's; for who oversees the network all."""
        return self._call("GET", "/v1/projects", {}, None)

    def new_project(self, *, project: str, organisation: str, label: str = "") -> ProjectView:
        """201; 200 if it is there already, just so."""
        return self._call(
            "POST",
            "/v1/projects",
            {},
            {"project": project, "organisation": organisation, "label": label},
        )

    def members(self, kind: str, place: str) -> MembersView:
        """Who holds a role there."""
        return self._call(
            "GET", f"/v1/members/{quote(kind, safe='')}/{quote(place, safe='')}", {}, None
        )

    def new_member(self, kind: str, place: str, *, user: str, role: Role) -> MembersView:
        """Gives a role. The same again changes nothing."""
        return self._call(
            "POST",
            f"/v1/members/{quote(kind, safe='')}/{quote(place, safe='')}",
            {},
            {"user": user, "role": role},
        )

    def no_member(self, kind: str, place: str, *, user: str, role: Role) -> MembersView:
        """Takes a role, at once. What is not held cannot be taken."""
        return self._call(
            "POST",
            f"/v1/members/{quote(kind, safe='')}/{quote(place, safe='')}/remove",
            {},
            {"user": user, "role": role},
        )

    def tokens(self) -> TokensView:
        """The asker's own, without their secrets; for who oversees the network all."""
        return self._call("GET", "/v1/tokens", {}, None)

    def new_token(
        self,
        *,
        user: str | None = None,
        scopes: list[Scope] | None = None,
        ttl_ms: int = 7776000000,
        label: str = "",
    ) -> TokenView:
        """A token; its secret is told this once. It has no scopes that the asker's has not, and one
        for oneself does not live longer than the one it was made with.
        """
        return self._call(
            "POST",
            "/v1/tokens",
            {},
            {"user": user, "scopes": scopes, "ttl_ms": ttl_ms, "label": label},
        )

    def no_token(self, token_id: str) -> TokenView:
        """Ends it at once. A second time changes nothing."""
        return self._call("POST", f"/v1/tokens/{quote(token_id, safe='')}/revoke", {}, {})

    def login_token(self, *, code: str, verifier: str) -> LoginView:
        """The token of a log-in by ``westward login``; its secret is told this once."""
        return self._call("POST", "/v1/login/token", {}, {"code": code, "verifier": verifier})

    def forget_login(self, *, user: str) -> ForgottenView:
        """The next log-in by this name may be by another account of the provider."""
        return self._call("POST", "/v1/login/forget", {}, {"user": user})

    def logout(self) -> LogoutView:
        """Ends the token that is shown, if a log-in made it (others: their revoke). ``end_session_url``:
        where one may log out at the provider too.
        """
        return self._call("POST", "/v1/logout", {}, {})

    def settlement_month(self, *, month: str, utc_offset: str = "+00:00") -> SettlementView:
        """Every sum of a month: by earner, project, payer and part."""
        return self._call("GET", "/v1/settlement", {"month": month, "utc_offset": utc_offset}, None)

    def list_charges(
        self, *, month: str, after: str | None = None, limit: int = 500, utc_offset: str = "+00:00"
    ) -> ChargePage:
        """A month's charges, those of ``limit`` bills at a time, by when they were posted."""
        return self._call(
            "GET",
            "/v1/charges",
            {"after": after, "limit": limit, "month": month, "utc_offset": utc_offset},
            None,
        )

    def project_charges(
        self,
        project: str,
        *,
        month: str,
        after: str | None = None,
        limit: int = 500,
        utc_offset: str = "+00:00",
    ) -> ChargePage:
        """The same of one project: what its invoice is made of. A page may be empty and not the last."""
        return self._call(
            "GET",
            f"/v1/projects/{quote(project, safe='')}/charges",
            {"after": after, "limit": limit, "month": month, "utc_offset": utc_offset},
            None,
        )

    def site_statement(self, site: str, *, month: str, utc_offset: str = "+00:00") -> StatementView:
        """What a site earned, was paid and is owed: opening, earned, corrected, paid, closing."""
        return self._call(
            "GET",
            f"/v1/sites/{quote(site, safe='')}/statement",
            {"month": month, "utc_offset": utc_offset},
            None,
        )

    def earner_statement(
        self, earner: str, *, month: str, utc_offset: str = "+00:00"
    ) -> StatementView:
        """The same of any earner: ``site:NAME``, ``network-power``, ``network-links``, ``rounding``,
        ``data-owner:NAME``.
        """
        return self._call(
            "GET",
            f"/v1/statements/{quote(earner, safe='')}",
            {"month": month, "utc_offset": utc_offset},
            None,
        )

    def reconciliation_facts(
        self, site: str, *, month: str, after: int = 0, limit: int = 200, utc_offset: str = "+00:00"
    ) -> RunFactsPage:
        """What the server has of a site's runs: meter, bill, and the bill worked out anew."""
        return self._call(
            "GET",
            f"/v1/sites/{quote(site, safe='')}/reconciliation",
            {"after": after, "limit": limit, "month": month, "utc_offset": utc_offset},
            None,
        )

    def list_disputes(self, *, site: str | None = None) -> DisputeList:
        """The newest first."""
        return self._call("GET", "/v1/disputes", {"site": site}, None)

    def new_dispute(
        self,
        *,
        dispute_id: str,
        run_id: str,
        reason: str,
        by: str,
        part: Literal["device", "power", "transfer", "data", "rounding"] | None = None,
    ) -> DisputeView:
        """What the doubted charges earn is not payable until it is closed. 200 for a repeat."""
        return self._call(
            "POST",
            "/v1/disputes",
            {},
            {"dispute_id": dispute_id, "run_id": run_id, "part": part, "reason": reason, "by": by},
        )

    def answer_to_dispute(self, dispute_id: str, *, answer: str, by: str) -> DisputeView:
        """A later answer takes the place of an earlier one."""
        return self._call(
            "POST",
            f"/v1/disputes/{quote(dispute_id, safe='')}/answer",
            {},
            {"answer": answer, "by": by},
        )

    def end_dispute(
        self,
        dispute_id: str,
        *,
        outcome: Literal["upheld", "rejected", "withdrawn"],
        by: str,
        correction_micros: int = 0,
        note: str = "",
    ) -> DisputeView:
        """Upheld: its correction is posted now. The same words again change nothing."""
        return self._call(
            "POST",
            f"/v1/disputes/{quote(dispute_id, safe='')}/close",
            {},
            {"outcome": outcome, "correction_micros": correction_micros, "note": note, "by": by},
        )

    def new_payout(
        self, *, payout_id: str, earner: str, micros: int, by: str, reference: str = ""
    ) -> PayoutView:
        """Notes that an earner was paid; not more than is owed and not disputed. 200 for a repeat."""
        return self._call(
            "POST",
            "/v1/payouts",
            {},
            {
                "payout_id": payout_id,
                "earner": earner,
                "micros": micros,
                "reference": reference,
                "by": by,
            },
        )

    def quote(
        self,
        *,
        task: str,
        job_id: str | None = None,
        file: str = "task.yaml",
        base_dir: str | None = None,
        home_site: str | None = None,
        account: str | None = None,
    ) -> QuoteView:
        """What the job would cost at each pool at its best hour, and who would pay which part of it;
        the cheapest for its project first. Nothing is held, nothing is changed.
        """
        return self._call(
            "POST",
            "/v1/quote",
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

    def budget(self, project: str) -> BudgetView:
        """What the project may spend, and what it owes where it has no budget."""
        return self._call("GET", f"/v1/budgets/{quote(project, safe='')}", {}, None)

    def new_budget(
        self, project: str, *, on_empty: Literal["suspend", "cancel", "run-on"] = "suspend"
    ) -> BudgetView:
        """From now on the project spends what it was given, and no more. ``run-on`` is for the
        network's operator: the network bears what is beyond.
        """
        return self._call(
            "POST", f"/v1/budgets/{quote(project, safe='')}", {}, {"on_empty": on_empty}
        )

    def add_to_budget(
        self, project: str, *, transfer_id: str, amount_micros: int, reason: str = ""
    ) -> BudgetView:
        """Money from outside for a project with a budget."""
        return self._call(
            "POST",
            f"/v1/budgets/{quote(project, safe='')}/add",
            {},
            {"transfer_id": transfer_id, "amount_micros": amount_micros, "reason": reason},
        )

    def no_budget(self, project: str) -> BudgetView:
        """From now on the project is billed without a limit; what is left in its budget stays there."""
        return self._call("POST", f"/v1/budgets/{quote(project, safe='')}/remove", {}, {})

    def programmes(self) -> ProgrammesView:
        """The network's voucher rules; what is in their pots for who funds them or oversees the
        network.
        """
        return self._call("GET", "/v1/programmes", {}, None)

    def fund(
        self,
        rule: str,
        *,
        transfer_id: str,
        amount_micros: int,
        reason: str = "",
        year: int | None = None,
    ) -> PotView:
        """Money from outside into the pot of one year."""
        return self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/fund",
            {},
            {
                "transfer_id": transfer_id,
                "amount_micros": amount_micros,
                "reason": reason,
                "year": year,
            },
        )

    def forecast(self, rule: str) -> ForecastView:
        """When this year's pot will be empty: a simulation from the spend of the last weeks, with the
        interval that four draws of five lie in.
        """
        return self._call("GET", f"/v1/programmes/{quote(rule, safe='')}/forecast", {}, None)

    def claims(self, rule: str) -> ClaimsView:
        """Whom the programme has admitted, and how far each claim is."""
        return self._call("GET", f"/v1/programmes/{quote(rule, safe='')}/claims", {}, None)

    def claim(self, rule: str, organisation: str) -> ClaimView:
        """One organisation's claim, its steps and their evidence."""
        return self._call(
            "GET",
            f"/v1/programmes/{quote(rule, safe='')}/claims/{quote(organisation, safe='')}",
            {},
            None,
        )

    def admit_organisation(self, rule: str, organisation: str) -> ClaimView:
        """From now on the rule may pay for the organisation, as its steps allow. 200: it did before."""
        return self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/claims/{quote(organisation, safe='')}",
            {},
            {},
        )

    def no_claim(self, rule: str, organisation: str) -> ClaimView:
        """The rule pays for the organisation's runs no more. What was paid stays paid."""
        return self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/claims/{quote(organisation, safe='')}/revoke",
            {},
            {},
        )

    def step_claim(
        self,
        rule: str,
        organisation: str,
        *,
        step: Literal["claim", "approve", "hold", "use", "settle", "redeem"],
        evidence: list[EvidenceRequest] | None = None,
        approved_micros: int | None = None,
        approved_device_ms: int | None = None,
        expires_ms: int | None = None,
    ) -> ClaimView:
        """Takes the claim's next step. ``approve``, ``hold`` and ``redeem`` are its funder's."""
        return self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/claims/{quote(organisation, safe='')}/steps",
            {},
            {
                "step": step,
                "evidence": evidence,
                "approved_micros": approved_micros,
                "approved_device_ms": approved_device_ms,
                "expires_ms": expires_ms,
            },
        )

    def claw_back_claim(
        self,
        rule: str,
        organisation: str,
        *,
        claw_back_id: str,
        reason: str,
        evidence: list[EvidenceRequest],
        amount_micros: int | None = None,
        dry_run: bool = False,
    ) -> ClawBackView:
        """Takes what the rule has paid for the organisation back into the pots of its years, as new
        transfers with their reason; the claim is revoked. The same id again changes nothing.
        """
        return self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/claims/{quote(organisation, safe='')}/claw-back",
            {},
            {
                "claw_back_id": claw_back_id,
                "amount_micros": amount_micros,
                "reason": reason,
                "evidence": evidence,
                "dry_run": dry_run,
            },
        )

    def close_programme_year(self, rule: str, year: str, *, dry_run: bool = False) -> YearView:
        """Shares the pot of a pro-rata rule out among those entitled in ``year``, once it is over and its
        runs are settled. A second time shows what was done and changes nothing.
        """
        return self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/years/{quote(year, safe='')}/close",
            {},
            {"dry_run": dry_run},
        )

    def organisation_money(self, organisation: str) -> OrganisationMoneyView:
        """What the organisation has shown, its contract, its claims."""
        return self._call(
            "GET", f"/v1/organisations/{quote(organisation, safe='')}/money", {}, None
        )

    def new_fact(
        self,
        organisation: str,
        *,
        name: str,
        value: bool | int | str,
        evidence: str,
        until_ms: int | None = None,
    ) -> OrganisationMoneyView:
        """Something shown about the organisation, and by what. The same name again replaces it."""
        return self._call(
            "POST",
            f"/v1/organisations/{quote(organisation, safe='')}/facts",
            {},
            {"name": name, "value": value, "evidence": evidence, "until_ms": until_ms},
        )

    def new_contract(
        self,
        organisation: str,
        *,
        contract: str,
        value_micros: int | None = None,
        signed_ms: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        related: bool | None = None,
        facts: list[FactRequest] | None = None,
    ) -> OrganisationMoneyView:
        """The contract under which the organisation's jobs are bought from now on."""
        return self._call(
            "POST",
            f"/v1/organisations/{quote(organisation, safe='')}/contracts",
            {},
            {
                "contract": contract,
                "value_micros": value_micros,
                "signed_ms": signed_ms,
                "start_ms": start_ms,
                "end_ms": end_ms,
                "related": related,
                "facts": facts,
            },
        )

    def shares(self) -> SharesView:
        """Of the asker's projects; for who oversees the network all, and what is set."""
        return self._call("GET", "/v1/shares", {}, None)

    def new_share(
        self,
        *,
        kind: Literal["group", "organisation", "project"],
        name: str,
        weight_milli: int = 1000,
        group: str = "",
    ) -> SharesView:
        """The first share that is set turns fair shares on: from then on waiting jobs of one priority
        go in their order.
        """
        return self._call(
            "POST",
            "/v1/shares",
            {},
            {"kind": kind, "name": name, "weight_milli": weight_milli, "group": group},
        )

    def no_share(
        self, *, kind: Literal["group", "organisation", "project"], name: str
    ) -> SharesView:
        """It weighs 1 again. With the last one fair shares are off."""
        return self._call("POST", "/v1/shares/remove", {}, {"kind": kind, "name": name})

    def share_terms(self, *, half_life_ms: int, window_ms: int) -> SharesView:
        """How fast use is forgotten."""
        return self._call(
            "POST", "/v1/shares/terms", {}, {"half_life_ms": half_life_ms, "window_ms": window_ms}
        )

    def healthz(self) -> HealthView:
        """``ok`` while every loop's last round went through and no job or run is set aside. What is set
        aside, and how many jobs there are, only for who oversees the network. ``replica``: where
        several servers share a database, which one leads.
        """
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
        """A page, in order of submission, of the jobs that the asker may see; ``next`` goes into
        ``after`` for the next page. With
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
        """Every site with its pools, how many run and wait there, prices now, and, for who oversees
        the network or the site, sums so far.
        """
        return await self._call("GET", "/v1/sites", {}, None)

    async def snapshot(self) -> dict[str, Any]:
        """All that ``plan()`` is given now: feed it back to get the same plan."""
        return await self._call("GET", "/v1/snapshot", {}, None)

    async def report(self, *, limit: int = 1000) -> ReportView:
        """The newest finished jobs that the asker may see, in the order of submission: where, why
        there, how long, how much.
        """
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
        """One version (0: the newest) with its files, copies and, for who may see the job that made
        it, its provenance.
        """
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

    async def whoami(self) -> WhoamiView:
        """Who the server takes the asker for, and what that one may do."""
        return await self._call("GET", "/v1/whoami", {}, None)

    async def organisations(self) -> OrganisationsView:
        """Those of the asker's projects; for who oversees the network all."""
        return await self._call("GET", "/v1/organisations", {}, None)

    async def new_organisation(self, *, organisation: str, label: str = "") -> OrganisationView:
        """201; 200 if it is there already, just so."""
        return await self._call(
            "POST", "/v1/organisations", {}, {"organisation": organisation, "label": label}
        )

    async def projects(self) -> ProjectsView:
        """The asker's; for who oversees the network all."""
        return await self._call("GET", "/v1/projects", {}, None)

    async def new_project(self, *, project: str, organisation: str, label: str = "") -> ProjectView:
        """201; 200 if it is there already, just so."""
        return await self._call(
            "POST",
            "/v1/projects",
            {},
            {"project": project, "organisation": organisation, "label": label},
        )

    async def members(self, kind: str, place: str) -> MembersView:
        """Who holds a role there."""
        return await self._call(
            "GET", f"/v1/members/{quote(kind, safe='')}/{quote(place, safe='')}", {}, None
        )

    async def new_member(self, kind: str, place: str, *, user: str, role: Role) -> MembersView:
        """Gives a role. The same again changes nothing."""
        return await self._call(
            "POST",
            f"/v1/members/{quote(kind, safe='')}/{quote(place, safe='')}",
            {},
            {"user": user, "role": role},
        )

    async def no_member(self, kind: str, place: str, *, user: str, role: Role) -> MembersView:
        """Takes a role, at once. What is not held cannot be taken."""
        return await self._call(
            "POST",
            f"/v1/members/{quote(kind, safe='')}/{quote(place, safe='')}/remove",
            {},
            {"user": user, "role": role},
        )

    async def tokens(self) -> TokensView:
        """The asker's own, without their secrets; for who oversees the network all."""
        return await self._call("GET", "/v1/tokens", {}, None)

    async def new_token(
        self,
        *,
        user: str | None = None,
        scopes: list[Scope] | None = None,
        ttl_ms: int = 7776000000,
        label: str = "",
    ) -> TokenView:
        """A token; its secret is told this once. It has no scopes that the asker's has not, and one
        for oneself does not live longer than the one it was made with.
        """
        return await self._call(
            "POST",
            "/v1/tokens",
            {},
            {"user": user, "scopes": scopes, "ttl_ms": ttl_ms, "label": label},
        )

    async def no_token(self, token_id: str) -> TokenView:
        """Ends it at once. A second time changes nothing."""
        return await self._call("POST", f"/v1/tokens/{quote(token_id, safe='')}/revoke", {}, {})

    async def login_token(self, *, code: str, verifier: str) -> LoginView:
        """The token of a log-in by ``westward login``; its secret is told this once."""
        return await self._call("POST", "/v1/login/token", {}, {"code": code, "verifier": verifier})

    async def forget_login(self, *, user: str) -> ForgottenView:
        """The next log-in by this name may be by another account of the provider."""
        return await self._call("POST", "/v1/login/forget", {}, {"user": user})

    async def logout(self) -> LogoutView:
        """Ends the token that is shown, if a log-in made it (others: their revoke). ``end_session_url``:
        where one may log out at the provider too.
        """
        return await self._call("POST", "/v1/logout", {}, {})

    async def settlement_month(self, *, month: str, utc_offset: str = "+00:00") -> SettlementView:
        """Every sum of a month: by earner, project, payer and part."""
        return await self._call(
            "GET", "/v1/settlement", {"month": month, "utc_offset": utc_offset}, None
        )

    async def list_charges(
        self, *, month: str, after: str | None = None, limit: int = 500, utc_offset: str = "+00:00"
    ) -> ChargePage:
        """A month's charges, those of ``limit`` bills at a time, by when they were posted."""
        return await self._call(
            "GET",
            "/v1/charges",
            {"after": after, "limit": limit, "month": month, "utc_offset": utc_offset},
            None,
        )

    async def project_charges(
        self,
        project: str,
        *,
        month: str,
        after: str | None = None,
        limit: int = 500,
        utc_offset: str = "+00:00",
    ) -> ChargePage:
        """The same of one project: what its invoice is made of. A page may be empty and not the last."""
        return await self._call(
            "GET",
            f"/v1/projects/{quote(project, safe='')}/charges",
            {"after": after, "limit": limit, "month": month, "utc_offset": utc_offset},
            None,
        )

    async def site_statement(
        self, site: str, *, month: str, utc_offset: str = "+00:00"
    ) -> StatementView:
        """What a site earned, was paid and is owed: opening, earned, corrected, paid, closing."""
        return await self._call(
            "GET",
            f"/v1/sites/{quote(site, safe='')}/statement",
            {"month": month, "utc_offset": utc_offset},
            None,
        )

    async def earner_statement(
        self, earner: str, *, month: str, utc_offset: str = "+00:00"
    ) -> StatementView:
        """The same of any earner: ``site:NAME``, ``network-power``, ``network-links``, ``rounding``,
        ``data-owner:NAME``.
        """
        return await self._call(
            "GET",
            f"/v1/statements/{quote(earner, safe='')}",
            {"month": month, "utc_offset": utc_offset},
            None,
        )

    async def reconciliation_facts(
        self, site: str, *, month: str, after: int = 0, limit: int = 200, utc_offset: str = "+00:00"
    ) -> RunFactsPage:
        """What the server has of a site's runs: meter, bill, and the bill worked out anew."""
        return await self._call(
            "GET",
            f"/v1/sites/{quote(site, safe='')}/reconciliation",
            {"after": after, "limit": limit, "month": month, "utc_offset": utc_offset},
            None,
        )

    async def list_disputes(self, *, site: str | None = None) -> DisputeList:
        """The newest first."""
        return await self._call("GET", "/v1/disputes", {"site": site}, None)

    async def new_dispute(
        self,
        *,
        dispute_id: str,
        run_id: str,
        reason: str,
        by: str,
        part: Literal["device", "power", "transfer", "data", "rounding"] | None = None,
    ) -> DisputeView:
        """What the doubted charges earn is not payable until it is closed. 200 for a repeat."""
        return await self._call(
            "POST",
            "/v1/disputes",
            {},
            {"dispute_id": dispute_id, "run_id": run_id, "part": part, "reason": reason, "by": by},
        )

    async def answer_to_dispute(self, dispute_id: str, *, answer: str, by: str) -> DisputeView:
        """A later answer takes the place of an earlier one."""
        return await self._call(
            "POST",
            f"/v1/disputes/{quote(dispute_id, safe='')}/answer",
            {},
            {"answer": answer, "by": by},
        )

    async def end_dispute(
        self,
        dispute_id: str,
        *,
        outcome: Literal["upheld", "rejected", "withdrawn"],
        by: str,
        correction_micros: int = 0,
        note: str = "",
    ) -> DisputeView:
        """Upheld: its correction is posted now. The same words again change nothing."""
        return await self._call(
            "POST",
            f"/v1/disputes/{quote(dispute_id, safe='')}/close",
            {},
            {"outcome": outcome, "correction_micros": correction_micros, "note": note, "by": by},
        )

    async def new_payout(
        self, *, payout_id: str, earner: str, micros: int, by: str, reference: str = ""
    ) -> PayoutView:
        """Notes that an earner was paid; not more than is owed and not disputed. 200 for a repeat."""
        return await self._call(
            "POST",
            "/v1/payouts",
            {},
            {
                "payout_id": payout_id,
                "earner": earner,
                "micros": micros,
                "reference": reference,
                "by": by,
            },
        )

    async def quote(
        self,
        *,
        task: str,
        job_id: str | None = None,
        file: str = "task.yaml",
        base_dir: str | None = None,
        home_site: str | None = None,
        account: str | None = None,
    ) -> QuoteView:
        """What the job would cost at each pool at its best hour, and who would pay which part of it;
        the cheapest for its project first. Nothing is held, nothing is changed.
        """
        return await self._call(
            "POST",
            "/v1/quote",
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

    async def budget(self, project: str) -> BudgetView:
        """What the project may spend, and what it owes where it has no budget."""
        return await self._call("GET", f"/v1/budgets/{quote(project, safe='')}", {}, None)

    async def new_budget(
        self, project: str, *, on_empty: Literal["suspend", "cancel", "run-on"] = "suspend"
    ) -> BudgetView:
        """From now on the project spends what it was given, and no more. ``run-on`` is for the
        network's operator: the network bears what is beyond.
        """
        return await self._call(
            "POST", f"/v1/budgets/{quote(project, safe='')}", {}, {"on_empty": on_empty}
        )

    async def add_to_budget(
        self, project: str, *, transfer_id: str, amount_micros: int, reason: str = ""
    ) -> BudgetView:
        """Money from outside for a project with a budget."""
        return await self._call(
            "POST",
            f"/v1/budgets/{quote(project, safe='')}/add",
            {},
            {"transfer_id": transfer_id, "amount_micros": amount_micros, "reason": reason},
        )

    async def no_budget(self, project: str) -> BudgetView:
        """From now on the project is billed without a limit; what is left in its budget stays there."""
        return await self._call("POST", f"/v1/budgets/{quote(project, safe='')}/remove", {}, {})

    async def programmes(self) -> ProgrammesView:
        """The network's voucher rules; what is in their pots for who funds them or oversees the
        network.
        """
        return await self._call("GET", "/v1/programmes", {}, None)

    async def fund(
        self,
        rule: str,
        *,
        transfer_id: str,
        amount_micros: int,
        reason: str = "",
        year: int | None = None,
    ) -> PotView:
        """Money from outside into the pot of one year."""
        return await self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/fund",
            {},
            {
                "transfer_id": transfer_id,
                "amount_micros": amount_micros,
                "reason": reason,
                "year": year,
            },
        )

    async def forecast(self, rule: str) -> ForecastView:
        """When this year's pot will be empty: a simulation from the spend of the last weeks, with the
        interval that four draws of five lie in.
        """
        return await self._call("GET", f"/v1/programmes/{quote(rule, safe='')}/forecast", {}, None)

    async def claims(self, rule: str) -> ClaimsView:
        """Whom the programme has admitted, and how far each claim is."""
        return await self._call("GET", f"/v1/programmes/{quote(rule, safe='')}/claims", {}, None)

    async def claim(self, rule: str, organisation: str) -> ClaimView:
        """One organisation's claim, its steps and their evidence."""
        return await self._call(
            "GET",
            f"/v1/programmes/{quote(rule, safe='')}/claims/{quote(organisation, safe='')}",
            {},
            None,
        )

    async def admit_organisation(self, rule: str, organisation: str) -> ClaimView:
        """From now on the rule may pay for the organisation, as its steps allow. 200: it did before."""
        return await self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/claims/{quote(organisation, safe='')}",
            {},
            {},
        )

    async def no_claim(self, rule: str, organisation: str) -> ClaimView:
        """The rule pays for the organisation's runs no more. What was paid stays paid."""
        return await self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/claims/{quote(organisation, safe='')}/revoke",
            {},
            {},
        )

    async def step_claim(
        self,
        rule: str,
        organisation: str,
        *,
        step: Literal["claim", "approve", "hold", "use", "settle", "redeem"],
        evidence: list[EvidenceRequest] | None = None,
        approved_micros: int | None = None,
        approved_device_ms: int | None = None,
        expires_ms: int | None = None,
    ) -> ClaimView:
        """Takes the claim's next step. ``approve``, ``hold`` and ``redeem`` are its funder's."""
        return await self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/claims/{quote(organisation, safe='')}/steps",
            {},
            {
                "step": step,
                "evidence": evidence,
                "approved_micros": approved_micros,
                "approved_device_ms": approved_device_ms,
                "expires_ms": expires_ms,
            },
        )

    async def claw_back_claim(
        self,
        rule: str,
        organisation: str,
        *,
        claw_back_id: str,
        reason: str,
        evidence: list[EvidenceRequest],
        amount_micros: int | None = None,
        dry_run: bool = False,
    ) -> ClawBackView:
        """Takes what the rule has paid for the organisation back into the pots of its years, as new
        transfers with their reason; the claim is revoked. The same id again changes nothing.
        """
        return await self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/claims/{quote(organisation, safe='')}/claw-back",
            {},
            {
                "claw_back_id": claw_back_id,
                "amount_micros": amount_micros,
                "reason": reason,
                "evidence": evidence,
                "dry_run": dry_run,
            },
        )

    async def close_programme_year(
        self, rule: str, year: str, *, dry_run: bool = False
    ) -> YearView:
        """Shares the pot of a pro-rata rule out among those entitled in ``year``, once it is over and its
        runs are settled. A second time shows what was done and changes nothing.
        """
        return await self._call(
            "POST",
            f"/v1/programmes/{quote(rule, safe='')}/years/{quote(year, safe='')}/close",
            {},
            {"dry_run": dry_run},
        )

    async def organisation_money(self, organisation: str) -> OrganisationMoneyView:
        """What the organisation has shown, its contract, its claims."""
        return await self._call(
            "GET", f"/v1/organisations/{quote(organisation, safe='')}/money", {}, None
        )

    async def new_fact(
        self,
        organisation: str,
        *,
        name: str,
        value: bool | int | str,
        evidence: str,
        until_ms: int | None = None,
    ) -> OrganisationMoneyView:
        """Something shown about the organisation, and by what. The same name again replaces it."""
        return await self._call(
            "POST",
            f"/v1/organisations/{quote(organisation, safe='')}/facts",
            {},
            {"name": name, "value": value, "evidence": evidence, "until_ms": until_ms},
        )

    async def new_contract(
        self,
        organisation: str,
        *,
        contract: str,
        value_micros: int | None = None,
        signed_ms: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        related: bool | None = None,
        facts: list[FactRequest] | None = None,
    ) -> OrganisationMoneyView:
        """The contract under which the organisation's jobs are bought from now on."""
        return await self._call(
            "POST",
            f"/v1/organisations/{quote(organisation, safe='')}/contracts",
            {},
            {
                "contract": contract,
                "value_micros": value_micros,
                "signed_ms": signed_ms,
                "start_ms": start_ms,
                "end_ms": end_ms,
                "related": related,
                "facts": facts,
            },
        )

    async def shares(self) -> SharesView:
        """Of the asker's projects; for who oversees the network all, and what is set."""
        return await self._call("GET", "/v1/shares", {}, None)

    async def new_share(
        self,
        *,
        kind: Literal["group", "organisation", "project"],
        name: str,
        weight_milli: int = 1000,
        group: str = "",
    ) -> SharesView:
        """The first share that is set turns fair shares on: from then on waiting jobs of one priority
        go in their order.
        """
        return await self._call(
            "POST",
            "/v1/shares",
            {},
            {"kind": kind, "name": name, "weight_milli": weight_milli, "group": group},
        )

    async def no_share(
        self, *, kind: Literal["group", "organisation", "project"], name: str
    ) -> SharesView:
        """It weighs 1 again. With the last one fair shares are off."""
        return await self._call("POST", "/v1/shares/remove", {}, {"kind": kind, "name": name})

    async def share_terms(self, *, half_life_ms: int, window_ms: int) -> SharesView:
        """How fast use is forgotten."""
        return await self._call(
            "POST", "/v1/shares/terms", {}, {"half_life_ms": half_life_ms, "window_ms": window_ms}
        )

    async def healthz(self) -> HealthView:
        """``ok`` while every loop's last round went through and no job or run is set aside. What is set
        aside, and how many jobs there are, only for who oversees the network. ``replica``: where
        several servers share a database, which one leads.
        """
        return await self._call("GET", "/healthz", {}, None)
