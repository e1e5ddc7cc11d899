"""A server that starts after its machine's clock was set back.

Found by a chaos run: a site that had died counted as alive for as long as the clock was set back, and
was given work, and the leases of its runs did not end before.
"""

from __future__ import annotations

from test_server_parts import NOW, TTL, greet, job, look, network, plan_once, store, submit

from westward.control.records import JobState
from westward.model.network import Network
from westward.model.wire import HeldRun
from westward.server.applier import expire_leases
from westward.store.database import Store
from westward.store.jobs import load_job
from westward.store.lifecycle import heed_clock, renew_leases
from westward.store.sites import list_sites

__all__ = ["network", "store"]  # fixtures
HOUR = 3_600_000
MARGIN = 300


def lease_end(store: Store) -> int:
    record = load_job(store, "job_1")
    assert record is not None
    return record.runs[0].lease_expires_ms


def test_a_dead_site_is_dead_after_a_lease(store: Store, network: Network) -> None:
    greet(store, "basin", "harbor", "plateau")
    submit(store, job("job_1"))
    plan_once(store, network)
    back = NOW - HOUR
    assert heed_clock(store, back, TTL + MARGIN)
    assert {site.last_seen_ms for site in list_sites(store)} == {back}
    assert lease_end(store) == back + TTL + MARGIN
    later = back + TTL + 2 * MARGIN
    statuses = {one.status for one in look(store, network, later).snapshot.pools}
    assert statuses == {"down"}
    expire_leases(store, MARGIN, later)
    record = load_job(store, "job_1")
    assert record is not None
    assert record.state is JobState.PENDING


def test_no_lease_is_cut_short_that_an_agent_may_still_hold(store: Store, network: Network) -> None:
    """Set back by less than a lease, and not at all."""
    greet(store, "basin", "harbor", "plateau")
    submit(store, job("job_1"))
    plan_once(store, network)
    record = load_job(store, "job_1")
    assert record is not None
    held = HeldRun(run_id=record.runs[0].run_id, token=record.runs[0].token)
    renew_leases(store, [held], TTL, NOW)
    for set_back in (0, MARGIN, MARGIN + 1, TTL, 10 * TTL):
        heed_clock(store, NOW - set_back, TTL + MARGIN)
        # What the agent has left, on a clock that is set back as much: TTL from NOW - set_back.
        assert lease_end(store) >= NOW - set_back + TTL
    assert not heed_clock(store, NOW, TTL + MARGIN), "an ordinary start changes nothing"
