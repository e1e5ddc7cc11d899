"""Every refusal as JSON ``{code, message, faults: [...]}``; never a traceback."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from westward.model.faults import InputFaults
from westward.server.aside import STORE_TROUBLE

log = logging.getLogger("westward.server")


class ApiError(Exception):
    """An expected refusal with a stable code."""

    def __init__(self, status: int, code: str, message: str):
        self.status = status
        self.code = code
        super().__init__(message)


def answer_of(error: ApiError, headers: dict[str, str] | None = None) -> JSONResponse:
    """What its asker reads; for middleware, which stands outside the application's handlers."""
    return _answer(error.status, error.code, str(error), headers=headers)


def faults_answer(error: InputFaults) -> JSONResponse:
    listed = [asdict(fault) for fault in error.faults]
    return _answer(400, "invalid-input", f"{len(listed)} fault(s) in the input", listed)


def not_found(kind: str, name: str) -> ApiError:
    return ApiError(404, "not-found", f"there is no {kind} {name!r}")


def add_handlers(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def expected(_request: Request, error: ApiError) -> JSONResponse:
        return answer_of(error)

    @app.exception_handler(InputFaults)
    async def faults(_request: Request, error: InputFaults) -> JSONResponse:
        return faults_answer(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        listed = [
            {
                "file": "request",
                "row": None,
                "field": ".".join(str(part) for part in one["loc"]),
                "problem": one["msg"],
                "remedy": "See /docs for the request's form",
            }
            for one in error.errors()
        ]
        return _answer(422, "malformed-request", "the request has not the right form", listed)

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "refused")
        headers = dict(error.headers) if error.headers else {}
        access = getattr(request.app.state, "access", None)
        if error.status_code == 405 and access is not None:
            # The framework knows the first route of a path only.
            headers["Allow"] = ", ".join(sorted(access.methods(request.scope)))
        return _answer(error.status_code, code, str(error.detail), headers=headers or None)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, STORE_TROUBLE) and not _is_sqlite(error):
            log.warning("the database did not answer at %r: %s", request.url.path, error.orig)
            text = "the database cannot be reached; ask again"
            return _answer(503, "store-unreachable", text, headers={"Retry-After": "1"})
        number = uuid4().hex[:8]
        log.error("internal error %s at %r", number, request.url.path, exc_info=error)
        return _answer(500, "internal", f"internal error {number}; the server's log has the rest")


def _is_sqlite(error: DBAPIError) -> bool:
    return isinstance(error.orig, sqlite3.Error)


def _answer(
    status: int,
    code: str,
    message: str,
    faults: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    body = {"code": code, "message": message, "faults": faults or []}
    return JSONResponse(body, status_code=status, headers=headers)
