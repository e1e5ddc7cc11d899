"""Organisations, projects, who holds which role where, and tokens. Who may is in ``access``."""

from __future__ import annotations

import logging
import secrets
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from westward.model.access import About, readable
from westward.model.faults import Fault, InputFaults
from westward.model.people import (
    NAME_FORM,
    ROLE_KIND,
    Grant,
    Member,
    Organisation,
    Place,
    PlaceKind,
    Project,
    Role,
    Scope,
    Token,
    is_name,
)
from westward.server.api_jobs import CoreDep
from westward.server.errors import ApiError, not_found
from westward.server.people import RESERVED
from westward.server.rights import JudgedDep, PrincipalDep, digest_of, permit
from westward.store.people import (
    add_member,
    create_organisation,
    create_project,
    mint,
    remove_member,
    revoke_token,
)

TTL_MS = 90 * 86_400_000
TTL_MOST_MS = 400 * 86_400_000
router = APIRouter(prefix="/v1", tags=["people"])
Json = dict[str, Any]
Name = Annotated[str, Field(max_length=100)]
Label = Annotated[str, Field(max_length=200)]
log = logging.getLogger("westward.server")


class OrganisationRequest(BaseModel, extra="forbid"):
    organisation: Name
    label: Label = ""


class ProjectRequest(BaseModel, extra="forbid"):
    """``project`` is what its jobs name as their account."""

    project: Name
    organisation: Name
    label: Label = ""


class MemberRequest(BaseModel, extra="forbid"):
    user: Name
    role: Role


class TokenRequest(BaseModel, extra="forbid"):
    """``user`` None: oneself. ``scopes`` None: those of the token that asks."""

    user: Name | None = None
    scopes: list[Scope] | None = None
    ttl_ms: Annotated[int, Field(ge=1_000, le=TTL_MOST_MS)] = TTL_MS
    label: Label = ""


@router.get("/whoami")
async def whoami(core: CoreDep, principal: PrincipalDep) -> Json:
    """Who the server takes the asker for, and what that one may do."""
    return {
        "user": principal.user,
        "users_told_apart": core.settings.users,
        "everything": principal.everything,
        "grants": [_grant_view(one) for one in sorted(principal.grants, key=_order)],
        "scopes": sorted(principal.scopes),
        "token_id": principal.token_id,
        "expires_ms": principal.expires_ms,
    }


@router.get("/organisations")
async def organisations(core: CoreDep, principal: PrincipalDep) -> Json:
    """Those of the asker's projects; for who oversees the network all."""
    people, own = core.people, readable(principal)
    shown = {one.organisation for one in people.projects.values() if own and one.project in own}
    return {
        "organisations": [
            _organisation_view(one)
            for one in people.organisations.values()
            if own is None or one.organisation in shown
        ]
    }


@router.post("/organisations", status_code=201)
async def new_organisation(
    body: OrganisationRequest, core: CoreDep, principal: PrincipalDep, response: Response
) -> Json:
    """201; 200 if it is there already, just so."""
    _check_names(organisation=body.organisation)
    made = Organisation(
        organisation=body.organisation,
        label=body.label,
        created_ms=core.clock.now_ms(),
        created_by=principal.user,
    )
    done = await core.write(create_organisation, core.store, made)
    if done == "taken":
        raise ApiError(409, "name-taken", f"there is another organisation {body.organisation!r}")
    if done == "there-already":
        response.status_code = 200
    await core.people_changed()
    return _organisation_view(core.people.organisations[body.organisation])


@router.get("/projects")
async def projects(core: CoreDep, principal: PrincipalDep) -> Json:
    """The asker's; for who oversees the network all."""
    own = readable(principal)
    return {
        "projects": [
            _project_view(one)
            for one in core.people.projects.values()
            if own is None or one.project in own
        ]
    }


@router.post("/projects", status_code=201)
async def new_project(
    body: ProjectRequest, core: CoreDep, principal: PrincipalDep, response: Response
) -> Json:
    """201; 200 if it is there already, just so."""
    _check_names(project=body.project)
    made = Project(
        project=body.project,
        organisation=body.organisation,
        label=body.label,
        created_ms=core.clock.now_ms(),
        created_by=principal.user,
    )
    done = await core.write(create_project, core.store, made)
    if done == "no-organisation":
        raise not_found("organisation", body.organisation)
    if done == "taken":
        raise ApiError(409, "name-taken", f"there is another project {body.project!r}")
    if done == "there-already":
        response.status_code = 200
    await core.people_changed()
    return _project_view(core.people.projects[body.project])


@router.get("/members/{kind}/{place}")
async def members(kind: PlaceKind, place: str, core: CoreDep) -> Json:
    """Who holds a role there."""
    there = Place(kind, place)
    held = [one for one in core.people.members if one.grant.place == there]
    return {"kind": kind, "place": place, "members": [_member_view(one) for one in held]}


@router.post("/members/{kind}/{place}")
async def new_member(
    kind: PlaceKind, place: str, body: MemberRequest, core: CoreDep, principal: PrincipalDep
) -> Json:
    """Gives a role. The same again changes nothing."""
    grant = _grant(kind, place, body)
    made = Member(
        user=body.user, grant=grant, added_ms=core.clock.now_ms(), added_by=principal.user
    )
    if await core.write(add_member, core.store, made) == "conflict":
        text = f"{body.user} cannot hold that: an auditor holds no other role"
        raise ApiError(409, "roles-conflict", text)
    await core.people_changed()
    log.info("%s: %s is %s of %s", principal.user, body.user, body.role.value, grant.place)
    return await members(kind, place, core)


