"""Transfers between accounts, and the one judge of whether a transfer may be.

A transfer is ``posted`` at once, or ``pending``: it then holds its amount until it is posted (in
parts, if need be), voided or expired. The judge is pure: it is shown the accounts, balances and
earlier transfers that matter, and answers what the transfer does or why it may not. Its ids are
made by the caller, so that every request may be repeated. See docs/decisions/0032.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, TypeAlias

from westward.ledger.accounts import (
    AMOUNT_MOST,
    BALANCE_MOST,
    ID_MOST_CHARS,
    UNKEEPABLE,
    Account,
    Balances,
    can_be_kept,
    well_formed_id,
)

CATEGORY_MOST_CHARS = 40
REASON_MOST_CHARS = 1_000
GROUP_MOST = 1_000
"""Transfers in one linked group."""
EXPIRY_PREFIX = "expire:"
"""Ids of the sweep's transfers; nobody else may use it."""


class TransferKind(StrEnum):
    POSTED = "posted"
    """Takes effect at once."""
    PENDING = "pending"
    """Holds its amount."""
    POST = "post"
    """Takes a part of what a pending transfer holds, or all of it."""
    VOID = "void"
    """Gives back what a pending transfer still holds."""
    EXPIRE = "expire"
    """The same, because its time is over."""


