"""What runs left when they were stopped, and where it was brought. The bytes themselves lie in
files beside the database (``server.checkpoint_files``); here is what they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pydantic import TypeAdapter
from sqlalchemy import Connection, RowMapping, bindparam, insert, select

from westward.control.machine import Ignored
from westward.control.story import tell
from westward.model.units import BYTES_PER_GB
from westward.model.wire import SavedFile
from westward.store.database import Store
from westward.store.fencing import live_run
from westward.store.results import Checkpoint, CheckpointMove
from westward.store.rows import add_story, chunks, raise_snapshot_version
from westward.store.schema import CHECKPOINT_MOVES, CHECKPOINTS

_FILES: TypeAdapter[tuple[SavedFile, ...]] = TypeAdapter(tuple[SavedFile, ...])


def holder(store: Store, run_id: str, token: int) -> Ignored | str:
    """The job whose run holds a lease under this token: who may bring and fetch its checkpoint."""
    with store.read() as connection:
        found = live_run(connection, run_id, token, lock=False)
    return found if isinstance(found, Ignored) else str(found["job_id"])


def save_checkpoint(
    store: Store,
    run_id: str,
    token: int,
    files: Sequence[SavedFile],
    *,
    at_server: bool,
    now_ms: int,
) -> Checkpoint | Ignored:
    """Notes what the live run left. A repeat answers with what was noted first."""
    with store.write() as connection:
        run = live_run(connection, run_id, token)
        if isinstance(run, Ignored):
            return run
        query = select(CHECKPOINTS).where(CHECKPOINTS.c.run_id == run_id)
        known = connection.execute(query).mappings().one_or_none()
        if known is not None:
            return _checkpoint(known)
        before = _latest(connection, [run["job_id"]]).get(run["job_id"])
        had = {one.sha256 for one in before.files} if before is not None else set()
        fresh = {one.sha256: one.size_bytes for one in files if one.sha256 not in had}
        saved = Checkpoint(
            job_id=run["job_id"],
            run_id=run_id,
            site=run["site"],
            saved_ms=now_ms,
            size_bytes=sum(one.size_bytes for one in files),
            sent_bytes=sum(fresh.values()) if at_server else 0,
            at_server=at_server,
            files=tuple(files),
        )
        connection.execute(
            insert(CHECKPOINTS),
            {
                "run_id": run_id,
                "job_id": saved.job_id,
                "site": saved.site,
                "token": token,
                "saved_ms": now_ms,
                "size_bytes": saved.size_bytes,
                "sent_bytes": saved.sent_bytes,
                "at_server": int(at_server),
                "files": _FILES.dump_json(saved.files).decode(),
            },
        )
        text = f"Its checkpoint of {size_text(saved.size_bytes)} was handed over by {saved.site}"
        if not at_server:
            text = (
                f"Its checkpoint of {size_text(saved.size_bytes)} is larger than the server takes: "
                f"it stays at {saved.site}, and the job goes on there only"
            )
        line = tell(
            now_ms, "checkpoint", text, site=saved.site, run_id=run_id, size_bytes=saved.size_bytes
        )
        add_story(connection, saved.job_id, (line,))
        raise_snapshot_version(connection)
    return saved


def note_move(
    store: Store, run_id: str, token: int, size_bytes: int, now_ms: int
) -> CheckpointMove | Ignored:
    """The site of ``run_id`` has brought the job's newest checkpoint to itself."""
    with store.write() as connection:
        run = live_run(connection, run_id, token)
        if isinstance(run, Ignored):
            return run
        query = select(CHECKPOINT_MOVES).where(CHECKPOINT_MOVES.c.run_id == run_id)
        known = connection.execute(query).mappings().one_or_none()
        if known is not None:
            return _move(known)
        kept = _latest(connection, [run["job_id"]], at_server=True).get(run["job_id"])
        if kept is None:
            return Ignored(code="not-held", reason=f"no checkpoint of {run['job_id']} is kept")
        row: dict[str, object] = {
            "run_id": run_id,
            "job_id": run["job_id"],
            "from_site": kept.site,
            "to_site": run["site"],
            "size_bytes": size_bytes,
            "moved_ms": now_ms,
        }
        connection.execute(insert(CHECKPOINT_MOVES), row)
        text = (
            f"Its checkpoint from {kept.site} came to {run['site']}: {size_text(size_bytes)} moved"
        )
        line = tell(now_ms, "checkpoint-moved", text, site=run["site"], size_bytes=size_bytes)
        add_story(connection, run["job_id"], (line,))
    return CheckpointMove(
        run_id=run_id,
        from_site=kept.site,
        to_site=run["site"],
        size_bytes=size_bytes,
        moved_ms=now_ms,
    )


