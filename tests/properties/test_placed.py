"""A plan's columns are the placements they stand for, read in whatever way."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from tests.twin.cases import case
from tests.twin.played import Played, decide, every_case
from westward.model.plan import CostTerms, Placement, Placements, Plan, ShadowPrices
from westward.placement.columns import network_columns, rule_columns
from westward.placement.placed import in_bulk
from westward.placement.posted import Posted


def columns_of(answer: Plan) -> Placements:
    assert isinstance(answer.placements, Placements)
    return answer.placements


@every_case
def test_some_are_equal_to_those_of_all(one: Played) -> None:
    told = tuple(one.plan.placements)
    assert [placed.job_id for placed in told] == sorted(placed.job_id for placed in told)
    unread = decide(one.case)  # nothing made yet
    assert unread.starting() == tuple(placed for placed in told if placed.starts_now)
    assert list(unread.not_before_ms()) == [placed.not_before_ms for placed in told]
    every_second = {placed.job_id for placed in told[::2]} | {"nobody"}
    assert unread.placed(every_second) == told[::2]
    columns = columns_of(unread)
    assert [columns[at] for at in range(-len(told), len(told))] == [*told, *told]
    assert columns[1:-1] == told[1:-1]
    with pytest.raises(IndexError):
        columns[len(told)]


def test_a_plan_of_columns_is_the_plan_of_their_tuple() -> None:
    seed = next(seed for seed in range(100) if len(decide(case(seed)).placements) > 2)
    answer = decide(case(seed))
    listed = replace(answer, placements=tuple(decide(case(seed)).placements))
    assert answer == listed
    assert listed == answer
    assert answer == decide(case(seed))
    assert repr(answer.placements) == repr(listed.placements)
    assert hash(answer.placements) == hash(listed.placements)
    assert answer.placements != listed.placements[1:]
    assert answer.placements != (*listed.placements[1:], listed.placements[0])
    assert answer.placements != [*listed.placements]  # as a tuple
    for copied in (pickle.loads(pickle.dumps(answer)), copy.deepcopy(decide(case(seed)))):
        assert copied == answer
        assert type(copied.placements) is tuple
    for asked in ("starting", "not_before_ms"):
        assert tuple(getattr(answer, asked)()) == tuple(getattr(listed, asked)())
    names = {placed.job_id for placed in listed.placements[:2]}
    assert answer.placed(names) == listed.placed(names)


def test_a_bulk_is_what_one_by_one_would_be() -> None:
    names = ("device", "power", "carbon", "transfer", "wait", "shadow", "vouchers")
    terms = {name: [1.0 * at + shift for at in range(3)] for shift, name in enumerate(names)}
    made = in_bulk(CostTerms, 3, **terms)
    assert made == [
        CostTerms(**{name: column[at] for name, column in terms.items()}) for at in range(3)
    ]
    with pytest.raises(TypeError, match="CostTerms takes 3 each of device, power"):
        in_bulk(CostTerms, 3, **{name: terms[name] for name in ("device", "power")})
    with pytest.raises(TypeError, match="takes 4 each"):
        in_bulk(CostTerms, 4, **terms)
    with pytest.raises(TypeError):
        in_bulk(Placement, 1, job_id=["a"])


def test_posted_costs_of_many_equal_those_of_each() -> None:
    dice = np.random.Generator(np.random.PCG64(3))
    for seed in range(40):
        one = case(seed)
        columns = network_columns(one.snapshot.network, one.policy.carbon_method)
        rules = rule_columns(one.policy, columns, one.snapshot.series_origin_ms)
        steps = int(dice.integers(0, 6))
        pools = len(columns.pool_names)
        step_ms = 2 * rules.defer_step_ms
        prices = dice.integers(0, 10**6, (pools, steps)).tolist()
        from_ms = rules.origin_ms + rules.defer_step_ms * int(dice.integers(0, 4))
        posted = Posted(
            ShadowPrices(from_ms=from_ms, step_ms=step_ms, per_pool=tuple(map(tuple, prices))),
            columns, rules, from_ms,
        )  # fmt: skip
        rows = dice.integers(0, pools, 200)
        start = from_ms + dice.integers(-2 * step_ms, (steps + 2) * step_ms, 200)
        start[:8] = from_ms + step_ms * np.arange(-1, 7)
        end = start + dice.integers(1, 3 * step_ms, 200)
        each = [
            posted.cost(*values)
            for values in zip(rows.tolist(), start.tolist(), end.tolist(), strict=True)
        ]
        assert posted.costs(rows, start, end).tolist() == each
