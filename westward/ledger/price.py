"""What a run costs, from its meter readings. Exact arithmetic; rounded once, at the end.

**Energy here is an estimate**: declared power per device × metered device time × PUE. No power
meter is read. Whoever shows these figures says so.

Readings are summed as exact fractions, so the price of a run does not depend on how its readings
were cut, and each part of a bill is rounded once. What the rounded parts together miss of the
rounded total is posted to the account ``ROUNDING_ACCOUNT``; it is at most two millionths a bill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction

from westward.ledger.rounding import exact, round_half_even
from westward.model.network import Network, Series
from westward.model.plan import Policy
from westward.model.units import BYTES_PER_GB, MS_PER_HOUR
from westward.model.wire import Reading

ROUNDING_ACCOUNT = "rounding"

_UJ_PER_J = 10**6
_UJ_PER_KWH = 3_600 * 1_000 * _UJ_PER_J
_MILLI_MS_PER_DEVICE_HOUR = 1_000 * MS_PER_HOUR
_UG_PER_G = 10**6
_UG_PER_TONNE = 10**12
_MICROS = 10**6


class PriceUnknown(Exception):
    """The network does not say what this pool costs: it must not be used for a job that pays."""

    def __init__(self, pool: str, missing: tuple[str, ...]) -> None:
        self.pool = pool
        self.missing = missing
        super().__init__(f"pool {pool!r}: not known: {', '.join(missing)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """The terms of one pool, as its network states them. Carbon None = not known."""

    pool: str
    site: str
    price_micros_per_device_hour: int
    power_w_per_device: float
    pue: float
    tariff_per_kwh: Series
    """Currency units per kWh."""
    carbon_location_g_per_kwh: Series | None
    carbon_contract_g_per_kwh: Series | None
    carbon_price_micros_per_tonne: int
    """A term of the policy: shown, never charged."""
    carbon_price_by_contract: bool
    series_origin_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredInterval:
    """Use at an even rate from ``start_ms`` for ``wall_ms``."""

    start_ms: int
    wall_ms: int
    device_milli_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Input data that was moved to the site for this run."""

    size_bytes: int
    micros_per_gb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRead:
    """A data set that the run read, at its owner's price."""

    size_bytes: int
    micros_per_gb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Exact sums over metered intervals; add them in any order and grouping."""

    device_milli_ms: int = 0
    energy_uj: Fraction = Fraction(0)
    """Facility energy (with PUE), microjoules."""
    power_micros: Fraction = Fraction(0)
    carbon_location_ug: Fraction | None = Fraction(0)
    carbon_contract_ug: Fraction | None = Fraction(0)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            device_milli_ms=self.device_milli_ms + other.device_milli_ms,
            energy_uj=self.energy_uj + other.energy_uj,
            power_micros=self.power_micros + other.power_micros,
            carbon_location_ug=_add_known(self.carbon_location_ug, other.carbon_location_ug),
            carbon_contract_ug=_add_known(self.carbon_contract_ug, other.carbon_contract_ug),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A price and what it is made of: ``device + power + transfer + data + rounding = total``.

    ``energy_j`` and carbon are estimates (see the module). Carbon in micrograms of CO₂ equivalent,
    location-based and contract-based; None = the network does not know. ``carbon_shown_micros``
    is carbon at the policy's price: shown, not part of the total.
    """

    device_milli_ms: int
    energy_j: int
    carbon_location_ug: int | None
    carbon_contract_ug: int | None
    device_micros: int
    power_micros: int
    transfer_micros: int
    rounding_micros: int
    total_micros: int
    carbon_shown_micros: int | None
    data_micros: int = 0
    """What the owners of the data sets read ask for."""


BILL_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Bill))


def price_list(
    network: Network, pool_name: str, series_origin_ms: int, policy: Policy
) -> PriceList:
    """The terms of ``pool_name``. Raises ``PriceUnknown`` if one that is charged is blank."""
    pool = network.pool(pool_name)
    site = network.site(pool.site)
    zone = network.zone(site.zone)
    price = pool.price_micros_per_device_hour
    power = pool.power_w_per_device
    if price is None or power is None or site.pue is None or zone.tariff_per_kwh is None:
        known = {
            "price per device-hour": price,
            "power per device": power,
            f"PUE of site {site.name}": site.pue,
            f"tariff of zone {zone.name}": zone.tariff_per_kwh,
        }
        raise PriceUnknown(pool_name, tuple(name for name, value in known.items() if value is None))
    return PriceList(
        pool=pool.name,
        site=site.name,
        price_micros_per_device_hour=price,
        power_w_per_device=power,
        pue=site.pue,
        tariff_per_kwh=zone.tariff_per_kwh,
        carbon_location_g_per_kwh=zone.carbon_location_g_per_kwh,
        carbon_contract_g_per_kwh=zone.carbon_contract_g_per_kwh,
        carbon_price_micros_per_tonne=policy.carbon_price_micros_per_tonne,
        carbon_price_by_contract=policy.carbon_method == "contract",
        series_origin_ms=series_origin_ms,
    )


