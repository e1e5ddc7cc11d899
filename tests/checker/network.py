"""A network folder as exact numbers, read anew from its YAML and CSV files.

Only what a schedule's truth depends on is read: capacity, shapes, speeds, prices, power, tariffs,
carbon, links. Every number is taken from its decimal text, so that 0.1 is one tenth.
"""

from __future__ import annotations

import csv
import hashlib
import re
from bisect import insort
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

SCALE = 10**15
"""Series are integers of so many parts, hence exact to 15 decimals."""
DEFAULT_START_MS = 1_767_225_600_000
"""2026-01-01 UTC: what a rehearsal takes for networks that begin when they are started."""
UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True)
class Series:
    """A periodic step function; ``sums[k]`` is its integral over the first k steps."""

    step_ms: int
    values: tuple[int, ...]
    sums: tuple[int, ...]

    def integral(self, start_ms: int, end_ms: int) -> Fraction:
        """Value × ms over [start, end), both counted from the origin."""
        return Fraction(self._until(end_ms) - self._until(start_ms), SCALE)

    def period(self) -> Fraction:
        return Fraction(self.sums[-1], SCALE)

    def _until(self, at_ms: int) -> int:
        turns, rest = divmod(at_ms, self.step_ms * len(self.values))
        step, inside = divmod(rest, self.step_ms)
        whole = turns * self.sums[-1] + self.sums[step]
        return whole + (inside * self.values[step] if inside else 0)


