"""The ledger's judge against a twin that knows only rows; any order, any mixture of requests."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.twin.ledger_twin import TwinLedger
from westward.ledger.accounts import (
    AMOUNT_MOST,
    BALANCE_MOST,
    Account,
    AccountKind,
    AccountRefused,
    Balances,
    Opened,
    amount_text,
    judge_account,
)
from westward.ledger.audit import audit
from westward.ledger.batch import Book, judge_batch
from westward.ledger.transfers import (
    Accepted,
    HoldState,
    RefusalCode,
    Refused,
    Transfer,
    TransferKind,
)

K = TransferKind
ACCOUNTS = (
    Account(account_id="out", kind=AccountKind.EXTERNAL, unit="CNY", overdraft=True),
    Account(account_id="pot", kind=AccountKind.POT, unit="CNY"),
    Account(account_id="grant", kind=AccountKind.GRANT, unit="CNY"),
    Account(account_id="site", kind=AccountKind.SITE, unit="CNY"),
    Account(account_id="hours", kind=AccountKind.POT, unit="device-ms", overdraft=True),
)
NAMES = st.sampled_from([*(one.account_id for one in ACCOUNTS), "nobody"])
IDS = st.integers(0, 25).map(lambda number: f"t{number}")
AMOUNTS = st.integers(1, 60)


@st.composite
def requests(draw: st.DrawFn, group: str = "") -> Transfer:
    kind = draw(st.sampled_from([K.POSTED, K.PENDING, K.PENDING, K.POST, K.POST, K.VOID, K.EXPIRE]))
    transfer_id = draw(IDS)
    common = {"group_id": group, "run_id": draw(st.sampled_from(["", "r1"]))}
    if kind in (K.POSTED, K.PENDING):
        debit = draw(NAMES)
        credit = draw(NAMES.filter(lambda name: name != debit))
        corrects = draw(st.one_of(st.just(""), IDS)) if kind is K.POSTED else ""
        expires = st.one_of(st.none(), st.integers(0, 120))
        return Transfer(
            transfer_id=transfer_id, kind=kind, debit=debit, credit=credit, amount=draw(AMOUNTS),
            corrects=corrects, reason="wrong meter" if corrects else "",
            expires_ms=draw(expires) if kind is K.PENDING else None, **common,
        )  # fmt: skip
    pending_id = draw(IDS)
    if kind is K.EXPIRE:
        transfer_id = f"expire:{pending_id}"
    amount = draw(AMOUNTS) if kind is K.POST else 0
    return Transfer(
        transfer_id=transfer_id, kind=kind, pending_id=pending_id, amount=amount, **common
    )


GROUPS = st.integers(0, 6).flatmap(
    lambda number: st.lists(requests(group=f"g{number}"), min_size=1, max_size=4)
)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.book, self.twin, self.now_ms = Book(), TwinLedger(), 1
        self.times: list[int] = []
        self.asked: list[list[Transfer]] = []

    @initialize(funds=st.integers(0, 300))
    def fund(self, funds: int) -> None:
        for account in ACCOUNTS:
            self.book.open(account)
            self.twin.accounts[account.account_id] = account
        if funds:
            money = Transfer(
                transfer_id="fund", kind=K.POSTED, debit="out", credit="pot", amount=funds
            )
            self.ask([[money]])

    def ask(self, groups: list[list[Transfer]]) -> None:
        """One batch. Neighbours of one group would be one group; they are asked apart."""
        batch = [one for group in groups for one in group]
        outcomes = list(judge_batch(self.book, batch, self.now_ms))
        self.times += [self.now_ms] * (len(self.book.new) - len(self.times))
        self.asked += groups
        for group in groups:
            reasons = self.twin.ask(group, self.now_ms)
            answers, outcomes = outcomes[: len(group)], outcomes[len(group) :]
            for transfer, why, answer in zip(group, reasons, answers, strict=True):
                if isinstance(answer, Accepted):
                    assert not why, (transfer, why)
                    continue
                assert answer.transfer_id == transfer.transfer_id
                code = answer.code.value
                same = code in ("id-with-other-content", "group-with-other-content")
                assert code in why or (same and "differs" in why), (transfer, answer, why)

    @rule(singles=st.lists(requests(), min_size=1, max_size=6))
    def batch(self, singles: list[Transfer]) -> None:
        self.ask([[one] for one in singles])

    @rule(group=GROUPS)
    def linked(self, group: list[Transfer]) -> None:
        self.ask([group])

    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        """The same request, whatever became of it."""
        if not self.asked:
            return
        self.ask([data.draw(st.sampled_from(self.asked))])

    @rule(data=st.data())
    def again_otherwise(self, data: st.DataObject) -> None:
        if not self.asked:
            return
        group = data.draw(st.sampled_from(self.asked))
        at = data.draw(st.integers(0, len(group) - 1))
        self.ask([[*group[:at], replace(group[at], run_id="other"), *group[at + 1 :]]])

    @rule(data=st.data())
    def a_part_of_a_group_again(self, data: st.DataObject) -> None:
        groups = [group for group in self.asked if len(group) > 1]
        if not groups:
            return
        group = data.draw(st.sampled_from(groups))
        self.ask([group[: data.draw(st.integers(1, len(group) - 1))]])

    @rule(data=st.data(), amount=AMOUNTS)
    def end_something(self, data: st.DataObject, amount: int) -> None:
        """Drawn requests seldom meet a pending transfer; these always do."""
        if not self.book.holds:
            return
        pending_id = data.draw(st.sampled_from(sorted(self.book.holds)))
        kind = data.draw(st.sampled_from([K.POST, K.POST, K.VOID, K.EXPIRE]))
        transfer_id = f"expire:{pending_id}" if kind is K.EXPIRE else data.draw(IDS)
        amount = amount if kind is K.POST else 0
        one = Transfer(transfer_id=transfer_id, kind=kind, pending_id=pending_id, amount=amount)
        self.ask([[one]])

    @rule(ms=st.integers(1, 20))
    def wait(self, ms: int) -> None:
        self.now_ms += ms

    @rule(data=st.data(), early_ms=st.integers(0, 1))
    def wait_for_an_expiry(self, data: st.DataObject, early_ms: int) -> None:
        ends = [one.expires_ms for one in self.book.holds.values() if one.state is HoldState.OPEN]
        later = sorted({end for end in ends if end is not None and end > self.now_ms + early_ms})
        if not later:
            return
        self.now_ms = data.draw(st.sampled_from(later)) - early_ms

    @invariant()
    def balances_follow_from_the_rows(self) -> None:
        for name, balances in self.book.balances.items():
            assert balances == self.twin.balances(name)
            assert min(balances) >= 0
            if not self.book.accounts[name].overdraft:
                assert balances.available >= 0
        assert [one.transfer.transfer_id for one in self.book.new] == [
            one.asked.transfer_id for one in self.twin.rows
        ]
        for name, hold in self.book.holds.items():
            assert hold.left == self.twin.left(name)
            assert (hold.state is HoldState.OPEN) == (self.twin.ended(name) is None)

    @invariant()
    def the_auditor_agrees(self) -> None:
        assert audit(*as_rows(self.book, self.times)).faults == ()


def as_rows(
    book: Book, times: list[int]
) -> tuple[list[dict[str, object]], list[dict[str, object]], list[dict[str, object]]]:
    """The book as a database has it."""
    accounts = [
        {"account_id": name, "unit": one.unit, "overdraft": int(one.overdraft)}
        | book.balances[name]._asdict()
        for name, one in book.accounts.items()
    ]
    transfers = []
    for seq, (entry, at_ms) in enumerate(zip(book.new, times, strict=True), 1):
        fields = asdict(entry.transfer)
        for name in ("pending_id", "group_id", "job_id", "run_id", "corrects"):
            fields[name] = fields[name] or None
        place = {"group_position": entry.group_position, "group_size": entry.group_size}
        transfers.append(fields | place | {"seq": seq, "at_ms": at_ms, "kind": str(fields["kind"])})
    holds = [
        {
            "transfer_id": name,
            "remaining": one.left,
            "expires_ms": one.expires_ms,
            "state": one.state.value,
        }
        for name, one in book.holds.items()
    ]
    return accounts, transfers, holds


LedgerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
test_any_order_of_requests = LedgerMachine.TestCase


def a_book(funds: int = 100) -> Book:
    book = Book()
    for account in ACCOUNTS:
        book.open(account)
    money = Transfer(transfer_id="fund", kind=K.POSTED, debit="out", credit="pot", amount=funds)
    judge_batch(book, [money], 1)
    return book


def one(**fields: object) -> Transfer:
    base = {"transfer_id": "t", "kind": K.POSTED, "debit": "pot", "credit": "site", "amount": 1}
    return Transfer(**{**base, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"transfer_id": ""},
        {"transfer_id": "two words"},
        {"transfer_id": "x" * 201},
        {"transfer_id": "expire:mine"},
        {"amount": 0},
        {"amount": -1},
        {"amount": True},
        {"amount": 1.0},
        {"amount": AMOUNT_MOST + 1},
        {"credit": "pot"},
        {"debit": ""},
        {"pending_id": "p"},
        {"expires_ms": 5},
        {"corrects": "fund"},
        {"kind": K.PENDING, "expires_ms": 10**30},
        {"kind": K.PENDING, "expires_ms": 5.0},
        {"kind": K.PENDING, "expires_ms": 5, "transfer_id": "x" * 194},
        {"transfer_id": "half\ud800"},
        {"kind": K.PENDING, "corrects": "fund", "reason": "no"},
        {"kind": K.POST, "pending_id": "p"},
        {"kind": K.POST, "debit": "", "credit": ""},
        {"kind": K.VOID, "debit": "", "credit": "", "pending_id": "p"},
        {"kind": K.EXPIRE, "debit": "", "credit": "", "amount": 0, "pending_id": "p"},
        {"reason": "a\0b"},
        {"reason": "\ud800"},
        {"category": "c" * 41},
    ],
)
def test_what_is_malformed_is_refused_whatever_the_books_say(fields: dict[str, object]) -> None:
    book = a_book()
    answer = judge_batch(book, [one(**fields)], 2)[0]
    assert isinstance(answer, Refused)
    assert answer.code is RefusalCode.MALFORMED
    assert len(book.new) == 1


def test_a_pending_transfer_is_posted_in_parts_and_the_rest_given_back() -> None:
    book = a_book()
    hold = one(transfer_id="p", kind=K.PENDING, amount=80, expires_ms=100, run_id="r", job_id="j")
    part = Transfer(transfer_id="p1", kind=K.POST, pending_id="p", amount=30)
    rest = Transfer(transfer_id="p2", kind=K.VOID, pending_id="p")
    answers = judge_batch(book, [hold, part, replace(part, transfer_id="p3", amount=51), rest], 2)
    assert [isinstance(answer, Accepted) for answer in answers] == [True, True, False, True]
    assert isinstance(answers[3], Accepted)
    assert (answers[3].transfer.amount, answers[3].transfer.run_id) == (50, "r")
    assert book.balances["pot"] == Balances(0, 30, 0, 100)
    assert book.balances["site"] == Balances(0, 0, 0, 30)


def test_a_balance_never_passes_what_the_database_can_hold() -> None:
    book = a_book()
    big = [
        one(transfer_id=f"b{number}", debit="out", credit="site", amount=AMOUNT_MOST)
        for number in range(10)
    ]
    answers = judge_batch(book, big, 2)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert [answer.code for answer in refused] == [RefusalCode.TOO_LARGE] * 2
    assert max(book.balances["out"]) <= BALANCE_MOST


def test_accounts_are_opened_once() -> None:
    account = ACCOUNTS[1]
    assert judge_account(account, None) == Opened(account=account, created=True)
    assert judge_account(account, account) == Opened(account=account, created=False)
    for other in (replace(account, overdraft=True), replace(account, label="new")):
        assert isinstance(judge_account(other, account), AccountRefused)
    for wrong in ({"account_id": ""}, {"unit": "two words"}, {"owner": "\0"}, {"label": "x" * 201}):
        assert isinstance(judge_account(replace(account, **wrong), None), AccountRefused)


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (1_234_567_890, "CNY", "1,234.56789"),
        (-1, "CNY", "-0.000001"),
        (5_000_000, "CNY", "5.00"),
        (0, "CNY", "0.00"),
        (3_600_000, "device-ms", "3,600,000"),
    ],
)
def test_amounts_are_written_to_the_last_millionth(amount: int, unit: str, text: str) -> None:
    assert amount_text(amount, unit) == text
