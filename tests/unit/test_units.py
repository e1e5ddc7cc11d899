"""Text forms of time, data and money."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from westward.model.units import (
    SPAN_MOST_MS,
    format_duration,
    format_instant,
    format_mass,
    format_money,
    parse_bytes,
    parse_duration_ms,
    parse_instant_ms,
)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90_000),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("250ms", 250),
        ("1.5h", 5_400_000),
        (" 1h 5s ", 3_605_000),
        ("0s", 0),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "90", "h", "1h30", "-5m", "1w", "1h,5m", "five minutes"])
def test_a_duration_without_a_proper_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration_ms(text)


def test_spans_no_planner_can_count_are_refused() -> None:
    assert parse_duration_ms("73000d") == SPAN_MOST_MS
    for text in ("73001d", "9" * 400 + "h"):
        with pytest.raises(ValueError, match="is more than two hundred years"):
            parse_duration_ms(text)


@given(st.integers(min_value=0, max_value=10_000_000))
def test_whole_seconds_survive_writing_and_reading(seconds: int) -> None:
    text = format_duration(seconds * 1_000)
    tolerance_ms = 0 if seconds < 3_600 else (60_000 if seconds < 86_400 else 3_600_000)
    assert 0 <= seconds * 1_000 - parse_duration_ms(text) <= tolerance_ms


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GB", 10**10), ("512 MiB", 512 * 2**20), ("1kb", 1_000), ("7b", 7), ("1.5TB", 15 * 10**11)],
)
def test_amounts_of_data(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["10", "GB", "10 GBs", "-1GB", ""])
def test_an_amount_of_data_without_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of data"):
        parse_bytes(text)


def test_instants_count_from_now_or_are_absolute() -> None:
    assert parse_instant_ms("6h", 1_000) == 21_601_000
    assert parse_instant_ms("1970-01-01T08:00:01+08:00", 99) == 1_000
    assert parse_instant_ms("1970-01-01T00:00:01Z", 99) == 1_000
    with pytest.raises(ValueError, match="no time zone"):
        parse_instant_ms("2026-11-22T18:00:00", 0)
    with pytest.raises(ValueError, match="neither a duration"):
        parse_instant_ms("tomorrow", 0)


def test_writing() -> None:
    assert format_instant(0) == "1970-01-01T00:00:00Z"
    assert format_duration(-125_000) == "-2m05s"
    assert format_duration(3_400) == "3.4s"
    assert format_duration(90_000_000) == "1d01h"
    assert format_money(12_340_000, "CNY") == "12.34 CNY"
    assert format_money(12_300, "CNY") == "0.0123 CNY"
    assert format_money(123, "CNY") == "0.000123 CNY"


@pytest.mark.parametrize(
    ("grams", "text"),
    [
        (0.0, "0 g"),
        (0.2917, "0.292 g"),
        (999.4, "999 g"),
        (15_503.0, "15.5 kg"),
        (2.04e6, "2.04 t"),
    ],
)
def test_a_mass_is_told_in_the_unit_that_fits(grams: float, text: str) -> None:
    assert format_mass(grams) == text
