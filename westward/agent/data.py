"""Data sets for runs: brought before a run starts, under its lease, through the site's cache.

The server names a copy (and has then checked and written down the data set's terms); the agent
fetches it in parts, checks every file's digest, meters what it fetched, and only then may the run
start. ``ROOT/runs/RUN.json`` holds the grant until the run is over: a new agent process goes on
with what an earlier one was bringing. Reading is done in threads of this module's own, so that
polls, and with them every lease, never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable
from weakref import WeakValueDictionary

from pydantic import TypeAdapter

from westward.agent.data_cache import DataCache, NoRoom, write_at
from westward.agent.data_urls import Absent, Folder, Unreadable
from westward.agent.engines.base import Engine
from westward.agent.engines.processes import boot_ms, write_atomic
from westward.agent.link import Refused, ServerLink, SessionEnded
from westward.agent.words import told
from westward.model.dataset import DataFile, manifest_digest
from westward.model.job import DataInput, FileMount
from westward.model.units import parse_bytes
from westward.model.wire import (
    Ack,
    DataAsk,
    DataMoved,
    DataSource,
    DataStaged,
    Grant,
    Outcome,
)

PART_BYTES = 8 * 2**20
"""Fetched at once; after a crash at most this much is fetched again."""
METER_EVERY_MS = 1_000
READERS = 4
TRIES = 4
"""Of one part, with pauses of TRY_FIRST_MS, doubled each time, between them."""
TRY_FIRST_MS = 500
CACHE_DEFAULT = "50GB"
_GRANT: TypeAdapter[Grant] = TypeAdapter(Grant)
T = TypeVar("T")
log = logging.getLogger("westward.agent")


@runtime_checkable
class SharesFiles(Protocol):
    """An engine whose jobs see the agent's files under the same path, and the agent theirs."""

    def data_root(self) -> Path: ...

    def output_folder(self, run_id: str) -> Path: ...


class DataFailed(Exception):
    """A data set could not be brought. ``outcome`` is "failed" where the data (or the job's wish)
    is at fault: another try would end the same; "lease-expired" where the site is."""

    def __init__(self, detail: str, outcome: Outcome):
        self.outcome: Outcome = outcome
        super().__init__(detail)


class _WrongBytes(Exception):
    """A copy does not hold what the catalogue says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """``store``: URL where the outputs of jobs are kept; None = a folder of the site's own."""

    store: str | None
    cache_bytes: int


def take_settings(options: dict[str, str]) -> DataSettings:
    """Takes ``store`` and ``cache`` out of the agent's options, so that the engine does not see
    them. Raises ValueError."""
    store = options.pop("store", None)
    if store is not None and not store.startswith(("file:///", "s3://")):
        raise ValueError(f"the option store: {store!r} is not a file:/// or s3:// URL")
    try:
        cache_bytes = parse_bytes(options.pop("cache", CACHE_DEFAULT))
    except ValueError as error:
        raise ValueError(f"the option cache: {error}") from None
    return DataSettings(store=store, cache_bytes=cache_bytes)


