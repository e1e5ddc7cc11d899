"""A ledger that is nothing but a list of rows: every question adds up the whole list.

It knows no balances, no holds and no batches, so it cannot get them wrong. Its answer to a request
is the set of reasons to refuse it; the real ledger must give one of them, or accept if there is
none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from westward.ledger.accounts import Account, Balances
from westward.ledger.transfers import Transfer, TransferKind

ENDINGS = (TransferKind.POST, TransferKind.VOID, TransferKind.EXPIRE)


@dataclass
class TwinRow:
    asked: Transfer
    debit: str
    credit: str
    amount: int
    place: tuple[int, int]
    """Position and size of its group."""


@dataclass
class TwinLedger:
    accounts: dict[str, Account] = field(default_factory=dict)
    rows: list[TwinRow] = field(default_factory=list)

    def row(self, transfer_id: str) -> TwinRow | None:
        found = [one for one in self.rows if one.asked.transfer_id == transfer_id]
        return found[0] if found else None

    def left(self, pending_id: str) -> int:
        pending = self.row(pending_id)
        assert pending is not None
        return pending.amount - sum(
            one.amount for one in self.rows if one.asked.pending_id == pending_id
        )

    def ended(self, pending_id: str) -> TransferKind | None:
        """What closed it."""
        ends = [one.asked.kind for one in self.rows if one.asked.pending_id == pending_id]
        if TransferKind.VOID in ends or TransferKind.EXPIRE in ends:
            return TransferKind.VOID if TransferKind.VOID in ends else TransferKind.EXPIRE
        return TransferKind.POST if ends and self.left(pending_id) == 0 else None

    def balances(self, account_id: str) -> Balances:
        out_held = in_held = out = into = 0
        for one in self.rows:
            if one.asked.kind in (TransferKind.POSTED, TransferKind.POST):
                out += one.amount if one.debit == account_id else 0
                into += one.amount if one.credit == account_id else 0
            if one.asked.kind is TransferKind.PENDING:
                still = self.left(one.asked.transfer_id)
                out_held += still if one.debit == account_id else 0
                in_held += still if one.credit == account_id else 0
        return Balances(out_held, out, in_held, into)

    def ask(self, group: Sequence[Transfer], now_ms: int) -> list[set[str]]:
        """A linked group, or one alone: for each the reasons to refuse it; all empty: accepted.

        After the first that is refused the others' are not found out: ``{"group-failed"}``.
        """
        size = len(group) if group[0].group_id else 0
        known = [one for one in self.rows if size and one.asked.group_id == group[0].group_id]
        kept = len(self.rows)
        reasons: list[set[str]] = []
        for position, transfer in enumerate(group):
            place = (position, size) if size else (0, 0)
            row = self.row(transfer.transfer_id)
            if row is not None:
                found = set() if (row.asked, row.place) == (transfer, place) else {"differs"}
                if size and not known:
                    found = {"differs"}
            elif known:
                found = {"differs"}
            else:
                found = self._reasons(transfer, now_ms)
                if not found:
                    self._keep(transfer, place)
            reasons.append(found)
            if found and size:
                del self.rows[kept:]
                return [found if at == position else {"group-failed"} for at in range(len(group))]
        return reasons

    def _keep(self, asked: Transfer, place: tuple[int, int]) -> None:
        debit, credit, amount = asked.debit, asked.credit, asked.amount
        if asked.kind in ENDINGS:
            pending = self.row(asked.pending_id)
            assert pending is not None
            debit, credit = pending.debit, pending.credit
            amount = amount or self.left(asked.pending_id)
        self.rows.append(TwinRow(asked, debit, credit, amount, place))

    def _reasons(self, asked: Transfer, now_ms: int) -> set[str]:
        reasons = set()
        if asked.kind in ENDINGS:
            pending = self.row(asked.pending_id)
            if pending is None:
                return {"pending-unknown"}
            if pending.asked.kind is not TransferKind.PENDING:
                return {"not-a-pending-transfer"}
            end = self.ended(asked.pending_id)
            expires_ms = pending.asked.expires_ms
            over = expires_ms is not None and now_ms >= expires_ms
            if end is TransferKind.EXPIRE or (over and asked.kind is TransferKind.POST):
                reasons.add("pending-expired")
            if end in (TransferKind.POST, TransferKind.VOID):
                reasons.add("pending-closed")
            if asked.kind is TransferKind.POST and asked.amount > self.left(asked.pending_id):
                reasons.add("more-than-held")
            if asked.kind is TransferKind.EXPIRE and not over:
                reasons.add("not-expired-yet")
            return reasons
        sides = [self.accounts.get(name) for name in (asked.debit, asked.credit)]
        payer, payee = sides
        if payer is None or payee is None:
            return {"account-unknown"}
        if payer.unit != payee.unit:
            reasons.add("unit-differs")
        if asked.expires_ms is not None and asked.expires_ms <= now_ms:
            reasons.add("expires-in-the-past")
        if asked.corrects:
            wrong = self.row(asked.corrects)
            if wrong is None or wrong.asked.kind not in (TransferKind.POSTED, TransferKind.POST):
                reasons.add("correction-of-nothing")
            elif {wrong.debit, wrong.credit} != {asked.debit, asked.credit}:
                reasons.add("correction-between-others")
        has = self.balances(asked.debit)
        free = has.credits_posted - has.debits_posted - has.debits_pending
        if asked.amount > free and not payer.overdraft:
            reasons.add("not-enough-money")
        return reasons
