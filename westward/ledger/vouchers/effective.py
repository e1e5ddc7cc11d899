"""The price after vouchers: what the payer pays per device-hour, for the planner and the quote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from westward.ledger.vouchers.split import Split, split
from westward.ledger.vouchers.usage import Usage
from westward.model.units import MS_PER_HOUR
from westward.model.voucher import (
    BillLine,
    Contract,
    Entity,
    NamedFact,
    Rule,
    Spend,
    VoucherClaim,
)

_MILLI_MS_PER_DEVICE_HOUR = 1_000 * MS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """What one device-hour at a pool costs under one heading (its devices, its power)."""

    spend: Spend
    micros_per_device_hour: int
    seller: str
    via_platform: bool = False
    facts: tuple[NamedFact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceAfter:
    """``payer_micros_per_device_hour`` is rounded up: a plan never promises too little."""

    full_micros_per_device_hour: int
    payer_micros_per_device_hour: int
    split: Split
    by_spend: Mapping[str, int] = field(default_factory=dict)
    """The payer's micros per device-hour by kind of spend, each rounded up."""


def price_after_vouchers(
    rules: Sequence[Rule],
    entity: Entity,
    usage: Usage,
    prices: Sequence[PriceLine],
    device_milli_ms: int,
    at_ms: int,
    *,
    claims: Sequence[VoucherClaim] = (),
    contract: Contract | None = None,
    sellers: Mapping[str, Entity] | None = None,
    adopted: frozenset[str] = frozenset(),
) -> PriceAfter:
    """What the payer pays per device-hour if the job takes ``device_milli_ms`` at ``at_ms``.

    The mean over the whole job: caps and pots that would run dry in it count. ``by_spend`` lets the
    planner keep power a term of its own. Raises ``ValueError`` unless the device time is positive.
    """
    if device_milli_ms <= 0:
        raise ValueError("a price needs some device time")

    def billed(prices: Sequence[PriceLine]) -> Split:
        lines = [
            BillLine(
                spend=line.spend,
                micros=-(
                    -line.micros_per_device_hour * device_milli_ms // _MILLI_MS_PER_DEVICE_HOUR
                ),
                at_ms=at_ms,
                seller=line.seller,
                device_milli_ms=device_milli_ms if line.spend == "compute" else 0,
                via_platform=line.via_platform,
                facts=line.facts,
            )
            for line in prices
        ]
        return split(
            lines, claims, rules, usage, entity, at_ms,
            contract=contract, sellers=sellers, adopted=adopted,
        )  # fmt: skip

    def per_hour(micros: int) -> int:
        return -(-micros * _MILLI_MS_PER_DEVICE_HOUR // device_milli_ms)

    whole = billed(prices)
    return PriceAfter(
        full_micros_per_device_hour=sum(line.micros_per_device_hour for line in prices),
        payer_micros_per_device_hour=per_hour(whole.own_micros),
        split=whole,
        by_spend={kind: per_hour(micros) for kind, micros in whole.own_by_spend.items()},
    )
