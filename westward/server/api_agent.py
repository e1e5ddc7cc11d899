"""For site agents: hello, poll, and reports on runs. Every request is safe to repeat."""

from __future__ import annotations

import base64
import logging

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from westward.control import events
from westward.control.machine import Ignored, InvalidTransition
from westward.control.records import JobRecord, RunRecord
from westward.control.story import printable
from westward.control.validate import BrokenInvariant
from westward.model.wire import (
    LOG_FULL,
    LOG_GAP,
    Ack,
    CheckpointOrder,
    Grant,
    Hello,
    LogChunk,
    Poll,
    PollAnswer,
    Reading,
    Readings,
    RenewedLease,
    RunEnded,
    RunStarted,
    Welcome,
)
from westward.server.api_jobs import CoreDep
from westward.server.applier import Outcome
from westward.server.aside import Broken
from westward.server.core import Core
from westward.server.errors import ApiError, not_found
from westward.server.guard import Speaker, SpeakerDep, admit
from westward.server.limits import check_message
from westward.store.lifecycle import report_run
from westward.store.logs import append_log
from westward.store.metering import record_readings
from westward.store.results import Applied, LogGap, SessionOver, SitePoll
from westward.store.sites import hello, poll_site

LOG_CHUNK_MOST_BYTES = 2**20
router = APIRouter(prefix="/v1/agent", tags=["agents"])
log = logging.getLogger("westward.server")


@router.post("/hello")
async def say_hello(message: Hello, core: CoreDep, speaker: SpeakerDep) -> Welcome:
    """Opens a session; an older agent of the same site is superseded."""
    check_message(message)
    admit(core, speaker, message.site)
    site = next((site for site in core.network.sites if site.name == message.site), None)
    if site is None:
        raise not_found("site", message.site)
    own = {pool.name for pool in core.network.pools if pool.site == site.name}
    for name in message.pools:
        if name not in own:
            raise not_found(f"pool of site {site.name}", name)
    session = await core.write(hello, core.store, message, core.clock.now_ms())
    log.info("site %s: session %d (%r)", session.site, session.session, session.agent_id)
    core.sites.ring(session.site)
    core.plan_bell.ring()
    return Welcome(
        agent_session=session.session,
        lease_ttl_ms=core.settings.lease_ttl_ms,
        poll_wait_ms=core.settings.poll_wait_ms,
        rotate_ms=core.settings.rotate_ms if speaker.site is not None else None,
    )


@router.post("/poll", response_model=PollAnswer)
async def poll(message: Poll, core: CoreDep, request: Request, speaker: SpeakerDep) -> Response:
    """Renews leases at once; then waits up to ``wait_ms`` for something to say."""
    return await hold_poll(message, core, request, speaker)


async def hold_poll(message: Poll, core: Core, request: Request, speaker: Speaker) -> Response:
    """Called by ``direct`` for polls that need no framework. Raises ApiError."""
    check_message(message)
    loop_ms = core.clock.now_ms
    end_ms = loop_ms() + min(message.wait_ms, core.settings.poll_wait_ms)
    with core.sites.listen(message.site) as bell:
        while True:
            if await request.is_disconnected():  # nobody there to take a lease: offer nothing
                return _written(_poll_answer(core, _NOTHING, []))
            admit(core, speaker, message.site)  # a credential may end while a poll is held
            seen = bell.rings
            answer = await core.write(
                poll_site,
                core.store,
                message.site,
                message.agent_session,
                message.runs,
                core.settings.lease_ttl_ms,
                loop_ms(),
            )
            if isinstance(answer, SessionOver):
                raise _session_over(answer)
            broken = [
                Broken(key=job_id, step="offer its run to the site", error=error)
                for job_id, error in answer.broken
            ]
            left_s = (end_ms - loop_ms()) / 1000
            something = answer.offers or answer.stops or answer.unknown or answer.pauses
            if something or left_s <= 0 or core.closing or not await bell.wait(seen, left_s):
                told = _poll_answer(core, answer, broken)
                core.metrics.polled(message.site, answer)
                await core.set_aside(broken)
                return _written(told)


def _written(answer: PollAnswer) -> Response:
    """Written here: FastAPI would copy and check what is ours already, at every poll."""
    return Response(_ANSWER.dump_json(answer), media_type="application/json")


def _session_over(answer: SessionOver) -> ApiError:
    if answer.newest is None or answer.newest < answer.session:
        text = f"no session {answer.session} of site {answer.site} is known"
        return ApiError(409, "session-unknown", text)
    text = f"session {answer.newest} has taken site {answer.site} over"
    return ApiError(409, "session-superseded", text)


_ANSWER = TypeAdapter(PollAnswer)
_NOTHING = SitePoll(renewed=(), offers=(), stops=(), unknown=())


