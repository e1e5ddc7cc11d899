"""``westward jobs``."""

from __future__ import annotations

from typing import Any

import click

from westward.cli.output import json_option, print_json, print_table
from westward.cli.server_option import server_option

STATES = (
    "held", "pending", "bound", "leased", "running", "suspending", "cancelling",
    "succeeded", "failed", "cancelled", "refused",
)  # fmt: skip


@click.command()
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=50,
    show_default=True,
    help="The newest N.",
)
@click.option("--after", metavar="JOB", help="Go on after this job (an earlier page's last).")
@click.option(
    "--array", metavar="JOB", help="Only the jobs of this array (an id or a name), by index."
)
@server_option
@json_option
def jobs(
    state: str | None,
    limit: int,
    after: str | None,
    array: str | None,
    server: str | None,
    as_json: bool,
) -> None:
    """List jobs, newest first. An array is one line, unless a state is asked for."""
    from westward.cli.client import Client, quoted

    client = Client(server)
    if array is not None:
        page = client.get(f"/v1/arrays/{quoted(client.job(array, arrays=True))}")
        page["jobs"] = [job for job in page["jobs"] if state in (None, job["state"])]
        page["next"] = None
    else:
        page = client.get(
            "/v1/jobs",
            state=state,
            limit=limit,
            after=after,
            newest_first="true",
            arrays_once="true",
        )
    if as_json:
        print_json(page)
        return
    if not page["jobs"]:
        print("no jobs" if state is None else f"no jobs in state {state}")
        return
    head = ("JOB", "NAME", "STATE", "SITE", "SUBMITTED", "STARTS", "RUN", "TRIES")
    print_table(head, [_row(job) for job in page["jobs"]], right=(6, 7))
    if page["next"]:
        print(f"more: westward jobs --after {page['next']}")


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    from westward.model.units import format_duration, format_instant

    if job["array"] is not None and job["array"]["states"] is not None:
        return _array_row(job)
    started, finished = job["started_ms"], job["finished_ms"]
    starts = started
    if job["state"] == "bound":
        starts = job["expected_start_ms"]
    run = finished - started if started is not None and finished is not None else None
    return (
        job["job_id"],
        job["name"],
        job["state"],
        job["site"] or "-",
        format_instant(job["submit_ms"]),
        "-" if starts is None else format_instant(starts),
        "-" if run is None else format_duration(run),
        str(job["attempts"]),
    )


def _array_row(job: dict[str, Any]) -> tuple[str, ...]:
    from westward.cli.follow import states_text
    from westward.model.units import format_instant

    array = job["array"]
    name = f"{array['name']} x {array['count']}"
    submitted = format_instant(job["submit_ms"])
    return (array["array_id"], name, states_text(array["states"]), "-", submitted, "-", "-", "-")
