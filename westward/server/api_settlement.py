"""Who earned what and who pays it: charges, statements, disputes, payouts, facts to reconcile."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from westward.model.access import About, of_project
from westward.model.faults import Fault, InputFaults
from westward.model.people import Place
from westward.server.api_jobs import CoreDep
from westward.server.core import Core
from westward.server.disputing import close_and_post
from westward.server.errors import ApiError, not_found
from westward.server.limits import INTEGER_MOST
from westward.server.rights import JudgedDep, permit
from westward.server.settling import charges_page, facts_page, month_totals, site_facts
from westward.settlement.charges import Part, site_account
from westward.settlement.disputes import Dispute, Outcome, Refused
from westward.settlement.periods import Period, parse_period
from westward.settlement.statements import Payout, Statement
from westward.store.people import run_parties
from westward.store.settlement import (
    answer_dispute,
    load_disputes,
    load_statement,
    open_dispute,
    pay,
)

router = APIRouter(prefix="/v1", tags=["settlement"])
Json = dict[str, Any]
PAGE_RUNS_MOST = 500
Text = Annotated[str, Field(min_length=1, max_length=4_000, pattern=r"^[^\x00]+$")]
Optional = Annotated[str, Field(max_length=4_000, pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Micros = Annotated[int, Field(ge=-INTEGER_MOST, le=INTEGER_MOST)]


def _period(
    month: Annotated[str, Query(max_length=20, description="2026-11")],
    utc_offset: Annotated[str, Query(max_length=20, description="+08:00")] = "+00:00",
) -> Period:
    try:
        return parse_period(month, utc_offset)
    except ValueError as error:
        fault = Fault("request", None, "month", str(error), "Correct it.")
        raise InputFaults([fault]) from None


PeriodDep = Annotated[Period, Depends(_period)]
Limit = Annotated[int, Query(ge=1, le=PAGE_RUNS_MOST)]


class DisputeRequest(BaseModel, extra="forbid"):
    """``dispute_id`` is the caller's own, so that the request can be repeated. ``part`` null: all
    of the run."""

    dispute_id: Identifier
    run_id: Name
    part: Part | None = None
    reason: Text
    by: Name


class AnswerRequest(BaseModel, extra="forbid"):
    answer: Text
    by: Name


class CloseRequest(BaseModel, extra="forbid"):
    """``correction_micros``: of an upheld one, added to the charge; negative = taken back."""

    outcome: Outcome
    correction_micros: Micros = 0
    note: Optional = ""
    by: Name


class PayoutRequest(BaseModel, extra="forbid"):
    """``payout_id`` is the caller's own, so that the request can be repeated."""

    payout_id: Identifier
    earner: Annotated[str, Field(min_length=1, max_length=220, pattern=r"^[^\x00]+$")]
    micros: Annotated[int, Field(gt=0, le=INTEGER_MOST)]
    reference: Optional = ""
    by: Name


@router.get("/settlement")
async def settlement_month(core: CoreDep, period: PeriodDep) -> Json:
    """Every sum of a month: by earner, project, payer and part."""
    month = await core.read(month_totals, core, period)
    return {**_head(core, period), **asdict(month)}


@router.get("/charges")
async def list_charges(
    core: CoreDep, period: PeriodDep, after: str | None = None, limit: Limit = PAGE_RUNS_MOST
) -> Json:
    """A month's charges, those of ``limit`` bills at a time, by when they were posted."""
    return await core.read(_charges, core, period, None, after, limit)


@router.get("/projects/{project}/charges")
async def project_charges(
    project: str,
    core: CoreDep,
    period: PeriodDep,
    after: str | None = None,
    limit: Limit = PAGE_RUNS_MOST,
) -> Json:
    """The same of one project: what its invoice is made of. A page may be empty and not the last."""
    return await core.read(_charges, core, period, project, after, limit)


def _charges(
    core: Core, period: Period, project: str | None, after: str | None, limit: int
) -> Json:
    cursor = None
    if after is not None:
        at_ms, _, run_id = after.partition("-")
        if not at_ms.isdecimal() or len(at_ms) > 16 or not run_id or "\0" in run_id:
            raise ApiError(400, "bad-cursor", f"{after!r} is no page's 'next'")
        cursor = (int(at_ms), run_id)
    page = charges_page(core, period, project, cursor, limit)
    return {
        **_head(core, period),
        "charges": [asdict(one) for one in page.charges],
        "next": None if page.next is None else f"{page.next[0]}-{page.next[1]}",
        "sites": {name: asdict(facts) for name, facts in site_facts(core).items()},
    }


@router.get("/sites/{site}/statement")
async def site_statement(site: str, core: CoreDep, period: PeriodDep) -> Json:
    """What a site earned, was paid and is owed: opening, earned, corrected, paid, closing."""
    if site not in {one.name for one in core.network.sites}:
        raise not_found("site", site)
    return await core.read(_statement, core, site_account(site), period)


@router.get("/statements/{earner}")
async def earner_statement(earner: str, core: CoreDep, period: PeriodDep) -> Json:
    """The same of any earner: ``site:NAME``, ``network-power``, ``network-links``, ``rounding``,
    ``data-owner:NAME``."""
    return await core.read(_statement, core, earner, period)


