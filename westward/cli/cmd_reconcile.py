"""``westward reconcile``: meter, engine and bill of a site's runs, difference by difference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from westward.cli.fail import EXIT_JOB, EXIT_OK, Failure
from westward.cli.output import json_option, print_json, print_table
from westward.cli.server_option import server_option
from westward.cli.settlement_input import month_options, month_text, read_period

if TYPE_CHECKING:
    from westward.settlement.reconcile import Finding, Reconciliation

Json = dict[str, Any]


@click.command(short_help="Compare a site's meter, engine and bills, run by run.")
@click.option("--site", metavar="SITE", required=True)
@month_options
@click.option(
    "--sacct",
    "sacct_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What 'sacct --parsable2' says of the site, with JobID, JobName, State, Submit, Start, "
    "End, ElapsedRaw, AllocTRES.",
)
@click.option(
    "--tolerance",
    metavar="SPAN",
    default="2s",
    show_default=True,
    help="What an engine may count before the meter starts and after it ends, a second of its "
    "counting aside.",
)
@click.option("--all", "show_all", is_flag=True, help="Also show what is tolerated.")
@server_option
@json_option
@click.pass_context
def reconcile(
    ctx: click.Context,
    site: str,
    month: str,
    utc_offset: str,
    sacct_file: Path | None,
    tolerance: str,
    show_all: bool,
    server: str | None,
    as_json: bool,
) -> int:
    """Compare the meter of every run of a site with what the engine says, the bill and the ledger.

    Each difference is named, with its size: tolerated, explained, or open. Exit code 1 if one is
    open.
    """
    from westward.cli.client import Client, quoted
    from westward.model.units import parse_duration_ms
    from westward.settlement.engine_rows import read_sacct
    from westward.settlement.reconcile import RunFacts
    from westward.settlement.reconcile import reconcile as compare

    period = read_period(month, utc_offset)
    try:
        tolerance_ms = parse_duration_ms(tolerance)
    except ValueError as error:
        raise Failure(f"--tolerance: {error}.") from None
    rows = None
    if sacct_file is not None:
        rows = read_sacct(_text(sacct_file), str(sacct_file), period.offset_minutes)
    client = Client(server)
    runs: list[RunFacts] = []
    after: int | None = None
    while True:
        page = client.get(
            f"/v1/sites/{quoted(site)}/reconciliation",
            month=period.name,
            utc_offset=period.offset,
            after=after,
        )
        runs += [
            RunFacts(**{**one, "disputes_closed": tuple(one["disputes_closed"])})
            for one in page["runs"]
        ]
        after = page["next"]
        if after is None:
            break
    posted = {one.run_id: one.posted_micros for one in runs if one.posted_micros is not None}
    found = compare(runs, rows, posted, tolerance_ms=tolerance_ms)
    if as_json:
        print_json(_document(found, page, site))
    else:
        print(f"{site}, {month_text(period)}: {_counts(found, page['currency'])}")
        shown = [one for one in found.findings if show_all or one.verdict != "tolerated"]
        if shown:
            _print(shown, page["currency"])
        print(_verdict(found))
    return EXIT_JOB if found.open else EXIT_OK


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise Failure(f"{path} cannot be read ({what}). Export it anew with sacct.") from None


def _counts(found: Reconciliation, currency: str) -> str:
    from westward.settlement.money import exact_shown

    text = (
        f"{found.runs} runs, {found.metered} metered, {found.billed} billed "
        f"{exact_shown(found.bill_micros)} {currency}"
    )
    if found.engine_compared is None:
        text += "; the engine's account was not given (--sacct FILE)"
    else:
        text += (
            f"; {found.engine_compared} found in the engine's account: metered "
            f"{found.metered_ms / 1000:.3f} s, engine {found.engine_ms / 1000:.3f} s"
            f"; {found.engine_others} other jobs of the engine left out"
        )
    if not found.ledger_compared:
        text += "; not compared with a ledger"
    return text


def _print(findings: list[Finding], currency: str) -> None:
    from westward.settlement.money import exact_shown

    head = ("JOB", "RUN", "BETWEEN", "VERDICT", "DIFFERENCE", "SECONDS", currency, "WHAT")
    rows = [
        (
            one.job_name or "-",
            one.run_id,
            one.between,
            one.verdict,
            one.code,
            "-" if one.size_ms is None else f"{one.size_ms / 1000:+.3f}",
            "-" if one.size_micros is None else exact_shown(one.size_micros),
            one.text,
        )
        for one in findings
    ]
    print_table(head, rows, right=(5, 6))


def _verdict(found: Reconciliation) -> str:
    by = dict.fromkeys(("tolerated", "explained", "open"), 0)
    for one in found.findings:
        by[one.verdict] += 1
    if not found.findings:
        return "no differences"
    return ", ".join(f"{count} {name}" for name, count in by.items())


def _document(found: Reconciliation, page: Json, site: str) -> Json:
    from dataclasses import asdict

    head = {name: page[name] for name in ("network", "currency", "month", "utc_offset")}
    return {**head, "site": site, **asdict(found), "open": len(found.open)}
