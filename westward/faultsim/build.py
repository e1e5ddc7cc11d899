"""A scenario's network, jobs and money as the values that shipped code takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from unittest.mock import patch

from westward.faultsim.files import data_input
from westward.faultsim.funders import ENTITY, Funders, funders
from westward.faultsim.money import POWER_W, TARIFF_PER_KWH
from westward.faultsim.more import TARIFF_STEP_MS
from westward.faultsim.scenario import JobPlan, Scenario, SitePlan
from westward.faultsim.terms import richer
from westward.ledger.accounts import Account, AccountKind, standard_id
from westward.ledger.transfers import Transfer, TransferKind
from westward.ledger.vouchers.calendar import year_of
from westward.model.job import (
    After,
    Checkpoint,
    InputData,
    JobSpec,
    ResourceOption,
    Retry,
    TagRule,
    Work,
)
from westward.model.network import Accelerator, Link, Network, Pool, Series, Site, Zone
from westward.model.people import Organisation, Project
from westward.model.units import MS_PER_HOUR
from westward.model.voucher import Figure, Rule, VoucherClaim
from westward.network.voucher_files import VoucherFolder
from westward.server import loops, purse
from westward.server.core import Core
from westward.server.people import load_people
from westward.server.purse import pot_account, project_id
from westward.store import ledger
from westward.store.database import Store
from westward.store.money import Budget, save_claim, save_contract, set_budget, show_fact
from westward.store.people import create_organisation, create_project

EPOCH_MS = 1_800_000_000_000
NEW_YEAR_MS = 1_798_761_600_000
"""1 January 2027, UTC."""
UNIT = "CNY"
HALF = Rule(
    name="half", label="", place="here", level="city", instrument="compute voucher", funder="city",
    currency=UNIT, source="made up", grade="-", spend=("compute",),
    share_ppm=Figure(value=500_000), pot_year_micros=Figure(value=10**12),
)  # fmt: skip
OUTSIDE = Account(
    account_id=standard_id(AccountKind.EXTERNAL, "", UNIT), kind=AccountKind.EXTERNAL, unit=UNIT,
    overdraft=True,
)  # fmt: skip


def epoch_ms(scenario: Scenario) -> int:
    """What the server's clock shows when the world begins."""
    return NEW_YEAR_MS - scenario.heal_ms // 2 if scenario.year_turns else EPOCH_MS


def funders_of(scenario: Scenario) -> Funders | None:
    if scenario.rules is None:
        return None
    found = funders(scenario.rules, UNIT, epoch_ms(scenario))
    if scenario.office is not None:
        found = richer(found, scenario.office, epoch_ms(scenario))
    return found


def network_of(scenario: Scenario) -> Network:
    return _network(scenario.sites, scenario.tariff, scenario.line_micros)


@lru_cache(maxsize=512)
def _network(
    sites: tuple[SitePlan, ...], tariff: tuple[float, ...], line_micros: int | None
) -> Network:
    pools = tuple(
        Pool(
            name=f"{site.name}-{number}", site=site.name, engine="local",
            managed=(at + number) % 2 == 0,  # the others may have a queue of their own
            accelerator="card", nodes=count, devices_per_node=1, cpus_per_node=4,
            memory_mib_per_node=4096, price_micros_per_device_hour=site.price_micros,
            power_w_per_device=float(POWER_W),
        )
        for at, site in enumerate(sites)
        for number, count in enumerate(site.cards)
    )  # fmt: skip
    flat = Series(step_ms=MS_PER_HOUR, values=(float(TARIFF_PER_KWH),) * 24)
    power = Series(step_ms=TARIFF_STEP_MS, values=tariff) if tariff else flat
    return Network(
        name="simulated", label="", currency=UNIT, series_origin="start",
        sites=tuple(
            Site(
                name=one.name, label="", operator="", zone="z", lat_deg=None, lon_deg=None, pue=1.0,
                tags=(("region", one.region),),
            )
            for one in sites
        ),
        pools=pools,
        accelerators=(
            Accelerator(
                name="card", label="", vendor="", memory_gb=None, power_w_max=None,
                relative_speed=1.0, fp16_dense_tflops=None,
            ),
        ),
        zones=(
            Zone(
                name="z", label="", tariff_per_kwh=power, carbon_location_g_per_kwh=flat,
                carbon_contract_g_per_kwh=None,
            ),
        ),
        places=(),
        links=tuple(
            Link(
                a=a.name, b=b.name, one_way_ms=1.0, bandwidth_gbps=10.0,
                price_micros_per_gb=line_micros or 0,
            )
            for at, a in enumerate(sites)
            for b in sites[at + 1 :]
        ),
        facts=(), sources=(), digest="",
    )  # fmt: skip


def vouchers_of(scenario: Scenario) -> VoucherFolder | None:
    found = funders_of(scenario)
    if found is not None:
        return VoucherFolder(currency=UNIT, rules=found.rules, sources={})
    if scenario.pot_micros is None:
        return None
    return VoucherFolder(currency=UNIT, rules=(HALF,), sources={})


