"""Reads a network folder: parse everything, check everything, then build, or nothing at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from westward.model.faults import Fault, InputFaults
from westward.model.network import Network
from westward.network.build import Builder
from westward.network.facts import Key, SeriesValues, Used, read_facts, resolve
from westward.network.folder import MANIFEST, read_files
from westward.network.manifest import UNREADABLE, Manifest, read_manifest
from westward.network.physics import check_latencies
from westward.network.schemas import FACT_TABLES, TABLES, table_schema
from westward.network.series import check_series_facts, read_series
from westward.network.tables import Component, Table, check_references, read_table
from westward.network.targets import Target, build_targets, check_targets
from westward.network.values import CellError, check_date

_SHAPES = {
    "tariff_per_kwh": "tariff_multiplier",
    "carbon_location_g_per_kwh": "carbon_location_multiplier",
}
"""Zone series that may be a base times a shape; series and shape together are ambiguous."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network with what the checker needs besides."""

    network: Network
    manifest: Manifest
    tables: dict[str, Table]
    used: dict[Key, Used]
    series: SeriesValues
    targets: tuple[Target, ...]


def load_network(folder: Path, *, as_of: str | None = None) -> Network:
    """The network in ``folder`` with the facts in force at ``as_of`` (None: the latest).

    ``as_of`` is a date such as 2026-01-31. Raises InputFaults with every fault of every file;
    the folder is only ever read.
    """
    return load_folder(folder, as_of=as_of).network


def load_folder(folder: Path, *, as_of: str | None = None) -> Loaded:
    """As ``load_network``, with tables, statements and targets kept for the checker."""
    faults: list[Fault] = []
    if as_of is not None:
        _check_as_of(as_of)
    read = read_files(folder, faults)
    has_manifest = MANIFEST in read.files
    manifest = read_manifest(read.files[MANIFEST], faults) if has_manifest else UNREADABLE
    sources = None if manifest.sources is None else dict(manifest.sources)
    tables = _read_tables(read.files, manifest, faults)
    check_references(tables, faults)
    series = read_series(read.files, tables, manifest.steps, faults)
    used: dict[Key, Used] = {}
    facts = []
    for table in tables.values():
        in_force, all_facts = resolve(table, series, sources, as_of, faults)
        used |= in_force
        facts += all_facts
    stated = {(fact.component, fact.name, fact.attribute) for fact in facts}
    check_series_facts(series, used, stated, faults)
    _check_shapes(tables, used, faults)
    _check_required(tables, used, stated, as_of, faults)
    check_latencies(tables["links"], used, faults)
    check_targets(tables["targets"], tables, manifest.currency, faults)
    if faults:
        raise InputFaults(faults)
    # A target is a rule of the programme and says nothing of the world.
    world = [fact for fact in facts if fact.component != "targets"]
    world.sort(key=lambda f: (f.component, f.name, f.attribute, f.valid_from))
    network = Builder(manifest, tables, used, series).network(tuple(world), read.digest)
    targets = build_targets(tables["targets"], used)
    return Loaded(network, manifest, tables, used, series, targets)


def _check_as_of(as_of: str) -> None:
    try:
        check_date(as_of)
    except CellError as error:
        raise InputFaults([Fault("as_of", None, "", error.problem, error.remedy)]) from None


def _read_tables(
    files: dict[str, str], manifest: Manifest, faults: list[Fault]
) -> dict[str, Table]:
    tables = {}
    for table in TABLES:
        file = f"{table}.csv"
        if file in files:
            tables[table] = read_table(table, files[file], manifest.currency, faults)
        else:
            # Told already if it is there but unreadable, or needed; else it simply has no rows.
            told = any(fault.file == file for fault in faults)
            tables[table] = Table(table, file, complete=not told)
    if manifest.name:
        tables["network"] = Table("network", MANIFEST)
        tables["network"].components[manifest.name] = Component(manifest.name, 1)
    for table in FACT_TABLES:
        file = f"{table}.facts.csv"
        if file in files and table in tables:
            read_facts(tables[table], file, files[file], manifest.currency, faults)
    return tables


def _check_shapes(tables: dict[str, Table], used: dict[Key, Used], faults: list[Fault]) -> None:
    for zone in tables["zones"].components.values():
        for attribute, shape in _SHAPES.items():
            base = used.get(("zones", zone.name, attribute))
            multiplier = used.get(("zones", zone.name, shape))
            if base is not None and multiplier is not None and base.value == "series":
                problem = f"{zone.name} has {attribute} as a series and {shape} as well"
                remedy = f"Keep the series, or one value for {attribute} times {shape}."
                faults.append(Fault(base.file, base.line, "value", problem, remedy))


def _check_required(
    tables: dict[str, Table],
    used: dict[Key, Used],
    stated: set[Key],
    as_of: str | None,
    faults: list[Fault],
) -> None:
    """Facts without which a component cannot be built (a pool's nodes, a place's latitude)."""
    for table in tables.values():
        for attribute in table_schema(table.name).facts:
            if not attribute.required:
                continue
            for component in table.components.values():
                key = (table.name, component.name, attribute.name)
                if key in used or _told(faults, table, component, attribute.name):
                    continue
                if table.name == "targets" and key in stated:
                    continue  # a target that is not yet in force is simply not judged
                problem = f"{component.name} has no {attribute.name}"
                remedy = f"State it: {attribute.description}."
                if key in stated:
                    problem += f" yet at {as_of}"
                    remedy = "Ask for a later date, or state what held before."
                faults.append(Fault(table.file, component.line, attribute.name, problem, remedy))


def _told(faults: list[Fault], table: Table, component: Component, attribute: str) -> bool:
    """Whether this very cell was already told as wrong."""
    place = (table.file, component.line, attribute)
    return any((f.file, f.row, f.field) == place for f in faults)
