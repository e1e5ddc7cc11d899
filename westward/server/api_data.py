"""For users: the catalogue of data sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from westward.formats.data_terms import DATASET_NAME
from westward.formats.job_terms import parse_residency
from westward.model.access import readable
from westward.model.dataset import (
    FILES_MOST,
    DataFile,
    DataSet,
    Replica,
    broken_terms,
    file_problems,
)
from westward.model.faults import Fault, InputFaults
from westward.model.job import TagRule
from westward.model.people import Principal
from westward.server.api_jobs import CoreDep
from westward.server.core import Core
from westward.server.data_views import dataset_view
from westward.server.errors import ApiError, not_found
from westward.server.limits import INTEGER_MOST, TEXT_MOST_CHARS
from westward.server.rights import (
    JudgedDep,
    PrincipalDep,
    dataset_places,
    of_owner,
    permit,
    shows_job,
)
from westward.store.catalogue import (
    PAGE_MOST,
    NotTheOwner,
    add_dataset,
    add_replica,
    list_datasets,
    load_dataset,
    remove_replica,
)
from westward.store.people import account_of, owner_of

SCHEMES = ("file", "s3")
"""What sites fetch from. Everything else fsspec knows is refused: a URL must not make a site
reach for something its operator never thought of."""
router = APIRouter(prefix="/v1/datasets", tags=["data"])
Json = dict[str, Any]
Name = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=TEXT_MOST_CHARS)]


class FileEntry(BaseModel, extra="forbid"):
    path: Text
    size_bytes: Annotated[int, Field(ge=0, le=INTEGER_MOST)]
    sha256: Annotated[str, Field(max_length=64)]


class DataRequest(BaseModel, extra="forbid"):
    """A data set and where a copy lies. Blank stays blank: without ``licence`` it is not stated;
    without ``price_micros_per_gb`` nothing is charged for reading, and it is not called free."""

    name: Name
    owner: Name = ""
    files: Annotated[list[FileEntry], Field(max_length=FILES_MOST)]
    site: Name
    url: Text
    licence: Text = ""
    residency: Text = ""
    """As westward.residency in a job file: country=CN,province=Gansu|Ningxia."""
    price_micros_per_gb: Annotated[int | None, Field(ge=0, le=INTEGER_MOST)] = None


class ReplicaRequest(BaseModel, extra="forbid"):
    site: Name
    url: Text | None = None
    """None: forget the copy."""
    version: Annotated[int, Field(ge=0, lt=2**31)] = 0


@router.post("", status_code=201)
async def new_dataset(
    body: DataRequest, core: CoreDep, response: Response, judged: JudgedDep
) -> Json:
    """201 with the new version; 200 where the newest is just this already."""
    known = await core.read(owner_of, core.store, body.name)
    # Whoever owns this one set may add versions of it; a new name is for members of its project.
    about = dataset_places(body.name, body.owner) if known is not None else of_owner(body.owner)
    permit(judged, about)
    faults: list[Fault] = []
    files = tuple(
        DataFile(path=one.path, size_bytes=one.size_bytes, sha256=one.sha256) for one in body.files
    )
    if DATASET_NAME.fullmatch(body.name) is None:
        faults.append(_fault("name", f"{body.name!r} is not a name", "Use letters and digits."))
    for path, text in file_problems(files)[:100]:
        faults.append(_fault(f"files.{path}", text, "Correct the manifest."))
    rules = _rules(body.residency, faults)
    faults += _copy_faults(core, body.site, body.url, rules)
    if faults:
        raise InputFaults(faults)
    now_ms = core.clock.now_ms()
    made = await core.write(
        add_dataset,
        core.store,
        name=body.name,
        owner=body.owner,
        files=files,
        licence=body.licence.strip(),
        residency=rules,
        price_micros_per_gb=body.price_micros_per_gb,
        replica=Replica(site=body.site, url=body.url, added_ms=now_ms),
        now_ms=now_ms,
    )
    if isinstance(made, NotTheOwner):
        text = f"the data set {made.name} belongs to {made.owner or 'nobody'}"
        raise ApiError(409, "not-the-owner", text)
    if not made.created:
        response.status_code = 200
    core.queue_changed()
    shown = await _view(core, judged.principal, made.dataset, files=True)
    return {**shown, "created": made.created}


@router.get("")
async def datasets(
    core: CoreDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = 100,
    after: str | None = None,
) -> Json:
    """The newest version of each, by name; ``next`` goes into ``after`` for the next page."""
    found = await core.read(list_datasets, core.store, limit, after)
    following = found[-1].name if len(found) == limit else None
    return {
        "currency": core.network.currency,
        "datasets": [await _view(core, principal, one) for one in found],
        "next": following,
    }


@router.get("/{name}")
async def dataset(
    name: str,
    core: CoreDep,
    principal: PrincipalDep,
    version: Annotated[int, Query(ge=0, lt=2**31)] = 0,
) -> Json:
    """One version (0: the newest) with its files, copies and, for who may see the job that made
    it, its provenance."""
    found = await core.read(load_dataset, core.store, name, version)
    if found is None:
        raise not_found("data set", f"{name}@{version}" if version else name)
    return {"currency": core.network.currency, **await _view(core, principal, found, files=True)}


async def _view(core: Core, principal: Principal, found: DataSet, *, files: bool = False) -> Json:
    """The catalogue is for all; which job made a version is its project's."""
    if found.provenance is not None and readable(principal) is not None:
        account = await core.read(account_of, core.store, found.provenance.job_id)
        if not shows_job(principal, account):
            found = replace(found, provenance=None)
    return dataset_view(found, files=files)


