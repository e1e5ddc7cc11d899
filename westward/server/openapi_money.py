"""What the answers about money hold; part of ``openapi``. Amounts in millionths of the currency."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class ReasonView(TypedDict):
    code: str
    text: str


class PartView(TypedDict):
    """``payee``: of a supplier's reward."""

    payer: str
    rule: str
    year: int | None
    micros: int
    payee: str


class LeftView(TypedDict):
    """What is left of a rule's limits without and with this job; null: no limit."""

    year: int
    beneficiary: str
    pot_before_micros: int | None
    pot_after_micros: int | None
    cap_before_micros: int | None
    cap_after_micros: int | None


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


class NotPossibleView(TypedDict):
    pool: str
    site: str
    reasons: list[str]


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


class MoneyView(TypedDict):
    account: str
    paid_in_micros: int
    spent_micros: int
    held_micros: int
    available_micros: int


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


class PotView(MoneyView):
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
    """Years of a pro-rata pot that are over and not shared out yet."""


class YearPartView(TypedDict):
    transfer_id: str
    account: str
    pot: str
    micros: int


class NotYetView(TypedDict):
    code: str
    text: str


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


class ProgrammesView(TypedDict):
    currency: str
    programmes: list[ProgrammeView]


class DryView(TypedDict):
    """Days; null: not before the year ends. ``low_day`` to ``high_day``: four draws of five."""

    draws: int
    mean_micros_per_day: int
    dry_share: float
    low_day: str | None
    median_day: str | None
    high_day: str | None


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


class EvidenceView(TypedDict):
    step: str
    kind: str
    reference: str
    at_ms: int


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


class FactView(TypedDict):
    name: str
    value: bool | int | str
    evidence: str
    until_ms: int | None


class ContractView(TypedDict):
    id: str
    value_micros: int | None
    signed_ms: int | None
    start_ms: int | None
    end_ms: int | None
    related: bool | None
    facts: list[FactView]


class OrganisationMoneyView(TypedDict):
    organisation: str
    currency: str
    facts: list[FactView]
    contract: ContractView | None
    claims: list[ClaimView]


MONEY_ANSWERS = {
    ("post", "/v1/quote"): QuoteView,
    ("get", "/v1/budgets/{project}"): BudgetView,
    ("post", "/v1/budgets/{project}"): BudgetView,
    ("post", "/v1/budgets/{project}/add"): BudgetView,
    ("post", "/v1/budgets/{project}/remove"): BudgetView,
    ("get", "/v1/programmes"): ProgrammesView,
    ("post", "/v1/programmes/{rule}/fund"): PotView,
    ("get", "/v1/programmes/{rule}/forecast"): ForecastView,
    ("get", "/v1/programmes/{rule}/claims"): ClaimsView,
    ("get", "/v1/programmes/{rule}/claims/{organisation}"): ClaimView,
    ("post", "/v1/programmes/{rule}/claims/{organisation}"): ClaimView,
    ("post", "/v1/programmes/{rule}/claims/{organisation}/revoke"): ClaimView,
    ("post", "/v1/programmes/{rule}/claims/{organisation}/steps"): ClaimView,
    ("post", "/v1/programmes/{rule}/claims/{organisation}/claw-back"): ClawBackView,
    ("post", "/v1/programmes/{rule}/years/{year}/close"): YearView,
    ("get", "/v1/organisations/{organisation}/money"): OrganisationMoneyView,
    ("post", "/v1/organisations/{organisation}/facts"): OrganisationMoneyView,
    ("post", "/v1/organisations/{organisation}/contracts"): OrganisationMoneyView,
}