class RunNotes:
    """Grants of runs with data, on disk from before their data is fetched until they are over."""

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def write(self, grant: Grant) -> None:
        write_atomic(str(self.root / f"{grant.run_id}.json"), _GRANT.dump_json(grant).decode())

    def read(self, run_id: str) -> Grant | None:
        try:
            return _GRANT.validate_json((self.root / f"{run_id}.json").read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            log.error("the note of run %s cannot be read: %s", run_id, error)
            return None

    def all(self) -> list[Grant]:
        found = (self.read(path.stem) for path in sorted(self.root.glob("*.json")))
        return [one for one in found if one is not None]

    def next_sequence(self, run_id: str) -> int:
        """Never the same for a run, whatever crashes."""
        path = self.root / f"{run_id}.sequence"
        number = int(path.read_text()) if path.exists() else 0
        write_atomic(str(path), str(number + 1))
        return number

    def drop(self, run_id: str) -> None:
        (self.root / f"{run_id}.json").unlink(missing_ok=True)
        (self.root / f"{run_id}.sequence").unlink(missing_ok=True)


class Data:
    """One site's. ``root`` None: its engine's jobs cannot see the agent's files."""

    def __init__(self, engine: Engine, link: ServerLink, cache_bytes: int | None = None):
        self.link = link
        self.root = engine.data_root() if isinstance(engine, SharesFiles) else None
        self.threads = ThreadPoolExecutor(READERS, thread_name_prefix="data")
        self._fetching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By digest; gone with the last run that waits for it."""
        if self.root is not None:
            most = parse_bytes(CACHE_DEFAULT) if cache_bytes is None else cache_bytes
            self.cache = DataCache(self.root / "cache", most)
            self.notes = RunNotes(self.root / "runs")

    def must_stage(self, grant: Grant) -> bool:
        return bool(grant.inputs or grant.outputs)

    def unstarted(self, known: Collection[str]) -> list[Grant]:
        """Grants whose data an earlier agent process was bringing; ``known``: the engine's."""
        if self.root is None:
            return []
        return [one for one in self.notes.all() if one.run_id not in known]

    def forget(self, run_id: str) -> None:
        """The run is over, or will never start here: its data sets may be removed."""
        if self.root is not None:
            self.notes.drop(run_id)

    def ready(self, grant: Grant) -> Grant:
        """The grant with its data sets as folders of the run."""
        if not grant.inputs:
            return grant
        mounts = tuple(
            FileMount(target=one.target, source=str(self.cache.files(one.digest)), mode="MOUNT")
            for one in grant.inputs
        )
        work = replace(grant.work, file_mounts=(*grant.work.file_mounts, *mounts))
        return replace(grant, work=work)

    async def stage(self, grant: Grant) -> None:
        """Every input whole in the cache. Raises DataFailed."""
        if self.root is None:
            text = (
                "jobs of this site's engine cannot see data sets that the agent brings; name a "
                "site with another engine (infra:)"
            )
            raise DataFailed(text, "failed")
        try:
            await self.in_thread(self.notes.write, grant)
            for one in grant.inputs:
                async with self._fetching.setdefault(one.digest, asyncio.Lock()):
                    await self._stage_one(grant, one)
        except (Refused, SessionEnded) as error:
            raise DataFailed(f"the server does not let it read on: {error}", "lease-expired") from (
                error
            )
        except (OSError, NoRoom) as error:
            raise DataFailed(f"the site cannot hold its data: {error}", "lease-expired") from error

    async def _stage_one(self, grant: Grant, one: DataInput) -> None:
        """Source after source until one holds what the catalogue says."""
        refused: list[str] = []
        problems: list[str] = []
        wrong = False
        ask = DataAsk(token=grant.token, dataset=one.dataset, version=one.version)
        reference = f"{one.dataset}@{one.version}"
        while True:
            source = await self.link.ask(grant.run_id, "data/source", DataAsk, ask, DataSource)
            if not source.site:
                outcome: Outcome = "lease-expired" if problems and not wrong else "failed"
                text = "; ".join([*problems, source.reason])
                raise DataFailed(f"data set {reference}: {text}", outcome)
            if source.digest != one.digest or manifest_digest(source.files) != one.digest:
                text = f"data set {reference}: the catalogue's manifest has another digest"
                raise DataFailed(text, "failed")
            entry = await self.in_thread(self.cache.find, one.digest, source.files)
            try:
                if entry is None:
                    await self._fetch(grant, one, source)
                await self._tell_staged(grant, one, source, entry.source_site if entry else None)
                return
            except (_WrongBytes, Unreadable) as error:
                mine = isinstance(error, Unreadable)
                wrong = wrong or not mine
                whose = "cannot be read from here" if mine else "is not what the catalogue says"
                problems.append(f"its copy at {source.site} {whose}: {error}")
                log.error("run %s: %s: %s", grant.run_id, reference, problems[-1])
                refused.append(source.site)
                ask = replace(
                    ask, refused=tuple(refused), suspect=not mine, problem=told(str(error))
                )

    async def _tell_staged(
        self, grant: Grant, one: DataInput, source: DataSource, cached_from: str | None
    ) -> None:
        message = DataStaged(
            token=grant.token,
            dataset=one.dataset,
            version=one.version,
            digest=one.digest,
            source_site=cached_from or source.site,
            cached=cached_from is not None,
        )
        ack = await self.link.ask(grant.run_id, "data/staged", DataStaged, message, Ack)
        if not ack.accepted:
            raise DataFailed(f"data set {one.dataset}@{one.version}: {ack.reason}", "lease-expired")

    async def _fetch(self, grant: Grant, one: DataInput, source: DataSource) -> None:
        """Bring what is missing. What came before an interruption is not fetched again."""
        in_use = {used.digest for note in self.notes.all() for used in note.inputs}
        await self.in_thread(self.cache.make_room, one.digest, one.size_bytes, in_use)
        folder = await self.in_thread(Folder, source.url)
        meter = _Meter(self, grant, one, source.site)
        try:
            for file in source.files:
                whole = self.cache.whole_file(one.digest, file)
                if whole.is_file() and whole.stat().st_size == file.size_bytes:
                    continue
                resumed = await self._fetch_file(one.digest, folder, file, meter)
                if await self.in_thread(self.cache.accept, one.digest, file):
                    continue
                if resumed:  # perhaps what lay here was wrong, not the copy
                    await self._fetch_file(one.digest, folder, file, meter)
                    if await self.in_thread(self.cache.accept, one.digest, file):
                        continue
                raise _WrongBytes(f"{file.path} has another SHA-256 than {file.sha256[:12]}…")
        finally:
            await meter.report()
        await self.in_thread(self.cache.finish, one.digest, source.files, source.site)
        log.info("run %s: %s@%d is here", grant.run_id, one.dataset, one.version)

    async def _fetch_file(self, digest: str, folder: Folder, file: DataFile, meter: _Meter) -> bool:
        """True if some of it was here already."""
        coming = self.cache.coming_file(digest, file)
        had = min(coming.stat().st_size, file.size_bytes) if coming.exists() else 0
        resumed = had > 0
        if had == 0:
            await self.in_thread(write_at, coming, 0, b"")
        while had < file.size_bytes:
            began_ms = boot_ms()
            most = min(PART_BYTES, file.size_bytes - had)
            data = await self._read(folder, file.path, had, most)
            if not data:
                raise _WrongBytes(f"{file.path} ends after {had} of {file.size_bytes} bytes")
            await self.in_thread(write_at, coming, had, data)
            had += len(data)
            await meter.add(len(data), boot_ms() - began_ms)
        return resumed

    async def _read(self, folder: Folder, path: str, offset: int, most: int) -> bytes:
        for attempt in range(TRIES):
            try:
                return await self.in_thread(folder.read, path, offset, most)
            except Absent:
                raise
            except Unreadable:
                if attempt + 1 == TRIES:
                    raise
                await asyncio.sleep(TRY_FIRST_MS * 2**attempt / 1000)
        raise AssertionError("TRIES is at least 1")

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, work, *arguments)

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)


class _Meter:
    """Bytes fetched, told about once a second. What was fetched and not told when the agent dies
    is not charged."""

    def __init__(self, data: Data, grant: Grant, one: DataInput, source_site: str):
        self.data, self.grant, self.one = data, grant, one
        self.source_site = source_site
        self.size_bytes = 0
        self.wall_ms = 0

    async def add(self, size_bytes: int, wall_ms: int) -> None:
        self.size_bytes += size_bytes
        self.wall_ms += wall_ms
        if self.wall_ms >= METER_EVERY_MS:
            await self.report()

    async def report(self) -> None:
        if self.size_bytes == 0:
            return
        sequence = self.data.notes.next_sequence(self.grant.run_id)
        message = DataMoved(
            token=self.grant.token,
            sequence=sequence,
            dataset=self.one.dataset,
            version=self.one.version,
            source_site=self.source_site,
            size_bytes=self.size_bytes,
            wall_ms=self.wall_ms,
        )
        self.size_bytes = self.wall_ms = 0
        await self.data.link.ask(self.grant.run_id, "data/moved", DataMoved, message, Ack)
