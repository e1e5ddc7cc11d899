"""The server at a site with a queue of its own: what it hears of waits, and what it plans with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from test_server_parts import NOW, store

from westward.cli.sentences import why_then
from westward.control.events import CancelRequested, PauseRequested, RunEnded, RunStarted
from westward.control.records import Aim
from westward.model.job import Checkpoint, JobSpec, ResourceOption, Work
from westward.model.network import Network
from westward.model.plan import Plan, Why
from westward.model.wire import Hello
from westward.network.loader import load_network
from westward.placement import plan
from westward.server.applier import apply_plan
from westward.server.reconsidering import moves_that_pay
from westward.server.settings import LIVE_POLICY
from westward.server.site_queues import in_site_queues, site_waits
from westward.server.snapshot import Situation, live_pools, situation
from westward.server.wording import why_there
from westward.store.database import Store
from westward.store.jobs import load_active, load_job, submit_jobs
from westward.store.lifecycle import apply_event, report_run
from westward.store.results import Change, Submission
from westward.store.results import Checkpoint as SavedCheckpoint
from westward.store.sites import hello, list_sites, poll_site

__all__ = ["store"]  # a fixture
MINUTE = 60_000
TTL = 10**9
POLICY = replace(LIVE_POLICY, wait_value_micros_per_device_hour=10**9)
HARBOR = "harbor-east"


@pytest.fixture(scope="module")
def network() -> Network:
    """Harbor's four devices are handed out by a scheduler of its own."""
    read = load_network(Path(__file__).parents[2] / "networks" / "laptop")
    pools = tuple(replace(pool, managed=pool.name != HARBOR) for pool in read.pools)
    return replace(read, pools=pools)


def submit(
    store: Store, *names: str, devices: int = 1, minutes: int = 1, **changes: object
) -> None:
    jobs = [
        replace(
            JobSpec(
                job_id=name, name=name, submit_ms=NOW, nodes=1,
                options=(ResourceOption(accelerator="east-card", devices_milli=1000 * devices),),
                duration_ms=minutes * MINUTE, work=Work(run="true"),
            ),
            **changes,
        )
        for name in names
    ]  # fmt: skip
    submit_jobs(store, [Submission(job=job, body_digest=job.job_id) for job in jobs], NOW)


def look(store: Store, network: Network, now_ms: int) -> Situation:
    active = load_active(store)
    statuses = live_pools(network, list_sites(store), now_ms - TTL)
    waits = site_waits(store, network, active.records, now_ms)
    return situation(network, NOW, active, statuses, now_ms, site_waits=waits)


def plan_once(store: Store, network: Network, now_ms: int) -> Plan:
    before = look(store, network, now_ms)
    decided = plan(before.snapshot, before.to_place, POLICY, now_ms)
    apply_plan(store, decided, before, TTL, now_ms)
    return decided


def told(store: Store, network: Network, now_ms: int) -> list[int]:
    """Of jobs of one, two and four devices."""
    found = site_waits(store, network, load_active(store).records, now_ms)
    assert set(found) == {HARBOR}
    return list(found[HARBOR][:3])


def start(store: Store, job_id: str, at_ms: int) -> None:
    record = load_job(store, job_id)
    assert record is not None
    run = record.runs[-1]
    report_run(store, run.run_id, RunStarted(run_id=run.run_id, token=run.token), at_ms)


def agent(store: Store) -> None:
    hello(store, Hello(site="harbor", agent_id="agt", pools=()), NOW)


def offer(store: Store) -> None:
    """The agent asks, and hears of everything granted."""
    poll_site(store, "harbor", 1, (), TTL, NOW)


def test_waits_are_heard_from_the_grant_to_the_start(store: Store, network: Network) -> None:
    agent(store)
    submit(store, "job_1", "job_2")
    plan_once(store, network, NOW)
    later = NOW + 10 * MINUTE
    assert told(store, network, later) == [0, 0, 0], "no agent was told of them yet"
    offer(store)
    assert told(store, network, later) == [20 * MINUTE] * 3, "twice as long as they wait by now"
    assert len(in_site_queues(load_active(store).records, [HARBOR])) == 2
    start(store, "job_1", later)
    start(store, "job_2", later)
    assert told(store, network, later) == [10 * MINUTE] * 3
    assert in_site_queues(load_active(store).records, [HARBOR]) == []
    managed = replace(network, pools=tuple(replace(p, managed=True) for p in network.pools))
    assert site_waits(store, managed, load_active(store).records, later) == {}


def test_one_that_never_began_tells_no_wait_once_it_is_gone(store: Store, network: Network) -> None:
    agent(store)
    submit(store, "job_1")
    plan_once(store, network, NOW)
    apply_event(store, "job_1", CancelRequested(), NOW + MINUTE)
    assert told(store, network, NOW + 10 * MINUTE) == [0, 0, 0]


