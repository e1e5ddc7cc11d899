"""Requests that come together are read and written together, and each stands or falls by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from westward.control.records import JobRecord
from westward.model.job import DataInput, FileMount, JobSpec, ResourceOption, Work
from westward.network.loader import load_network
from westward.server import intake as server_intake
from westward.server.core import Core
from westward.server.intake import TOGETHER_MOST, Answer
from westward.server.possible import KEPT_MOST, KEPT_MS, Possible, alike, judge
from westward.server.settings import Settings
from westward.store.database import Store, open_store
from westward.store.jobs import load_job, submit_jobs
from westward.store.results import Conflict, Submission, Submitted

LAPTOP = Path(__file__).parents[2] / "networks" / "laptop"
NOW = 1_800_000_000_000


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    store = open_store(f"sqlite:///{tmp_path / 'i.db'}")
    made = Core(Settings(network=LAPTOP, data=tmp_path), load_network(LAPTOP), store)
    yield made
    made.close()


def spec(job_id: str, **changes: object) -> JobSpec:
    values: dict[str, object] = {
        "job_id": job_id,
        "name": job_id,
        "submit_ms": NOW,
        "options": (ResourceOption(cpus_milli=1000),),
        "work": Work(run="true"),
    }
    return JobSpec(**(values | changes))  # type: ignore[arg-type]


def handed_in(job_id: str, text: str = "one") -> Callable[[int], Submission]:
    return lambda now_ms: Submission(job=spec(job_id, submit_ms=now_ms), body_digest=text)


def on_disk(core: Core) -> set[str]:
    """As another process sees it: what is committed."""
    with sqlite3.connect(str(core.store.engine.url.database)) as other:
        return {job_id for (job_id,) in other.execute("SELECT job_id FROM jobs")}


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The jobs of each call of ``submit_jobs``."""
    written: list[list[str]] = []

    def noted(store: Store, submissions: Sequence[Submission], now_ms: int) -> object:
        written.append([one.job.job_id for one in submissions])
        return submit_jobs(store, submissions, now_ms)

    monkeypatch.setattr(server_intake, "submit_jobs", noted)
    return written


def together(core: Core, *works: Callable[[int], object]) -> list[Answer | BaseException]:
    """All of them wait while a first one is read: they are one group, if they are not too many."""

    async def run() -> list[Answer | BaseException]:
        gate = threading.Event()

        def first(now_ms: int) -> Submission:
            gate.wait(10)
            return handed_in("job_first")(now_ms)

        ahead = asyncio.create_task(core.intake.take(first))
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(core.intake.take(one)) for one in works]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        gate.set()
        _, *found = await asyncio.gather(ahead, *tasks, return_exceptions=True)
        return list(found)

    return asyncio.run(run())


def test_what_comes_meanwhile_is_one_group(core: Core, groups: list[list[str]]) -> None:
    found = together(core, *(handed_in(f"job_{n}") for n in range(5)))
    assert groups == [["job_first"], [f"job_{n}" for n in range(5)]]
    for n, answer in enumerate(found):
        assert isinstance(answer, Submitted)
        assert answer.created
        assert answer.record.job_id == f"job_{n}", "each its own"
    assert on_disk(core) == {"job_first", *(f"job_{n}" for n in range(5))}


def test_a_group_has_an_end(core: Core, groups: list[list[str]]) -> None:
    together(core, *(handed_in(f"job_{n}") for n in range(TOGETHER_MOST + 3)))
    assert [len(one) for one in groups] == [1, TOGETHER_MOST, 3]


def test_the_same_id_within_a_group(core: Core, groups: list[list[str]]) -> None:
    found = together(core, handed_in("job_a"), handed_in("job_a"), handed_in("job_a", "another"))
    assert len(groups[1]) == 3
    first, again, other = found
    assert isinstance(first, Submitted)
    assert first.created
    assert isinstance(again, Submitted)
    assert not again.created
    assert again.record == first.record
    assert isinstance(other, Conflict)


class Wrong(Exception):
    pass


def test_one_that_cannot_be_read_is_its_own_trouble(core: Core, groups: list[list[str]]) -> None:
    def wrong(_now_ms: int) -> Submission:
        raise Wrong

    found = together(core, handed_in("job_a"), wrong, handed_in("job_b"))
    assert isinstance(found[1], Wrong)
    assert groups[1] == ["job_a", "job_b"]
    assert isinstance(found[0], Submitted)
    assert isinstance(found[2], Submitted)


