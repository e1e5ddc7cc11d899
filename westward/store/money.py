"""Who pays for a project's runs, what has been used of each voucher, and each run's money.

The ledger itself is ``store.ledger``; here is what leads to its transfers. Every function that
writes is a part of its caller's transaction (``Store.together``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    BindParameter,
    Connection,
    Integer,
    RowMapping,
    and_,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from westward.control.records import RunRecord
from westward.ledger.road import Billed
from westward.ledger.vouchers import Split, Usage
from westward.model.people import LOCAL_PROJECT
from westward.model.voucher import Contract, Entity, NamedFact, VoucherClaim
from westward.store import codec
from westward.store.database import Store
from westward.store.money_codec import (
    FIRST_PAID,
    dump_billed,
    dump_claim,
    dump_contract,
    dump_split,
    read_billed,
    read_claim,
    read_contract,
    read_split,
    usage_of,
    usage_rows,
)
from westward.store.money_schema import (
    ADMISSIONS,
    BUDGETS,
    CONTRACTS,
    ORGANISATION_FACTS,
    RUN_MONEY,
    VOUCHER_USAGE,
)
from westward.store.schema import LIVE, PROJECTS, RUNS

OnEmpty = Literal["suspend", "cancel", "run-on"]
ON_EMPTY: tuple[OnEmpty, ...] = ("suspend", "cancel", "run-on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The project spends what its ledger account holds. ``on_empty``, for what runs then:
    ``suspend`` (jobs that save checkpoints; others run on), ``cancel`` or ``run-on``: the network
    bears what is beyond."""

    project: str
    on_empty: OnEmpty
    set_ms: int
    set_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who pays for a project's runs: the project itself, and whoever funds its organisation."""

    project: str
    entity: Entity
    claims: tuple[VoucherClaim, ...]
    contract: Contract | None
    budget: Budget | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMoney:
    """``counted``: the split that usage counts for this run now. ``posted``: as posted last."""

    run_id: str
    job_id: str
    project: str
    site: str
    settled: bool
    holds: int
    postings: int
    reach_ms: int
    """What is held is enough for use until then."""
    counted: Split
    posted: Billed | None


# Built once: every look at who pays, every hold and every posting needs them.
_HOMES = select(PROJECTS.c.project, PROJECTS.c.organisation).where(
    PROJECTS.c.project.in_(bindparam("projects", expanding=True))
)
_BUDGETS = select(BUDGETS).where(BUDGETS.c.project.in_(bindparam("projects", expanding=True)))
_NAMES: BindParameter[str] = bindparam("names", expanding=True)
_FACTS = (
    select(ORGANISATION_FACTS)
    .where(ORGANISATION_FACTS.c.organisation.in_(_NAMES))
    .order_by(ORGANISATION_FACTS.c.organisation, ORGANISATION_FACTS.c.name)
)
_CLAIMS = (
    select(ADMISSIONS)
    .where(ADMISSIONS.c.organisation.in_(_NAMES))
    .order_by(ADMISSIONS.c.organisation, ADMISSIONS.c.rule)
)
_CONTRACTS = (
    select(CONTRACTS)
    .where(CONTRACTS.c.organisation.in_(_NAMES))
    .order_by(CONTRACTS.c.set_ms, CONTRACTS.c.contract)
)
_USAGE = select(VOUCHER_USAGE)
_USED = and_(
    VOUCHER_USAGE.c.counter == bindparam("of_counter"),
    VOUCHER_USAGE.c.rule == bindparam("of_rule"),
    VOUCHER_USAGE.c.who == bindparam("of_who"),
    VOUCHER_USAGE.c.year == bindparam("of_year"),
)
_EARLIER = (
    update(VOUCHER_USAGE)
    .where(_USED, VOUCHER_USAGE.c.value > bindparam("than"))
    .values(value=bindparam("than"))
)
_IS_USED = select(VOUCHER_USAGE.c.value).where(_USED)
_USE_MORE = (
    update(VOUCHER_USAGE).where(_USED).values(value=VOUCHER_USAGE.c.value + bindparam("more"))
)
_INSERT_USAGE = insert(VOUCHER_USAGE)
_CHANGE_RUN = update(RUN_MONEY).where(RUN_MONEY.c.run_id == bindparam("of_run"))
_INSERT_RUN = insert(RUN_MONEY)
_RUNS = select(RUN_MONEY).where(RUN_MONEY.c.run_id.in_(bindparam("ids", expanding=True)))
_SHORT_RUNS = (
    select(RUN_MONEY)
    .where(RUN_MONEY.c.settled == 0, RUN_MONEY.c.reach_ms <= bindparam("before_ms"))
    .order_by(RUN_MONEY.c.reach_ms, RUN_MONEY.c.run_id)
    .limit(bindparam("most", type_=Integer))
)
_NEVER_GRANTED = (
    select(RUN_MONEY.c.run_id)
    .outerjoin(RUNS, RUNS.c.run_id == RUN_MONEY.c.run_id)
    .where(RUN_MONEY.c.settled == 0, RUNS.c.run_id.is_(None))
)
_GOING_ON = (
    select(RUN_MONEY)
    .join(RUNS, RUNS.c.run_id == RUN_MONEY.c.run_id)
    .where(RUN_MONEY.c.settled == 0, RUN_MONEY.c.run_id > bindparam("after"))
    .where(LIVE, RUNS.c.started_ms.is_not(None))
    .order_by(RUN_MONEY.c.run_id)
    .limit(bindparam("most", type_=Integer))
)
_RECORDS = select(RUNS).where(RUNS.c.run_id.in_(bindparam("ids", expanding=True)))


