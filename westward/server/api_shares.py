"""Fair shares: what is set, and per project what it is entitled to, used, borrowed and is owed."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from westward.model.access import readable
from westward.model.faults import Fault, InputFaults
from westward.model.people import NAME_FORM, is_name
from westward.model.shares import WEIGHT_MOST_MILLI, ShareKind, ShareRow, ShareTerms
from westward.server.api_jobs import CoreDep
from westward.server.core import Core
from westward.server.errors import not_found
from westward.server.rights import PrincipalDep
from westward.server.sharing import shares_view
from westward.store.shares import remove_share, set_share, set_terms

router = APIRouter(prefix="/v1", tags=["shares"])
Json = dict[str, Any]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Span = Annotated[int, Field(ge=60_000, le=400 * 86_400_000, strict=True)]
log = logging.getLogger("westward.server")


class ShareRequest(BaseModel, extra="forbid"):
    """``group``: of a project, or of an organisation whose projects it holds for."""

    kind: ShareKind
    name: Name
    weight_milli: Annotated[int, Field(ge=1, le=WEIGHT_MOST_MILLI, strict=True)] = 1_000
    group: Annotated[str, Field(max_length=100)] = ""


class NoShareRequest(BaseModel, extra="forbid"):
    kind: ShareKind
    name: Name


class TermsRequest(BaseModel, extra="forbid"):
    half_life_ms: Span
    window_ms: Span


@router.get("/shares")
async def shares(core: CoreDep, principal: PrincipalDep) -> Json:
    """Of the asker's projects; for who oversees the network all, and what is set."""
    return await _view(core, readable(principal))


@router.post("/shares")
async def new_share(body: ShareRequest, core: CoreDep, principal: PrincipalDep) -> Json:
    """The first share that is set turns fair shares on: from then on waiting jobs of one priority
    go in their order."""
    faults = []
    for field, text in (("name", body.name), ("group", body.group)):
        if text and not is_name(text):
            faults.append(_fault(field, f"{text!r} is no name", f"Write {NAME_FORM}."))
    if body.kind == "group" and body.group:
        faults.append(_fault("group", "a group is in no other", "Leave it out."))
    if faults:
        raise InputFaults(faults)
    known = {"project": core.people.projects, "organisation": core.people.organisations}
    if body.kind != "group" and core.settings.users and body.name not in known[body.kind]:
        raise not_found(body.kind, body.name)
    row = ShareRow(kind=body.kind, name=body.name, group=body.group, weight_milli=body.weight_milli)
    await core.write(set_share, core.store, row, core.clock.now_ms(), principal.user)
    log.info("%s: share of %s %s: %d/1000 %s", principal.user, row.kind, row.name,
             row.weight_milli, row.group)  # fmt: skip
    core.queue_changed()
    return await _view(core, None)


@router.post("/shares/remove")
async def no_share(body: NoShareRequest, core: CoreDep, principal: PrincipalDep) -> Json:
    """It weighs 1 again. With the last one fair shares are off."""
    if not await core.write(remove_share, core.store, body.kind, body.name):
        raise not_found(f"share of {body.kind}", body.name)
    log.info("%s: no share of %s %s", principal.user, body.kind, body.name)
    core.queue_changed()
    return await _view(core, None)


@router.post("/shares/terms")
async def share_terms(body: TermsRequest, core: CoreDep, principal: PrincipalDep) -> Json:
    """How fast use is forgotten."""
    if body.window_ms < body.half_life_ms:
        problem = "the window is shorter than the half-life"
        raise InputFaults([_fault("window_ms", problem, "Four half-lives leave a sixteenth out.")])
    terms = ShareTerms(half_life_ms=body.half_life_ms, window_ms=body.window_ms)
    await core.write(set_terms, core.store, terms, core.clock.now_ms(), principal.user)
    core.queue_changed()
    return await _view(core, None)


async def _view(core: Core, shown: frozenset[str] | None) -> Json:
    return await core.read(
        shares_view, core.store, core.people.projects, core.clock.now_ms(), shown
    )


def _fault(field: str, problem: str, remedy: str) -> Fault:
    return Fault("request", None, field, problem, remedy)
