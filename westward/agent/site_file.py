"""``site.yaml``: what the site's operator offers. Read whole, every fault told with its row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import cast

from westward.formats.yaml_nodes import Value, read_tree
from westward.model.faults import Fault, InputFaults
from westward.model.offer import OFFER_STATUSES, OfferStatus, PoolOffer, SiteOffer
from westward.model.units import MICROS
from westward.network.hours import parse_window, parse_zone
from westward.network.values import CellError, check_name

SITE_KEYS = (
    "site",
    "engine",
    "options",
    "operator",
    "pue",
    "time_zone",
    "status",
    "hours",
    "accounts",
    "purposes",
    "pools",
)
COUNT_KEYS = ("nodes", "devices_per_node", "cpus_per_node", "memory_mib_per_node")
POOL_KEYS = (
    "name",
    "engine_pool",
    "managed",
    "accelerator",
    *COUNT_KEYS,
    "power_w_per_device",
    "price_per_device_hour",
    "status",
    "hours",
    "accounts",
    "purposes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFile:
    """A file without faults of its own. The server may still find some: see ``placed``."""

    text: str
    offer: SiteOffer
    """Without what the engine discovers."""
    engine: str
    options: tuple[tuple[str, str], ...]
    engine_pools: dict[str, str]
    """The engine's own names of pools, where they differ."""
    lines: dict[str, int]
    file: str

    def placed(self, fault: Fault) -> Fault:
        """The server's fault, with the row of its field here (or of what the field belongs to)."""
        field = fault.field
        while field and field not in self.lines:
            cut = max(field.rfind("."), field.rfind("["))
            field = field[:cut] if cut > 0 else ""
        return replace(fault, file=self.file, row=self.lines.get(field))


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.lines: dict[str, int] = {}

    def fault(self, line: int | None, field: str, problem: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, line, field, problem, remedy))

    def keys(self, tree: Value, at: str, known: tuple[str, ...]) -> None:
        """Notes every line; unknown keys are faults."""
        for entry in tree.entries:
            field = at + entry.key
            self.lines[field] = entry.line
            if entry.key not in known:
                near = get_close_matches(entry.key, known, n=1)
                remedy = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
                self.fault(entry.line, field, f"there is no field {entry.key!r}", remedy)

    def text(self, tree: Value, at: str, key: str) -> str | None:
        """A scalar's text as written; None where it is blank or absent."""
        entry = tree.get(key)
        if entry is None or entry.value.kind == "null":
            return None
        if entry.value.kind in ("mapping", "sequence", "other"):
            problem = f"{entry.value.kind_text} stands where one value should"
            self.fault(entry.line, at + key, problem, "Write one value, or leave it blank.")
            return None
        return entry.value.raw.strip() or None

    def whole(self, tree: Value, at: str, key: str) -> int | None:
        raw = self.text(tree, at, key)
        if raw is None:
            return None
        if not raw.isdecimal() or len(raw) > 15:
            self.fault(
                self.lines[at + key], at + key, f"{raw!r} is not a whole number", "Digits only."
            )
            return None
        return int(raw)

    def decimal(self, tree: Value, at: str, key: str, digits: int | None = None) -> Decimal | None:
        raw = self.text(tree, at, key)
        if raw is None:
            return None
        line, field = self.lines[at + key], at + key
        try:
            value = Decimal(raw)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or abs(value) >= 10**9:
            problem = f"{raw!r} is not a number"
            self.fault(line, field, problem, "Write it with a point and without a unit, or blank.")
            return None
        exponent = value.as_tuple().exponent
        if digits is not None and isinstance(exponent, int) and -exponent > digits:
            problem = f"{raw} has more than {digits} decimals"
            self.fault(line, field, problem, "Money is kept in millionths.")
            return None
        return value

    def choice(self, tree: Value, at: str, key: str, known: tuple[str, ...]) -> str | None:
        raw = self.text(tree, at, key)
        if raw is None or raw in known:
            return raw
        self.fault(
            self.lines[at + key], at + key, f"{raw!r} is no {key}", f"Use {', '.join(known)}."
        )
        return None

    def names(self, tree: Value, at: str, key: str) -> tuple[str, ...] | None:
        """A list of texts (or one); None where the key is absent or blank."""
        entry = tree.get(key)
        if entry is None or entry.value.kind == "null":
            return None
        items = entry.value.items if entry.value.kind == "sequence" else (entry.value,)
        found = []
        for number, item in enumerate(items):
            field = f"{at}{key}[{number}]"
            self.lines[field] = item.line
            if item.kind in ("mapping", "sequence", "null", "other"):
                problem = f"{item.kind_text} stands where text should"
                self.fault(item.line, field, problem, "Write a list of words.")
            else:
                found.append(item.raw.strip())
        return tuple(found)

    def hours(self, tree: Value, at: str) -> tuple[str, ...] | None:
        found = self.names(tree, at, "hours")
        for number, text in enumerate(found or ()):
            try:
                parse_window(text)
            except ValueError as error:
                field = f"{at}hours[{number}]"
                self.fault(self.lines[field], field, str(error), "No hours: always.")
        return found

    def options(self, tree: Value) -> tuple[tuple[str, str], ...]:
        entry = tree.get("options")
        if entry is None or entry.value.kind == "null":
            return ()
        if entry.value.kind != "mapping":
            problem = f"options is {entry.value.kind_text}, not a mapping"
            self.fault(entry.line, "options", problem, "Write name: value, or {}.")
            return ()
        found = []
        for one in entry.value.entries:
            field = f"options.{one.key}"
            self.lines[field] = one.line
            value = self.text(entry.value, "options.", one.key)
            if value is not None:
                found.append((one.key, value))
        return tuple(found)

    def status(self, tree: Value, at: str) -> OfferStatus:
        return cast(OfferStatus, self.choice(tree, at, "status", OFFER_STATUSES) or "open")

    def pools(self, tree: Value) -> list[tuple[str, Value]]:
        entry = tree.get("pools")
        if entry is None or entry.value.kind == "null":
            return []
        if entry.value.kind != "sequence":
            problem = f"pools is {entry.value.kind_text}, not a list"
            self.fault(entry.line, "pools", problem, "Write a list, each entry with a name.")
            return []
        found = []
        for number, item in enumerate(entry.value.items):
            at = f"pools[{number}]"
            self.lines[at] = item.line
            if item.kind != "mapping":
                problem = f"a pool is {item.kind_text}, not a mapping"
                self.fault(item.line, at, problem, "Begin it with - name: NAME.")
                continue
            self.keys(item, f"{at}.", POOL_KEYS)
            found.append((f"{at}.", item))
        return found

    def pool(self, tree: Value, at: str, site: _Defaults) -> PoolOffer:
        name = self.text(tree, at, "name") or ""
        try:
            check_name(name)
        except CellError as error:
            line = self.lines.get(f"{at}name", tree.line)
            self.fault(line, f"{at}name", error.problem, error.remedy)
        price = self.decimal(tree, at, "price_per_device_hour", digits=6)
        power = self.decimal(tree, at, "power_w_per_device")
        managed = self.choice(tree, at, "managed", ("true", "false"))
        hours, accounts, purposes = (
            self.hours(tree, at),
            self.names(tree, at, "accounts"),
            self.names(tree, at, "purposes"),
        )
        counts = {key: self.whole(tree, at, key) for key in COUNT_KEYS}
        return PoolOffer(
            name=name,
            status=self.status(tree, at),
            managed=None if managed is None else managed == "true",
            accelerator=self.text(tree, at, "accelerator"),
            nodes=counts["nodes"],
            devices_per_node=counts["devices_per_node"],
            cpus_per_node=counts["cpus_per_node"],
            memory_mib_per_node=counts["memory_mib_per_node"],
            power_w_per_device=None if power is None else float(power),
            price_micros_per_device_hour=None if price is None else int(price * MICROS),
            hours=site.hours if hours is None else hours,
            accounts=site.accounts if accounts is None else accounts,
            purposes=site.purposes if purposes is None else purposes,
        )


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What holds for pools that say nothing of their own."""

    hours: tuple[str, ...]
    accounts: tuple[str, ...]
    purposes: tuple[str, ...]


def read_site_file(text: str, site: str, file: str = "site.yaml") -> SiteFile:
    """The offer of ``site`` in ``text``. Raises InputFaults with every fault of the file."""
    reader = _Reader(file)
    if not text.strip():
        raise InputFaults([Fault(file, None, "", "the file is empty", "Write site: and pools:.")])
    tree, structural = read_tree(text, file)
    if tree is None or structural:
        raise InputFaults(structural)
    reader.keys(tree, "", SITE_KEYS)
    named = reader.text(tree, "", "site")
    if named != site:
        reader.fault(
            reader.lines.get("site"),
            "site",
            f"the file is of site {named!r}, this state folder of {site!r}",
            f"Write site: {site}.",
        )
    engine = reader.text(tree, "", "engine")
    if engine is None:
        reader.fault(reader.lines.get("engine"), "engine", "it is blank", "Name the engine.")
    zone = reader.text(tree, "", "time_zone") or "+00:00"
    try:
        parse_zone(zone)
    except ValueError as error:
        reader.fault(reader.lines["time_zone"], "time_zone", str(error), "Blank is UTC.")
    pue = reader.decimal(tree, "", "pue")
    defaults = _Defaults(
        reader.hours(tree, "") or (),
        reader.names(tree, "", "accounts") or (),
        reader.names(tree, "", "purposes") or (),
    )
    pools: list[PoolOffer] = []
    engine_pools: dict[str, str] = {}
    for at, value in reader.pools(tree):
        pool = reader.pool(value, at, defaults)
        if any(other.name == pool.name for other in pools):
            problem = f"two pools are called {pool.name!r}"
            reader.fault(reader.lines.get(f"{at}name"), f"{at}name", problem, "Rename one.")
        own = reader.text(value, at, "engine_pool")
        if own is not None:
            engine_pools[pool.name] = own
        pools.append(pool)
    offer = SiteOffer(
        site=site,
        engine=engine or "",
        operator=reader.text(tree, "", "operator") or "",
        pue=None if pue is None else float(pue),
        time_zone=zone,
        status=reader.status(tree, ""),
        pools=tuple(pools),
    )
    options = reader.options(tree)
    if reader.faults:
        raise InputFaults(reader.faults)
    return SiteFile(
        text=text,
        offer=offer,
        engine=offer.engine,
        options=options,
        engine_pools=engine_pools,
        lines=reader.lines,
        file=file,
    )
