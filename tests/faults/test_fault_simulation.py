"""The fault simulator: the same seed is the same world, shipped code keeps its rules in a slice of
seeds, and every protection that is taken away is found. (More seeds: make test-faults.)"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from westward.cli.main import run
from westward.faultsim.ablations import ABLATIONS, SEEDS_MOST
from westward.faultsim.disk import Disk
from westward.faultsim.many import total
from westward.faultsim.scenario import draw, load
from westward.faultsim.shrink import shrink
from westward.faultsim.world import World

STORIES = sorted((Path(__file__).parent / "stories").glob("*.json"))
TRACE = (
    "from westward.faultsim.disk import Disk\n"
    "from westward.faultsim.scenario import draw\n"
    "from westward.faultsim.world import World\n"
    "disk = Disk()\n"
    "print([World(draw(seed), disk).play().trace for seed in range(200, 204)])\n"
)


@pytest.fixture(scope="module")
def disk() -> Disk:
    return Disk()


def test_the_same_seed_is_the_same_world_in_any_process() -> None:
    traces = [
        subprocess.run(
            [sys.executable, "-c", TRACE], check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert traces[0] == traces[1]
    assert len(set(eval(traces[0]))) == 4, "worlds differ"


def test_a_worlds_trace_does_not_depend_on_what_was_played_before(disk: Disk) -> None:
    alone = World(draw(203), Disk()).play().trace
    World(draw(201), disk).play()
    assert World(draw(203), disk).play().trace == alone


def test_shipped_code_breaks_no_rule_in_a_slice_of_worlds() -> None:
    *_, sums = total(range(15), stop_at_first=False)
    assert [(one.seed, one.text) for one in sums.failed] == []
    assert sums.runs > sums.seeds, "work was done"
    assert len(sums.injected) >= 12, "faults came"


@pytest.mark.parametrize("name", ["fencing", "idempotence", "heartbeats", "pending-transfer"])
def test_what_is_taken_away_is_found(name: str) -> None:
    *_, sums = total(range(SEEDS_MOST[name]), (name,), stop_at_first=True)
    assert sums.failed, f"nobody misses {name} in {sums.seeds} worlds"


@pytest.mark.long
@pytest.mark.parametrize("names", [("recheck",), *combinations(ABLATIONS, 2)])
def test_what_is_taken_away_in_pairs_is_found(names: tuple[str, ...]) -> None:
    most = min(SEEDS_MOST[one] for one in names)
    *_, sums = total(range(most), names, stop_at_first=True)
    assert sums.failed


def test_a_failing_world_is_made_smaller_and_kept(disk: Disk) -> None:
    seed = next(
        seed
        for seed in range(100)
        if World(draw(seed, ("idempotence",)), disk).play().rule == "reading-nobody-made"
    )
    whole = draw(seed, ("idempotence",))
    small = shrink(whole, "reading-nobody-made", disk)
    assert len(small.dump()) < len(whole.dump())
    again = load(small.dump())
    assert again == small
    assert World(again, disk).play().rule == "reading-nobody-made"


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_what_once_broke_does_not_break_any_more(path: Path, disk: Disk) -> None:
    verdict = World(load(path.read_text(encoding="utf-8")), disk).play()
    assert verdict.text == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--seeds", "0..2"], 0, "2 worlds, 0 with a broken rule"),
        (["--seeds", "0..5", "--ablate", "pending-transfer"], 0, "lease-without-money"),
        (["--seeds", "9..3"], 2, "the first before the last"),
        (["--seeds", "0..2", "--ablate", "gravity"], 2, "there is no 'gravity'"),
        ([], 2, "Name either --seeds A..B or --story FILE."),
        (["--story", "nowhere.json"], 2, "not a kept world"),
    ],
)
def test_the_command_says_what_it_did(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["faultsim", *arguments]) == code
    told = capsys.readouterr()
    assert said in told.out + told.err
