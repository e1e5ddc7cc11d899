"""What was played is kept as it is played: nothing of it is lost or played twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from westward.cli.main import run
from westward.faultsim.many import Player
from westward.faultsim.tally import Part, Tally, code_of
from westward.faultsim.verdicts import Verdict


def test_ranges_of_seeds_hold_what_was_noted_in_any_order() -> None:
    dice = random.Random("ranges")
    for _ in range(200):
        seeds = dice.sample(range(40), dice.randrange(1, 40))
        part = Part(code="c")
        for seed in seeds:
            part.note(seed)
        assert [seed for seed in range(-1, 41) if part.holds(seed)] == sorted(seeds)
        ends = [one for pair in part.seeds for one in pair]
        assert ends == sorted(set(ends)), "ascending, and no two that touch"


def _tally(path: Path) -> dict[str, Any]:
    (part,) = json.loads(path.read_text(encoding="utf-8"))["parts"]
    assert isinstance(part, dict)
    return part


def test_a_second_run_plays_what_the_first_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tally.json"
    assert run(["faultsim", "--seeds", "0..2", "--tally", str(path)]) == 0
    first = _tally(path)
    assert (first["seeds"], first["worlds"], first["failed"]) == ([[0, 2]], 2, [])
    assert first["code"] == code_of()
    capsys.readouterr()
    assert run(["faultsim", "--seeds", "0..3", "--tally", str(path)]) == 0
    assert "2 of these worlds were played before" in capsys.readouterr().err
    second = _tally(path)
    assert (second["seeds"], second["worlds"]) == ([[0, 3]], 3)
    for name in ("jobs", "runs", "commits", "virtual_ms", "cpu_s"):
        assert second[name] > first[name]


def test_other_code_and_other_ablations_are_parts_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "tally.json"
    for code, ablated in (("a", ()), ("b", ()), ("b", ("fencing",)), ("a", ())):
        tally = Tally(path, code, ablated)
        tally.part.note(len(tally.part.seeds) * 2)
        tally.save()
    parts = json.loads(path.read_text(encoding="utf-8"))["parts"]
    assert [(one["code"], one["ablated"], one["seeds"]) for one in parts] == [
        ("a", [], [[0, 1], [2, 3]]),
        ("b", [], [[0, 1]]),
        ("b", ["fencing"], [[0, 1]]),
    ]


def test_a_failing_world_is_told_as_it_comes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What plays for hours may be cut off: the tally and the log have it by then."""
    told: list[str] = []

    def play(_player: Player, seed: int, _ablate: tuple[str, ...] = ()) -> Verdict:
        told.append(capsys.readouterr().err)
        return Verdict(seed=seed, rule="audit" if seed == 1 else "", text="a pot has more than all")

    monkeypatch.setattr(Player, "play", play)
    path = tmp_path / "tally.json"
    assert run(["faultsim", "--seeds", "0..3", "--tally", str(path)]) == 1
    assert "seed" not in told[1]
    assert "seed 1: a pot has more than all" in told[2]
    assert [one["seed"] for one in _tally(path)["failed"]] == [1]


@pytest.mark.parametrize("text", ["", "[]", '{"parts": [{"seeds": 3}]}'])
def test_what_is_no_tally_is_left_alone(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    assert run(["faultsim", "--seeds", "0..2", "--tally", str(path)]) == 2
    assert "is not a tally" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_keeps_what_it_played(tmp_path: Path, how: signal.Signals) -> None:
    path = tmp_path / "tally.json"
    playing = subprocess.Popen(
        [
            sys.executable, "-m", "westward.cli.main", "faultsim", "--seeds", "0..5000",
            "--workers", "2", "--tally", str(path),
        ],
        stdout=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    while playing.poll() is None and (not path.exists() or not _tally(path)["worlds"]):
        time.sleep(0.2)
    playing.send_signal(how)
    said, _ = playing.communicate(timeout=60)
    assert playing.returncode == 0
    kept = _tally(path)
    worlds = kept["worlds"]
    assert isinstance(worlds, int)
    assert 0 < worlds < 5_000
    assert f"{worlds:,} worlds, 0 with a broken rule" in said
    ranges = kept["seeds"]
    assert isinstance(ranges, list)
    assert sum(stop - start for start, stop in ranges) == worlds
