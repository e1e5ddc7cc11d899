"""What jobs save, kept at the site between their runs, handed to the server and brought from it.

``ROOT/JOB/files`` is the folder a job's runs share; ``ROOT/JOB/last_run`` names the run that wrote
to it last; ``ROOT/runs/RUN`` says to which job a run belongs, so that a new agent process can hand
over what an earlier one's run left. An engine whose work can see a folder of the agent's names it
(``KeepsCheckpoints``); under any other a job starts afresh each time.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from westward.agent import job_files
from westward.agent.data_cache import digest_of
from westward.agent.engines.base import Engine, RunResult
from westward.agent.engines.processes import write_atomic
from westward.agent.link import Refused, ServerLink, SessionEnded
from westward.model.wire import (
    CHECKPOINT_TOO_LARGE,
    Ack,
    CheckpointAnswer,
    CheckpointAsk,
    CheckpointFetched,
    CheckpointPart,
    Grant,
    KeptCheckpoint,
    PartAnswer,
    PartAsk,
    PartData,
    SavedCheckpoint,
    SavedFile,
)

PART_BYTES = 2**20
"""Of one request: it must pass within the time of one, over a slow line too."""
KEEP_JOBS = 100
"""Folders of jobs that have no run here, newest first."""
log = logging.getLogger("westward.agent")


@runtime_checkable
class KeepsCheckpoints(Protocol):
    """An engine whose jobs can write into a folder that the agent reads."""

    def checkpoint_root(self) -> Path: ...


class FetchFailed(Exception):
    """The server's checkpoint could not be brought here; the text says why."""


