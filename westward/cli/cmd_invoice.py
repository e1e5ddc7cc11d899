"""``westward invoice``: what a project used in a month, as a paper."""

from __future__ import annotations

from pathlib import Path

import click

from westward.cli.output import json_option, print_json, print_table
from westward.cli.server_option import server_option
from westward.cli.settlement_input import fetch_charges, month_options, month_text, read_period


@click.command(short_help="A project's month: by job, part and payer; printable HTML.")
@click.argument("project", metavar="PROJECT")
@month_options
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a printable page. A browser makes a PDF of it.",
)
@click.option(
    "--details",
    "details_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML with issuer, recipient, payment, notes (lists of lines), number and due.",
)
@server_option
@json_option
def invoice(
    project: str,
    month: str,
    utc_offset: str,
    html: Path | None,
    details_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """What PROJECT used in a month, what it cost and who pays. 'local' is the project of jobs that
    name no account.

    Before the month is over the invoice is preliminary and says so. Tax is not worked out.
    """
    from dataclasses import asdict

    from westward.cli.client import Client
    from westward.cli.cmd_export import write_file
    from westward.cli.invoice_details import read_details
    from westward.settlement.invoices import invoice as make
    from westward.settlement.money import exact_shown, rounded_shown
    from westward.settlement.page import Details, render_invoice

    period = read_period(month, utc_offset)
    details = Details() if details_file is None else read_details(details_file)
    page, charges, _ = fetch_charges(Client(server), period, project)
    paper = make(project, period, charges, page["now_ms"])
    currency = page["currency"]
    if html is not None:
        text = render_invoice(paper, details, network=page["network"], currency=currency)
        write_file(html, text.encode())
    if as_json:
        document = asdict(paper)
        del document["period"], document["pages"]
        document["by_payer"] = [
            {"payer": payer, "reason": reason, "micros": micros}
            for (payer, reason), micros in paper.by_payer.items()
        ]
        head = {name: page[name] for name in ("network", "currency", "month", "utc_offset")}
        print_json({**head, **document})
        return
    state = ", preliminary" if paper.preliminary else ""
    print(f"{project}, {month_text(period)}{state}. Amounts in {currency}.")
    rows = [
        (
            f"correction {line.dispute_id}" if line.dispute_id else line.job_name,
            line.job_id,
            line.site,
            exact_shown(line.parts["device"]),
            exact_shown(line.micros - line.parts["device"]),
            exact_shown(line.micros),
        )
        for line in paper.lines
    ]
    rows.append(("all", "", "", *(("",) * 2), exact_shown(paper.micros)))
    head_row = ("JOB", "ID", "SITE", "DEVICE TIME", "POWER, OTHER", "AMOUNT")
    print_table(head_row, rows, right=(3, 4, 5))
    for (payer, reason), micros in paper.by_payer.items():
        print(f"paid by {payer}{f' ({reason})' if reason else ''}: {exact_shown(micros)}")
    print(f"payable by {project}: {rounded_shown(paper.own_micros, currency)}")
    if html is not None:
        print(f"written: {html}")
