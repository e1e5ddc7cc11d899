"""Two or three real servers on a real PostgreSQL, real agents and jobs: killed, stopped, cut off."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import statistics
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.live.harness import SITES, Witness, check_bills, until
from tests.live.steps import Steps
from tests.replicas.fleet import Fleet, folder_of
from westward.store.leadership import NotLeader, check_office, load_office

pytestmark = pytest.mark.timeout(420)
FAILOVERS = int(os.environ.get("WESTWARD_FAILOVERS", "4"))


def ids_of(name: str, count: int) -> list[str]:
    return [f"job_{name}-{number}" for number in range(count)]


@contextmanager
def submitting(fleet: Fleet, witness: Witness, ids: list[str], every_s: float) -> Iterator[None]:
    """Hands the jobs in one by one, at whichever server answers, while something happens to them.
    At the end all are handed in."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for job_id in ids:
                status, told = fleet.call(
                    "POST", "/v1/jobs", {"job_id": job_id, "task": witness.task()}
                )
                assert status in (200, 201), told
                time.sleep(every_s)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not failed, failed


def finish_all(fleet: Fleet, witness: Witness, ids: list[str]) -> None:
    """Every job succeeds, was carried out once, has a bill for each run; the ledger adds up."""
    for job_id in ids:
        assert fleet.finish(job_id)["state"] == "succeeded"
    witness.check(ids)
    for job_id in ids:
        check_bills(fleet, job_id)
    fleet.check_ledger()


def test_each_server_serves_one_leads_and_what_one_learns_the_others_know(fleet: Fleet) -> None:
    fleet.start_fleet(3)
    leader = fleet.the_leader()
    roles = [fleet.replica(number) for number in fleet.servers]
    assert sorted(one["role"] for one in roles if one) == ["leader", "standby", "standby"]
    assert {one["leader"] for one in roles if one} == {roles[leader]["name"]}  # type: ignore[index]
    witness = Witness(fleet.folder, 4)
    ids = ids_of("spread", 9)
    for at, job_id in enumerate(ids):  # a third of them at each server
        fleet.urls = dict(sorted(fleet.urls.items(), key=lambda one, at=at: (one[0] + at) % 3))
        fleet.submit(job_id, witness.task())
    began = time.monotonic()
    finish_all(fleet, witness, ids)
    told = f"9 jobs of 0.2 s over 3 servers: {time.monotonic() - began:.1f} s to their end"
    print(told)


def test_a_killed_leader_is_followed_and_nothing_is_lost(fleet: Fleet) -> None:
    fleet.start_fleet(3)
    witness = Witness(fleet.folder, 20)
    ids = ids_of("kill", 12 * FAILOVERS)
    after = ids_of("after", FAILOVERS)
    took_s, granted_s = [], []
    with submitting(fleet, witness, ids, 0.3):
        for number in range(FAILOVERS):
            time.sleep(2.0)
            old = fleet.the_leader()
            began = time.monotonic()
            fleet.kill(old)
            fleet.the_leader(fleet.others(old))
            took_s.append(time.monotonic() - began)
            fleet.submit(after[number], witness.task())
            until(lambda n=number: fleet.job(after[n])["attempts"], "it has a lease")
            granted_s.append(time.monotonic() - began)
            fleet.start_replica(old)
    finish_all(fleet, witness, [*ids, *after])
    for what, took in (("another leads", took_s), ("it has granted a lease", granted_s)):
        told = ", ".join(f"{one:.2f}" for one in sorted(took))
        print(f"after kill -9, s, until {what}: p50 {statistics.median(took):.2f} of {told}")
    assert len(took_s) == FAILOVERS


def test_a_leader_that_was_stopped_writes_nothing_as_leader_when_it_wakes(fleet: Fleet) -> None:
    fleet.start_fleet(2)
    witness = Witness(fleet.folder, 20)
    ids = ids_of("stop", 12)
    old = fleet.the_leader()
    (new,) = fleet.others(old)
    with submitting(fleet, witness, ids, 0.3):
        time.sleep(1.0)
        fleet.servers[old].send_signal(signal.SIGSTOP)
        began = time.monotonic()
        fleet.the_leader((new,))
        took_s = time.monotonic() - began
        store = fleet.open()
        epoch = load_office(store).epoch
        time.sleep(fleet_lease_s(fleet))  # leases end and are granted meanwhile
        fleet.servers[old].send_signal(signal.SIGCONT)
        until(lambda: (fleet.replica(old) or {}).get("role") == "standby", "it knows")
    assert fleet.replica(old)["role"] == "standby"  # type: ignore[index]
    assert fleet.the_leader() == new
    assert load_office(store).epoch == epoch
    store.close()
    finish_all(fleet, witness, ids)
    print(f"failover after SIGSTOP: {took_s:.2f} s; refused: {refusals(fleet, old)}")


def fleet_lease_s(fleet: Fleet) -> float:
    return float(fleet.lease.removesuffix("s")) + 1.0


def refusals(fleet: Fleet, number: int) -> int:
    return len(re.findall(r"NotLeader: epoch \d+ is over", fleet.log(number)))