@router.post("/{name}/replicas")
async def set_replica(
    name: str, body: ReplicaRequest, core: CoreDep, principal: PrincipalDep
) -> Json:
    """Say where another copy lies, or (without ``url``) that there is none any more. The bytes
    are checked by each site that reads them."""
    found = await core.read(load_dataset, core.store, name, body.version)
    if found is None:
        raise not_found("data set", f"{name}@{body.version}" if body.version else name)
    if body.url is None:
        left = await core.write(remove_replica, core.store, name, found.version, body.site)
        if left is None:
            raise not_found(f"copy of {found.reference} at", body.site)
    else:
        faults = _copy_faults(core, body.site, body.url, found.residency)
        if faults:
            raise InputFaults(faults)
        made = Replica(site=body.site, url=body.url, added_ms=core.clock.now_ms())
        left = await core.write(add_replica, core.store, name, found.version, made)
        if left is None:
            raise not_found("data set", found.reference)
    core.queue_changed()
    return await _view(core, principal, left)


def _rules(text: str, faults: list[Fault]) -> tuple[TagRule, ...]:
    if not text.strip():
        return ()
    try:
        return parse_residency(text)
    except ValueError as error:
        faults.append(_fault("residency", str(error), "Write for example country=CN|SG."))
        return ()


def _copy_faults(core: Core, site_name: str, url: str, rules: tuple[TagRule, ...]) -> list[Fault]:
    faults: list[Fault] = []
    site = next((one for one in core.network.sites if one.name == site_name), None)
    if site is None:
        faults.append(_fault("site", f"there is no site {site_name!r}", "See westward sites."))
    else:
        for rule in broken_terms(rules, site):
            problem = f"the data may lie only where {rule.key} is {' or '.join(rule.values)}, and "
            problem += f"{site_name} is not such a site"
            faults.append(_fault("site", problem, "Name another site, or correct residency."))
    problem_of_url = url_problem(url)
    if problem_of_url is not None:
        faults.append(_fault("url", problem_of_url, "Write file:///folder or s3://bucket/folder."))
    return faults


def url_problem(url: str) -> str | None:
    """Why sites would not read from ``url``; None if they would. Keys belong to the site."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return f"{url!r} is no URL: {error}"
    if parts.scheme not in SCHEMES or "::" in url or not url.isprintable():
        return f"{url!r} is not a {':// or '.join(SCHEMES)}:// URL"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "a URL of the catalogue holds no keys, query or fragment: a site has its own keys"
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        return f"{url!r} does not name a folder by its whole path"
    if parts.scheme == "s3" and not parts.netloc:
        return f"{url!r} names no bucket"
    if ".." in parts.path.split("/"):
        return f"{url!r} holds .."
    return None


def _fault(field: str, problem: str, remedy: str) -> Fault:
    return Fault("data set", None, field, problem, remedy)