_OF_A_PENDING = (TransferKind.POST, TransferKind.VOID, TransferKind.EXPIRE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One transfer as it is asked for, and (completed) as it is kept for ever.

    Of a ``post``, ``void`` or ``expire`` the accounts, and the category, job and run where they are
    blank, are those of the pending transfer. The amount of a ``void`` or ``expire`` is given as 0
    and kept as what was left.
    """

    transfer_id: str
    kind: TransferKind
    debit: str = ""
    """Id of the account that pays."""
    credit: str = ""
    amount: int = 0
    """In the accounts' unit, above 0."""
    pending_id: str = ""
    expires_ms: int | None = None
    """Of a pending one: from then on it can only expire. None: never."""
    group_id: str = ""
    """Neighbours in a batch with the same group are accepted together or not at all."""
    category: str = ""
    """What is paid for: ``compute``, ``power``, ``funding``, …"""
    job_id: str = ""
    run_id: str = ""
    corrects: str = ""
    """Id of the transfer that this one corrects; needs a reason."""
    reason: str = ""


class HoldState(StrEnum):
    OPEN = "open"
    POSTED = "posted"
    """All of it was posted."""
    VOIDED = "voided"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """How a pending transfer stands. ``left``: neither posted nor given back yet."""

    transfer_id: str
    left: int
    expires_ms: int | None
    state: HoldState


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A transfer that was accepted."""

    transfer: Transfer
    group_position: int = 0
    group_size: int = 0
    """0: it came alone."""


class RefusalCode(StrEnum):
    """Stable codes; texts may change."""

    MALFORMED = "transfer-malformed"
    UNKNOWN_ACCOUNT = "account-unknown"
    OTHER_UNIT = "unit-differs"
    NOT_ENOUGH = "not-enough-money"
    TOO_LARGE = "balance-too-large"
    OTHER_CONTENT = "id-with-other-content"
    UNKNOWN_PENDING = "pending-unknown"
    NOT_PENDING = "not-a-pending-transfer"
    CLOSED = "pending-closed"
    EXPIRED = "pending-expired"
    MORE_THAN_HELD = "more-than-held"
    NOT_DUE = "not-expired-yet"
    PAST = "expires-in-the-past"
    CORRECTS_NOTHING = "correction-of-nothing"
    CORRECTS_OTHERS = "correction-between-others"
    GROUP_KNOWN = "group-with-other-content"
    GROUP_FAILED = "group-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing of it was kept; it may come again."""

    transfer_id: str
    code: RefusalCode
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """``transfer`` is as it is kept. ``repeated``: it was there before, and nothing changed."""

    transfer: Transfer
    repeated: bool = False


Outcome: TypeAlias = Accepted | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What an acceptable transfer does: a row, a change of two accounts, how its hold then
    stands."""

    transfer: Transfer
    debit: Balances
    credit: Balances
    hold: Hold | None


class Books(Protocol):
    """What the judge may look at."""

    @property
    def accounts(self) -> Mapping[str, Account]: ...
    @property
    def balances(self) -> Mapping[str, Balances]: ...
    @property
    def recorded(self) -> Mapping[str, Recorded]: ...
    @property
    def holds(self) -> Mapping[str, Hold]:
        """By the id of the pending transfer."""
        ...


def judge(books: Books, transfer: Transfer, now_ms: int) -> Effects | Accepted | Refused:
    """What ``transfer`` does, ``Accepted`` if it was accepted before, or why it may not be.

    ``books`` must hold the transfer of the same id, its accounts, and the transfers it names with
    their accounts and hold, as far as they exist. Groups are ``batch.judge_batch``'s matter.
    """
    problem = form_problem(transfer)
    if problem is not None:
        return _refuse(transfer, RefusalCode.MALFORMED, problem)
    known = books.recorded.get(transfer.transfer_id)
    if known is not None:
        return repeated(books, transfer, known)
    if transfer.kind in _OF_A_PENDING:
        return _judge_end(books, transfer, now_ms)
    return _judge_start(books, transfer, now_ms)


def repeated(books: Books, transfer: Transfer, known: Recorded) -> Accepted | Refused:
    """Whether it is the same transfer as ``known``, which has its id."""
    asked = transfer
    if transfer.kind in _OF_A_PENDING:
        pending = books.recorded.get(transfer.pending_id)
        if pending is not None:
            asked = completed(transfer, pending.transfer)
        if transfer.kind is not TransferKind.POST:
            asked = replace(asked, amount=known.transfer.amount)
    if asked == known.transfer:
        return Accepted(transfer=known.transfer, repeated=True)
    return _refuse(
        transfer,
        RefusalCode.OTHER_CONTENT,
        f"transfer {transfer.transfer_id} is known with other content",
    )


def completed(transfer: Transfer, pending: Transfer) -> Transfer:
    """A ``post``, ``void`` or ``expire`` with what it takes over from its pending transfer."""
    return replace(
        transfer,
        debit=pending.debit,
        credit=pending.credit,
        category=transfer.category or pending.category,
        job_id=transfer.job_id or pending.job_id,
        run_id=transfer.run_id or pending.run_id,
    )


def form_problem(transfer: Transfer) -> str | None:
    """What is wrong with it whatever the books say, in a sentence without its full stop."""
    if not well_formed_id(transfer.transfer_id):
        return f"a transfer's id has 1 to {ID_MOST_CHARS} printable characters without spaces"
    kind = transfer.kind
    if (kind is TransferKind.EXPIRE) != transfer.transfer_id.startswith(EXPIRY_PREFIX):
        return f"ids that begin with {EXPIRY_PREFIX} are for transfers that expire, and only those"
    if type(transfer.amount) is not int:
        return "an amount is an integer"
    if kind in _OF_A_PENDING:
        if not transfer.pending_id:
            return f"a transfer of kind {kind} names a pending one"
        if transfer.debit or transfer.credit:
            return f"a transfer of kind {kind} takes its accounts from the pending one"
        if transfer.corrects:
            return "a correction is a transfer of its own, of kind posted"
    else:
        if transfer.pending_id:
            return f"a transfer of kind {kind} cannot name a pending one"
        if not transfer.debit or not transfer.credit:
            return "a transfer has a debit and a credit account"
        if transfer.debit == transfer.credit:
            return "a transfer is between two accounts"
        if transfer.corrects and kind is not TransferKind.POSTED:
            return "a correction is of kind posted"
        if transfer.corrects and not transfer.reason.strip():
            return "a correction gives its reason"
    if kind in (TransferKind.VOID, TransferKind.EXPIRE):
        if transfer.amount != 0:
            return f"a transfer of kind {kind} gives back all that is left; leave its amount at 0"
    elif not 0 < transfer.amount <= AMOUNT_MOST:
        return f"an amount is above 0 and at most {AMOUNT_MOST}"
    if transfer.expires_ms is not None:
        if kind is not TransferKind.PENDING:
            return "only a pending transfer expires"
        if type(transfer.expires_ms) is not int or abs(transfer.expires_ms) > BALANCE_MOST:
            return "a time is an integer, in milliseconds"
        if len(EXPIRY_PREFIX) + len(transfer.transfer_id) > ID_MOST_CHARS:
            most = ID_MOST_CHARS - len(EXPIRY_PREFIX)
            return f"the id of a transfer that may expire has at most {most} characters"
    return _text_problem(transfer)


def _text_problem(transfer: Transfer) -> str | None:
    for name in ("pending_id", "group_id", "job_id", "run_id", "corrects"):
        text = getattr(transfer, name)
        if text and not well_formed_id(text):
            return f"{name} has at most {ID_MOST_CHARS} printable characters without spaces"
    if len(transfer.category) > CATEGORY_MOST_CHARS:
        return f"a category has at most {CATEGORY_MOST_CHARS} characters"
    if len(transfer.reason) > REASON_MOST_CHARS:
        return f"a reason has at most {REASON_MOST_CHARS} characters"
    if not (can_be_kept(transfer.category) and can_be_kept(transfer.reason)):
        return UNKEEPABLE
    return None


def _judge_start(books: Books, transfer: Transfer, now_ms: int) -> Effects | Refused:
    """A posted or a pending one."""
    for name in (transfer.debit, transfer.credit):
        if name not in books.accounts:
            return _refuse(transfer, RefusalCode.UNKNOWN_ACCOUNT, f"there is no account {name}")
    payer, payee = books.accounts[transfer.debit], books.accounts[transfer.credit]
    if payer.unit != payee.unit:
        return _refuse(
            transfer,
            RefusalCode.OTHER_UNIT,
            f"{payer.account_id} counts {payer.unit}, {payee.account_id} counts {payee.unit}",
        )
    if transfer.corrects:
        wrong = _correction_problem(books, transfer)
        if wrong is not None:
            return wrong
    amount = transfer.amount
    if transfer.kind is TransferKind.PENDING:
        if transfer.expires_ms is not None and transfer.expires_ms <= now_ms:
            return _refuse(transfer, RefusalCode.PAST, "it would have expired before it began")
        hold = Hold(
            transfer_id=transfer.transfer_id,
            left=amount,
            expires_ms=transfer.expires_ms,
            state=HoldState.OPEN,
        )
    else:
        hold = None
    available = books.balances[payer.account_id].available
    if not payer.overdraft and available < amount:
        return _refuse(
            transfer,
            RefusalCode.NOT_ENOUGH,
            f"{payer.account_id} has {available} left, {amount} is asked for",
        )
    return _within_bounds(books, transfer, hold)


def _correction_problem(books: Books, transfer: Transfer) -> Refused | None:
    wrong = books.recorded.get(transfer.corrects)
    if wrong is None or wrong.transfer.kind not in (TransferKind.POSTED, TransferKind.POST):
        return _refuse(
            transfer,
            RefusalCode.CORRECTS_NOTHING,
            f"{transfer.corrects} is no transfer that was posted",
        )
    if {wrong.transfer.debit, wrong.transfer.credit} != {transfer.debit, transfer.credit}:
        return _refuse(
            transfer,
            RefusalCode.CORRECTS_OTHERS,
            f"{transfer.corrects} is between {wrong.transfer.debit} and {wrong.transfer.credit}",
        )
    return None


def _judge_end(books: Books, transfer: Transfer, now_ms: int) -> Effects | Refused:
    """A post, void or expire."""
    pending_id = transfer.pending_id
    pending = books.recorded.get(pending_id)
    if pending is None:
        return _refuse(transfer, RefusalCode.UNKNOWN_PENDING, f"there is no transfer {pending_id}")
    if pending.transfer.kind is not TransferKind.PENDING:
        return _refuse(
            transfer,
            RefusalCode.NOT_PENDING,
            f"{pending_id} is of kind {pending.transfer.kind}, not pending",
        )
    hold = books.holds[pending_id]
    if hold.state is HoldState.EXPIRED:
        return _refuse(transfer, RefusalCode.EXPIRED, f"{pending_id} has expired")
    if hold.state is not HoldState.OPEN:
        return _refuse(transfer, RefusalCode.CLOSED, f"{pending_id} was {hold.state} already")
    over = hold.expires_ms is not None and hold.expires_ms <= now_ms
    whole = completed(transfer, pending.transfer)
    if transfer.kind is TransferKind.POST:
        if over:
            return _refuse(transfer, RefusalCode.EXPIRED, f"{pending_id} has expired")
        if transfer.amount > hold.left:
            return _refuse(
                transfer,
                RefusalCode.MORE_THAN_HELD,
                f"{pending_id} holds {hold.left} still, {transfer.amount} is asked for",
            )
        left = hold.left - transfer.amount
        state = HoldState.OPEN if left else HoldState.POSTED
    elif transfer.kind is TransferKind.EXPIRE and not over:
        return _refuse(transfer, RefusalCode.NOT_DUE, f"{pending_id} has not expired yet")
    else:
        # Voiding what has expired but was not swept gives the same back: it is not refused.
        left = 0
        voids = transfer.kind is TransferKind.VOID
        state = HoldState.VOIDED if voids else HoldState.EXPIRED
        whole = replace(whole, amount=hold.left)
    after = Hold(transfer_id=pending_id, left=left, expires_ms=hold.expires_ms, state=state)
    return _within_bounds(books, whole, after)


def change_of(kind: TransferKind, amount: int, *, pays: bool) -> Balances:
    """What an accepted transfer adds to the balances of its debit (``pays``) or credit account."""
    pending = amount if kind is TransferKind.PENDING else 0
    posted = amount if kind in (TransferKind.POSTED, TransferKind.POST) else 0
    if kind in _OF_A_PENDING:
        pending = -amount
    return Balances(pending, posted, 0, 0) if pays else Balances(0, 0, pending, posted)


def _within_bounds(books: Books, transfer: Transfer, hold: Hold | None) -> Effects | Refused:
    debit = change_of(transfer.kind, transfer.amount, pays=True)
    credit = change_of(transfer.kind, transfer.amount, pays=False)
    for name, change in ((transfer.debit, debit), (transfer.credit, credit)):
        after = books.balances[name].plus(change)
        debits = after.debits_pending + after.debits_posted
        if max(debits, after.credits_pending + after.credits_posted) > BALANCE_MOST:
            return _refuse(
                transfer, RefusalCode.TOO_LARGE, f"{name} would pass {BALANCE_MOST}, the most kept"
            )
    return Effects(transfer=transfer, debit=debit, credit=credit, hold=hold)


def _refuse(transfer: Transfer, code: RefusalCode, text: str) -> Refused:
    return Refused(transfer_id=transfer.transfer_id, code=code, text=text)
