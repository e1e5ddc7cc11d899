"""Everything that may be wrong with a transfer, asked of the ledger at once; nobody in the server asks so.

Each step states what must come of it: that it is kept, that it was kept before, or the stable code
of its refusal. After a refusal nothing may have changed, by the rows. At the end two accounts have
what was counted here by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from westward.faultsim.build import UNIT, epoch_ms
from westward.faultsim.checkers import Broken
from westward.ledger.accounts import Account, AccountKind, AccountRefused
from westward.ledger.transfers import Refused, Transfer, TransferKind
from westward.server.core import Core
from westward.store.database import Store
from westward.store.ledger import open_accounts, post

if TYPE_CHECKING:
    from westward.faultsim.acts import Acting

LATER_MS = 10 * 24 * 3_600_000
"""When what is held here would expire: far beyond any world."""
BROKEN: Any = 1.5
"""No whole number: what a caller without types might hand over."""
MOST = 10**18
"""Of one transfer; nine of them fill a balance."""
OK, AGAIN, FAILED = "kept", "kept before", "group-failed"
HAVE = {"a": (863, 0), "b": (137, 0)}
"""At the end: posted, held. 1,000 came; 100 of a hold of 300, 30 of a group's hold and 7 went over."""
_STATE = (
    "SELECT (SELECT COUNT(*) FROM ledger_transfers), (SELECT MAX(seq) FROM ledger_transfers), "
    "(SELECT COUNT(*) FROM ledger_accounts), (SELECT SUM(version) FROM ledger_accounts), "
    "(SELECT SUM(remaining) FROM ledger_holds), (SELECT GROUP_CONCAT(state) FROM ledger_holds)"
)


async def ask_all(one: Acting, core: Core) -> None:
    """An act, as in ``acts``: in one go of the writer, so that it is done as a whole or not at all."""
    now_ms = epoch_ms(one.scenario) + one.act.at_ms
    await core.write(keep_books, core.store, f"book:{one.name}", now_ms)


def keep_books(store: Store, name: str, now_ms: int) -> None:
    """Raises Broken. A second time everything is known, and nothing changes."""
    began = _state(store)
    known = _rows(store, "SELECT 1 FROM ledger_accounts WHERE account_id = ?", f"{name}:a") != []
    _open(store, name, now_ms)
    for at_ms, transfers, wanted in _steps(name, now_ms):
        if known and OK not in wanted:  # what was too much then need not be so now
            continue
        before = _state(store)
        told = [_told(outcome) for outcome in post(store, transfers, at_ms)]
        shown = f"{[one.transfer_id[:60] for one in transfers[:5]]}: {told[:5]}"
        if known:
            if told != [AGAIN] * len(wanted):
                raise Broken("ledger-answers", f"{shown}, a second time, not as {wanted[:5]}")
        elif told != list(wanted):
            raise Broken("ledger-answers", f"{shown}, not {wanted[:5]}")
        if OK not in told and _state(store) != before:
            raise Broken("refused-and-changed", f"{shown}: {before} → {_state(store)}")
    if known and _state(store) != began:
        raise Broken("refused-and-changed", f"all of {name} was known, and something changed")
    for who, (posted, held) in HAVE.items():
        query = (
            "SELECT credits_posted - debits_posted, debits_pending FROM ledger_accounts "
            "WHERE account_id = ?"
        )
        found = _rows(store, query, f"{name}:{who}")
        if found != [(posted, held)]:
            raise Broken("balance-wrong", f"{name}:{who} has {found}, not {(posted, held)}")


def _told(outcome: Any) -> str:
    if isinstance(outcome, Refused):
        return outcome.code.value
    return AGAIN if outcome.repeated else OK


def _rows(store: Store, query: str, *values: object) -> list[tuple[Any, ...]]:
    with store.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query, values)]


def _state(store: Store) -> list[tuple[Any, ...]]:
    return _rows(store, _STATE)


# -- accounts ---------------------------------------------------------------------------------


def _accounts(name: str) -> list[Account]:
    def made(who: str, unit: str, *, overdraft: bool) -> Account:
        kind = AccountKind.EXTERNAL if overdraft else AccountKind.PROJECT
        return Account(account_id=f"{name}:{who}", kind=kind, unit=unit, overdraft=overdraft)

    return [
        made("open", UNIT, overdraft=True), made("a", UNIT, overdraft=False),
        made("b", UNIT, overdraft=False), made("h", "h", overdraft=True),
        made("full", "grain", overdraft=True), made("brim", "grain", overdraft=True),
    ]  # fmt: skip


