"""``westward statement``: who earned what in a month, and what was paid."""

from __future__ import annotations

from typing import Any

import click

from westward.cli.output import json_option, print_json, print_table
from westward.cli.server_option import server_option
from westward.cli.settlement_input import (
    by_option,
    month_options,
    month_text,
    new_id,
    read_amount,
    read_period,
    who,
)

Json = dict[str, Any]


@click.group()
def statement() -> None:
    """Who earned what in a month, what was paid, what is owed.

    Amounts are exact: six decimals, as in the bills.
    """


@statement.command(short_help="What a site earned, was paid and is owed.")
@click.argument("name", metavar="SITE")
@month_options
@server_option
@json_option
def site(name: str, month: str, utc_offset: str, server: str | None, as_json: bool) -> None:
    """What SITE earned, was paid and is owed; what is disputed is not payable yet."""
    from westward.cli.client import quoted

    _show(f"/v1/sites/{quoted(name)}/statement", month, utc_offset, server, as_json)


@statement.command(short_help="The same of any account that earns.")
@click.argument("name", metavar="ACCOUNT")
@month_options
@server_option
@json_option
def account(name: str, month: str, utc_offset: str, server: str | None, as_json: bool) -> None:
    """The same of network-power, network-links, rounding, data-owner:NAME or site:NAME."""
    from westward.cli.client import quoted

    _show(f"/v1/statements/{quoted(name)}", month, utc_offset, server, as_json)


def _show(path: str, month: str, utc_offset: str, server: str | None, as_json: bool) -> None:
    from westward.cli.client import Client
    from westward.settlement.periods import local_text

    period = read_period(month, utc_offset)
    found = Client(server).get(path, month=period.name, utc_offset=period.offset)
    if as_json:
        print_json(found)
        return
    state = "" if found["over"] else ", so far (the month is not over)"
    print(f"{found['earner']}, {month_text(period)}{state}. Amounts in {found['currency']}.")
    print_table(
        ("", "AMOUNT"),
        [
            ("opening", _money(found["opening_micros"])),
            ("+ earned", _money(found["earned_micros"])),
            ("+ corrected", _money(found["corrected_micros"])),
            ("- paid", _money(found["paid_micros"])),
            ("= closing", _money(found["closing_micros"])),
            ("of it disputed", _money(found["disputed_micros"])),
            ("payable", _money(found["payable_micros"])),
        ],
        right=(1,),
    )
    if found["charges"]:
        print()
        head = ("POSTED", "JOB", "RUN", "PART", "KIND", "AMOUNT", "PROJECT")
        print_table(
            head,
            [
                (
                    local_text(one["posted_ms"], period.offset_minutes),
                    one["job_name"],
                    one["run_id"],
                    one["part"],
                    one["kind"],
                    _money(one["micros"]),
                    one["project"],
                )
                for one in found["charges"]
                if one["earner"] == found["earner"]
            ],
            right=(5,),
        )
    for one in found["payouts"]:
        at = local_text(one["paid_ms"], period.offset_minutes)
        print(f"paid {at}: {_money(one['micros'])}, {one['payout_id']} {one['reference']}".rstrip())
    for one in found["disputes"]:
        about = one["part"] or "all parts"
        print(f"dispute {one['dispute_id']} ({one['state']}): {one['run_id']}, {about}")


@statement.command(short_help="Every sum of a month, and whether they agree.")
@month_options
@server_option
@json_option
def month(month: str, utc_offset: str, server: str | None, as_json: bool) -> None:
    """Every sum of a month: by who earns, who pays, project and part of the bills.

    Each column of sums is added up again here; exit code 1 if one is not the bills' total.
    """
    from westward.cli.client import Client
    from westward.cli.fail import Failure

    period = read_period(month, utc_offset)
    found = Client(server).get("/v1/settlement", month=period.name, utc_offset=period.offset)
    groups = ("by_earner", "by_project", "by_payer", "by_part")
    due = found["bills_micros"] + found["corrections_micros"]
    wrong = [name for name in groups if sum(found[name].values()) != due]
    if as_json:
        print_json(found)
    else:
        print(f"{month_text(period)}: {found['runs']} bills. Amounts in {found['currency']}.")
        rows = [
            (name.removeprefix("by_"), key, _money(micros))
            for name in groups
            for key, micros in found[name].items()
        ]
        rows.append(("bills", "", _money(found["bills_micros"])))
        rows.append(("corrections", "", _money(found["corrections_micros"])))
        print_table(("BY", "NAME", "AMOUNT"), rows, right=(2,))
    if wrong:
        raise Failure(f"these do not add up to the bills: {', '.join(wrong)}", code=1)


@statement.command(short_help="Note that an account was paid.")
@click.argument("name", metavar="ACCOUNT")
@click.argument("amount", metavar="AMOUNT")
@click.option("--reference", metavar="TEXT", default="", help="Of the bank.")
@click.option("--id", "payout_id", metavar="ID", help="Yours; makes a repeat harmless. [a new one]")
@by_option
@server_option
@json_option
def pay(
    name: str,
    amount: str,
    reference: str,
    payout_id: str | None,
    by: str,
    server: str | None,
    as_json: bool,
) -> None:
    """Note that ACCOUNT (site:NAME, network-power, …) was paid AMOUNT: 12.50.

    Not more than is owed to it and not disputed. No money is moved by this.
    """
    from westward.cli.client import Client

    body = {
        "payout_id": payout_id or new_id("pay"),
        "earner": name,
        "micros": read_amount(amount),
        "reference": reference,
        "by": who(by),
    }
    made = Client(server).post("/v1/payouts", body)
    if as_json:
        print_json(made)
        return
    verb = "noted" if made["created"] else "noted before:"
    print(f"{verb} {made['payout_id']}: {_money(made['micros'])} to {made['earner']}")


def _money(micros: int) -> str:
    from westward.settlement.money import exact_shown

    return exact_shown(micros)
