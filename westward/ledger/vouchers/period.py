"""A pot that is shared at the period's end: everyone the same part, whoever came first."""

from __future__ import annotations

from collections.abc import Mapping


def share_out(entitled_micros: Mapping[str, int], pot_micros: int | None) -> dict[str, int]:
    """What each claim gets of the pot, by claim id. ``pot_micros`` None: no limit.

    In full if the pot suffices; else in proportion, rounded down, and the millionths left over go
    to the largest remainders, ties to the smaller id. The order of arrival does not enter. Raises
    ``ValueError`` for a negative amount.
    """
    if any(micros < 0 for micros in entitled_micros.values()) or (pot_micros or 0) < 0:
        raise ValueError("neither a claim nor a pot can be negative")
    total = sum(entitled_micros.values())
    if pot_micros is None or total <= pot_micros:
        return dict(entitled_micros)
    shares = {name: micros * pot_micros // total for name, micros in entitled_micros.items()}
    left = pot_micros - sum(shares.values())
    by_remainder = sorted(
        entitled_micros, key=lambda name: (-(entitled_micros[name] * pot_micros % total), name)
    )
    for name in by_remainder[:left]:
        shares[name] += 1
    return shares
