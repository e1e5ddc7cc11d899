"""``westward programme``: the pots of voucher rules, whom they admit, and each claim's steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from westward.cli.cmd_budget import transfer_id
from westward.cli.cmd_people import asking, client_for
from westward.cli.fail import Failure
from westward.cli.output import print_json, print_table

Json = dict[str, Any]
STEPS = ("claim", "approve", "hold", "use", "settle", "redeem")


@click.group()
def programme() -> None:
    """Programmes: voucher rules with money in their pots.

    A rule pays for the organisations that its programme has admitted, from what was paid into its
    pot. What the rules say: westward voucher.
    """


@programme.command("list")
@asking
def list_programmes(operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """List the programmes; for their funders and who oversees the network with their pots."""
    answer = client_for(server, operator_file, changes=False).get("/v1/programmes")
    if as_json:
        print_json(answer)
        return
    if not answer["programmes"]:
        print("The network has no voucher rules.")
        return
    from westward.ledger.vouchers.reasons import money, percent

    rows, due = [], []
    for one in answer["programmes"]:
        due += [(one["rule"], year) for year in one["due_years"] or ()]
        pot = one["pot"]
        seen = ("", "", "", "")
        if pot is not None:
            seen = (
                money(pot["paid_in_micros"]), money(pot["spent_micros"]),
                money(pot["available_micros"]), str(len(one["admitted"])),
            )  # fmt: skip
        share = "" if one["share_ppm"] is None else percent(one["share_ppm"])
        rows.append((one["rule"], share, str(one["year"]), *seen))
    head = ("PROGRAMME", "PAYS", "YEAR", "PAID IN", "SPENT", "LEFT", "ADMITTED")
    print_table(head, rows, right=(1, 3, 4, 5, 6))
    print(f"Amounts in {answer['currency']}.")
    for rule, year in due:
        print(
            f"Due: share out {rule} {year}: westward programme close-year {rule} {year} --dry-run"
        )


@programme.command("close-year")
@click.argument("rule", metavar="RULE")
@click.argument("year", metavar="YEAR", type=click.IntRange(2000, 2199))
@click.option("--dry-run", is_flag=True, help="Show what would be paid, and post nothing.")
@asking
def close_year(
    rule: str,
    year: int,
    dry_run: bool,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Share the pot of RULE out among those entitled in YEAR. For its funder.

    For rules that pay pro rata at the year's end: everyone the same part, whoever came first. It is
    posted once; a second time shows what was done.
    """
    client = client_for(server, operator_file, changes=True)
    answer = client.post(_path(rule, "years", str(year), "close"), {"dry_run": dry_run})
    if as_json:
        print_json(answer)
        return
    from westward.ledger.vouchers.reasons import money

    if answer["entitled_micros"] is not None:
        pot = answer["pot_micros"]
        print(
            f"{rule} {year}: entitled to {money(answer['entitled_micros'])}, "
            + ("no limit" if pot is None else f"{money(pot)} in the pot")
        )
    _print_parts(answer, "ACCOUNT", "GETS")
    paid = money(answer["paid_micros"])
    if answer["repeated"]:
        print(f"Shared out before: {paid}. Nothing was changed.")
    elif answer["posted"]:
        print(f"Shared out: {paid}.")
    else:
        print(f"To be shared out: {paid}. Nothing was posted.")
        if answer["not_yet"]:
            print(f"Not yet: {answer['not_yet']['text']}.")


