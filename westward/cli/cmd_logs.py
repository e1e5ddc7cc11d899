"""``westward logs [-f] JOB``."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from westward.cli.fail import Failure
from westward.cli.output import json_option, print_json
from westward.cli.server_option import server_option

SEVERAL_WAIT_MS = 1_000
"""A gang's first rank is waited for this long; the others are looked at in between."""


@click.command()
@click.argument("job", metavar="JOB")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over.")
@click.option(
    "--rank",
    type=click.IntRange(min=0),
    metavar="N",
    help="Which node of a gang, from 0. [all, each line with its rank; with --json: 0]",
)
@click.option("--run", type=click.IntRange(min=1), metavar="N", help="Which run. [the newest]")
@click.option("--all", "every", is_flag=True, help="Every run, from the first.")
@server_option
@json_option
def logs(
    job: str,
    follow: bool,
    rank: int | None,
    run: int | None,
    every: bool,
    server: str | None,
    as_json: bool,
) -> None:
    """Print what JOB (an id or a name) wrote: its newest run, all nodes of it.

    With -f the job's next runs are followed too, each from its start: after a site was lost, a
    failure, or a pause. What a run wrote is kept by the server and outlives its site.
    """
    from westward.cli.client import Client, job_path

    if every and run is not None:
        raise Failure("--all and --run exclude each other. Leave one out.")
    client = Client(server)
    job_id = client.job(job)
    known = client.get(job_path(job_id))
    if run is not None and run > len(known["runs"]):
        raise Failure(f"{job_id} has {len(known['runs'])} runs so far, not {run}.")
    start = known["runs"][run - 1]["run_id"] if run is not None else None
    if every and known["runs"]:
        start = known["runs"][0]["run_id"]
    if as_json:
        rank = rank or 0
    several = rank is None and known["nodes"] > 1
    out = Output(several, quiet=as_json)
    last: dict[str, Any] = {}
    for piece in _read(client, job_id, rank, start, follow, every):
        if last.get("run_id") not in (None, piece.answer["run_id"]):
            out.flush()
            print(_change(client, job_id, last["run_id"], piece.answer["run_id"]), file=sys.stderr)
            if not every:
                out.gathered.clear()
        last = piece.answer
        out.feed(piece.rank, base64.b64decode(piece.answer["data_b64"]))
    out.flush()
    if as_json:
        text = b"".join(out.gathered).decode("utf-8", errors="replace")
        keys = ("job_id", "state", "run_id", "rank", "complete")
        print_json({**{key: last[key] for key in keys}, "text": text})
        return
    _notes(last, rank, job_id)


class Piece(NamedTuple):
    rank: int
    answer: dict[str, Any]


class Output:
    """Bytes as they come or, of ``several`` ranks, whole lines that begin with their rank."""

    def __init__(self, several: bool, *, quiet: bool) -> None:
        self.several = several
        self.quiet = quiet
        self.gathered: list[bytes] = []
        self._begun: dict[int, bytes] = {}

    def feed(self, rank: int, data: bytes) -> None:
        if self.quiet:
            self.gathered.append(data)
            return
        if self.several:
            *lines, rest = (self._begun.get(rank, b"") + data).split(b"\n")
            self._begun[rank] = rest
            data = b"".join(b"[%d] %s\n" % (rank, line) for line in lines)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def flush(self) -> None:
        """Lines that were not ended."""
        for rank, rest in sorted(self._begun.items()):
            if rest:
                sys.stdout.buffer.write(b"[%d] %s\n" % (rank, rest))
        sys.stdout.buffer.flush()
        self._begun.clear()


def _read(
    client: Any, job_id: str, rank: int | None, run_id: str | None, follow: bool, every: bool
) -> Iterator[Piece]:
    """Pieces in order: to the end of what is there, or with ``follow`` to the job's end."""
    from westward.cli.client import LONG_POLL_MS, job_path
    from westward.cli.follow import TERMINAL

    path = job_path(job_id, "logs")
    lead = rank or 0
    offsets: dict[int, int] = {}
    while True:
        wait_ms = 0
        if follow:
            wait_ms = SEVERAL_WAIT_MS if rank is None and len(offsets) > 1 else LONG_POLL_MS
        answer = client.get_patiently(
            path, offset=offsets.get(lead, 0), rank=lead, run_id=run_id, wait_ms=wait_ms
        )
        yield Piece(lead, answer)
        offsets[lead], run_id = answer["next_offset"], answer["run_id"]
        moved = bool(answer["size"])
        for one in answer["ranks"] if rank is None else ():
            while one["rank"] != lead and offsets.get(one["rank"], 0) < one["size"]:
                more = client.get_patiently(
                    path, offset=offsets.get(one["rank"], 0), rank=one["rank"], run_id=run_id
                )
                yield Piece(one["rank"], more)
                offsets[one["rank"]] = more["next_offset"]
                moved = moved or bool(more["size"])
                if not more["size"]:
                    break
        if moved:
            continue
        newest = answer["newest_run_id"]
        if answer["complete"] and newest != run_id and (follow or every):
            run_id, offsets = _next_run(client, job_id, run_id, every) or newest, {}
        elif not follow or (answer["complete"] and answer["state"] in TERMINAL):
            return
        elif answer["complete"]:
            # The run is over and the job is not: wait for its end or its next run.
            client.get_patiently(
                job_path(job_id), wait_ms=LONG_POLL_MS, unless_state=answer["state"]
            )


def _next_run(client: Any, job_id: str, run_id: str | None, every: bool) -> str | None:
    """With ``every`` the one after it; else the newest will do."""
    from westward.cli.client import job_path

    if not every:
        return None
    ids = [run["run_id"] for run in client.get(job_path(job_id))["runs"]]
    return str(ids[ids.index(run_id) + 1]) if run_id in ids[:-1] else None


def _change(client: Any, job_id: str, before: str, after: str) -> str:
    """What a reader should know between two runs."""
    from westward.cli.client import job_path

    runs = {run["run_id"]: run for run in client.get(job_path(job_id))["runs"]}
    old, new = runs[before], runs[after]
    return (
        f"-- run {old['attempt']} at {old['site']} was {old['state']}; now run {new['attempt']} "
        f"at {new['site']} --"
    )


def _notes(last: dict[str, Any], rank: int | None, job_id: str) -> None:
    """What a reader of an empty or partial log should know, on stderr."""
    if last["run_id"] is None:
        print(f"{job_id} has not run yet ({last['state']}): westward why {job_id}", file=sys.stderr)
    elif rank is not None and all(one["rank"] != rank for one in last["ranks"]):
        print(f"-- nothing from rank {rank} of {last['run_id']} --", file=sys.stderr)