def load_parties(store: Store, projects: Iterable[str]) -> dict[str, Party]:
    """By project. One that is not listed anywhere is an organisation of its own, funded by nobody."""
    asked = sorted(set(projects))
    with store.read() as connection:
        rows = connection.execute(_HOMES, {"projects": asked})
        organisation = {row.project: row.organisation for row in rows}
        found = sorted(set(organisation.values()))
        claims = _claims(connection, found) if found else {}
        # Nobody asks what an organisation has shown that no rule was claimed for.
        facts = _facts(connection, sorted(claims)) if claims else {}
        contracts = _contracts(connection, sorted(claims)) if claims else {}
        budgets = {
            row.project: Budget(**row._mapping)
            for row in connection.execute(_BUDGETS, {"projects": asked})
        }
    parties = {}
    for project in asked:
        name = organisation.get(project, project)
        parties[project] = Party(
            project=project,
            entity=Entity(name=name, facts=facts.get(name, ())),
            claims=claims.get(name, ()),
            contract=contracts.get(name),
            budget=budgets.get(project),
        )
    return parties


def load_organisation(store: Store, organisation: str) -> tuple[Entity, Contract | None]:
    """What it has shown, and the contract that was set last."""
    with store.read() as connection:
        facts = _facts(connection, [organisation]).get(organisation, ())
        contract = _contracts(connection, [organisation]).get(organisation)
    return Entity(name=organisation, facts=facts), contract


def _facts(connection: Connection, names: Sequence[str]) -> dict[str, tuple[NamedFact, ...]]:
    found: dict[str, tuple[NamedFact, ...]] = {}
    for row in connection.execute(_FACTS, {"names": names}):
        fact = NamedFact(
            name=row.name, value=json.loads(row.value), evidence=row.evidence,
            until_ms=row.until_ms,
        )  # fmt: skip
        found[row.organisation] = (*found.get(row.organisation, ()), fact)
    return found


def _claims(connection: Connection, names: Sequence[str]) -> dict[str, tuple[VoucherClaim, ...]]:
    found: dict[str, tuple[VoucherClaim, ...]] = {}
    for row in connection.execute(_CLAIMS, {"names": names}):
        claims = found.get(row.organisation, ())
        found[row.organisation] = (*claims, read_claim(row.claim))
    return found


def _contracts(connection: Connection, names: Sequence[str]) -> dict[str, Contract]:
    """The one set last, of each organisation."""
    rows = connection.execute(_CONTRACTS, {"names": names})
    return {row.organisation: read_contract(row.terms) for row in rows}


# -- what is set ------------------------------------------------------------------------------


def set_budget(store: Store, budget: Budget) -> None:
    with store.write() as connection:
        connection.execute(delete(BUDGETS).where(BUDGETS.c.project == budget.project))
        connection.execute(
            insert(BUDGETS),
            {"project": budget.project, "on_empty": budget.on_empty, "set_ms": budget.set_ms,
             "set_by": budget.set_by},
        )  # fmt: skip


def remove_budget(store: Store, project: str) -> bool:
    """Whether there was one. The account may be overdrawn from now on."""
    with store.write() as connection:
        gone = connection.execute(delete(BUDGETS).where(BUDGETS.c.project == project))
        return gone.rowcount == 1


def show_fact(store: Store, organisation: str, fact: NamedFact, now_ms: int, by: str) -> None:
    """What was shown of the same name before is replaced."""
    table = ORGANISATION_FACTS
    with store.write() as connection:
        connection.execute(
            delete(table).where(table.c.organisation == organisation, table.c.name == fact.name)
        )
        connection.execute(
            insert(table),
            {"organisation": organisation, "name": fact.name, "value": json.dumps(fact.value),
             "evidence": fact.evidence, "until_ms": fact.until_ms, "shown_ms": now_ms,
             "shown_by": by},
        )  # fmt: skip


def save_claim(store: Store, claim: VoucherClaim, now_ms: int, by: str) -> None:
    """The organisation's claim under its rule, new or changed."""
    table = ADMISSIONS
    key = and_(table.c.organisation == claim.entity, table.c.rule == claim.rule)
    with store.write() as connection:
        connection.execute(delete(table).where(key))
        connection.execute(
            insert(table),
            {"organisation": claim.entity, "rule": claim.rule, "claim": dump_claim(claim),
             "changed_ms": now_ms, "changed_by": by},
        )  # fmt: skip


def save_contract(
    store: Store, organisation: str, contract: Contract, now_ms: int, by: str
) -> None:
    table = CONTRACTS
    key = and_(table.c.organisation == organisation, table.c.contract == contract.id)
    with store.write() as connection:
        connection.execute(delete(table).where(key))
        connection.execute(
            insert(table),
            {"organisation": organisation, "contract": contract.id,
             "terms": dump_contract(contract), "set_ms": now_ms, "set_by": by},
        )  # fmt: skip


