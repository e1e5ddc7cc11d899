"""Statements that go to SQLite without SQLAlchemy's execution: the same rows, counts and errors as
with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Integer,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import (
    IntegrityError,
    InvalidRequestError,
    MultipleResultsFound,
    NoResultFound,
    OperationalError,
    StatementError,
)

from westward.store.database import Store, open_store
from westward.store.lean import LeanConnection, lean_of
from westward.store.schema import COUNTERS, LOG_CHUNKS, META

KEYS = select(META).where(META.c.key.in_(bindparam("keys", expanding=True))).order_by(META.c.key)
ROWS = [{"key": f"k{n}", "value": f"v{n}"} for n in range(6)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'lean.db'}")
    with opened.write() as connection:
        connection.execute(insert(META), ROWS)
    yield opened
    opened.close()


def both(store: Store, ask: Callable[[Connection], Any]) -> Any:
    """What ``ask`` says twice in a row (the second time with what was kept), if SQLAlchemy's own
    connection says the same."""
    with store.read() as connection:
        assert isinstance(connection, LeanConnection)
        said = [ask(connection), ask(connection), ask(connection)]
    with store.engine.connect() as real:
        wanted = ask(real)
        real.rollback()
    assert said == [wanted] * 3
    return wanted


@pytest.mark.parametrize("keys", [[], ["k1"], ["k3", "k1", "nowhere"], ["k1", "k1"]])
def test_lists_of_any_length(store: Store, keys: list[str]) -> None:
    found = both(store, lambda c: [tuple(row) for row in c.execute(KEYS, {"keys": keys})])
    assert [key for key, _ in found] == sorted({*keys} - {"nowhere"})


def test_lists_within_the_statement_itself(store: Store) -> None:
    for keys in (["k1"], ["k2", "k3"]):
        both(store, lambda c, k=keys: c.execute(select(META).where(META.c.key.in_(k))).all())


def test_values_within_the_statement_are_each_statements_own(store: Store) -> None:
    for number in range(4):
        query = select(META.c.value).where(META.c.key == f"k{number}")
        assert both(store, lambda c, q=query: c.execute(q).scalar_one()) == f"v{number}"


def test_a_statement_derived_from_one_that_is_kept_is_another(store: Store) -> None:
    base = select(META).where(META.c.key >= bindparam("first")).order_by(META.c.key)
    with store.read() as connection:
        for _ in range(3):
            assert len(connection.execute(base, {"first": "k0"}).all()) == 6
        narrow = base.where(META.c.key <= "k2")
        for _ in range(3):
            assert len(connection.execute(narrow, {"first": "k1"}).all()) == 2
            assert len(connection.execute(base, {"first": "k1"}).all()) == 5


def test_limits_offsets_functions_and_labels(store: Store) -> None:
    query = (
        select(func.upper(META.c.key).label("name"), literal(7).label("seven"))
        .order_by(META.c.key)
        .limit(bindparam("most", type_=Integer))
        .offset(1)
    )
    found = both(store, lambda c: [dict(r) for r in c.execute(query, {"most": 2}).mappings()])
    assert found == [{"name": "K1", "seven": 7}, {"name": "K2", "seven": 7}]


def test_rows_by_name_by_position_and_by_column(store: Store) -> None:
    def ask(connection: Connection) -> Any:
        row = connection.execute(select(META).order_by(META.c.key)).first()
        assert row is not None
        mapping = row._mapping
        return (
            row.key, row[1], tuple(row), mapping["value"], mapping[META.c.value], {**mapping},
            list(mapping), "key" in mapping, mapping.get("nothing", 1),
        )  # fmt: skip

    assert both(store, ask)[:2] == ("k0", "v0")


def test_text_and_pragmas(store: Store) -> None:
    asked = text("SELECT key, value AS worth FROM meta WHERE key = :key")
    found = both(store, lambda c: c.execute(asked, {"key": "k2"}).mappings().one()["worth"])
    assert found == "v2"
    assert both(store, lambda c: c.exec_driver_sql("PRAGMA synchronous").scalar()) == 2
    assert both(store, lambda c: c.exec_driver_sql("PRAGMA foreign_keys").scalar()) == 1


@pytest.mark.parametrize("method", ["one", "one_or_none", "scalar_one", "scalar_one_or_none"])
@pytest.mark.parametrize("keys", [[], ["k1"], ["k1", "k2"]])
def test_how_many_rows_there_may_be(store: Store, method: str, keys: list[str]) -> None:
    def ask(connection: Connection) -> Any:
        try:
            return getattr(connection.execute(KEYS, {"keys": keys}), method)()
        except (NoResultFound, MultipleResultsFound) as error:
            return type(error)

    both(store, ask)


def test_first_scalar_and_scalars(store: Store) -> None:
    for keys in ([], ["k1"], ["k4", "k2"]):
        asked = {"keys": keys}
        both(store, lambda c, a=asked: c.execute(KEYS, a).first())
        both(store, lambda c, a=asked: c.execute(KEYS, a).scalar())
        both(store, lambda c, a=asked: c.execute(KEYS, a).scalars().all())
        both(store, lambda c, a=asked: list(c.execute(KEYS, a).scalars()))
        both(store, lambda c, a=asked: c.execute(KEYS, a).fetchall())
        both(store, lambda c, a=asked: list(c.execute(KEYS, a).keys()))


def test_more_rows_than_are_fetched_at_once(store: Store) -> None:
    with store.write() as connection:
        many = [{"key": f"many{n:04}", "value": "x"} for n in range(1_000)]
        connection.execute(insert(META), many)
    found = both(store, lambda c: [r.key for r in c.execute(select(META).order_by(META.c.key))])
    assert len(found) == 1_006


def test_bytes_and_nulls(store: Store) -> None:
    chunk = {"run_id": "r", "rank": 0, "start": 0, "size": 3, "data": b"\x00\xff\n"}
    with store.write() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        connection.execute(insert(LOG_CHUNKS), chunk)
        found = connection.execute(select(LOG_CHUNKS)).mappings().one()
        assert {**found} == chunk
        assert type(found["data"]) is bytes
        assert connection.execute(select(func.max(META.c.key)).where(META.c.key == "-")).one() == (
            None,
        )
        connection.execute(delete(LOG_CHUNKS))


def test_counts_of_changed_rows(store: Store) -> None:
    change = update(META).where(META.c.key >= bindparam("first")).values(value="new")
    with store.write() as connection:
        assert connection.execute(change, {"first": "k4"}).rowcount == 2
        assert connection.execute(change, {"first": "l"}).rowcount == 0
        assert connection.execute(change, [{"first": "k4"}, {"first": "k5"}]).rowcount == 3
        more = update(COUNTERS).values(value=COUNTERS.c.value + bindparam("more"))
        before = connection.execute(select(func.sum(COUNTERS.c.value))).scalar_one()
        rows = connection.execute(more, {"more": 10}).rowcount
        after = connection.execute(select(func.sum(COUNTERS.c.value))).scalar_one()
        assert after - before == 10 * rows


def test_columns_to_set_are_those_that_are_given(store: Store) -> None:
    change = update(META).where(META.c.key == bindparam("of_key"))
    with store.write() as connection:
        assert connection.execute(change, {"of_key": "k1", "value": "a"}).rowcount == 1
        assert connection.execute(change, {"of_key": "k2", "value": "b"}).rowcount == 1
        assert connection.execute(change, {"of_key": "k3", "key": "k9"}).rowcount == 1
    found = both(store, lambda c: {row.key: row.value for row in c.execute(select(META))})
    assert (found["k1"], found["k2"], found["k9"], "k3" in found) == ("a", "b", "v3", False)


def test_errors_are_sqlalchemys(store: Store) -> None:
    with pytest.raises(IntegrityError, match="UNIQUE"), store.write() as connection:
        connection.execute(insert(META), {"key": "k1", "value": "again"})
    with pytest.raises(IntegrityError, match="UNIQUE"), store.write() as connection:
        connection.execute(insert(META), ROWS)
    with pytest.raises(OperationalError, match="no such table"), store.read() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    with pytest.raises(OperationalError, match="no such table"), store.read() as connection:
        connection.exec_driver_sql("SELECT * FROM nowhere")
    with pytest.raises(InvalidRequestError), store.read() as connection:
        connection.execute(update(META).where(META.c.key == "-").values(value="x")).all()
    with pytest.raises((StatementError, InvalidRequestError)), store.read() as connection:
        connection.execute(KEYS)


def test_what_raises_leaves_nothing_and_others_go_on(store: Store) -> None:
    def half() -> None:
        with store.write() as connection:
            connection.execute(insert(META), {"key": "half", "value": "x"})
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        half()
    with store.write() as connection:
        connection.execute(insert(META), {"key": "whole", "value": "x"})
    found = both(store, lambda c: set(c.execute(select(META.c.key)).scalars()))
    assert "whole" in found
    assert "half" not in found


def test_a_reader_sees_one_state_while_others_write(store: Store) -> None:
    count = select(func.count()).select_from(META)
    with store.read() as reader:
        before = reader.execute(count).scalar_one()
        with store.write() as writer:
            writer.execute(insert(META), {"key": "meanwhile", "value": "x"})
        assert reader.execute(count).scalar_one() == before
    with store.read() as reader:
        assert reader.execute(count).scalar_one() == before + 1


def test_a_closed_store_keeps_no_connection(tmp_path: Path) -> None:
    opened = open_store(f"sqlite:///{tmp_path / 'closed.db'}")
    with opened.read() as connection:
        lean = lean_of(connection)
        assert lean is not None
        raw = lean.raw
        opened.close()
        assert connection.execute(select(func.count()).select_from(META)).scalar_one() >= 0
    with pytest.raises(sqlite3.ProgrammingError):
        raw.execute("SELECT 1")