class Checkpoints:
    """One site's. Methods that are not ``async`` only touch this machine's files."""

    def __init__(self, engine: Engine, link: ServerLink):
        self.link = link
        self.root = engine.checkpoint_root() if isinstance(engine, KeepsCheckpoints) else None

    def folder(self, job_id: str) -> Path:
        assert self.root is not None
        return self.root / job_id / "files"

    def must_fetch(self, grant: Grant) -> bool:
        """Whether the server holds a newer checkpoint than lies here."""
        order = grant.checkpoint
        if order is None or self.root is None or not order.server_has:
            return False
        wrote = _text(self.root / grant.job_id / "last_run")
        return not (wrote == order.last_run_id and self.folder(grant.job_id).is_dir())

    def ready(self, grant: Grant) -> Grant:
        """The grant with what the run is to be told; its folder stands. OSError: disk trouble."""
        order = grant.checkpoint
        if order is None or self.root is None:
            return grant
        folder = self.folder(grant.job_id)
        path = folder / PurePosixPath(order.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.root / "runs").mkdir(exist_ok=True)
        write_atomic(str(self.root / "runs" / grant.run_id), grant.job_id)
        write_atomic(str(folder.parent / "last_run"), grant.run_id)
        envs = (
            *grant.work.envs,
            ("WESTWARD_CHECKPOINT", str(path)),
            ("WESTWARD_RESUME", str(int(_holds_a_file(folder)))),
        )
        return replace(grant, work=replace(grant.work, envs=envs))

    async def fetch(self, grant: Grant) -> None:
        """Bring the server's checkpoint here, in place of what lies here. What was brought before
        an interruption, and what is here already, is not brought again. Raises FetchFailed."""
        try:
            await self._fetch(grant)
        except (Refused, SessionEnded, OSError, ValueError) as error:
            raise FetchFailed(f"its checkpoint could not be brought here: {error}") from error

    async def _fetch(self, grant: Grant) -> None:
        run_id, token = grant.run_id, grant.token
        kept = await self.link.ask(
            run_id, "checkpoint/kept", CheckpointAsk, CheckpointAsk(token=token), KeptCheckpoint
        )
        if not kept.run_id:
            return
        folder = self.folder(grant.job_id)
        coming = folder.with_name("coming")
        brought = 0
        for one in kept.files:
            target = _below(coming, one.path)
            if one.link:
                await asyncio.to_thread(_make_link, coming, target, one.link)
            elif not await asyncio.to_thread(_have, target, folder / one.path, one):
                brought += await self._bring(run_id, token, one, target)
        await asyncio.to_thread(_take_over, coming, folder)
        message = CheckpointFetched(token=token, size_bytes=brought)
        await self.link.ask(run_id, "checkpoint/fetched", CheckpointFetched, message, Ack)
        log.info("run %s: checkpoint of %s brought, %d bytes", run_id, kept.site, brought)

    async def _bring(self, run_id: str, token: int, one: SavedFile, target: Path) -> int:
        part = target.with_name(target.name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        had = part.stat().st_size if part.exists() else 0
        brought = 0
        while had < one.size_bytes:
            wanted = PartAsk(token=token, sha256=one.sha256, offset=had, most=PART_BYTES)
            answer = await self.link.ask(run_id, "checkpoint/read", PartAsk, wanted, PartData)
            data = base64.b64decode(answer.data_b64, validate=True)
            if not data:
                raise ValueError(f"{one.path} ends after {had} of {one.size_bytes} bytes")
            await asyncio.to_thread(_append, part, data)
            had += len(data)
            brought += len(data)
        part.touch()
        if await asyncio.to_thread(digest_of, part) != one.sha256:
            part.unlink()
            raise ValueError(f"{one.path} came with another digest")
        os.replace(part, target)
        return brought

    async def hand_over(
        self, run_id: str, token: int, result: RunResult, given_up: Callable[[], bool]
    ) -> None:
        """Give the server what a preempted run left, so that the job can go on anywhere. A refusal
        leaves it here: the job then goes on from what the server has, or here."""
        job_id = _text(self.root / "runs" / run_id) if self.root is not None else None
        if job_id is None or result.outcome != "preempted":
            return
        folder = self.folder(job_id)
        try:
            files = await asyncio.to_thread(scan, folder)
            if any(not one.link for one in files):
                await self._send(run_id, token, folder, files, given_up)
        except (Refused, SessionEnded, OSError) as error:
            log.error("run %s: its checkpoint stays here: %s", run_id, error)

    async def _send(
        self,
        run_id: str,
        token: int,
        folder: Path,
        files: tuple[SavedFile, ...],
        given_up: Callable[[], bool],
    ) -> None:
        paths = {one.sha256: one for one in files if not one.link}
        while not given_up():
            saved = SavedCheckpoint(token=token, files=files)
            answer = await self.link.ask(
                run_id, "checkpoint", SavedCheckpoint, saved, CheckpointAnswer
            )
            if not answer.accepted:
                level = logging.WARNING if answer.reason == CHECKPOINT_TOO_LARGE else logging.ERROR
                log.log(level, "run %s: checkpoint refused: %s", run_id, answer.reason)
                return
            if not answer.missing:
                log.info("run %s: checkpoint of %d files handed over", run_id, len(files))
                return
            for sha256, had in answer.missing:
                await self._send_file(run_id, token, folder, paths[sha256], had, given_up)

    async def _send_file(
        self,
        run_id: str,
        token: int,
        folder: Path,
        one: SavedFile,
        had: int,
        given_up: Callable[[], bool],
    ) -> None:
        offset = had
        while not given_up():
            data = await asyncio.to_thread(_read, folder, one.path, offset)
            part = CheckpointPart(
                token=token,
                sha256=one.sha256,
                size_bytes=one.size_bytes,
                offset=offset,
                data_b64=base64.b64encode(data).decode("ascii"),
            )
            answer = await self.link.ask(
                run_id, "checkpoint/part", CheckpointPart, part, PartAnswer
            )
            if not answer.accepted or answer.next_offset >= one.size_bytes:
                return
            if answer.next_offset == 0 and offset + len(data) >= one.size_bytes:
                raise OSError(f"{one.path} changed while it was read")
            offset = answer.next_offset

    def forget(self, run_id: str, outcome: str | None) -> None:
        """The run is over and acknowledged. A job that succeeded needs nothing more."""
        if self.root is None:
            return
        note = self.root / "runs" / run_id
        job_id = _text(note)
        if job_id is None:
            return
        note.unlink(missing_ok=True)
        if outcome == "succeeded":
            job_files.remove(self.root / job_id)
        self._prune()

    def _prune(self) -> None:
        assert self.root is not None
        busy = {_text(note) for note in (self.root / "runs").iterdir()}
        idle = [one for one in self.root.iterdir() if one.name not in ("runs", *busy)]
        if len(idle) > KEEP_JOBS:
            idle.sort(key=lambda one: (one.stat().st_mtime_ns, one.name))
            for old in idle[:-KEEP_JOBS]:
                job_files.remove(old)


def scan(folder: Path) -> tuple[SavedFile, ...]:
    """Every file below ``folder`` with its digest, by path; links that lead out of it, sockets and
    pipes carry nothing over. Raises OSError (``job_files.Unsafe``)."""
    found: list[SavedFile] = []
    inside = job_files.real(folder)
    for path in job_files.entries(folder):
        shown = job_files.name_below(path, folder)
        if path.is_symlink():
            link = os.readlink(path)
            leads = job_files.real(path.parent / link)
            if not os.path.isabs(link) and link.isprintable() and leads.is_relative_to(inside):
                found.append(SavedFile(path=shown, link=link))
            continue
        file = job_files.open_inside(inside, path)
        if file is None:
            continue
        try:
            size_bytes = os.fstat(file).st_size
            found.append(
                SavedFile(path=shown, size_bytes=size_bytes, sha256=job_files.digest_of(file))
            )
        finally:
            os.close(file)
    return tuple(sorted(found, key=lambda one: one.path))


def _holds_a_file(folder: Path) -> bool:
    try:
        return any(True for _ in job_files.entries(folder))
    except job_files.Unsafe:
        return True


def _below(folder: Path, path: str) -> Path:
    """ValueError for a path that leads out: the server checks too, but this disk is ours."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ValueError(f"the path {path!r} leads out of the checkpoint")
    return folder / parts


def _make_link(folder: Path, target: Path, link: str) -> None:
    if os.path.isabs(link) or not (target.parent / link).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the link {target.name!r} leads out of the checkpoint")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(link)


def _have(target: Path, old: Path, one: SavedFile) -> bool:
    """Whether ``target`` is there, or can be had from what lies here."""
    for path in (target, old):
        if path.is_file() and not path.is_symlink() and path.stat().st_size == one.size_bytes:
            if digest_of(path) != one.sha256:
                continue
            if path != target:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copy2(path, target)
            return True
    return False


def _take_over(coming: Path, folder: Path) -> None:
    """``coming`` becomes ``folder``. In between there is none: then it is fetched again."""
    (folder.parent / "last_run").unlink(missing_ok=True)
    coming.mkdir(parents=True, exist_ok=True)
    job_files.remove(folder)
    os.replace(coming, folder)


def _append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def _read(folder: Path, path: str, offset: int) -> bytes:
    file = job_files.open_inside(job_files.real(folder), folder / path)
    if file is None:
        raise job_files.Unsafe(f"{path} changed while it was read")
    try:
        return os.pread(file, PART_BYTES, offset)
    finally:
        os.close(file)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