@router.post("/members/{kind}/{place}/remove")
async def no_member(
    kind: PlaceKind, place: str, body: MemberRequest, core: CoreDep, principal: PrincipalDep
) -> Json:
    """Takes a role, at once. What is not held cannot be taken."""
    grant = _grant(kind, place, body)
    now_ms = core.clock.now_ms()
    if not await core.write(remove_member, core.store, body.user, grant, principal.user, now_ms):
        raise not_found(f"{body.role.value} of {grant.place}:", body.user)
    await core.people_changed()
    log.info("%s: %s is no %s of %s", principal.user, body.user, body.role.value, grant.place)
    return await members(kind, place, core)


@router.get("/tokens")
async def tokens(core: CoreDep, principal: PrincipalDep) -> Json:
    """The asker's own, without their secrets; for who oversees the network all."""
    everyones = readable(principal) is None
    return {
        "tokens": [
            token_view(one)
            for one in core.people.by_id.values()
            if everyones or one.user == principal.user
        ]
    }


@router.post("/tokens", status_code=201)
async def new_token(body: TokenRequest, core: CoreDep, judged: JudgedDep) -> Json:
    """A token; its secret is told this once. It has no scopes that the asker's has not, and one
    for oneself does not live longer than the one it was made with."""
    asker = judged.principal
    user = body.user or asker.user
    permit(judged, About(user=user))
    _check_names(user=user)
    scopes = frozenset(asker.scopes if body.scopes is None else body.scopes)
    now_ms = core.clock.now_ms()
    expires_ms = now_ms + body.ttl_ms
    faults = []
    if not scopes <= asker.scopes:
        more = ", ".join(sorted(scopes - asker.scopes))
        faults.append(_fault("scopes", f"the token that asks has not {more}", "Leave them out."))
    if not scopes:
        faults.append(_fault("scopes", "there are none", "Name at least one."))
    if user == asker.user and asker.expires_ms is not None and expires_ms > asker.expires_ms:
        left_s = (asker.expires_ms - now_ms) // 1000
        problem = f"the token that asks lives {left_s} s more, and this one may not live longer"
        faults.append(_fault("ttl_ms", problem, "Ask for less, or the operator for a new one."))
    if faults:
        raise InputFaults(faults)
    secret = "wut_" + secrets.token_urlsafe(32)
    token = Token(
        token_id=f"tok_{uuid4().hex[:12]}",
        digest=digest_of(secret),
        user=user,
        scopes=scopes,
        label=body.label,
        created_ms=now_ms,
        expires_ms=expires_ms,
        made_by=asker.user,
    )
    await core.write(mint, core.store, token)
    await core.people_changed()
    log.info("%s: %s has the new token %s", asker.user, user, token.token_id)
    return {**token_view(token), "token": secret}


@router.post("/tokens/{token_id}/revoke")
async def no_token(token_id: str, core: CoreDep, principal: PrincipalDep) -> Json:
    """Ends it at once. A second time changes nothing."""
    await core.write(revoke_token, core.store, token_id, principal.user, core.clock.now_ms())
    await core.people_changed()
    log.info("%s: token %s is revoked", principal.user, token_id)
    return token_view(core.people.by_id[token_id])


def _grant(kind: PlaceKind, place: str, body: MemberRequest) -> Grant:
    _check_names(user=body.user)
    wanted = ROLE_KIND[body.role]
    if wanted != kind:
        roles = ", ".join(role.value for role, own in ROLE_KIND.items() if own == kind)
        problem = f"{body.role.value} is a role of a {wanted}, not of a {kind}"
        raise InputFaults([_fault("role", problem, f"Of a {kind} there are: {roles}.")])
    if kind == "programme":
        _check_names(programme=place)
    return Grant(body.role, Place(kind, place))


def _check_names(**named: str) -> None:
    """Raises InputFaults."""
    faults = []
    for field, text in named.items():
        if not is_name(text):
            faults.append(_fault(field, f"{text!r} is no name", f"Write {NAME_FORM}."))
        elif text in RESERVED:
            faults.append(_fault(field, f"{text!r} is the server's own", "Choose another."))
    if faults:
        raise InputFaults(faults)


def _fault(field: str, problem: str, remedy: str) -> Fault:
    return Fault("request", None, field, problem, remedy)


def _order(grant: Grant) -> tuple[str, str, str]:
    return grant.place.kind, grant.place.name, grant.role.value


def _grant_view(grant: Grant) -> Json:
    return {"role": grant.role.value, "kind": grant.place.kind, "place": grant.place.name}


def _member_view(one: Member) -> Json:
    return {
        "user": one.user,
        "role": one.grant.role.value,
        "added_ms": one.added_ms,
        "added_by": one.added_by,
    }


def _organisation_view(one: Organisation) -> Json:
    return {
        "organisation": one.organisation,
        "label": one.label,
        "created_ms": one.created_ms,
        "created_by": one.created_by,
    }


def _project_view(one: Project) -> Json:
    return {
        "project": one.project,
        "organisation": one.organisation,
        "label": one.label,
        "created_ms": one.created_ms,
        "created_by": one.created_by,
    }


def token_view(one: Token) -> Json:
    return {
        "token_id": one.token_id,
        "user": one.user,
        "scopes": sorted(one.scopes),
        "label": one.label,
        "created_ms": one.created_ms,
        "expires_ms": one.expires_ms,
        "revoked_ms": one.revoked_ms,
        "used_ms": one.used_ms,
        "made_by": one.made_by,
    }
