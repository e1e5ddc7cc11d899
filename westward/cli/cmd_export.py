"""``westward export``: a month's charges for other programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from westward.cli.fail import Failure
from westward.cli.server_option import server_option
from westward.cli.settlement_input import fetch_charges, month_options, month_text, read_period

if TYPE_CHECKING:
    from westward.settlement.cells import Cell

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def export() -> None:
    """Write a month's charges to a file: FOCUS for FinOps tools, or plain CSV.

    The rows add up to the bills to the millionth.
    """


def _options(command: F) -> F:
    command = click.option(
        "--out", metavar="FILE", required=True, type=click.Path(path_type=Path, dir_okay=False)
    )(command)
    return click.option("--project", metavar="NAME", help="Of this project only. [all]")(command)


@export.command(short_help="FOCUS 1.0 (FinOps), CSV or Parquet by the file's ending.")
@month_options
@_options
@server_option
def focus(month: str, utc_offset: str, project: str | None, out: Path, server: str | None) -> None:
    """FOCUS 1.0 rows, as CSV (FILE.csv) or Parquet (FILE.parquet)."""
    from westward.cli.client import Client
    from westward.settlement.cells import csv_text
    from westward.settlement.focus import COLUMNS, focus_row

    if out.suffix not in (".csv", ".parquet"):
        raise Failure(f"--out {out}: name a file that ends with .csv or .parquet.")
    period = read_period(month, utc_offset)
    page, charges, sites = fetch_charges(Client(server), period, project)
    rows = [focus_row(one, period, page["currency"], page["network"], sites) for one in charges]
    if out.suffix == ".csv":
        write_file(out, csv_text(COLUMNS, rows).encode())
    else:
        write_file(out, parquet_bytes(rows))
    print(f"{out}: {len(rows)} rows, FOCUS 1.0, {month_text(period)}")


@export.command(name="csv", short_help="One row a charge, plain CSV.")
@month_options
@_options
@server_option
def csv_(month: str, utc_offset: str, project: str | None, out: Path, server: str | None) -> None:
    """One row a charge, with exact amounts and millionths."""
    from dataclasses import fields
    from decimal import Decimal

    from westward.cli.client import Client
    from westward.settlement.cells import csv_text
    from westward.settlement.charges import Charge
    from westward.settlement.money import exact_text

    period = read_period(month, utc_offset)
    page, charges, _ = fetch_charges(Client(server), period, project)
    names = tuple(field.name for field in fields(Charge))
    rows: list[dict[str, Cell]] = [
        {
            **{name: getattr(one, name) for name in names},
            "amount": Decimal(exact_text(one.micros)),
            "currency": page["currency"],
        }
        for one in charges
    ]
    write_file(out, csv_text((*names, "amount", "currency"), rows).encode())
    print(f"{out}: {len(rows)} rows, {month_text(period)}")


def parquet_bytes(rows: list[dict[str, Cell]]) -> bytes:
    """Amounts as doubles (exact to the millionth below nine thousand million), as FOCUS tools
    expect; ``x_BilledMicros`` as integers."""
    import io

    import polars

    from westward.settlement.focus import COLUMNS, DECIMALS, INSTANTS, INTEGERS

    def kind(column: str) -> Any:
        if column in DECIMALS:
            return polars.Float64()
        if column in INTEGERS:
            return polars.Int64()
        if column in INSTANTS or column == "x_PostedTime":
            return polars.Datetime("ms", "UTC")
        return polars.String()

    data = {
        column: [
            float(cell) if column in DECIMALS and cell is not None else cell  # type: ignore[arg-type]
            for cell in (row[column] for row in rows)
        ]
        for column in COLUMNS
    }
    buffer = io.BytesIO()
    frame = polars.DataFrame(data, schema={column: kind(column) for column in COLUMNS})
    frame.write_parquet(buffer)
    return buffer.getvalue()


def write_file(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Failure(f"{path} cannot be written ({error.strerror}).") from None
