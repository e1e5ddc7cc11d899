"""A database of an earlier version goes on with this one; one of a later version is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, func, insert, select, text

from tests.databases import DATABASES, new_database
from tests.schemas import at_0010
from westward.control.events import JobBound
from westward.control.records import Binding, JobState
from westward.store import Store, jobs, lifecycle, open_store
from westward.store.database import migrate_to
from westward.store.ledger_audit import audit_ledger
from westward.store.money_schema import METADATA
from westward.store.results import Applied, GrantRequest

PLACE = Binding(
    pool="basin-west", site="basin", option=0, need_milli=1000, duration_ms=1, not_before_ms=0,
    planned_start_ms=0,
)  # fmt: skip


def old_database(kind: str, folder: Path) -> str:
    """At revision 0010, with the rows of then. On PostgreSQL its tables are made by the migrations
    up to that revision, and the rows are copied into them."""
    file = folder / "old.db"
    at_0010.put_sqlite(file)
    if kind == "sqlite":
        return f"sqlite:///{file}"
    url = new_database(kind, folder)
    store = open_store(url, migrate=False, check=False)
    try:
        with store.write() as connection:
            migrate_to(connection, "0010")
        _copy(file, store)
    finally:
        store.close()
    return url


def _copy(file: Path, store: Store) -> None:
    source = create_engine(f"sqlite:///{file}")
    with source.connect() as old, store.write() as new:
        there = [one for one in METADATA.sorted_tables if old.dialect.has_table(old, one.name)]
        for table in reversed(there):  # what the migrations themselves put in
            if new.execute(select(table).limit(1)).first() is not None:
                new.execute(table.delete())
        for table in there:
            rows = [dict(row) for row in old.execute(select(table)).mappings()]
            if rows:
                new.execute(insert(table), rows)
            for column in table.primary_key:
                if column.autoincrement is True or (
                    column.name == "seq" and table.name != "readings"
                ):
                    new.execute(
                        text(
                            f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'),"
                            f" coalesce((SELECT max({column.name}) FROM {table.name}), 1))"
                        )
                    )
    source.dispose()


@pytest.mark.parametrize("kind", DATABASES)
def test_what_was_there_is_there_and_goes_on(tmp_path: Path, kind: str) -> None:
    store = open_store(old_database(kind, tmp_path), turns=True)
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        for table, count in at_0010.ROWS.items():
            query = select(func.count()).select_from(METADATA.tables[table])
            assert connection.execute(query).scalar_one() == count, table
    assert not audit_ledger(store).faults
    states = {one.job.name: one.state for one in jobs.list_jobs(store)}
    assert states.pop("late") is JobState.PENDING
    assert set(states.values()) == {JobState.SUCCEEDED}
    # The old job takes a new lease, with a token that none of the old ones had.
    version = jobs.load_job(store, "job_late").version  # type: ignore[union-attr]
    assert isinstance(
        lifecycle.apply_event(
            store, "job_late", JobBound(binding=PLACE), 2, expected_version=version
        ),
        Applied,
    )
    request = GrantRequest(
        job_id="job_late", expected_version=version + 1, run_id="run_x", place=PLACE,
        capacity_milli=8_000,
    )  # fmt: skip
    granted = lifecycle.grant_leases(store, [request], 10_000, 3)[0]
    assert isinstance(granted, Applied)
    assert granted.record.live_run is not None
    assert granted.record.live_run.token == at_0010.TOKENS + 1
    store.close()


@pytest.mark.parametrize("kind", DATABASES)
def test_all_of_an_upgrade_or_nothing(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends in the middle of it: the next one finds the database as it was."""
    from westward.store import database

    url = old_database(kind, tmp_path)
    with monkeypatch.context() as broken:
        whole = database.migrate_to

        def breaks(connection: object, revision: str) -> None:
            whole(connection, revision)  # type: ignore[arg-type]
            raise RuntimeError("ended here")

        broken.setattr(database, "migrate_to", breaks)
        with pytest.raises(RuntimeError, match="ended here"):
            open_store(url)
    with pytest.raises(ValueError, match="is of version 0010"):
        open_store(url, migrate=False)
    open_store(url).close()
    open_store(url, migrate=False).close()


@pytest.mark.parametrize("kind", DATABASES)
def test_a_later_version_is_refused(tmp_path: Path, kind: str) -> None:
    url = new_database(kind, tmp_path)
    store = open_store(url)
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(ValueError, match="made by a later version of Westward \\(9999\\)"):
        open_store(url)
