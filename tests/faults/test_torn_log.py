"""What the simulated disk takes for granted of SQLite, on real files: a power cut leaves the log torn
anywhere, or with rubbish at its end; whatever had been committed by then is there, whole, and
nothing else."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from westward.model.job import JobSpec, ResourceOption
from westward.store.database import open_store
from westward.store.jobs import submit_jobs
from westward.store.results import Submission

COMMITS = 12
NOW = 1_800_000_000_000


def _jobs(path: Path) -> list[str]:
    store = open_store(f"sqlite:///{path}")
    try:
        with store.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            rows = connection.exec_driver_sql("SELECT job_id FROM jobs ORDER BY seq")
            found = [str(row[0]) for row in rows]
            told = connection.exec_driver_sql("SELECT COUNT(DISTINCT job_id) FROM story").scalar()
        assert told == len(found), "a job and its story are one transaction"
        return found
    finally:
        store.close()


@pytest.mark.parametrize("kind", ["cut", "rubbish"])
def test_a_torn_log_loses_nothing_that_was_committed_before_the_tear(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "live.db"
    store = open_store(f"sqlite:///{path}")
    with store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2, "FULL"
    log = Path(f"{path}-wal")
    ends: list[int] = []
    for number in range(COMMITS):
        job = JobSpec(
            job_id=f"job_{number:02}", name="x", submit_ms=NOW, options=(ResourceOption(),)
        )
        submit_jobs(store, [Submission(job=job, body_digest="d")], NOW)
        ends.append(log.stat().st_size)
    assert ends == sorted(set(ends)), "nothing was checkpointed: the log only grew"
    whole = log.read_bytes()
    dice = random.Random(kind)
    cuts = {dice.randrange(ends[0], len(whole)) for _ in range(25)} | {ends[3], ends[3] - 1}
    for cut in sorted(cuts):
        copy = tmp_path / f"{cut}" / "torn.db"
        copy.parent.mkdir()
        shutil.copy(path, copy)
        tail = dice.randbytes(len(whole) - cut) if kind == "rubbish" else b""
        Path(f"{copy}-wal").write_bytes(whole[:cut] + tail)
        durable = sum(end <= cut for end in ends)
        assert _jobs(copy) == [f"job_{number:02}" for number in range(durable)]
    store.close()


def test_the_simulated_disk_is_the_database_that_migrations_make(tmp_path: Path) -> None:
    from westward.faultsim.disk import Disk

    open_store(f"sqlite:///{tmp_path / 'real.db'}").close()
    real = sqlite3.connect(tmp_path / "real.db")
    ask = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    assert Disk().raw.execute(ask).fetchall() == real.execute(ask).fetchall()
    real.close()
