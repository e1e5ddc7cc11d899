"""``westward server``: the control service by itself, as ``python -m westward.server``."""

from __future__ import annotations

import click

from westward.cli.fail import EXIT_OK


@click.command(
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,  # its own options tell themselves
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def server(arguments: tuple[str, ...]) -> int:
    """Start one server; --help lists its options. Several may share a PostgreSQL (--store)."""
    if {"--help", "-h"} & set(arguments):
        from westward.server.options import make_parser

        print("Usage: westward server" + make_parser().format_help().partition("server")[2])
        return EXIT_OK
    from westward.server.__main__ import main

    return main(list(arguments))
