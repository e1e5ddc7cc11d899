"""PostgreSQL's own way back to a moment, as docs/operations.md tells it: a base backup taken while a
store is written to, the archived WAL, and a recovery up to a time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.engines_up.postgres import Postgres
from tests.live.harness import until
from westward.ledger.accounts import Account, AccountKind
from westward.ledger.transfers import Transfer, TransferKind
from westward.model.job import JobSpec, ResourceOption
from westward.store import Store, jobs, ledger, open_store
from westward.store.ledger_audit import audit_ledger
from westward.store.results import Submission

pytestmark = pytest.mark.timeout(300)
SETTINGS = (
    "wal_level=replica", "archive_mode=on", "archive_timeout=60",
)  # fmt: skip


@pytest.fixture
def archived() -> Iterator[Postgres]:
    made = Postgres.start(*SETTINGS)
    yield made
    made.stop()


def run(server: Postgres, *command: str) -> None:
    done = subprocess.run(
        server.program(*command), cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def write(store: Store, number: int) -> None:
    """A job and a transfer, in one transaction."""
    job_id = f"job_{number}"
    job = JobSpec(job_id=job_id, name="j", submit_ms=1, options=(ResourceOption(cpus_milli=1),))
    accounts = [
        Account(account_id="a", kind=AccountKind.EXTERNAL, unit="CNY", overdraft=True),
        Account(account_id="b", kind=AccountKind.PROJECT, unit="CNY"),
    ]
    one = Transfer(
        transfer_id=job_id, kind=TransferKind.POSTED, debit="a", credit="b", amount=number
    )
    with store.together():
        jobs.submit_jobs(store, [Submission(job=job, body_digest=job_id)], 1)
        ledger.open_accounts(store, accounts, 1)
        ledger.post(store, [one], 2)


def test_back_to_a_moment_by_base_backup_and_archive(archived: Postgres) -> None:
    archive, base = archived.folder / "archive", archived.folder / "base"
    as_user = archived.program("psql")[:-1]  # setpriv …, for commands that are not PostgreSQL's
    subprocess.run([*as_user, "mkdir", str(archive)], check=True)
    url = archived.create("westward")
    store = open_store(url, turns=True)
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text(
                f"ALTER SYSTEM SET archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'"
            )
        )
        connection.execute(text("SELECT pg_reload_conf()"))
    write(store, 1)
    run(
        archived, "pg_basebackup", "-h", str(archived.folder), "-U", "postgres",
        "-D", str(base), "-c", "fast", "-X", "none", "--no-manifest",
    )  # fmt: skip
    write(store, 2)
    with store.read() as connection:
        moment = connection.execute(text("SELECT clock_timestamp()::text")).scalar_one()
    time.sleep(0.05)
    write(store, 3)
    write(store, 4)
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        last = connection.execute(text("SELECT pg_walfile_name(pg_switch_wal())")).scalar_one()
    until(lambda: (archive / str(last)).exists(), "the last segment is archived")
    store.close()
    run(archived, "pg_ctl", "-D", str(archived.folder / "data"), "-m", "fast", "-w", "stop")
    for command in (
        ["mv", str(archived.folder / "data"), str(archived.folder / "lost")],
        ["mv", str(base), str(archived.folder / "data")],
        ["touch", str(archived.folder / "data" / "recovery.signal")],
    ):
        subprocess.run([*as_user, *command], check=True)
    told(archived.folder / "data" / "postgresql.auto.conf", archive, moment)
    archived.again()
    again = open_store(url, migrate=False)
    until(lambda: not recovering(again), "the recovery is over")
    assert {one.job_id for one in jobs.list_jobs(again)} == {"job_1", "job_2"}
    report = audit_ledger(again)
    assert (report.faults, report.transfers) == ((), 2)
    write(again, 5)  # and it takes writes
    again.close()


def told(file: Path, archive: Path, moment: str) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write(f"restore_command = 'cp {archive}/%f %p'\n")
        out.write(f"recovery_target_time = '{moment}'\n")
        out.write("recovery_target_action = 'promote'\n")


def recovering(store: Store) -> bool:
    with store.read() as connection:
        return bool(connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one())
