"""SQLAlchemy's statements on SQLite, carried out without SQLAlchemy's execution.

Between a statement and SQLite's driver SQLAlchemy does much that nothing here asks for (events,
execution contexts, results with many strategies, a pool's visits): some 100 µs a statement, of which
SQLite takes 10. Statements are put together and compiled by SQLAlchemy as ever; what is compiled is
kept by the statement's shape (and with a statement that is built once, with it), and goes to
``sqlite3`` as it is. Rows are SQLAlchemy's own ``Row`` and ``RowMapping``, errors are wrapped as
SQLAlchemy wraps them. See docs/decisions/0047.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Engine, Row, RowMapping
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import (
    DBAPIError,
    InvalidRequestError,
    MultipleResultsFound,
    NoResultFound,
)

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.sql import Executable
    from sqlalchemy.sql.compiler import SQLCompiler

COMPILED_MOST = 1_000
"""Shapes of statements whose SQL is kept."""
WAYS_MOST = 64
"""Lengths of lists (``IN``) for which one shape's SQL is kept."""
_KEPT = "_westward_lean"


class _Given:
    """In the place of a value that comes with each execution."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key


class _Shape:
    """What a result's rows are made with."""

    __slots__ = ("index", "meta", "processors")

    def __init__(
        self, names: Sequence[str], extra: Sequence[Any] | None, processors: Sequence[Any]
    ) -> None:
        self.meta = SimpleResultMetaData(names, extra)
        self.index: dict[Any, int] = self.meta._key_to_index
        self.processors = list(processors) if any(one is not None for one in processors) else None


class _Compiled:
    """One shape of statement. Positions: a parameter's name, and where in its list (-1: no list)."""

    __slots__ = (
        "_lists",
        "_text",
        "compiled",
        "names",
        "processors",
        "shape",
        "simple",
        "sql",
        "ways",
    )

    def __init__(self, compiled: SQLCompiler, dialect: Dialect) -> None:
        if compiled.insert_prefetch or compiled.update_prefetch or compiled.literal_execute_params:
            raise InvalidRequestError("columns with defaults made in Python are not supported here")
        self.compiled = compiled
        self.sql = compiled.string
        self.names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self.processors: Mapping[str, Any] = compiled._bind_processors
        self._lists = [
            name for name in self.names if compiled.binds[name] in compiled.post_compile_params
        ]
        self.simple = not self._lists and not self.processors
        self.ways: dict[tuple[int, ...], tuple[str, list[tuple[str, int]]]] = {}
        columns = compiled._result_columns
        self._text = not columns or compiled.isplaintext
        self.shape: _Shape | None = None
        if not self._text:
            self.shape = _Shape(
                [str(one.keyname) for one in columns],
                [one.objects for one in columns],
                [one.type._cached_result_processor(dialect, None) for one in columns],
            )

    def bound(self, values: dict[str, Any]) -> tuple[str, Sequence[Any]]:
        """The SQL and its values by position, from values by name."""
        if self.simple:
            return self.sql, [values[name] for name in self.names]
        processors = self.processors
        if not self._lists:
            return self.sql, [
                processors[name](values[name]) if name in processors else values[name]
                for name in self.names
            ]
        key = tuple([len(values[name]) for name in self._lists])
        way = self.ways.get(key)
        if way is None:
            way = self._way(dict(values))
            if len(self.ways) >= WAYS_MOST:
                self.ways.clear()
            self.ways[key] = way
        sql, positions = way
        found = [values[name] if at < 0 else values[name][at] for name, at in positions]
        if processors:
            for at, (name, _) in enumerate(positions):
                if name in processors:
                    found[at] = processors[name](found[at])
        return sql, found

    def _way(self, values: dict[str, Any]) -> tuple[str, list[tuple[str, int]]]:
        state = self.compiled._process_parameters_for_postcompile(values)
        from_list = {
            one: (name, at)
            for name, ones in state.parameter_expansion.items()
            for at, one in enumerate(ones)
        }
        return state.statement, [from_list.get(one, (one, -1)) for one in state.positiontup or ()]

    def shape_of(self, cursor: sqlite3.Cursor) -> _Shape:
        if self.shape is None:
            self.shape = _shape_of(cursor)
        return self.shape


def _shape_of(cursor: sqlite3.Cursor) -> _Shape:
    names = [one[0] for one in cursor.description or ()]
    return _Shape(names, None, [None] * len(names))


