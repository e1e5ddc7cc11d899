"""What a batch of transfers asks of the database and writes to it: the same in two dialects,
``ledger_sqlite`` and ``ledger_postgres``.

A transfer alone is a handful of statements that never change; making and reading them through
SQLAlchemy takes longer than all else together. So they go to the driver (``store.driver``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from westward.ledger.accounts import can_be_kept


class Row(Protocol):
    """A row of a result, by column."""

    def __getitem__(self, column: str, /) -> Any: ...


Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Ids; see ``asked``."""

    accounts: list[str]
    pendings: list[str]
    """Transfers whose accounts are asked for too."""
    transfers: list[str]
    groups: list[str]


class Found(NamedTuple):
    accounts: Sequence[Row]
    """Locked until the transaction ends."""
    transfers: Sequence[Row]
    """With ``remaining`` and ``state`` of their holds, as they stand once the accounts are locked."""
    groups: Sequence[str]
    """Those that are known."""


class Made(NamedTuple):
    """Rows to write, in order. Changes name in ``of`` the row and in ``seen`` what they were decided
    on: the balances' version, the hold's remaining amount."""

    transfers: Sequence[Values]
    holds: Sequence[Values]
    changed_holds: Sequence[Values]
    changed_balances: Sequence[Values]


def asked(
    accounts: Iterable[str],
    pendings: Iterable[str],
    transfers: Iterable[str],
    groups: Iterable[str],
) -> Asked:
    """Sorted; "" and what no database could hold are left out: they are not there."""
    return Asked(
        accounts=_kept(accounts),
        pendings=_kept(pendings),
        transfers=_kept(transfers),
        groups=_kept(groups),
    )


def _kept(ids: Iterable[str]) -> list[str]:
    return sorted(text for text in set(ids) if text and can_be_kept(text))