@dataclass(frozen=True)
class Pool:
    name: str
    site: str
    zone: str
    accelerator: str | None
    nodes: int
    devices_per_node: int
    cpus_milli: int
    memory_mib: int
    status: str
    speed: Fraction
    speed_float: float
    price_micros: int | None
    kw: Fraction | None
    """Kilowatts of one device at the facility's meter (PUE included)."""

    @property
    def capacity_milli(self) -> int:
        return self.nodes * self.devices_per_node * 1000

    def node_need(self, devices_milli: int, cpus_milli: int, memory_mib: int) -> int | None:
        """Milli-devices of one gang node: its dominant share of a node; None = does not fit."""
        node = self.devices_per_node * 1000
        if devices_milli and self.accelerator is None:
            return None
        if devices_milli > node or cpus_milli > self.cpus_milli or memory_mib > self.memory_mib:
            return None
        by_cpus = -(-cpus_milli * node // self.cpus_milli)
        by_memory = -(-memory_mib * node // self.memory_mib)
        return max(1, devices_milli, by_cpus, by_memory)


@dataclass(frozen=True)
class Link:
    micros_per_gb: int
    ms_per_byte: Fraction


@dataclass(frozen=True)
class Network:
    digest: str
    origin_ms: int
    sites: tuple[str, ...]
    kinds: frozenset[str]
    """Accelerators the network knows, whether or not a pool has them."""
    pools: dict[str, Pool]
    tariff: dict[str, Series | None]
    carbon: dict[str, dict[str, Series | None]]
    """Method (location, contract) → zone → grams per kWh."""
    links: dict[tuple[str, str], Link]

    def link(self, a: str, b: str) -> Link | None:
        return self.links.get((min(a, b), max(a, b)))


class Folder:
    """The folder's statements: the value in force of (table, name, attribute), as text."""

    def __init__(self, folder: Path, as_of: str | None):
        self._folder = folder
        self._as_of = as_of
        self.manifest: dict[str, Any] = yaml.load(
            (folder / "network.yaml").read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader
        )
        self.rows: dict[str, dict[str, dict[str, str]]] = {}
        self._facts: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        for table in ("sites", "pools", "accelerators", "links", "zones"):
            self.rows[table] = {row["name"]: row for row in self._csv(f"{table}.csv")}
            for row in self._csv(f"{table}.facts.csv"):
                dated = self._facts.setdefault((table, row["name"], row["attribute"]), [])
                insort(
                    dated,
                    (row["valid_from"] + "2026-01-01"[len(row["valid_from"]) :], row["value"]),
                )
        self._series = {
            path.stem: self._columns(f"series/{path.name}")
            for path in sorted((folder / "series").glob("*.csv"))
        }

    def value(self, table: str, name: str, attribute: str) -> str | None:
        """The text in force; None = not stated (or not yet)."""
        row = self.rows[table][name]
        if row.get(attribute):
            return row[attribute] if self._holds(row.get("valid_from", "")) else None
        own = self._facts.get((table, name, attribute))
        if own is None:
            own = self._facts.get((table, "*", attribute), [])
            if all(text == "series" for _, text in own):
                own = own if name in self._series.get(f"{table}-{attribute}", {}) else []
        held = [text for date, text in own if self._holds(date)]
        return held[-1] if held else None

    def number(self, table: str, name: str, attribute: str) -> Fraction | None:
        text = self.value(table, name, attribute)
        return None if text is None or text == "series" else Fraction(text)

    def zone_series(self, zone: str, attribute: str, shape: str | None) -> Series | None:
        text = self.value("zones", zone, attribute)
        if text is None:
            return None
        steps = int(self.manifest["steps"])
        if text == "series":
            values = self._series[f"zones-{attribute}"][zone]
        else:
            factors = [Fraction(1)] * steps
            if shape and self.value("zones", zone, shape) == "series":
                factors = self._series[f"zones-{shape}"][zone]
            # The folder's rule: a base times its shape counts to nine decimals.
            values = [Fraction(round(Fraction(text) * f * 10**9), 10**9) for f in factors]
        whole = [value * SCALE for value in values]
        if any(value.denominator != 1 for value in whole):
            raise ValueError(f"{attribute} of {zone} has more decimals than are kept exactly")
        sums = [0]
        step_ms = duration_ms(self.manifest["step"])
        for value in whole:
            sums.append(sums[-1] + int(value) * step_ms)
        return Series(step_ms, tuple(int(value) for value in whole), tuple(sums))

    def digest(self) -> str:
        sha = hashlib.sha256()
        found = [p for p in self._folder.iterdir() if p.is_file()]
        found += list((self._folder / "series").glob("*"))
        names = sorted(p.relative_to(self._folder).as_posix() for p in found)
        for name in names:
            base = name.rsplit("/", 1)[-1]
            if base.startswith(".") or base.lower().endswith(".md"):
                continue
            if name == "entities.yaml":  # who hands in jobs is not the network
                continue
            raw = (self._folder / name).read_bytes()
            sha.update(f"{name}\0{len(raw)}\0".encode() + raw)
        return sha.hexdigest()

    def _holds(self, date: str) -> bool:
        full = date + "2026-01-01"[len(date) :]
        return self._as_of is None or full <= self._as_of + "2026-01-01"[len(self._as_of) :]

    def _csv(self, name: str) -> list[dict[str, str]]:
        path = self._folder / name
        if not path.exists():
            return []
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [
                {key.strip(): (cell or "").strip() for key, cell in row.items()}
                for row in csv.DictReader(file)
            ]

    def _columns(self, name: str) -> dict[str, list[Fraction]]:
        rows = sorted(self._csv(name), key=lambda row: int(row["step"]))
        columns = [key for key in rows[0] if key != "step"] if rows else []
        return {key: [Fraction(row[key]) for row in rows] for key in columns}


def duration_ms(text: str) -> int:
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    return int(sum(Fraction(number) * UNIT_MS[unit] for number, unit in parts))


def read_network(folder: Path, *, as_of: str | None = None, devices: int | None = None) -> Network:
    """The folder's network; ``devices`` scales its pools as ``simulate --devices`` does."""
    said = Folder(folder, as_of)
    zones = {name: row["zone"] for name, row in said.rows["sites"].items()}
    pools = {name: _pool(said, name, zones) for name in sorted(said.rows["pools"])}
    if devices is not None:
        pools = _scaled(pools, devices)
    location = {
        zone: said.zone_series(zone, "carbon_location_g_per_kwh", "carbon_location_multiplier")
        for zone in said.rows["zones"]
    }
    contract = {
        zone: said.zone_series(zone, "carbon_contract_g_per_kwh", None) or location[zone]
        for zone in said.rows["zones"]
    }
    return Network(
        digest=said.digest() + ("" if devices is None else f"+devices={devices}"),
        origin_ms=_origin_ms(said.manifest["series_origin"]),
        sites=tuple(sorted(said.rows["sites"])),
        kinds=frozenset(said.rows["accelerators"]),
        pools=pools,
        tariff={
            zone: said.zone_series(zone, "tariff_per_kwh", "tariff_multiplier")
            for zone in said.rows["zones"]
        },
        carbon={"location": location, "contract": contract},
        links=_links(said),
    )


def _pool(said: Folder, name: str, zones: dict[str, str]) -> Pool:
    row = said.rows["pools"][name]
    kind = row.get("accelerator") or None
    speed = Fraction(1)
    if kind is not None:
        speed = said.number("accelerators", kind, "relative_speed") or Fraction(1)

    def whole(attribute: str) -> int:
        return int(said.number("pools", name, attribute) or 0)

    price = said.number("pools", name, "price_per_device_hour")
    watts = said.number("pools", name, "power_w_per_device")
    pue = said.number("sites", row["site"], "pue")
    return Pool(
        name=name,
        site=row["site"],
        zone=zones[row["site"]],
        accelerator=kind,
        nodes=whole("nodes"),
        devices_per_node=whole("devices_per_node"),
        cpus_milli=whole("cpus_per_node") * 1000,
        memory_mib=whole("memory_mib_per_node"),
        status=row.get("status") or "open",
        speed=speed,
        speed_float=float(speed),
        price_micros=None if price is None else round(price * 10**6),
        kw=None if watts is None or pue is None else watts / 1000 * pue,
    )


def _links(said: Folder) -> dict[tuple[str, str], Link]:
    links = {}
    for name, row in said.rows["links"].items():
        price = said.number("links", name, "price_per_gb")
        gbps = said.number("links", name, "bandwidth_gbps")
        if price is not None and gbps:
            ends = (min(row["a"], row["b"]), max(row["a"], row["b"]))
            links[ends] = Link(round(price * 10**6), 8 * 1000 / (gbps * 10**9))
    return links


def _origin_ms(text: str) -> int:
    if text == "start":
        return DEFAULT_START_MS
    moment = datetime.fromisoformat(text)
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def _scaled(pools: dict[str, Pool], devices: int) -> dict[str, Pool]:
    """Largest remainder over whole nodes; a pool that has nodes keeps one."""
    have = sum(pool.nodes * pool.devices_per_node for pool in pools.values())
    # In floats, as a person would do it: the remainders only decide who gets a node more.
    share = {name: pool.nodes * devices / have for name, pool in pools.items()}
    nodes = {name: max(int(share[name]), min(1, pool.nodes)) for name, pool in pools.items()}
    spare = devices - sum(nodes[name] * pools[name].devices_per_node for name in pools)
    by_rest = sorted(pools, key=lambda name: (nodes[name] - share[name], name))
    for name in by_rest:
        if pools[name].nodes and pools[name].devices_per_node <= spare:
            nodes[name] += 1
            spare -= pools[name].devices_per_node
    for name in reversed(by_rest):
        while spare < 0 and nodes[name] > 1:
            nodes[name] -= 1
            spare += pools[name].devices_per_node
    return {name: replace(pool, nodes=nodes[name]) for name, pool in pools.items()}