class _Once:
    """A statement that is built once, with the names of its parameters."""

    __slots__ = ("base", "compiled", "given", "pick")

    def __init__(self, compiled: _Compiled, base: dict[str, Any]) -> None:
        self.compiled = compiled
        self.given = [(name, one.key) for name, one in base.items() if isinstance(one, _Given)]
        self.base = {name: one for name, one in base.items() if not isinstance(one, _Given)}
        self.pick: Callable[[Mapping[str, Any]], tuple[Any, ...]] | None = None
        """Where every value is given and goes to the driver as it is."""
        keys = dict(self.given)
        if compiled.simple and compiled.names and all(name in keys for name in compiled.names):
            wanted = [keys[name] for name in compiled.names]
            if len(wanted) == 1:
                (only,) = wanted
                self.pick = lambda values: (values[only],)
            else:
                self.pick = itemgetter(*wanted)

    def bound(self, values: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
        if self.pick is not None:
            return self.compiled.sql, self.pick(values)
        by_name = self.base.copy()
        for name, key in self.given:
            by_name[name] = values[key]
        return self.compiled.bound(by_name)


class LeanEngine:
    """What is compiled, and connections that nobody uses, of one SQLAlchemy engine."""

    def __init__(self, engine: Engine, connect: Callable[[], sqlite3.Connection]) -> None:
        """``connect``: a driver's connection, prepared."""
        self.engine = engine
        self.dialect = engine.dialect
        self._connect = connect
        self._compiled: OrderedDict[Any, _Compiled] = OrderedDict()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    # -- connections --------------------------------------------------------------------------

    def take(self) -> LeanConnection:
        try:
            raw = self._idle.pop()
        except IndexError:
            raw = self._connect()
        return LeanConnection(self, raw)

    def give_back(self, raw: sqlite3.Connection) -> None:
        """In no transaction."""
        if self._closed:
            raw.close()
        else:
            self._idle.append(raw)

    def close(self) -> None:
        """Connections in use are closed as they are given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    # -- statements ---------------------------------------------------------------------------

    def bound(
        self, statement: Any, values: Mapping[str, Any]
    ) -> tuple[_Compiled, str, Sequence[Any]]:
        kept: dict[Any, Any] | None = statement.__dict__.get(_KEPT)
        keys = tuple(values)
        if kept is None:  # it may never come again: what would be kept with it is not made
            statement._set_memoized_attribute(_KEPT, {})
            compiled, base = self._look_up(statement, keys, values, many=False)
            return compiled, *compiled.bound(base)
        once = kept.get(keys)
        if once is None:
            asked = {key: _Given(key) for key in keys}
            compiled, base = self._look_up(statement, keys, asked, many=False)
            once = kept[keys] = _Once(compiled, base)
        return once.compiled, *once.bound(values)

    def bound_many(
        self, statement: Any, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[_Compiled, str, list[Sequence[Any]]]:
        kept: dict[Any, Any] | None = statement.__dict__.get(_KEPT)
        if kept is None:
            kept = {}
            statement._set_memoized_attribute(_KEPT, kept)
        keys = tuple(rows[0])
        once = kept.get((keys, "many"))
        if once is None:
            asked = {key: _Given(key) for key in keys}
            compiled, base = self._look_up(statement, keys, asked, many=True)
            once = kept[keys, "many"] = _Once(compiled, base)
        return once.compiled, once.compiled.sql, [once.bound(row)[1] for row in rows]

    def _look_up(
        self, statement: Any, keys: Sequence[str], values: Mapping[str, Any], *, many: bool
    ) -> tuple[_Compiled, dict[str, Any]]:
        """By the statement's shape, as SQLAlchemy's own cache; and its values by name."""
        cache_key = statement._generate_cache_key()
        named = sorted(keys)
        known = None
        if cache_key is not None:
            shape = (cache_key.key, tuple(named), many)
            known = self._compiled.get(shape)
        if known is None:
            made = statement._compiler(
                self.dialect, cache_key=cache_key, column_keys=named, for_executemany=many
            )
            known = _Compiled(made, self.dialect)
            if cache_key is not None:
                self._compiled[shape] = known
                while len(self._compiled) > COMPILED_MOST:
                    self._compiled.popitem(last=False)
        more: dict[str, Any] = {}
        if cache_key is not None:
            more["extracted_parameters"] = cache_key.bindparams
            if len(cache_key) > 2 and cache_key.params:
                more["_collected_params"] = cache_key.params
        return known, dict(known.compiled.construct_params(values, escape_names=False, **more))


class LeanConnection:
    """The part of ``sqlalchemy.Connection`` that the store uses, within one transaction."""

    __slots__ = ("_lean", "raw")

    def __init__(self, lean: LeanEngine, raw: sqlite3.Connection) -> None:
        self._lean = lean
        self.raw = raw

    @property
    def engine(self) -> Engine:
        return self._lean.engine

    @property
    def dialect(self) -> Dialect:
        return self._lean.dialect

    def execute(self, statement: Executable, parameters: Any = None) -> Result:
        """Raises what SQLAlchemy raises."""
        if not parameters or isinstance(parameters, Mapping):
            compiled, sql, values = self._lean.bound(statement, parameters or {})
            many = False
        elif len(parameters) == 1:
            compiled, sql, values = self._lean.bound(statement, parameters[0])
            many = False
        else:
            compiled, sql, values = self._lean.bound_many(statement, parameters)
            many = True
        try:
            cursor = self.raw.executemany(sql, values) if many else self.raw.execute(sql, values)
        except sqlite3.Error as error:
            raise self.wrapped(error, sql, values) from error
        return Result(self, cursor, compiled)

    def execution_options(self, **_options: Any) -> LeanConnection:
        """Results are fetched in parts always (``yield_per``); nothing else is asked for."""
        return self

    def exec_driver_sql(self, sql: str, values: Sequence[Any] = ()) -> Result:
        try:
            cursor = self.raw.execute(sql, values)
        except sqlite3.Error as error:
            raise self.wrapped(error, sql, values) from error
        return Result(self, cursor, None)

    def say(self, sql: str) -> None:
        try:
            self.raw.execute(sql)
        except sqlite3.Error as error:
            raise self.wrapped(error, None, None) from error

    def wrapped(self, error: sqlite3.Error, sql: str | None, values: Any) -> Exception:
        made = DBAPIError.instance(sql, values, error, sqlite3.Error, dialect=self.dialect)
        return cast(Exception, made)

    # -- the transaction ----------------------------------------------------------------------

    def begin(self, how: str) -> None:
        self.say(how)

    def commit(self) -> None:
        try:
            self.raw.commit()
        except sqlite3.Error as error:
            raise self.wrapped(error, None, None) from error

    def rollback(self) -> None:
        if self.raw.in_transaction:
            self.raw.rollback()

    def end(self) -> None:
        """Gives the driver's connection back; whatever is not committed by now is undone."""
        try:
            self.rollback()
        except BaseException:
            self.raw.close()
            raise
        self._lean.give_back(self.raw)

    def as_connection(self) -> Connection:
        """For those who take a connection of SQLAlchemy's: what they use of it is here."""
        return cast(Connection, self)


class Result:
    """Rows as they come from the driver; each of the methods that end it closes its cursor."""

    __slots__ = ("_compiled", "_connection", "_cursor", "_kind", "_shape")

    def __init__(
        self, connection: LeanConnection, cursor: sqlite3.Cursor, compiled: _Compiled | None
    ) -> None:
        self._connection = connection
        self._cursor = cursor
        self._compiled = compiled
        self._shape: _Shape | None = None
        self._kind: Any = Row

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def keys(self) -> list[str]:
        return list(self._the_shape().meta.keys)

    def mappings(self) -> Result:
        self._kind = RowMapping
        return self

    def scalars(self) -> Result:
        self._kind = None
        return self

    def _the_shape(self) -> _Shape:
        shape = self._shape
        if shape is None:
            if self._cursor.description is None:
                raise InvalidRequestError("this statement has no rows")
            known = self._compiled
            shape = _shape_of(self._cursor) if known is None else known.shape_of(self._cursor)
            self._shape = shape
        return shape

    def _made(self, raws: Sequence[tuple[Any, ...]]) -> list[Any]:
        shape, kind = self._the_shape(), self._kind
        if kind is None:
            if shape.processors is None or shape.processors[0] is None:
                return [raw[0] for raw in raws]
            process = shape.processors[0]
            return [process(raw[0]) for raw in raws]
        meta, processors, index = shape.meta, shape.processors, shape.index
        return [kind(meta, processors, index, raw) for raw in raws]

    def _fetched(self, most: int | None) -> list[Any]:
        self._the_shape()
        try:
            raws = self._cursor.fetchall() if most is None else self._cursor.fetchmany(most)
        except sqlite3.Error as error:
            raise self._connection.wrapped(error, None, None) from error
        finally:
            self._cursor.close()
        return self._made(raws)

    def __iter__(self) -> Iterator[Any]:
        self._the_shape()
        while True:
            try:
                raws = self._cursor.fetchmany(256)
            except sqlite3.Error as error:
                raise self._connection.wrapped(error, None, None) from error
            if not raws:
                self._cursor.close()
                return
            yield from self._made(raws)

    def all(self) -> list[Any]:
        return self._fetched(None)

    fetchall = all

    def first(self) -> Any:
        found = self._fetched(1)
        return found[0] if found else None

    def fetchone(self) -> Any:
        try:
            raw = self._cursor.fetchone()
        except sqlite3.Error as error:
            raise self._connection.wrapped(error, None, None) from error
        return None if raw is None else self._made([raw])[0]

    def one_or_none(self) -> Any:
        found = self._fetched(2)
        if len(found) > 1:
            raise MultipleResultsFound("Multiple rows were found when one or none was required")
        return found[0] if found else None

    def one(self) -> Any:
        found = self._fetched(2)
        if len(found) > 1:
            raise MultipleResultsFound("Multiple rows were found when exactly one was required")
        if not found:
            raise NoResultFound("No row was found when one was required")
        return found[0]

    def scalar(self) -> Any:
        return self.scalars().first()

    def scalar_one(self) -> Any:
        return self.scalars().one()

    def scalar_one_or_none(self) -> Any:
        return self.scalars().one_or_none()


def lean_of(connection: Connection) -> LeanConnection | None:
    """What ``as_connection`` was called on; None: it is SQLAlchemy's own."""
    found: object = connection
    return found if isinstance(found, LeanConnection) else None
