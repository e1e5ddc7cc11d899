"""The catalogue of data sets: versions that never change, and where copies of them lie."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pydantic import TypeAdapter
from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from westward.model.dataset import DataFile, DataSet, Provenance, Replica, manifest_digest
from westward.model.job import TagRule
from westward.store import codec
from westward.store.database import Store
from westward.store.rows import raise_snapshot_version
from westward.store.schema import DATASETS, REPLICAS

PAGE_MOST = 1_000
_FILES: TypeAdapter[tuple[DataFile, ...]] = TypeAdapter(tuple[DataFile, ...])
_RULES: TypeAdapter[tuple[TagRule, ...]] = TypeAdapter(tuple[TagRule, ...])

Reference = tuple[str, int]
"""Name and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """``created`` false: the newest version was just this already."""

    dataset: DataSet
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTheOwner:
    """The name belongs to somebody else."""

    name: str
    owner: str


def add_dataset(
    store: Store,
    *,
    name: str,
    owner: str,
    files: Sequence[DataFile],
    licence: str,
    residency: Sequence[TagRule],
    price_micros_per_gb: int | None,
    replica: Replica,
    now_ms: int,
) -> Added | NotTheOwner:
    """A new version, unless the newest has the same bytes and terms: then only the copy is noted.
    Durable on return."""
    with store.write() as connection:
        newest = newest_of(connection, name)
        if newest is not None and newest.owner != owner:
            return NotTheOwner(name=name, owner=newest.owner)
        digest = manifest_digest(files)
        wanted = (digest, licence, tuple(residency), price_micros_per_gb)
        if newest is not None and wanted == (
            newest.digest,
            newest.licence,
            newest.residency,
            newest.price_micros_per_gb,
        ):
            put_replica(connection, name, newest.version, replica)
            made, created = newest, False
        else:
            made = DataSet(
                name=name,
                version=newest.version + 1 if newest is not None else 1,
                owner=owner,
                size_bytes=sum(one.size_bytes for one in files),
                digest=digest,
                files=tuple(sorted(files, key=lambda one: one.path)),
                licence=licence,
                residency=tuple(residency),
                price_micros_per_gb=price_micros_per_gb,
                created_ms=now_ms,
            )
            put_dataset(connection, made, replica)
            created = True
        raise_snapshot_version(connection)
        return Added(dataset=_with_replicas(connection, made), created=created)


def put_dataset(
    connection: Connection, made: DataSet, replica: Replica, made_by_run: str | None = None
) -> None:
    connection.execute(
        insert(DATASETS),
        {
            "name": made.name,
            "version": made.version,
            "owner": made.owner,
            "digest": made.digest,
            "size_bytes": made.size_bytes,
            "files": _FILES.dump_json(made.files).decode(),
            "licence": made.licence,
            "residency": _RULES.dump_json(made.residency).decode(),
            "price_micros_per_gb": made.price_micros_per_gb,
            "created_ms": made.created_ms,
            "made_by_run": made_by_run,
            "provenance": None if made.provenance is None else codec.to_json(made.provenance),
        },
    )
    put_replica(connection, made.name, made.version, replica)


def put_replica(connection: Connection, name: str, version: int, replica: Replica) -> None:
    """Notes a copy; one at the same site is replaced (its URL may have changed, or its bytes)."""
    key = (
        REPLICAS.c.name == name,
        REPLICAS.c.version == version,
        REPLICAS.c.site == replica.site,
    )
    values = {"url": replica.url, "added_ms": replica.added_ms, "suspect": replica.suspect}
    if connection.execute(update(REPLICAS).where(*key).values(**values)).rowcount == 0:
        row = {"name": name, "version": version, "site": replica.site, **values}
        connection.execute(insert(REPLICAS), row)


def add_replica(store: Store, name: str, version: int, replica: Replica) -> DataSet | None:
    """None: there is no such version."""
    with store.write() as connection:
        found = dataset_of(connection, name, version)
        if found is None:
            return None
        put_replica(connection, name, found.version, replica)
        raise_snapshot_version(connection)
        return _with_replicas(connection, found)


def remove_replica(store: Store, name: str, version: int, site: str) -> DataSet | None:
    """Forgets a copy (its bytes are its site's). None: there was none."""
    with store.write() as connection:
        found = dataset_of(connection, name, version)
        if found is None:
            return None
        gone = connection.execute(
            delete(REPLICAS).where(
                REPLICAS.c.name == name,
                REPLICAS.c.version == found.version,
                REPLICAS.c.site == site,
            )
        )
        if gone.rowcount == 0:
            return None
        raise_snapshot_version(connection)
        return _with_replicas(connection, found)


