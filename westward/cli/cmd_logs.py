"""``westward logs [-f] JOB``."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from typing import Any

import click

from westward.cli.output import json_option, print_json
from westward.cli.server_option import server_option


@click.command()
@click.argument("job", metavar="JOB")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over.")
@click.option(
    "--rank",
    type=click.IntRange(min=0),
    metavar="N",
    help="Which node of a gang, from 0. [0]",
)
@server_option
@json_option
def logs(job: str, follow: bool, rank: int | None, server: str | None, as_json: bool) -> None:
    """Print what JOB (an id or a name) wrote: its newest run, one node of it.

    With -f a run that takes over after a lost one is followed too, from its start.
    """
    from westward.cli.client import Client

    client = Client(server)
    job_id = client.job(job)
    gathered: list[bytes] = []
    last: dict[str, Any] = {}
    for answer in _read(client, job_id, rank or 0, follow):
        if last.get("run_id") not in (None, answer["run_id"]):
            print(f"-- {last['run_id']} was lost; now {answer['run_id']} --", file=sys.stderr)
            gathered.clear()
        last = answer
        data = base64.b64decode(answer["data_b64"])
        if as_json:
            gathered.append(data)
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    if as_json:
        text = b"".join(gathered).decode("utf-8", errors="replace")
        keys = ("job_id", "state", "run_id", "rank", "complete")
        print_json({**{key: last[key] for key in keys}, "text": text})
        return
    _notes(last, rank, job_id)


def _read(client: Any, job_id: str, rank: int, follow: bool) -> Iterator[dict[str, Any]]:
    """Pieces in order: to the end of what is there, or with ``follow`` to the job's end."""
    from westward.cli.client import LONG_POLL_MS, job_path
    from westward.cli.follow import TERMINAL

    path = job_path(job_id, "logs")
    run_id: str | None = None
    offset = 0
    while True:
        wait_ms = LONG_POLL_MS if follow else 0
        answer = client.get_patiently(
            path, offset=offset, rank=rank, run_id=run_id, wait_ms=wait_ms
        )
        yield answer
        offset, run_id = answer["next_offset"], answer["run_id"]
        newest = answer["newest_run_id"]
        if not follow:
            if not answer["size"]:
                return
        elif answer["complete"] and newest != run_id:
            offset, run_id = 0, newest
        elif answer["complete"] and answer["state"] in TERMINAL:
            return
        elif answer["complete"]:
            # The run is over and the job is not: wait for its end or its next run.
            client.get_patiently(
                job_path(job_id), wait_ms=LONG_POLL_MS, unless_state=answer["state"]
            )


def _notes(last: dict[str, Any], rank: int | None, job_id: str) -> None:
    """What a reader of an empty or partial log should know, on stderr."""
    if last["run_id"] is None:
        print(f"{job_id} has not run yet ({last['state']}): westward why {job_id}", file=sys.stderr)
    elif rank is None and len(last["ranks"]) > 1:
        most = max(one["rank"] for one in last["ranks"])
        print(f"-- rank 0 of 0 to {most}; others with --rank N --", file=sys.stderr)
    elif rank is not None and all(one["rank"] != rank for one in last["ranks"]):
        print(f"-- nothing from rank {rank} of {last['run_id']} --", file=sys.stderr)
