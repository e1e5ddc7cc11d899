"""One job that cannot be handled must not stop the work on the others. Real store and planner."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from westward.control.records import JobState
from westward.model.job import JobSpec, ResourceOption, Work
from westward.model.network import Network
from westward.model.wire import HeldRun, Hello
from westward.network.loader import load_network
from westward.server.applier import apply_plan, expire_leases
from westward.server.aside import FIRST_PAUSE_MS, Broken, SetAside, each_apart, sound_part
from westward.server.loops import plan_sound
from westward.server.settings import LIVE_POLICY
from westward.server.snapshot import Situation, live_pools, situation
from westward.store.database import Store, open_store
from westward.store.jobs import list_jobs, load_active, load_job, submit_jobs
from westward.store.results import SitePoll, Submission
from westward.store.sites import hello, list_sites, poll_site

NOW = 1_800_000_000_000
TTL = 10_000
POLICY = replace(LIVE_POLICY, wait_value_micros_per_device_hour=10**9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{path}")
    for site in ("harbor", "basin", "plateau"):
        hello(opened, Hello(site=site, agent_id=f"agt_{site}", pools=()), NOW)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(Path(__file__).parents[2] / "networks" / "laptop")


def submit(store: Store, name: str, attempts_max: int = 3, **changes: object) -> None:
    values: dict[str, object] = {
        "job_id": name,
        "name": name,
        "submit_ms": NOW,
        "options": (ResourceOption(cpus_milli=1000),),
        "duration_ms": 60_000,
        "work": Work(run="true"),
    }
    job = JobSpec(**(values | changes))  # type: ignore[arg-type]
    submit_jobs(store, [Submission(job=job, body_digest=name, attempts_max=attempts_max)], NOW)


def look(store: Store, network: Network, now_ms: int = NOW) -> Situation:
    statuses = live_pools(network, list_sites(store), NOW - TTL)
    return situation(network, NOW, load_active(store), statuses, now_ms)


def state(store: Store, job_id: str) -> JobState:
    record = load_job(store, job_id)
    assert record is not None
    return record.state


def damage(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


def test_jobs_that_break_the_planner_are_left_out_of_the_plan(
    store: Store, network: Network
) -> None:
    for number in range(6):
        submit(store, f"job_{number}", duration_ms=10**20 if number in (1, 4) else 60_000)
    decided, broken = plan_sound(look(store, network), POLICY)
    assert [one.key for one in broken] == ["job_1", "job_4"]
    assert all("OverflowError" in one.problem for one in broken)
    assert sorted(one.job_id for one in decided.placements) == ["job_0", "job_2", "job_3", "job_5"]


def test_a_lease_that_cannot_be_granted_does_not_keep_others_from_theirs(
    store: Store, network: Network
) -> None:
    submit(store, "job_1")
    submit(store, "job_bad", attempts_max=0)
    submit(store, "job_2")
    before = look(store, network)
    decided, broken = plan_sound(before, POLICY)
    assert broken == []
    outcome = apply_plan(store, decided, before, TTL, NOW)
    assert [(one.key, one.step) for one in outcome.broken] == [("job_bad", "grant the lease")]
    assert "attempts" in outcome.broken[0].problem
    assert [state(store, name) for name in ("job_1", "job_bad", "job_2")] == [
        JobState.LEASED,
        JobState.BOUND,
        JobState.LEASED,
    ]


def test_a_lease_that_cannot_be_ended_does_not_keep_others_from_ending(
    store: Store, network: Network, path: Path
) -> None:
    for name in ("job_1", "job_bad", "job_2"):
        submit(store, name)
    before = look(store, network)
    decided, _ = plan_sound(before, POLICY)
    apply_plan(store, decided, before, TTL, NOW)
    damage(path, "UPDATE jobs SET state = 'bound' WHERE job_id = 'job_bad'")
    outcome = expire_leases(store, 0, NOW + TTL)
    assert [one.key for one in outcome.broken] == ["job_bad"]
    assert sorted(outcome.changed_jobs) == ["job_1", "job_2"]
    again = expire_leases(store, 0, NOW + TTL, lambda job_id: job_id == "job_bad")
    assert again.broken == []
    assert again.changed_jobs == []


def test_a_run_that_cannot_be_offered_does_not_cost_its_site_the_poll(
    store: Store, network: Network, path: Path
) -> None:
    """Else every lease at that site would end for the sake of one job."""
    for name in ("job_1", "job_bad", "job_unreadable"):
        submit(store, name, options=(ResourceOption(cpus_milli=1000, site="harbor"),))
    before = look(store, network)
    decided, _ = plan_sound(before, POLICY)
    apply_plan(store, decided, before, TTL, NOW)
    damage(path, "UPDATE runs SET started_ms = 1, ended_ms = 1 WHERE job_id = 'job_bad'")
    damage(path, "UPDATE jobs SET bound = '{}' WHERE job_id = 'job_unreadable'")
    answer = poll_site(store, "harbor", 1, (), TTL, NOW + 1)
    assert isinstance(answer, SitePoll)
    assert [offer.record.job_id for offer in answer.offers] == ["job_1"]
    assert sorted(job_id for job_id, _ in answer.broken) == ["job_bad", "job_unreadable"]


def test_a_run_that_its_agent_never_takes_up_is_not_offered_for_ever(
    store: Store, network: Network
) -> None:
    submit(store, "job_1", options=(ResourceOption(cpus_milli=1000, site="harbor"),))
    before = look(store, network)
    decided, _ = plan_sound(before, POLICY)
    apply_plan(store, decided, before, TTL, NOW)
    at_ms, offers = NOW, 0
    while True:  # an agent that answers every poll and never lists the run
        answer = poll_site(store, "harbor", 1, (), TTL, at_ms)
        assert isinstance(answer, SitePoll)
        if not answer.offers:
            break
        offers += 1
        at_ms += TTL // 5
        assert offers < 100
    assert offers > 1
    assert answer.renewed == ()
    assert expire_leases(store, 0, at_ms + TTL).changed_jobs == ["job_1"]
    assert state(store, "job_1") is JobState.PENDING


def test_a_run_that_is_taken_up_late_is_still_renewed(store: Store, network: Network) -> None:
    submit(store, "job_1", options=(ResourceOption(cpus_milli=1000, site="harbor"),))
    before = look(store, network)
    decided, _ = plan_sound(before, POLICY)
    apply_plan(store, decided, before, TTL, NOW)
    first = poll_site(store, "harbor", 1, (), TTL, NOW)
    assert isinstance(first, SitePoll)
    run = first.offers[0].run
    held = HeldRun(run_id=run.run_id, token=run.token)
    late = poll_site(store, "harbor", 1, (held,), TTL, NOW + 9 * TTL)
    assert isinstance(late, SitePoll)
    assert late.renewed == (held,)


def test_a_row_that_cannot_be_read_hides_no_other(
    store: Store, network: Network, path: Path
) -> None:
    submit(store, "job_1")
    submit(store, "job_bad")
    damage(path, "UPDATE jobs SET spec = '{\"job_id\": 7}' WHERE job_id = 'job_bad'")
    store.specs.clear()
    active = load_active(store)
    assert [record.job_id for record in active.records] == ["job_1"]
    assert [one.job_id for one in active.unreadable] == ["job_bad"]
    assert active.unreadable[0].problem
    assert [record.job_id for record in list_jobs(store)] == ["job_1"]


def test_a_job_whose_pool_is_gone_from_the_network_is_placed_anew(
    store: Store, network: Network, path: Path
) -> None:
    submit(store, "job_1")
    submit(store, "job_runs")
    before = look(store, network)
    decided, _ = plan_sound(before, POLICY)
    apply_plan(store, decided, before, TTL, NOW)
    damage(path, "UPDATE runs SET pool = 'no-more' WHERE job_id = 'job_runs'")
    damage(path, "DELETE FROM runs WHERE job_id = 'job_1'")
    damage(
        path,
        "UPDATE jobs SET state = 'bound', bound = replace(bound, '-west', '-gone') "
        "WHERE job_id = 'job_1'",
    )
    after = look(store, network)
    assert [job.job_id for job in after.to_place] == ["job_1"]
    assert sum(len(pool.running) for pool in after.snapshot.pools) == 0


def test_what_is_set_aside_is_tried_again_after_longer_and_longer_pauses() -> None:
    asides = SetAside()
    broken = Broken(key="job_1", step="plan it", error=ValueError("no\nmore"), version=4)
    first = asides.add(broken, NOW)
    assert first is not None
    assert first.problem == "ValueError: no"
    assert asides.holds("job_1", NOW + FIRST_PAUSE_MS - 1, 4)
    assert not asides.holds("job_1", NOW + FIRST_PAUSE_MS - 1, 5), "it has changed"
    assert not asides.holds("job_1", NOW + FIRST_PAUSE_MS, 4), "it is tried again"
    assert asides.add(broken, NOW + 1) is None
    second = asides.add(broken, NOW + FIRST_PAUSE_MS)
    assert second is not None
    assert (second.times, second.again_ms - second.at_ms) == (2, 2 * FIRST_PAUSE_MS)
    asides.keep({"job_1": 4, "job_2": 1})
    assert [one.key for one in asides.all()] == ["job_1"]
    asides.keep({"job_1": 5})
    assert asides.all() == []


def test_each_apart_sets_aside_what_fails_but_not_trouble_with_the_store() -> None:
    failed: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        if 0 in items:
            raise OperationalError("write", {}, Exception("disk is full"))
        if any(item % 7 == 0 for item in items):
            raise ValueError(items)
        return [item * 10 for item in items]

    def note(item: int, _error: Exception) -> None:
        failed.append(item)

    assert each_apart(work, [1, 7, 2, 14, 3], note) == [10, 20, 30]
    assert failed == [7, 14]
    with pytest.raises(OperationalError):
        each_apart(work, [1, 0], note)
    assert failed == [7, 14]
    assert each_apart(work, [], note) == []


@pytest.mark.parametrize("bad", [set(), {0}, {9}, {3, 4}, {0, 5, 9}, set(range(10))])
def test_the_sound_part_is_all_that_works(bad: set[int]) -> None:
    found = sound_part(range(10), lambda items: not bad.intersection(items))
    assert found == [item for item in range(10) if item not in bad]


def test_a_job_bound_by_an_option_that_it_has_not_is_left_out(
    store: Store, network: Network, path: Path
) -> None:
    """It is not to stop the planning of all others (found by fault simulation)."""
    for name in ("job_1", "job_bad"):
        submit(store, name)
    before = look(store, network)
    decided, _ = plan_sound(before, POLICY)
    apply_plan(store, decided, before, TTL, NOW)
    damage(path, "UPDATE jobs SET bound = json_set(bound, '$.option', 7) WHERE job_id = 'job_bad'")
    active = load_active(store)
    assert [one.job_id for one in active.records] == ["job_1"]
    assert "option 7" in active.unreadable[0].problem


def test_a_job_bound_to_a_pool_that_another_site_has_now_is_placed_anew(
    store: Store, network: Network, path: Path
) -> None:
    submit(store, "job_1", start_after_ms=NOW + 3_600_000)
    before = look(store, network)
    decided, _ = plan_sound(before, POLICY)
    apply_plan(store, decided, before, TTL, NOW)
    assert state(store, "job_1") is JobState.BOUND
    assert look(store, network).to_place == ()
    damage(path, "UPDATE jobs SET bound = json_set(bound, '$.site', 'elsewhere')")
    assert [one.job_id for one in look(store, network).to_place] == ["job_1"]
