"""A data folder of an earlier version under this version's server, copied while it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.harness import SITES, Live
from tests.schemas import at_0010
from westward.store import open_store
from westward.store.jobs import list_jobs
from westward.store.ledger_audit import audit_ledger

pytestmark = pytest.mark.long


def test_the_job_that_waited_runs_and_a_copy_of_then_can_be_gone_back_to(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.data.mkdir()
    at_0010.put_sqlite(live.data / "westward.db")
    try:
        live.start_server()
        assert live.job("job_late")["state"] == "pending"
        for site in SITES:
            live.start_agent(site)
        westward("backup", str(tmp_path / "copies"), "--store", str(live.data / "westward.db"))
        assert live.finish("job_late")["state"] == "succeeded"
        live.kill_server()
        check(live.data / "westward.db", "succeeded")
        # The disk is lost; the server goes on with what was copied, and the job runs again.
        westward("restore", str(tmp_path / "copies"), str(tmp_path / "restored.db"))
        for path in live.data.glob("westward.db*"):
            path.unlink()
        (tmp_path / "restored.db").rename(live.data / "westward.db")
        live.start_server()
        assert live.finish("job_late")["state"] == "succeeded"
    finally:
        live.close()
    check(live.data / "westward.db", "succeeded")


def westward(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "westward.cli.main", *arguments], check=True)


def check(database: Path, state: str) -> None:
    store = open_store(f"sqlite:///{database}")
    found = {one.job_id: one.state.value for one in list_jobs(store)}
    assert found["job_late"] == state
    assert len(found) == at_0010.ROWS["jobs"]
    assert not audit_ledger(store).faults
    store.close()
