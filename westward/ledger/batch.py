"""A batch of transfers, judged in order over books in memory, with its linked groups.

The books are loaded with what the batch touches; afterwards they say what changed. No database is
known here: rehearsals keep whole ledgers in ``Book`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from westward.ledger.accounts import ZERO, Account, Balances
from westward.ledger.transfers import (
    GROUP_MOST,
    Accepted,
    Effects,
    Hold,
    Outcome,
    Recorded,
    RefusalCode,
    Refused,
    Transfer,
    form_problem,
    judge,
    repeated,
)


@dataclass(slots=True)
class Book:
    """A ledger, or the part of one that a batch touches. ``new`` grows in the order of effect."""

    accounts: dict[str, Account] = field(default_factory=dict)
    balances: dict[str, Balances] = field(default_factory=dict)
    recorded: dict[str, Recorded] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    """Ids of groups that were accepted."""
    new: list[Recorded] = field(default_factory=list)

    def open(self, account: Account) -> None:
        self.accounts[account.account_id] = account
        self.balances[account.account_id] = ZERO

    def apply(self, effects: Effects, position: int, size: int) -> Hold | None:
        """Returns how the hold stood before, for ``undo``."""
        transfer = effects.transfer
        self._change(transfer, effects.debit, effects.credit)
        entry = Recorded(transfer=transfer, group_position=position, group_size=size)
        self.recorded[transfer.transfer_id] = entry
        self.new.append(entry)
        if effects.hold is None:
            return None
        before = self.holds.get(effects.hold.transfer_id)
        self.holds[effects.hold.transfer_id] = effects.hold
        return before

    def undo(self, effects: Effects, before: Hold | None) -> None:
        """Takes back the last ``apply`` that was not taken back yet."""
        transfer = effects.transfer
        self.new.pop()
        del self.recorded[transfer.transfer_id]
        for name, change in ((transfer.debit, effects.debit), (transfer.credit, effects.credit)):
            self.balances[name] = self.balances[name].minus(change)
        if effects.hold is not None:
            if before is None:
                del self.holds[effects.hold.transfer_id]
            else:
                self.holds[effects.hold.transfer_id] = before

    def _change(self, transfer: Transfer, debit: Balances, credit: Balances) -> None:
        self.balances[transfer.debit] = self.balances[transfer.debit].plus(debit)
        self.balances[transfer.credit] = self.balances[transfer.credit].plus(credit)


def judge_batch(book: Book, transfers: Sequence[Transfer], now_ms: int) -> tuple[Outcome, ...]:
    """One outcome a transfer, in order; ``book`` is changed accordingly.

    Each transfer sees those before it. Of a group all are accepted or none; the one at fault has
    its own code, the others ``group-failed``.
    """
    outcomes: list[Outcome] = []
    for group in _groups(transfers):
        if group[0].group_id:
            outcomes += _judge_group(book, group, now_ms)
        else:
            outcomes.append(_judge_one(book, group[0], now_ms))
    return tuple(outcomes)


def _groups(transfers: Sequence[Transfer]) -> Iterator[list[Transfer]]:
    """Neighbours of one group together; others alone."""
    group: list[Transfer] = []
    for transfer in transfers:
        if group and (not transfer.group_id or transfer.group_id != group[0].group_id):
            yield group
            group = []
        group.append(transfer)
    if group:
        yield group


def _judge_one(book: Book, transfer: Transfer, now_ms: int) -> Outcome:
    answer = judge(book, transfer, now_ms)
    if isinstance(answer, Effects):
        book.apply(answer, 0, 0)
        return Accepted(transfer=answer.transfer)
    return answer


def _judge_group(book: Book, group: Sequence[Transfer], now_ms: int) -> list[Outcome]:
    group_id = group[0].group_id
    if len(group) > GROUP_MOST:
        text = f"group {group_id} has more than {GROUP_MOST} transfers"
        return _all_refused(group, 0, RefusalCode.MALFORMED, text)
    if group_id in book.groups:
        return _group_again(book, group)
    done: list[tuple[Effects, Hold | None]] = []
    failed: Refused | None = None
    for position, transfer in enumerate(group):
        answer = judge(book, transfer, now_ms)
        if isinstance(answer, Accepted):
            text = f"transfer {transfer.transfer_id} is known from before this group"
            failed = Refused(
                transfer_id=transfer.transfer_id, code=RefusalCode.OTHER_CONTENT, text=text
            )
        elif isinstance(answer, Refused):
            failed = answer
        else:
            done.append((answer, book.apply(answer, position, len(group))))
        if failed is not None:
            for effects, before in reversed(done):
                book.undo(effects, before)
            return _all_refused(group, position, failed.code, failed.text)
    book.groups.add(group_id)
    return [Accepted(transfer=effects.transfer) for effects, _ in done]


def _group_again(book: Book, group: Sequence[Transfer]) -> list[Outcome]:
    """The group is known: it must be all of it, and as it was."""
    outcomes: list[Outcome] = []
    for position, transfer in enumerate(group):
        known = book.recorded.get(transfer.transfer_id)
        if known is None or (known.group_position, known.group_size) != (position, len(group)):
            text = f"group {transfer.group_id} is known with other transfers"
            return _all_refused(group, position, RefusalCode.GROUP_KNOWN, text)
        if (problem := form_problem(transfer)) is not None:
            return _all_refused(group, position, RefusalCode.MALFORMED, problem)
        answer = repeated(book, transfer, known)
        if isinstance(answer, Refused):
            return _all_refused(group, position, answer.code, answer.text)
        outcomes.append(answer)
    return outcomes


def _all_refused(
    group: Sequence[Transfer], at_fault: int, code: RefusalCode, text: str
) -> list[Outcome]:
    culprit = group[at_fault].transfer_id
    return [
        Refused(transfer_id=one.transfer_id, code=code, text=text)
        if position == at_fault
        else Refused(
            transfer_id=one.transfer_id,
            code=RefusalCode.GROUP_FAILED,
            text=f"transfer {culprit} of its group was refused ({code})",
        )
        for position, one in enumerate(group)
    ]
