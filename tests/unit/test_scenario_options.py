"""Shares, links and forecasts through the command: what is asked for reaches the summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from westward.cli.main import run
from westward.cli.scenario_options import Percents, ShareOf
from westward.model.scenario import Share

ROOT = Path(__file__).resolve().parents[2]


def summary(out: Path, *arguments: object) -> dict[str, Any]:
    told = ["simulate", str(ROOT / "networks" / "laptop"), "--generate", "60", "--load", "1.5"]
    assert run([*told, "--out", str(out), *map(str, arguments)]) == 0
    (policy,) = json.loads((out / "summary.json").read_text())["policies"]
    return dict(policy)


def test_all_of_it_is_told_in_the_summary(tmp_path: Path) -> None:
    told = summary(
        tmp_path / "o", "--fair-share", "--share", "3=2.5", "--share", "physics/1=2",
        "--shared-links", "--forecast-error", "10,30", "--delegated-pools", "--seed", 4,
    )  # fmt: skip
    assert told["policy"]["fair_share"] is True
    scenario = told["scenario"]
    assert scenario["shared_links"] is True
    assert scenario["forecast"]["tariff_sigma"] == pytest.approx(0.1)
    assert scenario["forecast"]["carbon_sigma"] == pytest.approx(0.3)
    assert scenario["forecast"]["seed"] == 4
    assert scenario["shares"] == [
        {"weight": 2.5, "tenant": 3, "programme": None},
        {"weight": 2.0, "tenant": 1, "programme": "physics"},
    ]
    assert isinstance(told["waits_by_pool"], list)


def test_nothing_asked_nothing_told(tmp_path: Path) -> None:
    told = summary(tmp_path / "o")
    assert "scenario" not in told
    assert told["policy"]["fair_share"] is False


def test_a_share_without_fair_share_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    network = str(ROOT / "networks" / "laptop")
    told = ["simulate", network, "--generate", "5", "--share", "1=2", "--out", str(out)]
    assert run(told) != 0
    assert "--fair-share" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("text", ["10", "a,b", "-1,2", "1,2,3", "1,999", "nan,1", ""])
def test_bad_percentages(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Percents().convert(text, None, None)


@pytest.mark.parametrize("text", ["3", "=2", "3=", "3=0", "3=-1", "3=nan", "a/b=1", "3=inf"])
def test_bad_shares(text: str) -> None:
    with pytest.raises(click.BadParameter):
        ShareOf().convert(text, None, None)


def test_good_shares() -> None:
    def read(text: str) -> Share:
        return ShareOf().convert(text, None, None)

    assert read("12=0.5") == Share(weight=0.5, tenant=12)
    assert read("life sciences=3") == Share(weight=3.0, programme="life sciences")
    assert read("life/9=2") == Share(weight=2.0, tenant=9, programme="life")
