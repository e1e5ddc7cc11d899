"""A site is cut off for longer than its lease, and comes back. Real processes, real packets.

Server and one site stand in one network namespace, the other site's agent and jobs in another; a
relay carries the packets between them. The cut is real: the line's device goes down (packets are
lost), or the relay stands still (packets arrive after the healing, long out of date).
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.audit import audit
from tests.chaos.stand import Stand
from tests.chaos.work import Witness, Work
from tests.wide.wan import HUB, Line, Network, hub, ip, line
from westward.agent.engines.processes import boot_ms, marked_processes
from westward.store.database import open_store
from westward.store.jobs import load_job

FAR, NEAR = "plateau", "basin"
"""The far one is cheaper: every job goes there first."""
JOBS = 6
BEATS = 120
LEASE = "6s"
DELAY_MS = 10


@contextmanager
def lost_packets(center: Network, _wire: Line) -> Iterator[None]:
    with center.entered():
        ip("link", "set", "line1", "down")
    yield
    with center.entered():
        ip("link", "set", "line1", "up")


@contextmanager
def late_packets(_center: Network, wire: Line) -> Iterator[None]:
    os.kill(wire.relay.pid, signal.SIGSTOP)
    yield
    os.kill(wire.relay.pid, signal.SIGCONT)


@pytest.mark.parametrize("cut", [lost_packets, late_packets])
def test_a_site_cut_off_for_longer_than_its_lease(
    cut: Callable[[Network, Line], Iterator[None]], tmp_path: Path
) -> None:
    center, far = hub(), Network()
    wire = line(center, far, 1, DELAY_MS)
    with center.entered():
        stand = Stand(tmp_path / "stand", 1, lease=LEASE, sites=(NEAR, FAR), hosts={FAR: HUB})
        try:
            story(stand, center, far, wire, cut)
        finally:
            stand.close()
            wire.close()
    far.close()
    center.close()


def story(
    stand: Stand,
    center: Network,
    far: Network,
    wire: Line,
    cut: Callable[[Network, Line], Iterator[None]],
) -> None:
    stand.start_server(stand.servers[0])
    stand.agents[NEAR].start()
    with far.entered():
        stand.agents[FAR].start()
    views = stand.site_views
    stand.until(stand.all_open, "both are open")
    work = Work(stand.witness, random.Random(1), "cut")
    witness = Witness(stand.witness)
    orders = [work.order(f"job_cut-{number}", beats=BEATS) for number in range(JOBS)]
    for order in orders:
        stand.call("POST", "/v1/jobs", {"job_id": order.job_id, "task": order.text})

    def begun(least: int) -> bool:
        witness.read()
        return all(len(witness.by_job.get(order.job_id, ())) >= least for order in orders)

    stand.until(lambda: begun(1), "all have begun")
    first = {order.job_id: witness.by_job[order.job_id][0] for order in orders}
    assert {run_of(stand, job_id)[0] for job_id in first} == {FAR}
    stand.until(lambda: metered(stand, list(first)), "the server has heard of each")
    with cut(center, wire):
        cut_ms = boot_ms()
        time.sleep(1)  # whatever was under way has arrived: no lease is renewed after this
        over_ms = {job_id: lease_end_boot_ms(stand, job_id) for job_id in first}
        assert all(cut_ms < at <= cut_ms + 6_500 for at in over_ms.values()), (cut_ms, over_ms)
        for job_id in sorted(first, key=lambda one: over_ms[one]):
            time.sleep(max(0, over_ms[job_id] - boot_ms()) / 1000)
            left = marked_processes(f"WESTWARD_RUN_ID={first[job_id].run_id}")
            assert left == [], f"{job_id}: its lease is over, its work is not"
        stand.until(lambda: begun(2), "all have begun again elsewhere, still cut off")
        assert views()[FAR]["status"] == "down"
    healed_ms = boot_ms()
    stand.until(lambda: views()[FAR]["status"] == "open", "the site is back")
    back_ms = boot_ms() - healed_ms
    late = work.order("job_late", beats=2, site=FAR)
    stand.call("POST", "/v1/jobs", {"job_id": late.job_id, "task": late.text})
    stand.until(lambda: stand.counts().get("succeeded") == JOBS + 1, "all have succeeded")
    stand.until(lambda: settled(stand, [*first, late.job_id]), "every run has its bill")
    witness.read()
    spare = []
    for job_id, run in first.items():
        assert run.ends == 0
        assert 10 * run.last < over_ms[job_id], "it beat until its lease was over"
        spare.append(over_ms[job_id] - 10 * run.last)
        assert len(witness.by_job[job_id]) == 2
        assert 10 * witness.by_job[job_id][1].first > over_ms[job_id]
        folders = (stand.state(FAR) / name / run.run_id for name in ("finished", "runs"))
        folder = next(one for one in folders if one.exists())
        assert json.loads((folder / "exit.json").read_text())["outcome"] == "lease-expired"
    stand.end()
    states = {site: stand.state(site) for site in (NEAR, FAR)}
    expected = dict.fromkeys([*first, late.job_id], late.expected)
    found = audit(stand.database_url, witness, expected, stand.network, states, one_clock=True)
    assert found.clean, dict(found.wrong)
    print(
        f"last beat {min(spare)} to {max(spare)} ms before the lease's end; "
        f"back {back_ms} ms after the healing"
    )


def run_of(stand: Stand, job_id: str) -> tuple[str, int]:
    """Site of the job's first run, and the end of its lease (ms UTC), as stored."""
    store = open_store(stand.database_url, migrate=False)
    try:
        record = load_job(store, job_id)
        assert record is not None
        return record.runs[0].site, record.runs[0].lease_expires_ms
    finally:
        store.close()


def lease_end_boot_ms(stand: Stand, job_id: str) -> int:
    """On the clock of the witness. Server, agent and witness are on one machine."""
    return run_of(stand, job_id)[1] - time.time_ns() // 1_000_000 + boot_ms()


def metered(stand: Stand, job_ids: list[str]) -> bool:
    return all(stand.get(f"/v1/jobs/{job_id}")["state"] == "running" for job_id in job_ids)


def settled(stand: Stand, job_ids: list[str]) -> bool:
    jobs = [stand.get(f"/v1/jobs/{job_id}") for job_id in job_ids]
    return all(len(job["bills"]) == len(job["runs"]) for job in jobs)
