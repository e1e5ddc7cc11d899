"""What rules have paid for whom by the ledger, and what settled runs are entitled to at a year's end."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from westward.ledger.transfers import Transfer
from westward.store.database import Store
from westward.store.ledger_rows import read_recorded
from westward.store.money_codec import read_split
from westward.store.money_schema import LEDGER_TRANSFERS, RUN_MONEY

T = LEDGER_TRANSFERS.c


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSplit:
    """A run's place in the books: its split's parts and what it counts under each rule."""

    run_id: str
    project: str
    settled: bool
    parts: tuple[tuple[str, str, int, int], ...]
    """(rule, payer, year, micros) that the rule pays of the price."""
    entity: tuple[tuple[str, str, int, int], ...]
    """(rule, who, year, micros) that the rule's caps count: paid at once, or at the year's end."""


def run_splits(store: Store, projects: Collection[str] | None = None) -> Iterator[RunSplit]:
    """By run; None: of every project."""
    query = select(
        RUN_MONEY.c.run_id, RUN_MONEY.c.project, RUN_MONEY.c.settled, RUN_MONEY.c.counted
    ).order_by(RUN_MONEY.c.run_id)
    if projects is not None:
        query = query.where(RUN_MONEY.c.project.in_(sorted(projects)))
    with store.read() as connection:
        for row in connection.execute(query):
            split = read_split(json.loads(row.counted))
            yield RunSplit(
                run_id=row.run_id,
                project=row.project,
                settled=row.settled == 1,
                parts=tuple(
                    (one.rule, one.payer, one.year, one.micros)
                    for one in split.parts
                    if one.year is not None
                ),
                entity=tuple((*key, micros) for key, micros in split.usage.entity.items()),
            )


def of_group(store: Store, group_id: str) -> tuple[Transfer, ...]:
    """The transfers that were accepted as this group, in their order."""
    query = select(LEDGER_TRANSFERS).where(T.group_id == group_id).order_by(T.seq)
    with store.read() as connection:
        found = connection.execute(query).mappings()
        return tuple(read_recorded(row).transfer for row in found)


def between(
    store: Store, category: str, pots: Sequence[str], accounts: Collection[str]
) -> dict[tuple[str, str], int]:
    """(pot, account) → millionths that the pot paid the account under ``category``, less what the
    account paid the pot."""
    if not pots or not accounts:
        return {}
    names = sorted({*pots, *accounts})
    query = select(T.debit, T.credit, T.amount).where(
        T.category == category, T.debit.in_(names), T.credit.in_(names)
    )
    found: dict[tuple[str, str], int] = defaultdict(int)
    with store.read() as connection:
        for debit, credit, amount in connection.execute(query):
            if debit in pots:
                found[debit, credit] += amount
            elif credit in pots:
                found[credit, debit] -= amount
    return dict(found)
