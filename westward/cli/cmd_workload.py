"""``westward workload describe FILE`` and ``westward workload formats``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from westward.cli.output import json_option, print_json, print_table
from westward.cli.trace_options import make_trace_options, trace_options


@click.group()
def workload() -> None:
    """Look at recorded workloads."""


@workload.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--format", "kind", metavar="FMT", help="Of FILE. [found by its first line]")
@trace_options
@json_option
def describe(file: Path, kind: str | None, as_json: bool, **given: Any) -> None:
    """Show what the recorded workload FILE holds: what was read, what was dropped and why.

    gzip and tar are unpacked. A recording that is no job list (a series, a list of nodes) is
    shown with the reason; so is one that needs a figure only you can state. Wrong rows are faults,
    told all at once (exit code 2).
    """
    from westward.formats.traces import describe_file

    found = describe_file(file, kind, options=make_trace_options(**given))
    if not as_json:
        print("\n".join(found.lines))
        return
    print_json(
        {
            "name": found.name,
            "format": found.format,
            "digest": found.digest,
            "rows_read": found.rows_read,
            "jobs": found.jobs,
            "refused": list(found.refused),
            "dropped": [
                {"reason": d.reason, "rows": d.rows, "first_row": d.first_row}
                for d in found.dropped
            ],
            "notes": list(found.notes),
            "description": list(found.lines),
        }
    )


@workload.command()
@json_option
def formats(as_json: bool) -> None:
    """List the formats of recorded workloads that can be read."""
    from westward.formats.traces.registry import BY_NAME

    entries = list(BY_NAME.values())
    if as_json:
        print_json([{"name": e.name, "holds": e.holds, "needs": list(e.needs)} for e in entries])
        return
    rows = [(e.name, ", ".join(e.needs).replace("_", "-") or "-", e.holds) for e in entries]
    print_table(("FORMAT", "NEEDS", "HOLDS"), rows)
