"""What a world's users ask of its server, each until it has an answer: jobs, whims, more money.

Each is a coroutine function that asks once, by the net as it is. Raises TimeoutError or OSError where
there was no answer, or none that counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from westward.control.events import CancelRequested, PauseRequested, ResumeRequested
from westward.faultsim.build import gift
from westward.faultsim.checkers import Truth
from westward.faultsim.net import Answer, Caller, Net
from westward.faultsim.scenario import Whim
from westward.model.job import JobSpec
from westward.server.api_jobs import to_all
from westward.server.api_lives import MoveRequest, move
from westward.server.core import Core
from westward.store.database import Store
from westward.store.jobs import submit_jobs
from westward.store.ledger import open_accounts, post
from westward.store.results import Submission, Submitted

TIMEOUT_MS = 10_000
GIFT_MICROS = 10**15
"""After the heal: nobody is short of money any more."""

Ask = Callable[[], Awaitable[None]]


def submits(net: Net, truth: Truth, job: JobSpec, refused: str = "") -> Ask:
    submission = Submission(job=job, body_digest=f"digest of {job.job_id}", refused=refused or None)

    async def serve(core: Core, _caller: Caller) -> Answer:
        answers = await core.write(submit_jobs, core.store, (submission,), core.clock.now_ms())
        (answer,) = answers
        if not isinstance(answer, Submitted):
            raise RuntimeError(f"{job.job_id}: {answer.reason}")
        core.submitted("v1", answer.record, answer.created)
        core.queue_changed()
        return 201, b""

    async def ask() -> None:
        status, _ = await net.call("users", "submit", serve, TIMEOUT_MS)
        if status != 201:
            raise OSError("the server could not take it")
        truth.told.add(job.job_id)

    return ask


def follows(net: Net, truth: Truth, whim: Whim) -> Ask:
    async def serve(core: Core, _caller: Caller) -> Answer:
        if whim.kind == "move":
            told = await move(whim.job_id, MoveRequest(to=whim.to), core)
        else:
            event: Any = {
                "cancel": CancelRequested(),
                "suspend": PauseRequested(kind="suspend", by="the owner"),
                "resume": ResumeRequested(by="the owner"),
            }[whim.kind]
            told = await to_all(core, whim.job_id, event)
        return 200, b"yes" if told["accepted"] else b"no"

    async def ask() -> None:
        status, answer = await net.call("users", whim.kind, serve, TIMEOUT_MS)
        if status >= 500:
            raise OSError("the server could not do it")
        if status == 200 and answer == b"yes" and whim.kind == "cancel":
            truth.cancels.add(whim.job_id)

    return ask


def fills(net: Net, project: str) -> Ask:
    accounts, transfers = gift(project, GIFT_MICROS, f"healed-{project}")

    def give(store: Store, now_ms: int) -> None:
        open_accounts(store, accounts, now_ms)
        post(store, transfers, now_ms)

    async def serve(core: Core, _caller: Caller) -> Answer:
        await core.write(give, core.store, core.clock.now_ms())
        core.queue_changed()
        return 200, b""

    async def ask() -> None:
        status, _ = await net.call("users", "fund", serve, TIMEOUT_MS)
        if status != 200:
            raise OSError("the server could not take it")

    return ask
