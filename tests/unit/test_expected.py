"""When those who wait are to start: as of the last plan, not as of their binding."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from test_server_parts import NOW, POLICY, greet, job, look, network, plan_once, store, submit

from westward.control.events import CancelRequested
from westward.model.network import Network
from westward.server.core import Core
from westward.server.loops import Loops
from westward.server.settings import Settings
from westward.server.views import job_view
from westward.store.database import Store
from westward.store.jobs import load_active, load_job
from westward.store.lifecycle import apply_event

__all__ = ["network", "store"]  # fixtures
HOUR = 3_600_000


@pytest.fixture
def queue(store: Store, network: Network) -> Store:
    """Three jobs of an hour, one after the other at harbor's node."""
    greet(store, "harbor", at_ms=NOW + HOUR)  # heard of until then
    submit(store, *(job(f"job_{n}", duration_ms=HOUR) for n in (1, 2, 3)))
    plan_once(store, network)
    return store


def at_core(
    queue: Store,
    network: Network,
    folder: Path,
    work: Callable[[Core, pytest.MonkeyPatch], Awaitable[None]],
) -> None:
    async def once() -> None:
        core = Core(Settings(network=folder, data=folder, policy=POLICY), network, queue)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(core.clock, "now_ms", lambda: NOW)
                await work(core, patch)
        finally:
            core.writer.close()
            core.readers.shutdown()

    asyncio.run(once())


async def starts(core: Core) -> dict[str, int]:
    """In hours from now."""
    found = await core.expected.starts_ms(core, load_active(core.store).records)
    return {job_id: (at_ms - NOW) // HOUR for job_id, at_ms in found.items()}


def views(core: Core, starts_ms: dict[str, int]) -> list[tuple[Any, Any]]:
    told = [job_view(one, starts_ms=starts_ms) for one in load_active(core.store).records]
    return [(one["planned_start_ms"], one["expected_start_ms"]) for one in told]


def test_a_server_whose_loops_do_not_plan_asks_the_planner(
    queue: Store, network: Network, tmp_path: Path
) -> None:
    async def work(core: Core, patch: pytest.MonkeyPatch) -> None:
        asked = []
        situation = core.situation

        def counted() -> Any:
            asked.append(1)
            return situation()

        patch.setattr(core, "situation", counted)
        now_s = 100.0
        patch.setattr(core.clock, "elapsed_s", lambda: now_s)
        assert await starts(core) == {"job_2": 1, "job_3": 2}
        apply_event(queue, "job_2", CancelRequested(), NOW)
        now_s = 114.9
        assert await starts(core) == {"job_3": 2}, "known for a while"
        assert len(asked) == 1
        now_s = 115.1
        assert await starts(core) == {"job_3": 1}
        assert len(asked) == 2
        apply_event(queue, "job_3", CancelRequested(), NOW)
        now_s = 500.0
        assert await starts(core) == {}
        assert len(asked) == 2, "nobody waits: nothing to ask"

    at_core(queue, network, tmp_path, work)


def test_one_that_plans_knows_from_its_last_plan(
    queue: Store, network: Network, tmp_path: Path
) -> None:
    async def work(core: Core, patch: pytest.MonkeyPatch) -> None:
        apply_event(queue, "job_2", CancelRequested(), NOW)
        await Loops(core)._plan(look(queue, network))
        patch.setattr(core, "situation", lambda: pytest.fail("asked"))
        assert await starts(core) == {"job_3": 1}
        found = dict(await core.expected.starts_ms(core, load_active(queue).records))
        assert views(core, found) == [(NOW, None), (NOW + 2 * HOUR, NOW + HOUR)]
        assert views(core, {}) == [(NOW, None), (NOW + 2 * HOUR, NOW + 2 * HOUR)]
        record = load_job(queue, "job_2")
        assert record is not None
        assert job_view(record)["expected_start_ms"] is None

    at_core(queue, network, tmp_path, work)


def test_what_cannot_be_worked_out_hides_no_job(
    queue: Store, network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(core: Core, patch: pytest.MonkeyPatch) -> None:
        asked = []

        def broken() -> Any:
            asked.append(1)
            raise ValueError("nobody's fault")

        patch.setattr(core, "situation", broken)
        patch.setattr(core.clock, "elapsed_s", lambda: 100.0)
        assert await starts(core) == {}
        assert await starts(core) == {}
        assert len(asked) == 1, "not at each request"
        assert views(core, {})[1] == (NOW + HOUR, NOW + HOUR), "as of its binding"
        assert "could not be worked out" in caplog.text

    at_core(queue, network, tmp_path, work)