def load_claims(store: Store, organisation: str | None = None) -> tuple[VoucherClaim, ...]:
    query = select(ADMISSIONS.c.claim).order_by(ADMISSIONS.c.organisation, ADMISSIONS.c.rule)
    if organisation is not None:
        query = query.where(ADMISSIONS.c.organisation == organisation)
    with store.read() as connection:
        return tuple(read_claim(text) for text in connection.execute(query).scalars())


# -- what is used -----------------------------------------------------------------------------


def load_usage(store: Store, supplier_rules: frozenset[str] = frozenset()) -> Usage:
    with store.read() as connection:
        rows = connection.execute(_USAGE).all()
    return usage_of(
        [(row.counter, row.rule, row.who, row.year, row.value) for row in rows], supplier_rules
    )


def count_usage(store: Store, split: Split, sign: int) -> None:
    """``sign`` 1: what the split uses is used from now on; -1: it is not any more. When an entity
    was first paid stays."""
    with store.write() as connection:
        for counter, rule, who, year, value in usage_rows(split.usage):
            key = {"of_counter": counter, "of_rule": rule, "of_who": who, "of_year": year}
            if counter == FIRST_PAID:
                if sign < 0:
                    continue
                connection.execute(_EARLIER, {**key, "than": value})
                known = connection.execute(_IS_USED, key).first() is not None
            else:
                more = {**key, "more": sign * value}
                known = connection.execute(_USE_MORE, more).rowcount == 1
            if not known:
                connection.execute(
                    _INSERT_USAGE,
                    {"counter": counter, "rule": rule, "who": who, "year": year,
                     "value": value if counter == FIRST_PAID else sign * value},
                )  # fmt: skip


# -- runs -------------------------------------------------------------------------------------


def save_run(store: Store, run: RunMoney) -> None:
    """As it stands now."""
    values = _values(run)
    del values["run_id"]
    with store.write() as connection:
        if connection.execute(_CHANGE_RUN, {**values, "of_run": run.run_id}).rowcount == 0:
            connection.execute(_INSERT_RUN, {**values, "run_id": run.run_id})


def save_new_runs(store: Store, runs: Sequence[RunMoney]) -> None:
    """Runs that are known not to be there yet."""
    if runs:
        with store.write() as connection:
            connection.execute(_INSERT_RUN, [_values(run) for run in runs])


def _values(run: RunMoney) -> dict[str, Any]:
    return {
        "run_id": run.run_id, "job_id": run.job_id, "project": run.project, "site": run.site,
        "settled": int(run.settled), "holds": run.holds, "postings": run.postings,
        "reach_ms": run.reach_ms, "counted": json.dumps(dump_split(run.counted)),
        "posted": None if run.posted is None else dump_billed(run.posted),
    }  # fmt: skip


def load_runs(store: Store, run_ids: Iterable[str]) -> dict[str, RunMoney]:
    asked = sorted(set(run_ids))
    if not asked:
        return {}
    with store.read() as connection:
        rows = connection.execute(_RUNS, {"ids": asked}).mappings()
        return {row["run_id"]: _run(row) for row in rows}


def short_runs(store: Store, before_ms: int, most: int = 200) -> tuple[RunMoney, ...]:
    """Runs that are not settled and whose hold reaches no further than ``before_ms``."""
    values = {"before_ms": before_ms, "most": most}
    with store.read() as connection:
        return tuple(_run(row) for row in connection.execute(_SHORT_RUNS, values).mappings())


def never_granted(store: Store) -> frozenset[str]:
    """Ids of runs that money is held for and that are not there: they are about to be granted, or
    what was to grant them broke off."""
    with store.read() as connection:
        return frozenset(connection.execute(_NEVER_GRANTED).scalars())


def going_on(
    store: Store, after_run_id: str = "", most: int = 200
) -> tuple[tuple[RunMoney, RunRecord], ...]:
    """Runs that have started, are not over and are held for, by id, those behind ``after_run_id``."""
    values = {"after": after_run_id, "most": most}
    with store.read() as connection:
        found = [_run(row) for row in connection.execute(_GOING_ON, values).mappings()]
        rows = connection.execute(_RECORDS, {"ids": [one.run_id for one in found]})
        records = {row["run_id"]: codec.run_record(row) for row in rows.mappings()}
    return tuple((one, records[one.run_id]) for one in found)


def _run(row: RowMapping) -> RunMoney:
    return RunMoney(
        run_id=row["run_id"], job_id=row["job_id"], project=row["project"], site=row["site"],
        settled=row["settled"] == 1, holds=row["holds"], postings=row["postings"],
        reach_ms=row["reach_ms"], counted=read_split(json.loads(row["counted"])),
        posted=None if row["posted"] is None else read_billed(row["posted"]),
    )  # fmt: skip


def project_of(account: str | None) -> str:
    """A job that names no account is of the built-in project."""
    return account or LOCAL_PROJECT