def job_spec(scenario: Scenario, job: JobPlan) -> JobSpec:
    submit_ms = epoch_ms(scenario) + job.at_ms
    follows = [] if job.after is None else [(job.after, job.after_any)]
    follows += [(other, True) for other in job.also_after]
    return JobSpec(
        job_id=job.job_id, name=job.job_id, submit_ms=submit_ms, nodes=job.nodes,
        options=(ResourceOption(accelerator="card", devices_milli=1000 * job.cards),),
        duration_ms=job.stated_ms,
        start_after_ms=None if job.start_after_ms is None else submit_ms + job.start_after_ms,
        residency=() if job.region is None else (TagRule(key="region", values=(job.region,)),),
        account=job.project,
        checkpoint=Checkpoint(path="saved", every_ms=1_000, grace_ms=job.grace_ms)
        if job.saves
        else None,
        priority=job.priority,
        retry=Retry(
            attempts=job.attempts, backoff_ms=2_000, on_exit_codes=job.only_codes,
            never_on=job.never_codes,
        )
        if job.attempts > 1
        else None,
        after=tuple(
            After(job_id=other, mode="any" if any_end else "ok", name=other)
            for other, any_end in follows
        ),
        deadline_ms=None if job.deadline_ms is None else submit_ms + job.deadline_ms,
        inputs=(InputData(site=job.data_at, size_bytes=job.data_bytes),) if job.data_at else (),
        datasets=(data_input(job.reads),) if job.reads else (),
        work=Work(run="true"),
    )  # fmt: skip


def gift(project: str, micros: int, name: str) -> tuple[tuple[Account, ...], tuple[Transfer, ...]]:
    """Money for a project with a budget, from outside."""
    account = Account(
        account_id=project_id(project, UNIT, budget=True), kind=AccountKind.PROJECT, unit=UNIT,
        overdraft=False, owner=project,
    )  # fmt: skip
    given = Transfer(
        transfer_id=f"gift:{name}", kind=TransferKind.POSTED, debit=OUTSIDE.account_id,
        credit=account.account_id, amount=micros, category="funding",
    )  # fmt: skip
    return (OUTSIDE, account), (given,)


def funding(scenario: Scenario, core: Core) -> None:
    """Before the world begins: budgets, a funder's pot, and who may draw on it."""
    store, now_ms = core.store, core.clock.now_ms()
    with store.together():
        for budget in scenario.budgets:
            set_budget(
                store,
                Budget(
                    project=budget.project, on_empty=budget.on_empty, set_ms=now_ms, set_by="lead"  # type: ignore[arg-type]
                ),
            )  # fmt: skip
            accounts, transfers = gift(budget.project, budget.micros, budget.project)
            ledger.open_accounts(store, accounts, now_ms)
            ledger.post(store, transfers, now_ms)
        found = funders_of(scenario)
        if found is not None:
            _fund(store, found, year_of(now_ms, 0), now_ms)
            core.people = load_people(store)
        if scenario.pot_micros is not None:
            _found_lab(store, now_ms)
            save_claim(store, VoucherClaim(id="c", rule="half", entity="lab"), now_ms, "lead")
            pot = pot_account(HALF, year_of(now_ms, 0), UNIT)
            ledger.open_accounts(store, (OUTSIDE, pot), now_ms)
            if scenario.pot_micros:
                ledger.post(
                    store,
                    (
                        Transfer(
                            transfer_id="gift:pot", kind=TransferKind.POSTED,
                            debit=OUTSIDE.account_id, credit=pot.account_id,
                            amount=scenario.pot_micros, category="funding",
                        ),
                    ),
                    now_ms,
                )  # fmt: skip


def _found_lab(store: Store, now_ms: int) -> None:
    create_organisation(
        store, Organisation(organisation=ENTITY, label="", created_ms=now_ms, created_by="lead")
    )
    create_project(
        store,
        Project(
            project="alpha", organisation=ENTITY, label="", created_ms=now_ms, created_by="lead"
        ),
    )  # fmt: skip


def _fund(store: Store, found: Funders, year: int, now_ms: int) -> None:
    """The claimant, what it has shown, and what funders pay in, for this year and the next."""
    _found_lab(store, now_ms)
    for fact in found.facts:
        show_fact(store, ENTITY, fact, now_ms, "lead")
    if found.contract is not None:
        save_contract(store, ENTITY, found.contract, now_ms, "lead")
    for claim in found.claims:
        save_claim(store, claim, now_ms, "lead")
    gifts = []
    for rule in found.rules:
        pots = [pot_account(rule, one, UNIT) for one in (year, year + 1)]
        ledger.open_accounts(store, (OUTSIDE, *pots), now_ms)
        gifts += [
            Transfer(
                transfer_id=f"gift:{pot.account_id}", kind=TransferKind.POSTED,
                debit=OUTSIDE.account_id, credit=pot.account_id,
                amount=found.paid_in[rule.name], category="funding",
            )
            for pot in pots
            if found.paid_in[rule.name]
        ]  # fmt: skip
    if gifts:
        ledger.post(store, gifts, now_ms)


@contextmanager
def paces_of(scenario: Scenario) -> Iterator[None]:
    """The shipped holds of five and ten minutes, and the minute between two postings of readings,
    made as short as the simulated runs."""
    with ExitStack() as stack:
        hold_ms = scenario.hold_ms
        if hold_ms:
            stack.enter_context(patch.object(purse, "HOLD_LEAST_MS", hold_ms))
            stack.enter_context(patch.object(purse, "FURTHER_LEAST_MS", hold_ms))
            stack.enter_context(patch.object(loops, "MONEY_EARLY_MS", hold_ms // 2))
        if scenario.at_once:
            stack.enter_context(patch.object(loops, "APPLIED_AT_ONCE", scenario.at_once))
        if scenario.post_ms:
            stack.enter_context(patch.object(loops, "POST_EVERY_S", scenario.post_ms / 1000))
        yield
