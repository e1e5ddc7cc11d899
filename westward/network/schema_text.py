"""The schema as Markdown tables, for the how-to (a test holds the page to it)."""

from __future__ import annotations

from westward.network.schemas import TABLES, Attribute, table_schema


def render_schema() -> str:
    """One table per component table, ending with a newline."""
    parts = []
    for table in (*TABLES, "network"):
        title = f"### {table}.csv" if table != "network" else "### network (network.facts.csv only)"
        lines = [title, "", "| attribute | type | unit | kind | default | description |"]
        lines.append("|---|---|---|---|---|---|")
        for attribute in table_schema(table).attributes:
            if attribute.kind != "provenance":
                lines.append(_row(attribute))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _row(attribute: Attribute) -> str:
    default = "required" if attribute.required else attribute.default
    cells = (
        f"`{attribute.name}`",
        _type(attribute),
        attribute.unit,
        attribute.kind,
        default,
        attribute.description,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(attribute: Attribute) -> str:
    if attribute.choices:
        return ", ".join(attribute.choices)
    if attribute.targets:
        return "name in " + " or ".join(attribute.targets)
    if attribute.scalar is None:
        return "series"
    bounds = ""
    if attribute.minimum is not None and attribute.maximum is not None:
        bounds = f", {attribute.minimum:.10g} to {attribute.maximum:.10g}"
    return attribute.scalar + (" or series" if attribute.series else "") + bounds
