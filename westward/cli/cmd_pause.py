"""``westward suspend``, ``westward resume``, ``westward move``."""

from __future__ import annotations

from typing import Any

import click

from westward.cli.fail import EXIT_JOB, EXIT_OK
from westward.cli.output import json_option, print_json
from westward.cli.server_option import server_option


@click.command()
@click.argument("job", metavar="JOB")
@server_option
@json_option
def suspend(job: str, server: str | None, as_json: bool) -> int:
    """Stop JOB (an id or a name, of a job or an array) with time to save, until it is resumed.

    A running job must save checkpoints (westward.checkpoint); one that waits is held. No attempt
    is lost. Exit code 1 if it cannot be suspended.
    """
    return _ask(server, job, "suspend", {}, as_json)


@click.command()
@click.argument("job", metavar="JOB")
@server_option
@json_option
def resume(job: str, server: str | None, as_json: bool) -> int:
    """Let a suspended JOB (an id or a name, of a job or an array) go on, from its checkpoint."""
    return _ask(server, job, "resume", {}, as_json)


@click.command()
@click.argument("job", metavar="JOB")
@click.option("--to", required=True, metavar="SITE|POOL", help="Where it is to go on.")
@server_option
@json_option
def move(job: str, to: str, server: str | None, as_json: bool) -> int:
    """Stop JOB (an id or a name) with time to save, and let it go on at another site or pool.

    What it saved is brought there. Refused, with the reasons, where it could not run; a running
    job must save checkpoints (westward.checkpoint).
    """
    return _ask(server, job, "move", {"to": to}, as_json, arrays=False)


def _ask(
    server: str | None,
    job: str,
    what: str,
    body: dict[str, Any],
    as_json: bool,
    *,
    arrays: bool = True,
) -> int:
    from westward.cli.client import Client, job_path
    from westward.cli.follow import line_of

    client = Client(server)
    answer = client.post(job_path(client.job(job, arrays=arrays), what), body)
    if as_json:
        print_json(answer)
    else:
        print(line_of(answer))
        if answer["reason"]:
            print(f"nothing changed: {answer['reason']}")
    return EXIT_OK if answer["accepted"] else EXIT_JOB
