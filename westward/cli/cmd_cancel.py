"""``westward cancel JOB``."""

from __future__ import annotations

import click

from westward.cli.output import json_option, print_json
from westward.cli.server_option import server_option


@click.command()
@click.argument("job", metavar="JOB")
@server_option
@json_option
def cancel(job: str, server: str | None, as_json: bool) -> None:
    """Stop JOB (an id or a name, of a job or an array), waiting or running.

    A running job is ended by its site, which takes a moment ('cancelling'). A job that is over
    stays as it is, and the command says so: safe to repeat.
    """
    from westward.cli.client import Client, job_path
    from westward.cli.follow import line_of

    client = Client(server)
    answer = client.post(job_path(client.job(job, arrays=True), "cancel"))
    if as_json:
        print_json(answer)
        return
    print(line_of(answer))
    if not answer["accepted"]:
        print("nothing to cancel: the job is over")
