"""What choices read (one fused table) is what is charged (term by term), within the table and beyond."""

from __future__ import annotations

import random

import pytest

from tests.twin.small import HOUR, cards, site, world, zone
from westward.model.network import Series
from westward.model.plan import Policy, Rule
from westward.placement.columns import COST_STEPS, cost_table, network_columns, rule_columns
from westward.placement.pricing import run_cost, run_sum

TARIFF = tuple(0.2 + 0.1 * (at % 7) for at in range(24))
CARBON = tuple(300.0 + 40.0 * (at % 5) for at in range(24))
NETWORK = world(
    cards("p", 4), cards("q", 4, at="t", power_w_per_device=700.0),
    zones=(
        zone("z", tariff_per_kwh=Series(step_ms=HOUR, values=TARIFF)),
        zone(
            "y", tariff_per_kwh=Series(step_ms=HOUR, values=TARIFF[5:]),
            carbon_location_g_per_kwh=Series(step_ms=HOUR, values=CARBON),
        ),
    ),
    sites=(site("s", "z"), site("t", "y")),
).network  # fmt: skip
TABLE_MS = COST_STEPS * HOUR
BEGIN = 5 * HOUR


@pytest.mark.parametrize("rule", ["westward", "lowest-carbon"])
def test_the_table_and_what_lies_beyond_it_agree_with_the_terms(rule: Rule) -> None:
    columns = network_columns(NETWORK, "location")
    rules = rule_columns(Policy(rule=rule), columns, 0)
    costs = cost_table(columns, rules, BEGIN)
    assert int(costs.window[2]) == COST_STEPS
    drawn = random.Random(3)
    inside = across = beyond = 0
    for _ in range(600):
        start = BEGIN + drawn.randrange(0, int(1.2 * TABLE_MS))
        end = start + drawn.choice((1, HOUR // 3, 5 * HOUR, 40 * HOUR, TABLE_MS // 2))
        last = BEGIN + TABLE_MS
        inside += end < last
        across += start < last < end
        beyond += start > last
        for p in range(2):
            device, power, grams = run_cost(
                p, 1000, start, end, columns.pools, columns.zones, rules
            )
            due = grams if rule == "lowest-carbon" else device + power + grams * rules.carbon_price
            got = run_sum(p, start, end, columns.pools, columns.zones, costs, rules)
            # The table is prefix sums from its begin: what they miss goes by the largest of them.
            assert got == pytest.approx(due, rel=1e-9, abs=1e-12 * float(costs.most[p]))
            if rule == "westward":
                assert 0 < grams * rules.carbon_price < due
    assert min(inside, across, beyond) > 50
