"""When a pot runs dry: the interval holds what it says, on made-up spend of several kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from westward.ledger.accounts import Account, AccountKind
from westward.ledger.forecast import DAYS_LEAST, forecast
from westward.ledger.transfers import Transfer, TransferKind
from westward.model.units import MS_PER_DAY, MS_PER_HOUR
from westward.store.database import open_store
from westward.store.ledger import open_accounts, post
from westward.store.pots import daily_spend, first_opened_ms

SERIES = 250
KINDS = ("even", "lumpy", "weekly", "sticky")


def spend(kind: str, dice: np.random.Generator, days: int) -> list[int]:
    """About 100,000 a day."""
    if kind == "even":
        made = dice.gamma(2.0, 50.0, days)
    elif kind == "lumpy":
        made = np.where(dice.random(days) < 0.4, dice.gamma(1.0, 250.0, days), 0.0)
    elif kind == "weekly":
        week = np.array([1.3, 1.3, 1.3, 1.3, 1.3, 0.25, 0.25])
        made = dice.gamma(4.0, 25.0, days) * week[np.arange(days) % 7]
    else:
        noise, level = dice.normal(0.0, 0.3, days), np.zeros(days)
        for day in range(1, days):
            level[day] = 0.5 * level[day - 1] + noise[day]
        made = 94.0 * np.exp(level)
    return [int(one * 1000) for one in made]


@pytest.mark.parametrize("kind", KINDS)
def test_four_intervals_of_five_hold(kind: str) -> None:
    """Of 250 series, each with its own past of 8 weeks and its own truth. With 250 the share of an
    exact 80 % lies within 73 and 87 % in 99 of 100 cases; a spell that lasts days is told a little
    too surely, as the docs say."""
    hits = 0
    for seed in range(SERIES):
        series = spend(kind, np.random.default_rng((seed, 7)), 56 + 120)
        left = 45 * 100_000
        spent = np.cumsum(series[56:])
        truth = int(np.argmax(spent >= left)) + 1
        assert spent[-1] >= left
        found = forecast(series[:56], left, 120, np.random.default_rng(seed), draws=300)
        assert found.low_day is not None
        hits += found.low_day <= truth <= (found.high_day or 121)
    low = 0.66 if kind == "sticky" else 0.72
    assert low <= hits / SERIES <= 0.90


def test_the_same_seed_tells_the_same() -> None:
    past = spend("even", np.random.default_rng(1), 30)
    one, two = (forecast(past, 10**6, 300, np.random.default_rng(5)) for _ in range(2))
    assert one == two
    assert one.low_day is not None
    assert one.median_day is not None
    assert one.high_day is not None
    assert one.low_day <= one.median_day <= one.high_day


def test_even_spend_is_counted_exactly() -> None:
    """The same every day: no draw differs from another."""
    found = forecast([1_000] * 20, 5_000, 30, np.random.default_rng(0))
    assert (found.low_day, found.median_day, found.high_day) == (5, 5, 5)
    assert (found.dry_share, found.mean_micros_per_day) == (1.0, 1_000)
    later = forecast([1_000] * 20, 5_001, 30, np.random.default_rng(0))
    assert later.median_day == 6


def test_what_is_never_spent_lasts() -> None:
    found = forecast([0] * 20, 1, 30, np.random.default_rng(0))
    assert (found.low_day, found.high_day, found.dry_share) == (None, None, 0.0)


def test_an_empty_pot_is_dry_today() -> None:
    found = forecast([1] * 20, 0, 30, np.random.default_rng(0))
    assert (found.low_day, found.high_day) == (1, 1)


def test_an_empty_pot_is_dry_today_however_uneven_its_past() -> None:
    """Draws are spread out beyond the past: a day without spend may come below nought."""
    found = forecast([0, 3, 50] * 13, 0, 30, np.random.default_rng(7))
    assert (found.dry_share, found.high_day) == (1.0, 1)


@pytest.mark.parametrize(("days", "horizon"), [(DAYS_LEAST - 1, 10), (DAYS_LEAST, 0)])
def test_too_little_is_refused(days: int, horizon: int) -> None:
    with pytest.raises(ValueError, match=r"days|day at least"):
        forecast([1] * days, 1, horizon, np.random.default_rng(0))


def test_days_of_spend_are_read_from_the_ledger(tmp_path: Path) -> None:
    """By the rule's days; what was held is no spend, what was given back is less of it."""
    store = open_store(f"sqlite:///{tmp_path / 'l.db'}")
    names = {"pot": False, "out": True, "site": True}
    open_accounts(
        store,
        [
            Account(account_id=name, kind=AccountKind.POT, unit="CNY", overdraft=overdraft)
            for name, overdraft in names.items()
        ],
        5,
    )
    midnight = 100 * MS_PER_DAY - 8 * MS_PER_HOUR  # at UTC+8

    def move(name: str, debit: str, credit: str, amount: int, at_ms: int, kind: str = "posted",
             **more: str) -> None:  # fmt: skip
        asked = Transfer(
            transfer_id=name, kind=TransferKind(kind), debit=debit, credit=credit, amount=amount,
            **more,  # type: ignore[arg-type]
        )  # fmt: skip
        (outcome,) = post(store, [asked], at_ms)
        assert type(outcome).__name__ == "Accepted", outcome

    move("f", "out", "pot", 1_000, midnight, category="funding")
    move("a", "pot", "site", 10, midnight - 1)
    move("b", "pot", "site", 20, midnight)
    move("c", "site", "pot", 5, midnight + 2)
    move("h", "pot", "site", 300, midnight + 3, kind="pending")
    move("p", "", "", 200, midnight + 2 * MS_PER_DAY, kind="post", pending_id="h")
    move("z", "pot", "site", 7, midnight + 3 * MS_PER_DAY)
    assert daily_spend(store, ["pot"], midnight, 3, 480) == (15, 0, 200)
    assert daily_spend(store, ["pot"], midnight - MS_PER_DAY, 2, 480) == (10, 15)
    assert first_opened_ms(store, ["pot", "none"]) == 5
    assert first_opened_ms(store, ["none"]) is None
    store.close()