def test_one_that_cannot_be_written_is_its_own_trouble(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(store: Store, submissions: Sequence[Submission], now_ms: int) -> object:
        with store.write():  # all of it or nothing, as within ``submit_jobs``
            answers = submit_jobs(store, submissions, now_ms)
            if any(one.job.job_id == "job_bad" for one in submissions):
                raise Wrong
            return answers

    monkeypatch.setattr(server_intake, "submit_jobs", write)
    found = together(core, handed_in("job_a"), handed_in("job_bad"), handed_in("job_b"))
    assert isinstance(found[1], Wrong)
    assert isinstance(found[0], Submitted)
    assert isinstance(found[2], Submitted)
    assert on_disk(core) == {"job_first", "job_a", "job_b"}


def test_trouble_of_the_store_is_everyones(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(store: Store, submissions: Sequence[Submission], now_ms: int) -> object:
        if submissions[0].job.job_id == "job_first":
            return submit_jobs(store, submissions, now_ms)
        raise OperationalError("INSERT", {}, Exception("disk full"))

    monkeypatch.setattr(server_intake, "submit_jobs", full)
    found = together(core, handed_in("job_a"), handed_in("job_b"))
    assert [type(one) for one in found] == [OperationalError, OperationalError]
    assert on_disk(core) <= {"job_first"}, "it may have shared their transaction"
    monkeypatch.setattr(server_intake, "submit_jobs", submit_jobs)
    assert isinstance(asyncio.run(core.intake.take(handed_in("job_a"))), Submitted), "it goes on"


def test_a_job_of_before_is_not_written(core: Core, groups: list[list[str]]) -> None:
    asyncio.run(core.intake.take(handed_in("job_old")))
    before = load_job(core.store, "job_old")
    assert before is not None
    found = together(core, lambda _now_ms: before, handed_in("job_new"))
    assert isinstance(found[0], JobRecord)
    assert found[0] == before
    assert groups[-1] == ["job_new"]


def test_alone_passes_the_others(core: Core, groups: list[list[str]]) -> None:
    """One that takes long to read holds nobody up."""

    async def run() -> None:
        gate = threading.Event()

        def slow(now_ms: int) -> Submission:
            gate.wait(10)
            return handed_in("job_slow")(now_ms)

        long = asyncio.create_task(core.intake.take(slow, alone=True))
        await asyncio.sleep(0)
        assert isinstance(await core.intake.take(handed_in("job_a")), Submitted)
        gate.set()
        assert isinstance(await long, Submitted)

    asyncio.run(run())
    assert groups == [["job_a"], ["job_slow"]]


def test_one_who_left_is_not_missed(core: Core) -> None:
    async def run() -> None:
        gate = threading.Event()

        def slow(now_ms: int) -> Submission:
            gate.wait(10)
            return handed_in("job_left")(now_ms)

        gone = asyncio.create_task(core.intake.take(slow))
        await asyncio.sleep(0)
        stays = asyncio.create_task(core.intake.take(handed_in("job_stays")))
        await asyncio.sleep(0)
        gone.cancel()
        gate.set()
        assert isinstance(await stays, Submitted)

    asyncio.run(run())
    assert "job_stays" in on_disk(core)


# -- what was found possible


def test_possible_is_kept_for_jobs_alike(core: Core) -> None:
    known, network = Possible(), core.network
    job = alike(spec("job_a"))
    assert not known.known(network, job, NOW)
    known.keep(network, job, NOW)
    later = alike(spec("job_b", submit_ms=NOW + 5, work=Work(run="other")))
    assert known.known(network, later, NOW + KEPT_MS - 1)
    assert not known.known(network, later, NOW + KEPT_MS), "for a minute"
    other = alike(spec("job_a", options=(ResourceOption(cpus_milli=2000),)))
    assert not known.known(network, other, NOW)
    files = Work(file_mounts=(FileMount(target="/a", source="/b"),))
    assert not known.known(network, alike(spec("job_a", work=files)), NOW), "files decide"
    changed = replace(network)
    assert not known.known(changed, job, NOW), "of that network alone"
    known.keep(changed, job, NOW)
    assert not known.known(network, job, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"deadline_ms": NOW + 10**9},
        {"start_after_ms": NOW + 10**6},
        {"datasets": (DataInput(dataset="images", target="/d"),)},
    ],
)
def test_times_and_data_are_judged_each_time(core: Core, changes: dict[str, object]) -> None:
    known, job = Possible(), alike(spec("job_a", **changes))
    known.keep(core.network, job, NOW)
    assert not known.known(core.network, job, NOW)


def test_what_is_kept_has_an_end(core: Core) -> None:
    known = Possible()
    for n in range(KEPT_MOST + 1):
        known.keep(core.network, alike(spec("job_a", account=f"p{n}")), NOW)
    assert known.known(core.network, alike(spec("job_a", account=f"p{KEPT_MOST}")), NOW)
    assert not known.known(core.network, alike(spec("job_a", account="p0")), NOW)


def test_what_helps_is_told_of_an_impossible_job(core: Core) -> None:
    asked = alike(spec("job_a", options=(ResourceOption(cpus_milli=10**9),)))
    refused = judge(core.network, core.series_origin_ms, core.settings.policy, asked, NOW)
    assert refused is not None
    assert "cpus-per-node" in refused
    fits = alike(spec("job_a"))
    assert judge(core.network, core.series_origin_ms, core.settings.policy, fits, NOW) is None