def _open(store: Store, name: str, now_ms: int) -> None:
    sound = _accounts(name)
    one = sound[1]
    wrong = [
        (replace(one, overdraft=True), "account-with-other-content"),
        (replace(one, account_id=""), "account-malformed"),
        (replace(one, account_id=f"{name} x"), "account-malformed"),
        (replace(one, account_id=f"{name}:1", unit="two words"), "account-malformed"),
        (replace(one, account_id=f"{name}:2", label="x" * 201), "account-malformed"),
        (replace(one, account_id=f"{name}:3", owner="\ud800"), "account-malformed"),
    ]
    answers = open_accounts(store, [*sound, *(account for account, _ in wrong)], now_ms)
    for answer in answers[: len(sound)]:
        if isinstance(answer, AccountRefused):
            raise Broken("ledger-answers", f"{answer.account_id}: {answer.code}")
    for answer, (_, code) in zip(answers[len(sound) :], wrong, strict=True):
        if not isinstance(answer, AccountRefused) or answer.code != code:
            raise Broken("ledger-answers", f"{answer} is not {code}")


# -- transfers --------------------------------------------------------------------------------

Step = tuple[int, Sequence[Transfer], Sequence[str]]


def _steps(name: str, now_ms: int) -> Iterator[Step]:
    """When, what, and what must come of it."""
    sound = _Asker(name)
    posted, pending = sound.posted, sound.pending
    late_ms = now_ms + LATER_MS
    yield now_ms, [posted("come", 1_000, "open", "a")], [OK]
    held = pending("p1", 300, expires_ms=late_ms)
    yield now_ms, [held, pending("p2", 50), pending("p3", 20, expires_ms=late_ms)], [OK] * 3
    paid = posted("pay", 40)
    back = replace(posted("back", 40, "b", "a"), corrects=paid.transfer_id, reason="it was wrong")
    yield now_ms, [paid, back], [OK, OK]
    for number, (wrong, code) in enumerate(_unsound(sound, now_ms, held, paid)):
        if wrong.transfer_id == f"{name}:x":
            wrong = replace(wrong, transfer_id=f"{name}:x{number}")
        yield now_ms, [wrong], [code]
    yield from _ends(sound, now_ms, late_ms, held)
    yield from _groups(sound, now_ms, paid)
    fill = [posted(f"fill{number}", MOST, "full", "brim") for number in range(9)]
    yield now_ms, fill, [OK] * 9
    yield now_ms, [posted("over", 1, "full", "brim")], ["balance-too-large"]
    yield now_ms, [pending("brim", 1, "open", "nobody")], ["account-unknown"]


class _Asker:
    """Sound transfers between the accounts of ``name``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def posted(self, own: str, amount: int, debit: str = "a", credit: str = "b") -> Transfer:
        return Transfer(
            transfer_id=f"{self.name}:{own}", kind=TransferKind.POSTED, amount=amount,
            debit=f"{self.name}:{debit}", credit=f"{self.name}:{credit}", category="book",
        )  # fmt: skip

    def pending(
        self, own: str, amount: int, debit: str = "a", credit: str = "b",
        expires_ms: int | None = None,
    ) -> Transfer:  # fmt: skip
        one = self.posted(own, amount, debit, credit)
        return replace(one, kind=TransferKind.PENDING, expires_ms=expires_ms)

    def end(self, own: str, kind: TransferKind, pending: str, amount: int = 0) -> Transfer:
        before = "expire:" if kind is TransferKind.EXPIRE else ""
        return Transfer(
            transfer_id=f"{before}{self.name}:{own}", kind=kind, amount=amount,
            pending_id=f"{self.name}:{pending}",
        )  # fmt: skip


def _unsound(
    sound: _Asker, now_ms: int, held: Transfer, paid: Transfer
) -> Iterator[tuple[Transfer, str]]:
    """One thing wrong with each. Held are 300, 50 and 20 of a's 1,000."""
    name, one = sound.name, sound.posted("x", 5)
    waits = sound.pending("x", 5)
    post_it = sound.end("x", TransferKind.POST, "p1", 5)
    void = sound.end("x", TransferKind.VOID, "p1")
    expire = sound.end("x", TransferKind.EXPIRE, "p1")
    bad: list[Transfer] = [
        replace(one, transfer_id=""), replace(one, transfer_id="has spaces"),
        replace(one, transfer_id="x" * 201), replace(one, transfer_id="expire:mine"),
        replace(expire, transfer_id=f"{name}:x"), replace(one, amount=BROKEN),
        replace(one, amount=0), replace(one, amount=-3), replace(one, amount=MOST + 1),
        replace(one, debit=""), replace(one, credit=""), replace(one, credit=one.debit),
        replace(one, pending_id=held.transfer_id), replace(post_it, pending_id=""),
        replace(post_it, debit=one.debit), replace(void, corrects=paid.transfer_id, reason="why"),
        replace(waits, corrects=paid.transfer_id, reason="why"),
        replace(one, corrects=paid.transfer_id, reason=" "), replace(void, amount=5),
        replace(one, expires_ms=now_ms + 5), replace(waits, expires_ms=BROKEN),
        replace(waits, expires_ms=10**19),
        replace(waits, transfer_id="x" * 194, expires_ms=now_ms + 5),
        replace(one, category="c" * 41), replace(one, reason="r" * 1_001),
        replace(one, reason="\0"), replace(one, category="\udc00"), replace(one, job_id="a b"),
        replace(one, group_id="g g"), replace(one, run_id="x" * 201),
        replace(one, corrects="no such", reason="why"),
    ]  # fmt: skip
    for wrong in bad:
        yield wrong, "transfer-malformed"
    yield replace(one, debit="book:nobody"), "account-unknown"
    yield replace(waits, credit="book:nobody"), "account-unknown"
    yield sound.posted("x", 5, "a", "h"), "unit-differs"
    yield sound.posted("x", 631), "not-enough-money"
    yield sound.pending("x", 631), "not-enough-money"
    yield sound.posted("x", 1, "b", "a"), "not-enough-money"
    yield replace(sound.posted("pay", 41)), "id-with-other-content"
    yield replace(held, expires_ms=None), "id-with-other-content"
    yield replace(one, corrects=f"{name}:none", reason="why"), "correction-of-nothing"
    yield replace(one, corrects=held.transfer_id, reason="why"), "correction-of-nothing"
    yield (
        replace(one, corrects=f"{name}:come", reason="why"),
        "correction-between-others",
    )
    yield replace(waits, expires_ms=now_ms), "expires-in-the-past"
    yield sound.end("x", TransferKind.POST, "none", 1), "pending-unknown"
    yield sound.end("x", TransferKind.VOID, "pay"), "not-a-pending-transfer"
    yield expire, "not-expired-yet"
    yield replace(post_it, amount=301), "more-than-held"


