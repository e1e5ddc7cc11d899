"""Logging in at an OpenID provider and out again. Every log-in ends in a token of ours, short-lived,
kept as its digest: the table of rights judges it like any other (docs/decisions/0038).

Browsers carry it in a cookie; the command line fetches it with a one-time code.
"""

from __future__ import annotations

import html
import logging
import re
import secrets
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, RedirectResponse

from westward.model.people import Token
from westward.server.api_jobs import CoreDep
from westward.server.core import Core
from westward.server.errors import ApiError
from westward.server.login import CommandLine, Logins, user_of
from westward.server.people import SERVER
from westward.server.rights import JudgedDep, PrincipalDep, digest_of, session_cookie
from westward.store.people import forget_identity, know_identity, mint, revoke_token

router = APIRouter(prefix="/v1", tags=["login"])
Json = dict[str, Any]
BEGUN_COOKIE = "westward_login"
BEGUN_PATH = "/v1/login"
NO_STORE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_PATH = re.compile(r"/(?![/\\])[A-Za-z0-9._~/?=&%+-]{0,500}")
_ERROR = re.compile(r"[a-z_]{1,60}")
log = logging.getLogger("westward.server")
Challenge = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{1,200}$")]


class RedeemRequest(BaseModel, extra="forbid"):
    """``verifier``: what the challenge of the log-in was made of (RFC 7636)."""

    code: Word
    verifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{43,128}$")]


class ForgetRequest(BaseModel, extra="forbid"):
    user: Annotated[str, Field(min_length=1, max_length=100)]


@router.get("/login", include_in_schema=False)
async def login(
    request: Request,
    core: CoreDep,
    return_to: str = "/docs",
    cli_challenge: Challenge | None = None,
    cli_port: Annotated[int | None, Field(ge=1024, le=65535)] = None,
    cli_state: Word | None = None,
) -> Response:
    """To the provider's page. With ``cli_challenge`` for a command on the browser's machine that
    listens at ``cli_port``, or that the code is carried to by hand."""
    logins = _logins(core)
    if not _PATH.fullmatch(return_to):
        raise ApiError(400, "return-elsewhere", "return_to is a path of this server, such as /docs")
    command = None
    if cli_challenge is not None:
        command = CommandLine(challenge=cli_challenge, port=cli_port, state=cli_state or "")
    begun = request.cookies.get(BEGUN_COOKIE, "")
    browser = begun if re.fullmatch(r"[A-Za-z0-9_-]{43}", begun) else secrets.token_urlsafe(32)
    url = await logins.begin(browser, return_to, command, core.clock.now_ms())
    answer = RedirectResponse(url, status_code=303, headers=NO_STORE)
    # Lax: the provider sends the browser back from another site.
    answer.set_cookie(
        BEGUN_COOKIE, browser, max_age=600, path=BEGUN_PATH, httponly=True, samesite="lax",
        secure=logins.settings.secure,
    )  # fmt: skip
    return answer


@router.get("/login/callback", include_in_schema=False)
async def callback(
    request: Request,
    core: CoreDep,
    state: Annotated[str, Field(max_length=200)] = "",
    code: Annotated[str, Field(max_length=4_096)] = "",
    error: Annotated[str, Field(max_length=200)] = "",
    iss: Annotated[str | None, Field(max_length=500)] = None,
) -> Response:
    """Where the provider sends the browser back to."""
    logins, now_ms = _logins(core), core.clock.now_ms()
    try:
        pending = logins.take(state, request.cookies.get(BEGUN_COOKIE, ""), now_ms)
        await logins.provider.check_issuer(iss, now_ms)
        if error or not code:
            told = error if _ERROR.fullmatch(error) else "no code"
            raise ApiError(403, "login-refused", f"the provider did not let you in ({told})")
        claims = await logins.identity(pending, code, now_ms)
        user = user_of(claims, logins.settings, core.people)
        issuer = logins.settings.issuer
        if not await core.write(know_identity, core.store, issuer, claims["sub"], user, now_ms):
            text = f"{user} is known here as another account of the provider; tell the operator"
            raise ApiError(403, "login-other-account", text)
    except ApiError as refusal:
        log.warning("a log-in was refused: %s (%s)", refusal.code, refusal)
        raise
    if pending.command is not None:
        return _to_command(logins, pending.command, user, now_ms)
    ttl_ms = logins.settings.session_ms
    secret, _ = await _mint(core, logins, user, ttl_ms, "log-in by browser")
    answer = RedirectResponse(pending.return_to, status_code=303, headers=NO_STORE)
    answer.set_cookie(
        session_cookie(logins.settings), secret, max_age=ttl_ms // 1000, path="/", httponly=True,
        samesite="lax", secure=logins.settings.secure,
    )  # fmt: skip
    answer.delete_cookie(BEGUN_COOKIE, path=BEGUN_PATH)
    return answer


