"""The quote of one job: the planner's best hour at every pool, and who would pay for it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from westward.ledger.price import DataRead, PriceUnknown, Transfer, price_list
from westward.ledger.quote import Candidate, Payer, Quoted, quote
from westward.ledger.vouchers.split import Part, Verdict
from westward.model.job import JobSpec
from westward.model.network import Network
from westward.model.plan import Alternative, Estimate, Placement, Plan, Refusal
from westward.model.units import BYTES_PER_GB
from westward.server.covers import standing
from westward.server.purse import HOLD_LEAST_MS, Purse, project_id
from westward.server.wording import refusal_text, why_there
from westward.store.database import Store
from westward.store.ledger_reading import balances_of
from westward.store.money import project_of

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A job and the plan that was made for it."""

    job: JobSpec
    plan: Plan
    network: Network
    series_origin_ms: int
    now_ms: int

    @property
    def answer(self) -> Placement | Refusal:
        answers: tuple[Placement | Refusal, ...] = (
            *self.plan.placed((self.job.job_id,)), *self.plan.refusals,
        )  # fmt: skip
        return next(one for one in answers if one.job_id == self.job.job_id)


def quote_view(store: Store, purse: Purse, asked: Asked) -> Json:
    """Reads the store; nothing is held."""
    project = project_of(asked.job.account)
    there = standing(store, purse.rules, (project,), purse.unit, asked.now_ms)
    party = there.parties[project]
    account = project_id(project, purse.unit, budget=True)
    state = balances_of(store, (account,)).get(account)
    held = 0 if state is None else state.balances.debits_pending
    budget = None
    if party.budget is not None:
        budget = 0 if state is None else state.balances.available
    payer = Payer(
        entity=party.entity, rules=there.admitted(project), claims=party.claims,
        contract=party.contract, usage=there.usage, budget_micros=budget, adopted=purse.adopted,
    )  # fmt: skip
    candidates, left_out = _candidates(asked, purse)
    found = quote(candidates, payer, asked.now_ms, HOLD_LEAST_MS)
    others = len(purse.rules) - len(payer.rules)
    return {
        "now_ms": asked.now_ms,
        "currency": purse.unit,
        "project": project,
        "organisation": party.entity.name,
        "budget": None
        if party.budget is None
        else {"available_micros": budget, "held_micros": held, "on_empty": party.budget.on_empty},
        "not_admitted": others,
        "summary": _summary(asked),
        "duration_assumed": isinstance(asked.answer, Placement) and asked.answer.duration_assumed,
        "held": False,
        "pools": [_quoted_view(one, asked.now_ms) for one in found],
        "not_possible": left_out,
    }


def _summary(asked: Asked) -> str:
    answer = asked.answer
    if isinstance(answer, Placement):
        return why_there(answer, asked.network.currency)
    return refusal_text(answer)


def _candidates(asked: Asked, purse: Purse) -> tuple[list[Candidate], list[Json]]:
    """Those that can be priced, and why the others cannot be had."""
    found, left_out = [], []
    for other in _alternatives(asked.answer):
        if other.estimate is None:
            reasons = [str(one) for one in other.reasons]
            left_out.append({"pool": other.pool, "site": other.site, "reasons": reasons})
            continue
        try:
            prices = price_list(asked.network, other.pool, asked.series_origin_ms, purse.policy)
        except PriceUnknown as error:
            left_out.append({"pool": other.pool, "site": other.site, "reasons": [str(error)]})
            continue
        found.append(
            Candidate(
                estimate=other.estimate,
                prices=prices,
                transfers=_moves(other.estimate),
                reads=tuple(
                    DataRead(size_bytes=one.size_bytes, micros_per_gb=one.price_micros_per_gb)
                    for one in asked.job.datasets
                    if one.price_micros_per_gb is not None
                ),
                facts=purse.pool_facts.get(other.pool, ()),
            )
        )
    return found, left_out


def _alternatives(answer: Placement | Refusal) -> Sequence[Alternative]:
    if answer.alternatives or isinstance(answer, Refusal):
        return answer.alternatives
    estimate = answer.estimate
    return (Alternative(pool=estimate.pool, site=estimate.site, estimate=estimate, reasons=()),)


def _moves(estimate: Estimate) -> tuple[Transfer, ...]:
    """As the planner priced it, to the millionth: one GB at that price."""
    micros = round(estimate.terms.transfer)
    return (Transfer(size_bytes=BYTES_PER_GB, micros_per_gb=micros),) if micros else ()


def _quoted_view(one: Quoted, now_ms: int) -> Json:
    estimate, bill = one.estimate, one.bill
    return {
        "pool": estimate.pool,
        "site": estimate.site,
        "option": estimate.option,
        "starts_now": estimate.start_ms <= now_ms,
        "start_ms": estimate.start_ms,
        "duration_ms": estimate.duration_ms,
        "need_milli": estimate.need_milli,
        "device_milli_ms": bill.device_milli_ms,
        "price_micros": bill.total_micros,
        "device_micros": bill.device_micros,
        "power_micros": bill.power_micros,
        "transfer_micros": bill.transfer_micros,
        "data_micros": bill.data_micros,
        "rounding_micros": bill.rounding_micros,
        "funded_micros": one.funded_micros,
        "own_micros": one.own_micros,
        "hold_micros": one.hold_micros,
        "budget_after_micros": one.budget_after_micros,
        "parts": [_part_view(part) for part in one.split.parts if part.year is not None],
        "rewards": [_part_view(part) for part in one.split.rewards],
        "rules": [_verdict_view(verdict) for verdict in one.split.verdicts],
    }


def _part_view(part: Part) -> Json:
    return asdict(part)


def _verdict_view(verdict: Verdict) -> Json:
    return {
        "rule": verdict.rule,
        "funder": verdict.funder,
        "counted_micros": verdict.counted_micros,
        "entitled_micros": verdict.entitled_micros,
        "pays_micros": verdict.pays_micros,
        "deferred_micros": verdict.deferred_micros,
        "refused": [one._asdict() for one in verdict.refused],
        "limited": [one._asdict() for one in verdict.limited],
        "left": [asdict(one) for one in verdict.left],
    }
