"""Polls and submissions of one job, past the framework: most of what a busy server does.

Each costs the framework's routing, dependencies and copies more time than it costs the database.
So those that are as they should be are read and answered here. Everything else, a body that has not
the right form above all, goes to the application as it came: there is one wording of errors, one
description for OpenAPI, and one function that answers each (``api_agent.hold_poll``,
``api_jobs.submit_job``). Who asks, and by which rule, ``Gate`` has said before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from westward.model.faults import InputFaults
from westward.model.wire import Poll
from westward.server.api_agent import hold_poll
from westward.server.api_jobs import JobRequest, submit_job
from westward.server.core import Core
from westward.server.errors import ApiError, answer_of, faults_answer
from westward.server.limits import replayed
from westward.server.rights import check_route

POLL_PATH = "/v1/agent/poll"
SUBMIT_PATH = "/v1/jobs"
_POLL = TypeAdapter(Poll)
Handler = Callable[[bytes, Core, Request], Awaitable[Response]]
"""Raises _NotTheForm before it has done anything."""


class Direct:
    """ASGI middleware; stands behind ``Gate``, which says who asks, and ``BodyLimit``."""

    def __init__(self, app: ASGIApp, core: Core) -> None:
        self.app = app
        self.core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = _HANDLERS.get(scope["path"]) if scope["type"] == "http" else None
        if handler is None or scope["method"] != "POST" or not _is_json(scope):
            await self.app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body", False):
            messages.append(await receive())
        body = b"".join(one.get("body", b"") for one in messages)
        try:
            answer = await handler(body, self.core, Request(scope, receive))
        except _NotTheForm:
            await self.app(scope, replayed(messages, receive), send)
            return
        except ApiError as error:
            answer = answer_of(error)
        except InputFaults as error:
            answer = faults_answer(error)
        await answer(scope, receive, send)


class _NotTheForm(Exception):
    """For the framework to say."""


async def _poll(body: bytes, core: Core, request: Request) -> Response:
    try:
        poll = _POLL.validate_json(body)
    except ValidationError:
        raise _NotTheForm from None
    return await hold_poll(poll, core, request, request.scope["state"]["speaker"])


async def _submit(body: bytes, core: Core, request: Request) -> Response:
    judged = request.scope["state"]["judged"]
    check_route(judged, SUBMIT_PATH)
    try:
        asked = JobRequest.model_validate_json(body)
    except ValidationError:
        raise _NotTheForm from None
    return await submit_job(asked, core, judged)


_HANDLERS: dict[str, Handler] = {POLL_PATH: _poll, SUBMIT_PATH: _submit}


def _is_json(scope: Scope) -> bool:
    """By the header that the framework goes by, the first."""
    kinds = (value for name, value in scope["headers"] if name == b"content-type")
    media_type: bytes = next(kinds, b"").partition(b";")[0]
    return media_type.strip().lower() == b"application/json"
