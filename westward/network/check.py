"""What a reader should know before trusting a network: assumptions, blanks, physics, targets.

A network that loads is well formed; this says how much of it rests on evidence. Targets are
judged only on the kinds of value they allow: an assumed PUE cannot fulfil a PUE rule.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from westward.model.network import Fact, Network
from westward.network.facts import Used, split_sources
from westward.network.loader import Loaded, load_folder
from westward.network.physics import coordinates, theoretical_one_way_ms
from westward.network.schemas import ASSUMPTION, FACT_TABLES, SERIES_WORD, table_schema
from westward.network.tables import Component
from westward.network.targets import Target, parse_scope, site_tag

Verdict = Literal["pass", "fail", "unknown"]
Basis = Literal["cited", "derived", "assumption", "blank"]
DERIVED = "derived"
"""In the column ``certainty``: computed from sourced inputs, not itself reported by anyone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """Values chosen by the network's author for one reason, with the components they concern."""

    table: str
    attributes: tuple[str, ...]
    names: tuple[str, ...]
    of: int
    """Components in the table."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blank:
    """A fact that is not known, and for which components."""

    table: str
    attribute: str
    names: tuple[str, ...]
    of: int
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Physics:
    """Latencies held against light in fibre. A latency below it does not load at all."""

    links_checked: int
    links_not_checkable: tuple[str, ...]
    tightest_link: str
    tightest_one_way_ms: float
    tightest_light_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One component held against one target."""

    name: str
    value: float | None
    basis: Basis
    source: str
    valid_from: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """``fail`` if any component fails, else ``unknown`` if any is, else ``pass``."""

    name: str
    label: str
    operator: str
    limit: float
    unit: str
    scope: str
    source: str
    note: str
    verdict: Verdict
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUse:
    source: str
    citation: str
    facts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    network: str
    label: str
    digest: str
    as_of: str | None
    components: tuple[tuple[str, int], ...]
    devices: int
    facts: tuple[tuple[str, int], ...]
    """Facts in force by basis: cited, derived, assumption; and blank cells."""
    assumptions: tuple[Assumption, ...]
    blanks: tuple[Blank, ...]
    physics: Physics
    targets: tuple[TargetResult, ...]
    sources: tuple[SourceUse, ...]


def check_network(network: Network, folder: Path, *, as_of: str | None = None) -> CheckReport:
    """The report on a network that loads.

    Raises InputFaults where the folder no longer loads, and ValueError where it is not the one
    that ``network`` was loaded from.
    """
    loaded = load_folder(folder, as_of=as_of)
    if loaded.network.digest != network.digest:
        raise ValueError(f"{folder} has changed since network {network.name!r} was loaded")
    uses = [use for key, use in loaded.used.items() if key[0] != "targets"]
    blanks = _blanks(loaded)
    counts = Counter(basis_of(use.fact) for use in uses)
    counts["blank"] = sum(len(blank.names) for blank in blanks)
    bases: tuple[Basis, ...] = ("cited", "derived", "assumption", "blank")
    return CheckReport(
        network=network.name,
        label=network.label,
        digest=network.digest,
        as_of=as_of,
        components=tuple(
            (table, len(loaded.tables[table].components))
            for table in FACT_TABLES
            if table != "network"
        ),
        devices=sum(pool.nodes * pool.devices_per_node for pool in network.pools),
        facts=tuple((basis, counts[basis]) for basis in bases),
        assumptions=_assumptions(loaded),
        blanks=blanks,
        physics=_physics(loaded),
        targets=tuple(_judge(target, loaded) for target in loaded.targets),
        sources=_sources(loaded),
    )


def basis_of(fact: Fact) -> Basis:
    if fact.assumption:
        return "assumption"
    return "derived" if fact.certainty == DERIVED else "cited"


def _assumptions(loaded: Loaded) -> tuple[Assumption, ...]:
    """Assumptions with one reason and one set of attributes are told together."""
    per_component: dict[tuple[str, str, str], list[str]] = {}
    for (table, name, attribute), use in loaded.used.items():
        if use.fact.source == ASSUMPTION:
            per_component.setdefault((table, use.fact.note, name), []).append(attribute)
    groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (table, reason, name), attributes in per_component.items():
        groups.setdefault((table, reason, tuple(attributes)), []).append(name)
    return tuple(
        Assumption(
            table=table,
            attributes=attributes,
            names=tuple(sorted(names)),
            of=len(loaded.tables[table].components),
            reason=reason,
        )
        for (table, reason, attributes), names in sorted(groups.items(), key=_group_order)
    )