def test_what_an_earlier_leader_writes_is_refused_in_its_own_transaction(fleet: Fleet) -> None:
    """The fence by itself: an office that changes between the look and the write is impossible."""
    from westward.store import open_store
    from westward.store.jobs import count_jobs
    from westward.store.leadership import take_office

    store = open_store(fleet.database, turns=True)
    first = take_office(store, "a", 1)
    with store.together():
        check_office(store, first)
        other: list[int] = []
        waiting = threading.Thread(target=lambda: other.append(take_office(rival, "b", 2)))
        rival = open_store(fleet.database, migrate=False, turns=True)
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()  # it has no turn while a leader writes
    waiting.join(20)
    assert other == [first + 1]
    with pytest.raises(NotLeader), store.together():
        check_office(store, first)
    assert count_jobs(store)
    store.close()
    rival.close()


def test_loops_of_an_epoch_that_is_over_write_nothing(fleet: Fleet) -> None:
    """The server still holds its lock and thinks that it leads: its users are served, nothing is
    planned. A new epoch puts that right."""
    from westward.store import open_store
    from westward.store.leadership import take_office

    fleet.start_fleet(1, SITES[:1])
    witness = Witness(fleet.folder, 4)
    rival = open_store(fleet.database, migrate=False, turns=True)
    take_office(rival, "somebody else", 1)
    rival.close()
    fleet.submit("job_fenced", witness.task())
    until(lambda: refusals(fleet, 0) >= 3, "the loops are refused")
    assert fleet.replica(0)["role"] == "leader"  # type: ignore[index]
    assert fleet.job("job_fenced")["state"] == "pending"
    fleet.kill(0)
    fleet.start_replica(0)
    finish_all(fleet, witness, ["job_fenced"])


def test_a_server_stopped_in_mid_transaction_holds_nobody_up_for_long(fleet: Fleet) -> None:
    """The database ends its transaction, and what it was about to write is not there."""
    from westward.server.aside import STORE_TROUBLE
    from westward.store import meta, open_store
    from westward.store.turns import STALLED_MS

    store = open_store(fleet.database, turns=True)
    rival = open_store(fleet.database, migrate=False, turns=True)
    waited_s = 0.0

    def stalls() -> None:
        nonlocal waited_s
        with store.together():
            meta.set_meta(store, "stalled", "yes")
            began = time.monotonic()
            meta.set_meta(rival, "rival", "yes")  # waits for the turn, as if we were stopped
            waited_s = time.monotonic() - began
            meta.set_meta(store, "stalled", "still")

    with pytest.raises(STORE_TROUBLE):
        stalls()
    assert waited_s * 1000 >= STALLED_MS - 500
    assert (meta.get_meta(rival, "stalled"), meta.get_meta(rival, "rival")) == (None, "yes")
    meta.set_meta(store, "stalled", "again")  # on a new connection
    store.close()
    rival.close()


def test_the_database_restarts_in_mid_transaction(fleet: Fleet) -> None:
    """Killed without a last word while jobs run and are handed in: servers come back to it by
    themselves, and nothing is lost or doubled."""
    assert fleet.postgres is not None
    fleet.start_fleet(2)
    witness = Witness(fleet.folder, 20)
    ids = ids_of("restart", 16)
    with submitting(fleet, witness, ids, 0.3):
        for _ in range(2):
            time.sleep(1.5)
            fleet.postgres.kill()
            time.sleep(0.5)
            fleet.postgres.again()
            began = time.monotonic()
            fleet.the_leader()
            print(f"one leads {time.monotonic() - began:.2f} s after the database is back")
    finish_all(fleet, witness, ids)
    assert len(fleet.servers) == 2
    assert all(server.poll() is None for server in fleet.servers.values())


def test_no_two_lead_and_no_two_plan_at_any_time(fleet: Fleet) -> None:
    """As the database saw it: grants and bindings were written under rising epochs only. Here: the
    sites' sessions, tokens and runs after three changes of leader."""
    fleet.start_fleet(2, SITES[:2])
    witness = Witness(fleet.folder, 6)
    ids = ids_of("tokens", 9)
    for at in range(0, 9, 3):
        for job_id in ids[at : at + 3]:
            fleet.submit(job_id, witness.task())
        old = fleet.the_leader()
        fleet.servers[old].terminate()
        fleet.servers.pop(old).wait()
        fleet.the_leader(tuple(fleet.servers))
        fleet.start_replica(old)
    finish_all(fleet, witness, ids)
    store = fleet.open()
    with store.read() as connection:
        tokens = list(connection.execute(text("SELECT token FROM runs ORDER BY token")).scalars())
        live = connection.execute(text("SELECT count(*) FROM runs WHERE live = 1")).scalar_one()
    assert len(tokens) == len(set(tokens)) >= 9
    assert live == 0
    store.close()


