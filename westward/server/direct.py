"""Polls, past the framework: most of what a server with many sites does.

A poll costs the framework's routing, dependencies and copies more time than it costs the database.
So polls that are as they should be are read and answered here. Everything else, a body that is not
a poll above all, goes to the application as it came: there is one wording of errors, one description
for OpenAPI, and one function that answers polls (``api_agent.hold_poll``).
"""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from westward.model.wire import Poll
from westward.server.api_agent import hold_poll
from westward.server.core import Core
from westward.server.errors import ApiError, answer_of
from westward.server.limits import replayed

POLL_PATH = "/v1/agent/poll"
_POLL = TypeAdapter(Poll)


class Direct:
    """ASGI middleware; stands behind ``Gate``, which says who asks, and ``BodyLimit``."""

    def __init__(self, app: ASGIApp, core: Core) -> None:
        self.app = app
        self.core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["path"] != POLL_PATH
            or scope["method"] != "POST"
            or not _is_json(scope)
        ):
            await self.app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body", False):
            messages.append(await receive())
        try:
            poll = _POLL.validate_json(b"".join(one.get("body", b"") for one in messages))
        except ValidationError:
            await self.app(scope, replayed(messages, receive), send)
            return
        request = Request(scope, receive)
        try:
            answer = await hold_poll(poll, self.core, request, scope["state"]["speaker"])
        except ApiError as error:
            answer = answer_of(error)
        await answer(scope, receive, send)


def _is_json(scope: Scope) -> bool:
    """By the header that the framework goes by, the first."""
    kinds = (value for name, value in scope["headers"] if name == b"content-type")
    media_type: bytes = next(kinds, b"").partition(b";")[0]
    return media_type.strip().lower() == b"application/json"
