"""What vouchers are expected to pay of a device-hour, pool by pool: the planner's covers.

A forecast: the ledger decides who pays. The server and rehearsals both call this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from westward.ledger.vouchers.effective import PriceLine, price_after_vouchers
from westward.ledger.vouchers.usage import Usage
from westward.model.units import MS_PER_HOUR
from westward.model.voucher import Contract, Entity, NamedFact, Rule, VoucherClaim

USUAL_DEVICE_MS = 64 * MS_PER_HOUR
"""Device time that covers are worked out for, where nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPrice:
    """``facts``: what the pool's bills show for rules that ask."""

    pool: str
    site: str
    micros_per_device_hour: int
    facts: tuple[NamedFact, ...] = ()


def pool_covers(
    pools: Iterable[PoolPrice],
    rules: Sequence[Rule],
    entity: Entity,
    usage: Usage,
    at_ms: int,
    *,
    claims: Sequence[VoucherClaim],
    contract: Contract | None,
    adopted: frozenset[str] = frozenset(),
    usual_device_ms: int = USUAL_DEVICE_MS,
) -> dict[str, int]:
    """Pool → millionths of a device-hour that ``entity`` would not pay itself, from 0 to the price.

    Pools of one site, price and set of facts are worked out once.
    """
    known: dict[tuple[str, int, tuple[NamedFact, ...]], int] = {}
    found = {}
    for one in pools:
        key = (one.site, one.micros_per_device_hour, one.facts)
        if key not in known:
            line = PriceLine(
                spend="compute", micros_per_device_hour=one.micros_per_device_hour,
                seller=one.site, via_platform=True, facts=one.facts,
            )  # fmt: skip
            after = price_after_vouchers(
                rules, entity, usage, (line,), usual_device_ms * 1000, at_ms,
                claims=claims, contract=contract, adopted=adopted,
            )  # fmt: skip
            left = after.payer_micros_per_device_hour
            known[key] = max(0, one.micros_per_device_hour - left)
        found[one.pool] = known[key]
    return found
