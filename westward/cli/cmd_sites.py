"""``westward sites``."""

from __future__ import annotations

from typing import Any

import click

from westward.cli.output import json_option, print_json, print_table
from westward.cli.server_option import server_option
from westward.model.units import format_duration


@click.command()
@server_option
@json_option
def sites(server: str | None, as_json: bool) -> None:
    """List the sites: pools, free devices, and what they cost and emit at this hour."""
    from westward.cli.client import Client

    answer = Client(server).get("/v1/sites")
    if as_json:
        print_json(answer)
        return
    currency = answer["currency"]
    head: tuple[str, ...] = (
        "SITE", "POOL", "STATUS", "ENGINE", "ACCELERATOR", "FREE", "OF", "RUNS", "WAIT",
        f"{currency}/DEVICE-H", f"NOW {currency}/KWH", "NOW G CO2/KWH", "PUE",
    )  # fmt: skip
    pools = [(site, pool) for site in answer["sites"] for pool in site["pools"]]
    rows = [_row(site, pool) for site, pool in pools]
    own_queues = not all(pool["managed"] for _, pool in pools)
    if own_queues:
        head = (*head, "IN ITS QUEUE", "EXPECTED")
        rows = [(*row, *_own_queue(pool)) for row, (_, pool) in zip(rows, pools, strict=True)]
    print_table(head, rows, right=range(5, 15))
    print("RUNS and WAIT count jobs; g CO2/kWh is the grid average (location-based).")
    if own_queues:
        print(
            "IN ITS QUEUE: of RUNS, those handed over to a site whose own scheduler has not started "
            "them yet; EXPECTED: how long the next one of a single device would wait there."
        )


def _own_queue(pool: dict[str, Any]) -> tuple[str, str]:
    if pool["managed"]:
        return "", ""
    return str(pool["in_site_queue"]), format_duration(pool["site_wait_ms"][0])


def _row(site: dict[str, Any], pool: dict[str, Any]) -> tuple[str, ...]:
    now = site["now"]
    price = pool["price_micros_per_device_hour"]
    return (
        site["site"],
        pool["pool"],
        pool["status"],
        pool["engine"],
        pool["accelerator"] or "cpu",
        f"{(pool['capacity_milli'] - pool['held_milli']) / 1000:g}",
        f"{pool['capacity_milli'] / 1000:g}",
        str(pool["running"]),
        str(pool["waiting"]),
        "unknown" if price is None else f"{price / 1_000_000:g}",
        _known(now["tariff_per_kwh"]),
        _known(now["carbon_location_g_per_kwh"]),
        _known(site["pue"]),
    )


def _known(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
