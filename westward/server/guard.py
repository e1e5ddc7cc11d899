"""Who may ask what. Agents show their site's credential, operators their token; users a token of
theirs, or, where none are told apart, come from this machine unless the server says otherwise. See
docs/decisions/0022 and 0034.

The gate stands before everything else, so that whatever is ever put below ``/v1/agent`` is
guarded, and a report on a run is taken from the run's own site only. Every other route's rule is in
``access``; ``rights`` judges.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from westward.server.access import Access
from westward.server.core import Core
from westward.server.errors import ApiError, answer_of
from westward.server.rights import Rights, digest_of
from westward.store.enrol import first_use
from westward.store.sites import run_site

AGENT_PATHS = "/v1/agent/"
ENROL_PATH = "/v1/agent/enrol"
OPERATOR_FILE = "operator.token"
RUN_SITES_KEPT = 100_000
_RUN_PATH = re.compile(r"/v1/agent/runs/([^/]+)/")
log = logging.getLogger("westward.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who asks. ``site`` None: an agent of this machine without a credential."""

    site: str | None
    digest: str = ""


class Gate:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, core: Core, access: Access) -> None:
        self.app = app
        self.core = core
        self.rights = Rights(core, access)
        self.run_sites: dict[str, str] = {}
        """A run never changes its site."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await self._admit(HTTPConnection(scope))
            except ApiError as error:
                await answer_of(error)(scope, receive, send)
                return
            if self.core.settings.users and scope["method"] == "GET":
                send = self._judged_again(scope, receive, send)
        await self.app(scope, receive, send)

    async def _admit(self, asked: HTTPConnection) -> None:
        path = asked.scope["path"]
        if not path.startswith(AGENT_PATHS):
            local_only = not (self.core.settings.users or self.core.settings.open_to_users)
            if local_only and not is_local(asked):
                text = "this server takes users' requests from its own machine only"
                raise ApiError(403, "not-from-here", text)
            await self.rights.judge(asked)
            return
        if path == ENROL_PATH:
            return
        speaker = await self._speaker(asked)
        asked.scope.setdefault("state", {})["speaker"] = speaker
        about = _RUN_PATH.match(path)
        if about is not None:
            await self._check_run(speaker, about[1])

    def _judged_again(self, scope: Scope, receive: Receive, send: Send) -> Send:
        """A poll may be held for seconds: whoever lost a right meanwhile gets no answer by it."""
        refused = False

        async def judged(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                try:
                    self.rights.judge_again(scope)
                except ApiError as error:
                    refused = True
                    await answer_of(error)(scope, receive, send)
            if not refused:
                await send(message)

        return judged

    async def _speaker(self, asked: HTTPConnection) -> Speaker:
        header = asked.headers.get("authorization")
        if header is None:
            if is_local(asked) and not self.core.settings.require_credentials:
                return Speaker(site=None)
            raise ApiError(401, "credential-missing", "this server wants a site's credential")
        scheme, _, secret = header.partition(" ")
        digest = digest_of(secret.strip())
        found = self.core.joined.credentials.get(digest)
        if found is None and await self.core.knows_more("sites"):
            found = self.core.joined.credentials.get(digest)
        if scheme.lower() != "bearer" or found is None:
            raise ApiError(401, "credential-unknown", "no site has this credential")
        speaker = Speaker(site=found.site, digest=digest)
        try:
            recheck(self.core, speaker)
        except ApiError as error:
            log.warning("site %s: %s, from %s", found.site, error, asked.client)
            raise
        if found.first_used_ms is None:
            log.info("site %s: its new credential is in use, the older one is over", found.site)
            now_ms = self.core.clock.now_ms()
            await self.core.write(first_use, self.core.store, digest, found.site, now_ms)
            await self.core.sites_changed()
        return speaker

    async def _check_run(self, speaker: Speaker, run_id: str) -> None:
        site = self.run_sites.get(run_id)
        if site is None:
            site = await self.core.read(run_site, self.core.store, run_id)
            if site is None:
                return  # the handler says what it says of unknown runs
            if len(self.run_sites) >= RUN_SITES_KEPT:
                self.run_sites.clear()
            self.run_sites[run_id] = site
        admit(self.core, speaker, site)


def is_local(asked: HTTPConnection) -> bool:
    """Whether the request comes from this machine. (What has no address is a socket of its own.)"""
    return asked.client is None or _is_loopback(asked.client.host)


@lru_cache(maxsize=4_096)
def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def recheck(core: Core, speaker: Speaker) -> None:
    """Raises ApiError if the credential has ended since. Held polls call it again."""
    if speaker.site is None:
        return
    found = core.joined.credentials.get(speaker.digest)
    if found is None or found.ended_ms is None:
        return
    if found.ended_why == "revoked":
        raise ApiError(403, "site-revoked", f"site {found.site} was revoked")
    text = f"this credential of site {found.site} was {found.ended_why} and is good no more"
    raise ApiError(401, "credential-retired", text)


def admit(core: Core, speaker: Speaker, site: str) -> None:
    """Raises ApiError unless ``speaker`` may speak for ``site``."""
    recheck(core, speaker)
    if speaker.site is not None:
        if speaker.site != site:
            raise ApiError(403, "not-your-site", f"this credential is of site {speaker.site}")
        return
    row = core.joined.sites.get(site)
    if row is not None and row.invitation is None:
        raise ApiError(403, "site-revoked", f"site {site} was revoked")
    if row is not None:
        text = f"site {site} has joined: its agent must show the site's credential"
        raise ApiError(401, "credential-missing", text)


async def speaker_of(request: Request) -> Speaker:
    speaker: Speaker = request.state.speaker
    return speaker


SpeakerDep = Annotated[Speaker, Depends(speaker_of)]


def operator_token(data: Path, named: Path | None = None) -> str:
    """The operator's secret, in ``data`` or in the file ``named``; made at the first start, readable
    by the server's user alone."""
    path = named or data / OPERATOR_FILE
    with suppress(FileNotFoundError):
        token = path.read_text(encoding="ascii").strip()
        if token:  # a crash may have left the file empty, and an empty token is anybody's
            return token
    token = "wop_" + secrets.token_urlsafe(32)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="ascii") as out:
        out.write(token + "\n")
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)
    return token