@router.post("/login/token")
async def login_token(body: RedeemRequest, core: CoreDep, response: Response) -> Json:
    """The token of a log-in by ``westward login``; its secret is told this once."""
    logins, now_ms = _logins(core), core.clock.now_ms()
    user = logins.redeem(body.code, body.verifier, now_ms)
    secret, token = await _mint(
        core, logins, user, logins.settings.cli_session_ms, "log-in by command line"
    )
    response.headers.update(NO_STORE)
    return {
        "user": user,
        "token": secret,
        "token_id": token.token_id,
        "scopes": sorted(token.scopes),
        "expires_ms": token.expires_ms,
    }


@router.post("/login/forget")
async def forget_login(body: ForgetRequest, core: CoreDep, principal: PrincipalDep) -> Json:
    """The next log-in by this name may be by another account of the provider."""
    done = await core.write(forget_identity, core.store, body.user)
    log.info("%s: the log-in account of %s is forgotten", principal.user, body.user)
    return {"user": body.user, "forgotten": done}


@router.post("/logout")
async def logout(core: CoreDep, judged: JudgedDep, response: Response) -> Json:
    """Ends the token that is shown, if a log-in made it (others: their revoke). ``end_session_url``:
    where one may log out at the provider too."""
    logins = core.logins
    ended = None
    token = core.people.tokens.get(judged.digest) if judged.digest else None
    if token is not None and token.made_by == SERVER:
        await core.write(revoke_token, core.store, token.token_id, token.user, core.clock.now_ms())
        await core.people_changed()
        log.info("%s: logged out, token %s is revoked", token.user, token.token_id)
        ended = token.token_id
    url = None
    if logins is not None:
        if ended is not None:  # else another site's page could log its visitors out
            response.delete_cookie(session_cookie(logins.settings), path="/")
        url = await logins.provider.end_session_url(core.clock.now_ms())
    return {"ended": ended, "end_session_url": url}


def _logins(core: Core) -> Logins:
    if core.logins is None:
        text = "nobody logs in at this server: it was started without --oidc; show a token"
        raise ApiError(404, "login-off", text)
    return core.logins


async def _mint(
    core: Core, logins: Logins, user: str, ttl_ms: int, label: str
) -> tuple[str, Token]:
    """The secret, and the token as it is kept."""
    now_ms = core.clock.now_ms()
    secret = "wut_" + secrets.token_urlsafe(32)
    token = Token(
        token_id=f"tok_{uuid4().hex[:12]}",
        digest=digest_of(secret),
        user=user,
        scopes=logins.settings.token_scopes,
        label=label,
        created_ms=now_ms,
        expires_ms=now_ms + ttl_ms,
        made_by=SERVER,
    )
    await core.write(mint, core.store, token)
    await core.people_changed()
    log.info("%s: %s, token %s", user, label, token.token_id)
    return secret, token


def _to_command(logins: Logins, command: CommandLine, user: str, now_ms: int) -> Response:
    """The code, by way of the browser. Only the command that made the challenge can use it, and a
    browser is sent to its own machine only."""
    code = logins.hand_over(user, command.challenge, now_ms)
    if command.port is not None:
        query = urlencode({"code": code, "state": command.state})
        url = f"http://127.0.0.1:{command.port}/?{query}"
        return RedirectResponse(url, status_code=303, headers=NO_STORE)
    page = (
        "<!doctype html><meta charset=utf-8><title>Westward</title>"
        f"<p>You are {html.escape(user)}. If you ran <code>westward login</code> yourself, give it "
        f"this code:<p><code>{html.escape(code)}</code>"
        "<p>Give it to nobody else: it lets them in as you."
    )
    policy = "default-src 'none'; frame-ancestors 'none'"
    return HTMLResponse(page, headers={**NO_STORE, "Content-Security-Policy": policy})