def _ends(sound: _Asker, now_ms: int, late_ms: int, held: Transfer) -> Iterator[Step]:
    """Of pending transfers: a part is posted, the rest expires; others are given back."""
    part = sound.end("part", TransferKind.POST, "p1", 100)
    yield now_ms, [part], [OK]
    yield now_ms, [part, replace(part, amount=101)], [AGAIN, "id-with-other-content"]
    yield late_ms, [sound.end("x", TransferKind.POST, "p1", 10)], ["pending-expired"]
    swept = replace(
        sound.end("p1", TransferKind.EXPIRE, "p1"), transfer_id=f"expire:{held.transfer_id}"
    )
    yield late_ms, [swept], [OK]
    yield late_ms, [swept, sound.end("x", TransferKind.POST, "p1", 10)], [AGAIN, "pending-expired"]
    void = sound.end("void", TransferKind.VOID, "p2")
    yield now_ms, [void], [OK]
    yield now_ms, [void, sound.end("x", TransferKind.VOID, "p2")], [AGAIN, "pending-closed"]
    # What is over and not swept yet may still be given back.
    yield late_ms, [sound.end("late", TransferKind.VOID, "p3")], [OK]


def _groups(sound: _Asker, now_ms: int, paid: Transfer) -> Iterator[Step]:
    """All of a group or none."""
    name = sound.name

    def group(own: str, *transfers: Transfer) -> list[Transfer]:
        return [replace(one, group_id=f"{name}:{own}") for one in transfers]

    whole = group(
        "g", sound.pending("g1", 30), sound.end("g2", TransferKind.POST, "g1", 30),
        sound.posted("g3", 7),
    )  # fmt: skip
    yield now_ms, whole, [OK] * 3
    yield now_ms, whole, [AGAIN] * 3
    yield now_ms, whole[:2], ["group-with-other-content", FAILED]
    yield now_ms, [whole[0], whole[2], whole[1]], [FAILED, "group-with-other-content", FAILED]
    other = [*whole[:2], replace(whole[2], amount=8)]
    yield now_ms, other, [FAILED, FAILED, "id-with-other-content"]
    long = [whole[0], replace(whole[1], category="c" * 41), whole[2]]
    yield now_ms, long, [FAILED, "transfer-malformed", FAILED]
    held = sound.pending("h1", 60)
    too_much = sound.posted("h3", 5_000)
    yield now_ms, [held], [OK]
    part = sound.end("h2", TransferKind.POST, "h1", 20)
    failing = group("f", sound.pending("h4", 9), part, too_much)
    yield now_ms, failing, [FAILED, FAILED, "not-enough-money"]
    known = group("k", sound.posted("h5", 3), paid)
    yield now_ms, known, [FAILED, "id-with-other-content"]
    twice = group("t", sound.posted("h7", 2), sound.posted("h7", 2))
    yield now_ms, twice, [FAILED, "id-with-other-content"]
    many = group("m", *(sound.posted(f"m{number}", 1) for number in range(1_001)))
    yield now_ms, many, ["transfer-malformed", *[FAILED] * 1_000]
    yield now_ms, [sound.end("h6", TransferKind.VOID, "h1")], [OK]
