"""What runs read, where it came from, how many bytes moved for it, and what they published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from westward.control.machine import Ignored
from westward.control.story import tell
from westward.model.dataset import (
    DataSet,
    Provenance,
    Replica,
    UsedInput,
    joint_terms,
    manifest_digest,
)
from westward.model.job import JobSpec, TagRule
from westward.model.wire import DataMoved, DataPublished, DataStaged
from westward.store.catalogue import (
    dataset_made_by,
    mark_suspect,
    newest_of,
    put_dataset,
)
from westward.store.checkpoints import size_text
from westward.store.database import Store
from westward.store.fencing import live_run
from westward.store.rows import add_story, load_records, raise_snapshot_version
from westward.store.schema import DATA_MOVES, DATA_USES


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A live run that asks for data."""

    job_id: str
    run_id: str
    site: str
    job: JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DataUse:
    """One data set as one run read it: the proof that its terms were kept.

    ``tags``: of ``to_site``, those that the terms name, as they were when the terms were checked
    (``checked_ms``), before a byte was given. ``staged_ms`` None: it never became whole there.
    """

    run_id: str
    dataset: str
    version: int
    digest: str
    from_site: str
    url: str
    to_site: str
    terms: tuple[TagRule, ...]
    tags: tuple[tuple[str, str], ...]
    checked_ms: int
    staged_ms: int | None
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedBytes:
    """Of one run over one line, all messages added up."""

    run_id: str
    dataset: str
    version: int
    from_site: str
    to_site: str
    size_bytes: int
    wall_ms: int


def reader_of(store: Store, run_id: str, token: int) -> Reader | Ignored:
    """Who asks; ``Ignored`` if the run holds no lease under this token."""
    with store.read() as connection:
        run = live_run(connection, run_id, token, lock=False)
        if isinstance(run, Ignored):
            return run
        record = load_records(store, connection, [run["job_id"]])[run["job_id"]]
        return Reader(job_id=run["job_id"], run_id=run_id, site=run["site"], job=record.job)


def note_use(
    store: Store, token: int, use: DataUse, suspect: tuple[str, str] | None, now_ms: int
) -> Ignored | None:
    """The terms were checked and a source is about to be given. ``suspect``: (site, problem) of
    the copy that the site found wrong before it asked again."""
    with store.write() as connection:
        run = live_run(connection, use.run_id, token)
        if isinstance(run, Ignored):
            return run
        if suspect is not None:
            note_suspect(
                connection, run["job_id"], use.dataset, use.version, *suspect, now_ms=now_ms
            )
        key = (
            DATA_USES.c.run_id == use.run_id,
            DATA_USES.c.name == use.dataset,
            DATA_USES.c.version == use.version,
        )
        values = {
            "digest": use.digest,
            "from_site": use.from_site,
            "url": use.url,
            "to_site": use.to_site,
            "terms": json.dumps([[rule.key, list(rule.values)] for rule in use.terms]),
            "tags": json.dumps([list(pair) for pair in use.tags]),
            "checked_ms": use.checked_ms,
        }
        asked_again = connection.execute(
            update(DATA_USES).where(*key, DATA_USES.c.staged_ms.is_(None)).values(**values)
        ).rowcount
        known = connection.execute(select(DATA_USES.c.run_id).where(*key)).first()
        if not asked_again and known is None:
            connection.execute(
                insert(DATA_USES),
                {
                    "run_id": use.run_id,
                    "name": use.dataset,
                    "version": use.version,
                    "job_id": run["job_id"],
                    "staged_ms": None,
                    "cached": 0,
                    **values,
                },
            )
    return None


def note_suspect(
    connection: Connection,
    job_id: str,
    name: str,
    version: int,
    site: str,
    problem: str,
    *,
    now_ms: int,
) -> None:
    if mark_suspect(connection, name, version, site, problem):
        raise_snapshot_version(connection)
    text = f"The copy of {name}@{version} at {site} was refused: {problem}"
    add_story(connection, job_id, (tell(now_ms, "data-refused", text, site=site),))


