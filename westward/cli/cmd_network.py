"""``westward network check DIR``."""

from __future__ import annotations

from pathlib import Path

import click

from westward.cli.output import json_option, print_json


@click.group()
def network() -> None:
    """Check a network folder."""


@network.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--as-of", metavar="DATE", help="Use the facts in force on this day (2026-01-31). [latest]"
)
@json_option
def check(folder: Path, as_of: str | None, as_json: bool) -> None:
    """Check the network folder DIR and say how far it can be trusted.

    All faults are told at once, one line each: file, row, field, problem, remedy (exit code 2);
    those of its voucher rules once the tables have none.
    A folder without faults is held against physics and the programme's own targets, and its
    assumptions and blanks are listed. Targets that fail are findings, not faults: exit code 0.
    """
    from dataclasses import asdict

    from westward.network.check import check_network
    from westward.network.check_text import render_check
    from westward.network.loader import load_network
    from westward.network.voucher_files import load_vouchers

    report = check_network(load_network(folder, as_of=as_of), folder, as_of=as_of)
    load_vouchers(folder)  # for its faults
    if as_json:
        print_json(asdict(report))
    else:
        print(render_check(report), end="")
