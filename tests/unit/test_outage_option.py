"""``--outage SITE:FROM:UNTIL[:drain]`` and the options that stop runs."""

from __future__ import annotations

from functools import partial

import click
import pytest

from westward.cli.outage_option import OutageOption
from westward.cli.policy_options import make_policy
from westward.model.scenario import Outage

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "outage"),
    [
        ("guian:36h:60h", Outage(site="guian", from_ms=36 * HOUR, until_ms=60 * HOUR)),
        ("a:0:90m:drain", Outage(site="a", from_ms=0, until_ms=HOUR * 3 // 2, kind="drain")),
    ],
)
def test_what_it_says(text: str, outage: Outage) -> None:
    assert OutageOption().convert(text, None, None) == outage


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("guian", "is not SITE:FROM:UNTIL"),
        ("guian:1h:2h:fault", "is not SITE:FROM:UNTIL"),
        (":1h:2h", "is not SITE:FROM:UNTIL"),
        ("guian:2h:1h", "ends before it begins"),
        ("guian:1x:2h", "1x"),
    ],
)
def test_what_it_cannot_mean(text: str, words: str) -> None:
    with pytest.raises(click.BadParameter, match=words):
        OutageOption().convert(text, None, None)


def test_the_policy_takes_them() -> None:
    made = partial(
        make_policy, "westward", "easy", carbon_method="location", defer_limit=0,
        carbon_price=80.0, wait_value=0.5,
    )  # fmt: skip
    plain = made()
    assert plain.assumed_duration_ms == HOUR
    assert (plain.preemption, plain.reconsider_ms) == (False, 0)
    armed = made(
        preempt=True, reconsider=HOUR, checkpoint_gb=2.5, move_hurdle=7, assume_duration=40_000
    )
    assert armed.preemption
    assert armed.assumed_duration_ms == 40_000
    assert (armed.reconsider_ms, armed.checkpoint_gb_per_device) == (HOUR, 2.5)
    assert armed.move_hurdle_percent == 7
