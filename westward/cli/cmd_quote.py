"""``westward quote FILE``: what a job would cost, and who would pay which part."""

from __future__ import annotations

from pathlib import Path

import click

from westward.cli.output import json_option, print_json
from westward.cli.server_option import server_option


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--project",
    metavar="PROJECT",
    envvar="WESTWARD_PROJECT",
    help="Whose job it is, where the file does not say. [$WESTWARD_PROJECT, else your only one]",
)
@click.option("--all", "everything", is_flag=True, help="Every pool in full, not only the first.")
@server_option
@json_option
def quote(
    file: Path, project: str | None, everything: bool, server: str | None, as_json: bool
) -> None:
    """Show what the job in FILE would cost at each pool, and who would pay. Nothing is held.

    Every pool stands at its best hour, the cheapest for the job's project first: the listed price,
    each funder's part or why it pays none, your own part, and what is left afterwards in pots, caps
    and the budget. The length is the job's own estimate: what is billed is what is used.
    """
    from westward.cli.client import Client
    from westward.cli.render_quote import render_quote
    from westward.formats.skypilot import read_task_text

    text = read_task_text(file)
    folder = file.resolve().parent
    body = {"task": text, "file": str(file), "base_dir": str(folder)}
    if project is not None:
        body["account"] = project
    answer = Client(server).post("/v1/quote", body)
    if as_json:
        print_json(answer)
        return
    print(render_quote(answer, everything=everything), end="")