def test_the_next_is_handed_over_and_told_to_wait_there(store: Store, network: Network) -> None:
    agent(store)
    submit(store, "job_1")
    plan_once(store, network, NOW)
    offer(store)
    later = NOW + 10 * MINUTE
    start(store, "job_1", later)
    submit(store, "job_2")
    decided = plan_once(store, network, later)
    (placed,) = decided.placements
    assert (placed.starts_now, placed.why) == (True, Why.WAITS_IN_SITE_QUEUE)
    assert placed.estimate.start_ms == later + 10 * MINUTE
    told_owner = why_there(placed, network.currency)
    assert told_owner.endswith(
        "handed over at once, and expected to wait 10m00s in the site's own queue"
    )
    assert why_then(placed, decided, network, None).startswith(
        "waits 10m00s in the queue of harbor"
    )
    record = load_job(store, "job_2")
    assert record is not None
    assert record.bound is not None
    assert record.bound.planned_start_ms == later + 10 * MINUTE
    assert record.bound.duration_ms == MINUTE
    assert record.runs[0].granted_ms == later, "it joins the site's queue now"


def test_what_stands_in_the_sites_queue_holds_its_place_until_it_will_have_run(
    store: Store, network: Network
) -> None:
    agent(store)
    submit(store, "job_1", devices=4, minutes=5)
    plan_once(store, network, NOW)
    offer(store)
    (harbor,) = (one for one in look(store, network, NOW).snapshot.pools if one.pool == HARBOR)
    assert harbor.running[0].expected_end_ms == NOW + 5 * MINUTE
    # After ten minutes it is thought to wait ten more, then to run for five.
    later = NOW + 10 * MINUTE
    (harbor,) = (one for one in look(store, network, later).snapshot.pools if one.pool == HARBOR)
    assert harbor.running[0].end_ms(later) == NOW + 25 * MINUTE
    submit(store, "job_2", devices=4, minutes=5)
    (placed,) = plan_once(store, network, later).placements
    assert placed.why is Why.WAITS_FOR_CAPACITY
    assert placed.estimate.start_ms == NOW + (25 + 20) * MINUTE, "then its own wait there"
    start(store, "job_1", later)
    (harbor,) = (one for one in look(store, network, later).snapshot.pools if one.pool == HARBOR)
    assert harbor.running[0].expected_end_ms == later + 5 * MINUTE


def test_who_stands_there_for_long_is_called_back_where_another_site_is_free(
    store: Store, network: Network
) -> None:
    """One that saves checkpoints: should it begin in that moment, nothing is lost."""
    agent(store)
    hours = {"minutes": 60, "options": (ResourceOption(cpus_milli=2000),)}
    submit(store, "job_1", checkpoint=Checkpoint(path="state", every_ms=MINUTE), **hours)
    submit(store, "job_2", **hours)
    plan_once(store, network, NOW)
    hello(store, Hello(site="basin", agent_id="agt_b", pools=()), NOW)

    def moves(at_ms: int, least_left_ms: int = MINUTE, hurdle: int = 5) -> Sequence[Change]:
        policy = replace(
            POLICY, wait_value_micros_per_device_hour=10**6, move_hurdle_percent=hurdle
        )
        return moves_that_pay(look(store, network, at_ms), policy, {}, least_left_ms)

    later = NOW + 120 * MINUTE
    assert moves(later) == [], "no agent was told of it: it is nowhere yet"
    offer(store)
    assert moves(NOW) == [], "it has just been handed over"
    (change,) = moves(later)
    assert change.job_id == "job_1"
    assert isinstance(change.event, PauseRequested)
    assert (change.event.kind, change.event.aim) == ("move", Aim(site="basin", pool="basin-west"))
    assert moves(later, least_left_ms=4 * 60 * MINUTE) == []
    assert moves(later, hurdle=100) == []
    saved = kept(later, at_server=False)
    assert moves_that_pay(look(store, network, later), POLICY, {"job_1": saved}, MINUTE) == []

    apply_event(store, "job_1", change.event, later)
    record = load_job(store, "job_1")
    assert record is not None
    run = record.runs[0]
    ended = RunEnded(run_id=run.run_id, token=run.token, outcome="preempted", exit_code=None)
    report_run(store, run.run_id, ended, later + 1)
    before = look(store, network, later + 2)
    ((job, aim),) = before.aimed
    assert (job.job_id, aim.pool) == ("job_1", "basin-west")
    assert record.lost_runs == 0
    start(store, "job_2", later)
    assert moves(later) == []


def test_one_that_runs_is_past_the_sites_queue(store: Store, network: Network) -> None:
    """Found by simulation (1403511): what it had waited there was added to the cost of going on."""
    agent(store)
    cpus = (ResourceOption(cpus_milli=2000),)
    submit(store, "job_1", minutes=60, options=cpus, checkpoint=Checkpoint(path="s", every_ms=1))
    plan_once(store, network, NOW)
    offer(store)
    later = NOW + 120 * MINUTE
    start(store, "job_1", later)
    hello(store, Hello(site="basin", agent_id="agt_b", pools=()), NOW)
    assert told(store, network, later)[1] == 120 * MINUTE
    before = look(store, network, later)
    # By prices alone basin is cheaper, by 60 %.
    policy = replace(POLICY, move_hurdle_percent=70, checkpoint_gb_per_device=0.0)
    assert moves_that_pay(before, policy, {}, MINUTE) == []


def kept(at_ms: int, *, at_server: bool) -> SavedCheckpoint:
    return SavedCheckpoint(
        job_id="job_1", run_id="run_0", site="harbor", saved_ms=at_ms, size_bytes=1, sent_bytes=0,
        at_server=at_server, files=(),
    )  # fmt: skip
