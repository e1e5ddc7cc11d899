"""``westward voucher list``, ``show`` and ``check``: the voucher rules of a network, as data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from westward.cli.fail import Failure
from westward.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from westward.network.voucher_files import VoucherFolder

_network = click.option(
    "--network",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path("networks/east-west"),
    show_default=True,
    help="A network folder, or a folder of rule files.",
)


@click.group()
def voucher() -> None:
    """Voucher rules: who pays which share of what."""


@voucher.command("list")
@_network
@json_option
def list_rules(folder: Path, as_json: bool) -> None:
    """List the rules: share, cap, pot, source and grade. What is not published is blank."""
    from dataclasses import asdict

    from westward.cli.render_voucher import LIST_HEAD, LIST_RIGHT, rule_row

    found = _load(folder)
    if as_json:
        rules = [asdict(rule) for rule in found.rules]
        print_json({"currency": found.currency, "rules": rules, "sources": dict(found.sources)})
        return
    rows = [rule_row(rule) for rule in sorted(found.rules, key=lambda rule: rule.name)]
    print_table(LIST_HEAD, rows, right=LIST_RIGHT)
    print(f"Amounts in {found.currency}. Grades: A official, A- its mirror, B press, C weak.")


@voucher.command()
@click.argument("name")
@_network
@json_option
def show(name: str, folder: Path, as_json: bool) -> None:
    """Show the rule NAME: every figure with its source and grade."""
    from dataclasses import asdict

    from westward.cli.render_voucher import render_rule
    from westward.network.schemas import suggest

    found = _load(folder)
    rule = found.rule(name)
    if rule is None:
        hint = suggest(name, [one.name for one in found.rules], "rules")
        raise Failure(f"no rule {name!r} in {folder}. {hint}")
    if as_json:
        print_json(asdict(rule))
    else:
        print(render_rule(rule, dict(found.sources)), end="")


@voucher.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check the rule FILE, or every rule of the folder FILE.

    All faults are told at once, one line each (exit code 2).
    """
    from westward.network.voucher_files import check_voucher_file

    if os.path.isdir(file):
        found = _load(file)
        print(f"{len(found.rules)} rules, no faults.")
    else:
        print(f"{check_voucher_file(file).name}: no faults.")


def _load(folder: Path) -> VoucherFolder:
    from westward.network.voucher_files import load_vouchers

    found = load_vouchers(folder)
    if found is None:
        raise Failure(f"{folder} has no vouchers/. Give another network by --network.")
    return found
