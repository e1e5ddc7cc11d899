"""``westward backup`` and ``westward restore``: the database of a server on SQLite."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from westward.cli.fail import EXIT_INTERRUPTED, EXIT_OK, Failure
from westward.cli.output import json_option, print_json
from westward.cli.server_option import default_data
from westward.model.units import format_instant, parse_duration_ms, parse_instant_ms

DATABASE_FILE = "westward.db"
EVERY_LEAST_MS = 1_000
AGAIN_MOST = 10
"""Failures in a row after which ``--every`` gives up."""


@click.command()
@click.argument("folder", metavar="TO", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--store",
    metavar="FILE",
    help=f"The database: a file or sqlite:///FILE. [{DATABASE_FILE} in the data folder]",
)
@click.option(
    "--every", metavar="TIME", help="Go on, with a copy so often (30s, 5m), until Ctrl-C."
)
@click.option(
    "--keep", metavar="TIME", help="Drop copies older than this (30d); the last one stays."
)
@json_option
def backup(
    folder: Path, store: str | None, every: str | None, keep: str | None, as_json: bool
) -> int:
    """Add a copy of the database to the folder TO, as it is at this moment.

    The server goes on meanwhile. Each copy is a moment that 'westward restore --at' can go back to;
    what is equal in several copies is kept once. Every copy is checked. Checkpoints and the
    operator's token in the data folder are not part of it.
    """
    from westward.store.backup import drop_copies, take_copy

    database = _file(store)
    every_ms = _span("--every", every)
    keep_ms = _span("--keep", keep)
    if every_ms is not None and every_ms < EVERY_LEAST_MS:
        raise Failure("--every: at least 1s.")
    failures = 0
    while True:
        began = time.monotonic()
        try:
            with _told():
                taken = take_copy(database, folder, _now_ms())
                dropped = 0 if keep_ms is None else drop_copies(folder, _now_ms() - keep_ms)
            failures = 0
        except Failure as error:
            failures += 1
            if every_ms is None or failures >= AGAIN_MOST:
                raise
            click.echo(f"no copy this time: {error}", err=True)
        else:
            copy = taken.copy
            if as_json:
                print_json(
                    {
                        "taken_ms": copy.taken_ms, "size_bytes": copy.size_bytes,
                        "sha256": copy.sha256, "new_bytes": taken.new_bytes, "dropped": dropped,
                    }
                )  # fmt: skip
            else:
                print(
                    f"{format_instant(copy.taken_ms)}: {copy.size_bytes:,} bytes, "
                    f"{taken.new_bytes:,} of them new here (compressed)"
                    + (f"; {dropped} older dropped" if dropped else ""),
                    flush=True,
                )
        if every_ms is None:
            return EXIT_OK
        try:
            time.sleep(max(0.0, every_ms / 1000 - (time.monotonic() - began)))
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED


@click.command()
@click.argument("folder", metavar="FROM", type=click.Path(path_type=Path, file_okay=False))
@click.argument("target", metavar="FILE", required=False, type=click.Path(path_type=Path))
@click.option("--at", metavar="TIME", help="The last copy at or before this time. [the last copy]")
@click.option("--list", "listed", is_flag=True, help="List the copies and stop.")
@json_option
def restore(folder: Path, target: Path | None, at: str | None, listed: bool, as_json: bool) -> int:
    """Make the database FILE anew from the copies in the folder FROM.

    Parts and whole are held against their digests, the pages checked, the tables brought to this
    version, the ledger audited. A FILE that is there is not touched. Put it into the data folder as
    westward.db before the server starts. Jobs handed in after the copy are gone, jobs that ended
    after it run again.
    """
    from westward.store.backup import copies, restore_copy

    with _told():
        known = copies(folder)
    if listed:
        if as_json:
            print_json([{"taken_ms": one.taken_ms, "size_bytes": one.size_bytes} for one in known])
        for one in () if as_json else known:
            print(f"{format_instant(one.taken_ms)}  {one.size_bytes:,} bytes")
        return EXIT_OK
    if target is None:
        raise Failure("name the FILE to make, or --list.")
    try:
        at_ms = None if at is None else parse_instant_ms(at, _now_ms())
    except ValueError as error:
        raise Failure(f"--at: {error}.") from None
    with _told():
        done = restore_copy(folder, target, at_ms)
    if as_json:
        print_json(
            {
                "file": str(target), "taken_ms": done.copy.taken_ms, "sha256": done.copy.sha256,
                "transfers": done.transfers, "tokens_from": done.tokens_from,
            }
        )  # fmt: skip
        return EXIT_OK
    print(
        f"{target} is the database as of {format_instant(done.copy.taken_ms)}. Checked: digests, "
        f"pages, the ledger's {done.transfers:,} transfers. Fencing tokens go on after "
        f"{done.tokens_from:,}."
    )
    return EXIT_OK


def _file(store: str | None) -> Path:
    text = store or str(default_data() / DATABASE_FILE)
    if text.startswith("postgresql"):
        raise Failure(
            "this is for SQLite. PostgreSQL has its own way, pg_basebackup and WAL archiving: see "
            "docs/operations.md."
        )
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
    elif "://" in text:
        raise Failure(f"--store {text!r}: name a file, or sqlite:///FILE.")
    return Path(text)


def _span(option: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_duration_ms(text)
    except ValueError as error:
        raise Failure(f"{option}: {error}.") from None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def _told() -> Iterator[None]:
    """Raises Failure with the sentence."""
    from sqlalchemy.exc import DBAPIError

    from westward.store.backup import BackupTrouble

    try:
        yield
    except DBAPIError as error:
        raise Failure(f"the database: {error.orig}.") from None
    except sqlite3.Error as error:
        raise Failure(f"the database cannot be copied: {error}.") from None
    except BackupTrouble as error:
        raise Failure(f"{str(error).rstrip('.')}.") from None
    except OSError as error:
        raise Failure(f"{error.filename or 'the disk'}: {error.strerror or error}.") from None
