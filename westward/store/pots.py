"""What a programme's pots have paid, day by day: what a forecast starts from."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, or_, select

from westward.ledger.transfers import TransferKind
from westward.model.units import MS_PER_DAY, MS_PER_MINUTE
from westward.store.database import Store
from westward.store.money_schema import LEDGER_ACCOUNTS, LEDGER_TRANSFERS

T = LEDGER_TRANSFERS.c
_MOVED = (TransferKind.POSTED.value, TransferKind.POST.value)


def first_opened_ms(store: Store, account_ids: Sequence[str]) -> int | None:
    """When the first of them was opened; None: there is none of them."""
    query = select(func.min(LEDGER_ACCOUNTS.c.opened_ms)).where(
        LEDGER_ACCOUNTS.c.account_id.in_(account_ids)
    )
    with store.read() as connection:
        found = connection.execute(query).scalar()
        return None if found is None else int(found)


def daily_spend(
    store: Store,
    account_ids: Sequence[str],
    from_ms: int,
    days: int,
    offset_minutes: int = 0,
    beside: str = "funding",
) -> tuple[int, ...]:
    """Millionths that the accounts posted on each of ``days`` from ``from_ms`` (a midnight at the
    offset), less what they were given back. Transfers of the category ``beside`` are no spend."""
    until_ms = from_ms + days * MS_PER_DAY
    query = select(T.at_ms, T.debit, T.credit, T.amount).where(
        or_(T.debit.in_(account_ids), T.credit.in_(account_ids)),
        T.kind.in_(_MOVED),
        T.category != beside,
        T.at_ms >= from_ms,
        T.at_ms < until_ms,
    )
    shift_ms = offset_minutes * MS_PER_MINUTE
    first = (from_ms + shift_ms) // MS_PER_DAY
    spent = [0] * days
    own = frozenset(account_ids)
    with store.read() as connection:
        for at_ms, debit, credit, amount in connection.execute(query):
            day = (at_ms + shift_ms) // MS_PER_DAY - first
            spent[day] += (amount if debit in own else 0) - (amount if credit in own else 0)
    return tuple(spent)
