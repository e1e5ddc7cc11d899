"""Copies of a database that is written to meanwhile, and what is made of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from westward.cli.cmd_backup import backup, restore
from westward.cli.fail import Failure
from westward.ledger.accounts import Account, AccountKind
from westward.ledger.transfers import Transfer, TransferKind
from westward.model.job import JobSpec, ResourceOption
from westward.store import Store, jobs, ledger, open_store
from westward.store.backup import BackupTrouble, copies, drop_copies, restore_copy, take_copy
from westward.store.jobs import list_jobs
from westward.store.ledger_audit import audit_ledger
from westward.store.results import Submission
from westward.store.rows import raise_counter, read_counter
from westward.store.schema import FENCING_TOKEN


def submit(store: Store, job_id: str) -> None:
    job = JobSpec(job_id=job_id, name="j", submit_ms=1, options=(ResourceOption(cpus_milli=1),))
    jobs.submit_jobs(store, [Submission(job=job, body_digest=job_id)], 1)


def pay(store: Store, name: str, micros: int) -> None:
    accounts = [
        Account(account_id="a", kind=AccountKind.EXTERNAL, unit="CNY", overdraft=True),
        Account(account_id="b", kind=AccountKind.PROJECT, unit="CNY"),
    ]
    ledger.open_accounts(store, accounts, 1)
    one = Transfer(transfer_id=name, kind=TransferKind.POSTED, debit="a", credit="b", amount=micros)
    ledger.post(store, [one], 2)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "westward.db"


@pytest.fixture
def store(database: Path) -> Store:
    return open_store(f"sqlite:///{database}")


def job_ids(path: Path) -> list[str]:
    store = open_store(f"sqlite:///{path}")
    found = [one.job_id for one in list_jobs(store)]
    assert not audit_ledger(store).faults
    store.close()
    return found


def test_each_copy_is_a_moment_to_go_back_to(tmp_path: Path, database: Path, store: Store) -> None:
    folder = tmp_path / "copies"
    for at in range(1, 4):
        submit(store, f"job_{at}")
        pay(store, f"t{at}", 10)
        taken = take_copy(database, folder, 1_000 * at)
        assert taken.copy.taken_ms == 1_000 * at
    assert [one.taken_ms for one in copies(folder)] == [1_000, 2_000, 3_000]
    for at, wanted in ((1_000, 1), (1_999, 1), (2_000, 2), (9_000, 3), (None, 3)):
        made = tmp_path / f"made-{at}.db"
        done = restore_copy(folder, made, at)
        assert done.transfers == wanted
        assert job_ids(made) == [f"job_{one}" for one in range(1, wanted + 1)]
    store.close()


def test_what_is_equal_is_kept_once(tmp_path: Path, database: Path, store: Store) -> None:
    for at in range(300):
        submit(store, f"job_{at}")
    first = take_copy(database, tmp_path / "c", 1)
    submit(store, "job_more")
    second = take_copy(database, tmp_path / "c", 2)
    fresh = set(second.copy.parts) - set(first.copy.parts)
    assert 0 < len(fresh) <= len(first.copy.parts) * 2 / 3
    assert 0 < second.new_bytes < first.new_bytes
    store.close()


def test_tokens_of_after_the_copy_are_not_given_out_again(
    tmp_path: Path, database: Path, store: Store
) -> None:
    take_copy(database, tmp_path / "c", 1)
    with store.write() as connection:
        later = [raise_counter(connection, FENCING_TOKEN) for _ in range(50)]
    done = restore_copy(tmp_path / "c", tmp_path / "made.db")
    made = open_store(f"sqlite:///{tmp_path / 'made.db'}")
    with made.write() as connection:
        assert read_counter(connection, FENCING_TOKEN) == done.tokens_from
        assert raise_counter(connection, FENCING_TOKEN) > max(later)
    made.close()
    store.close()


def test_a_copy_is_of_one_moment_while_others_write(
    tmp_path: Path, database: Path, store: Store
) -> None:
    """Each of the writer's transactions is a job and a transfer; no copy has one without the
    other."""
    pay(store, "first", 1)
    over = threading.Event()

    def write() -> None:
        at = 0
        while not over.is_set():
            with store.together():
                submit(store, f"job_{at}")
                pay(store, f"t_{at}", 1)
            at += 1

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    for at in range(1, 6):
        take_copy(database, tmp_path / "c", at)
        made = tmp_path / f"{at}.db"
        transfers = restore_copy(tmp_path / "c", made).transfers
        seen.append(len(job_ids(made)))
        assert transfers == seen[-1] + 1 or seen[-1] == 100  # a page of jobs
    over.set()
    writer.join()
    assert seen == sorted(seen)
    store.close()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("flip", "damaged"),
        ("lose", "is missing"),
        ("head", "is no folder of backups"),
        ("copy", "is damaged"),
    ],
)
def test_a_damaged_copy_is_refused_and_nothing_made(
    tmp_path: Path, database: Path, store: Store, harm: str, told: str
) -> None:
    folder = tmp_path / "c"
    submit(store, "job_1")
    take_copy(database, folder, 1)
    part = max((folder / "parts").glob("*/*"), key=lambda one: one.stat().st_size)
    match harm:
        case "flip":
            data = bytearray(part.read_bytes())
            data[len(data) // 2] ^= 1
            part.write_bytes(data)
        case "lose":
            part.unlink()
        case "head":
            (folder / "backup.json").unlink()
        case "copy":
            next((folder / "copies").iterdir()).write_text("{")
    with pytest.raises(BackupTrouble, match=told):
        restore_copy(folder, tmp_path / "made.db")
    assert not list(tmp_path.glob("made.db*"))
    store.close()


def test_a_ledger_that_does_not_add_up_is_refused(
    tmp_path: Path, database: Path, store: Store
) -> None:
    """A database can be whole and wrong: somebody wrote past the guards."""
    import sqlite3

    pay(store, "t", 10)
    store.close()
    with sqlite3.connect(database) as raw:
        raw.execute("UPDATE ledger_accounts SET credits_posted = 11 WHERE account_id = 'b'")
    raw.close()
    take_copy(database, tmp_path / "c", 1)
    with pytest.raises(BackupTrouble, match="does not add up"):
        restore_copy(tmp_path / "c", tmp_path / "made.db")
    assert not (tmp_path / "made.db").exists()


def test_nothing_is_overwritten_or_mixed(tmp_path: Path, database: Path, store: Store) -> None:
    take_copy(database, tmp_path / "c", 5)
    with pytest.raises(BackupTrouble, match="nothing is overwritten"):
        restore_copy(tmp_path / "c", database)
    (tmp_path / "made.db-wal").write_text("")
    with pytest.raises(BackupTrouble, match="nothing is overwritten"):
        restore_copy(tmp_path / "c", tmp_path / "made.db")
    shutil.copy(database, tmp_path / "other.db")
    with pytest.raises(BackupTrouble, match="holds copies of"):
        take_copy(tmp_path / "other.db", tmp_path / "c", 6)
    with pytest.raises(BackupTrouble, match="is no folder of backups"):
        take_copy(database, tmp_path, 6)
    with pytest.raises(BackupTrouble, match="of a later time"):
        take_copy(database, tmp_path / "c", 5)
    with pytest.raises(BackupTrouble, match="no copy of that time"):
        restore_copy(tmp_path / "c", tmp_path / "new.db", 4)
    store.close()


def test_old_copies_go_with_their_parts_and_the_last_stays(
    tmp_path: Path, database: Path, store: Store
) -> None:
    folder = tmp_path / "c"
    for at in range(1, 5):
        submit(store, f"job_{at}")
        take_copy(database, folder, at)
    had = len(list((folder / "parts").glob("*/*")))
    assert drop_copies(folder, 4) == 3
    assert drop_copies(folder, 99) == 0
    assert [one.taken_ms for one in copies(folder)] == [4]
    assert len(list((folder / "parts").glob("*/*"))) < had
    restore_copy(folder, tmp_path / "made.db")
    assert len(job_ids(tmp_path / "made.db")) == 4
    store.close()


def test_the_commands(tmp_path: Path, database: Path, store: Store) -> None:
    submit(store, "job_1")
    run = CliRunner()
    made, folder = tmp_path / "made.db", tmp_path / "c"
    done = run.invoke(backup, [str(folder), "--store", str(database), "--json"])
    assert done.exit_code == 0, done.output
    taken = json.loads(done.output)
    listed = json.loads(run.invoke(restore, [str(folder), "--list", "--json"]).output)
    assert [one["taken_ms"] for one in listed] == [taken["taken_ms"]]
    told = run.invoke(restore, [str(folder), str(made)])
    assert told.exit_code == 0
    assert "Checked: digests, pages, the ledger's 0 transfers" in told.output
    assert job_ids(made) == ["job_1"]
    for command, arguments, why in (
        (restore, [str(folder), str(made)], "nothing is overwritten"),
        (restore, [str(folder)], "name the FILE"),
        (restore, [str(folder), "x.db", "--at", "2020-01-01T00:00:00Z"], "no copy of that time"),
        (restore, [str(folder), "x.db", "--at", "noon"], "--at"),
        (backup, [str(folder), "--store", "postgresql://h/d"], "pg_basebackup"),
        (backup, [str(folder), "--store", "mysql://h/d"], "name a file"),
        (backup, [str(folder), "--store", str(tmp_path / "no.db")], "there is no database"),
        (backup, [str(folder), "--store", str(database), "--every", "10ms"], "at least 1s"),
        (backup, [str(folder), "--store", str(database), "--keep", "x"], "--keep"),
    ):
        refused = run.invoke(command, arguments)  # type: ignore[arg-type]
        assert isinstance(refused.exception, Failure), refused.output
        assert why in str(refused.exception)
    store.close()


def test_every_goes_on_until_it_is_interrupted(
    tmp_path: Path, database: Path, store: Store
) -> None:
    import signal

    command = [
        sys.executable, "-m", "westward.cli.main", "backup", str(tmp_path / "c"),
        "--store", str(database), "--every", "1s",
    ]  # fmt: skip
    going = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert going.stdout is not None
    lines = [going.stdout.readline() for _ in range(2)]
    going.send_signal(signal.SIGINT)
    going.communicate(timeout=60)
    assert all("bytes" in line for line in lines)
    assert len(copies(tmp_path / "c")) >= 2
    store.close()