def _poll_answer(core: Core, answer: SitePoll, broken: list[Broken]) -> PollAnswer:
    """A run that cannot be put in words goes to ``broken``; the site hears the rest."""
    ttl_ms = core.settings.lease_ttl_ms
    grants = []
    for offer in answer.offers:
        try:
            grants.append(_grant(offer.record, offer.run, ttl_ms, offer.checkpoint_kept))
        except Exception as error:
            broken.append(
                Broken(key=offer.record.job_id, step="offer its run to the site", error=error)
            )
    return PollAnswer(
        grants=tuple(grants),
        stops=answer.stops,
        leases=tuple(
            RenewedLease(run_id=run.run_id, token=run.token, ttl_ms=ttl_ms)
            for run in answer.renewed
        ),
        unknown=answer.unknown,
        pauses=answer.pauses,
    )


def _grant(record: JobRecord, run: RunRecord, ttl_ms: int, checkpoint_kept: bool) -> Grant:
    job = record.job
    saves = job.checkpoint
    option = job.options[record.bound.option if record.bound else 0]
    return Grant(
        run_id=run.run_id,
        job_id=job.job_id,
        attempt=run.attempt,
        token=run.token,
        ttl_ms=ttl_ms,
        pool=run.pool,
        nodes=job.nodes,
        devices_per_node_milli=run.need_milli // job.nodes,
        accelerator=option.accelerator,
        cpus_per_node_milli=option.cpus_milli,
        memory_per_node_mib=option.memory_mib,
        time_limit_ms=None,
        work=job.work,
        gpus_per_node=-(-option.devices_milli // 1000) if option.accelerator else 0,
        stop_signal=saves.signal if saves is not None else "TERM",
        grace_ms=saves.grace_ms if saves is not None else None,
        checkpoint=None if saves is None else _checkpoint_order(record, run, checkpoint_kept),
        inputs=job.datasets,
        outputs=job.outputs,
    )


def _checkpoint_order(record: JobRecord, run: RunRecord, kept: bool) -> CheckpointOrder:
    started = [
        one.run_id for one in record.runs if one.run_id != run.run_id and one.started_ms is not None
    ]
    assert record.job.checkpoint is not None
    return CheckpointOrder(
        path=record.job.checkpoint.path,
        last_run_id=started[-1] if started else None,
        server_has=kept,
    )


@router.post("/runs/{run_id}/started")
async def started(run_id: str, message: RunStarted, core: CoreDep) -> Ack:
    check_message(message)
    event = events.RunStarted(run_id=run_id, token=message.token, ago_ms=message.ago_ms)
    return await _report(core, run_id, event)


@router.post("/runs/{run_id}/ended")
async def ended(run_id: str, message: RunEnded, core: CoreDep) -> Ack:
    check_message(message)
    event = events.RunEnded(
        run_id=run_id,
        token=message.token,
        outcome=message.outcome,
        exit_code=message.exit_code,
        detail=printable(message.detail),
    )
    return await _report(core, run_id, event, message.readings)


async def _report(
    core: Core,
    run_id: str,
    event: events.RunStarted | events.RunEnded,
    readings: tuple[Reading, ...] = (),
) -> Ack:
    """A report that breaks an invariant is told with its job, and is an error to the sender."""
    try:
        answer = await core.write(
            report_run, core.store, run_id, event, core.clock.now_ms(), readings
        )
    except (InvalidTransition, BrokenInvariant) as error:
        step = f"take the report {type(event).__name__}"
        await core.set_aside([Broken(key=error.record.job_id, step=step, error=error)])
        raise
    core.metrics.reported(run_id, answer, len(readings))
    return _ack(core, answer)


@router.post("/runs/{run_id}/readings")
async def readings(run_id: str, message: Readings, core: CoreDep) -> Ack:
    check_message(message)
    ignored = await core.write(
        record_readings, core.store, run_id, message.token, message.readings, core.clock.now_ms()
    )
    core.metrics.readings.inc(0 if ignored else len(message.readings))
    return _ack(core, ignored)


@router.post("/runs/{run_id}/logs")
async def logs(run_id: str, message: LogChunk, core: CoreDep) -> Ack:
    try:
        check_message(message)
        data = base64.b64decode(message.data_b64, validate=True)
    except ValueError as error:
        raise ApiError(422, "malformed-request", f"data_b64: {error}") from error
    if len(data) > LOG_CHUNK_MOST_BYTES or message.offset < 0 or message.rank < 0:
        raise ApiError(422, "malformed-request", "chunk too large, or a negative number")
    answer = await core.write(
        append_log,
        core.store,
        run_id,
        message.token,
        message.rank,
        message.offset,
        data,
        core.clock.now_ms(),
    )
    if isinstance(answer, LogGap):
        return Ack(accepted=False, reason=f"{LOG_GAP} {answer.expected_offset}")
    if isinstance(answer, Ignored):
        return _ack(core, answer)
    core.jobs.ring(run_id)
    return Ack(accepted=True, reason=LOG_FULL if answer.full else "")


def _ack(core: Core, answer: Applied | Ignored | None) -> Ack:
    """A repeat is accepted: what was said is known. Other refusals mean: drop the run."""
    if isinstance(answer, Applied):
        core.announce(Outcome(list(answer.instructions), [answer.record.job_id]))
    if isinstance(answer, Ignored) and answer.code != "repeat":
        return Ack(accepted=False, reason=f"{answer.code}: {answer.reason}")
    return Ack(accepted=True)
