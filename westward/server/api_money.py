"""Quotes, budgets, programmes with their pots and claims, and what organisations have shown."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field
from pydantic import TypeAdapter as Adapter

from westward.ledger.accounts import AMOUNT_MOST, Account, AccountKind
from westward.ledger.transfers import Outcome, Refused
from westward.ledger.vouchers.calendar import year_of
from westward.ledger.vouchers.claims import ClaimRefusal
from westward.model.access import Rule as AccessRule
from westward.model.access import allows, readable
from westward.model.faults import Fault, InputFaults
from westward.model.people import Grant, Place, Principal, Role, Scope, is_name
from westward.model.voucher import Contract, Entity, NamedFact, Rule, StepName
from westward.server.api_jobs import CoreDep, JobRequest, dry_plan
from westward.server.core import Core
from westward.server.errors import ApiError, not_found
from westward.server.programmes import (
    admit,
    bring_in,
    claim_of,
    claim_view,
    forecast_view,
    money_view,
    pot_view,
    programme_view,
    revoke,
    take_step,
)
from westward.server.purse import pot_account, project_id
from westward.server.quoting import quote_view
from westward.server.rights import JudgedDep, PrincipalDep, refuse
from westward.server.year_end import close, due_years, take_back
from westward.store.ledger_reading import balances_of
from westward.store.money import (
    Budget,
    OnEmpty,
    Party,
    load_claims,
    load_organisation,
    load_parties,
    remove_budget,
    save_contract,
    set_budget,
    show_fact,
)

router = APIRouter(prefix="/v1", tags=["money"])
Json = dict[str, Any]
Micros = Annotated[int, Field(ge=1, le=AMOUNT_MOST, strict=True)]
Instant = Annotated[int, Field(ge=0, le=2**53, strict=True)]
Text = Annotated[str, Field(max_length=500)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
CallerId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_ENTITY, _CONTRACT = Adapter(Entity), Adapter(Contract)
FORECAST_SEED = 0x77657374
"""With the day: the same forecast all day long, whoever asks."""
FUNDERS_STEPS = ("approve", "hold", "redeem")
"""Of a claim, only its funder (and the network's operator) can take them."""
_FUNDER = AccessRule(
    scope=Scope.MONEY, change=True, roles=frozenset({Role.FUNDER, Role.NETWORK_OPERATOR})
)
_OPERATOR = AccessRule(scope=Scope.MONEY, change=True, roles=frozenset({Role.NETWORK_OPERATOR}))
log = logging.getLogger("westward.server")


class BudgetRequest(BaseModel, extra="forbid"):
    """What becomes of running jobs when nothing is left."""

    on_empty: OnEmpty = "suspend"


class MoneyRequest(BaseModel, extra="forbid"):
    """``transfer_id`` is chosen by the caller: the same again brings nothing in twice."""

    transfer_id: CallerId
    amount_micros: Micros
    reason: Text = ""


class FundRequest(MoneyRequest):
    """``year`` None: this one, by the rule's calendar."""

    year: Annotated[int, Field(ge=2000, le=2200)] | None = None


class EvidenceRequest(BaseModel, extra="forbid"):
    kind: Name
    reference: Annotated[str, Field(min_length=1, max_length=500)]


class StepRequest(BaseModel, extra="forbid"):
    """What was approved, and until when, may be said at ``approve``."""

    step: StepName
    evidence: Annotated[list[EvidenceRequest] | None, Field(max_length=50)] = None
    approved_micros: Micros | None = None
    approved_device_ms: Annotated[int, Field(ge=0, le=2**53 // 1000, strict=True)] | None = None
    expires_ms: Instant | None = None


class ClawBackRequest(BaseModel, extra="forbid"):
    """``amount_micros`` None: all that was paid. ``dry_run``: only shown."""

    claw_back_id: CallerId
    amount_micros: Micros | None = None
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
    evidence: Annotated[list[EvidenceRequest], Field(min_length=1, max_length=20)]
    dry_run: bool = False


class CloseRequest(BaseModel, extra="forbid"):
    dry_run: bool = False


class FactRequest(BaseModel, extra="forbid"):
    name: Name
    value: bool | int | Text
    evidence: Text
    until_ms: Instant | None = None


class ContractRequest(BaseModel, extra="forbid"):
    contract: Name
    value_micros: Micros | None = None
    signed_ms: Instant | None = None
    start_ms: Instant | None = None
    end_ms: Instant | None = None
    related: bool | None = None
    facts: Annotated[list[FactRequest] | None, Field(max_length=50)] = None


# -- quotes -----------------------------------------------------------------------------------


@router.post("/quote")
async def quote(body: JobRequest, core: CoreDep, judged: JudgedDep) -> Json:
    """What the job would cost at each pool at its best hour, and who would pay which part of it;
    the cheapest for its project first. Nothing is held, nothing is changed."""
    asked = await dry_plan(core, body, judged)
    return await core.read(quote_view, core.store, core.purse, asked)


# -- budgets ----------------------------------------------------------------------------------


@router.get("/budgets/{project}")
async def budget(project: str, core: CoreDep) -> Json:
    """What the project may spend, and what it owes where it has no budget."""
    return await core.read(_budget, core, project)


@router.post("/budgets/{project}")
async def new_budget(project: str, body: BudgetRequest, core: CoreDep, judged: JudgedDep) -> Json:
    """From now on the project spends what it was given, and no more. ``run-on`` is for the
    network's operator: the network bears what is beyond."""
    if not is_name(project):
        raise not_found("project", project)
    if body.on_empty == "run-on":
        refuse(judged.principal, allows(judged.principal, _OPERATOR))
    made = Budget(
        project=project, on_empty=body.on_empty, set_ms=core.clock.now_ms(),
        set_by=judged.principal.user,
    )  # fmt: skip
    await core.write(set_budget, core.store, made)
    core.queue_changed()
    return await core.read(_budget, core, project)


@router.post("/budgets/{project}/add")
async def add_to_budget(
    project: str, body: MoneyRequest, core: CoreDep, principal: PrincipalDep
) -> Json:
    """Money from outside for a project with a budget."""
    party = await core.read(_party, core, project)
    if party.budget is None:
        text = f"project {project} has no budget to add to; set one first"
        raise ApiError(409, "no-budget", text)
    account = Account(
        account_id=project_id(project, core.purse.unit, budget=True), kind=AccountKind.PROJECT,
        unit=core.purse.unit, owner=project,
    )  # fmt: skip
    await _bring_in(core, principal, account, f"budget:{project}:{body.transfer_id}", body)
    return await core.read(_budget, core, project)


@router.post("/budgets/{project}/remove")
async def no_budget(project: str, core: CoreDep) -> Json:
    """From now on the project is billed without a limit; what is left in its budget stays there."""
    if not await core.write(remove_budget, core.store, project):
        raise ApiError(409, "no-budget", f"project {project} has no budget")
    core.queue_changed()
    return await core.read(_budget, core, project)


def _party(core: Core, project: str) -> Party:
    return load_parties(core.store, (project,))[project]


def _budget(core: Core, project: str) -> Json:
    party, unit = _party(core, project), core.purse.unit
    with_it, without = (project_id(project, unit, budget=one) for one in (True, False))
    found = balances_of(core.store, (with_it, without))
    views = {
        name: money_view(name, found[name].balances if name in found else None)
        for name in (with_it, without)
    }
    budget = party.budget
    return {
        "project": project,
        "organisation": party.entity.name,
        "currency": unit,
        "on_empty": None if budget is None else budget.on_empty,
        "set_ms": None if budget is None else budget.set_ms,
        "set_by": None if budget is None else budget.set_by,
        "budget": views[with_it],
        "billed": views[without],
    }


# -- programmes -------------------------------------------------------------------------------


@router.get("/programmes")
async def programmes(core: CoreDep, principal: PrincipalDep) -> Json:
    """The network's voucher rules; what is in their pots for who funds them or oversees the
    network."""

    def look() -> list[Json]:
        unit, now_ms = core.purse.unit, core.clock.now_ms()
        seen = {one.name for one in core.purse.rules if _sees_money(principal, one.name)}
        due = due_years(core.store, [one for one in core.purse.rules if one.name in seen], now_ms)
        return [
            {
                **programme_view(core.store, one, unit, now_ms, money=one.name in seen),
                "sharing": one.sharing,
                "due_years": due.get(one.name, []) if one.name in seen else None,
            }
            for one in core.purse.rules
        ]

    return {"currency": core.purse.unit, "programmes": await core.read(look)}


@router.post("/programmes/{rule}/fund")
async def fund(rule: str, body: FundRequest, core: CoreDep, principal: PrincipalDep) -> Json:
    """Money from outside into the pot of one year."""
    own = rule_of(core, rule)
    year = body.year or year_of(core.clock.now_ms(), own.utc_offset_minutes)
    account = pot_account(own, year, core.purse.unit)
    await _bring_in(core, principal, account, f"fund:{rule}:{body.transfer_id}", body)
    return await core.read(pot_view, core.store, own, year, core.purse.unit)


@router.get("/programmes/{rule}/forecast")
async def forecast(rule: str, core: CoreDep) -> Json:
    """When this year's pot will be empty: a simulation from the spend of the last weeks, with the
    interval that four draws of five lie in."""
    own, now_ms = rule_of(core, rule), core.clock.now_ms()
    dice = np.random.default_rng((FORECAST_SEED, now_ms // 86_400_000))
    return await core.read(forecast_view, core.store, own, core.purse.unit, now_ms, dice)


@router.get("/programmes/{rule}/claims")
async def claims(rule: str, core: CoreDep) -> Json:
    """Whom the programme has admitted, and how far each claim is."""
    own = rule_of(core, rule)
    found = await core.read(load_claims, core.store)
    return {"rule": rule, "claims": [claim_view(one, own) for one in found if one.rule == rule]}


@router.get("/programmes/{rule}/claims/{organisation}")
async def claim(rule: str, organisation: str, core: CoreDep) -> Json:
    """One organisation's claim, its steps and their evidence."""
    own = rule_of(core, rule)
    found = await core.read(claim_of, core.store, rule, organisation)
    if found is None:
        raise not_found("claim of organisation", organisation)
    return claim_view(found, own)


@router.post("/programmes/{rule}/claims/{organisation}", status_code=201)
async def admit_organisation(
    rule: str, organisation: str, core: CoreDep, principal: PrincipalDep, response: Response
) -> Json:
    """From now on the rule may pay for the organisation, as its steps allow. 200: it did before."""
    own = rule_of(core, rule)
    _check_organisation(core, organisation)
    now_ms = core.clock.now_ms()
    made, new = await core.write(admit, core.store, own, organisation, now_ms, principal.user)
    if not new:
        response.status_code = 200
    core.queue_changed()
    return claim_view(made, own)


@router.post("/programmes/{rule}/claims/{organisation}/revoke")
async def no_claim(rule: str, organisation: str, core: CoreDep, principal: PrincipalDep) -> Json:
    """The rule pays for the organisation's runs no more. What was paid stays paid."""
    own, now_ms = rule_of(core, rule), core.clock.now_ms()
    ended = await core.write(revoke, core.store, own, organisation, now_ms, principal.user)
    if ended is None:
        raise not_found("claim of organisation", organisation)
    core.queue_changed()
    return claim_view(ended, own)


@router.post("/programmes/{rule}/claims/{organisation}/steps")
async def step_claim(
    rule: str, organisation: str, body: StepRequest, core: CoreDep, judged: JudgedDep
) -> Json:
    """Takes the claim's next step. ``approve``, ``hold`` and ``redeem`` are its funder's."""
    own = rule_of(core, rule)
    if body.step in FUNDERS_STEPS:
        refuse(judged.principal, allows(judged.principal, _FUNDER, _of_programme(rule)))
    device_ms = body.approved_device_ms
    moved = await core.write(
        take_step, core.store, own, organisation, body.step,
        [(one.kind, one.reference) for one in body.evidence or ()],
        core.clock.now_ms(), judged.principal.user, approved_micros=body.approved_micros,
        approved_device_milli_ms=None if device_ms is None else device_ms * 1000,
        expires_ms=body.expires_ms,
    )  # fmt: skip
    if moved == "no-claim":
        raise not_found("claim of organisation", organisation)
    if isinstance(moved, ClaimRefusal):
        raise ApiError(409, moved.code, moved.text)
    core.queue_changed()
    return claim_view(moved, own)


@router.post("/programmes/{rule}/claims/{organisation}/claw-back")
async def claw_back_claim(
    rule: str, organisation: str, body: ClawBackRequest, core: CoreDep, principal: PrincipalDep
) -> Json:
    """Takes what the rule has paid for the organisation back into the pots of its years, as new
    transfers with their reason; the claim is revoked. The same id again changes nothing."""
    own = rule_of(core, rule)
    shown = [(one.kind, one.reference) for one in body.evidence]
    call = core.read if body.dry_run else core.write
    done = await call(
        take_back, core.store, own, organisation, body.claw_back_id, body.amount_micros,
        body.reason, shown, core.people.projects, core.purse.unit, core.clock.now_ms(),
        principal.user, dry_run=body.dry_run,
    )  # fmt: skip
    if done["posted"] and not done["repeated"]:
        log.info("%s: claw-back of %d by %s from %s", principal.user, done["taken_micros"], rule,
                 organisation)  # fmt: skip
        core.queue_changed()
    return done


@router.post("/programmes/{rule}/years/{year}/close")
async def close_programme_year(
    rule: str,
    year: Annotated[int, Path(ge=2000, le=2199)],
    body: CloseRequest,
    core: CoreDep,
    principal: PrincipalDep,
) -> Json:
    """Shares the pot of a pro-rata rule out among those entitled in ``year``, once it is over and its
    runs are settled. A second time shows what was done and changes nothing."""
    own = rule_of(core, rule)
    call = core.read if body.dry_run else core.write
    done = await call(
        close, core.store, own, year, core.people.projects, core.purse.unit, core.clock.now_ms(),
        principal.user, dry_run=body.dry_run,
    )  # fmt: skip
    if done["posted"] and not done["repeated"]:
        log.info("%s: %s %d shared out: %d", principal.user, rule, year, done["paid_micros"])
        core.queue_changed()
    return done


def rule_of(core: Core, name: str) -> Rule:
    """Raises ApiError."""
    for rule in core.purse.rules:
        if rule.name == name:
            return rule
    raise not_found("programme", name)


# -- what organisations have shown ------------------------------------------------------------


@router.get("/organisations/{organisation}/money")
async def organisation_money(organisation: str, core: CoreDep) -> Json:
    """What the organisation has shown, its contract, its claims."""
    return await core.read(_organisation, core, organisation)


@router.post("/organisations/{organisation}/facts")
async def new_fact(
    organisation: str, body: FactRequest, core: CoreDep, principal: PrincipalDep
) -> Json:
    """Something shown about the organisation, and by what. The same name again replaces it."""
    _check_organisation(core, organisation)
    now_ms = core.clock.now_ms()
    await core.write(show_fact, core.store, organisation, _fact(body), now_ms, principal.user)
    core.queue_changed()
    return await core.read(_organisation, core, organisation)


@router.post("/organisations/{organisation}/contracts")
async def new_contract(
    organisation: str, body: ContractRequest, core: CoreDep, principal: PrincipalDep
) -> Json:
    """The contract under which the organisation's jobs are bought from now on."""
    _check_organisation(core, organisation)
    if body.start_ms is not None and body.end_ms is not None and body.end_ms <= body.start_ms:
        problem, remedy = "the contract ends before it begins", "Give its end after its start."
        raise InputFaults([Fault("request", None, "end_ms", problem, remedy)])
    made = Contract(
        id=body.contract, value_micros=body.value_micros, signed_ms=body.signed_ms,
        start_ms=body.start_ms, end_ms=body.end_ms, related=body.related,
        facts=tuple(map(_fact, body.facts or ())),
    )  # fmt: skip
    now_ms = core.clock.now_ms()
    await core.write(save_contract, core.store, organisation, made, now_ms, principal.user)
    core.queue_changed()
    return await core.read(_organisation, core, organisation)


def _organisation(core: Core, organisation: str) -> Json:
    entity, contract = load_organisation(core.store, organisation)
    rules = {rule.name: rule for rule in core.purse.rules}
    own = load_claims(core.store, organisation)
    return {
        "organisation": organisation,
        "currency": core.purse.unit,
        "facts": _ENTITY.dump_python(entity, mode="json")["facts"],
        "contract": None if contract is None else _CONTRACT.dump_python(contract, mode="json"),
        "claims": [claim_view(one, rules.get(one.rule)) for one in own],
    }


def _fact(body: FactRequest) -> NamedFact:
    return NamedFact(
        name=body.name, value=body.value, evidence=body.evidence, until_ms=body.until_ms
    )


# -- parts ------------------------------------------------------------------------------------


async def _bring_in(
    core: Core, principal: Principal, account: Account, transfer_id: str, body: MoneyRequest
) -> None:
    """Raises ApiError with the ledger's code."""
    now_ms = core.clock.now_ms()
    outcome: Outcome = await core.write(
        bring_in, core.store, account, transfer_id, body.amount_micros, now_ms, body.reason
    )
    if isinstance(outcome, Refused):
        raise ApiError(409, str(outcome.code), outcome.text)
    log.info("%s: %s of %d to %s", principal.user, transfer_id, body.amount_micros,
             account.account_id)  # fmt: skip
    core.queue_changed()


def _check_organisation(core: Core, name: str) -> None:
    """Raises ApiError for one that is not there: what is listed nowhere is funded by nobody."""
    if name not in core.people.organisations:
        raise not_found("organisation", name)


def _of_programme(rule: str) -> Any:
    from westward.model.access import About

    return About(places=frozenset({Place("programme", rule)}))


def _sees_money(principal: Principal, rule: str) -> bool:
    return readable(principal) is None or Grant(Role.FUNDER, Place("programme", rule)) in (
        principal.grants
    )
