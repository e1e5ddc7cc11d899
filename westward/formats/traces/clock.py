"""The hour of day of a log: its times are counted from a moment that its header may tell.

A rehearsal's time 0 is midnight of the network's series. So that the hours of tariff and carbon
meet the hours at which jobs were handed in, a log's times are moved on by the local time of day
of its own time 0. Dates, weekdays and changes to and from daylight saving time are not followed.

Headers, after the Parallel Workloads Archive's definition of SWF: ``UnixStartTime`` in seconds
since 1970 (UTC), ``TimeZoneString`` a zone's name, ``TimeZone`` (older) seconds east of UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from westward.formats.traces.build import EPOCH_TIMES_FROM_MS, rebase
from westward.formats.traces.source import I64, MAX_TIME_S, Mask
from westward.model.units import MS_PER_DAY, MS_PER_S, format_instant

MAX_OFFSET_S = 18 * 3600
"""No place was ever further from UTC (the limit of ISO 8601 readers); more is a wrong unit."""
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}")
_KEPT = (
    "hours of day are kept, dates and weekdays are not, changes of daylight saving time are not "
    "followed"
)


@dataclass(frozen=True, slots=True)
class Zone:
    """Where a log's clock stands. ``at`` is None when the header does not say it."""

    at: tzinfo | None
    name: str
    faults: tuple[str, ...]
    """What the header says that cannot be used, as notes."""


def keep_hour_of_day(
    submit_ms: I64, keep: Mask, header: Mapping[str, str]
) -> tuple[I64, tuple[str, ...]]:
    """Submit times counted from the local midnight before the log's time 0, and what to note.

    Dates since 1970 are counted from the local midnight before the first job. Where the header
    does not tell the time of day, the times stay and a note says so. Never raises.
    """
    zone = _zone(header)
    if int(submit_ms[keep].min()) >= EPOCH_TIMES_FROM_MS:
        return _from_dates(submit_ms, keep, zone)
    start_s = _whole(header.get("UnixStartTime", ""))
    # Writers that know no start put 0 there.
    if start_s is None or not 0 < start_s <= MAX_TIME_S:
        told = "" if start_s in (None, 0) else f" ({start_s} is no date)"
        return submit_ms, (
            f"hour of day unknown: the log states no start time{told}; its time 0 is midnight",
            *zone.faults,
        )
    was = f"the log's time 0 was {format_instant(start_s * MS_PER_S)}"
    if zone.at is None:
        return submit_ms, (
            was,
            "hour of day unknown: the log states no time zone; its time 0 is midnight",
            *zone.faults,
        )
    local_ms = start_s * MS_PER_S + _east_ms(zone.at, start_s)
    shift_ms = local_ms % MS_PER_DAY
    clock = f"time 0 = {_hour(local_ms)} local ({zone.name}); {_KEPT}"
    return submit_ms + shift_ms, (was, clock, *zone.faults)


def _from_dates(submit_ms: I64, keep: Mask, zone: Zone) -> tuple[I64, tuple[str, ...]]:
    if zone.at is None:
        rebased, notes = rebase(submit_ms, keep)
        told = "hour of day is that of UTC: the log states no time zone"
        return rebased, (*notes, told, *zone.faults)
    first_s = int(submit_ms[keep].min()) // MS_PER_S
    local_ms = submit_ms + (_east_ms(zone.at, first_s) if first_s <= MAX_TIME_S else 0)
    rebased, notes = rebase(local_ms, keep, clock=f"local ({zone.name})")
    return rebased, (*notes, _KEPT, *zone.faults)


def _zone(header: Mapping[str, str]) -> Zone:
    """By name where that is known here, else by seconds; logs exist whose seconds are wrong."""
    faults = []
    name = header.get("TimeZoneString", "")
    if name:
        found = _named(name)
        if found is not None:
            return Zone(found, name, ())
        faults.append(f"the log's TimeZoneString {name[:40]!r} is no known time zone; not used")
    told = header.get("TimeZone", "")
    if told:
        east_s = _whole(told)
        if east_s is not None and abs(east_s) <= MAX_OFFSET_S:
            sign, minutes = "-" if east_s < 0 else "+", abs(east_s) // 60
            name = f"UTC{sign}{minutes // 60:02d}:{minutes % 60:02d}"
            return Zone(timezone(timedelta(seconds=east_s)), name, tuple(faults))
        faults.append(f"the log's TimeZone {told[:40]!r} is no number of seconds; not used")
    return Zone(None, "", tuple(faults))


def _named(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # Unknown; not a name at all (../x); a folder of the zone database (America).
        return None


def _whole(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _east_ms(zone: tzinfo, at_s: int) -> int:
    """How far local clocks were ahead of UTC at that moment."""
    offset = datetime.fromtimestamp(at_s, tz=UTC).astimezone(zone).utcoffset()
    assert offset is not None  # an aware time always has one
    return round(offset.total_seconds() * MS_PER_S)


def _hour(local_ms: int) -> str:
    minutes = local_ms % MS_PER_DAY // 60_000
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
