"""Accounts of the double-entry ledger and their balances. Integers only.

Money flows from the debit account to the credit account of a transfer. An account's money is what
was credited to it less what was debited; pending debits are held and cannot be spent again,
pending credits are only promised. Amounts count the account's unit: millionths of a currency
(``CNY``), or whole ones of any other unit (``device-ms``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from westward.model.units import MICROS

ID_MOST_CHARS = 200
UNIT_MOST_CHARS = 20
LABEL_MOST_CHARS = 200
AMOUNT_MOST = 10**18
"""Of one transfer: a million million of a currency."""
BALANCE_MOST = 9 * 10**18
"""Of each running balance: what a BIGINT holds."""
DEVICE_MS = "device-ms"
"""The unit of allotments in hours: devices × milliseconds."""


class AccountKind(StrEnum):
    """What an account stands for in the chart of accounts."""

    POT = "pot"
    """A funder's money for one programme."""
    GRANT = "grant"
    """What a funder gave to one entity."""
    PROJECT = "project"
    SITE = "site"
    """Earned by a site."""
    DATA_OWNER = "data-owner"
    """Earned by the owner of data sets that were read."""
    NETWORK_POWER = "network-power"
    NETWORK_CARBON = "network-carbon"
    NETWORK_LINKS = "network-links"
    ROUNDING = "rounding"
    EXTERNAL = "external"
    """The world outside: where money comes from and goes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What never changes of an account."""

    account_id: str
    kind: AccountKind
    unit: str
    overdraft: bool = False
    """Whether its debits may exceed its credits (the outside world, mostly)."""
    owner: str = ""
    """Id of the project, site, programme or organisation it belongs to; "" for the network's."""
    label: str = ""


class Balances(NamedTuple):
    """Sums of transfers, in the account's unit; as a change, what a transfer adds to them."""

    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0

    @property
    def posted(self) -> int:
        """What the account has: below zero when it is overdrawn."""
        return self.credits_posted - self.debits_posted

    @property
    def available(self) -> int:
        """What may still be held or spent."""
        return self.credits_posted - self.debits_posted - self.debits_pending

    def plus(self, change: Balances) -> Balances:
        return Balances(
            self.debits_pending + change.debits_pending,
            self.debits_posted + change.debits_posted,
            self.credits_pending + change.credits_pending,
            self.credits_posted + change.credits_posted,
        )

    def minus(self, change: Balances) -> Balances:
        return Balances(
            self.debits_pending - change.debits_pending,
            self.debits_posted - change.debits_posted,
            self.credits_pending - change.credits_pending,
            self.credits_posted - change.credits_posted,
        )


ZERO = Balances()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """``created`` False: it was there before, and the same."""

    account: Account
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRefused:
    """Nothing was changed. Codes: ``account-malformed``, ``account-with-other-content``."""

    account_id: str
    code: str
    text: str


def judge_account(account: Account, known: Account | None) -> Opened | AccountRefused:
    """Whether it may be opened, ``known`` being the account that has its id already."""
    problem = account_problem(account)
    if problem is not None:
        return AccountRefused(account_id=account.account_id, code="account-malformed", text=problem)
    if known is None or known == account:
        return Opened(account=account, created=known is None)
    return AccountRefused(
        account_id=account.account_id,
        code="account-with-other-content",
        text=f"account {account.account_id} is open with other content",
    )


def standard_id(kind: AccountKind, name: str, unit: str) -> str:
    """``pot:shanghai-2026:CNY``: the id by which everybody finds the account of ``name``."""
    return f"{kind.value}:{name}:{unit}" if name else f"{kind.value}:{unit}"


def account_problem(account: Account) -> str | None:
    """What keeps it from being opened, in a sentence without its full stop; None for nothing."""
    if not well_formed_id(account.account_id):
        return f"an account's id has 1 to {ID_MOST_CHARS} printable characters without spaces"
    if not account.unit or len(account.unit) > UNIT_MOST_CHARS or not well_formed_id(account.unit):
        return f"a unit has 1 to {UNIT_MOST_CHARS} printable characters without spaces"
    if len(account.owner) > ID_MOST_CHARS or len(account.label) > LABEL_MOST_CHARS:
        return f"owner and label have at most {LABEL_MOST_CHARS} characters"
    if not (can_be_kept(account.owner) and can_be_kept(account.label)):
        return UNKEEPABLE
    return None


def well_formed_id(text: str) -> bool:
    return 0 < len(text) <= ID_MOST_CHARS and text.isprintable() and " " not in text


UNKEEPABLE = "a text has no null characters and no half characters"


def can_be_kept(text: str) -> bool:
    """PostgreSQL takes no null characters; no database takes half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def is_currency(unit: str) -> bool:
    """Amounts of a currency (three capitals, ISO 4217) count millionths, others whole units."""
    return len(unit) == 3 and unit.isascii() and unit.isalpha() and unit.isupper()


def amount_text(amount: int, unit: str) -> str:
    """``1234567890`` of ``CNY`` → ``1,234.56789``; exact to the last digit, at least two of them."""
    if not is_currency(unit):
        return f"{amount:,}"
    whole, part = divmod(abs(amount), MICROS)
    digits = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount < 0 else ''}{whole:,}.{digits}"