def intervals(started_ms: int, readings: Sequence[Reading]) -> tuple[MeteredInterval, ...]:
    """Readings laid end to end from the start of the run, in the order of their sequence."""
    laid: list[MeteredInterval] = []
    at_ms = started_ms
    for reading in sorted(readings, key=lambda r: r.sequence):
        laid.append(
            MeteredInterval(
                start_ms=at_ms, wall_ms=reading.wall_ms, device_milli_ms=reading.device_milli_ms
            )
        )
        at_ms += reading.wall_ms
    return tuple(laid)


def measure(prices: PriceList, interval: MeteredInterval) -> Usage:
    """What one interval used, exactly. Raises ``ValueError`` for negative quantities.

    An interval of no length that used something is priced at the instant it stands at.
    """
    if interval.wall_ms < 0 or interval.device_milli_ms < 0:
        raise ValueError(f"a meter reading cannot be negative: {interval}")
    # milli-device × ms × W = 10⁻³ × 10⁻³ s × W = microjoules.
    energy_uj = interval.device_milli_ms * exact(prices.power_w_per_device) * exact(prices.pue)
    kwh = energy_uj / _UJ_PER_KWH
    location = _mean_known(prices.carbon_location_g_per_kwh, prices, interval)
    contract = _mean_known(prices.carbon_contract_g_per_kwh, prices, interval)
    return Usage(
        device_milli_ms=interval.device_milli_ms,
        energy_uj=energy_uj,
        power_micros=kwh * _mean(prices.tariff_per_kwh, prices, interval) * _MICROS,
        carbon_location_ug=None if location is None else kwh * location * _UG_PER_G,
        carbon_contract_ug=None if contract is None else kwh * contract * _UG_PER_G,
    )


def bill(
    prices: PriceList,
    metered: Sequence[MeteredInterval],
    transfers: Sequence[Transfer] = (),
    reads: Sequence[DataRead] = (),
) -> Bill:
    """The bill for everything metered so far (not for the newest reading: see ``charge``)."""
    usage = Usage(
        carbon_location_ug=None if prices.carbon_location_g_per_kwh is None else Fraction(0),
        carbon_contract_ug=None if prices.carbon_contract_g_per_kwh is None else Fraction(0),
    )
    for interval in metered:
        usage = usage + measure(prices, interval)
    device = Fraction(
        usage.device_milli_ms * prices.price_micros_per_device_hour, _MILLI_MS_PER_DEVICE_HOUR
    )
    moved = sum(
        (Fraction(t.size_bytes * t.micros_per_gb, BYTES_PER_GB) for t in transfers), Fraction(0)
    )
    read = sum(
        (Fraction(one.size_bytes * one.micros_per_gb, BYTES_PER_GB) for one in reads), Fraction(0)
    )
    parts = (device, usage.power_micros, moved, read)
    device_micros, power_micros, transfer_micros, data_micros = map(round_half_even, parts)
    total = round_half_even(sum(parts, Fraction(0)))
    carbon = (
        usage.carbon_contract_ug if prices.carbon_price_by_contract else usage.carbon_location_ug
    )
    return Bill(
        device_milli_ms=usage.device_milli_ms,
        energy_j=round_half_even(usage.energy_uj / _UJ_PER_J),
        carbon_location_ug=_round_known(usage.carbon_location_ug),
        carbon_contract_ug=_round_known(usage.carbon_contract_ug),
        device_micros=device_micros,
        power_micros=power_micros,
        transfer_micros=transfer_micros,
        rounding_micros=total - device_micros - power_micros - transfer_micros - data_micros,
        total_micros=total,
        carbon_shown_micros=None
        if carbon is None
        else round_half_even(carbon * prices.carbon_price_micros_per_tonne / _UG_PER_TONNE),
        data_micros=data_micros,
    )


def _mean(series: Series, prices: PriceList, interval: MeteredInterval) -> Fraction:
    """The series' mean over the interval, weighted by time, exactly.

    Walks step by step, whole periods at once.
    """
    start = interval.start_ms - prices.series_origin_ms
    if interval.wall_ms == 0:
        return exact(series.at(start))
    periods, rest_ms = divmod(interval.wall_ms, series.period_ms)
    weighted = Fraction(0)
    if periods:
        weighted += periods * series.step_ms * sum(map(exact, series.values), Fraction(0))
    at, end = start, start + rest_ms
    while at < end:
        until = min(end, (at // series.step_ms + 1) * series.step_ms)
        weighted += (until - at) * exact(series.at(at))
        at = until
    return weighted / interval.wall_ms


def _mean_known(
    series: Series | None, prices: PriceList, interval: MeteredInterval
) -> Fraction | None:
    return None if series is None else _mean(series, prices, interval)


def _add_known(a: Fraction | None, b: Fraction | None) -> Fraction | None:
    return None if a is None or b is None else a + b


def _round_known(value: Fraction | None) -> int | None:
    return None if value is None else round_half_even(value)
