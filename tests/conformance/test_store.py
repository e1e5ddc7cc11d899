"""The store's contract, over real database files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from tests.databases import DATABASES, new_database
from westward.control import machine
from westward.control.events import (
    CancelRequested,
    JobBound,
    JobUnbound,
    LeaseExpired,
    LeaseRenewed,
    RunEnded,
    RunStarted,
)
from westward.control.instructions import PlanAgain, SettleRun, StartRun, StopRun
from westward.control.machine import Ignored, InvalidTransition
from westward.control.records import Binding, JobState
from westward.control.story import tell
from westward.ledger.price import BILL_FIELDS, Bill
from westward.model.job import InputData, JobSpec, ResourceOption, TagRule, Work
from westward.model.plan import Alternative, Plan, Policy, Refusal
from westward.model.reasons import Code, Reason
from westward.model.wire import HeldRun, Hello, Reading
from westward.store import (
    Store,
    decisions,
    jobs,
    lifecycle,
    logs,
    meta,
    metering,
    open_store,
    sites,
)
from westward.store.money_schema import METADATA
from westward.store.results import (
    Applied,
    Change,
    Conflict,
    GrantRequest,
    LogEnd,
    LogGap,
    PoolFull,
    SessionOver,
    SitePoll,
    Stale,
    Submission,
    Submitted,
)

TTL_MS = 10_000
PLACE = Binding(
    pool="west-cpu",
    site="west",
    option=0,
    need_milli=1000,
    duration_ms=60_000,
    not_before_ms=0,
    planned_start_ms=0,
)


def spec(job_id: str) -> JobSpec:
    return JobSpec(
        job_id=job_id,
        name="train",
        submit_ms=1,
        nodes=2,
        options=(ResourceOption(accelerator="A100", devices_milli=500),),
        residency=(TagRule(key="province", values=("Gansu", "Ningxia")),),
        inputs=(InputData(site="east", size_bytes=10**12),),
        labels=(("team", "视觉"),),
        work=Work(run="echo 'a\nb'", envs=(("K", "v"),)),
    )


def submission(job_id: str, body: str = "body") -> Submission:
    return Submission(job=spec(job_id), body_digest=body)


@pytest.fixture(params=DATABASES)
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    opened = open_store(new_database(request.param, tmp_path))
    yield opened
    opened.close()


def submit(store: Store, *job_ids: str) -> None:
    answers = jobs.submit_jobs(store, [submission(job_id) for job_id in job_ids], 1)
    assert all(isinstance(answer, Submitted) and answer.created for answer in answers)


def bind(store: Store, *job_ids: str) -> None:
    changes = [Change(job_id=j, event=JobBound(binding=PLACE), expected_version=1) for j in job_ids]
    answers = lifecycle.apply_events(store, changes, 2)
    assert all(isinstance(answer, Applied) for answer in answers)


def grant(
    store: Store,
    job_id: str,
    *,
    version: int = 2,
    now_ms: int = 3,
    capacity_milli: int = 64_000,
    place: Binding = PLACE,
) -> Applied | Stale | PoolFull:
    request = GrantRequest(
        job_id=job_id,
        expected_version=version,
        run_id=f"run_{job_id}_{version}",
        place=place,
        capacity_milli=capacity_milli,
    )
    return lifecycle.grant_leases(store, [request], TTL_MS, now_ms)[0]


def held(answer: Applied | Stale | PoolFull) -> HeldRun:
    assert isinstance(answer, Applied)
    run = answer.record.live_run
    assert run is not None
    return HeldRun(run_id=run.run_id, token=run.token)


def started_job(store: Store, job_id: str = "job_1") -> HeldRun:
    """A job that runs under session 1 of its site."""
    sites.hello(store, Hello(site="west", agent_id="agent-1", pools=("west-cpu",)), 1)
    submit(store, job_id)
    bind(store, job_id)
    run = held(grant(store, job_id))
    assert isinstance(sites.poll_site(store, "west", 1, (), TTL_MS, 4), SitePoll)
    report = RunStarted(run_id=run.run_id, token=run.token)
    assert isinstance(lifecycle.report_run(store, run.run_id, report, 5), Applied)
    return run


def ended(run: HeldRun, outcome: str = "succeeded") -> RunEnded:
    return RunEnded(run_id=run.run_id, token=run.token, outcome=outcome, exit_code=0)  # type: ignore[arg-type]


def reading(sequence: int, wall_ms: int = 1000) -> Reading:
    return Reading(
        sequence=sequence, wall_ms=wall_ms, device_milli_ms=wall_ms, cpu_ms=1, max_rss_kib=2
    )


def test_migrations_lead_to_the_declared_tables(store: Store) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_commits_are_on_disk_before_they_are_reported(store: Store) -> None:
    with store.read() as connection:
        if connection.dialect.name == "postgresql":
            told = [
                connection.execute(text(f"SHOW {name}")).scalar_one()
                for name in ("synchronous_commit", "fsync")
            ]
            assert told == ["on", "on"]
            return
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


def test_what_it_cannot_open_is_refused(tmp_path: Path) -> None:
    for url in ("sqlite://", "sqlite:///:memory:", "mysql://h/db"):
        with pytest.raises(ValueError, match="is not supported"):
            open_store(url)


def test_submitting_twice_is_submitting_once(store: Store) -> None:
    first, again, other = jobs.submit_jobs(
        store, [submission("job_1"), submission("job_1"), submission("job_1", "another")], 1
    )
    assert isinstance(first, Submitted)
    assert first.created
    assert first.record.job == spec("job_1")
    assert again == Submitted(record=first.record, created=False)
    assert isinstance(other, Conflict)
    # Later, and after it has moved on: the same job as it stands.
    bind(store, "job_1")
    late = jobs.submit_jobs(store, [submission("job_1")], 9)[0]
    assert isinstance(late, Submitted)
    assert late.record.state is JobState.BOUND
    assert [line.kind for line in jobs.load_story(store, "job_1")] == ["submitted", "bound"]


def test_a_job_no_site_could_take_is_kept_as_refused(store: Store) -> None:
    refused = replace(submission("job_1"), refused="no site has this accelerator")
    answer = jobs.submit_jobs(store, [refused], 1)[0]
    assert isinstance(answer, Submitted)
    assert answer.record.state is JobState.REFUSED
    assert answer.record.ending == "no site has this accelerator"
    assert jobs.load_active(store).records == ()


def test_pages_of_jobs(store: Store) -> None:
    submit(store, *(f"job_{n}" for n in range(7)))
    bind(store, "job_2", "job_5")

    def ids(**query: object) -> list[str]:
        return [r.job_id for r in jobs.list_jobs(store, **query)]  # type: ignore[arg-type]

    assert ids(limit=3) == ["job_0", "job_1", "job_2"]
    assert ids(limit=3, after="job_2") == ["job_3", "job_4", "job_5"]
    assert ids(limit=2, newest_first=True) == ["job_6", "job_5"]
    assert ids(limit=2, newest_first=True, after="job_5") == ["job_4", "job_3"]
    assert ids(state=JobState.BOUND) == ["job_2", "job_5"]
    over_or_bound = (JobState.BOUND, JobState.FAILED)
    assert ids(states=over_or_bound, limit=1, newest_first=True) == ["job_5"]
    assert ids(after="job_nobody") == []
    counts = jobs.count_jobs(store)
    assert (counts[JobState.PENDING], counts[JobState.BOUND], counts[JobState.FAILED]) == (5, 2, 0)


def test_everything_is_there_after_reopening(store: Store) -> None:
    run = started_job(store)
    before = jobs.load_job(store, "job_1")
    story = jobs.load_story(store, "job_1")
    version = meta.snapshot_version(store)
    store.close()
    again = open_store(str(store.engine.url))
    assert jobs.load_job(again, "job_1") == before
    assert jobs.load_story(again, "job_1") == story
    assert meta.snapshot_version(again) == version
    assert isinstance(lifecycle.report_run(again, run.run_id, ended(run), 9), Applied)
    again.close()


def test_a_plan_made_on_an_older_view_is_stale(store: Store) -> None:
    submit(store, "job_1")
    lifecycle.apply_event(store, "job_1", CancelRequested(), 2)
    late = lifecycle.apply_event(store, "job_1", JobBound(binding=PLACE), 3, expected_version=1)
    assert isinstance(late, Stale)
    assert "cancelled" in late.reason
    assert isinstance(lifecycle.apply_event(store, "job_no", CancelRequested(), 3), Stale)
    assert isinstance(grant(store, "job_1", version=2), Stale)


def test_no_lease_at_a_place_that_nobody_planned(store: Store) -> None:
    """A row edited by hand keeps its version."""
    submit(store, "job_1")
    bind(store, "job_1")
    seen = replace(PLACE, pool="west-other", option=3)
    assert grant(store, "job_1", place=seen) == Stale(
        job_id="job_1",
        reason="it is bound in another way now: pool west-other, now west-cpu, option 3, now 0",
    )
    assert isinstance(grant(store, "job_1"), Applied)


def test_what_follows_a_stale_event_of_a_job_is_stale_too(store: Store) -> None:
    """A waiting job is moved by two events. Cancelled meanwhile, it is at the version that the
    second one expects (found by fault simulation, seed 110366)."""
    submit(store, "job_1", "job_2")
    bind(store, "job_1")
    lifecycle.apply_event(store, "job_1", CancelRequested(), 3)
    moves = [
        Change(job_id="job_1", event=JobUnbound(reason="elsewhere"), expected_version=2),
        Change(job_id="job_2", event=JobBound(binding=PLACE), expected_version=1),
        Change(job_id="job_1", event=JobBound(binding=PLACE), expected_version=3),
    ]
    first, other, second = lifecycle.apply_events(store, moves, 4)
    assert isinstance(first, Stale)
    assert isinstance(other, Applied)
    assert second == first


def test_an_impossible_event_raises_with_the_story_and_writes_nothing(store: Store) -> None:
    submit(store, "job_1", "job_2")
    bind(store, "job_1")
    changes = [
        Change(job_id="job_2", event=JobBound(binding=PLACE)),
        Change(job_id="job_1", event=JobBound(binding=PLACE)),
    ]
    with pytest.raises(InvalidTransition) as caught:
        lifecycle.apply_events(store, changes, 3)
    assert [line.kind for line in caught.value.story] == ["submitted", "bound"]
    unchanged = jobs.load_job(store, "job_2")
    assert unchanged is not None
    assert unchanged.state is JobState.PENDING


def test_a_pool_is_never_given_more_than_it_has(store: Store) -> None:
    submit(store, "job_1", "job_2", "job_3")
    bind(store, "job_1", "job_2", "job_3")
    requests = [
        GrantRequest(
            job_id=j, expected_version=2, run_id=f"run_{j}", place=PLACE, capacity_milli=2_500
        )
        for j in ("job_1", "job_2", "job_3")
    ]
    first, second, third = lifecycle.grant_leases(store, requests, TTL_MS, 3)
    assert [type(a) for a in (first, second)] == [Applied, Applied]
    assert third == PoolFull(job_id="job_3", pool="west-cpu", need_milli=1000, free_milli=500)
    run = held(first)
    assert isinstance(first, Applied)
    assert first.instructions == (
        StartRun(site="west", job_id="job_1", run_id=run.run_id, token=run.token),
    )
    assert held(second).token == run.token + 1
    lifecycle.report_run(store, run.run_id, ended(run), 4)
    assert isinstance(grant(store, "job_3", capacity_milli=2_500), Applied)


def test_polls_offer_again_to_the_same_agent_only(store: Store) -> None:
    agent = Hello(site="west", agent_id="agent-1", pools=("west-cpu",))
    assert sites.hello(store, agent, 1).session == 1
    assert sites.hello(store, agent, 1).session == 1
    submit(store, "job_1")
    bind(store, "job_1")
    run = held(grant(store, "job_1"))
    for now_ms in (10, 20):  # the first answer may have been lost
        poll = sites.poll_site(store, "west", 1, (), TTL_MS, now_ms)
        assert isinstance(poll, SitePoll)
        assert [offer.run.run_id for offer in poll.offers] == [run.run_id]
        assert poll.offers[0].record.job.work.run == "echo 'a\nb'"
        assert poll.renewed == (run,)
    assert lifecycle.next_lease_end(store) == 20 + TTL_MS
    listed = sites.poll_site(store, "west", 1, (run,), TTL_MS, 30)
    assert listed == SitePoll(renewed=(run,), offers=(), stops=(), unknown=())

    assert sites.hello(store, replace(agent, agent_id="agent-2"), 40).session == 2
    assert sites.poll_site(store, "west", 1, (run,), TTL_MS, 41) == SessionOver(
        site="west", session=1, newest=2
    )
    blank = sites.poll_site(store, "west", 2, (), TTL_MS, 42)
    assert blank == SitePoll(renewed=(), offers=(), stops=(), unknown=())
    # An agent that found the run's supervisor still there goes on with it.
    adopted = sites.poll_site(store, "west", 2, (run,), TTL_MS, 43)
    assert adopted == SitePoll(renewed=(run,), offers=(), stops=(), unknown=())
    assert sites.poll_site(store, "nowhere", 1, (), TTL_MS, 1) == SessionOver(
        site="nowhere", session=1, newest=None
    )
    assert [(s.site, s.session, s.last_seen_ms) for s in sites.list_sites(store)] == [
        ("west", 2, 43)
    ]


def test_polls_tell_what_to_stop_and_what_to_forget(store: Store) -> None:
    run = started_job(store)
    cancel = lifecycle.apply_event(store, "job_1", CancelRequested(), 10)
    assert isinstance(cancel, Applied)
    assert cancel.instructions == (
        StopRun(site="west", job_id="job_1", run_id=run.run_id, token=run.token),
    )
    stranger = HeldRun(run_id="run_x", token=99)
    older = HeldRun(run_id=run.run_id, token=run.token - 1)
    poll = sites.poll_site(store, "west", 1, (run, stranger, older), TTL_MS, 11)
    assert poll == SitePoll(
        renewed=(run,), offers=(), stops=(run.run_id,), unknown=(run.run_id, "run_x")
    )
    end = lifecycle.report_run(store, run.run_id, ended(run, "cancelled"), 12)
    assert isinstance(end, Applied)
    assert end.record.state is JobState.CANCELLED
    after = sites.poll_site(store, "west", 1, (run,), TTL_MS, 13)
    assert after == SitePoll(renewed=(), offers=(), stops=(), unknown=(run.run_id,))


def test_leases_expire_unless_renewed(store: Store) -> None:
    run = started_job(store)
    end_ms = 4 + TTL_MS
    assert lifecycle.expired_leases(store, end_ms + 499, 500) == ()
    expired = lifecycle.expired_leases(store, end_ms + 500, 500)
    assert expired == (
        Change(
            job_id="job_1",
            event=LeaseExpired(run_id=run.run_id, token=run.token, seen_expires_ms=end_ms),
        ),
    )
    # Renewed between the look and the write: it stays alive.
    assert lifecycle.renew_leases(store, (run,), TTL_MS, end_ms) == (run,)
    late = lifecycle.apply_events(store, expired, end_ms + 500)[0]
    assert isinstance(late, Ignored)
    assert late.code == "lease-renewed"
    # Not renewed: the run is lost, its token is dead, the job waits for a new place.
    expired = lifecycle.expired_leases(store, end_ms + 2 * TTL_MS, 500)
    lost = lifecycle.apply_events(store, expired, end_ms + 2 * TTL_MS)[0]
    assert isinstance(lost, Applied)
    assert lost.record.state is JobState.PENDING
    assert PlanAgain(job_id="job_1") in lost.instructions
    assert lifecycle.renew_leases(store, (run,), TTL_MS, end_ms + 2 * TTL_MS) == ()
    dead = lifecycle.report_run(store, run.run_id, ended(run), end_ms + 2 * TTL_MS)
    assert isinstance(dead, Ignored)
    assert dead.code == "run-over"
    assert lifecycle.next_lease_end(store) is None


def test_renewing_in_bulk_is_what_the_machine_does(store: Store) -> None:
    run = started_job(store)
    for now_ms in (100, 50, 9_000):
        before = jobs.load_job(store, "job_1")
        assert before is not None
        lifecycle.renew_leases(store, (run,), TTL_MS, now_ms)
        event = LeaseRenewed(run_id=run.run_id, token=run.token, lease_expires_ms=now_ms + TTL_MS)
        assert jobs.load_job(store, "job_1") == machine.handle(before, event, now_ms).record


def test_readings_count_once_and_not_after_the_end(store: Store) -> None:
    run = started_job(store)
    assert metering.record_readings(store, run.run_id, run.token, [reading(0)], 10) is None
    again = [reading(0, 9999), reading(1)]
    assert metering.record_readings(store, run.run_id, run.token, again, 11) is None
    stale = metering.record_readings(store, run.run_id, run.token - 1, [reading(2)], 12)
    assert stale is not None
    assert stale.code == "stale-token"
    end = lifecycle.report_run(store, run.run_id, ended(run), 13, [reading(1), reading(2)])
    assert isinstance(end, Applied)
    assert SettleRun(job_id="job_1", run_id=run.run_id, token=run.token) in end.instructions
    repeat = lifecycle.report_run(store, run.run_id, ended(run), 14, [reading(2), reading(3)])
    assert isinstance(repeat, Ignored)
    assert repeat.code == "repeat"
    late = metering.record_readings(store, run.run_id, run.token, [reading(3)], 15)
    assert late is not None
    assert late.code == "run-over"
    known = metering.record_readings(store, run.run_id, run.token, [reading(2)], 15)
    assert known is not None
    assert known.code == "repeat"
    assert metering.load_readings(store, run.run_id) == (reading(0), reading(1), reading(2))


def test_a_run_is_settled_once(store: Store) -> None:
    run = started_job(store)
    values: dict[str, int | None] = {name: n for n, name in enumerate(BILL_FIELDS)}
    bill = Bill(**{**values, "carbon_contract_ug": None})  # type: ignore[arg-type]
    assert not metering.save_bill(store, "job_1", run.run_id, bill, 6)  # it still runs
    lifecycle.report_run(store, run.run_id, ended(run), 7)
    waiting = metering.unsettled_runs(store)
    assert [(item.job_id, item.run.run_id) for item in waiting] == [("job_1", run.run_id)]
    assert metering.save_bill(store, "job_1", run.run_id, bill, 8)
    assert not metering.save_bill(store, "job_1", run.run_id, replace(bill, total_micros=99), 9)
    assert metering.unsettled_runs(store) == ()
    assert metering.load_bills(store, "job_1") == ((run.run_id, bill),)
    total = metering.site_totals(store)[0]
    assert (total.site, total.runs, total.carbon_unknown_runs) == ("west", 1, 0)
    assert total.sums == bill


def test_logs_are_kept_byte_for_byte(store: Store) -> None:
    run = started_job(store)

    def add(offset: int, data: bytes, rank: int = 0, token: int = run.token) -> object:
        return logs.append_log(store, run.run_id, token, rank, offset, data, 9)

    assert add(0, b"hello ") == LogEnd(next_offset=6, full=False)
    assert add(10, b"?") == LogGap(expected_offset=6)
    assert add(0, b"hello ") == LogEnd(next_offset=6, full=False)
    assert add(3, b"lo world\n") == LogEnd(next_offset=12, full=False)
    assert add(0, b"\x00\xff", rank=1) == LogEnd(next_offset=2, full=False)
    assert isinstance(add(12, b"x", token=run.token + 1), Ignored)
    assert isinstance(add(0, b"x", rank=2), Ignored), "the job has two ranks"
    assert isinstance(add(0, b"x", rank=-1), Ignored)
    lifecycle.report_run(store, run.run_id, ended(run), 10)
    assert add(12, b"bye") == LogEnd(next_offset=15, full=False)
    whole = b"hello world\nbye"
    for offset in range(16):
        for limit in range(1, 17):
            got = logs.read_log(store, run.run_id, 0, offset, limit)
            assert got == whole[offset : offset + limit]
    assert logs.log_ranks(store, run.run_id) == ((0, 15), (1, 2))


def test_a_log_has_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES_MAX", 10)
    run = started_job(store)
    full = logs.append_log(store, run.run_id, run.token, 0, 0, b"0123456789abc", 9)
    assert full == LogEnd(next_offset=10, full=True)
    again = logs.append_log(store, run.run_id, run.token, 0, 10, b"abc", 9)
    assert again == LogEnd(next_offset=10, full=True)
    assert logs.read_log(store, run.run_id) == b"0123456789"


def test_the_last_decision_is_kept_once(store: Store) -> None:
    submit(store, "job_1")
    reason = Reason(code=Code.RESIDENCY, resource="province", asked="Gansu", available="Hebei")
    refusal = Refusal(
        job_id="job_1",
        alternatives=(Alternative(pool="west-cpu", site="west", estimate=None, reasons=(reason,)),),
        relaxation=None,
    )
    plan = Plan(snapshot_version=3, now_ms=7, policy=Policy(), placements=(), refusals=(refusal,))
    stranger = replace(refusal, job_id="job_no")
    assert decisions.save_decisions(store, replace(plan, refusals=(refusal, stranger))) == 1
    assert decisions.save_decisions(store, replace(plan, now_ms=9)) == 0
    found = decisions.last_decision(store, "job_1")
    assert found is not None
    assert (found.at_ms, found.snapshot_version) == (7, 3)
    assert found.answer == refusal
    assert found.policy == Policy()
    for n in range(decisions.DECISIONS_KEPT + 3):
        other = replace(plan, policy=Policy(backfill_depth=n), now_ms=100 + n)
        assert decisions.save_decisions(store, other) == 1
    with store.read() as connection:
        kept = connection.execute(text("SELECT count(*) FROM decisions")).scalar_one()
    assert kept == decisions.DECISIONS_KEPT
    assert decisions.last_decision(store, "job_no") is None


def test_meta_set_once_stands(store: Store) -> None:
    assert meta.get_meta(store, "series_origin_ms") is None
    assert meta.set_meta_once(store, "series_origin_ms", "5") == "5"
    assert meta.set_meta_once(store, "series_origin_ms", "6") == "5"
    before = meta.snapshot_version(store)
    meta.set_meta(store, "network_digest", "a")
    meta.set_meta(store, "network_digest", "b")
    assert meta.get_meta(store, "network_digest") == "b"
    assert meta.snapshot_version(store) == before + 2


def test_the_snapshot_version_rises_with_what_a_planner_sees(store: Store) -> None:
    versions = [jobs.load_active(store).version]

    def risen() -> bool:
        versions.append(meta.snapshot_version(store))
        return versions[-1] > versions[-2]

    run = started_job(store)
    assert risen()
    lifecycle.renew_leases(store, (run,), TTL_MS, 6)
    assert not risen()
    lifecycle.report_run(store, run.run_id, RunStarted(run_id=run.run_id, token=run.token), 7)
    assert not risen()
    lifecycle.report_run(store, run.run_id, ended(run), 8)
    assert risen()


def test_a_run_that_cannot_be_settled_does_not_hide_the_next(store: Store) -> None:
    first = started_job(store, "job_1")
    submit(store, "job_2")
    bind(store, "job_2")
    second = held(grant(store, "job_2"))
    for run in (first, second):
        lifecycle.report_run(store, run.run_id, ended(run), 9)
    (one,) = metering.unsettled_runs(store, limit=1)
    assert one.run.run_id == first.run_id
    (two,) = metering.unsettled_runs(store, limit=1, after_token=one.run.token)
    assert two.run.run_id == second.run_id
    assert metering.unsettled_runs(store, after_token=two.run.token) == ()


def test_a_request_is_known_by_its_id_and_text(store: Store) -> None:
    submit(store, "job_1")
    digest = submission("job_1").body_digest
    found = jobs.submitted_before(store, "job_1", digest)
    assert found is not None
    assert found.job_id == "job_1"
    assert jobs.submitted_before(store, "job_1", digest + "x") is None
    assert jobs.submitted_before(store, "job_2", digest) is None


def test_a_story_line_that_goes_with_no_change(store: Store) -> None:
    submit(store, "job_1")
    before = jobs.load_job(store, "job_1")
    jobs.tell_story(store, "job_1", tell(7, "set-aside", "bell \x07 and\nescape \x1b[31m"))
    jobs.tell_story(store, "job_no", tell(7, "set-aside", "nobody's"))
    line = jobs.load_story(store, "job_1")[-1]
    assert (line.kind, line.text) == ("set-aside", "bell \\x07 and\\nescape \\x1b[31m")
    assert jobs.load_job(store, "job_1") == before
    assert jobs.load_story(store, "job_no") == ()
