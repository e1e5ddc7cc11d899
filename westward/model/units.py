"""Units and the text forms people write them in.

Time is integer milliseconds (UTC since 1970 when absolute), money integer millionths of the
network's currency, capacity integer milli-devices (1000 = one whole device), data integer bytes.
Parsers raise ``ValueError`` with one sentence that says what was expected.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

MS_PER_S = 1_000
MS_PER_MINUTE = 60_000
MS_PER_HOUR = 3_600_000
MS_PER_DAY = 86_400_000
SPAN_MOST_MS = 200 * 365 * MS_PER_DAY
"""No job lasts, waits or is due beyond this; the planner counts in 64 bits."""
MICROS = 1_000_000
"""Millionths in one unit of currency."""
MILLI = 1_000
"""Milli-devices in one device, milli-cpus in one cpu."""
BYTES_PER_GB = 1_000_000_000
MIB_PER_GIB = 1_024

_DURATION_UNITS_MS = {
    "ms": 1,
    "s": MS_PER_S,
    "m": MS_PER_MINUTE,
    "h": MS_PER_HOUR,
    "d": MS_PER_DAY,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_BYTES_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "pb": 10**15,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?i?b)", re.IGNORECASE)


def parse_duration_ms(text: str) -> int:
    """``90s``, ``1h30m``, ``2d`` → milliseconds; a bare number is refused for want of a unit, and
    what is longer than ``SPAN_MOST_MS``."""
    compact = text.strip().replace(" ", "")
    total = 0.0
    at = 0
    for part in _DURATION_PART.finditer(compact):
        if part.start() != at:
            break
        total += float(part.group(1)) * _DURATION_UNITS_MS[part.group(2)]
        at = part.end()
    if not compact or at != len(compact):
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 1h30m or 2d")
    if total > SPAN_MOST_MS:
        raise ValueError(f"{text[:40]!r} is more than two hundred years")
    return round(total)


def parse_bytes(text: str) -> int:
    """``10GB``, ``512 MiB`` → bytes (GB is decimal, GiB binary)."""
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount of data; write for example 10GB or 512MiB")
    return round(float(match.group(1)) * _BYTES_UNITS[match.group(2).lower()])


def parse_instant_ms(text: str, now_ms: int) -> int:
    """An ISO 8601 time with offset, or a duration counted from ``now_ms`` → absolute ms."""
    stripped = text.strip()
    if _DURATION_PART.match(stripped):
        return now_ms + parse_duration_ms(stripped)
    try:
        moment = datetime.fromisoformat(stripped)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a duration (6h) nor an ISO time (2026-11-22T18:00:00+08:00)"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; add Z or an offset such as +08:00")
    return round(moment.timestamp() * 1000)


def format_instant(at_ms: int) -> str:
    """Absolute milliseconds → ``2026-11-22T06:42:23Z``."""
    moment = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def format_duration(span_ms: int) -> str:
    """Milliseconds → the two largest units, as ``1h30m``, ``2m05s``, ``3.4s`` or ``0s``."""
    sign = "-" if span_ms < 0 else ""
    rest = abs(span_ms)
    if rest < MS_PER_MINUTE:
        seconds = rest / MS_PER_S
        return f"{sign}{seconds:.0f}s" if rest % MS_PER_S == 0 else f"{sign}{seconds:.1f}s"
    if rest < MS_PER_HOUR:
        return f"{sign}{rest // MS_PER_MINUTE}m{rest % MS_PER_MINUTE // MS_PER_S:02d}s"
    if rest < MS_PER_DAY:
        return f"{sign}{rest // MS_PER_HOUR}h{rest % MS_PER_HOUR // MS_PER_MINUTE:02d}m"
    return f"{sign}{rest // MS_PER_DAY}d{rest % MS_PER_DAY // MS_PER_HOUR:02d}h"


def format_money(micros: float, currency: str) -> str:
    """Millionths → ``12.34 CNY``; small sums keep enough digits to be told apart."""
    value = micros / MICROS
    digits = 2 if abs(value) >= 1 or value == 0 else (4 if abs(value) >= 0.01 else 6)
    return f"{value:.{digits}f} {currency}"


def format_mass(grams: float) -> str:
    """Grams → ``12.3 g``, ``15.5 kg`` or ``2.04 t``, three digits."""
    for unit, size in (("t", 1e6), ("kg", 1e3)):
        if abs(grams) >= size:
            return (
                f"{grams / size:,.3g} {unit}" if abs(grams) < 1e9 else f"{grams / size:,.0f} {unit}"
            )
    return f"{grams:.3g} g"