def _group_order(
    group: tuple[tuple[str, str, tuple[str, ...]], list[str]],
) -> tuple[int, tuple[str, ...], str, list[str]]:
    (table, reason, attributes), names = group
    order = (*FACT_TABLES, "targets").index(table)
    return order, attributes, reason, names


def _blanks(loaded: Loaded) -> tuple[Blank, ...]:
    blanks = []
    for table in FACT_TABLES:
        components = loaded.tables[table].components
        for attribute in table_schema(table).facts:
            if attribute.scalar is None:  # without a shape, a value holds at every hour
                continue
            names = tuple(
                name
                for name in sorted(components)
                if (table, name, attribute.name) not in loaded.used
            )
            if names:
                blanks.append(
                    Blank(
                        table=table,
                        attribute=attribute.name,
                        names=names,
                        of=len(components),
                        description=attribute.description,
                    )
                )
    return tuple(blanks)


def _physics(loaded: Loaded) -> Physics:
    checked = 0
    unknown: list[str] = []
    tightest = ("", 0.0, 0.0)
    for link in loaded.tables["links"].components.values():
        ratio, _ = _link_value(loaded, link, "over_theoretical")
        use = loaded.used.get(("links", link.name, "one_way_ms"))
        if ratio is None or use is None:
            unknown.append(link.name)
            continue
        checked += 1
        value = float(use.value)
        light = value / ratio
        if not tightest[0] or value - light < tightest[1] - tightest[2]:
            tightest = (link.name, value, light)
    return Physics(
        links_checked=checked,
        links_not_checkable=tuple(sorted(unknown)),
        tightest_link=tightest[0],
        tightest_one_way_ms=tightest[1],
        tightest_light_ms=tightest[2],
    )


def _judge(target: Target, loaded: Loaded) -> TargetResult:
    judged = []
    for component in _in_scope(target, loaded):
        if target.component == "links":
            value, use = _link_value(loaded, component, target.attribute)
        else:
            use = loaded.used.get((target.component, component.name, target.attribute))
            known = use is not None and use.value != SERIES_WORD
            value = float(use.value) if use is not None and known else None
        basis: Basis = "blank" if value is None or use is None else basis_of(use.fact)
        verdict: Verdict = "unknown"
        if value is not None and basis in target.judge_on:
            verdict = "pass" if target.met_by(value) else "fail"
        judged.append(
            Judged(
                name=component.name,
                value=value,
                basis=basis,
                source=use.fact.source if use is not None else "",
                valid_from=use.fact.valid_from if use is not None else "",
                verdict=verdict,
            )
        )
    verdicts = {item.verdict for item in judged}
    overall: Verdict = "pass"
    if "fail" in verdicts:
        overall = "fail"
    elif "unknown" in verdicts or not judged:
        overall = "unknown"
    return TargetResult(
        name=target.name,
        label=target.label,
        operator=target.operator,
        limit=target.limit,
        unit=target.unit,
        scope=target.scope,
        source=target.source,
        note=target.note,
        verdict=overall,
        judged=tuple(judged),
    )


def _in_scope(target: Target, loaded: Loaded) -> list[Component]:
    components = loaded.tables[target.component].components
    ordered = [components[name] for name in sorted(components)]
    if target.scope == "all":
        return ordered
    if target.component == "links":
        wanted = sorted(target.scope.split("-"))
        return [link for link in ordered if _end_kinds(loaded, link) == wanted]
    pairs = parse_scope(target.scope)
    return [site for site in ordered if all(site_tag(site, key) == v for key, v in pairs)]


def _end_kinds(loaded: Loaded, link: Component) -> list[str]:
    sites = loaded.tables["sites"].components
    return sorted("site" if link.values[end] in sites else "place" for end in ("a", "b"))


def _link_value(
    loaded: Loaded, link: Component, attribute: str
) -> tuple[float | None, Used | None]:
    """A link's stated or computed figure, and the statement it rests on."""
    stated = {"round_trip_ms": "one_way_ms", "over_theoretical": "one_way_ms"}
    use = loaded.used.get(("links", link.name, stated.get(attribute, attribute)))
    if use is None:
        return None, None
    value = float(use.value)
    if attribute == "round_trip_ms":
        return 2 * value, use
    if attribute == "over_theoretical":
        a, b = (coordinates(loaded.used, str(link.values[end])) for end in ("a", "b"))
        light = theoretical_one_way_ms(a, b)
        return (value / light if light else None), use
    return value, use


def _sources(loaded: Loaded) -> tuple[SourceUse, ...]:
    counts: Counter[str] = Counter()
    for use in loaded.used.values():
        if not use.fact.assumption:
            counts.update(split_sources(use.fact.source))
    return tuple(
        SourceUse(source=source, citation=citation, facts=counts[source])
        for source, citation in loaded.network.sources
    )
