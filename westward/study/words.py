"""Figures in words: one place decides how many digits a reader sees."""

from __future__ import annotations

import math

from westward.study.table import Spread

NOTHING = "no figure"
_SHARE = "share"


def figure(value: float | None, unit: str, *, signed: bool = False) -> str:
    """``12.3 %``, ``4.05 CNY/device-hour``, ``6 min``; three digits, never a bare number."""
    if value is None or math.isnan(value):
        return NOTHING
    sign = "+" if signed and value > 0 else ""
    if unit == _SHARE:
        return f"{sign}{_digits(value * 100)} {'points' if signed else '%'}"
    if unit == "h":
        return sign + hours(value)
    if unit == "ratio":
        return f"{sign}{_digits(value)}"
    return f"{sign}{_digits(value)} {unit}"


def hours(value: float) -> str:
    """Hours in the unit a person would choose."""
    size = abs(value)
    if size == 0:
        return "0 s"
    if size < 1 / 60:
        return f"{_digits(value * 3600)} s"
    if size < 1:
        return f"{_digits(value * 60)} min"
    return f"{_digits(value)} h" if size < 48 else f"{_digits(value / 24)} d"


def percent(share: float, *, signed: bool = False) -> str:
    """A relative change: ``12 %``, ``+0.4 %``, ``24 times`` beyond tenfold."""
    if abs(share) >= 9.5:
        return f"{_digits(1 + share)} times"
    return f"{'+' if signed and share > 0 else ''}{_digits(share * 100)} %"


def _digits(value: float) -> str:
    """Three digits, thousands grouped; a rounded zero is ``0``."""
    if value == 0 or abs(value) < 5e-5:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_range(spread: Spread | None, unit: str) -> str:
    """``3.1 h (2.9 to 3.4)``: mean and extremes over seeds; one seed has no range."""
    if spread is None:
        return NOTHING
    ends = (figure(spread.low, unit), figure(spread.high, unit))
    return _ranged(figure(spread.mean, unit), *ends, seeds=spread.seeds)


def _ranged(mean: str, low: str, high: str, *, seeds: int) -> str:
    """``3.1 h (2.9 to 3.4)``: the unit once, where all three have the same."""
    if seeds == 1 or low == high:
        return mean
    unit = mean.partition(" ")[2]
    if unit and low.endswith(f" {unit}") and high.endswith(f" {unit}"):
        low, high = low.removesuffix(f" {unit}"), high.removesuffix(f" {unit}")
    return f"{mean} ({low} to {high})"


def moved(spread: Spread | None) -> str:
    """A relative change as a verb: ``falls by 12 % (11 % to 13 %)``.

    Where the seeds do not agree on the sign, the change is not told as one.
    """
    if spread is None:
        return "cannot be compared"
    low, high = sorted((spread.low, spread.high))
    if max(abs(low), abs(high)) < 5e-5:
        return "does not change"
    ranged = f"{percent(low, signed=True)} to {percent(high, signed=True)} over the seeds"
    if low <= 0 <= high and spread.seeds > 1:
        return f"changes by no more than chance ({ranged})"
    if spread.mean >= 9.5:
        ends = "" if spread.seeds == 1 else f" ({percent(low)} to {percent(high)} over the seeds)"
        return f"rises to {percent(spread.mean)} as much{ends}"
    verb = "rises" if spread.mean > 0 else "falls"
    near, far = sorted((abs(low), abs(high)))
    ends = f" ({percent(near)} to {percent(far)} over the seeds)"
    if spread.seeds == 1 or percent(near) == percent(far):
        ends = ""
    return f"{verb} by {percent(abs(spread.mean))}{ends}"


def differs(spread: Spread | None, unit: str) -> str:
    """A difference in the metric's unit: ``-0.31 CNY/device-hour (-0.35 to -0.28)``, or that the
    seeds do not agree on its sign."""
    if spread is None:
        return "an amount that cannot be compared"
    if spread.low == spread.high == 0.0:
        return "nothing"
    low, high = (figure(end, unit, signed=True) for end in (spread.low, spread.high))
    if spread.low <= 0 <= spread.high and spread.seeds > 1:
        return f"nothing beyond chance ({low} to {high} over the seeds)"
    return _ranged(figure(spread.mean, unit, signed=True), low, high, seeds=spread.seeds)