def test_tables_go_forward_while_servers_of_the_version_before_run(fleet: Fleet) -> None:
    """What docs/operations.md promises for upgrades one server at a time: a migration that only adds
    goes through beside them, and they go on. A server of the older version that starts afterwards
    says that it is too old."""
    from sqlalchemy import inspect

    from westward.store import open_store, postgres

    fleet.start_fleet(2)
    witness = Witness(fleet.folder, 20)
    ids = ids_of("forward", 12)
    later = open_store(fleet.database, migrate=False, turns=True)
    with submitting(fleet, witness, ids, 0.3):
        time.sleep(1.5)
        began = time.monotonic()
        with later.write() as connection:
            postgres.lock_migrations(connection)
            for change in (
                "ALTER TABLE jobs ADD COLUMN later TEXT",
                "CREATE INDEX jobs_by_later ON jobs (later)",
                "CREATE TABLE later (name VARCHAR(20) PRIMARY KEY, of_job VARCHAR(200) "
                "REFERENCES jobs (job_id))",
                "UPDATE alembic_version SET version_num = '9999'",
            ):
                connection.execute(text(change))
        print(f"tables made in {time.monotonic() - began:.2f} s")
    assert "later" in inspect(later.engine).get_table_names()
    later.close()
    finish_all(fleet, witness, ids)
    leader = fleet.the_leader()
    fleet.kill(leader)
    fleet.the_leader(tuple(fleet.servers))  # the other one, also older, takes over
    with pytest.raises(AssertionError, match="made by a later version of Westward"):
        fleet.start_replica(leader)
    fleet.servers.pop(leader)


def test_data_and_checkpoints_go_through_every_server(fleet: Fleet, tmp_path: Path) -> None:
    """A job reads a data set, is moved with what it saved to another site, and publishes; each of
    two servers is asked by some of the agents."""
    fleet.start_fleet(2, SITES[:2])
    lake = folder_of(tmp_path, "lake")
    (lake / "a.bin").write_bytes(b"corpus" * 1000)
    digest = hashlib.sha256((lake / "a.bin").read_bytes()).hexdigest()
    files = [{"path": "a.bin", "size_bytes": 6000, "sha256": digest}]
    body = {"name": "corpus", "site": SITES[0], "url": lake.as_uri(), "files": files}
    status, told = fleet.call("POST", "/v1/datasets", body)
    assert status == 201, told
    steps = Steps(fleet.folder)
    labels = '    westward.inputs: "dataset:corpus=data"\n    westward.outputs: "sum=sums"\n'
    text = steps.task(80, labels=labels).replace(
        'exec "$WESTWARD_PYTHON"',
        'sha256sum data/a.bin > "$WESTWARD_OUTPUT/sum" || exit 9; exec "$WESTWARD_PYTHON"',
    )
    fleet.submit("job_moving", text)
    until(lambda: steps.at("job_moving") >= 10, "it has done some steps")
    (first,) = steps.sites("job_moving")
    to = next(site for site in SITES[:2] if site != first)
    status, answer = fleet.call("POST", "/v1/jobs/job_moving/move", {"to": to})
    assert (status, answer["accepted"]) == (200, True), answer
    job = fleet.finish("job_moving")
    assert job["state"] == "succeeded", job
    assert steps.sites("job_moving") == [first, to]
    steps.check("job_moving", 80)
    assert {use["digest"] for use in job["data"]["uses"]} == {told["digest"]}
    assert [one["name"] for one in job["data"]["published"]] == ["sums"]
    check_bills(fleet, "job_moving")
    fleet.check_ledger()
    for number in fleet.servers:
        assert "Traceback" not in fleet.log(number), fleet.log(number)[-3000:]


def test_a_token_is_good_everywhere_at_once_and_gone_everywhere_soon(fleet: Fleet) -> None:
    fleet.server_options = ("--users",)
    for number in range(2):
        fleet.start_replica(number)
    fleet.the_leader()
    operator = (fleet.folder / "operator.token").read_text().strip()

    def ask(
        number: int, token: str, method: str, path: str, body: object = None
    ) -> tuple[int, Any]:
        request = urllib.request.Request(
            fleet.urls[number] + path,
            None if body is None else json.dumps(body).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {token}"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    took_ms = []
    for turn in range(6):
        here, there = turn % 2, (turn + 1) % 2
        status, made = ask(here, operator, "POST", "/v1/tokens", {"user": f"user-{turn}"})
        assert status in (200, 201), made
        assert ask(there, made["token"], "GET", "/v1/whoami")[1]["user"] == f"user-{turn}"
        status, told = ask(here, operator, "POST", f"/v1/tokens/{made['token_id']}/revoke")
        assert status == 200, told
        assert ask(here, made["token"], "GET", "/v1/whoami")[0] == 401  # before it was told
        began = time.monotonic()
        until(lambda n=there, m=made: ask(n, m["token"], "GET", "/v1/whoami")[0] == 401, "gone")
        took_ms.append(round((time.monotonic() - began) * 1000))
    print(f"a revoked token is refused by the other server within, ms: {sorted(took_ms)}")
    assert ask(1, "wut_nobody", "GET", "/v1/whoami")[0] == 401
