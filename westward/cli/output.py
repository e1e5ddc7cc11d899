"""What commands print: one JSON document, or a table for people.

On a terminal rich draws the table; through a pipe it is plain text whose bytes do not depend on
a width.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from westward.cli.plain_table import GAP, plain_table

F = TypeVar("F", bound=Callable[..., Any])

LAST_COLUMN_LEAST = 30


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
    """A table; columns whose index is in ``right`` hold numbers. Only the last column may wrap:
    where that is not enough, the terminal breaks the plain lines."""
    if not sys.stdout.isatty() or not _fits(head, rows):
        print("\n".join(plain_table(head, rows, right=right)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    last = len(head) - 1
    for at, title in enumerate(head):
        table.add_column(title, justify="right" if at in right else "left", no_wrap=at != last)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def _fits(head: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether all columns but the last stand in full, and the last in lines of a fair length."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    left = shutil.get_terminal_size().columns - sum(width + len(GAP) for width in widths[:-1])
    return left >= min(widths[-1], LAST_COLUMN_LEAST)
