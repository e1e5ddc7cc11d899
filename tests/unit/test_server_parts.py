"""The server's parts below HTTP: snapshot, applier, bells, with a real store and planner."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.databases import DATABASES, new_database
from westward.control.records import Aim, JobState
from westward.model.job import InputData, JobSpec, ResourceOption, Work
from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.wire import Hello, Reading
from westward.network.loader import load_network
from westward.placement import plan
from westward.server import limits
from westward.server.applier import apply_plan, expire_leases, run_charge
from westward.server.bells import Bell, Bells
from westward.server.loops import SOON_MS, next_plan_ms
from westward.server.purse import Purse
from westward.server.settings import LIVE_POLICY
from westward.server.snapshot import Situation, live_pools, situation
from westward.store.database import Store, open_store
from westward.store.decisions import last_decision
from westward.store.jobs import load_active, load_job, submit_jobs
from westward.store.lifecycle import apply_event, report_run
from westward.store.metering import load_bills, save_bill, unsettled_runs
from westward.store.results import Submission
from westward.store.sites import hello, list_sites, poll_site

NOW = 1_800_000_000_000
TTL = 10_000
POLICY = replace(LIVE_POLICY, wait_value_micros_per_device_hour=10**9)
"""Waiting is so dear that no job is put off for a better hour."""
PURSE = Purse(policy=POLICY, series_origin_ms=NOW, unit="CNY")


@pytest.fixture(params=DATABASES)
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    opened = open_store(new_database(request.param, tmp_path))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(Path(__file__).parents[2] / "networks" / "laptop")


def job(name: str, nodes: int = 1, **changes: object) -> JobSpec:
    values: dict[str, object] = {
        "job_id": name,
        "name": name,
        "submit_ms": NOW,
        "nodes": nodes,
        "options": (ResourceOption(cpus_milli=4000),),
        "duration_ms": 60_000,
        "work": Work(run="true"),
    }
    return JobSpec(**(values | changes))  # type: ignore[arg-type]


def submit(store: Store, *jobs: JobSpec) -> None:
    submit_jobs(store, [Submission(job=one, body_digest=one.job_id) for one in jobs], NOW)


def greet(store: Store, *sites: str, at_ms: int = NOW) -> None:
    for site in sites:
        hello(store, Hello(site=site, agent_id=f"agt_{site}", pools=()), at_ms)


def look(store: Store, network: Network, now_ms: int = NOW) -> Situation:
    statuses = live_pools(network, list_sites(store), now_ms - TTL)
    return situation(network, NOW, load_active(store), statuses, now_ms)


def plan_once(store: Store, network: Network, now_ms: int = NOW, policy: Policy = POLICY) -> None:
    before = look(store, network, now_ms)
    decided = plan(before.snapshot, before.to_place, policy, now_ms)
    apply_plan(store, decided, before, TTL, now_ms)


def state(store: Store, job_id: str) -> JobState:
    record = load_job(store, job_id)
    assert record is not None
    return record.state


def test_a_pool_without_an_agent_heard_of_is_down(store: Store, network: Network) -> None:
    greet(store, "basin", at_ms=NOW - TTL - 1)
    greet(store, "harbor")
    hello(store, Hello(site="plateau", agent_id="agt_p", pools=("another",)), NOW)
    statuses = live_pools(network, list_sites(store), NOW - TTL)
    assert statuses == {"basin-west": "down", "harbor-east": "open", "plateau-west": "down"}


def test_a_job_that_starts_now_is_bound_leased_and_explained(
    store: Store, network: Network
) -> None:
    greet(store, "harbor", "basin")
    submit(store, job("job_1"))
    plan_once(store, network)
    record = load_job(store, "job_1")
    assert record is not None
    assert record.state is JobState.LEASED
    assert record.runs[0].lease_expires_ms == NOW + TTL
    decision = last_decision(store, "job_1")
    assert decision is not None
    assert len(decision.answer.alternatives) == 3


def test_running_jobs_are_claims_and_waiting_ones_keep_their_pool(
    store: Store, network: Network
) -> None:
    greet(store, "harbor")  # one node of four cpus: one job at a time
    submit(store, job("job_1"), job("job_2"))
    plan_once(store, network)
    assert {state(store, "job_1"), state(store, "job_2")} == {JobState.LEASED, JobState.BOUND}
    after = look(store, network)
    harbor = next(one for one in after.snapshot.pools if one.pool == "harbor-east")
    assert [claim.need_milli for claim in harbor.running] == [4000]
    assert len(harbor.queue) == 1
    assert after.to_place == ()
    version = after.snapshot.version
    plan_once(store, network)
    assert look(store, network).snapshot.version == version, "an unchanged plan writes nothing"


def test_a_plan_made_on_an_old_view_is_dropped(store: Store, network: Network) -> None:
    """The owner cancels between planning and applying."""
    from westward.control.events import CancelRequested

    greet(store, "harbor")
    submit(store, job("job_1"))
    before = look(store, network)
    decided = plan(before.snapshot, before.to_place, POLICY, NOW)
    apply_event(store, "job_1", CancelRequested(), NOW)
    outcome = apply_plan(store, decided, before, TTL, NOW)
    assert outcome.plan_again
    assert state(store, "job_1") is JobState.CANCELLED


def test_two_plans_of_one_view_never_fill_a_pool_twice(store: Store, network: Network) -> None:
    greet(store, "harbor")
    submit(store, job("job_1"), job("job_2"))
    whole = look(store, network)
    for name in ("job_1", "job_2"):  # each planned as if the other were not there
        alone = tuple(one for one in whole.to_place if one.job_id == name)
        decided = plan(whole.snapshot, alone, POLICY, NOW)
        assert decided.placements[0].starts_now
        outcome = apply_plan(store, decided, replace(whole, to_place=alone), TTL, NOW)
    assert outcome.plan_again
    assert [state(store, name) for name in ("job_1", "job_2")] == [JobState.LEASED, JobState.BOUND]


def test_a_bound_job_leaves_a_pool_that_went_down(store: Store, network: Network) -> None:
    greet(store, "harbor")
    submit(store, job("job_1"), job("job_2"))
    plan_once(store, network)
    waiting = "job_1" if state(store, "job_1") is JobState.BOUND else "job_2"
    later = NOW + 2 * TTL
    greet(store, "basin", at_ms=later)
    plan_once(store, network, later)
    record = load_job(store, waiting)
    assert record is not None
    assert record.bound is not None
    assert (record.state, record.bound.site) == (JobState.LEASED, "basin")


def test_a_bound_job_without_any_open_pool_is_pending_again(store: Store, network: Network) -> None:
    greet(store, "harbor")
    submit(store, job("job_1"), job("job_2"))
    plan_once(store, network)
    plan_once(store, network, NOW + 2 * TTL)
    assert sorted([state(store, "job_1").value, state(store, "job_2").value]) == [
        "leased",
        "pending",
    ]


@pytest.mark.parametrize(
    "change",
    [{"accounts": ("a",)}, {"purposes": ("p",)}, {"devices_per_node": 2, "cpus_per_node": 2}],
)
def test_a_bound_job_leaves_a_pool_that_is_offered_otherwise(
    store: Store, network: Network, change: dict[str, object]
) -> None:
    greet(store, "harbor")
    submit(store, job("job_1"), job("job_2"))
    plan_once(store, network)
    waiting = "job_1" if state(store, "job_1") is JobState.BOUND else "job_2"
    assert look(store, network).to_place == ()
    pools = tuple(
        replace(pool, **change) if pool.site == "harbor" else pool  # type: ignore[arg-type]
        for pool in network.pools
    )
    otherwise = replace(network, pools=pools)
    (again,) = look(store, otherwise).to_place
    assert again.job_id == waiting
    plan_once(store, otherwise)
    assert state(store, waiting) is JobState.PENDING
    assert sum(state(store, name) is JobState.LEASED for name in ("job_1", "job_2")) == 1


def test_an_expired_lease_frees_the_job_once(store: Store, network: Network) -> None:
    greet(store, "harbor")
    submit(store, job("job_1"))
    plan_once(store, network)
    assert expire_leases(store, 500, NOW + TTL + 499).changed_jobs == []
    assert expire_leases(store, 500, NOW + TTL + 500).changed_jobs == ["job_1"]
    assert expire_leases(store, 500, NOW + TTL + 500).changed_jobs == []
    assert state(store, "job_1") is JobState.PENDING


def test_settling_prices_readings_and_moved_data_once(store: Store, network: Network) -> None:
    from westward.control.events import RunEnded, RunStarted

    greet(store, "harbor")
    submit(store, job("job_1", inputs=(InputData(site="plateau", size_bytes=5 * 10**9),)))
    plan_once(store, network)
    ready = NOW + 600_000  # the data has arrived by then
    greet(store, "harbor", at_ms=ready)
    poll_site(store, "harbor", 1, (), TTL, ready)
    plan_once(store, network, ready)
    record = load_job(store, "job_1")
    assert record is not None
    run = record.runs[0]
    poll_site(store, "harbor", 1, (), TTL, ready)
    report_run(store, run.run_id, RunStarted(run_id=run.run_id, token=run.token), ready)
    reading = Reading(
        sequence=0, wall_ms=3_600_000, device_milli_ms=4000 * 3_600_000, cpu_ms=1, max_rss_kib=1
    )
    end = RunEnded(run_id=run.run_id, token=run.token, outcome="succeeded", exit_code=0)
    report_run(store, run.run_id, end, ready + 3_600_000, (reading,))
    for _ in range(2):
        for ended in unsettled_runs(store):
            bill = run_charge(store, network, PURSE, ended).bill
            save_bill(store, ended.job_id, ended.run.run_id, bill, ready + 3_600_001)
    ((run_id, bill),) = load_bills(store, "job_1")
    assert run_id == run.run_id
    assert bill.device_micros == 4 * 550_000  # 4 device-hours at 0.55
    assert bill.energy_j == round(4 * 400 * 1.25 * 3600)
    assert bill.transfer_micros == 5 * 20_000  # 5 GB at 0.02


def test_a_job_put_off_by_this_very_plan_is_looked_at_when_its_time_comes(
    store: Store, network: Network
) -> None:
    """It is in no queue yet when the plan is made; nothing else would wake the planner for it."""
    greet(store, "harbor")
    submit(store, job("job_1", start_after_ms=NOW + 1_500))
    before = look(store, network)
    decided = plan(before.snapshot, before.to_place, POLICY, NOW)
    assert not decided.placements[0].starts_now
    assert next_plan_ms(before, [decided], NOW + 5_000) == NOW + 1_500 + SOON_MS
    assert next_plan_ms(before, [], NOW + 5_000) == NOW + 5_000
    apply_plan(store, decided, before, TTL, NOW)
    assert next_plan_ms(look(store, network), [], NOW + 5_000) == NOW + 1_500 + SOON_MS


def body_answer(*chunks: bytes, endless: bool = False) -> list[Message]:
    """What the body limit lets through to the application, or answers in its place."""
    sent: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            sent.append(message)
            more = message.get("more_body", False)

    async def story() -> None:
        waiting = [
            {"type": "http.request", "body": chunk, "more_body": endless or at < len(chunks) - 1}
            for at, chunk in enumerate(chunks)
        ]

        async def receive() -> Message:
            if not waiting:
                await asyncio.Event().wait()
            return waiting.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        await limits.BodyLimit(application)({"type": "http"}, receive, send)

    asyncio.run(story())
    return sent


def test_a_body_is_passed_on_whole_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_MOST_BYTES", 10)
    assert b"".join(one["body"] for one in body_answer(b"01234", b"56789")) == b"0123456789"
    assert body_answer(b"01234", b"56789", b"x")[0]["status"] == 413
    assert body_answer(b"01234", b"567890", endless=True)[0]["status"] == 413
    monkeypatch.setattr(limits, "BODY_WITHIN_S", 0.01)
    assert body_answer(b"0", endless=True)[0]["status"] == 408


def test_a_bell_rung_between_looking_and_waiting_is_not_missed() -> None:
    async def story() -> tuple[bool, bool]:
        bell = Bell()
        seen = bell.rings
        bell.ring()
        return await bell.wait(seen, 0), await bell.wait(bell.rings, 0)

    assert asyncio.run(story()) == (True, False)


def test_bells_wake_every_listener_and_leave_nothing_behind() -> None:
    async def story() -> list[bool]:
        bells = Bells()

        async def listen() -> bool:
            with bells.listen("a") as bell:
                return await bell.wait(bell.rings, 30)

        tasks = [asyncio.create_task(listen()) for _ in range(3)]
        await asyncio.sleep(0)
        bells.ring("b")
        bells.ring("a")
        woken = list(await asyncio.gather(*tasks))
        assert not bells._bells
        return woken

    assert asyncio.run(story()) == [True] * 3


def test_a_waiting_job_that_is_to_be_moved_is_not_in_its_own_way(
    store: Store, network: Network
) -> None:
    """Found by the fault simulation (seed 33): asking to move a job that waits at the very pool
    named was an internal error, for the planner was given the job twice."""
    greet(store, "harbor")  # one node of four cpus: one job at a time
    submit(store, job("job_1"), job("job_2"))
    plan_once(store, network)
    waits = "job_2" if state(store, "job_2") is JobState.BOUND else "job_1"
    found = look(store, network)
    spec = found.records[waits].job
    part = found.towards(spec, Aim(site="harbor"))
    decided = plan(part.snapshot, (spec,), POLICY, NOW)
    assert [one.job_id for one in decided.placements] == [waits]
