"""``westward sites``: what is shown of sites with a queue of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.people_world import World, billed_run, peopled, speaks
from westward.cli.main import run
from westward.store.schema import RUNS

MINUTE = 60_000


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = peopled(tmp_path, monkeypatch)
    speaks(made, "owner", monkeypatch)
    yield made
    made.core.close()


def waited(world: World, minutes: int) -> None:
    """A run at harbor that was handed over so long before it started, just now."""
    run_id, now_ms = billed_run(world), world.core.clock.now_ms()
    begun = {"granted_ms": now_ms - minutes * MINUTE, "started_ms": now_ms}
    with world.core.store.write() as connection:
        connection.execute(RUNS.update().where(RUNS.c.run_id == run_id).values(**begun))


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["sites"]) == 0
    return capsys.readouterr().out


def test_a_queue_of_the_sites_own_is_shown(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    waited(world, 20)
    before = shown(capsys)
    assert "QUEUE" not in before, "every pool is managed"
    core = world.core
    pools = tuple(replace(one, managed=one.site != "harbor") for one in core.network.pools)
    core.joined = replace(core.joined, network=replace(core.network, pools=pools))
    head, *rows = shown(capsys).splitlines()
    at = head.index("IN ITS QUEUE")
    by_site = {row.split()[0]: row[at:].split() for row in rows[: len(pools)]}
    # What was heard a moment ago is forgotten by as little: a millisecond may be missing.
    assert by_site.pop("harbor") in (["0", "20m00s"], ["0", "19m59s"])
    assert by_site == {"basin": [], "plateau": []}
    assert rows[-1].startswith("IN ITS QUEUE: of RUNS")
    assert before.splitlines()[0] == head[: len(before.splitlines()[0])]