def _statement(core: Core, earner: str, period: Period) -> Json:
    found = load_statement(core.store, earner, period, core.clock.now_ms())
    return {**_head(core, period), **statement_view(found)}


def statement_view(found: Statement) -> Json:
    balances = found.balances
    return {
        "earner": found.earner,
        "as_of_ms": found.as_of_ms,
        "over": found.as_of_ms >= found.period.end_ms,
        "opening_micros": balances.opening_micros,
        "earned_micros": balances.earned_micros,
        "corrected_micros": balances.corrected_micros,
        "paid_micros": balances.paid_micros,
        "closing_micros": balances.closing_micros,
        "disputed_micros": balances.disputed_micros,
        "payable_micros": balances.payable_micros,
        "charges": [asdict(one) for one in found.charges],
        "payouts": [asdict(one) for one in found.payouts],
        "disputes": [dispute_view(one) for one in found.disputes],
    }


@router.get("/sites/{site}/reconciliation")
async def reconciliation_facts(
    site: str,
    core: CoreDep,
    period: PeriodDep,
    after: Annotated[int, Query(ge=0, le=INTEGER_MOST)] = 0,
    limit: Limit = 200,
) -> Json:
    """What the server has of a site's runs: meter, bill, and the bill worked out anew."""
    if site not in {one.name for one in core.network.sites}:
        raise not_found("site", site)
    facts, go_on = await core.read(facts_page, core, site, period, after, limit)
    return {**_head(core, period), "runs": [asdict(one) for one in facts], "next": go_on}


@router.get("/disputes")
async def list_disputes(core: CoreDep, site: str | None = None) -> Json:
    """The newest first."""
    found = await core.read(load_disputes, core.store, site)
    head = {"network": core.network.label, "currency": core.network.currency}
    return {**head, "disputes": [dispute_view(one) for one in found]}


@router.post("/disputes", status_code=201)
async def new_dispute(
    body: DisputeRequest, core: CoreDep, response: Response, judged: JudgedDep
) -> Json:
    """What the doubted charges earn is not payable until it is closed. 200 for a repeat."""
    permit(judged, await core.read(_parties, core, body.run_id), "run", body.run_id)
    dispute = Dispute(
        dispute_id=body.dispute_id,
        run_id=body.run_id,
        job_id="",
        site="",
        part=body.part,
        reason=body.reason,
        opened_by=judged.principal.by(body.by),
        opened_ms=core.clock.now_ms(),
    )
    made = await core.write(open_dispute, core.store, dispute)
    if isinstance(made, Refused):
        raise _refusal(made)
    if not made.created:
        response.status_code = 200
    return {**dispute_view(made.dispute), "created": made.created}


@router.post("/disputes/{dispute_id}/answer")
async def answer_to_dispute(
    dispute_id: str, body: AnswerRequest, core: CoreDep, judged: JudgedDep
) -> Json:
    """A later answer takes the place of an earlier one."""
    now_ms = core.clock.now_ms()
    made = await core.write(
        answer_dispute, core.store, dispute_id, body.answer, judged.principal.by(body.by), now_ms
    )
    if isinstance(made, Refused):
        raise _refusal(made)
    return dispute_view(made)


@router.post("/disputes/{dispute_id}/close")
async def end_dispute(
    dispute_id: str, body: CloseRequest, core: CoreDep, judged: JudgedDep
) -> Json:
    """Upheld: its correction is posted now. The same words again change nothing."""
    made = await core.write(
        close_and_post,
        core.store,
        core.purse.unit,
        dispute_id,
        body.outcome,
        body.correction_micros,
        body.note,
        judged.principal.by(body.by),
        core.clock.now_ms(),
    )
    if isinstance(made, Refused):
        raise _refusal(made)
    return dispute_view(made)


@router.post("/payouts", status_code=201)
async def new_payout(
    body: PayoutRequest, core: CoreDep, response: Response, judged: JudgedDep
) -> Json:
    """Notes that an earner was paid; not more than is owed and not disputed. 200 for a repeat."""
    payout = Payout(
        payout_id=body.payout_id,
        earner=body.earner,
        micros=body.micros,
        paid_ms=core.clock.now_ms(),
        reference=body.reference,
        paid_by=judged.principal.by(body.by),
    )
    made = await core.write(pay, core.store, payout)
    if isinstance(made, Refused):
        raise _refusal(made)
    if not made.created:
        response.status_code = 200
    return {**asdict(made.payout), "created": made.created}


def _parties(core: Core, run_id: str) -> About:
    """The run's project and site. Raises ApiError: there is no such run."""
    found = run_parties(core.store, run_id)
    if found is None:
        raise not_found("run", run_id)
    account, site = found
    return About(places=of_project(account).places | {Place("site", site)})


def dispute_view(dispute: Dispute) -> Json:
    return {**asdict(dispute), "state": dispute.state}


def _refusal(refused: Refused) -> ApiError:
    status: Literal[404, 409] = 404 if refused.code == "not-found" else 409
    return ApiError(status, refused.code, refused.text)


def _head(core: Core, period: Period) -> Json:
    return {
        "network": core.network.label,
        "currency": core.network.currency,
        "month": period.name,
        "utc_offset": period.offset,
        "start_ms": period.start_ms,
        "end_ms": period.end_ms,
        "now_ms": core.clock.now_ms(),
    }
