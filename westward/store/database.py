"""Opening the store: engine, migrations, and the two kinds of transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, make_url

from westward.model.job import JobSpec
from westward.store import postgres, sqlite
from westward.store.driver import say
from westward.store.lean import LeanEngine
from westward.store.turns import CONNECT, take_turn

SPEC_CACHE_JOBS = 20_000
"""Decoded job requests kept in memory. A request never changes, so none is ever out of date."""
SPEC_CACHE_TEXT_MOST = 32_768
"""Longer requests are not kept: together at most some 600 MiB."""

_MIGRATIONS = Path(__file__).parent / "migrations"


class Store:
    """An open database. Safe to share between threads; use ``open_store`` to get one."""

    def __init__(
        self, engine: Engine, *, turns: bool = False, lean: LeanEngine | None = None
    ) -> None:
        """``lean``: what carries out statements on SQLite; None: one of its own."""
        self.engine = engine
        self._turns = turns
        self.specs: dict[str, JobSpec] = {}
        """Job requests by id; ``codec`` fills it and holds it to SPEC_CACHE_JOBS."""
        self.rollbacks = 0
        """How many transactions, or parts, were rolled back: what was kept in memory of what they
        wrote may not be so."""
        # SQLite lets one writer in at a time and makes others poll for their turn; within this
        # process they queue here instead, which is fair and wakes at once.
        is_sqlite = engine.dialect.name == "sqlite"
        self._writing = threading.Lock() if is_sqlite else None
        self._lean = sqlite.lean(engine) if is_sqlite and lean is None else lean
        self._mine = threading.local()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view; nothing may be written in it. Within ``together`` it is the view of
        that transaction, which sees what was written in it so far."""
        shared = self._shared()
        if shared is not None:
            yield shared
            return
        if self._lean is not None:
            lean = self._lean.take()
            try:
                lean.say("BEGIN")
                yield lean.as_connection()
            finally:
                lean.end()
            return
        with self.engine.connect().execution_options(**postgres.READS) as connection:
            yield connection
            connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: committed (and durable) at the end, rolled back on an exception.

        Within ``together`` a part of that transaction: rolled back alone on an exception, durable
        only when ``together`` ends."""
        shared = self._shared()
        if shared is None:
            with self._alone() as connection:
                yield connection
            return
        say(shared, "SAVEPOINT part")
        try:
            yield shared
        except BaseException:
            # Raises in its turn where the database has already ended the whole transaction.
            say(shared, "ROLLBACK TO SAVEPOINT part")
            say(shared, "RELEASE SAVEPOINT part")
            self._forget()
            raise
        say(shared, "RELEASE SAVEPOINT part")

    @contextmanager
    def together(self) -> Iterator[None]:
        """Every ``write`` of this thread meanwhile goes into one transaction: durable, all of
        them, once this ends without an exception. Otherwise nobody may count on any."""
        with self._alone() as connection:
            # SQLite may end a transaction by itself (a failing disk, no memory). Whoever caught that
            # error, the commit would say nothing of what was lost; a savepoint that is gone does.
            say(connection, "SAVEPOINT whole")
            self._mine.connection = connection
            try:
                yield
            finally:
                self._mine.connection = None
            say(connection, "RELEASE SAVEPOINT whole")

    def whole(self) -> AbstractContextManager[object]:
        """What is written within is kept or rolled back as one: a part of the transaction that this
        thread is in, or one of its own."""
        return self.write() if self.sharing else self.together()

    @property
    def sharing(self) -> bool:
        """Whether this thread is within ``together``: a ``write`` alone cannot be tried again
        where the database gave up the whole transaction."""
        return self._shared() is not None

    def _shared(self) -> Connection | None:
        found: Connection | None = getattr(self._mine, "connection", None)
        return found

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        try:
            if self._lean is None or self._writing is None:
                with self.engine.begin() as connection:
                    if self._turns:
                        take_turn(connection)
                    yield connection
            else:
                with self._writing:
                    lean = self._lean.take()
                    try:
                        lean.say("BEGIN IMMEDIATE")
                        yield lean.as_connection()
                        lean.commit()
                    finally:
                        lean.end()
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        self.rollbacks += 1
        self.specs.clear()  # some may be of jobs that do not exist, and may come otherwise

    def close(self) -> None:
        if self._lean is not None:
            self._lean.close()
        self.engine.dispose()


def open_store(url: str, *, migrate: bool = True, turns: bool = False, check: bool = True) -> Store:
    """Opens ``url`` and brings its tables up to date (without ``migrate`` they must be, or with
    ``check`` false may be anything). ``turns``: for whoever writes more than the ledger to a
    PostgreSQL that others write to (``store.turns``).

    ``sqlite:////absolute/path.db``, or ``postgresql://user@host/database`` (which needs psycopg:
    the extra ``postgres``). Raises ``ValueError`` for a database this version does not support, one
    that is not there or not up to date, ``sqlalchemy.exc.OperationalError`` when it cannot be
    reached.
    """
    engine = _engine(url, migrate, turns)
    store = Store(engine, turns=turns and engine.dialect.name == "postgresql")
    try:
        if migrate:
            with engine.begin() as connection:
                if engine.dialect.name == "postgresql":
                    postgres.lock_migrations(connection)
                migrate_to(connection, "head")
        elif check:
            with engine.connect() as connection:
                _check_version(connection)
    except BaseException:
        store.close()
        raise
    return store


def _engine(url: str, make: bool, turns: bool) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        if not make and not Path(str(parsed.database)).is_file():
            raise ValueError(f"{parsed.database!r}: there is no such file")
        engine = create_engine(parsed, connect_args={"cached_statements": sqlite.STATEMENTS_KEPT})
        sqlite.prepare(engine)
        return engine
    if parsed.get_backend_name() == "postgresql":
        try:
            engine = create_engine(
                parsed.set(drivername="postgresql+psycopg"), connect_args=CONNECT if turns else {}
            )
        except ModuleNotFoundError:
            raise ValueError(
                f"{parsed.render_as_string()!r} needs psycopg; pip install 'westward[postgres]'"
            ) from None
        postgres.prepare(engine)
        return engine
    raise ValueError(
        f"{parsed.render_as_string()!r} is not supported; write sqlite:////path/to/file.db or "
        "postgresql://host/name"
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def migrate_to(connection: Connection, revision: str) -> None:
    """Forward to the tables of ``revision`` ("head": the newest), within the caller's transaction:
    all of it or nothing. Raises ValueError for tables that a later version made."""
    config = _config()
    there = MigrationContext.configure(connection).get_current_revision()
    known = {one.revision for one in ScriptDirectory.from_config(config).walk_revisions()}
    if there is not None and there not in known:
        name = connection.engine.url.render_as_string()
        raise ValueError(
            f"{name!r} was made by a later version of Westward ({there}); start that version"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _check_version(connection: Connection) -> None:
    there = MigrationContext.configure(connection).get_current_revision()
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    if there != wanted:
        state = "holds no tables of Westward" if there is None else f"is of version {there}"
        name = connection.engine.url.render_as_string()
        raise ValueError(f"{name!r} {state}; {wanted} is needed. The server makes it at its start")
