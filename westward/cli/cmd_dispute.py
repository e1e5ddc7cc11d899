"""``westward dispute``: doubts about what a run was charged."""

from __future__ import annotations

from typing import Any

import click

from westward.cli.fail import Failure
from westward.cli.output import json_option, print_json, print_table
from westward.cli.server_option import server_option
from westward.cli.settlement_input import by_option, new_id, read_amount, who

Json = dict[str, Any]
PARTS = ("device", "power", "transfer", "data", "rounding")


@click.group()
def dispute() -> None:
    """Doubt what a run was charged, answer, and close it with or without a correction.

    Until a dispute is closed, what the doubted charges earn is not payable.
    """


@dispute.command(name="open", short_help="Doubt a run's charge.")
@click.argument("run_id", metavar="RUN_ID")
@click.option("--part", type=click.Choice(PARTS), help="Only this part of its bill. [all]")
@click.option("--reason", metavar="TEXT", required=True, help="What is wrong with it.")
@click.option(
    "--id", "dispute_id", metavar="ID", help="Yours; makes a repeat harmless. [a new one]"
)
@by_option
@server_option
@json_option
def open_(
    run_id: str,
    part: str | None,
    reason: str,
    dispute_id: str | None,
    by: str,
    server: str | None,
    as_json: bool,
) -> None:
    """Doubt what the run RUN_ID was charged. 'westward why JOB --json' names a job's runs."""
    from westward.cli.client import Client

    body = {
        "dispute_id": dispute_id or new_id("dsp"),
        "run_id": run_id,
        "part": part,
        "reason": reason,
        "by": who(by),
    }
    _say(Client(server).post("/v1/disputes", body), as_json)


@dispute.command(short_help="Say what there is to say to it.")
@click.argument("dispute_id", metavar="DISPUTE")
@click.option("--text", metavar="TEXT", required=True, help="The answer.")
@by_option
@server_option
@json_option
def answer(dispute_id: str, text: str, by: str, server: str | None, as_json: bool) -> None:
    """Answer a dispute; a later answer takes the place of an earlier one."""
    from westward.cli.client import Client, quoted

    path = f"/v1/disputes/{quoted(dispute_id)}/answer"
    _say(Client(server).post(path, {"answer": text, "by": who(by)}), as_json)


@dispute.command(short_help="End it: upheld (with a correction), rejected or withdrawn.")
@click.argument("dispute_id", metavar="DISPUTE")
@click.option("--outcome", type=click.Choice(("upheld", "rejected", "withdrawn")), required=True)
@click.option(
    "--correction",
    metavar="AMOUNT",
    help="If upheld: what is added to the charge; -1.50 is taken back from whoever earned it.",
)
@click.option("--note", metavar="TEXT", default="", help="Why it ends so.")
@by_option
@server_option
@json_option
def close(
    dispute_id: str,
    outcome: str,
    correction: str | None,
    note: str,
    by: str,
    server: str | None,
    as_json: bool,
) -> None:
    """End a dispute. A correction is posted now, over the doubted charges in proportion."""
    from westward.cli.client import Client, quoted

    if (outcome == "upheld") != (correction is not None):
        raise Failure("--correction goes with --outcome upheld, and only with it.")
    body = {
        "outcome": outcome,
        "correction_micros": 0 if correction is None else read_amount(correction),
        "note": note,
        "by": who(by),
    }
    _say(Client(server).post(f"/v1/disputes/{quoted(dispute_id)}/close", body), as_json)


@dispute.command(name="list", short_help="All of them, the newest first.")
@click.option("--site", metavar="SITE", help="Of this site's runs.")
@server_option
@json_option
def list_(site: str | None, server: str | None, as_json: bool) -> None:
    """All disputes, the newest first."""
    from westward.cli.client import Client
    from westward.model.units import format_instant
    from westward.settlement.money import exact_shown

    found = Client(server).get("/v1/disputes", site=site)
    if as_json:
        print_json(found)
        return
    if not found["disputes"]:
        print("there are no disputes")
        return
    rows = [
        (
            one["dispute_id"],
            format_instant(one["opened_ms"]),
            one["outcome"] or one["state"],
            one["site"],
            one["run_id"],
            one["part"] or "all",
            exact_shown(one["correction_micros"]) if one["correction_micros"] else "-",
            one["reason"],
        )
        for one in found["disputes"]
    ]
    head = ("DISPUTE", "OPENED", "STATE", "SITE", "RUN", "PART", "CORRECTION", "REASON")
    print_table(head, rows, right=(6,))


def _say(made: Json, as_json: bool) -> None:
    from westward.settlement.money import exact_shown

    if as_json:
        print_json(made)
        return
    about = made["part"] or "all parts"
    text = f"{made['dispute_id']}: {made['run_id']} at {made['site']}, {about}: {made['state']}"
    if made["outcome"] is not None:
        text += f", {made['outcome']}"
    if made["correction_micros"]:
        text += f", correction {exact_shown(made['correction_micros'])}"
    print(text)
