"""Checked cells → the frozen types of ``westward.model.network``. No faults arise here."""

from __future__ import annotations

from typing import cast

from westward.model.network import (
    Accelerator,
    Fact,
    Link,
    Network,
    Place,
    Pool,
    PoolStatus,
    Series,
    Site,
    Zone,
)
from westward.model.units import MICROS
from westward.network.facts import Key, SeriesValues, Used
from westward.network.manifest import Manifest
from westward.network.schemas import SERIES_WORD
from westward.network.tables import Component, Table

PRICE_DIGITS = 9
"""0.9 times 1.5 should read 1.35; the rest of a binary fraction is no information."""
TAG_ATTRIBUTES = ("country", "province", "side", "hub")


class Builder:
    """Reads cells by (table, component, attribute); blanks stay None."""

    def __init__(
        self,
        manifest: Manifest,
        tables: dict[str, Table],
        used: dict[Key, Used],
        series: SeriesValues,
    ):
        self._manifest = manifest
        self._tables = tables
        self._used = used
        self._series = series

    def network(self, facts: tuple[Fact, ...], digest: str) -> Network:
        manifest = self._manifest
        return Network(
            name=manifest.name,
            label=manifest.label,
            currency=manifest.currency,
            series_origin=manifest.series_origin,
            sites=tuple(self._site(c) for c in self._components("sites")),
            pools=tuple(self._pool(c) for c in self._components("pools")),
            accelerators=tuple(self._accelerator(c) for c in self._components("accelerators")),
            zones=tuple(self._zone(c) for c in self._components("zones")),
            places=tuple(self._place(c) for c in self._components("places")),
            links=tuple(self._link(c) for c in self._components("links")),
            facts=facts,
            sources=manifest.sources or (),
            digest=digest,
        )

    def _components(self, table: str) -> list[Component]:
        components = self._tables[table].components
        return [components[name] for name in sorted(components)]

    def _float(self, table: str, name: str, attribute: str) -> float | None:
        use = self._used.get((table, name, attribute))
        return None if use is None or use.value == SERIES_WORD else float(use.value)

    def _need(self, table: str, name: str, attribute: str) -> float:
        value = self._float(table, name, attribute)
        assert value is not None, (table, name, attribute)  # required: checked by the loader
        return value

    def _micros(self, table: str, name: str, attribute: str) -> int | None:
        value = self._float(table, name, attribute)
        return None if value is None else round(value * MICROS)

    def _site(self, site: Component) -> Site:
        tags = {k: str(site.values[k]) for k in TAG_ATTRIBUTES if k in site.values} | site.tags
        return Site(
            name=site.name,
            label=_text(site, "label") or site.name,
            operator=_text(site, "operator"),
            zone=_text(site, "zone"),
            lat_deg=self._float("sites", site.name, "lat_deg"),
            lon_deg=self._float("sites", site.name, "lon_deg"),
            pue=self._float("sites", site.name, "pue"),
            tags=tuple(sorted(tags.items())),
        )

    def _place(self, place: Component) -> Place:
        return Place(
            name=place.name,
            label=_text(place, "label") or place.name,
            lat_deg=self._need("places", place.name, "lat_deg"),
            lon_deg=self._need("places", place.name, "lon_deg"),
        )

    def _accelerator(self, kind: Component) -> Accelerator:
        return Accelerator(
            name=kind.name,
            label=_text(kind, "label") or kind.name,
            vendor=_text(kind, "vendor"),
            memory_gb=self._float("accelerators", kind.name, "memory_gb"),
            power_w_max=self._float("accelerators", kind.name, "power_w_max"),
            relative_speed=self._need("accelerators", kind.name, "relative_speed"),
            fp16_dense_tflops=self._float("accelerators", kind.name, "fp16_dense_tflops"),
        )

    def _pool(self, pool: Component) -> Pool:
        accelerator = pool.values.get("accelerator")
        return Pool(
            name=pool.name,
            site=_text(pool, "site"),
            engine=_text(pool, "engine"),
            managed=bool(pool.values["managed"]),
            accelerator=None if accelerator is None else str(accelerator),
            nodes=int(self._need("pools", pool.name, "nodes")),
            devices_per_node=int(self._need("pools", pool.name, "devices_per_node")),
            cpus_per_node=int(self._need("pools", pool.name, "cpus_per_node")),
            memory_mib_per_node=int(self._need("pools", pool.name, "memory_mib_per_node")),
            price_micros_per_device_hour=self._micros("pools", pool.name, "price_per_device_hour"),
            power_w_per_device=self._float("pools", pool.name, "power_w_per_device"),
            status=cast(PoolStatus, pool.values["status"]),
        )

    def _link(self, link: Component) -> Link:
        return Link(
            a=_text(link, "a"),
            b=_text(link, "b"),
            one_way_ms=self._float("links", link.name, "one_way_ms"),
            bandwidth_gbps=self._float("links", link.name, "bandwidth_gbps"),
            price_micros_per_gb=self._micros("links", link.name, "price_per_gb"),
        )

    def _zone(self, zone: Component) -> Zone:
        return Zone(
            name=zone.name,
            label=_text(zone, "label") or zone.name,
            tariff_per_kwh=self._zone_series(zone, "tariff_per_kwh", "tariff_multiplier"),
            carbon_location_g_per_kwh=self._zone_series(
                zone, "carbon_location_g_per_kwh", "carbon_location_multiplier"
            ),
            carbon_contract_g_per_kwh=self._zone_series(zone, "carbon_contract_g_per_kwh", None),
        )

    def _zone_series(self, zone: Component, attribute: str, shape: str | None) -> Series | None:
        """A series as it is, or a constant times its shape; unknown base, unknown series.

        Every series has the full number of steps, so that columns of zones line up.
        """
        values = self._in_force(zone.name, attribute)
        if values is None:
            base = self._float("zones", zone.name, attribute)
            if base is None:
                return None
            multiplier = self._in_force(zone.name, shape) if shape else None
            factors = multiplier or (1.0,) * self._manifest.steps
            values = tuple(round(base * factor, PRICE_DIGITS) for factor in factors)
        return Series(step_ms=self._manifest.step_ms, values=values)

    def _in_force(self, zone: str, attribute: str) -> tuple[float, ...] | None:
        use = self._used.get(("zones", zone, attribute))
        if use is None or use.value != SERIES_WORD:
            return None
        return self._series[("zones", attribute)][zone]


def _text(component: Component, attribute: str) -> str:
    return str(component.values.get(attribute, ""))
