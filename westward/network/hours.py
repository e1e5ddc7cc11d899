"""Hours that a site offers: ``Mon-Fri 18:00-08:00`` in a time zone, as open or closed now.

A window belongs to the day it begins on and may run past midnight. A zone is an offset (``+08:00``)
or a name of the IANA database (``Europe/Berlin``), which knows daylight saving: hours then are
those on the wall there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 24 * 60
_WINDOW = re.compile(r"(?P<days>\S+)\s+(?P<a>\d\d):(?P<b>\d\d)-(?P<c>\d\d):(?P<d>\d\d)")
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<h>\d\d):(?P<m>\d\d)")
FORM = "write for example 'Mon-Fri 18:00-08:00', 'Sat,Sun 00:00-24:00' or 'daily 20:00-06:00'"


class Window(NamedTuple):
    """Open on each of ``days`` (0 = Monday); ``start_minutes`` count from midnight."""

    days: frozenset[int]
    start_minutes: int
    length_minutes: int

    def holds(self, day: int, minute: int) -> bool:
        """``minute`` from the midnight that ``day`` begins with; beyond 1,440 it is the day after."""
        return day in self.days and 0 <= minute - self.start_minutes < self.length_minutes


def parse_window(text: str) -> Window:
    """Raises ValueError with one sentence."""
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no span of hours: {FORM}")
    start = _minutes(match["a"], match["b"], text)
    end = _minutes(match["c"], match["d"], text)
    if start == DAY_MINUTES:
        raise ValueError(f"{text!r} begins at 24:00; write 00:00 of the next day")
    if start == end:
        raise ValueError(f"{text!r} has no length; the whole day is 00:00-24:00")
    return Window(_days(match["days"], text), start, (end - start) % DAY_MINUTES or DAY_MINUTES)


def _minutes(hours: str, minutes: str, text: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > DAY_MINUTES:
        raise ValueError(f"{hours}:{minutes} in {text!r} is no time of day")
    return total


def _days(word: str, text: str) -> frozenset[int]:
    if word == "daily":
        return frozenset(range(7))
    found: set[int] = set()
    for part in word.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{part!r} in {text!r} is no day: use daily or {', '.join(DAYS)}")
        a = DAYS.index(first)
        length = (DAYS.index(last) - a) % 7 if dash else 0
        found |= {(a + day) % 7 for day in range(length + 1)}
    return frozenset(found)


def parse_zone(text: str) -> tzinfo:
    """Raises ValueError with one sentence."""
    match = _OFFSET.fullmatch(text.strip())
    if match is not None and int(match["h"]) <= 14 and int(match["m"]) <= 59:
        span = timedelta(hours=int(match["h"]), minutes=int(match["m"]))
        return timezone(span if match["sign"] == "+" else -span)
    try:
        return ZoneInfo(text.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{text!r} is no time zone known here; write an offset such as +08:00"
        ) from None


def open_at(hours: Sequence[str], zone: str, now_ms: int) -> bool:
    """Whether one of the windows holds ``now_ms`` (UTC). No windows: always open."""
    if not hours:
        return True
    local = datetime.fromtimestamp(now_ms / 1000, tz=UTC).astimezone(parse_zone(zone))
    minute = local.hour * 60 + local.minute
    today = local.weekday()
    return any(
        window.holds(today, minute) or window.holds((today - 1) % 7, minute + DAY_MINUTES)
        for window in map(parse_window, hours)
    )
