"""The one rounding of the ledger, and how a number from a network file becomes exact."""

from __future__ import annotations

from fractions import Fraction


def exact(value: float | int) -> Fraction:
    """The number as it was written: 0.1 is one tenth, not the nearest binary double.

    Raises ``ValueError`` for infinities and not-a-number.
    """
    return Fraction(value) if isinstance(value, int) else Fraction(str(value))


def round_half_even(value: Fraction) -> int:
    """To the nearest integer; halves go to the even neighbour, so that they favour nobody."""
    return round(value)
