"""Works that wait together are made durable together, and stand or fall each by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from westward.model.job import JobSpec, ResourceOption
from westward.server.writer import Writer
from westward.store.database import Store, open_store
from westward.store.driver import sqlite_of
from westward.store.jobs import load_job, submit_jobs
from westward.store.meta import set_meta_once
from westward.store.results import Submission
from westward.store.schema import META


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'w.db'}")
    yield opened
    opened.close()


@pytest.fixture
def writer(store: Store) -> Iterator[Writer]:
    made = Writer(store)
    yield made
    made.close()


def put(store: Store, key: str) -> None:
    with store.write() as connection:
        connection.execute(META.insert(), {"key": key, "value": "v"})


def on_disk(store: Store) -> set[str]:
    """As another process sees it: what is committed."""
    with sqlite3.connect(str(store.engine.url.database)) as other:
        return {key for (key,) in other.execute("SELECT key FROM meta WHERE value = 'v'")}


class Wrong(Exception):
    pass


def half(store: Store, key: str) -> None:
    with store.write() as connection:
        connection.execute(META.insert(), {"key": key, "value": "v"})
        raise Wrong(key)


async def queued_behind(writer: Writer, *works: object) -> list[object]:
    """Hold the writer until all of them wait, so that they meet in one transaction."""
    go = threading.Event()
    first = asyncio.create_task(writer.write(go.wait))
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(writer.write(work)) for work in works]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, return_exceptions=True)
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_an_answer_means_that_it_is_on_disk(store: Store, writer: Writer) -> None:
    async def ask() -> None:
        for number in range(5):
            await writer.write(lambda n=number: put(store, f"k{n}"))
            assert f"k{number}" in on_disk(store)

    asyncio.run(ask())


def test_one_that_raises_takes_nothing_of_the_others(store: Store, writer: Writer) -> None:
    answers = asyncio.run(
        queued_behind(
            writer,
            lambda: put(store, "a"),
            lambda: half(store, "b"),
            lambda: put(store, "c"),
        )
    )
    assert [type(one) for one in answers] == [type(None), Wrong, type(None)]
    assert on_disk(store) == {"a", "c"}


def test_they_share_a_transaction(store: Store, writer: Writer) -> None:
    said: list[str] = []
    with store.write() as connection:  # the one connection, which the writer goes on with
        sqlite_of(connection).set_trace_callback(said.append)
    asyncio.run(queued_behind(writer, *(lambda n=n: put(store, f"k{n}") for n in range(20))))
    assert len(on_disk(store)) == 20
    assert 2 <= said.count("COMMIT") <= 6, "the one that set this up, and few for all twenty"


def test_a_work_sees_what_it_wrote_before(store: Store, writer: Writer) -> None:
    def work() -> bool:
        put(store, "mine")
        with store.read() as connection:
            found = connection.execute(select(META.c.key).where(META.c.key == "mine"))
            seen = found.scalar_one_or_none() == "mine"
        return seen and set_meta_once(store, "mine", "other") == "v"

    assert asyncio.run(writer.write(work)) is True


def test_when_the_database_gives_up_nobody_is_told_that_it_is_kept(
    store: Store, writer: Writer
) -> None:
    def trouble() -> None:
        with store.write() as connection:
            connection.execute(text("SELECT * FROM no_such_table"))

    answers = asyncio.run(queued_behind(writer, lambda: put(store, "a"), trouble))
    assert isinstance(answers[1], OperationalError)
    assert (answers[0] is None) == ("a" in on_disk(store))
    asyncio.run(writer.write(lambda: put(store, "after")))
    assert "after" in on_disk(store)


def test_what_was_handed_in_is_written_before_it_closes(store: Store) -> None:
    async def ask() -> None:
        writer = Writer(store)
        tasks = [
            asyncio.create_task(writer.write(lambda n=n: put(store, f"k{n}"))) for n in range(9)
        ]
        await asyncio.sleep(0)
        await asyncio.to_thread(writer.close)
        await asyncio.gather(*tasks)

    asyncio.run(ask())
    assert len(on_disk(store)) == 9


def test_a_work_that_ends_the_transaction_keeps_no_answer_of_the_others(
    store: Store, writer: Writer
) -> None:
    """SQLite ends a transaction by itself when the disk fails or memory is short, and then says
    nothing at the commit."""

    def out_of_memory() -> None:
        with store.read() as connection:
            connection.exec_driver_sql("ROLLBACK")
        raise MemoryError

    answers = asyncio.run(
        queued_behind(writer, lambda: put(store, "a"), out_of_memory, lambda: put(store, "c"))
    )
    assert all(isinstance(one, Exception) for one in answers)
    assert isinstance(answers[1], MemoryError)
    assert "a" not in on_disk(store)
    asyncio.run(writer.write(lambda: put(store, "after")))
    assert "after" in on_disk(store)


def test_a_request_that_was_taken_back_is_not_remembered(store: Store, writer: Writer) -> None:
    """Its id may come again with another request."""
    first, other = (
        JobSpec(job_id="job_1", name=name, submit_ms=0, options=(ResourceOption(cpus_milli=1),))
        for name in ("first", "other")
    )

    def taken_back() -> None:
        with store.write():
            submit_jobs(store, [Submission(job=first, body_digest="1")], 0)
            assert load_job(store, "job_1") is not None
            raise Wrong

    def other_comes() -> str:
        submit_jobs(store, [Submission(job=other, body_digest="2")], 0)
        record = load_job(store, "job_1")
        return record.job.name if record is not None else ""

    answers = asyncio.run(queued_behind(writer, taken_back, other_comes))
    assert isinstance(answers[0], Wrong)
    assert answers[1] == "other"


def test_no_error_keeps_the_others_from_their_answers(store: Store, writer: Writer) -> None:
    """asyncio takes every error but StopIteration."""

    def spent() -> None:
        next(iter(()))

    async def ask() -> list[object]:
        async with asyncio.timeout(10):
            return await queued_behind(writer, lambda: put(store, "a"), spent, spent)

    answers = asyncio.run(ask())
    assert answers[0] is None
    assert [type(one) for one in answers[1:]] == [RuntimeError, RuntimeError]
    assert on_disk(store) == {"a"}
