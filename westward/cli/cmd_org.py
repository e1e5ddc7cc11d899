"""``westward org show|fact|contract``: what an organisation has shown to those who fund it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from westward.cli.cmd_people import asking, client_for, org
from westward.cli.cmd_programme import instant
from westward.cli.fail import Failure
from westward.cli.output import print_json

Json = dict[str, Any]
_YES_NO = {"yes": True, "true": True, "no": False, "false": False}


@org.command("show")
@click.argument("organisation", metavar="ORG")
@asking
def show(organisation: str, operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """Show what ORG has shown to funders, its contract and its claims."""
    answer = client_for(server, operator_file, changes=False).get(_path(organisation, "money"))
    _print(answer, as_json)


@org.command("fact")
@click.argument("organisation", metavar="ORG")
@click.argument("statement", metavar="NAME=VALUE")
@click.option("--evidence", metavar="REF", required=True, help="By what it was shown.")
@click.option("--until", metavar="TIME", help="From then on it is no longer known.")
@asking
def fact(
    organisation: str,
    statement: str,
    evidence: str,
    until: str | None,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Note what ORG has shown, such as startup=yes. For the network's operator.

    VALUE is yes, no, a whole number or a text; the same NAME again replaces it.
    """
    body = {**read_fact(statement), "evidence": evidence}
    if until is not None:
        body["until_ms"] = instant(until, "--until")
    client = client_for(server, operator_file, changes=True)
    _print(client.post(_path(organisation, "facts"), body), as_json)


@org.command("contract")
@click.argument("organisation", metavar="ORG")
@click.argument("name", metavar="CONTRACT")
@click.option("--value", metavar="AMOUNT", help="What it is worth in all.")
@click.option("--signed", metavar="TIME", help="When it was signed.")
@click.option("--start", metavar="TIME", help="When it begins.")
@click.option("--end", metavar="TIME", help="When it ends.")
@click.option("--related/--unrelated", default=None, help="Whether buyer and seller are related.")
@click.option("--fact", "facts", metavar="NAME=VALUE", multiple=True, help="Such as paid=yes.")
@click.option("--evidence", metavar="REF", default="", help="By what the facts were shown.")
@asking
def contract(
    organisation: str,
    name: str,
    value: str | None,
    signed: str | None,
    start: str | None,
    end: str | None,
    related: bool | None,
    facts: tuple[str, ...],
    evidence: str,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Set the CONTRACT under which ORG buys from now on. For the network's operator."""
    from westward.cli.amounts import read_amount

    body: Json = {"contract": name, "related": related}
    if value is not None:
        body["value_micros"] = read_amount(value, "--value")
    for key, text in (("signed", signed), ("start", start), ("end", end)):
        if text is not None:
            body[f"{key}_ms"] = instant(text, f"--{key}")
    body["facts"] = [{**read_fact(one), "evidence": evidence} for one in facts]
    client = client_for(server, operator_file, changes=True)
    _print(client.post(_path(organisation, "contracts"), body), as_json)


def read_fact(statement: str) -> Json:
    """``paid=yes`` → name and value. Raises Failure."""
    name, sign, text = (one.strip() for one in statement.partition("="))
    if not sign or not name or not text:
        raise Failure(f"{statement!r} is no NAME=VALUE. Write for example startup=yes.")
    value: bool | int | str = text
    if text.lower() in _YES_NO:
        value = _YES_NO[text.lower()]
    elif text.isascii() and text.removeprefix("-").isdigit():
        value = int(text)
    return {"name": name, "value": value}


def _path(organisation: str, *rest: str) -> str:
    from westward.cli.client import quoted

    return "/".join(["/v1/organisations", quoted(organisation), *rest])


def _value(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _print(answer: Json, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    from westward.ledger.vouchers.reasons import money
    from westward.model.units import format_instant

    def facts(listed: list[Json]) -> None:
        for one in listed:
            until = one["until_ms"]
            end = "" if until is None else f", until {format_instant(until)}"
            print(f"    {one['name']} = {_value(one['value'])}  (shown by {one['evidence']}{end})")

    print(answer["organisation"])
    print("  has shown" if answer["facts"] else "  has shown nothing")
    facts(answer["facts"])
    found = answer["contract"]
    if found is not None:
        worth = ""
        if found["value_micros"] is not None:
            worth = f", worth {money(found['value_micros'])} {answer['currency']}"
        print(f"  contract {found['id']}{worth}")
        facts(found["facts"])
    for one in answer["claims"]:
        state = "revoked" if one["revoked"] else " ".join(one["done"]) or "no steps done"
        print(f"  claim under {one['rule']}: {state}")
