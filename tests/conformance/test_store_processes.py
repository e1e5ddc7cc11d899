"""The store between real processes: races for a lease, and a writer killed at any point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.databases import DATABASES, new_database
from westward.control.events import JobBound
from westward.control.records import JobState
from westward.store import Store, jobs, lifecycle, open_store
from westward.store.results import Change, Submission

_COMMON = """
import sys
from westward.control.events import JobBound
from westward.control.records import Binding
from westward.model.job import JobSpec, ResourceOption
from westward.store import jobs, lifecycle, open_store
from westward.store.results import Applied, GrantRequest, Submission

PLACE = Binding(pool="p", site="s", option=0, need_milli=1000, duration_ms=1, not_before_ms=0,
                planned_start_ms=0)

def submission(job_id):
    job = JobSpec(job_id=job_id, name="j", submit_ms=1, options=(ResourceOption(cpus_milli=1),))
    return Submission(job=job, body_digest=job_id)
"""
_SPACE: dict[str, object] = {}
exec(_COMMON, _SPACE)

_RACER = (
    _COMMON
    + """
url, me, capacity_milli = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = open_store(url, turns=True)
seen = [r for r in jobs.jobs_waiting(store)]
print("ready", flush=True)
sys.stdin.readline()
for record in seen:
    request = GrantRequest(job_id=record.job_id, expected_version=record.version,
                           run_id=f"run_{me}_{record.job_id}", place=PLACE,
                           capacity_milli=capacity_milli)
    answer = lifecycle.grant_leases(store, [request], 10_000, 5)[0]
    if isinstance(answer, Applied):
        print(record.job_id, answer.record.live_run.token, flush=True)
"""
)

_WRITER = (
    _COMMON
    + """
store = open_store(sys.argv[1], turns=True)
n = 0
while True:
    n += 1
    job_id = f"job_{n}"
    jobs.submit_jobs(store, [submission(job_id)], 1)
    print(n, "pending", flush=True)
    lifecycle.apply_event(store, job_id, JobBound(binding=PLACE), 2, expected_version=1)
    print(n, "bound", flush=True)
    request = GrantRequest(job_id=job_id, expected_version=2, run_id=f"run_{n}",
                           place=PLACE, capacity_milli=10**9)
    lifecycle.grant_leases(store, [request], 10_000, 3)
    print(n, "leased", flush=True)
"""
)


def _start(script: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _race(url: str, job_count: int, capacity_milli: int) -> dict[str, list[tuple[str, int]]]:
    """Two processes that saw the same waiting jobs try to start each of them; who got which."""
    store = open_store(url)
    ids = [f"job_{n}" for n in range(job_count)]
    submissions: list[Submission] = [_SPACE["submission"](job_id) for job_id in ids]  # type: ignore[operator]
    jobs.submit_jobs(store, submissions, 1)
    event = JobBound(binding=_SPACE["PLACE"])  # type: ignore[arg-type]
    lifecycle.apply_events(store, [Change(job_id=job_id, event=event) for job_id in ids], 2)
    racers = {me: _start(_RACER, url, me, str(capacity_milli)) for me in ("a", "b")}
    for racer in racers.values():
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers.values():
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won: dict[str, list[tuple[str, int]]] = {}
    for me, racer in racers.items():
        out, _ = racer.communicate(timeout=60)
        assert racer.returncode == 0
        won[me] = [(job_id, int(token)) for job_id, token in map(str.split, out.splitlines())]
    leased = jobs.list_jobs(store, state=JobState.LEASED)
    granted = sorted(won["a"] + won["b"])
    assert granted == sorted((record.job_id, run.token) for record in leased for run in record.runs)
    store.close()
    return won


@pytest.mark.parametrize("kind", DATABASES)
def test_each_lease_is_won_by_exactly_one_process(tmp_path: Path, kind: str) -> None:
    won = _race(new_database(kind, tmp_path), 40, 10**9)
    granted = won["a"] + won["b"]
    assert sorted(job_id for job_id, _ in granted) == sorted(f"job_{n}" for n in range(40))
    assert len({token for _, token in granted}) == 40


@pytest.mark.parametrize("kind", DATABASES)
def test_a_pool_is_not_overfilled_by_two_processes(tmp_path: Path, kind: str) -> None:
    won = _race(new_database(kind, tmp_path), 20, 7_500)
    assert len(won["a"]) + len(won["b"]) == 7


def _until_alone(store: Store) -> None:
    """PostgreSQL carries out what a killed client had asked for last: its session may commit a
    moment after the client's death, between two of our looks."""
    if store.engine.dialect.name == "sqlite":
        return
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    end = time.monotonic() + 60
    while True:
        with store.read() as connection:
            if not connection.execute(others).scalar_one():
                return
        assert time.monotonic() < end, "the killed writer's session does not end"
        time.sleep(0.01)


@pytest.mark.parametrize("kind", DATABASES)
def test_a_killed_writer_loses_nothing_it_reported(tmp_path: Path, kind: str) -> None:
    """SIGKILL after a different number of reports each time, so that it strikes anywhere."""
    order = [JobState.PENDING, JobState.BOUND, JobState.LEASED]
    for reports in (1, 8, 21):
        url = new_database(kind, tmp_path)
        writer = _start(_WRITER, url)
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(reports)]
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate(timeout=60)
        # What it printed before the signal took effect was reported as well.
        lines += [line + "\n" for line in rest.split("\n")[:-1]]
        reported = {int(n): JobState(state) for n, state in (line.split() for line in lines)}
        store = open_store(url)
        _until_alone(store)
        for n, state in reported.items():
            record = jobs.load_job(store, f"job_{n}")
            assert record is not None
            assert order.index(record.state) >= order.index(state)
            # State, run and story were written together or not at all.
            assert len(jobs.load_story(store, f"job_{n}")) == order.index(record.state) + 1
            assert len(record.runs) == (record.state is JobState.LEASED)
        if kind == "sqlite":
            with store.read() as connection:
                assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        store.close()
