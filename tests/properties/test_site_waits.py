"""What a job handed over to a site is expected to wait there: by hand, and by a plain look."""

from __future__ import annotations

import math
from random import Random

import pytest

from westward.placement.delegated import wait_size
from westward.placement.site_waits import (
    FORGOTTEN_MS,
    HEARD_MOST,
    HandedOver,
    expected_site_wait_ms,
    still_waits_ms,
)
from westward.placement.state import WAIT_SIZES

HOUR = 3_600_000
MINUTE = 60_000


def run(at: float, until: float | None, devices: float = 1) -> HandedOver:
    """Handed over and started, in hours."""
    return HandedOver(
        need_milli=int(devices * 1000),
        from_ms=round(at * HOUR),
        started_ms=None if until is None else round(until * HOUR),
    )


def told(runs: list[HandedOver], now: float, devices: float = 1) -> int:
    found = expected_site_wait_ms(runs, round(now * HOUR))
    return found[wait_size(int(devices * 1000))]


def test_nothing_is_told_of_a_pool_where_nothing_was() -> None:
    assert expected_site_wait_ms([], 5 * HOUR) == (0,) * WAIT_SIZES
    at_once = [run(at, at) for at in range(5)]
    assert expected_site_wait_ms(at_once, 5 * HOUR) == (0,) * WAIT_SIZES


def test_one_wait_is_told_whole_and_by_and_by_forgotten() -> None:
    assert told([run(0, 2)], 2) == 2 * HOUR
    assert told([run(0, 2)], 26) == HOUR
    assert told([run(0, 2)], 50) == HOUR // 2
    # A start confirms it anew, of its own size only.
    confirmed = [run(0, 2), run(24, 26)]
    assert told(confirmed, 26) == 2 * HOUR
    assert told([run(0, 2), run(24, 26, devices=2)], 26) == HOUR


def test_the_newest_waits_weigh_most() -> None:
    """Means of logarithms of a minute more than was waited, a tenth of each newest."""
    first, second = (math.log(wait * HOUR + MINUTE) for wait in (1, 4))
    mean = (0.1 * second + 0.09 * first) / 0.19
    assert told([run(0, 1), run(1, 5)], 5) == pytest.approx(math.exp(mean) - MINUTE, abs=1)
    assert told([run(1, 5), run(0, 1)], 5) == told([run(0, 1), run(1, 5)], 5)
    quick = [run(0, 8), *(run(at, at) for at in range(9, 40))]
    assert told(quick, 39) < 10 * MINUTE


def test_those_who_wait_tell_and_are_served_one_after_the_other() -> None:
    assert told([run(0, None), run(2, None)], 4) == 2 * (4 + 2) // 2 * HOUR
    # Two devices an hour have started while others waited; four wait: two hours.
    served = [run(0, hour, devices=2) for hour in (1, 2, 3, 4, 5)]
    waiting = [run(4.9, None, devices=2), run(4.9, None, devices=2)]
    learnt = told(served, 5, devices=2)
    assert told([*served, *waiting], 5, devices=2) >= max(2 * HOUR, learnt)


def test_a_larger_job_is_told_no_less_and_a_smaller_one_nothing_of_it() -> None:
    runs = [run(0, 3, devices=4)]
    assert [told(runs, 3, size) for size in (0.5, 1, 2)] == [0, 0, 0]
    assert [told(runs, 3, size) for size in (3, 4, 5, 64, 5000)] == [3 * HOUR] * 5
    assert told([run(0, 3), run(0, 1, devices=4)], 3, 4) == 3 * HOUR


def test_a_job_that_stands_there_waits_twice_what_it_has_waited_or_what_is_told() -> None:
    waits = (HOUR, 2 * HOUR)
    assert still_waits_ms(waits, 1000, 10 * MINUTE) == HOUR
    assert still_waits_ms(waits, 1001, 10 * MINUTE) == 2 * HOUR
    assert still_waits_ms(waits, 9000, 90 * MINUTE) == 3 * HOUR


@pytest.mark.parametrize("seed", range(20))
def test_what_is_told_is_what_a_plain_look_says(seed: int) -> None:
    """From the list alone: those that started of a size, those that wait, the gaps between starts
    while others waited."""
    dice = Random(seed)
    runs = []
    for _ in range(dice.randrange(1, HEARD_MOST)):
        at = dice.uniform(0, 60)
        end = None if dice.random() < 0.2 else at + dice.expovariate(0.3)
        runs.append(run(at, end if end is not None and end < 70 else None, dice.choice([1, 2, 5])))
    now = 70 * HOUR
    begun = sorted((one.started_ms, one.from_ms, one) for one in runs if one.started_ms is not None)
    gap = served = 0.0
    last = None
    for start, _, one in begun:
        if last is not None:
            gap += 0.1 * (start - last - gap)
            served += 0.1 * (one.need_milli - served)
        waits_on = any(
            other.from_ms <= start and (other.started_ms is None or other.started_ms > start)
            for other in runs
        )
        last = start if waits_on else None
    expected = []
    for size in range(WAIT_SIZES):
        waits = [
            (start, start - at) for start, at, one in begun if wait_size(one.need_milli) == size
        ]
        longest = 0.0
        if waits:
            weights = [0.9 ** (len(waits) - 1 - k) for k in range(len(waits))]
            logs = [math.log(wait + MINUTE) for _, wait in waits]
            mean = sum(w * log for w, log in zip(weights, logs, strict=True)) / sum(weights)
            left = 0.5 ** ((now - waits[-1][0]) / FORGOTTEN_MS)
            longest = (math.exp(mean) - MINUTE) * left
        ahead = [
            one for one in runs if one.started_ms is None and wait_size(one.need_milli) <= size
        ]
        for other in range(size + 1):
            ages = [now - one.from_ms for one in ahead if wait_size(one.need_milli) == other]
            if ages:
                longest = max(longest, 2 * sum(ages) / len(ages))
        if ahead and served > 0:
            longest = max(longest, sum(one.need_milli for one in ahead) * gap / served)
        expected.append(max(longest, *expected[-1:], 0.0))
    assert expected_site_wait_ms(runs, now) == pytest.approx(expected, abs=2)
