"""Calendar years, months and days at a fixed UTC offset, on integers (no clock, no time zone data).

A rule states its offset: "per calendar year" in a Chinese rule ends at 16:00 UTC.
"""

from __future__ import annotations

from datetime import date, timedelta

from westward.model.units import MS_PER_DAY, MS_PER_MINUTE

_EPOCH = date(1970, 1, 1)


def day_of(at_ms: int, offset_minutes: int) -> date:
    """The day on which ``at_ms`` falls. Raises ``OverflowError`` beyond the years 1 to 9999."""
    return _EPOCH + timedelta(days=(at_ms + offset_minutes * MS_PER_MINUTE) // MS_PER_DAY)


def year_of(at_ms: int, offset_minutes: int) -> int:
    return day_of(at_ms, offset_minutes).year


def day_start_ms(day: date, offset_minutes: int) -> int:
    """The midnight that ``day`` begins with."""
    return (day - _EPOCH).days * MS_PER_DAY - offset_minutes * MS_PER_MINUTE


def next_year_ms(at_ms: int, offset_minutes: int) -> int:
    """When the next calendar year begins: where a meter reading must be cut."""
    return day_start_ms(date(year_of(at_ms, offset_minutes) + 1, 1, 1), offset_minutes)


def add_months(at_ms: int, months: int, offset_minutes: int) -> int:
    """The same time of day, ``months`` later; the last day of a shorter month stands for a later.

    31 January + 1 month is 28 (or 29) February.
    """
    day = day_of(at_ms, offset_minutes)
    turn = day.month - 1 + months
    year, month = day.year + turn // 12, turn % 12 + 1
    length = (date(year + month // 12, month % 12 + 1, 1) - date(year, month, 1)).days
    moved = date(year, month, min(day.day, length))
    return at_ms + (moved - day).days * MS_PER_DAY


def add_years(day: date, years: int) -> date:
    """29 February goes to 1 March in a common year: a waiting time is never cut short."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)
