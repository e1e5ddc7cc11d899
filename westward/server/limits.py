"""What a request may weigh. Everything that comes from outside has a named limit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Hashable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from westward.model.wire import Reading
from westward.server.errors import ApiError, answer_of
from westward.server.no_nul import holds_nul, refusal

BODY_MOST_BYTES = 8 * 2**20
"""Of one request. A task text of TASK_TEXT_MOST characters fits, however it is escaped."""
BODY_WITHIN_S = 30.0
"""From the first to the last byte of a request's body."""
TEXT_MOST_CHARS = 4_096
"""Of each text in an agent's message, log bytes aside."""
NAME_MOST_CHARS = 200
"""Of a name that is a column of the database: PostgreSQL holds to it, SQLite does not."""
INTEGER_MOST = 2**53
"""What every JSON reader and the database can hold."""
_SURROGATES = re.compile("[\ud800-\udfff]")


class BodyLimit:
    """ASGI middleware: refuses bodies that are too large (413) or too slow (408) before anything
    else sees them, and holds at most BODY_MOST_BYTES of each."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                messages = await _whole(receive)
        except TimeoutError:
            slow = ApiError(408, "too-slow", "the request took too long")
            await _refuse(scope, receive, send, slow)
            return
        if messages is None:
            text = f"a request may have {BODY_MOST_BYTES} bytes"
            await _refuse(scope, receive, send, ApiError(413, "too-large", text))
            return
        if holds_nul(b"".join(one.get("body", b"") for one in messages)):
            await answer_of(refusal())(scope, receive, send)
            return
        await self.app(scope, replayed(messages, receive), send)


def replayed(messages: Sequence[Message], receive: Receive) -> Receive:
    """Says ``messages`` once more, then what ``receive`` says."""
    waiting = iter(messages)

    async def again() -> Message:
        return next(waiting, None) or await receive()

    return again


async def _whole(receive: Receive) -> list[Message] | None:
    """The whole body's messages; None if it is larger than allowed."""
    messages: list[Message] = []
    size = 0
    while True:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if size > BODY_MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return messages


async def _refuse(scope: Scope, receive: Receive, send: Send, error: ApiError) -> None:
    await answer_of(error, headers={"connection": "close"})(scope, receive, send)


def check_message(message: object) -> None:
    """An agent's message with numbers and texts as they can be. Raises ApiError (422)."""
    kind = type(message)
    for field in _names(cast(Hashable, kind)):
        value = getattr(message, field)
        if isinstance(value, tuple):
            for one in value:
                check_message(one)
        elif isinstance(value, str):
            most = NAME_MOST_CHARS if field == "agent_id" else TEXT_MOST_CHARS
            if field != "data_b64" and len(value) > most:
                raise _malformed(f"{kind.__name__}.{field} has more than {most} characters")
            if not value.isascii() and _SURROGATES.search(value):
                raise _malformed(
                    f"{kind.__name__}.{field} holds half a character (\\ud800 to \\udfff)"
                )
        elif isinstance(value, int):
            least = 0 if kind is Reading else -INTEGER_MOST
            if not least <= value <= INTEGER_MOST:
                raise _malformed(f"{kind.__name__}.{field} is out of range")


@cache
def _names(kind: Any) -> tuple[str, ...]:
    """Of its fields, if it is a dataclass."""
    return tuple(one.name for one in fields(kind)) if is_dataclass(kind) else ()


def _malformed(text: str) -> ApiError:
    return ApiError(422, "malformed-request", text)
