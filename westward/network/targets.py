"""What the network's own programme asks of it, as data: ``targets.csv``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from westward.model.faults import Fault
from westward.network.facts import Key, Used
from westward.network.schemas import suggest, table_schema
from westward.network.tables import Component, Table

LINK_COMPUTED = {"round_trip_ms": "ms", "over_theoretical": "ratio"}
"""Link attributes that are computed: twice the one-way time; one-way time over light's."""
LINK_SCOPES = ("all", "site-site", "site-place", "place-place")
BASES = ("cited", "derived", "assumption")
_Say = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One limit. ``judge_on`` says which kinds of value may decide it."""

    name: str
    label: str
    component: str
    attribute: str
    operator: str
    limit: float
    unit: str
    scope: str
    judge_on: tuple[str, ...]
    source: str
    certainty: str
    note: str

    def met_by(self, value: float) -> bool:
        return value <= self.limit if self.operator == "<=" else value >= self.limit


def parse_scope(scope: str) -> list[tuple[str, str]]:
    """``side=east;hub=A`` → pairs that must all hold; ``all`` → none."""
    if scope in ("", "all"):
        return []
    pairs = []
    for part in scope.split(";"):
        key, sign, value = part.partition("=")
        if not sign or not key.strip() or not value.strip():
            raise ValueError(part.strip())
        pairs.append((key.strip(), value.strip()))
    return pairs


def check_targets(
    targets: Table,
    tables: dict[str, Table],
    currency: str,
    faults: list[Fault],
) -> None:
    """Attribute, unit, scope and basis of each target are ones that exist."""
    for target in targets.components.values():
        values = target.values

        def say(field: str, problem: str, remedy: str, line: int = target.line) -> None:
            faults.append(Fault(targets.file, line, field, problem, remedy))

        component, attribute = str(values.get("component", "")), str(values.get("attribute", ""))
        if not component or not attribute:
            continue
        units = {a.name: a.unit_in(currency) for a in table_schema(component).facts if a.scalar}
        if component == "links":
            units |= LINK_COMPUTED
        if attribute not in units:
            problem = f"{attribute!r} is not a fact of {component}"
            say("attribute", problem, suggest(attribute, units, "facts"))
        elif values.get("unit") != units[attribute]:
            problem = (
                f"unit {values.get('unit', '')!r} where {attribute} is in {units[attribute]!r}"
            )
            say("unit", problem, "Convert the limit.")
        for basis in str(values["judge_on"]).split(";"):
            if basis.strip() not in BASES:
                say("judge_on", f"{basis.strip()!r} is not a basis", suggest(basis, BASES, "bases"))
        _check_scope(component, target, tables, say)


def _check_scope(component: str, target: Component, tables: dict[str, Table], say: _Say) -> None:
    scope = str(target.values["scope"])
    if component == "links":
        if scope not in LINK_SCOPES:
            say(
                "scope", f"{scope!r} is not a scope of links", suggest(scope, LINK_SCOPES, "scopes")
            )
        return
    if scope == "all":
        return
    if component != "sites":
        say("scope", f"{component} have no tags to choose by", "Write all.")
        return
    try:
        pairs = parse_scope(scope)
    except ValueError as error:
        say("scope", f"{str(error)!r} is not of the form tag=value", "Write for example side=east.")
        return
    if not tables["sites"].complete:
        return
    sites = tables["sites"].components.values()
    for key, value in pairs:
        have = [v for site in sites if (v := site_tag(site, key))]
        if value not in have:
            say(
                "scope", f"no site has the tag {key}={value}", suggest(value, have, f"{key} values")
            )


def site_tag(site: Component, key: str) -> str:
    return str(site.values.get(key, "") or site.tags.get(key, ""))


def build_targets(targets: Table, used: dict[Key, Used]) -> tuple[Target, ...]:
    """The checked targets, in the order of the file."""
    built = []
    for row in targets.components.values():
        limit = used.get(("targets", row.name, "value"))
        if limit is None:  # not yet in force at the asked date
            continue
        built.append(
            Target(
                name=row.name,
                label=str(row.values["label"]),
                component=str(row.values["component"]),
                attribute=str(row.values["attribute"]),
                operator=str(row.values["operator"]),
                limit=float(limit.value),
                unit=str(row.values["unit"]),
                scope=str(row.values["scope"]),
                judge_on=tuple(b.strip() for b in str(row.values["judge_on"]).split(";")),
                source=limit.fact.source,
                certainty=limit.fact.certainty,
                note=limit.fact.note,
            )
        )
    return tuple(built)
