"""Millionths as text: exact for machines, in the currency's decimals for people.

Decimals by currency: ISO 4217 (list one, minor units); two where it says nothing else.
"""

from __future__ import annotations

from fractions import Fraction

from westward.ledger.rounding import round_half_even
from westward.model.units import MICROS

EXACT_DIGITS = 6
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"


def decimals_of(currency: str) -> int:
    for digits, codes in ((0, _NONE), (3, _THREE), (4, _FOUR)):
        if currency in codes.split():
            return digits
    return 2


def exact_text(micros: int) -> str:
    """``-1.500000``: six decimals, never rounded, no separators. What exports hold."""
    return fixed_text(Fraction(micros, MICROS), EXACT_DIGITS)


def fixed_text(value: Fraction, digits: int) -> str:
    """``value`` with ``digits`` decimals, half to even; never a negative zero."""
    scaled = round_half_even(value * 10**digits)
    whole, part = divmod(abs(scaled), 10**digits)
    sign = "-" if scaled < 0 else ""
    return f"{sign}{whole}.{part:0{digits}d}" if digits else f"{sign}{whole}"


def exact_shown(micros: int) -> str:
    """``1,234.500000``: for people, nothing rounded."""
    return _grouped(exact_text(micros))


def rounded_micros(micros: int, currency: str) -> int:
    """To the currency's smallest unit, half to even, in millionths again."""
    unit = int(10 ** (EXACT_DIGITS - decimals_of(currency)))
    return round_half_even(Fraction(micros, unit)) * unit


def rounded_shown(micros: int, currency: str) -> str:
    """``1,234.50 CNY``: in the currency's decimals, half to even."""
    return f"{_grouped(fixed_text(Fraction(micros, MICROS), decimals_of(currency)))} {currency}"


def micros_of(text: str) -> int:
    """A decimal amount of the currency → millionths, exactly. Raises ValueError (one sentence)."""
    sign, digits = (-1, text.strip()[1:]) if text.strip().startswith("-") else (1, text.strip())
    whole, dot, part = digits.partition(".")
    plain = whole.isascii() and whole.isdecimal() and (not dot or part.isascii())
    if not plain or len(part) > EXACT_DIGITS or (dot and not part.isdecimal()):
        raise ValueError(f"{text!r} is not an amount with at most six decimals; write 12.50")
    return sign * (int(whole) * MICROS + int((part or "0").ljust(EXACT_DIGITS, "0")))


def _grouped(text: str) -> str:
    whole, dot, part = text.partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.removeprefix('-')):,}{dot}{part}"