def latest_checkpoints(store: Store, job_ids: Collection[str]) -> dict[str, Checkpoint]:
    """The newest of each job that has one, wherever it lies."""
    with store.read() as connection:
        return _latest(connection, job_ids)


def kept_checkpoint(store: Store, job_id: str) -> Checkpoint | None:
    """The newest that the server holds."""
    with store.read() as connection:
        return _latest(connection, [job_id], at_server=True).get(job_id)


def kept_at_server(connection: Connection, job_ids: Collection[str]) -> frozenset[str]:
    """Those jobs of which the server holds a checkpoint."""
    return frozenset(_latest(connection, job_ids, at_server=True))


def load_checkpoints(store: Store, job_id: str) -> tuple[Checkpoint, ...]:
    """All that the job's runs left, oldest first."""
    query = select(CHECKPOINTS).where(CHECKPOINTS.c.job_id == job_id)
    with store.read() as connection:
        rows = connection.execute(query.order_by(CHECKPOINTS.c.token)).mappings()
        return tuple(_checkpoint(row) for row in rows)


def load_moves(store: Store, job_id: str) -> tuple[CheckpointMove, ...]:
    query = select(CHECKPOINT_MOVES).where(CHECKPOINT_MOVES.c.job_id == job_id)
    with store.read() as connection:
        rows = connection.execute(query.order_by(CHECKPOINT_MOVES.c.moved_ms)).mappings()
        return tuple(_move(row) for row in rows)


def size_text(size_bytes: int) -> str:
    if size_bytes >= BYTES_PER_GB:
        return f"{size_bytes / BYTES_PER_GB:.3g} GB"
    if size_bytes >= 1_000_000:
        return f"{size_bytes / 1_000_000:.3g} MB"
    return f"{size_bytes} bytes"


def _latest(
    connection: Connection, job_ids: Collection[str], *, at_server: bool = False
) -> dict[str, Checkpoint]:
    found: dict[str, Checkpoint] = {}
    for chunk in chunks(dict.fromkeys(job_ids)):
        query = _OF_JOBS_AT_SERVER if at_server else _OF_JOBS
        for row in connection.execute(query, {"ids": chunk}).mappings():
            found[row["job_id"]] = _checkpoint(row)
    return found


_OF_JOBS = (
    select(CHECKPOINTS)
    .where(CHECKPOINTS.c.job_id.in_(bindparam("ids", expanding=True)))
    .order_by(CHECKPOINTS.c.token)
)
_OF_JOBS_AT_SERVER = _OF_JOBS.where(CHECKPOINTS.c.at_server == 1)


def _checkpoint(row: RowMapping) -> Checkpoint:
    return Checkpoint(
        job_id=row["job_id"],
        run_id=row["run_id"],
        site=row["site"],
        saved_ms=row["saved_ms"],
        size_bytes=row["size_bytes"],
        sent_bytes=row["sent_bytes"],
        at_server=bool(row["at_server"]),
        files=_FILES.validate_json(row["files"]),
    )


def _move(row: RowMapping) -> CheckpointMove:
    return CheckpointMove(
        run_id=row["run_id"],
        from_site=row["from_site"],
        to_site=row["to_site"],
        size_bytes=row["size_bytes"],
        moved_ms=row["moved_ms"],
    )
