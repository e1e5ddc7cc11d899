"""Who paid a run's bill, by what the ledger posted for it."""

from __future__ import annotations

from collections.abc import Mapping

from westward.ledger.accounts import AccountKind
from westward.ledger.road import UNFUNDED
from westward.settlement.charges import Share

CORRECTION = "correction"
"""Category of the transfers that correct a bill: what was paid for the bill itself is without them."""
REASONS: Mapping[str, str] = {
    AccountKind.POT.value: "voucher",
    AccountKind.GRANT.value: "grant",
    AccountKind.PROJECT.value: "",
    AccountKind.EXTERNAL.value: "nobody had money for it",
}
"""Why an account of a kind pays. Others only earn, or clear."""


def is_payer(account: str) -> bool:
    """Whether an account of that id pays for runs; of the outside world only ``unfunded`` does."""
    kind, _, name = account.partition(":")
    if kind == AccountKind.EXTERNAL.value:
        return name.startswith(f"{UNFUNDED}:")
    return kind in REASONS


def paid_by(moved: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Payer's account → what it paid net, by what went from account to account."""
    found: dict[str, int] = {}
    for (debit, credit), micros in moved.items():
        for account, change in ((debit, micros), (credit, -micros)):
            if is_payer(account):
                found[account] = found.get(account, 0) + change
    return dict(sorted(found.items()))


def payer_name(account: str, project: str) -> str:
    """Who pays, as charges name it: the project's accounts are the project."""
    if account.partition(":")[0] == AccountKind.PROJECT.value:
        return project
    return account.rpartition(":")[0]


def shares_of(paid: Mapping[str, int], project: str, total_micros: int) -> tuple[Share, ...]:
    """``paid`` as shares of the bill; the project's accounts are the project. Empty where the
    ledger's postings are not the bill: then that stands, and the reconciliation names the
    difference."""
    if sum(paid.values()) != total_micros:
        return ()
    shares: dict[str, Share] = {}
    for account, micros in paid.items():
        kind, name = account.partition(":")[0], payer_name(account, project)
        known = shares.get(name)
        more = micros if known is None else micros + known.micros
        shares[name] = Share(payer=name, micros=more, reason=REASONS[kind])
    return tuple(one for one in shares.values() if one.micros)
