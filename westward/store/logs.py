"""What jobs print, byte by byte, by run and rank. It outlives the agent that shipped it."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, insert, select

from westward.control.machine import Ignored
from westward.control.records import RunState
from westward.store.database import Store
from westward.store.fencing import run_under
from westward.store.results import LogEnd, LogGap
from westward.store.rows import load_records
from westward.store.schema import LOG_CHUNKS

LOG_BYTES_MAX = 64 * 1024 * 1024
"""Kept of one rank's output; what follows is dropped and the sender is told."""
LOG_READ_BYTES = 1024 * 1024
"""Answered by one ``read_log`` unless asked otherwise."""


def append_log(
    store: Store, run_id: str, token: int, rank: int, offset: int, data: bytes, now_ms: int
) -> LogEnd | LogGap | Ignored:
    """Adds ``data`` at ``offset`` of one rank's output. Bytes known before are skipped, so every
    chunk may be sent again; a chunk past the known end is refused with where to go on from.

    Accepted under the run's token, also after its end (the last chunk may come late), but not of
    a run that was lost. ``now_ms`` is taken for symmetry with other reports; nothing keeps it.
    """
    del now_ms
    with store.write() as connection:
        run = run_under(connection, run_id, token)
        if isinstance(run, Ignored):
            return run
        if run["state"] == RunState.LOST.value:
            return Ignored(code="run-over", reason=f"run {run_id} was lost")
        end = _end(connection, run_id, rank)
        if end == 0 and not 0 <= rank < _nodes(store, connection, run["job_id"]):
            return Ignored(code="unknown-run", reason=f"run {run_id} has no rank {rank}")
        if offset > end:
            return LogGap(expected_offset=end)
        fresh = data[end - offset :][: LOG_BYTES_MAX - end]
        if fresh:
            connection.execute(
                _INSERT,
                {"run_id": run_id, "rank": rank, "start": end, "size": len(fresh), "data": fresh},
            )
            end += len(fresh)
    return LogEnd(next_offset=end, full=end >= LOG_BYTES_MAX)


def read_log(
    store: Store, run_id: str, rank: int = 0, offset: int = 0, limit_bytes: int = LOG_READ_BYTES
) -> bytes:
    """Up to ``limit_bytes`` from ``offset``; empty at the end, for an unknown run or rank."""
    query = (
        select(LOG_CHUNKS.c.start, LOG_CHUNKS.c.data)
        .where(
            LOG_CHUNKS.c.run_id == run_id,
            LOG_CHUNKS.c.rank == rank,
            LOG_CHUNKS.c.start + LOG_CHUNKS.c.size > offset,
            LOG_CHUNKS.c.start < offset + limit_bytes,
        )
        .order_by(LOG_CHUNKS.c.start)
    )
    parts: list[bytes] = []
    with store.read() as connection:
        for start, data in connection.execute(query):
            parts.append(data[max(0, offset - start) : offset + limit_bytes - start])
    return b"".join(parts)


def log_ranks(store: Store, run_id: str) -> tuple[tuple[int, int], ...]:
    """(rank, bytes kept) of every rank that printed something."""
    query = (
        select(LOG_CHUNKS.c.rank, func.sum(LOG_CHUNKS.c.size))
        .where(LOG_CHUNKS.c.run_id == run_id)
        .group_by(LOG_CHUNKS.c.rank)
        .order_by(LOG_CHUNKS.c.rank)
    )
    with store.read() as connection:
        return tuple((int(rank), int(size)) for rank, size in connection.execute(query))


def _nodes(store: Store, connection: Connection, job_id: str) -> int:
    return load_records(store, connection, [job_id])[job_id].job.nodes


def _end(connection: Connection, run_id: str, rank: int) -> int:
    values = {"of_run": run_id, "of_rank": rank}
    return int(connection.execute(_END, values).scalar_one_or_none() or 0)


_INSERT = insert(LOG_CHUNKS)
_END = (
    select(LOG_CHUNKS.c.start + LOG_CHUNKS.c.size)
    .where(LOG_CHUNKS.c.run_id == bindparam("of_run"), LOG_CHUNKS.c.rank == bindparam("of_rank"))
    .order_by(LOG_CHUNKS.c.start.desc())
    .limit(1)
)
