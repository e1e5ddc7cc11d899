"""``westward server``: the control service by itself, as ``python -m westward.server``."""

from __future__ import annotations

import click


@click.command(
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,  # its own options tell themselves
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def server(arguments: tuple[str, ...]) -> int:
    """Start one server; --help lists its options. Several may share a PostgreSQL (--store)."""
    from westward.server.__main__ import main

    return main(list(arguments))
