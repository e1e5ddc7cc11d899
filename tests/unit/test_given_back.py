"""A site that takes work and gives it back unbegun (its disk is full) must not use up its attempts.

Found by a chaos run: such a site is free and often the cheapest, so it was given the same job three
times within half a second, and the job failed while two other sites stood open.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from test_server_parts import NOW, greet, job, look, network, plan_once, store, submit

from westward.control.events import RunEnded, RunStarted
from westward.control.records import JobRecord, JobState
from westward.model.network import Network
from westward.server.core import Core
from westward.server.loops import Loops
from westward.server.settings import Settings
from westward.store.database import Store
from westward.store.jobs import load_job, load_story
from westward.store.lifecycle import report_run

__all__ = ["network", "store"]  # fixtures
FULL = "the site could not start the run: [Errno 28] No space left on device"


def loaded(store: Store, job_id: str) -> JobRecord:
    record = load_job(store, job_id)
    assert record is not None
    return record


def give_back(store: Store, job_id: str, *, began: bool = False) -> str:
    """The site of the job's run, which said that it cannot."""
    run = loaded(store, job_id).runs[-1]
    if began:
        report_run(store, run.run_id, RunStarted(run_id=run.run_id, token=run.token), NOW)
    ended = RunEnded(
        run_id=run.run_id, token=run.token, outcome="lease-expired", exit_code=None, detail=FULL
    )
    report_run(store, run.run_id, ended, NOW + 50)
    return run.site


def plan_elsewhere(store: Store, network: Network, folder: Path) -> None:
    async def once() -> None:
        core = Core(Settings(network=folder, data=folder), network, store)
        core.clock.now_ms = lambda: NOW + 100  # type: ignore[method-assign]
        try:
            await Loops(core)._plan_elsewhere(look(store, network, NOW + 100))
        finally:
            core.writer.close()
            core.readers.shutdown()

    asyncio.run(once())


def test_it_goes_to_another_site(store: Store, network: Network, tmp_path: Path) -> None:
    greet(store, "basin", "harbor", "plateau")
    submit(store, job("job_1"), job("job_2"))
    plan_once(store, network)
    full = {give_back(store, name) for name in ("job_1", "job_2")}
    before = look(store, network, NOW + 100)
    assert before.to_place == ()
    assert {spec.job_id: sites for spec, sites in before.elsewhere}.keys() == {"job_1", "job_2"}
    plan_elsewhere(store, network, tmp_path)
    for name in ("job_1", "job_2"):
        first, second = loaded(store, name).runs
        assert first.site in full
        assert second.site != first.site
    told = [str(line) for line in load_story(store, "job_1")]
    assert any("gave the run back before it began: " + FULL in line for line in told), told
    assert not any("Contact with" in line for line in told)


def test_it_goes_back_where_no_other_site_is(
    store: Store, network: Network, tmp_path: Path
) -> None:
    greet(store, "harbor")
    submit(store, job("job_1"))
    plan_once(store, network)
    give_back(store, "job_1")
    plan_elsewhere(store, network, tmp_path)
    assert [run.site for run in loaded(store, "job_1").runs] == ["harbor", "harbor"]


def test_a_run_that_began_shuts_no_site_out(store: Store, network: Network) -> None:
    greet(store, "harbor", "basin")
    submit(store, job("job_1"))
    plan_once(store, network)
    give_back(store, "job_1", began=True)
    assert loaded(store, "job_1").state is JobState.PENDING
    before = look(store, network, NOW + 100)
    assert [spec.job_id for spec in before.to_place] == ["job_1"]
    assert before.elsewhere == ()
