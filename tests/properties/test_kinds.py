"""Accelerator kinds: a job runs on those it named, in a time that follows their speed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.twin.demands import HOUR, Ask, demand
from tests.twin.small import AT_ONCE, CARD, cards, world
from westward.model.plan import Rule
from westward.model.scenario import Scenario
from westward.simulate.engine import simulate
from westward.simulate.results import SimulationResult

NETWORK = replace(
    world(
        cards("a-fast", 2, accelerator="fast"),
        cards("b-slow", 2, accelerator="slow"),
        cards("c-card", 2),
    ).network,
    accelerators=(
        CARD, replace(CARD, name="fast", relative_speed=2.0),
        replace(CARD, name="slow", relative_speed=0.5),
    ),
)  # fmt: skip
NAMES = ("slow", "fast", "unheard-of")


def rehearse(*asks: Ask, strict: bool = False, rule: Rule = "westward") -> SimulationResult:
    return simulate(
        NETWORK, demand(asks, kind_names=NAMES), replace(AT_ONCE, rule=rule), seed=1, zero_ms=0,
        scenario=Scenario(strict_kinds=strict),
    )  # fmt: skip


def pools(result: SimulationResult) -> list[str | None]:
    return [None if p < 0 else NETWORK.pools[p].name for p in result.pool]


@pytest.mark.parametrize(("kind", "pool", "hours"), [(1, "b-slow", 2.0), (2, "a-fast", 0.5)])
def test_only_where_it_was_named_and_in_its_time(kind: int, pool: str, hours: float) -> None:
    result = rehearse(*(Ask(kinds=kind) for _ in range(6)))
    assert pools(result) == [pool] * 6
    assert np.array_equal(result.end_ms - result.start_ms, [round(hours * HOUR)] * 6)
    assert sorted(result.start_ms) == [round(turn * hours * HOUR) for turn in (0, 0, 1, 1, 2, 2)]


def test_any_of_several_kinds() -> None:
    result = rehearse(*(Ask(kinds=3) for _ in range(8)), rule="earliest-start")
    assert set(pools(result)) == {"a-fast", "b-slow"}


def test_estimates_are_stretched_as_runs_are() -> None:
    """The head of the queue is promised the end of what it waits for, at the pool's speed."""
    result = rehearse(Ask(kinds=1, cards=2, hours=1.0, told=3.0), Ask(at=0.01, kinds=1))
    assert result.predicted_start_ms.tolist() == [0, 6 * HOUR]
    assert result.start_ms.tolist() == [0, 2 * HOUR]


def test_kinds_the_network_has_not() -> None:
    lenient = rehearse(Ask(kinds=4), Ask(at=0.1, kinds=6), Ask(at=0.2))
    assert pools(lenient)[1] == "a-fast"
    assert None not in pools(lenient)
    strict = rehearse(Ask(kinds=4), Ask(at=0.1, kinds=6), Ask(at=0.2), strict=True)
    assert pools(strict)[:2] == [None, "a-fast"]
    assert pools(strict)[2] is not None
