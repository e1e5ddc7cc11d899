"""The character NUL, which PostgreSQL keeps in no text and no name here has: refused at the door
(422), in paths, queries and JSON bodies, before anything is looked up by it."""

from __future__ import annotations

import json

from starlette.types import ASGIApp, Receive, Scope, Send

from westward.server.errors import ApiError, answer_of

_ESCAPED = b"\\u0000"
"""JSON has no other way to write it."""


class NoNul:
    """ASGI middleware for what a request's line holds. Bodies: ``holds_nul``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ("\0" in scope["path"] or b"%00" in scope["query_string"]):
            await answer_of(refusal())(scope, receive, send)
            return
        await self.app(scope, receive, send)


def refusal() -> ApiError:
    return ApiError(422, "malformed-request", "the request holds the character NUL (\\u0000)")


def holds_nul(body: bytes) -> bool:
    """Whether a text or a key of a JSON document holds it. What is no JSON is for others to say."""
    if _ESCAPED not in body:
        return False
    try:
        waiting = [json.loads(body)]
    except (ValueError, RecursionError):
        return False
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if "\0" in value:
                return True
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
    return False
