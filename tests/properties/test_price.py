"""The price of a run does not depend on how its readings were cut, and nothing is lost by rounding."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from westward.ledger.price import (
    Bill,
    MeteredInterval,
    PriceList,
    Transfer,
    bill,
    intervals,
    measure,
)
from westward.ledger.rounding import exact, round_half_even
from westward.model.network import Series
from westward.model.units import MS_PER_DAY, MS_PER_HOUR
from westward.model.wire import Reading

decimals = st.decimals(0, 5, places=4).map(float)
series = st.builds(
    Series,
    step_ms=st.sampled_from([7, 1_000, 5_000, MS_PER_HOUR]),
    values=st.lists(decimals, min_size=1, max_size=24).map(tuple),
)
price_lists = st.builds(
    PriceList,
    pool=st.just("p"),
    site=st.just("s"),
    price_micros_per_device_hour=st.integers(0, 10**9),
    power_w_per_device=st.decimals(0, 2_000, places=2).map(float),
    pue=st.decimals(1, 3, places=3).map(float),
    tariff_per_kwh=series,
    carbon_location_g_per_kwh=st.one_of(st.none(), series),
    carbon_contract_g_per_kwh=st.one_of(st.none(), series),
    carbon_price_micros_per_tonne=st.integers(0, 10**9),
    carbon_price_by_contract=st.booleans(),
    series_origin_ms=st.integers(0, 10**13),
)
rate_cuts = st.lists(st.integers(1, 200_000), min_size=1, max_size=12)


def even_use(start_ms: int, walls_ms: list[int], milli: int) -> tuple[MeteredInterval, ...]:
    """Intervals end to end, ``milli`` milli-devices held throughout."""
    laid, at_ms = [], start_ms
    for wall_ms in walls_ms:
        laid.append(
            MeteredInterval(start_ms=at_ms, wall_ms=wall_ms, device_milli_ms=wall_ms * milli)
        )
        at_ms += wall_ms
    return tuple(laid)


@settings(max_examples=150, deadline=None)
@given(
    prices=price_lists,
    start_ms=st.integers(0, 10**13),
    walls_ms=rate_cuts,
    milli=st.integers(1, 64_000),
)
def test_cutting_a_reading_changes_nothing(
    prices: PriceList, start_ms: int, walls_ms: list[int], milli: int
) -> None:
    cut = bill(prices, even_use(start_ms, walls_ms, milli))
    whole = bill(prices, even_use(start_ms, [sum(walls_ms)], milli))
    assert cut == whole


@settings(max_examples=100, deadline=None)
@given(
    prices=price_lists,
    walls_ms=rate_cuts,
    milli=st.integers(1, 64_000),
    transfers=st.lists(
        st.builds(Transfer, size_bytes=st.integers(0, 10**13), micros_per_gb=st.integers(0, 10**7)),
        max_size=3,
    ),
)
def test_a_bills_parts_add_up_however_many_readings_there_are(
    prices: PriceList, walls_ms: list[int], milli: int, transfers: list[Transfer]
) -> None:
    """To the millionth, and rounding is no more than its parts may differ by."""
    metered = even_use(prices.series_origin_ms, walls_ms, milli)
    for known in range(len(metered) + 1):
        one = bill(prices, metered[:known], transfers)
        assert one.total_micros == (
            one.device_micros + one.power_micros + one.transfer_micros + one.rounding_micros
        )
        assert abs(one.rounding_micros) <= 2


@settings(max_examples=60, deadline=None)
@given(prices=price_lists, start_ms=st.integers(0, 10**6), wall_ms=st.integers(1, 400))
def test_energy_price_equals_a_sum_over_every_millisecond(
    prices: PriceList, start_ms: int, wall_ms: int
) -> None:
    """An independent and much slower way to the same number."""
    held = MeteredInterval(start_ms=start_ms, wall_ms=wall_ms, device_milli_ms=wall_ms * 500)
    total = Fraction(0)
    tariff = prices.tariff_per_kwh
    for at_ms in range(start_ms, start_ms + wall_ms):
        step = (at_ms - prices.series_origin_ms) // tariff.step_ms % len(tariff.values)
        watts = Fraction("0.5") * exact(prices.power_w_per_device) * exact(prices.pue)
        total += watts / 1000 / MS_PER_HOUR * exact(tariff.values[step]) * 10**6
    assert measure(prices, held).power_micros == total


def test_a_bill_by_hand() -> None:
    """2 devices of 300 W for 90 minutes from 00:30; 0.30 a kWh, 0.90 from 01:00; PUE 1.2."""
    hours = tuple(0.3 if hour < 1 else 0.9 for hour in range(24))
    prices = PriceList(
        pool="p",
        site="s",
        price_micros_per_device_hour=2_000_000,
        power_w_per_device=300.0,
        pue=1.2,
        tariff_per_kwh=Series(step_ms=MS_PER_HOUR, values=hours),
        carbon_location_g_per_kwh=Series(step_ms=MS_PER_HOUR, values=(500.0,)),
        carbon_contract_g_per_kwh=None,
        carbon_price_micros_per_tonne=80_000_000,
        carbon_price_by_contract=False,
        series_origin_ms=3 * MS_PER_DAY,
    )
    start_ms = 3 * MS_PER_DAY + MS_PER_HOUR // 2
    reading = Reading(
        sequence=0,
        wall_ms=5_400_000,
        device_milli_ms=2_000 * 5_400_000,
        cpu_ms=0,
        max_rss_kib=0,
    )
    moved = Transfer(size_bytes=5_000_000_000, micros_per_gb=10_000)
    assert bill(prices, intervals(start_ms, [reading]), [moved]) == Bill(
        device_milli_ms=10_800_000_000,
        energy_j=3_888_000,  # 0.6 kW × 1.5 h × 1.2 = 1.08 kWh
        carbon_location_ug=540_000_000,
        carbon_contract_ug=None,
        device_micros=6_000_000,
        power_micros=756_000,  # 0.36 kWh × 0.30 + 0.72 kWh × 0.90
        transfer_micros=50_000,
        rounding_micros=0,
        total_micros=6_806_000,
        carbon_shown_micros=43_200,
    )


def test_readings_out_of_order_are_laid_in_order() -> None:
    def reading(sequence: int, wall_ms: int) -> Reading:
        return Reading(
            sequence=sequence, wall_ms=wall_ms, device_milli_ms=1, cpu_ms=0, max_rss_kib=0
        )

    laid = intervals(100, [reading(2, 30), reading(0, 10), reading(1, 20)])
    assert [(i.start_ms, i.wall_ms) for i in laid] == [(100, 10), (110, 20), (130, 30)]


def test_halves_go_to_the_even_neighbour() -> None:
    assert [round_half_even(Fraction(n, 2)) for n in (-3, -1, 1, 3, 5)] == [-2, 0, 0, 2, 2]
    assert exact(0.1) == Fraction(1, 10)
    with pytest.raises(ValueError, match="nan"):
        exact(float("nan"))
