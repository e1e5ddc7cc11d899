"""Meter readings of runs: kept once each, and only while the run may be charged."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, insert, select

from westward.control.machine import Ignored
from westward.model.wire import Reading
from westward.store.database import Store
from westward.store.fencing import run_under
from westward.store.schema import READINGS


def record_readings(
    store: Store, run_id: str, token: int, readings: Sequence[Reading], now_ms: int
) -> Ignored | None:
    """Keeps what is new; None when accepted. A reading known before is ignored, whatever it says
    now: (run, sequence) is its key.

    A repeat after the run's end is answered with code ``repeat``; anything new after it with
    ``run-over``, since the run is settled on what was known when it ended.
    """
    with store.write() as connection:
        run = run_under(connection, run_id, token)
        if isinstance(run, Ignored):
            return run
        if run["live"] != 1:
            known = _known_sequences(connection, run_id, readings)
            repeat = all(reading.sequence in known for reading in readings)
            return Ignored(code="repeat" if repeat else "run-over", reason=f"run {run_id} is over")
        add_readings(connection, run_id, readings, now_ms)
    return None


def load_readings(store: Store, run_id: str) -> tuple[Reading, ...]:
    """By sequence."""
    with store.read() as connection:
        return tuple(
            Reading(
                sequence=row["sequence"],
                wall_ms=row["wall_ms"],
                device_milli_ms=row["device_milli_ms"],
                cpu_ms=row["cpu_ms"],
                max_rss_kib=row["max_rss_kib"],
            )
            for row in connection.execute(_OF_RUN, {"of_run": run_id}).mappings()
        )


def metered_milli_ms(store: Store, run_ids: Sequence[str]) -> dict[str, int]:
    """By run what its readings come to, milli-devices × ms; those without readings are left out."""
    query = (
        select(READINGS.c.run_id, func.sum(READINGS.c.device_milli_ms).label("device_milli_ms"))
        .where(READINGS.c.run_id.in_(run_ids))
        .group_by(READINGS.c.run_id)
    )
    with store.read() as connection:
        return {row.run_id: int(row.device_milli_ms) for row in connection.execute(query)}


def add_readings(
    connection: Connection, run_id: str, readings: Sequence[Reading], now_ms: int
) -> None:
    """Within a transaction that knows the run to be chargeable."""
    if not readings:
        return
    known = _known_sequences(connection, run_id, readings)
    fresh = {r.sequence: r for r in reversed(readings) if r.sequence not in known}
    if not fresh:
        return
    connection.execute(
        _INSERT,
        [
            {
                "run_id": run_id,
                "sequence": reading.sequence,
                "wall_ms": reading.wall_ms,
                "device_milli_ms": reading.device_milli_ms,
                "cpu_ms": reading.cpu_ms,
                "max_rss_kib": reading.max_rss_kib,
                "received_ms": now_ms,
            }
            for _, reading in sorted(fresh.items())
        ],
    )


def _known_sequences(
    connection: Connection, run_id: str, among: Sequence[Reading]
) -> frozenset[int]:
    """Those within the range of ``among``: a run of weeks has many more."""
    if not among:
        return frozenset()
    sequences = [reading.sequence for reading in among]
    values = {"of_run": run_id, "first": min(sequences), "last": max(sequences)}
    return frozenset(connection.execute(_SEQUENCES, values).scalars())


# Built once: every report of every run needs them.
_OF_RUN = (
    select(READINGS).where(READINGS.c.run_id == bindparam("of_run")).order_by(READINGS.c.sequence)
)
_INSERT = insert(READINGS)
_SEQUENCES = select(READINGS.c.sequence).where(
    READINGS.c.run_id == bindparam("of_run"),
    READINGS.c.sequence.between(bindparam("first"), bindparam("last")),
)
