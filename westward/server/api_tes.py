"""GA4GH TES 1.1: the same jobs, as another standard's clients ask for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Query, Request

from westward import __version__
from westward.control.events import CancelRequested
from westward.control.records import JobRecord
from westward.formats.tes import BACKEND_PARAMETERS, HOST_IMAGE, TesJob, read_tes
from westward.formats.tes_model import FILE, State, TesTask, View, read_document
from westward.model.access import readable
from westward.model.faults import Fault, InputFaults
from westward.model.network import Network
from westward.server.api_jobs import CoreDep, impossible
from westward.server.applier import Outcome
from westward.server.core import Core
from westward.server.errors import ApiError, not_found
from westward.server.job_limits import check_job
from westward.server.possible import alike
from westward.server.rights import (
    JudgedDep,
    PrincipalDep,
    account_for,
    permit_project,
    shows_job,
)
from westward.server.tes_view import (
    TesLabels,
    states_for,
    task_view,
    tes_labels,
    tes_state,
)
from westward.store.jobs import load_job, submit_jobs
from westward.store.lifecycle import apply_event
from westward.store.results import Applied, Conflict, Stale, Submission
from westward.store.tes import ID_PREFIX, list_tes_jobs

PAGE_DEFAULT = 256
PAGE_MOST = 2_047
"""The specification: "must be less than 2048"."""
SCAN = 500
"""Jobs looked at in one go when a list is filtered by name or tag."""

router = APIRouter(prefix="/ga4gh/tes/v1", tags=["GA4GH TES"])
Json = dict[str, Any]


@router.get("/service-info")
async def service_info(core: CoreDep) -> Json:
    network: Network = core.network
    images = ", ".join((HOST_IMAGE, *core.settings.tes_host_images))
    return {
        "id": f"westward.{network.name}",
        "name": f"Westward: {network.label}",
        "type": {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"},
        "description": (
            "Many independent compute sites, one network. Executors run as processes on a site's "
            f"host, not in containers; images taken: {images}. Inputs: content, file:// and plain "
            "paths of the site; outputs: file:// and plain paths of the site. Zones are sites."
        ),
        "organization": {"name": network.label, "url": core.settings.tes_organization_url},
        "version": __version__,
        "storage": ["file:///"],
        "tesResources_backend_parameters": list(BACKEND_PARAMETERS),
    }


@router.post(
    "/tasks",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TesTask"}}},
        }
    },
)
async def create_task(request: Request, core: CoreDep, judged: JudgedDep) -> Json:
    """Takes every valid document. One that asks for what the network cannot do is kept in
    SYSTEM_ERROR, with the reasons in its system logs; it never runs."""
    task = read_document(await _body(request))
    now_ms = core.clock.now_ms()
    made = await core.read(_read, core, task, f"{ID_PREFIX}{uuid4().hex[:12]}", now_ms)
    made = replace(made, job=replace(made.job, account=account_for(judged, made.job.account)))
    permit_project(judged, made.job.account)
    refused: str | None = "; ".join(made.refusals) or None
    if refused is None:
        refused = await core.read(impossible, core, alike(made.job), now_ms)
    digest = hashlib.sha256(made.job.job_id.encode()).hexdigest()
    submission = Submission(job=made.job, body_digest=digest, refused=refused)
    (answer,) = await core.write(submit_jobs, core.store, (submission,), now_ms)
    if isinstance(answer, Conflict):
        raise ApiError(409, "job-id-taken", answer.reason)
    core.submitted("tes", answer.record, answer.created)
    core.plan_bell.ring()
    return {"id": made.job.job_id}


async def _body(request: Request) -> object:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        fault = Fault(FILE, None, "", f"the body is not JSON: {error}", "Send a tesTask as JSON.")
        raise InputFaults([fault]) from None


def _read(core: Core, task: TesTask, job_id: str, now_ms: int) -> TesJob:
    made = read_tes(
        task,
        job_id=job_id,
        now_ms=now_ms,
        host_images=core.settings.tes_host_images,
        word=uuid4().hex[:12],
    )
    check_job(made.job, FILE)
    return made


@router.get("/tasks")
async def list_tasks(
    core: CoreDep,
    principal: PrincipalDep,
    name_prefix: str | None = None,
    state: State | None = None,
    tag_key: Annotated[list[str] | None, Query()] = None,
    tag_value: Annotated[list[str] | None, Query()] = None,
    page_size: Annotated[int, Query(ge=1, le=PAGE_MOST)] = PAGE_DEFAULT,
    page_token: str | None = None,
    view: View = "MINIMAL",
) -> Json:
    """Newest first. ``tag_value`` is matched with ``tag_key`` by position; empty matches any."""
    accounts = readable(principal)
    last = await core.read(load_job, core.store, page_token) if page_token else None
    if page_token and (last is None or not shows_job(principal, last.job.account)):
        raise ApiError(400, "unknown-page-token", f"no page begins after {page_token!r}")
    values = list(tag_value or ())
    tags = {
        key: values[index] if index < len(values) else "" for index, key in enumerate(tag_key or ())
    }
    found = await core.read(
        _matching, core, accounts, name_prefix, state, tags, page_size + 1, page_token or None
    )
    page = found[:page_size]
    tasks = await core.read(_views, core, page, view)
    answer: Json = {"tasks": tasks}
    if len(found) > page_size:
        answer["next_page_token"] = page[-1][0].job_id
    return answer


def _views(core: Core, page: list[tuple[JobRecord, TesLabels]], view: View) -> list[Json]:
    return [task_view(core.store, record, labels, view) for record, labels in page]


def _matching(
    core: Core,
    accounts: Collection[str] | None,
    name_prefix: str | None,
    state: State | None,
    tags: dict[str, str],
    most: int,
    before: str | None,
) -> list[tuple[JobRecord, TesLabels]]:
    states = None if state is None else states_for(state)
    found: list[tuple[JobRecord, TesLabels]] = []
    while True:
        records = list_tes_jobs(
            core.store, states=states, before=before, limit=SCAN, accounts=accounts
        )
        for record in records:
            labels = tes_labels(record)
            if labels is None or (state is not None and tes_state(record) != state):
                continue
            if _matches(labels.document, name_prefix, tags):
                found.append((record, labels))
                if len(found) == most:
                    return found
        if len(records) < SCAN:
            return found
        before = records[-1].job_id


def _matches(document: Json, name_prefix: str | None, tags: dict[str, str]) -> bool:
    if name_prefix and not str(document.get("name", "")).startswith(name_prefix):
        return False
    own: dict[str, str] = document.get("tags") or {}
    return all(key in own and (not value or own[key] == value) for key, value in tags.items())


@router.get("/tasks/{task_id}")
async def get_task(task_id: str, core: CoreDep, view: View = "MINIMAL") -> Json:
    record, labels = await _load(core, task_id)
    return await core.read(task_view, core.store, record, labels, view)


@router.post("/tasks/{task_id}:cancel")
async def cancel_task(task_id: str, core: CoreDep) -> Json:
    """A task that is over stays as it is; that is no error."""
    await _load(core, task_id)
    answer = await core.write(
        apply_event, core.store, task_id, CancelRequested(), core.clock.now_ms()
    )
    if isinstance(answer, Stale):
        raise not_found("task", task_id)
    if isinstance(answer, Applied):
        core.announce(Outcome(list(answer.instructions), [task_id]))
    return {}


async def _load(core: Core, task_id: str) -> tuple[JobRecord, TesLabels]:
    record = await core.read(load_job, core.store, task_id)
    labels = None if record is None else tes_labels(record)
    if record is None or labels is None:
        raise not_found("task", task_id)
    return record, labels
