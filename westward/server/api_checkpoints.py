"""For site agents: handing a stopped run's checkpoint over, and bringing it to another site.

Every request carries the run's fencing token and is safe to repeat. The bytes go through memory in
parts; nothing of them enters the database.
"""

from __future__ import annotations

import base64

from fastapi import APIRouter

from westward.control.machine import Ignored
from westward.model.wire import (
    CHECKPOINT_TOO_LARGE,
    Ack,
    CheckpointAnswer,
    CheckpointAsk,
    CheckpointFetched,
    CheckpointPart,
    KeptCheckpoint,
    PartAnswer,
    PartAsk,
    PartData,
    SavedCheckpoint,
)
from westward.server.api_jobs import CoreDep
from westward.server.checkpoint_files import PART_MOST_BYTES, WrongFiles, check_files
from westward.server.errors import ApiError, not_found
from westward.server.limits import check_message
from westward.store.checkpoints import holder, kept_checkpoint, note_move, save_checkpoint

router = APIRouter(prefix="/v1/agent", tags=["agents"])


@router.post("/runs/{run_id}/checkpoint")
async def save(run_id: str, message: SavedCheckpoint, core: CoreDep) -> CheckpointAnswer:
    """What the run left. Answered with what is missing, until nothing is: then it is kept."""
    check_message(message)
    job_id = await core.read(holder, core.store, run_id, message.token)
    if isinstance(job_id, Ignored):
        return CheckpointAnswer(accepted=False, reason=f"{job_id.code}: {job_id.reason}")
    files = core.checkpoint_files
    try:
        check_files(message.files)
        size_bytes = sum(one.size_bytes for one in message.files)
        fits = size_bytes <= core.settings.checkpoint_most_bytes and await core.read(
            files.room_for, job_id, message.files
        )
        missing = await core.read(files.missing, job_id, message.files) if fits else ()
    except WrongFiles as error:
        raise ApiError(422, "malformed-request", str(error)) from error
    if missing:
        return CheckpointAnswer(accepted=True, missing=missing)
    saved = await core.write(
        save_checkpoint,
        core.store,
        run_id,
        message.token,
        message.files,
        at_server=fits,
        now_ms=core.clock.now_ms(),
    )
    if isinstance(saved, Ignored):
        return CheckpointAnswer(accepted=False, reason=f"{saved.code}: {saved.reason}")
    if not saved.at_server:
        return CheckpointAnswer(accepted=False, reason=CHECKPOINT_TOO_LARGE)
    await core.read(files.keep_only, job_id, saved.files)
    core.jobs.ring(job_id)
    return CheckpointAnswer(accepted=True)


@router.post("/runs/{run_id}/checkpoint/part")
async def take_part(run_id: str, message: CheckpointPart, core: CoreDep) -> PartAnswer:
    try:
        check_message(message)
        data = base64.b64decode(message.data_b64, validate=True)
    except ValueError as error:
        raise ApiError(422, "malformed-request", f"data_b64: {error}") from error
    most = core.settings.checkpoint_most_bytes
    if len(data) > PART_MOST_BYTES or message.offset < 0 or not 0 <= message.size_bytes <= most:
        raise ApiError(422, "malformed-request", "part too large, or a number out of range")
    job_id = await core.read(holder, core.store, run_id, message.token)
    if isinstance(job_id, Ignored):
        return PartAnswer(accepted=False, reason=f"{job_id.code}: {job_id.reason}")
    try:
        had = await core.read(
            core.checkpoint_files.append,
            job_id,
            message.sha256,
            message.size_bytes,
            message.offset,
            data,
        )
    except WrongFiles as error:
        raise ApiError(422, "malformed-request", str(error)) from error
    return PartAnswer(accepted=True, next_offset=had)


@router.post("/runs/{run_id}/checkpoint/kept")
async def kept(run_id: str, message: CheckpointAsk, core: CoreDep) -> KeptCheckpoint:
    """The newest that the server holds of the run's job; an empty one if it holds none."""
    check_message(message)
    job_id = await core.read(holder, core.store, run_id, message.token)
    if isinstance(job_id, Ignored):
        raise ApiError(410, "run-over", job_id.reason)
    found = await core.read(kept_checkpoint, core.store, job_id)
    if found is None:
        return KeptCheckpoint()
    return KeptCheckpoint(run_id=found.run_id, site=found.site, files=found.files)


@router.post("/runs/{run_id}/checkpoint/read")
async def give_part(run_id: str, message: PartAsk, core: CoreDep) -> PartData:
    check_message(message)
    if message.offset < 0 or not 0 < message.most <= PART_MOST_BYTES:
        raise ApiError(422, "malformed-request", "a number out of range")
    job_id = await core.read(holder, core.store, run_id, message.token)
    if isinstance(job_id, Ignored):
        raise ApiError(410, "run-over", job_id.reason)
    try:
        data = await core.read(
            core.checkpoint_files.read, job_id, message.sha256, message.offset, message.most
        )
    except WrongFiles as error:
        raise ApiError(422, "malformed-request", str(error)) from error
    except FileNotFoundError:
        raise not_found("file of the checkpoint", message.sha256) from None
    return PartData(data_b64=base64.b64encode(data).decode("ascii"))


@router.post("/runs/{run_id}/checkpoint/fetched")
async def fetched(run_id: str, message: CheckpointFetched, core: CoreDep) -> Ack:
    """The site has it: for the job's record and its bill."""
    check_message(message)
    if message.size_bytes < 0:
        raise ApiError(422, "malformed-request", "a negative number")
    noted = await core.write(
        note_move, core.store, run_id, message.token, message.size_bytes, core.clock.now_ms()
    )
    if isinstance(noted, Ignored):
        return Ack(accepted=False, reason=f"{noted.code}: {noted.reason}")
    core.jobs.ring(noted.run_id)
    return Ack(accepted=True)
