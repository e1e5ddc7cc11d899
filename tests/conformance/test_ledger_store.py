"""The ledger over real databases: the same answers as the pure book, and rows that stay."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError

from tests.databases import DATABASES, new_database
from tests.properties.test_ledger import ACCOUNTS, GROUPS, one, requests
from westward.ledger.accounts import AccountKind, AccountRefused, Balances, Opened
from westward.ledger.batch import Book, judge_batch
from westward.ledger.transfers import (
    Accepted,
    Outcome,
    RefusalCode,
    Refused,
    Transfer,
    TransferKind,
)
from westward.server.writer import Bulk, Writer
from westward.store import Store, ledger, ledger_reading, open_store
from westward.store.ledger_audit import audit_ledger
from westward.store.money_schema import METADATA

K = TransferKind
MONEY = Transfer(transfer_id="fund", kind=K.POSTED, debit="out", credit="pot", amount=100)


@pytest.fixture(params=DATABASES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(new_database(request.param, tmp_path))
    answers = ledger.open_accounts(opened, ACCOUNTS, 1)
    assert all(isinstance(answer, Opened) and answer.created for answer in answers)
    assert isinstance(ledger.post(opened, [MONEY], 1)[0], Accepted)
    yield opened
    opened.close()


def of(store: Store, account_id: str) -> Balances:
    return ledger_reading.balances_of(store, [account_id])[account_id].balances


def test_migrations_lead_to_the_declared_tables(store: Store) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_an_account_is_opened_once_and_never_otherwise(store: Store) -> None:
    again = ledger.open_accounts(store, [ACCOUNTS[1], replace(ACCOUNTS[1], label="other")], 2)
    assert again[0] == Opened(account=ACCOUNTS[1], created=False)
    assert isinstance(again[1], AccountRefused)
    assert ledger_reading.balances_of(store, ["pot", "nobody"]).keys() == {"pot"}


@pytest.mark.parametrize("kind", DATABASES)
def test_a_database_and_the_book_in_memory_give_the_same_answers(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("same")

    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(
        batches=st.lists(
            st.tuples(
                st.lists(st.one_of(requests(), requests(), requests()), max_size=6),
                GROUPS,
                st.integers(0, 40),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def same(batches: list[tuple[list[Transfer], list[Transfer], int]]) -> None:
        store, book, now_ms = open_store(new_database(kind, folder)), Book(), 1
        ledger.open_accounts(store, ACCOUNTS, 1)
        for account in ACCOUNTS:
            book.open(account)
        asked = [[MONEY]]
        for singles, group, wait_ms in batches:
            now_ms += wait_ms
            asked.append([*singles, *group, *asked[-1]])
            assert ledger.post(store, asked[-1], now_ms) == judge_batch(book, asked[-1], now_ms)
        states = ledger_reading.list_accounts(store)
        assert {one.account.account_id: one.balances for one in states} == book.balances
        assert audit_ledger(store).faults == ()
        names = [entry.transfer.transfer_id for entry in book.new]
        entries = ledger_reading.transfers_by_id(store, names)
        assert [entries[name].recorded for name in names] == book.new
        assert {n: e.hold for n, e in entries.items() if e.hold is not None} == book.holds
        store.close()

    same()


def test_rows_are_never_edited(store: Store) -> None:
    for change in (
        "UPDATE ledger_transfers SET amount = 2",
        "DELETE FROM ledger_transfers WHERE transfer_id = 'fund'",
    ):
        with pytest.raises(DatabaseError, match="never edited"), store.write() as connection:
            connection.execute(text(change))
    assert of(store, "pot") == Balances(0, 0, 0, 100)


def test_what_no_database_can_hold_is_refused_and_spoils_nobody_elses_batch(store: Store) -> None:
    odd = [
        one(transfer_id="half\ud800"),
        one(transfer_id="null\0"),
        one(transfer_id="late", kind=K.PENDING, expires_ms=10**30),
        one(transfer_id="big", amount=10**30),
        one(transfer_id="text", reason="\udfff"),
        one(transfer_id="good"),
    ]
    answers = ledger.post(store, odd, 2)
    assert [isinstance(answer, Accepted) for answer in answers] == [False] * 5 + [True]
    longest = one(transfer_id="x" * 193, kind=K.PENDING, expires_ms=5)
    assert isinstance(ledger.post(store, [longest], 2)[0], Accepted)
    assert len(ledger.expire_due(store, 5)) == 1


def test_the_database_itself_refuses_an_overdraft(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(
            text("UPDATE ledger_accounts SET debits_posted = 101 WHERE account_id = 'pot'")
        )


def test_what_expired_is_given_back_once(store: Store) -> None:
    holds = [
        one(transfer_id=f"p{number}", kind=K.PENDING, amount=10, expires_ms=10 * number)
        for number in (1, 2, 3)
    ]
    ledger.post(store, [*holds, Transfer(transfer_id="v", kind=K.VOID, pending_id="p2")], 2)
    assert ledger.expire_due(store, 9) == ()
    assert [given.transfer_id for given in ledger.expire_due(store, 25)] == ["expire:p1"]
    assert ledger.expire_due(store, 25) == ()
    assert of(store, "pot") == Balances(10, 0, 0, 100)
    late = ledger.post(
        store, [Transfer(transfer_id="late", kind=K.POST, pending_id="p1", amount=1)], 26
    )
    assert isinstance(late[0], Refused)
    assert late[0].code is RefusalCode.EXPIRED


def test_within_together_a_refused_part_takes_nothing_of_the_others(store: Store) -> None:
    with store.together():
        ledger.post(store, [one(transfer_id="a", amount=60)], 2)
        with pytest.raises(IntegrityError):
            _overdraw(store)
        answer = ledger.post(
            store, [one(transfer_id="b", amount=60), one(transfer_id="a", amount=60)], 3
        )
    assert isinstance(answer[0], Refused)
    assert answer[1] == Accepted(transfer=one(transfer_id="a", amount=60), repeated=True)
    assert of(store, "pot") == Balances(0, 60, 0, 100)
    with pytest.raises(RuntimeError):
        _post_and_fail(store)
    assert of(store, "pot") == Balances(0, 60, 0, 100)
    assert audit_ledger(store).faults == ()


def _overdraw(store: Store) -> None:
    with store.write() as connection:
        connection.execute(
            text("UPDATE ledger_accounts SET debits_posted = 101 WHERE overdraft = 0")
        )


def _post_and_fail(store: Store) -> None:
    with store.together():
        ledger.post(store, [one(transfer_id="c", amount=1)], 4)
        raise RuntimeError


def test_threads_that_race_for_a_pot_never_overspend_it(store: Store) -> None:
    won: list[int] = []

    def race(me: int) -> None:
        for number in range(20):
            asked = [
                one(transfer_id=f"shared-{number}", amount=2),
                one(transfer_id=f"r{me}-{number}", kind=K.PENDING, amount=3, run_id=f"r{me}"),
            ]
            answers = ledger.post(store, asked if me % 2 else asked[::-1], 5)
            won.extend(
                answer.transfer.amount
                for answer in answers
                if isinstance(answer, Accepted) and not answer.repeated
            )

    threads = [threading.Thread(target=race, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pot = of(store, "pot")
    assert sum(won) == pot.debits_posted + pot.debits_pending
    assert 0 <= pot.available < 3
    assert audit_ledger(store).faults == ()


@pytest.mark.parametrize("kind", DATABASES)
def test_many_who_ask_at_once_hear_what_they_would_hear_one_after_another(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a group is asked for twice side by side, and where the batch is full."""
    monkeypatch.setattr(ledger, "BATCH_MOST", 7)

    @settings(
        max_examples=25 if kind == "sqlite" else 10, deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(
        asked=st.lists(
            st.one_of(st.lists(requests(), max_size=3), GROUPS, GROUPS), min_size=1, max_size=12
        ),
        repeat=st.booleans(),
    )
    def same(asked: list[list[Transfer]], repeat: bool) -> None:
        store, book = open_store(new_database(kind, tmp_path)), Book()
        ledger.open_accounts(store, ACCOUNTS, 1)
        for account in ACCOUNTS:
            book.open(account)
        asked = [[MONEY], *asked, *(asked[-1:] if repeat else ())]
        with store.together():
            told = ledger.post_each(store, asked[: len(asked) // 2], 5)
            told += ledger.post_each(store, asked[len(asked) // 2 :], 5)
        assert told == [judge_batch(book, one, 5) for one in asked]
        assert ledger.post_each(store, asked, 6) == [judge_batch(book, one, 6) for one in asked]
        states = ledger_reading.list_accounts(store)
        assert {one.account.account_id: one.balances for one in states} == book.balances
        assert audit_ledger(store).faults == ()
        store.close()

    same()


def through_writer(
    store: Store, calls: int, asked: list[list[Transfer]]
) -> list[list[tuple[Outcome, ...]]]:
    """Each of so many callers asks for all that, one thing after another."""
    bulk = Bulk(lambda several: ledger.post_each(store, several, 5), 50)
    batches: list[int] = []

    async def everybody() -> list[list[tuple[Outcome, ...]]]:
        writer = Writer(store)

        async def caller(me: int) -> list[tuple[Outcome, ...]]:
            told: list[tuple[Outcome, ...]] = []
            for transfers in asked:
                mine = [replace(one, transfer_id=one.transfer_id.format(me)) for one in transfers]
                told.append(await writer.write_in_bulk(bulk, mine))
            return told

        try:
            return await asyncio.gather(*map(caller, range(calls)))
        finally:
            writer.close()

    counted = ledger.post
    with pytest.MonkeyPatch.context() as patch:

        def post(store: Store, transfers: Sequence[Transfer], now_ms: int) -> tuple[Outcome, ...]:
            batches.append(len(transfers))
            return counted(store, transfers, now_ms)

        patch.setattr(ledger, "post", post)
        told = asyncio.run(everybody())
    alone = sum(1 for transfers in asked if transfers[0].group_id) * calls
    assert len(batches) < (calls * len(asked) + alone) / 2 + 1, "they shared batches"
    return told


def test_callers_of_the_writer_share_batches_and_get_their_own_answers(store: Store) -> None:
    pair = [one(transfer_id=f"pair-{n}", amount=5, group_id="pair") for n in (1, 2)]
    singles = [[one(transfer_id=f"d{{}}-{n}", amount=3)] for n in range(10)]
    told = through_writer(store, 16, [*singles, pair])
    accepted = [
        [isinstance(outcome, Accepted) for outcome in outcomes]
        for answers in told
        for outcomes in answers
    ]
    assert [len(one) for one in accepted] == ([1] * 10 + [2]) * 16
    # 100 in the pot: thirty-three of the hundred and sixty that ask for 3, and no pair.
    assert sum(sum(one) for one in accepted) == 33
    assert of(store, "pot") == Balances(0, 99, 0, 100)
    assert audit_ledger(store).faults == ()


def test_a_group_that_many_ask_for_at_once_is_taken_once(store: Store) -> None:
    pair = [one(transfer_id=f"pair-{n}", amount=5, group_id="pair") for n in (1, 2)]
    told = through_writer(store, 16, [pair, [one(transfer_id="s{}", amount=1)]])
    for answers in told:
        assert all(isinstance(one, Accepted) for outcomes in answers for one in outcomes)
    assert of(store, "pot") == Balances(0, 26, 0, 100)
    assert audit_ledger(store).faults == ()


def test_the_databases_trouble_is_told_to_all_who_wait_and_nothing_is_kept(store: Store) -> None:
    bulk = Bulk(lambda several: ledger.post_each(store, several, 5), 50)

    async def ask() -> list[Any]:
        writer = Writer(store)
        try:
            return await asyncio.gather(
                *(writer.write_in_bulk(bulk, [one(transfer_id=f"a{n}")]) for n in range(4)),
                return_exceptions=True,
            )
        finally:
            writer.close()

    with store.write() as connection:
        connection.execute(text("ALTER TABLE ledger_holds RENAME TO away"))
    assert all(isinstance(error, DatabaseError) for error in asyncio.run(ask()))
    with store.write() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO ledger_holds"))
    told = asyncio.run(ask())
    assert all(isinstance(answers[0], Accepted) for answers in told)
    assert audit_ledger(store).faults == ()


def test_a_statement_in_pages_and_by_time(store: Store) -> None:
    for number in range(1, 8):
        ledger.post(
            store,
            [
                one(transfer_id=f"s{number}", amount=number, job_id="j", run_id=f"r{number % 2}"),
                one(transfer_id=f"o{number}", debit="out", credit="site", amount=1),
            ],
            number * 10,
        )
    pages = []
    after: int | None = 0
    while after is not None:
        page = ledger_reading.statement(store, "pot", after_seq=after, most=3)
        assert page is not None
        pages.append(page)
        after = page.next_seq
    assert [len(page.lines) for page in pages] == [3, 3, 2]
    assert [page.opening for page in pages[1:]] == [page.closing for page in pages[:-1]]
    assert pages[-1].closing == of(store, "pot") == Balances(0, 28, 0, 100)
    month = ledger_reading.statement(store, "pot", from_ms=30, until_ms=50)
    assert month is not None
    assert [line.entry.recorded.transfer.transfer_id for line in month.lines] == ["s3", "s4"]
    assert (month.opening.posted, month.closing.posted) == (97, 90)
    assert ledger_reading.statement(store, "nobody") is None
    about = ledger_reading.transfers_about(store, "j", "r1")
    assert [entry.recorded.transfer.transfer_id for entry in about] == ["s1", "s3", "s5", "s7"]
    assert len(ledger_reading.transfers_about(store, "j")) == 7
    pots = ledger_reading.list_accounts(store, kind=AccountKind.POT)
    assert [state.account.account_id for state in pots] == ["hours", "pot"]


def test_a_database_that_is_not_ours_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        open_store(f"sqlite:///{tmp_path}/none.db", migrate=False)
    (tmp_path / "empty.db").touch()
    with pytest.raises(ValueError, match="holds no tables"):
        open_store(f"sqlite:///{tmp_path}/empty.db", migrate=False)
    for url in ("sqlite://", "mysql://h/db"):
        with pytest.raises(ValueError, match="is not supported"):
            open_store(url)
