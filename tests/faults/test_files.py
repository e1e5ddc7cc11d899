"""Worlds whose work has files: what it saves comes back whole and no older than what the server took,
and data sets come as they are in the catalogue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from westward.agent.checkpoints import Checkpoints
from westward.agent.data_cache import DataCache
from westward.faultsim import files
from westward.faultsim.disk import Disk
from westward.faultsim.scenario import Scenario, draw
from westward.faultsim.verdicts import Verdict
from westward.faultsim.world import World
from westward.model.dataset import DataFile


@pytest.fixture(scope="module")
def disk() -> Disk:
    return Disk()


def worlds(least: int, most: int) -> Iterator[Scenario]:
    drawn = (draw(seed) for seed in range(least, most))
    return (one for one in drawn if one.files is not None)


def played(one: Scenario, disk: Disk) -> Verdict:
    return World(one, disk).play()


def test_what_is_saved_and_read_comes_as_it_was(disk: Disk) -> None:
    found = list(worlds(0, 150))
    assert len(found) >= 5
    assert [(one.seed, text) for one in found if (text := played(one, disk).text)] == []


def test_the_same_seed_is_the_same_world_and_leaves_no_folder(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    one = next(worlds(0, 100))
    assert played(one, disk).trace == played(one, Disk()).trace
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_that_is_not_fetched_is_missed(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "must_fetch", lambda _self, _grant: False)
    assert any(played(one, disk).rule == "checkpoint-older" for one in worlds(1_000, 1_160))


def test_data_that_nobody_checks_is_found_wrong(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accept(self: DataCache, digest: str, one: DataFile) -> bool:
        whole = self.whole_file(digest, one)
        whole.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self.coming_file(digest, one), whole)
        return True

    monkeypatch.setattr(DataCache, "accept", accept)
    assert any(played(one, disk).rule == "data-wrong" for one in worlds(20, 60))
