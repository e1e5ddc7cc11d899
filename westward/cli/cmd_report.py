"""``westward report``, and the table that ``make run`` ends with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from westward.cli.output import json_option, print_json, print_table
from westward.cli.server_option import server_option


@click.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=1000,
    show_default=True,
    help="The newest N jobs.",
)
@server_option
@json_option
def report(limit: int, server: str | None, as_json: bool) -> None:
    """List finished jobs: where and why there, wait, run time, energy, carbon, price.

    Prices are for metered device time and power. Energy is estimated: declared power per device
    times metered device time times PUE.
    """
    from westward.cli.client import Client

    answer = Client(server).get("/v1/report", limit=limit)
    if as_json:
        print_json(answer)
        return
    if not answer["jobs"]:
        print("no job has finished yet")
        return
    print_report(answer["jobs"], answer["currency"])
    print(footer(answer))


def footer(answer: dict[str, Any]) -> str:
    """What the numbers of a report are: estimates say so, and carbon says by which method."""
    return f"energy is {answer['energy_is']}; carbon is location-based"


def print_report(jobs: Sequence[dict[str, Any]], currency: str) -> None:
    """One row a job and a row of sums; job, site, why there, wait, run, energy, carbon, price."""
    from westward.cli.plain_table import enough_digits, fixed

    digits = enough_digits([job["price_micros"] / 1_000_000 for job in jobs])
    rows = [
        (
            job["name"],
            job["state"],
            job["site"] or "-",
            _span(job["wait_ms"]),
            _span(job["run_ms"]),
            f"{job['energy_kwh']:.3g}",
            "unknown" if job["carbon_location_g"] is None else f"{job['carbon_location_g']:.3g}",
            fixed(job["price_micros"] / 1_000_000, digits),
            job["why"],
        )
        for job in jobs
    ]
    grams = [job["carbon_location_g"] for job in jobs]
    known = [gram for gram in grams if gram is not None]
    rows.append(
        (
            "all",
            f"{sum(job['state'] == 'succeeded' for job in jobs)} of {len(jobs)}",
            "",
            "",
            "",
            f"{sum(job['energy_kwh'] for job in jobs):.3g}",
            f"{sum(known):.3g}" + ("" if len(known) == len(grams) else "+"),
            fixed(sum(job["price_micros"] for job in jobs) / 1_000_000, digits),
            "",
        )
    )
    head = ("JOB", "STATE", "SITE", "WAIT", "RUN", "KWH", "G CO2", f"PRICE {currency}", "WHY THERE")
    print_table(head, rows, right=(3, 4, 5, 6, 7))


def _span(span_ms: int | None) -> str:
    from westward.model.units import format_duration

    return "-" if span_ms is None else format_duration(round(span_ms, -2))
