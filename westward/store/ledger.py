"""Posting to the ledger: accounts, batches of transfers, expiry. Reading: ``ledger_reading``.

One transaction a batch: lock the accounts, load what the transfers touch, let the pure judge
decide, write rows and balances. Rows are only ever added. Every update names the version it was
decided on, so that a mistake in the locking could lose no money unseen. See docs/decisions/0032.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError, OperationalError

from westward.ledger.accounts import (
    ZERO,
    Account,
    AccountRefused,
    Balances,
    Opened,
    judge_account,
)
from westward.ledger.batch import Book, judge_batch
from westward.ledger.transfers import (
    EXPIRY_PREFIX,
    Accepted,
    Hold,
    Outcome,
    Recorded,
    Transfer,
    TransferKind,
)
from westward.store import ledger_postgres, ledger_sqlite
from westward.store.database import Store
from westward.store.ledger_driver import Found, Made, asked
from westward.store.ledger_rows import (
    account_values,
    among,
    read_account,
    read_balances,
    read_hold,
    read_recorded,
    statements_for,
    transfer_values,
)
from westward.store.money_schema import LEDGER_ACCOUNTS

BATCH_MOST = 500
"""Transfers in one batch of ``post_each``; whoever asks for more is a batch of his own."""
TRIES = 8
"""Another process may have taken the same id, or locked our rows the other way round."""
EXPIRED_MOST = 1_000
"""Transfers that one sweep lets expire."""
_DEADLOCK = "40P01"
T = TypeVar("T")


class _Again(Exception):
    """A transfer was committed by another process between two looks; look once more."""


def open_accounts(
    store: Store, accounts: Sequence[Account], now_ms: int
) -> tuple[Opened | AccountRefused, ...]:
    """One answer an account, in order. One that is open already is opened again without change."""

    def work(connection: Connection) -> tuple[Opened | AccountRefused, ...]:
        found = connection.execute(
            statements_for(connection).accounts,
            among(connection, ids=[one.account_id for one in accounts]),
        )
        known = {row["account_id"]: read_account(row) for row in found.mappings()}
        answers: list[Opened | AccountRefused] = []
        for account in accounts:
            answer = judge_account(account, known.get(account.account_id))
            answers.append(answer)
            if isinstance(answer, Opened):
                known[account.account_id] = account
        fresh = [
            account_values(one.account, now_ms)
            for one in answers
            if isinstance(one, Opened) and one.created
        ]
        if fresh:
            connection.execute(insert(LEDGER_ACCOUNTS), fresh)
        return tuple(answers)

    return _in_one_transaction(store, work)


def post(store: Store, transfers: Sequence[Transfer], now_ms: int) -> tuple[Outcome, ...]:
    """One outcome a transfer, in order; what was accepted is durable, whole groups or none.

    Alone, or within ``Store.together``. Each transfer sees those before it in the batch. Sorting
    busy accounts' transfers into one batch is worth it: an account changes once a batch. Raises
    what the database raises when it fails; then nothing was accepted, and the same batch may be
    sent again.
    """
    if not transfers:
        return ()
    last = not store.sharing
    return _in_one_transaction(store, lambda connection: _post(connection, transfers, now_ms, last))


def post_each(
    store: Store, asked: Sequence[Sequence[Transfer]], now_ms: int
) -> list[tuple[Outcome, ...]]:
    """The outcomes of each of those who ask, as if one had posted after another; in as few batches as
    can be, each as ``post``. What one is refused takes nothing of the others."""
    outcomes: list[tuple[Outcome, ...]] = []
    while len(outcomes) < len(asked):
        batch = _side_by_side(asked[len(outcomes) :])
        answers = post(store, [one for transfers in batch for one in transfers], now_ms)
        at = 0
        for transfers in batch:
            outcomes.append(answers[at : at + len(transfers)])
            at += len(transfers)
    return outcomes


def _side_by_side(asked: Sequence[Sequence[Transfer]]) -> Sequence[Sequence[Transfer]]:
    """The first of them, at least one. A group that is asked for twice goes into two batches: side by
    side it would be taken for one larger group."""
    groups: set[str] = set()
    count = 0
    for number, transfers in enumerate(asked):
        mine = {one.group_id for one in transfers} - {""}
        count += len(transfers)
        if number and (count > BATCH_MOST or mine & groups):
            return asked[:number]
        groups |= mine
    return asked


def expire_due(store: Store, now_ms: int, most: int = EXPIRED_MOST) -> tuple[Transfer, ...]:
    """Gives back what pending transfers still hold whose time is over, the longest over first.

    Returns the transfers made; call again while there are ``most``.
    """
    with store.read() as connection:
        due = connection.execute(
            statements_for(connection).due, {"now_ms": now_ms, "most": most}
        ).scalars()
        expiring = [
            Transfer(
                transfer_id=f"{EXPIRY_PREFIX}{pending_id}",
                kind=TransferKind.EXPIRE,
                pending_id=pending_id,
            )
            for pending_id in due
        ]
    # Refused is what somebody voided or let expire meanwhile.
    outcomes = post(store, expiring, now_ms)
    return tuple(one.transfer for one in outcomes if isinstance(one, Accepted) and not one.repeated)


def _in_one_transaction(store: Store, work: Callable[[Connection], T]) -> T:
    for attempt in range(1, TRIES + 1):
        try:
            with store.write() as connection:
                return work(connection)
        except (_Again, IntegrityError):
            if attempt == TRIES:
                raise
        except OperationalError as error:
            deadlock = getattr(error.orig, "sqlstate", None) == _DEADLOCK
            if store.sharing or not deadlock or attempt == TRIES:
                raise
    raise AssertionError("not reached")


def _post(
    connection: Connection, transfers: Sequence[Transfer], now_ms: int, last: bool
) -> tuple[Outcome, ...]:
    dialect = ledger_sqlite if connection.dialect.name == "sqlite" else ledger_postgres
    pendings = {one.pending_id for one in transfers}
    found = dialect.look(
        connection,
        asked(
            accounts={one.debit for one in transfers} | {one.credit for one in transfers},
            pendings=pendings,
            transfers={one.transfer_id for one in transfers}
            | {one.corrects for one in transfers}
            | pendings,
            groups={one.group_id for one in transfers},
        ),
    )
    book, versions = _book(found, pendings)
    balances, holds = dict(book.balances), dict(book.holds)
    outcomes = judge_batch(book, transfers, now_ms)
    if book.new:
        made = _made(book, balances, holds, versions, now_ms)
        dialect.keep(connection, made, last=last)
    return outcomes


def _book(found: Found, pendings: set[str]) -> tuple[Book, dict[str, int]]:
    """What the judge needs, and the version of each account."""
    book, versions = Book(groups=set(found.groups)), {}
    for row in found.accounts:
        account = read_account(row)
        book.accounts[account.account_id] = account
        book.balances[account.account_id] = read_balances(row)
        versions[account.account_id] = row["version"]
    for row in found.transfers:
        recorded: Recorded = read_recorded(row)
        transfer = recorded.transfer
        book.recorded[transfer.transfer_id] = recorded
        hold = read_hold(row)
        if hold is not None:
            book.holds[transfer.transfer_id] = hold
            if transfer.transfer_id in pendings and not (
                transfer.debit in versions and transfer.credit in versions
            ):
                raise _Again
    return book, versions


def _made(
    book: Book,
    balances: dict[str, Balances],
    holds: dict[str, Hold],
    versions: dict[str, int],
    now_ms: int,
) -> Made:
    """What the judge decided, against what the books held before."""
    new_holds, changed_holds, changed_balances = [], [], []
    for transfer_id, hold in book.holds.items():
        old = holds.get(transfer_id)
        values = {"remaining": hold.left, "state": hold.state.value}
        if old is None:
            new_holds.append({"transfer_id": transfer_id, "expires_ms": hold.expires_ms, **values})
        elif hold != old:
            changed_holds.append({"of": transfer_id, "seen": old.left, **values})
    for account_id in sorted(book.balances):
        now = book.balances[account_id]
        if now != balances.get(account_id, ZERO):
            seen = versions[account_id]
            changed_balances.append(
                {"of": account_id, "seen": seen, "next": seen + 1} | now._asdict()
            )
    return Made(
        transfers=[transfer_values(recorded, now_ms) for recorded in book.new],
        holds=new_holds,
        changed_holds=changed_holds,
        changed_balances=changed_balances,
    )
