"""Candidates passed over unexamined, because they cannot win, change no decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from westward.formats.generate import GeneratorOptions, generate
from westward.model.plan import Discipline, Policy, Rule
from westward.network.loader import load_network
from westward.placement.state import Rules
from westward.simulate import machine
from westward.simulate.engine import simulate
from westward.simulate.scale import scale_network

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("rule", "discipline", "devices", "gang"),
    [
        ("westward", "easy", 400, 64),
        ("westward", "conservative", 400, 64),
        ("lowest-carbon", "easy", 400, 64),
        ("lowest-carbon", "conservative", 400, 64),
        ("westward", "easy", 1_200, 2),  # hundreds of claims a pool: the walk over them is cut
    ],
)
def test_examining_every_candidate_gives_the_same_rehearsal(
    rule: Rule, discipline: Discipline, devices: int, gang: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = scale_network(load_network(ROOT / "networks" / "east-west"), devices)
    options = GeneratorOptions(homes=10, max_gang_devices=gang)
    workload = generate(3_000, 11, capacity_devices=devices, load=1.3, options=options)
    policy = Policy(rule=rule, discipline=discipline)
    usual = simulate(network, workload, policy, seed=1)
    asked: list[int] = []
    columns = machine.rule_columns

    def examine_all(*given: Any, **named: Any) -> Rules:
        rules = columns(*given, **named)
        asked.append(rules.prunable)
        return rules._replace(prunable=0)

    monkeypatch.setattr(machine, "rule_columns", examine_all)
    thorough = simulate(network, workload, policy, seed=1)
    assert asked == [1], "nothing was to be passed over"
    for name in usual.columns():
        assert np.array_equal(getattr(usual, name), getattr(thorough, name), equal_nan=True), name
    assert (usual.start_ms > usual.submit_ms).sum() > 500, "hardly anybody waited"
