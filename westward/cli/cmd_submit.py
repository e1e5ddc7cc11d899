"""``westward submit FILE``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from westward.cli.fail import EXIT_JOB, EXIT_OK, Failure
from westward.cli.output import json_option, print_json
from westward.cli.server_option import server_option

if TYPE_CHECKING:
    from westward.cli.client import Client

JOB_ID = re.compile(r"job_[A-Za-z0-9_-]{1,60}")
PLACED_WITHIN_MS = 1_500
"""How long ``submit`` waits to be able to say where the job goes."""


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--id",
    "job_id",
    metavar="JOB",
    help="Your own id, such as job_train-7. Handing in the same file with the same id again is "
    "answered with the same job: safe to repeat.",
)
@click.option(
    "--wait", is_flag=True, help="Tell what happens until all is over; exit 1 if a job failed."
)
@click.option(
    "--project",
    metavar="PROJECT",
    envvar="WESTWARD_PROJECT",
    help="Whose job it is, where the file does not say (westward.account). "
    "[$WESTWARD_PROJECT, else your only one]",
)
@server_option
@json_option
def submit(
    file: Path,
    job_id: str | None,
    wait: bool,
    project: str | None,
    server: str | None,
    as_json: bool,
) -> int:
    """Hand in the job in FILE, a SkyPilot task YAML: one job, several (separated by ---), an array.

    Prints its id and, as soon as it is known, where it goes. The whole file is checked first: a
    file with faults is refused with all of them, and nothing is changed.
    """
    from westward.cli.client import Client
    from westward.formats.skypilot import read_task_text
    from westward.formats.task_set import read_tasks

    chosen = job_id or f"job_{uuid4().hex[:12]}"
    if not JOB_ID.fullmatch(chosen):
        raise Failure(
            f"--id {chosen!r} is no job id. Write job_ and up to 60 letters, digits, - and _."
        )
    text = read_task_text(file)
    named = read_tasks(  # paths are checked on this side
        text, file=str(file), job_id=chosen, now_ms=0,
        base_dir=file.resolve().parent, check_paths=True,
    )  # fmt: skip
    return hand_in(
        Client(server), text, file=file, job_id=chosen,
        several=len(named) > 1 or named[0].count is not None, wait=wait, as_json=as_json,
        project=project,
    )  # fmt: skip


def hand_in(
    client: Client,
    text: str,
    *,
    file: Path,
    job_id: str,
    several: bool,
    wait: bool,
    as_json: bool,
    project: str | None = None,
) -> int:
    """Hand in the text of a job file (``several``: more documents, or an array); the exit code."""
    from westward.cli.client import job_path
    from westward.cli.follow import follow, job_line

    folder = file.resolve().parent
    body = {"task": text, "job_id": job_id, "file": str(file), "base_dir": str(folder)}
    if project is not None:
        body["account"] = project
    if several:
        return _submit_all(client, body, wait=wait, as_json=as_json)
    job = client.post("/v1/jobs", body)
    created = job["created"]
    if job["state"] == "pending" and not wait:
        job = client.get(job_path(job_id), wait_ms=PLACED_WITHIN_MS, unless_state="pending")
        job["created"] = created
    if wait:
        job = {**follow(client, job_id, quiet=as_json), "created": created}
    if as_json:
        print_json(job)
    elif not wait:
        print(job_line(job))
        if not created:
            print("it was handed in before; this is that same job")
        print(f"reasons: westward why {job_id}   output: westward logs -f {job_id}")
    return EXIT_JOB if job["state"] in ("failed", "refused", "cancelled") else EXIT_OK


def _submit_all(client: Client, body: dict[str, Any], *, wait: bool, as_json: bool) -> int:
    """Several jobs at once: all or none."""
    from westward.cli.client import quoted
    from westward.cli.follow import follow, line_of

    answer = client.post("/v1/batches", body)
    arrays = [job["array"]["array_id"] for job in answer["jobs"] if job["array"] is not None]
    shown = [job["array"] or job for job in answer["jobs"]]
    if not wait:
        if as_json:
            print_json(answer)
            return EXIT_OK
        for one in shown:
            print(line_of(one))
        if not answer["created"]:
            print("they were handed in before; these are the same jobs")
        if arrays:
            print(f"its jobs: westward jobs --array {arrays[0]}")
        return EXIT_OK
    ids = [job["job_id"] for job in answer["jobs"] if job["array"] is None]
    for array_id in arrays:
        found = client.get(f"/v1/arrays/{quoted(array_id)}")["jobs"]
        ids += [job["job_id"] for job in found]
    ended = [follow(client, job_id, quiet=as_json) for job_id in ids]
    if as_json:
        print_json({**answer, "jobs": ended})
    bad = any(job["state"] != "succeeded" for job in ended)
    return EXIT_JOB if bad else EXIT_OK
