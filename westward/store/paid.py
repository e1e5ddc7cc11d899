"""What the ledger posted for runs, summed by the database."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from westward.ledger.transfers import TransferKind
from westward.settlement.paid import CORRECTION, paid_by
from westward.store.money_schema import LEDGER_TRANSFERS
from westward.store.rows import chunks

T = LEDGER_TRANSFERS.c
_MOVED = (TransferKind.POSTED.value, TransferKind.POST.value)


def load_paid(
    connection: Connection, job_of: Mapping[str, str], *, corrected: bool = False
) -> dict[str, dict[str, int]]:
    """By run those that the ledger has postings of: payer's account → millionths, net. ``job_of``:
    the runs asked for, with their jobs. Rewards are paid beside the price: they are left out; so
    are corrections of the bill, unless ``corrected``."""
    left_out = ["reward"] if corrected else ["reward", CORRECTION]
    moved: dict[str, dict[tuple[str, str], int]] = {}
    for chunk in chunks(dict.fromkeys(job_of.values())):
        query = (
            select(T.run_id, T.debit, T.credit, func.sum(T.amount).label("micros"))
            .where(T.job_id.in_(chunk), T.kind.in_(_MOVED), T.category.not_in(left_out))
            .group_by(T.run_id, T.debit, T.credit)
        )
        for row in connection.execute(query):
            if row.run_id in job_of:
                moved.setdefault(row.run_id, {})[row.debit, row.credit] = int(row.micros)
    return {run_id: paid_by(amounts) for run_id, amounts in moved.items()}
