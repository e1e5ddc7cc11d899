"""Money as it is written on a command line: full units of the currency, exact to the millionth."""

from __future__ import annotations

import re

from westward.cli.fail import Failure
from westward.model.units import MICROS

_AMOUNT = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))?")
_DECIMALS = 6


def read_amount(text: str, what: str = "AMOUNT") -> int:
    """Millionths of ``1200``, ``1,200.50`` or ``0.000001``. Raises Failure: no float is made of it,
    so nothing is rounded."""
    found = _AMOUNT.fullmatch(_ungrouped(text.strip()))
    if found is None:
        raise Failure(
            f"{what} {text!r} is no amount. Write currency units with at most six decimals, "
            "such as 1200 or 0.25."
        )
    whole, part = found.groups()
    micros = int(whole) * MICROS + int((part or "").ljust(_DECIMALS, "0"))
    if micros == 0:
        raise Failure(f"{what} is nought. Give an amount above 0.")
    return micros


def _ungrouped(text: str) -> str:
    """Without commas, where they stand between thousands only."""
    whole, _, _ = text.partition(".")
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+", whole):
        return text.replace(",", "")
    return text
