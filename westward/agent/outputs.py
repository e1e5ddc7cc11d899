"""What a run leaves is published: uploaded to the site's store, digests and all, and registered.

Before the run's end is told, so under its lease, and only if it succeeded. A run whose output is
not there, or cannot be stored, has failed: its owner asked for the data, not for the exit code.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from westward.agent import job_files
from westward.agent.data import Data, SharesFiles
from westward.agent.data_urls import Folder, Unreadable
from westward.agent.engines.base import Engine, RunResult
from westward.agent.link import Refused, SessionEnded
from westward.model.dataset import DataFile, file_problems, manifest_digest
from westward.model.job import DataOutput
from westward.model.wire import Ack, DataPublished, Grant

TRIES = 5
"""Of one file, with pauses of TRY_FIRST_MS, doubled each time, between them."""
TRY_FIRST_MS = 500
DIGEST_CHARS = 32
"""Of the digest, in the name of the folder that holds a version."""
log = logging.getLogger("westward.agent")


class _Failed(Exception):
    """The output cannot be published; the text is for the job's owner."""


class Outputs:
    """One site's. ``store`` None: they stay in a folder beside the site's cache."""

    def __init__(self, engine: Engine, data: Data, store: str | None):
        self.engine = engine if isinstance(engine, SharesFiles) else None
        self.data = data
        self.store = store
        if store is None and data.root is not None:
            self.store = (data.root.resolve() / "store").as_uri()

    async def publish(
        self, run_id: str, token: int, result: RunResult, given_up: Callable[[], bool]
    ) -> RunResult:
        """The run's result, once its outputs are published; "failed" where they cannot be."""
        if self.engine is None or self.data.root is None or result.outcome != "succeeded":
            return result
        grant = await self.data.in_thread(self.data.notes.read, run_id)
        if grant is None or not grant.outputs:
            return result
        folder = self.engine.output_folder(run_id)
        try:
            for one in grant.outputs:
                await self._publish_one(grant, token, folder, one, given_up)
        except (_Failed, OSError, ValueError) as error:
            log.error("run %s: its output is not published: %s", run_id, error)
            return replace(result, outcome="failed", detail=str(error))
        except (Refused, SessionEnded) as error:
            log.error("run %s: the server takes no output: %s", run_id, error)
        return result

    async def _publish_one(
        self,
        grant: Grant,
        token: int,
        folder: Path,
        one: DataOutput,
        given_up: Callable[[], bool],
    ) -> None:
        shown = f"its output {one.path} for the data set {one.dataset}"
        try:
            base, files = await self.data.in_thread(scan_output, folder, one.path)
        except OSError as error:
            raise _Failed(f"{shown}: {error}") from error
        problems = file_problems(files)
        if problems:
            path, text = problems[0]
            raise _Failed(f"{shown}: {path + ': ' if path else ''}{text}")
        url = f"{self.store}/{one.dataset}/{manifest_digest(files)[:DIGEST_CHARS]}"
        try:
            store = await self.data.in_thread(Folder, url)
            for file in files:
                if given_up():
                    return
                await self._upload(store, folder, base, file)
        except Unreadable as error:
            raise _Failed(f"{shown} cannot be stored at this site: {error}") from error
        message = DataPublished(token=token, dataset=one.dataset, url=url, files=files)
        ack = await self.data.link.ask(grant.run_id, "data/published", DataPublished, message, Ack)
        if not ack.accepted:
            raise _Failed(f"{shown} was refused: {ack.reason}")
        log.info("run %s: published %s, %d files", grant.run_id, one.dataset, len(files))

    async def _upload(self, store: Folder, folder: Path, base: Path, file: DataFile) -> None:
        """A file that is there with its size came in an earlier try: the folder is named by the
        digest of all of them."""
        for attempt in range(TRIES):
            try:
                if await self.data.in_thread(store.size, file.path) != file.size_bytes:
                    inside = job_files.real(folder)
                    await self.data.in_thread(store_file, store, inside, base, file)
                return
            except Unreadable:
                if attempt + 1 == TRIES:
                    raise
                await asyncio.sleep(TRY_FIRST_MS * 2**attempt / 1000)


def scan_output(folder: Path, path: str) -> tuple[Path, tuple[DataFile, ...]]:
    """The files at ``path`` below ``folder`` with their digests, by path, and the folder that
    these paths count from. A single file counts from where it lies. Links are followed where they
    stay below ``folder``; other links, sockets and pipes carry nothing over."""
    inside = job_files.real(folder)
    start = folder / path
    leads = job_files.real(start)
    if not leads.is_relative_to(inside):
        return start, ()
    if leads.is_file():
        one = _entry(start, start.parent, inside)
        return start.parent, () if one is None else (one,)
    found = [_entry(one, start, inside) for one in job_files.entries(start)]
    return start, tuple(sorted((one for one in found if one), key=lambda one: one.path))


def _entry(path: Path, base: Path, inside: Path) -> DataFile | None:
    file = job_files.open_inside(inside, path)
    if file is None:
        return None
    try:
        size_bytes = os.fstat(file).st_size
        shown = job_files.name_below(path, base)
        return DataFile(path=shown, size_bytes=size_bytes, sha256=job_files.digest_of(file))
    finally:
        os.close(file)


def store_file(store: Folder, inside: Path, base: Path, file: DataFile) -> None:
    """Copies the file that ``scan_output`` saw, or refuses (Unsafe) what has taken its place:
    ``inside`` is the real path of the run's output folder."""
    opened = job_files.open_inside(inside, base / file.path)
    if opened is None:
        raise job_files.Unsafe(f"its output {file.path} changed while it was stored")
    try:
        if job_files.digest_of(opened) != file.sha256:
            raise job_files.Unsafe(f"its output {file.path} changed while it was stored")
        store.write(file.path, Path(f"/proc/self/fd/{opened}"))
    finally:
        os.close(opened)