def tell_suspect(
    store: Store, run_id: str, token: int, name: str, version: int, site: str, problem: str,
    now_ms: int,
) -> None:  # fmt: skip
    """As ``note_use`` does, where no other source is left to be given."""
    with store.write() as connection:
        run = live_run(connection, run_id, token)
        if not isinstance(run, Ignored):
            note_suspect(connection, run["job_id"], name, version, site, problem, now_ms=now_ms)


def record_move(store: Store, run_id: str, moved: DataMoved, now_ms: int) -> Ignored | None:
    """Kept once for each (run, sequence), while the run may be charged."""
    with store.write() as connection:
        key = (DATA_MOVES.c.run_id == run_id, DATA_MOVES.c.sequence == moved.sequence)
        known = connection.execute(select(DATA_MOVES.c.sequence).where(*key)).first() is not None
        run = live_run(connection, run_id, moved.token)
        if isinstance(run, Ignored):
            repeat = known and run.code == "run-over"
            return Ignored(code="repeat", reason=run.reason) if repeat else run
        if known:
            return None
        connection.execute(
            insert(DATA_MOVES),
            {
                "run_id": run_id,
                "sequence": moved.sequence,
                "job_id": run["job_id"],
                "name": moved.dataset,
                "version": moved.version,
                "from_site": moved.source_site,
                "to_site": run["site"],
                "size_bytes": moved.size_bytes,
                "wall_ms": moved.wall_ms,
                "received_ms": now_ms,
            },
        )
    return None


def note_staged(store: Store, run_id: str, staged: DataStaged, now_ms: int) -> Ignored | None:
    """The data set is whole at the site. Refused unless its terms were checked for this run and
    it is the data set that was asked for. A repeat is accepted."""
    with store.write() as connection:
        run = live_run(connection, run_id, staged.token)
        if isinstance(run, Ignored):
            return run
        key = (
            DATA_USES.c.run_id == run_id,
            DATA_USES.c.name == staged.dataset,
            DATA_USES.c.version == staged.version,
        )
        row = connection.execute(select(DATA_USES).where(*key)).mappings().one_or_none()
        reference = f"{staged.dataset}@{staged.version}"
        if row is None:
            return Ignored(code="not-asked", reason=f"the run never asked for {reference}")
        if row["digest"] != staged.digest:
            text = f"{reference} has the digest {row['digest']}, not {staged.digest}"
            return Ignored(code="other-digest", reason=text)
        if row["staged_ms"] is not None:
            return None
        connection.execute(
            update(DATA_USES)
            .where(*key)
            .values(staged_ms=now_ms, cached=int(staged.cached), from_site=staged.source_site)
        )
        moved = connection.execute(
            select(func.coalesce(func.sum(DATA_MOVES.c.size_bytes), 0)).where(
                DATA_MOVES.c.run_id == run_id,
                DATA_MOVES.c.name == staged.dataset,
                DATA_MOVES.c.version == staged.version,
            )
        ).scalar_one()
        terms = " and ".join(f"{key} {' or '.join(v)}" for key, v in json.loads(row["terms"]))
        came = "was at hand" if staged.cached else f"came, {size_text(int(moved))} fetched,"
        kept = f"its terms ({terms}) hold there" if terms else "it has no residency terms"
        text = (
            f"Data set {reference} {came} from {staged.source_site} at {run['site']}, "
            f"sha256 {staged.digest[:12]}…; {kept}"
        )
        line = tell(now_ms, "data-staged", text, site=run["site"], run_id=run_id)
        add_story(connection, run["job_id"], (line,))
    return None


