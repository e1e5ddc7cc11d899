"""A report says what was rehearsed beside network, workload and rule."""

from __future__ import annotations

from dataclasses import asdict, replace

from westward.model.plan import Policy
from westward.model.scenario import ForecastError, Outage, Scenario
from westward.simulate.conditions import conditions, intervals

HOUR = 3_600_000
NOTHING_TOLD = {"interval_jobs": 0, "interval_share_stated": 0.8, "interval_share_inside": None}


def summary(policy: Policy, scenario: Scenario | None = None) -> dict[str, object]:
    told = {"label": policy.rule, "policy": asdict(policy), "start_prediction": NOTHING_TOLD}
    return told if scenario is None else told | {"scenario": asdict(scenario)}


def test_a_plain_rehearsal_has_nothing_to_add() -> None:
    assert conditions([summary(Policy())]) == []
    assert conditions([summary(Policy(), Scenario())]) == []


def test_every_departure_is_named() -> None:
    scenario = Scenario(
        outages=(
            Outage(site="hub", from_ms=HOUR, until_ms=3 * HOUR),
            Outage(site="rim", from_ms=0, until_ms=HOUR, kind="drain"),
        ),
        forecast=ForecastError(tariff_sigma=0.1, carbon_sigma=0.3),
        shared_links=True,
        delegated_pools=True,
        strict_kinds=True,
    )
    policy = Policy(
        review_ms=60_000, price_period_ms=6 * HOUR, packing="fgd", fair_share=True,
        reconsider_ms=HOUR,
    )  # fmt: skip
    told = " ".join(conditions([summary(policy, scenario)]))
    for words in (
        "hub was lost from 1h00m to 3h00m", "rim was drained from", "10% (tariff)", "30% (carbon)",
        "queued behind each other", "not managed", "kinds they named", "at most every 1m00s",
        "anew every 6h00m", "by fgd", "reconsidered every 1h00m", "tenants' shares",
    ):  # fmt: skip
        assert words in told, words
    preempting = replace(Policy(), preemption=True)
    assert "lower priority" in " ".join(conditions([summary(preempting)]))


def test_rivals_alone_neither_review_nor_price() -> None:
    rival = Policy(rule="earliest-start", review_ms=60_000, price_period_ms=HOUR)
    assert conditions([summary(rival)]) == []


def test_intervals_tell_the_share_inside() -> None:
    one = summary(Policy())
    assert intervals([one]) == []
    one["start_prediction"] = {
        "interval_jobs": 1_600, "interval_share_stated": 0.8, "interval_share_inside": 0.7815,
    }  # fmt: skip
    assert "1,600 jobs" in intervals([one])[0]
    assert "78.1%" in intervals([one])[0] or "78.2%" in intervals([one])[0]
    assert "80%" in intervals([one])[0]
