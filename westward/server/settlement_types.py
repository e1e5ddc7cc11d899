"""What the answers of ``api_settlement`` hold, for the OpenAPI document. Money in millionths."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from westward.settlement.charges import Part
from westward.settlement.disputes import Outcome


class MonthView(TypedDict):
    """The month that an answer is about, from ``start_ms`` until before ``end_ms``."""

    network: str
    currency: str
    month: str
    utc_offset: str
    start_ms: int
    end_ms: int
    now_ms: int


class ChargeView(TypedDict):
    """One part of one bill, of one earner and one payer. ``quantity`` (milli-device ms, joules or
    bytes) cost ``basis_micros``, of which this payer bears ``micros``."""

    charge_id: str
    kind: Literal["charge", "correction"]
    part: Part
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


class SiteFactsView(TypedDict):
    label: str
    operator: str
    region: str
    region_label: str


class ChargePage(MonthView):
    """``next`` goes into ``after`` for the next page; null: the last one, which also has the
    month's corrections."""

    charges: list[ChargeView]
    next: str | None
    sites: dict[str, SiteFactsView]


class SettlementView(MonthView):
    """Each of the groupings adds up to ``charges_micros`` = bills + corrections."""

    charges_micros: int
    bills_micros: int
    corrections_micros: int
    runs: int
    by_earner: dict[str, int]
    by_project: dict[str, int]
    by_payer: dict[str, int]
    by_part: dict[str, int]


class DisputeView(TypedDict):
    dispute_id: str
    run_id: str
    job_id: str
    site: str
    part: Part | None
    reason: str
    opened_by: str
    opened_ms: int
    answer: str
    answered_by: str
    answered_ms: int | None
    outcome: Outcome | None
    correction_micros: int
    note: str
    closed_by: str
    closed_ms: int | None
    state: Literal["open", "answered", "closed"]
    created: NotRequired[bool]


class DisputeList(TypedDict):
    network: str
    currency: str
    disputes: list[DisputeView]


class PayoutView(TypedDict):
    payout_id: str
    earner: str
    micros: int
    paid_ms: int
    reference: str
    paid_by: str
    created: NotRequired[bool]


class StatementView(MonthView):
    """``opening + earned + corrected - paid = closing``. ``over``: the month was, at ``as_of_ms``."""

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


class RunFactsPage(MonthView):
    """``next`` goes into ``after`` for the next page; null: the last one."""

    runs: list[RunFactsView]
    next: int | None
