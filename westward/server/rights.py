"""Who asks, and whether they may: reads the token, the route's rule, whose the object is.

What a principal may not know of is answered as what does not exist, by the same words, and here in
both cases: not even the order of checks tells the two apart.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.requests import HTTPConnection
from starlette.types import Scope

from westward.model.access import (
    NOTHING,
    About,
    Denied,
    Verdict,
    allows,
    may_ask,
    of_project,
    readable,
    reads,
)
from westward.model.people import LOCAL, LOCAL_PROJECT, NOBODY, Place, Principal, Role
from westward.server.access import Access, Found
from westward.server.core import Core
from westward.server.errors import ApiError, not_found
from westward.server.oidc_settings import OidcSettings
from westward.server.people import OPERATOR
from westward.store.money import load_claims
from westward.store.people import account_of, note_used, owner_of

USED_COARSE_MS = 3_600_000
"""A token's last use is noted again after this long."""
ACCOUNTS_KEPT = 100_000
OPERATOR_ONLY = (
    "this is for the network's operator: show the token in operator.token of the server's data "
    "folder"
)
_DENIALS = {
    "scope-missing": "this token was not made for that: its scopes are {scopes}",
    "auditor-changes-nothing": "an auditor reads everything and changes nothing",
    "role-missing": "{user} may not do that here",
}


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def session_cookie(oidc: OidcSettings) -> str:
    """Its name: with the prefix, browsers take it over HTTPS from this very host alone (RFC 6265bis)."""
    return "__Host-westward_session" if oidc.secure else "westward_session"


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found of a request; ``state.judged`` of it."""

    found: Found
    principal: Principal
    digest: str
    """Of the token shown; "": none that was read."""
    about: About


class Rights:
    """Of one application. ``judge`` before the framework, ``judge_again`` before the answer."""

    def __init__(self, core: Core, access: Access) -> None:
        self.core = core
        self.access = access
        self.accounts: dict[str, str] = {}
        """By job or array: it never changes."""

    async def judge(self, asked: HTTPConnection) -> None:
        """Raises ApiError unless the request may go on. A path that is no route may: the
        application says so."""
        scope = asked.scope
        state = scope.setdefault("state", {})
        found = self.access.find(scope)
        if found is None:
            return
        entry, users = found.entry, self.core.settings.users
        principal, digest = LOCAL, ""
        if not users:
            if entry.operator_alone and not self._shows_operator(asked):
                raise ApiError(401, "operator-only", OPERATOR_ONLY)
        elif entry.who == "everyone":
            principal, digest = self._anyone(asked)
        else:
            try:
                principal, digest = self._identify(asked)
            except ApiError as error:
                if error.code != "token-unknown" or not await self.core.knows_more("people"):
                    raise
                principal, digest = self._identify(asked)
        about = NOTHING
        if users and entry.rule is not None:
            refuse(principal, may_ask(principal, entry.rule))
            if entry.about not in ("nothing", "body"):
                about = await self._subject(found)
            if entry.about != "body":
                refuse(principal, allows(principal, entry.rule, about), *named(found))
        state["judged"] = Judged(found, principal, digest, about)
        if digest:
            await self._note_use(digest)

    def judge_again(self, scope: Scope) -> None:
        """Raises ApiError where a right has ended since ``judge``. Asks no database."""
        judged: Judged | None = scope.get("state", {}).get("judged")
        if judged is None or not judged.digest or judged.found.entry.rule is None:
            return
        principal = self._good(judged.digest)
        if principal is not judged.principal:
            verdict = allows(principal, judged.found.entry.rule, judged.about)
            refuse(principal, verdict, *named(judged.found))

    def _shows_operator(self, asked: HTTPConnection) -> bool:
        shown = asked.headers.get("authorization", "").partition(" ")[2].strip()
        return hmac.compare_digest(shown.encode(), self.core.operator_token.encode())

    def _anyone(self, asked: HTTPConnection) -> tuple[Principal, str]:
        """On what is open to all a bad token is no hindrance."""
        try:
            return self._identify(asked)
        except ApiError:
            return NOBODY, ""

    def _identify(self, asked: HTTPConnection) -> tuple[Principal, str]:
        header = asked.headers.get("authorization")
        if header is None:
            session = self._session(asked)
            if session is not None:
                return self._good(session), session
            text = "this server tells users apart: show a token (WESTWARD_TOKEN)"
            raise ApiError(401, "token-missing", text)
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError(401, "token-unknown", "show a token as: Authorization: Bearer wut_...")
        if self._shows_operator(asked):
            return OPERATOR, ""
        digest = digest_of(secret.strip())
        return self._good(digest), digest

    def _session(self, asked: HTTPConnection) -> str | None:
        """The digest of the token in a browser's cookie. A browser sends it whoever made it ask: what
        changes anything must come from a page of our own, and browsers say where from."""
        oidc = self.core.settings.oidc
        secret = None if oidc is None else asked.cookies.get(session_cookie(oidc))
        if oidc is None or not secret:
            return None
        parts = urlsplit(oidc.public_url)
        own = f"{parts.scheme}://{parts.netloc}"
        if asked.scope["method"] not in ("GET", "HEAD") and asked.headers.get("origin") != own:
            text = "a browser's log-in counts for changes from this server's own pages only"
            raise ApiError(403, "cross-site", text)
        return digest_of(secret)

    def _good(self, digest: str) -> Principal:
        people = self.core.people
        principal = people.principals.get(digest)
        if principal is None:
            if digest in people.tokens:
                raise ApiError(401, "token-revoked", "this token was revoked")
            raise ApiError(401, "token-unknown", "nobody has this token")
        assert principal.expires_ms is not None
        if principal.expires_ms <= self.core.clock.now_ms():
            raise ApiError(401, "token-expired", "this token has expired; ask for another")
        return principal

    async def _note_use(self, digest: str) -> None:
        people, now_ms = self.core.people, self.core.clock.now_ms()
        token = people.tokens.get(digest)
        last_ms = people.used.get(digest) or (token.used_ms if token is not None else None)
        if last_ms is None or now_ms - last_ms >= USED_COARSE_MS:
            people.used[digest] = now_ms  # first: one of many requests at once will do
            coarse_ms = now_ms - now_ms % USED_COARSE_MS
            await self.core.write(note_used, self.core.store, digest, coarse_ms)

    async def _subject(self, found: Found) -> About:
        """The places and the person of what is asked about. Raises ApiError: there is none."""
        parameters = found.parameters
        match found.entry.about:
            case "job" | "task" | "array" as kind:
                (job_id,) = parameters.values()
                account = await self._account(job_id)
                if account is None:
                    raise not_found(kind, job_id)
                return of_project(account)
            case "dataset":
                return await self._dataset(parameters["name"])
            case "site":
                return About(places=frozenset({Place("site", parameters["site"])}))
            case "place":
                return await self._place(parameters["kind"], parameters["place"])
            case "project":
                return await self._place("project", parameters["project"])
            case "programme":
                return self._programme(parameters["rule"])
            case "organisation":
                return await self._organisation(parameters["organisation"])
            case "claim":
                own = self._programme(parameters["rule"])
                if parameters["organisation"] not in self.core.people.organisations:
                    raise not_found("claim", parameters["rule"])  # as if it were hidden
                other = self._projects_of(parameters["organisation"])
                return About(places=own.places | other)
            case "token":
                token = self.core.people.by_id.get(parameters["token_id"])
                if token is None:
                    raise not_found("token", parameters["token_id"])
                return About(user=token.user)
        return NOTHING

    async def _account(self, job_id: str) -> str | None:
        account = self.accounts.get(job_id)
        if account is None:
            account = await self.core.read(account_of, self.core.store, job_id)
            if account is not None:
                if len(self.accounts) >= ACCOUNTS_KEPT:
                    self.accounts.clear()
                self.accounts[job_id] = account
        return account

    async def _dataset(self, name: str) -> About:
        owner = await self.core.read(owner_of, self.core.store, name)
        if owner is None:
            raise not_found("data set", name)
        return dataset_places(name, owner)

    def _programme(self, name: str) -> About:
        if not any(rule.name == name for rule in self.core.purse.rules):
            raise not_found("programme", name)
        return About(places=frozenset({Place("programme", name)}))

    def _projects_of(self, organisation: str) -> frozenset[Place]:
        people = self.core.people
        if organisation not in people.organisations:
            raise not_found("organisation", organisation)
        return frozenset(
            Place("project", one.project)
            for one in people.projects.values()
            if one.organisation == organisation
        )

    async def _organisation(self, name: str) -> About:
        """Its projects, and the programmes that have admitted it: their funders look after it."""
        places = self._projects_of(name)
        claims = await self.core.read(load_claims, self.core.store, name)
        funders = {Place("programme", one.rule) for one in claims if not one.revoked}
        return About(places=places | funders)

    async def _place(self, kind: str, name: str) -> About:
        """Raises ApiError for a place that is not there."""
        if kind == "dataset":
            return await self._dataset(name)
        known = {
            "project": name in self.core.people.projects,
            "site": any(one.name == name for one in self.core.network.sites),
            "programme": True,
            "network": name == "network",
        }
        if not known.get(kind, False):
            raise not_found(kind, name)
        return About(places=frozenset({Place(kind, name)}))  # type: ignore[arg-type]


def dataset_places(name: str, owner: str) -> About:
    places = {Place("dataset", name)}
    if owner:
        places.add(Place("project", owner))
    return About(places=frozenset(places))


def of_owner(owner: str) -> About:
    """Of a data set's account; "" is nobody's."""
    return of_project(owner) if owner else NOTHING


def named(found: Found) -> tuple[str, str]:
    """Kind and name of what the request is about, as ``not_found`` wants them."""
    parameters = found.parameters
    if found.entry.about == "place":
        kind, name = parameters["kind"], parameters["place"]
    else:
        kind, name = found.entry.about, next(iter(parameters.values()), "")
    return ("data set" if kind == "dataset" else kind), name


def refuse(principal: Principal, verdict: Verdict, kind: str = "object", name: str = "") -> None:
    """Raises ApiError for a denial. ``kind`` and ``name``: what is not there, if it is hidden."""
    if not isinstance(verdict, Denied):
        return
    if verdict.code == "hidden":
        raise not_found(kind, name)
    scopes = " ".join(sorted(principal.scopes)) or "none"
    text = _DENIALS[verdict.code].format(user=principal.user, scopes=scopes)
    raise ApiError(403, verdict.code, text)


async def judged_of(request: Request) -> Judged:
    judged: Judged = request.state.judged
    return judged


async def principal_of(request: Request) -> Principal:
    judged: Judged = request.state.judged
    return judged.principal


PrincipalDep = Annotated[Principal, Depends(principal_of)]
JudgedDep = Annotated[Judged, Depends(judged_of)]


async def sealed(request: Request) -> None:
    """Of every route: the framework must have chosen the one whose rule was judged."""
    route: Any = request.scope.get("route")
    if route.path == "/v1/agent/enrol":  # its invitation stands in the body
        return
    if route.path.startswith("/v1/agent/"):
        _ = request.state.speaker
        return
    check_route(request.state.judged, route.path)


def check_route(judged: Judged, path: str) -> None:
    """Of whatever answers a request: it must be what was judged."""
    if judged.found.path != path:
        raise RuntimeError(f"judged as {judged.found.path}, routed to {path}")


def permit(judged: Judged, about: About, kind: str = "object", name: str = "") -> None:
    """For handlers whose rule is about the body. Raises ApiError."""
    rule = judged.found.entry.rule
    assert rule is not None
    refuse(judged.principal, allows(judged.principal, rule, about), kind, name)


def account_for(judged: Judged, stated: str | None) -> str | None:
    """The project that stands in where a job names none: the asker's, if it is one only."""
    if stated or judged.principal.everything:
        return stated
    own = judged.principal.projects(Role.OWNER, Role.LEAD)
    return own[0] if len(own) == 1 else None


def permit_project(judged: Judged, account: str | None) -> None:
    """Raises ApiError unless a job of the project ``account`` may be handed in, or planned."""
    if judged.principal.everything:
        return
    if account is None and not (reads_all(judged.principal) and not _changes(judged)):
        text = "say which project the job is of: account, or the label westward.account"
        raise ApiError(400, "project-missing", text)
    project = account or LOCAL_PROJECT
    permit(judged, of_project(project), "project", project)


def _changes(judged: Judged) -> bool:
    rule = judged.found.entry.rule
    return rule is None or rule.change


def reads_all(principal: Principal) -> bool:
    return readable(principal) is None


def shows_job(principal: Principal, account: str | None) -> bool:
    return reads(principal, account or LOCAL_PROJECT)