def mark_suspect(connection: Connection, name: str, version: int, site: str, problem: str) -> bool:
    """False: it was known (or is gone)."""
    marked = connection.execute(
        update(REPLICAS)
        .where(
            REPLICAS.c.name == name,
            REPLICAS.c.version == version,
            REPLICAS.c.site == site,
            REPLICAS.c.suspect.is_(None),
        )
        .values(suspect=problem)
    )
    return marked.rowcount == 1


def load_dataset(store: Store, name: str, version: int = 0) -> DataSet | None:
    """With its copies. Version 0: the newest."""
    with store.read() as connection:
        found = dataset_of(connection, name, version)
        return None if found is None else _with_replicas(connection, found)


def list_datasets(store: Store, limit: int = PAGE_MOST, after: str | None = None) -> list[DataSet]:
    """The newest version of each, by name, without files; beginning after the name ``after``."""
    newest = select(DATASETS.c.name, func.max(DATASETS.c.version).label("version"))
    if after is not None:
        newest = newest.where(DATASETS.c.name > after)
    picked = newest.group_by(DATASETS.c.name).order_by(DATASETS.c.name).limit(limit).subquery()
    query = (
        select(DATASETS)
        .join(
            picked,
            (DATASETS.c.name == picked.c.name) & (DATASETS.c.version == picked.c.version),
        )
        .order_by(DATASETS.c.name)
    )
    with store.read() as connection:
        rows = connection.execute(query).mappings().all()
        return [_with_replicas(connection, _dataset(row, files=False)) for row in rows]


def copies_of(store: Store, references: Collection[Reference]) -> dict[Reference, tuple[str, ...]]:
    """Sites with a copy of each, by name; those found wrong only where there is no other."""
    if not references:
        return {}
    names = sorted({name for name, _ in references})
    found: dict[Reference, list[tuple[str, bool]]] = {one: [] for one in references}
    with store.read() as connection:
        for at in range(0, len(names), 500):
            query = select(
                REPLICAS.c.name, REPLICAS.c.version, REPLICAS.c.site, REPLICAS.c.suspect
            ).where(REPLICAS.c.name.in_(names[at : at + 500]))
            for name, version, site, suspect in connection.execute(query):
                if (name, version) in found:
                    found[name, version].append((site, suspect is not None))
    return {one: _trusted(copies) for one, copies in found.items()}


def _trusted(copies: Sequence[tuple[str, bool]]) -> tuple[str, ...]:
    sound = [site for site, suspect in copies if not suspect]
    return tuple(sorted(sound or [site for site, _ in copies]))


def newest_of(connection: Connection, name: str) -> DataSet | None:
    return dataset_of(connection, name, 0)


def dataset_of(connection: Connection, name: str, version: int) -> DataSet | None:
    """Without copies. Version 0: the newest."""
    query = select(DATASETS).where(DATASETS.c.name == name)
    if version:
        query = query.where(DATASETS.c.version == version)
    row = connection.execute(query.order_by(DATASETS.c.version.desc()).limit(1)).mappings().first()
    return None if row is None else _dataset(row)


def dataset_made_by(connection: Connection, run_id: str, name: str) -> DataSet | None:
    query = select(DATASETS).where(DATASETS.c.made_by_run == run_id, DATASETS.c.name == name)
    row = connection.execute(query).mappings().first()
    return None if row is None else _dataset(row)


def load_made_by(store: Store, run_ids: Collection[str]) -> list[DataSet]:
    """What these runs have published, without files."""
    query = select(DATASETS).where(DATASETS.c.made_by_run.in_(list(run_ids)))
    with store.read() as connection:
        rows = connection.execute(query.order_by(DATASETS.c.created_ms)).mappings().all()
        return [_with_replicas(connection, _dataset(row, files=False)) for row in rows]


def _with_replicas(connection: Connection, found: DataSet) -> DataSet:
    query = select(REPLICAS).where(
        REPLICAS.c.name == found.name, REPLICAS.c.version == found.version
    )
    rows = connection.execute(query.order_by(REPLICAS.c.site)).mappings()
    return replace(
        found,
        replicas=tuple(
            Replica(
                site=row["site"],
                url=row["url"],
                added_ms=row["added_ms"],
                suspect=row["suspect"],
            )
            for row in rows
        ),
    )


def _dataset(row: RowMapping, *, files: bool = True) -> DataSet:
    made = row["provenance"]
    return DataSet(
        name=row["name"],
        version=row["version"],
        owner=row["owner"],
        size_bytes=row["size_bytes"],
        digest=row["digest"],
        files=_FILES.validate_json(row["files"]) if files else (),
        licence=row["licence"],
        residency=_RULES.validate_json(row["residency"]),
        price_micros_per_gb=row["price_micros_per_gb"],
        created_ms=row["created_ms"],
        provenance=None if made is None else codec.from_json(Provenance, made),
    )