@programme.command("claw-back")
@click.argument("rule", metavar="RULE")
@click.argument("organisation", metavar="ORG")
@click.option("--amount", metavar="AMOUNT", help="So much of it. [all that RULE paid]")
@click.option("--reason", metavar="TEXT", required=True, help="Kept with every transfer.")
@click.option(
    "--evidence", "shown", metavar="KIND=REF", multiple=True, required=True,
    help="What shows it and where it can be read; repeatable.",
)  # fmt: skip
@click.option("--id", "chosen", metavar="ID", help="Your own id: the same again changes nothing.")
@click.option("--dry-run", is_flag=True, help="Show what would be taken, and post nothing.")
@asking
def claw_back(
    rule: str,
    organisation: str,
    amount: str | None,
    reason: str,
    shown: tuple[str, ...],
    chosen: str | None,
    dry_run: bool,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Take what RULE has paid for ORG back into its pots. For its funder.

    New transfers with the reason; nothing is edited. The projects of ORG owe it, and RULE pays for
    ORG no more.
    """
    from westward.cli.amounts import read_amount
    from westward.ledger.vouchers.reasons import money

    body: Json = {
        "claw_back_id": transfer_id(chosen), "reason": reason, "dry_run": dry_run,
        "evidence": [_evidence(one) for one in shown],
    }  # fmt: skip
    if amount is not None:
        body["amount_micros"] = read_amount(amount, "--amount")
    client = client_for(server, operator_file, changes=True)
    answer = client.post(_claim_path(rule, organisation, "claw-back"), body)
    if as_json:
        print_json(answer)
        return
    _print_parts(answer, "ACCOUNT", "OWES")
    taken = money(answer["taken_micros"])
    if answer["repeated"]:
        print(f"Taken back before: {taken}. Nothing was changed.")
    elif answer["posted"]:
        print(f"Taken back: {taken}; {money(answer['left_micros'])} stay with {organisation}.")
    else:
        print(f"To be taken back: {taken}. Nothing was posted.")


def _print_parts(answer: Json, who: str, what: str) -> None:
    from westward.ledger.vouchers.reasons import money

    rows = [(one["account"], one["pot"], money(one["micros"])) for one in answer["parts"]]
    print_table((who, "POT", what), rows, right=(2,))


@programme.command()
@click.argument("rule", metavar="RULE")
@click.option("--amount", metavar="AMOUNT", required=True, help="Such as 1000000 or 0.25.")
@click.option("--year", type=int, help="Whose pot. [this year]")
@click.option("--id", "chosen", metavar="ID", help="Your own id: the same again adds nothing.")
@click.option("--reason", metavar="TEXT", default="", help="Kept with the transfer.")
@asking
def fund(
    rule: str,
    amount: str,
    year: int | None,
    chosen: str | None,
    reason: str,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Pay money into the pot of RULE. For its funder or the network's operator."""
    from westward.cli.amounts import read_amount
    from westward.ledger.vouchers.reasons import money

    body = {
        "transfer_id": transfer_id(chosen), "amount_micros": read_amount(amount, "--amount"),
        "year": year, "reason": reason,
    }  # fmt: skip
    answer = client_for(server, operator_file, changes=True).post(_path(rule, "fund"), body)
    if as_json:
        print_json(answer)
        return
    print(
        f"{rule} {answer['year']}: paid in {money(answer['paid_in_micros'])}, "
        f"left {money(answer['available_micros'])}"
    )


@programme.command()
@click.argument("rule", metavar="RULE")
@asking
def forecast(rule: str, operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """Tell when the pot of RULE runs dry: a simulation from the spend of the last weeks."""
    answer = client_for(server, operator_file, changes=False).get(_path(rule, "forecast"))
    if as_json:
        print_json(answer)
        return
    from westward.ledger.vouchers.reasons import money

    print(f"{rule} {answer['year']}: {money(answer['left_micros'])} {answer['currency']} left")
    found = answer["simulation"]
    if found is None:
        print(
            f"  no forecast: {answer['past_days']} whole days are past, "
            f"{answer['past_days_least']} are needed"
        )
        return
    mean = money(found["mean_micros_per_day"])
    print(f"  spent a day      {mean} on average, over {answer['past_days']} days")
    if found["dry_share"] == 0:
        print(f"  it lasts the year in every draw (last day {answer['last_day']})")
    else:
        late = f"after {answer['last_day']}"
        print(f"  runs dry         {found['median_day'] or late}")
        low, high = found["low_day"] or late, found["high_day"] or late
        print(f"  four draws of five  {low} to {high}")
        print(f"  dry this year in {found['dry_share']:.0%} of the draws")
    print(f"A simulation of {found['draws']:,} draws: spend as in the weeks before, no promise.")


@programme.command()
@click.argument("rule", metavar="RULE")
@click.argument("organisation", metavar="ORG")
@asking
def admit(
    rule: str, organisation: str, operator_file: Path | None, server: str | None, as_json: bool
) -> None:
    """Let RULE pay for the jobs of ORG, as far as its steps allow."""
    client = client_for(server, operator_file, changes=True)
    _print_claim(client.post(_claim_path(rule, organisation)), as_json)


@programme.command()
@click.argument("rule", metavar="RULE")
@click.argument("organisation", metavar="ORG")
@asking
def revoke(
    rule: str, organisation: str, operator_file: Path | None, server: str | None, as_json: bool
) -> None:
    """Let RULE pay for ORG no more. What was paid stays paid."""
    client = client_for(server, operator_file, changes=True)
    _print_claim(client.post(_claim_path(rule, organisation, "revoke")), as_json)


@programme.command()
@click.argument("rule", metavar="RULE")
@click.argument("organisation", metavar="ORG", required=False)
@asking
def claims(
    rule: str,
    organisation: str | None,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Show the claims under RULE, or that of ORG with its evidence."""
    client = client_for(server, operator_file, changes=False)
    if organisation is not None:
        _print_claim(client.get(_claim_path(rule, organisation)), as_json)
        return
    answer = client.get(_path(rule, "claims"))
    if as_json:
        print_json(answer)
        return
    rows = [
        (one["entity"], " ".join(one["done"]) or "none", _next(one)) for one in answer["claims"]
    ]
    print_table(("ORGANISATION", "STEPS DONE", "NEXT"), rows)


@programme.command()
@click.argument("rule", metavar="RULE")
@click.argument("organisation", metavar="ORG")
@click.argument("name", metavar="STEP", type=click.Choice(STEPS))
@click.option(
    "--evidence", "shown", metavar="KIND=REF", multiple=True,
    help="What is shown for it and where it can be read; repeatable.",
)  # fmt: skip
@click.option("--approved", metavar="AMOUNT", help="At approve: at most so much is paid.")
@click.option("--hours", type=click.IntRange(0, 10**9), help="At approve: device-hours, no more.")
@click.option("--until", metavar="TIME", help="At approve: later use is not paid.")
@asking
def step(
    rule: str,
    organisation: str,
    name: str,
    shown: tuple[str, ...],
    approved: str | None,
    hours: int | None,
    until: str | None,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Take the next STEP of the claim of ORG, with what the rule wants shown for it.

    approve, hold and redeem are for the funder; the others also for a lead of a project of ORG.
    """
    from westward.cli.amounts import read_amount
    from westward.model.units import MS_PER_HOUR

    if name != "approve" and (approved or hours is not None or until):
        raise Failure("--approved, --hours and --until go with the step approve only.")
    body: Json = {"step": name, "evidence": [_evidence(one) for one in shown]}
    if approved is not None:
        body["approved_micros"] = read_amount(approved, "--approved")
    if hours is not None:
        body["approved_device_ms"] = hours * MS_PER_HOUR
    if until is not None:
        body["expires_ms"] = instant(until, "--until")
    client = client_for(server, operator_file, changes=True)
    _print_claim(client.post(_claim_path(rule, organisation, "steps"), body), as_json)


def instant(text: str, option: str) -> int:
    """An ISO time with its offset."""
    import time

    from westward.model.units import parse_instant_ms

    try:
        return parse_instant_ms(text, time.time_ns() // 1_000_000)
    except ValueError as error:
        raise Failure(f"{option}: {error}.") from None


def _evidence(text: str) -> Json:
    kind, sign, reference = text.partition("=")
    if not sign or not kind.strip() or not reference.strip():
        raise Failure(f"--evidence {text!r} is no KIND=REF. Write for example invoice=INV-7.")
    return {"kind": kind.strip(), "reference": reference.strip()}


def _path(rule: str, *rest: str) -> str:
    from westward.cli.client import quoted

    return "/".join(["/v1/programmes", quoted(rule), *rest])


def _claim_path(rule: str, organisation: str, *rest: str) -> str:
    from westward.cli.client import quoted

    return _path(rule, "claims", quoted(organisation), *rest)


def _next(claim: Json) -> str:
    if claim["revoked"]:
        return "revoked"
    if claim["next_step"] is None:
        return "all done" if claim["steps"] else "no steps are published"
    wanted = f" (with {', '.join(claim['next_evidence'])})" if claim["next_evidence"] else ""
    return f"{claim['next_step']}{wanted}"


def _print_claim(claim: Json, as_json: bool) -> None:
    if as_json:
        print_json(claim)
        return
    from westward.ledger.vouchers.reasons import money
    from westward.model.units import format_instant

    print(f"{claim['entity']} under {claim['rule']}")
    print(f"  done   {' '.join(claim['done']) or 'none'}")
    print(f"  next   {_next(claim)}")
    if claim["approved_micros"] is not None:
        print(f"  approved {money(claim['approved_micros'])}")
    if claim["expires_ms"] is not None:
        print(f"  until  {format_instant(claim['expires_ms'])}")
    for one in claim["evidence"]:
        print(f"  {one['step']}: {one['kind']} {one['reference']}")
