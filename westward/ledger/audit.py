"""The independent auditor: recomputes a whole ledger from its rows and names every fault.

Nothing of the code that judges and posts is used here; a mistake there must not hide itself. Rows
are plain mappings, as the database has them, each transfer in the order of its number. Everything
is an integer: a balance that is off by one millionth is a fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

BALANCES = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")


@dataclass(frozen=True, slots=True)
class AuditFault:
    """``code`` is stable; ``where``: an account, or a transfer with the number of its row."""

    code: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text} ({self.code})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    faults: tuple[AuditFault, ...]
    accounts: int
    transfers: int
    open_holds: int
    posted: Mapping[str, int]
    """By unit: the sum of all that was ever posted."""
    held: Mapping[str, int]
    """By unit: what is held now."""


@dataclass(slots=True)
class _Account:
    unit: str
    may_overdraw: bool
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BALANCES, 0))
    overspent: bool = False


@dataclass(slots=True)
class _Pending:
    debit: str
    credit: str
    left: int
    expires_ms: int | None
    ending: str = ""
    """Kind of the row that closed it."""


@dataclass(slots=True)
class _Group:
    size: int
    at_ms: int
    positions: list[int] = field(default_factory=list)


class Auditor:
    """Fed with accounts, then transfers, then holds; ``report`` at the end."""

    def __init__(self) -> None:
        self.faults: list[AuditFault] = []
        self._accounts: dict[str, _Account] = {}
        self._stored: dict[str, tuple[int, ...]] = {}
        self._kinds: dict[str, str] = {}
        self._pairs: dict[str, frozenset[str]] = {}
        """Of posted rows: who may be corrected between whom."""
        self._pending: dict[str, _Pending] = {}
        self._groups: dict[str, _Group] = {}
        self._last_seq: int | None = None
        self._holds: set[str] = set()
        self._posted: dict[str, int] = {}

    def account(self, row: Row) -> None:
        name = row["account_id"]
        if name in self._accounts:
            self._fault("account-twice", name, "is there twice")
            return
        self._accounts[name] = _Account(row["unit"], row["overdraft"] == 1)
        self._stored[name] = tuple(row[column] for column in BALANCES)

    def transfer(self, row: Row) -> None:
        """The next row, by number."""
        name = f"{row['transfer_id']} (row {row['seq']})"
        if self._last_seq is not None and row["seq"] <= self._last_seq:
            self._fault("order-of-rows", name, f"follows row {self._last_seq}")
        self._last_seq = row["seq"]
        if row["transfer_id"] in self._kinds:
            self._fault("transfer-twice", name, "is there twice")
            return
        self._kinds[row["transfer_id"]] = row["kind"]
        if not self._sound(row, name):
            return
        self._group(row)
        match row["kind"]:
            case "posted":
                self._posted_row(row, name)
            case "pending":
                self._pending_row(row, name)
            case "post" | "void" | "expire":
                self._ending_row(row, name)
            case other:
                self._fault("kind-unknown", name, f"has the kind {other!r}")

    def hold(self, row: Row) -> None:
        name = row["transfer_id"]
        self._holds.add(name)
        pending = self._pending.get(name)
        if pending is None:
            self._fault("hold-of-nothing", name, "has a hold, but is no pending transfer")
            return
        states = {"": "open", "post": "posted", "void": "voided", "expire": "expired"}
        if row["remaining"] != pending.left:
            text = f"the rows leave {pending.left}, its hold says {row['remaining']}"
            self._fault("hold-differs", name, text)
        if row["state"] != states[pending.ending]:
            text = f"the rows say {states[pending.ending]}, its hold says {row['state']}"
            self._fault("hold-state-differs", name, text)
        if row["expires_ms"] != pending.expires_ms:
            text = f"expires at {pending.expires_ms}, its hold says {row['expires_ms']}"
            self._fault("hold-expiry-differs", name, text)

    def report(self) -> AuditReport:
        for name in self._pending.keys() - self._holds:
            self._fault("hold-missing", name, "is a pending transfer without a hold")
        for name, account in self._accounts.items():
            for column, kept in zip(BALANCES, self._stored[name], strict=True):
                if kept != account.sums[column]:
                    text = f"{column} is {kept}, its rows make {account.sums[column]}"
                    self._fault("balance-differs", name, text)
        for group_id, group in self._groups.items():
            if group.positions != list(range(group.size)):
                text = f"has places {group.positions} of {group.size}"
                self._fault("group-not-whole", f"group {group_id}", text)
        self._both_sides()
        held: dict[str, int] = {}
        for pending in self._pending.values():
            payer = self._accounts.get(pending.debit)
            if payer is not None and pending.left:
                held[payer.unit] = held.get(payer.unit, 0) + pending.left
        return AuditReport(
            faults=tuple(self.faults),
            accounts=len(self._accounts),
            transfers=len(self._kinds),
            open_holds=sum(not pending.ending for pending in self._pending.values()),
            posted=dict(sorted(self._posted.items())),
            held=dict(sorted(held.items())),
        )

    def _sound(self, row: Row, name: str) -> bool:
        """Whether the row can be counted at all."""
        faults = len(self.faults)
        if type(row["amount"]) is not int or row["amount"] <= 0:
            self._fault("amount", name, f"moves {row['amount']!r}")
        if row["debit"] == row["credit"]:
            self._fault("one-account", name, f"goes from {row['debit']} to itself")
        units = []
        for side in ("debit", "credit"):
            account = self._accounts.get(row[side])
            if account is None:
                self._fault("account-missing", name, f"names {row[side]}, which is no account")
            else:
                units.append(account.unit)
        if len(set(units)) > 1:
            self._fault("unit-differs", name, f"is between {units[0]} and {units[1]}")
        return len(self.faults) == faults

    def _posted_row(self, row: Row, name: str) -> None:
        self._no_pending(row, name)
        if row["corrects"] is not None:
            between = self._pairs.get(row["corrects"])
            if between is None:
                text = f"corrects {row['corrects']}, which was not posted before it"
                self._fault("correction-of-nothing", name, text)
            elif between != {row["debit"], row["credit"]}:
                text = f"corrects {row['corrects']}, which is between other accounts"
                self._fault("correction-between-others", name, text)
            if not row["reason"].strip():
                self._fault("correction-without-reason", name, "gives no reason")
        self._move(row, name, pending=0, posted=row["amount"])

    def _pending_row(self, row: Row, name: str) -> None:
        self._no_pending(row, name)
        expires_ms = row["expires_ms"]
        if expires_ms is not None and expires_ms <= row["at_ms"]:
            self._fault("expired-at-birth", name, f"of {row['at_ms']} expires at {expires_ms}")
        self._pending[row["transfer_id"]] = _Pending(
            row["debit"], row["credit"], row["amount"], expires_ms
        )
        self._move(row, name, pending=row["amount"], posted=0)

    def _ending_row(self, row: Row, name: str) -> None:
        kind, amount = row["kind"], row["amount"]
        pending = self._pending.get(row["pending_id"])
        if pending is None:
            text = f"refers to {row['pending_id']}, which is no pending transfer before it"
            self._fault("pending-missing", name, text)
            return
        if (row["debit"], row["credit"]) != (pending.debit, pending.credit):
            self._fault("pending-between-others", name, f"{row['pending_id']} has other accounts")
        if pending.ending:
            text = f"{row['pending_id']} was closed before ({pending.ending})"
            self._fault("pending-closed-before", name, text)
        due = pending.expires_ms is not None and row["at_ms"] >= pending.expires_ms
        if kind == "post" and due:
            text = f"posts at {row['at_ms']}, after {pending.expires_ms}"
            self._fault("posted-after-expiry", name, text)
        if kind == "expire" and not due:
            text = f"at {row['at_ms']}, before {pending.expires_ms}"
            self._fault("expired-early", name, text)
        if amount > pending.left:
            text = f"takes {amount} of {pending.left} that {row['pending_id']} still holds"
            self._fault("more-than-held", name, text)
        elif kind != "post" and amount != pending.left:
            text = f"gives back {amount} of {pending.left} that {row['pending_id']} still holds"
            self._fault("not-all-given-back", name, text)
        pending.left -= amount
        if kind != "post" or pending.left == 0:
            pending.ending = kind
        self._move(row, name, pending=-amount, posted=amount if kind == "post" else 0)

    def _no_pending(self, row: Row, name: str) -> None:
        if row["pending_id"] is not None:
            self._fault("pending-named", name, f"is {row['kind']} and names {row['pending_id']}")

    def _move(self, row: Row, name: str, *, pending: int, posted: int) -> None:
        """Both sides of the entry, and whether the payer could afford it at this row."""
        payer, payee = self._accounts[row["debit"]], self._accounts[row["credit"]]
        payer.sums["debits_pending"] += pending
        payer.sums["debits_posted"] += posted
        payee.sums["credits_pending"] += pending
        payee.sums["credits_posted"] += posted
        if posted:
            self._posted[payer.unit] = self._posted.get(payer.unit, 0) + posted
            self._pairs[row["transfer_id"]] = frozenset((row["debit"], row["credit"]))
        for side, account in ((row["debit"], payer), (row["credit"], payee)):
            sums = account.sums
            over = sums["debits_pending"] + sums["debits_posted"] - sums["credits_posted"]
            if over > 0 and not account.may_overdraw and not account.overspent:
                self._fault("overspent", name, f"{side} is overspent by {over} after it")
            account.overspent = over > 0
            for column, value in sums.items():
                if value < 0:
                    self._fault("balance-below-zero", name, f"{column} of {side} is {value}")

    def _group(self, row: Row) -> None:
        if row["group_id"] is None:
            return
        group = self._groups.setdefault(row["group_id"], _Group(row["group_size"], row["at_ms"]))
        group.positions.append(row["group_position"])
        if (group.size, group.at_ms) != (row["group_size"], row["at_ms"]):
            text = f"has rows of {group.size} and {row['group_size']}, or of two times"
            self._fault("group-differs", f"group {row['group_id']}", text)

    def _both_sides(self) -> None:
        """In each unit the stored balances of all accounts must cancel out."""
        totals: dict[str, list[int]] = {}
        for name, account in self._accounts.items():
            total = totals.setdefault(account.unit, [0, 0])
            debits_pending, debits_posted, credits_pending, credits_posted = self._stored[name]
            total[0] += credits_pending - debits_pending
            total[1] += credits_posted - debits_posted
        for unit, (pending, posted) in totals.items():
            if pending or posted:
                text = f"credits less debits are {posted} posted and {pending} pending, not 0"
                self._fault("not-balanced", f"unit {unit}", text)

    def _fault(self, code: str, where: str, text: str) -> None:
        self.faults.append(AuditFault(code, where, text))


def audit(accounts: Iterable[Row], transfers: Iterable[Row], holds: Iterable[Row]) -> AuditReport:
    """Everything wrong with the ledger that these rows are; ``transfers`` by rising number."""
    auditor = Auditor()
    for row in accounts:
        auditor.account(row)
    for row in transfers:
        auditor.transfer(row)
    for row in holds:
        auditor.hold(row)
    return auditor.report()