def publish(store: Store, run_id: str, published: DataPublished, now_ms: int) -> DataSet | Ignored:
    """The output becomes a version. Its owner is who pays for the job; it keeps every residency
    term under which it was made. A repeat answers with what was made first."""
    with store.write() as connection:
        run = live_run(connection, run_id, published.token)
        if isinstance(run, Ignored):
            return run
        made = dataset_made_by(connection, run_id, published.dataset)
        if made is not None:
            return made
        job = load_records(store, connection, [run["job_id"]])[run["job_id"]].job
        newest = newest_of(connection, published.dataset)
        owner = job.account or ""
        if newest is not None and newest.owner != owner:
            text = f"the data set {published.dataset} belongs to {newest.owner or 'nobody'}"
            return Ignored(code="not-the-owner", reason=text)
        made = DataSet(
            name=published.dataset,
            version=newest.version + 1 if newest is not None else 1,
            owner=owner,
            size_bytes=sum(one.size_bytes for one in published.files),
            digest=manifest_digest(published.files),
            files=tuple(sorted(published.files, key=lambda one: one.path)),
            licence="",
            residency=joint_terms([[rule] for rule in job.residency]),
            price_micros_per_gb=None,
            created_ms=now_ms,
            provenance=_provenance(job, run_id, run["site"]),
        )
        replica = Replica(site=run["site"], url=published.url, added_ms=now_ms)
        put_dataset(connection, made, replica, made_by_run=run_id)
        text = f"Published {made.reference}: {size_text(made.size_bytes)} at {run['site']}"
        line = tell(now_ms, "data-published", text, site=run["site"], run_id=run_id)
        add_story(connection, run["job_id"], (line,))
        raise_snapshot_version(connection)
    return made


def _provenance(job: JobSpec, run_id: str, site: str) -> Provenance:
    return Provenance(
        job_id=job.job_id,
        run_id=run_id,
        site=site,
        run_sha256=hashlib.sha256(job.work.run.encode()).hexdigest(),
        setup_sha256=hashlib.sha256(job.work.setup.encode()).hexdigest(),
        inputs=tuple(
            UsedInput(dataset=one.dataset, version=one.version, digest=one.digest)
            for one in job.datasets
        ),
    )


def load_uses(store: Store, job_id: str) -> tuple[DataUse, ...]:
    """By the instant their terms were checked."""
    query = select(DATA_USES).where(DATA_USES.c.job_id == job_id)
    with store.read() as connection:
        rows = connection.execute(query.order_by(DATA_USES.c.checked_ms, DATA_USES.c.name))
        return tuple(
            DataUse(
                run_id=row["run_id"],
                dataset=row["name"],
                version=row["version"],
                digest=row["digest"],
                from_site=row["from_site"],
                url=row["url"],
                to_site=row["to_site"],
                terms=tuple(
                    TagRule(key=key, values=tuple(values))
                    for key, values in json.loads(row["terms"])
                ),
                tags=tuple((key, value) for key, value in json.loads(row["tags"])),
                checked_ms=row["checked_ms"],
                staged_ms=row["staged_ms"],
                cached=bool(row["cached"]),
            )
            for row in rows.mappings()
        )


def load_moved(store: Store, job_id: str, run_id: str | None = None) -> tuple[MovedBytes, ...]:
    """Bytes fetched for the job's runs (or for one), by run, data set and line."""
    by = (
        DATA_MOVES.c.run_id,
        DATA_MOVES.c.name,
        DATA_MOVES.c.version,
        DATA_MOVES.c.from_site,
        DATA_MOVES.c.to_site,
    )
    query = (
        select(
            *by,
            func.sum(DATA_MOVES.c.size_bytes).label("size_bytes"),
            func.sum(DATA_MOVES.c.wall_ms).label("wall_ms"),
        )
        .where(DATA_MOVES.c.job_id == job_id)
        .group_by(*by)
        .order_by(*by)
    )
    if run_id is not None:
        query = query.where(DATA_MOVES.c.run_id == run_id)
    with store.read() as connection:
        return tuple(
            MovedBytes(
                run_id=row["run_id"],
                dataset=row["name"],
                version=row["version"],
                from_site=row["from_site"],
                to_site=row["to_site"],
                size_bytes=int(row["size_bytes"]),
                wall_ms=int(row["wall_ms"]),
            )
            for row in connection.execute(query).mappings()
        )


def staged_digests(uses: Sequence[DataUse], run_id: str) -> frozenset[tuple[str, int]]:
    """The data sets that were whole at the site for this run."""
    return frozenset(
        (one.dataset, one.version)
        for one in uses
        if one.run_id == run_id and one.staged_ms is not None
    )
