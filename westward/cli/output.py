"""What commands print: one JSON document, or a table for people.

On a terminal rich draws the table; through a pipe it is plain text whose bytes do not depend on
a width.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from westward.cli.plain_table import plain_table

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """``--json``: one JSON document on stdout, with the keys of docs/howto/json.md."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document instead of text."
    )(command)


def print_json(document: object) -> None:
    """One document, keys in the order given. NaN is not JSON: callers give None."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def print_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> None:
    """A table; columns whose index is in ``right`` hold numbers."""
    if not sys.stdout.isatty():
        print("\n".join(plain_table(head, rows, right=right)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for at, title in enumerate(head):
        table.add_column(title, justify="right" if at in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)
