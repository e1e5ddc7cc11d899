"""``westward budget show|set|add|remove``: what a project may spend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from westward.cli.cmd_people import asking, client_for
from westward.cli.output import print_json

Json = dict[str, Any]
ON_EMPTY = ("suspend", "cancel", "run-on")
_BECOMES = {
    "suspend": "running jobs that save checkpoints are suspended; others run on",
    "cancel": "running jobs are cancelled",
    "run-on": "running jobs run on, at the network's expense",
}


def transfer_id(chosen: str | None) -> str:
    """The caller's, or one made up."""
    from uuid import uuid4

    return chosen or f"cli-{uuid4().hex[:12]}"


@click.group()
def budget() -> None:
    """What a project may spend. One without a budget is billed, without a limit."""


@budget.command()
@click.argument("project", metavar="PROJECT")
@asking
def show(project: str, operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """Show what PROJECT has, what its runs hold, and what it may still spend."""
    answer = client_for(server, operator_file, changes=False).get(_path(project))
    _print(answer, as_json)


@budget.command("set")
@click.argument("project", metavar="PROJECT")
@click.option(
    "--on-empty",
    type=click.Choice(ON_EMPTY),
    default="suspend",
    show_default=True,
    help="What becomes of its running jobs when nothing is left. run-on is for the network's "
    "operator.",
)
@asking
def set_(
    project: str, on_empty: str, operator_file: Path | None, server: str | None, as_json: bool
) -> None:
    """Give PROJECT a budget: it then spends what is added to it, and no more."""
    client = client_for(server, operator_file, changes=on_empty == "run-on")
    _print(client.post(_path(project), {"on_empty": on_empty}), as_json)


@budget.command()
@click.argument("project", metavar="PROJECT")
@click.argument("amount", metavar="AMOUNT")
@click.option("--id", "chosen", metavar="ID", help="Your own id: the same again adds nothing.")
@click.option("--reason", metavar="TEXT", default="", help="Kept with the transfer.")
@asking
def add(
    project: str,
    amount: str,
    chosen: str | None,
    reason: str,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Add AMOUNT to the budget of PROJECT. For the network's operator.

    AMOUNT is in units of the network's currency, with up to six decimals: 1200.50.
    """
    from westward.cli.amounts import read_amount

    body = {
        "transfer_id": transfer_id(chosen), "amount_micros": read_amount(amount), "reason": reason,
    }  # fmt: skip
    client = client_for(server, operator_file, changes=True)
    _print(client.post(_path(project, "add"), body), as_json)


@budget.command()
@click.argument("project", metavar="PROJECT")
@asking
def remove(project: str, operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """Take the budget away: PROJECT is billed from now on. For the network's operator.

    What is left in it stays there, for another budget.
    """
    client = client_for(server, operator_file, changes=True)
    _print(client.post(_path(project, "remove")), as_json)


def _path(project: str, *rest: str) -> str:
    from westward.cli.client import quoted

    return "/".join(["/v1/budgets", quoted(project), *rest])


def _print(answer: Json, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    from westward.ledger.vouchers.reasons import money

    unit = answer["currency"]
    print(f"project {answer['project']} of organisation {answer['organisation']}")
    own, billed = answer["budget"], answer["billed"]
    if answer["on_empty"] is None:
        print("  no budget: the project is billed")
    else:
        print(f"  may still spend  {money(own['available_micros'])} {unit}")
        print(f"  held for runs    {money(own['held_micros'])}")
        print(f"  spent            {money(own['spent_micros'])}")
        print(f"  when it is empty {_BECOMES[answer['on_empty']]}")
    if answer["on_empty"] is None and own["available_micros"]:
        print(f"  left in an earlier budget {money(own['available_micros'])} {unit}")
    if billed["spent_micros"] or billed["held_micros"] or answer["on_empty"] is None:
        print(
            f"  billed           {money(billed['spent_micros'])} {unit}, "
            f"held {money(billed['held_micros'])}"
        )
