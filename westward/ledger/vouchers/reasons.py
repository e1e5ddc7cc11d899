"""Why a rule refused, or paid less than its share: stable codes, and the sentence for each."""

from __future__ import annotations

from typing import Literal, NamedTuple

Code = Literal[
    "share-not-published",
    "press-only",
    "not-in-force",
    "not-eligible",
    "fact-not-shown",
    "spend-not-published",
    "spend-does-not-count",
    "not-via-platform",
    "contract-missing",
    "contract-too-long",
    "contract-date",
    "contract-not-paid",
    "contract-claims",
    "related-party",
    "double-subsidy",
    "minimum-spend",
    "claim-missing",
    "claim-not-approved",
    "claim-expired",
    "claim-revoked",
    "entity-period-over",
    "at-period-end",
    "pot",
    "entity-cap",
    "claim-cap",
    "contract-cap",
    "contract-value",
    "device-hours",
    "ceiling",
    "approved-amount",
]


class Reason(NamedTuple):
    """``text``: a plain sentence without a full stop, with the numbers."""

    code: Code
    text: str


def money(micros: int) -> str:
    """Millionths in full units, exact: 1250000 is 1.25, 3 is 0.000003."""
    sign, size = ("-" if micros < 0 else ""), abs(micros)
    whole, rest = divmod(size, 1_000_000)
    digits = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole:,}.{digits}"


def percent(ppm: int) -> str:
    """Parts per million as per cent: 300000 is 30 %."""
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + " %"
