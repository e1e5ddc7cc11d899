"""Charges as rows of FOCUS 1.0 (FinOps Open Cost and Usage Specification, tag v1.0).

Column ids, nullability, units and allowed values: the specification's ``columns`` and
``attributes``. What stands for what is in docs/howto/settlement.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from westward.model.units import BYTES_PER_GB, MICROS, MS_PER_HOUR
from westward.settlement.cells import Cell
from westward.settlement.charges import OWNER_PREFIX, Charge, Part
from westward.settlement.money import exact_text, fixed_text
from westward.settlement.periods import Period

FOCUS_VERSION = "1.0"
QUANTITY_DIGITS = 12
"""Enough that quantity × unit price gives the cost to the millionth."""

DECIMALS = (
    "BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost",
    "ListCost", "ListUnitPrice", "PricingQuantity",
)  # fmt: skip
INSTANTS = ("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart")
OWN_COLUMNS = (
    "x_BilledMicros", "x_ChargeId", "x_DisputeId", "x_EarnerId", "x_JobId", "x_Part",
    "x_PayerReason", "x_PostedTime", "x_SiteId",
)  # fmt: skip
COLUMNS = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory",
    "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountStatus",
    "CommitmentDiscountType", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuer", "ListCost", "ListUnitPrice",
    "PricingCategory", "PricingQuantity", "PricingUnit", "Provider", "Publisher", "RegionId",
    "RegionName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName",
    "SkuId", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags",
    *OWN_COLUMNS,
)  # fmt: skip
INTEGERS = ("x_BilledMicros",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """What a row says of the site. ``region``: its electricity zone."""

    label: str
    operator: str
    region: str
    region_label: str


@dataclass(frozen=True, slots=True)
class _Service:
    category: str
    name: str
    unit: str
    base: int
    """Of the charge's own quantity in one unit."""
    pricing: str


SERVICES: Mapping[Part, _Service] = {
    "device": _Service("Compute", "Device time", "Device-Hours", 1_000 * MS_PER_HOUR, "Standard"),
    # A tariff by the hour: the price of a run's energy is known afterwards.
    "power": _Service("Compute", "Electricity", "Kilowatt-Hours", 3_600_000, "Dynamic"),
    "transfer": _Service("Networking", "Network links", "GB", BYTES_PER_GB, "Standard"),
    "data": _Service("Other", "Data sets", "GB", BYTES_PER_GB, "Standard"),
    "rounding": _Service("Other", "Rounding", "", 1, "Other"),
}


def focus_row(
    charge: Charge, period: Period, currency: str, network: str, sites: Mapping[str, SiteFacts]
) -> dict[str, Cell]:
    """One row, keys as ``COLUMNS``. ``network``: who issues the invoices; ``sites`` by name (one
    that is not known any more is named by its name alone)."""
    site = sites.get(charge.site)
    service = SERVICES[charge.part]
    cost = Decimal(exact_text(charge.micros))
    used = charge.kind == "charge" and charge.part != "rounding" and charge.quantity > 0
    earlier = charge.corrects_ms is not None and charge.corrects_ms < period.start_ms
    name = f"{charge.job_name} ({charge.job_id}), run {charge.attempt}"
    row: dict[str, Cell] = dict.fromkeys(COLUMNS)
    row |= {
        "AvailabilityZone": charge.site,
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "ContractedCost": cost,
        "BillingAccountId": charge.payer,
        "BillingAccountName": charge.payer,
        "BillingCurrency": currency,
        "BillingPeriodStart": _instant(period.start_ms),
        "BillingPeriodEnd": _instant(period.end_ms),
        "ChargeCategory": "Usage" if used else "Adjustment",
        "ChargeClass": "Correction" if earlier else None,
        "ChargeDescription": f"{service.name}: {name}"
        if charge.kind == "charge"
        else f"Correction of {service.name.lower()}: {name}, dispute {charge.dispute_id}",
        "ChargeFrequency": "Usage-Based" if used else "One-Time",
        "ChargePeriodStart": _instant(charge.began_ms),
        "ChargePeriodEnd": _instant(charge.ended_ms),
        "InvoiceIssuer": network,
        "Provider": network,
        "Publisher": _publisher(charge, site, network),
        "RegionId": site.region if site else None,
        "RegionName": site.region_label if site else None,
        "ResourceId": charge.run_id,
        "ResourceName": charge.job_name,
        "ResourceType": "Run",
        "ServiceCategory": service.category,
        "ServiceName": service.name,
        "SubAccountId": charge.project,
        "SubAccountName": charge.project,
        "Tags": json.dumps({"westward/attempt": str(charge.attempt), "westward/pool": charge.pool}),
        "x_BilledMicros": charge.micros,
        "x_ChargeId": charge.charge_id,
        "x_DisputeId": charge.dispute_id or None,
        "x_EarnerId": charge.earner,
        "x_JobId": charge.job_id,
        "x_Part": charge.part,
        "x_PayerReason": charge.payer_reason or None,
        "x_PostedTime": _instant(charge.posted_ms),
        "x_SiteId": charge.site,
    }
    if used:
        row |= _priced(charge, service)
    return row


def _priced(charge: Charge, service: _Service) -> dict[str, Cell]:
    quantity = _decimal(charge.own_quantity / service.base)
    if charge.unit_price_micros is not None:
        price = Decimal(exact_text(charge.unit_price_micros))
    else:  # the mean tariff over the run, or of the links used
        basis = Fraction(charge.basis_micros * service.base, charge.quantity * MICROS)
        price = _decimal(basis)
    sku = f"{charge.site}/{charge.pool}/{charge.part}"
    return {
        "ConsumedQuantity": quantity,
        "ConsumedUnit": service.unit,
        "PricingQuantity": quantity,
        "PricingUnit": service.unit,
        "PricingCategory": service.pricing,
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
        "SkuId": sku,
        "SkuPriceId": f"{sku}@{price:f}",
    }


def _publisher(charge: Charge, site: SiteFacts | None, network: str) -> str:
    if charge.part == "device":
        return (site.operator if site else "") or charge.site
    if charge.part == "data":
        return charge.earner.removeprefix(OWNER_PREFIX) or network
    return network


def _decimal(value: Fraction) -> Decimal:
    return Decimal(fixed_text(value, QUANTITY_DIGITS))


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC)
