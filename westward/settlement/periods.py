"""Calendar months in a stated UTC offset: what a statement or an invoice is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})", re.ASCII)
OFFSET_MOST_MINUTES = 14 * 60
"""Of any place on earth (UTC+14, Line Islands)."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Period:
    """One month. Half open: an instant belongs to it if ``start_ms <= instant < end_ms``."""

    year: int
    month: int
    offset_minutes: int = 0
    """Of local time over UTC: +08:00 is 480."""

    @property
    def start_ms(self) -> int:
        return _instant_ms(self.year, self.month, self.offset_minutes)

    @property
    def end_ms(self) -> int:
        return self.next().start_ms

    @property
    def name(self) -> str:
        """``2026-11``."""
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def offset(self) -> str:
        return format_offset(self.offset_minutes)

    def next(self) -> Period:
        ahead = self.year * 12 + self.month  # months since year 0, of the month after this one
        return Period(year=ahead // 12, month=ahead % 12 + 1, offset_minutes=self.offset_minutes)

    def holds(self, at_ms: int) -> bool:
        return self.start_ms <= at_ms < self.end_ms


def period_of(at_ms: int, offset_minutes: int) -> Period:
    """The month in which an instant falls."""
    zone = timezone(timedelta(minutes=offset_minutes))
    moment = datetime.fromtimestamp(at_ms // 1000, tz=zone)
    return Period(year=moment.year, month=moment.month, offset_minutes=offset_minutes)


def parse_period(month: str, offset: str = "+00:00") -> Period:
    """``2026-11`` and ``+08:00`` → the month. Raises ValueError with one sentence."""
    match = _MONTH.fullmatch(month.strip())
    if match is None or not 1 <= int(match[2]) <= 12 or not 1970 <= int(match[1]) <= 9998:
        raise ValueError(f"{month!r} is not a month; write for example 2026-11")
    return Period(year=int(match[1]), month=int(match[2]), offset_minutes=parse_offset(offset))


def parse_offset(text: str) -> int:
    """``+08:00`` or ``Z`` → minutes. Raises ValueError with one sentence."""
    stripped = text.strip()
    if stripped == "Z":
        return 0
    match = _OFFSET.fullmatch(stripped)
    if match is not None:
        minutes = int(match[2]) * 60 + int(match[3])
        if int(match[3]) < 60 and minutes <= OFFSET_MOST_MINUTES:
            return -minutes if match[1] == "-" else minutes
    raise ValueError(f"{text!r} is not a UTC offset; write for example +08:00")


def format_offset(minutes: int) -> str:
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def local_text(at_ms: int, offset_minutes: int) -> str:
    """``2026-11-22 18:40`` in the offset."""
    zone = timezone(timedelta(minutes=offset_minutes))
    return datetime.fromtimestamp(at_ms // 1000, tz=zone).strftime("%Y-%m-%d %H:%M")


def _instant_ms(year: int, month: int, offset_minutes: int) -> int:
    zone = timezone(timedelta(minutes=offset_minutes))
    return round(datetime(year, month, 1, tzinfo=zone).timestamp()) * 1000
