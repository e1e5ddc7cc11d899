"""A server that tells users apart, with two projects and one person for every role; requests go to
the whole application, gate and all. ``CALLERS`` are the columns of tests/golden/access.csv."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.types import Message

from westward.cli.client import Client
from westward.control.events import JobBound, RunEnded
from westward.control.records import Binding
from westward.formats.tes import read_tes
from westward.formats.tes_model import read_document
from westward.ledger.price import Bill
from westward.model.dataset import DataFile, Replica
from westward.model.job import ArrayPlace, JobSpec, ResourceOption, Work
from westward.model.offer import Invitation
from westward.model.people import (
    ALL_SCOPES,
    NETWORK,
    ROLE_KIND,
    Grant,
    Member,
    Organisation,
    Place,
    Project,
    Role,
    Scope,
    Token,
)
from westward.model.shares import ShareRow
from westward.model.voucher import VoucherClaim
from westward.model.wire import Hello
from westward.server import app as server_app
from westward.server import core as server_core
from westward.server.core import Core
from westward.server.rights import digest_of
from westward.server.settings import Settings
from westward.settlement.disputes import Dispute, Refused
from westward.store.catalogue import add_dataset
from westward.store.enrol import enrol, invite
from westward.store.jobs import submit_jobs
from westward.store.lifecycle import apply_event, grant_leases, report_run
from westward.store.metering import save_bill
from westward.store.money import Budget, save_claim, set_budget
from westward.store.money_schema import METADATA
from westward.store.people import add_member, create_organisation, create_project, mint
from westward.store.results import Applied, GrantRequest, Submission
from westward.store.settlement import open_dispute
from westward.store.shares import set_share
from westward.store.sites import hello

LAPTOP = Path(__file__).parents[2] / "networks" / "laptop"
HERE = ("127.0.0.1", 5)
FAR = ("10.1.2.3", 5)
YEAR_MS = 365 * 86_400_000
PEOPLE: dict[str, tuple[Role, str] | None] = {
    "no-role": None,
    "owner": (Role.OWNER, "vision"),
    "lead": (Role.LEAD, "vision"),
    "other-lead": (Role.LEAD, "speech"),
    "site-operator": (Role.SITE_OPERATOR, "harbor"),
    "data-owner": (Role.DATA_OWNER, "images"),
    "funder": (Role.FUNDER, "city"),
    "network-operator": (Role.NETWORK_OPERATOR, NETWORK),
    "auditor": (Role.AUDITOR, NETWORK),
}
CALLERS = (
    "none", "unknown", "expired", "revoked", "narrow", *PEOPLE, "operator-file", "agent",
)  # fmt: skip
TASK = (
    "name: train\nresources:\n  cpus: 1\n  labels:\n    westward.account: {project}\nrun: echo hi\n"
)
TES = {
    "name": "sort",
    "executors": [{"image": "host", "command": ["true"]}],
    "resources": {"backend_parameters": {"account": "vision"}},
}
SOURCES = "currency: CNY\nsources:\n  made: made up for tests\n"
CITY = """name: city
label: A city's voucher
place: City
level: city
instrument: compute voucher
funder: city-purse
source: made
grade: A
spend: [compute]
utc_offset: "+08:00"
valid_from: 2020-01
base: price
share: 40
cap_per_entity_year: 1000
pot_per_year: 5000
order: 10
procedure:
  - step: claim
    evidence: [statement]
  - step: approve
  - step: use
"""
"""A programme of the network: it pays two fifths of devices."""
FILES = [{"path": "a.bin", "size_bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class World:
    app: FastAPI
    secrets: dict[str, str] = field(default_factory=dict)
    """What each caller shows."""
    numbers: Any = field(default_factory=lambda: count(1))

    @property
    def core(self) -> Core:
        core: Core = self.app.state.core
        return core

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        secret: str | None = None,
        query: str = "",
        client: tuple[str, int] = HERE,
        raw: bytes | None = None,
    ) -> Answer:
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        path, _, asked = path.partition("?")
        return asyncio.run(_asked(self.app, method, path, data, secret, query or asked, client))

    def as_(self, caller: str, method: str, path: str, body: object = None, **more: Any) -> Answer:
        return self.ask(method, path, body, secret=self.secrets.get(caller), **more)

    def fresh(self, stem: str) -> str:
        return f"{stem}-{next(self.numbers)}"

    def new_token(self, user: str, *scopes: Scope, expires_ms: int | None = None) -> str:
        """The secret of a token put straight into the store."""
        now_ms = self.core.clock.now_ms()
        secret = self.fresh("wut_secret")
        mint(
            self.core.store,
            Token(
                token_id=self.fresh("tok_test"),
                digest=digest_of(secret),
                user=user,
                scopes=frozenset(scopes) or ALL_SCOPES,
                label="",
                created_ms=now_ms - YEAR_MS,
                expires_ms=expires_ms if expires_ms is not None else now_ms + YEAR_MS,
                made_by="operator",
            ),
        )
        self.look_again()
        return secret

    def token_of(self, user: str) -> str:
        """The id of a fresh token."""
        digest = digest_of(self.new_token(user))
        return self.core.people.tokens[digest].token_id

    def give(self, user: str, role: Role, place: str) -> None:
        made = Member(
            user=user,
            grant=Grant(role, Place(ROLE_KIND[role], place)),
            added_ms=0,
            added_by="operator",
        )
        assert add_member(self.core.store, made) == "made"
        self.look_again()

    def look_again(self) -> None:
        asyncio.run(self.core.people_changed())

    def job(self, project: str | None = "vision", **changes: Any) -> str:
        job = JobSpec(
            job_id=self.fresh("job_w"),
            name="train",
            submit_ms=self.core.clock.now_ms(),
            options=(ResourceOption(cpus_milli=1000),),
            duration_ms=60_000,
            account=project,
            work=Work(run="true"),
        )
        job = replace(job, **changes)
        self._submit(job)
        return job.job_id

    def array(self, project: str = "vision") -> str:
        array_id = self.fresh("job_a")
        for index in range(2):
            place = ArrayPlace(array_id=array_id, name="sweep", index=index, count=2)
            self.job(project, job_id=f"{array_id}.{index}", name=f"sweep.{index}", array=place)
        return array_id

    def task(self, project: str = "vision", **document: Any) -> str:
        made = read_tes(
            read_document({**TES, **document}),
            job_id=self.fresh("job_tes-w"),
            now_ms=self.core.clock.now_ms(),
            host_images=(),
            word="word",
        )
        self._submit(replace(made.job, account=project))
        return made.job.job_id

    def _submit(self, job: JobSpec) -> None:
        submit_jobs(self.core.store, [Submission(job=job, body_digest=job.job_id)], job.submit_ms)

    def dataset(self, name: str, project: str) -> None:
        add_dataset(
            self.core.store,
            name=name,
            owner=project,
            files=[DataFile(path="a.bin", size_bytes=3, sha256=hashlib.sha256(b"abc").hexdigest())],
            licence="",
            residency=(),
            price_micros_per_gb=None,
            replica=Replica(site="harbor", url="file:///data", added_ms=0),
            now_ms=0,
        )

    def tables(self) -> str:
        """A digest of everything in the database but the coarse time of tokens' last use."""
        told = hashlib.sha256()
        with self.core.store.read() as connection:
            for table in METADATA.sorted_tables:
                columns = [
                    one for one in table.c if (table.name, one.name) != ("tokens", "used_ms")
                ]
                rows = connection.execute(select(*columns)).all()
                told.update(f"{table.name} {sorted(map(repr, rows))}\n".encode())
        return told.hexdigest()


async def _asked(
    app: FastAPI,
    method: str,
    path: str,
    data: bytes,
    secret: str | None,
    query: str,
    client: tuple[str, int],
) -> Answer:
    headers = [(b"content-type", b"application/json")]
    if secret is not None:
        headers.append((b"authorization", f"Bearer {secret}".encode()))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "scheme": "http",
        "server": ("127.0.0.1", 1),
        "client": client,
        "headers": headers,
    }
    parts: list[Message] = [{"type": "http.request", "body": data, "more_body": False}]
    told: list[Message] = []

    async def receive() -> Message:
        if parts:
            return parts.pop(0)
        await asyncio.Event().wait()  # connected, and silent
        raise AssertionError

    async def send(message: Message) -> None:
        told.append(message)

    async with asyncio.timeout(60):
        await app(scope, receive, send)
    kinds = {name.decode(): value.decode() for name, value in told[0]["headers"]}
    return Answer(told[0]["status"], kinds, b"".join(one.get("body", b"") for one in told[1:]))


def with_vouchers(folder: Path) -> Path:
    """The laptop's network with the one rule ``city``."""
    shutil.copytree(LAPTOP, folder, dirs_exist_ok=True)
    rules = folder / "vouchers"
    rules.mkdir(exist_ok=True)
    (rules / "sources.yaml").write_text(SOURCES, encoding="utf-8")
    (rules / "city.yaml").write_text(CITY, encoding="utf-8")
    return folder


def opened(data: Path, patch: pytest.MonkeyPatch, *, users: bool = True) -> World:
    patch.setattr(server_core, "_warm_up", lambda *_: None)
    settings = Settings(
        network=with_vouchers(data / "network"), data=data, users=users, require_credentials=users
    )
    app = server_app.create_app(settings)
    app.middleware_stack = app.build_middleware_stack()
    return World(app)


def peopled(data: Path, patch: pytest.MonkeyPatch) -> World:
    world = opened(data, patch)
    store = world.core.store
    for name, project in (("acme", "vision"), ("rival", "speech")):
        made = Organisation(organisation=name, label="", created_ms=0, created_by="operator")
        create_organisation(store, made)
        create_project(
            store,
            Project(
                project=project, organisation=name, label="", created_ms=0, created_by="operator"
            ),
        )
    world.dataset("images", "vision")
    hello(
        store, Hello(site="harbor", agent_id="agt", pools=()), world.core.clock.now_ms() + YEAR_MS
    )
    for name, held in PEOPLE.items():
        if held is not None:
            world.give(name, *held)
        world.secrets[name] = world.new_token(name)
    world.secrets["unknown"] = "wut_made-up"
    world.secrets["expired"] = world.new_token("lead", expires_ms=world.core.clock.now_ms() - 1)
    world.secrets["narrow"] = world.new_token("lead", Scope.METRICS)
    world.secrets["revoked"] = world.new_token("lead")
    token_id = world.core.people.tokens[digest_of(world.secrets["revoked"])].token_id
    assert world.as_("lead", "POST", f"/v1/tokens/{token_id}/revoke").status == 200
    world.secrets["operator-file"] = world.core.operator_token
    invite(store, Invitation(site="lab", zone="coast"), digest_of("lab"), 10**15, 0)
    enrol(store, digest_of("lab"), digest_of("wsc_lab"), 0)
    asyncio.run(world.core.sites_changed())
    world.secrets["agent"] = "wsc_lab"
    return world


MONTH = "?month=2026-11"


def billed_run(world: World) -> str:
    """A run of a job of ``vision`` at ``harbor``, over and billed; its id."""
    store, now_ms = world.core.store, world.core.clock.now_ms()
    job_id, run_id = world.job(), world.fresh("run")
    place = Binding(
        pool="harbor-east", site="harbor", option=0, need_milli=1, duration_ms=1_000,
        not_before_ms=now_ms, planned_start_ms=now_ms,
    )  # fmt: skip
    bound = apply_event(store, job_id, JobBound(binding=place), now_ms)
    assert isinstance(bound, Applied)
    asked = GrantRequest(
        job_id=job_id, expected_version=bound.record.version, run_id=run_id, place=place,
        capacity_milli=10**9,
    )  # fmt: skip
    (granted,) = grant_leases(store, (asked,), 10**6, now_ms)
    assert isinstance(granted, Applied)
    (run,) = granted.record.runs
    end = RunEnded(run_id=run_id, token=run.token, outcome="succeeded", exit_code=0)
    report_run(store, run_id, end, now_ms + 1)
    bill = Bill(
        device_milli_ms=1, energy_j=0, carbon_location_ug=None, carbon_contract_ug=None,
        device_micros=7, power_micros=2, transfer_micros=0, rounding_micros=0, total_micros=9,
        carbon_shown_micros=None,
    )  # fmt: skip
    assert save_bill(store, job_id, run_id, bill, now_ms + 2)
    return run_id


def disputed(world: World) -> str:
    dispute = Dispute(
        dispute_id=world.fresh("d"), run_id=billed_run(world), job_id="", site="", part=None,
        reason="doubt", opened_by="test", opened_ms=0,
    )  # fmt: skip
    made = open_dispute(world.core.store, dispute)
    assert not isinstance(made, Refused)
    return dispute.dispute_id


Asked = tuple[str, str, object]
"""Method, path, body."""


def request(world: World, operation: str, caller: str) -> Asked:
    """A good request for ``operation`` about the project ``vision`` (the site ``harbor``, the data
    set ``images``, a token of ``lead``), on things of its own where it changes any."""
    method, _, path = operation.partition(" ")
    task = TASK.format(project="vision")
    body: object = None if method == "GET" else {}
    if path in ("/v1/jobs", "/v1/batches", "/v1/plan", "/v1/quote") and method == "POST":
        body = {"task": task, "job_id": world.fresh("job_n")}
    elif operation == "POST /ga4gh/tes/v1/tasks":
        body = TES
    elif "{job_id}" in path:
        job_id = world.job()
        path = path.replace("{job_id}", job_id)
        body = {"to": "harbor"} if path.endswith("/move") else body
    elif "{array_id}" in path:
        path = path.replace("{array_id}", world.array())
    elif "{task_id}" in path:
        path = path.replace("{task_id}", world.task())
    elif operation == "POST /v1/datasets":
        body = {
            "name": world.fresh("set"), "owner": "vision", "files": FILES, "site": "harbor",
            "url": "file:///data",
        }  # fmt: skip
    elif path == "/v1/datasets/{name}/replicas":
        path, body = "/v1/datasets/images/replicas", {"site": "basin", "url": "file:///data"}
    elif path == "/v1/datasets/{name}":
        path = "/v1/datasets/images"
    elif path.endswith("/invite"):
        path, body = f"/v1/joined/{world.fresh('site')}/invite", {"zone": "coast"}
    elif path.endswith("{site}/revoke"):
        site = world.fresh("site")
        invite(world.core.store, Invitation(site=site, zone="coast"), digest_of(site), 10**9, 0)
        enrol(world.core.store, digest_of(site), digest_of(f"wsc_{site}"), 0)
        asyncio.run(world.core.sites_changed())
        path = f"/v1/joined/{site}/revoke"
    elif "{site}" in path:
        path = path.replace("{site}", "harbor") + (MONTH if path.startswith("/v1/sites/") else "")
        body = {"status": "open"} if method == "POST" else None
    elif operation == "POST /v1/organisations":
        body = {"organisation": world.fresh("org")}
    elif operation == "POST /v1/projects":
        body = {"project": world.fresh("project"), "organisation": "acme"}
    elif "{kind}/{place}" in path:
        path = path.replace("{kind}/{place}", "project/vision")
        if method == "POST":
            user = world.fresh("user")
            body = {"user": user, "role": "owner"}
            if path.endswith("/remove"):
                world.give(user, Role.OWNER, "vision")
    elif operation == "POST /v1/tokens":
        for_another = caller in ("operator-file", "network-operator")
        body = {"ttl_ms": 60_000, "user": world.fresh("user") if for_another else None}
    elif path == "/v1/login/token":
        body = {"code": "made-up", "verifier": "v" * 43}
    elif operation == "POST /v1/shares":
        body = {"kind": "group", "name": world.fresh("city")}
    elif path == "/v1/shares/remove":
        row = ShareRow(kind="group", name=world.fresh("city"))
        set_share(world.core.store, row, 0, "test")
        body = {"kind": "group", "name": row.name}
    elif path == "/v1/shares/terms":
        body = {"half_life_ms": 86_400_000, "window_ms": 4 * 86_400_000}
    elif path == "/v1/login/forget":
        body = {"user": "nobody"}
    elif "{token_id}" in path:
        path = path.replace("{token_id}", world.token_of("lead"))
    elif path in ("/v1/settlement", "/v1/charges"):
        path += MONTH
    elif path == "/v1/statements/{earner}":
        path = f"/v1/statements/site:harbor{MONTH}"
    elif operation == "POST /v1/disputes":
        run_id = billed_run(world)
        body = {"dispute_id": world.fresh("d"), "run_id": run_id, "reason": "twice", "by": "me"}
    elif "{dispute_id}" in path:
        path = path.replace("{dispute_id}", disputed(world))
        body = {"answer": "no", "by": "me"}
        if path.endswith("/close"):
            body = {"outcome": "rejected", "note": "no", "by": "me"}
    elif path == "/v1/payouts":
        billed_run(world)
        body = {"payout_id": world.fresh("p"), "earner": "site:harbor", "micros": 1, "by": "me"}
    elif path == "/v1/projects/{project}/charges":
        path = f"/v1/projects/vision/charges{MONTH}"
    elif "{project}" in path:
        if path.endswith(("/add", "/remove")):
            set_budget(
                world.core.store,
                Budget(project="vision", on_empty="suspend", set_ms=0, set_by="test"),
            )
        if path.endswith("/add"):
            body = {"transfer_id": world.fresh("t"), "amount_micros": 1}
        path = path.replace("{project}", "vision")
    elif "{rule}" in path:
        if "{organisation}" in path:
            claim = VoucherClaim(id="acme:city", rule="city", entity="acme")
            save_claim(world.core.store, claim, 0, "test")
        if path.endswith("/steps"):
            body = {"step": "claim", "evidence": [{"kind": "statement", "reference": "S-1"}]}
        elif path.endswith("/claw-back"):
            shown = [{"kind": "letter", "reference": "L-1"}]
            body = {"claw_back_id": world.fresh("cb"), "reason": "untrue", "evidence": shown,
                    "dry_run": True}  # fmt: skip
        elif path.endswith("/close"):
            path = path.replace("{year}", "2025")
            body = {"dry_run": True}
        elif path.endswith("/fund"):
            body = {"transfer_id": world.fresh("t"), "amount_micros": 1}
        path = path.replace("{rule}", "city").replace("{organisation}", "acme")
    elif "{organisation}" in path:
        claim = VoucherClaim(id="acme:city", rule="city", entity="acme")
        save_claim(world.core.store, claim, 0, "test")
        if path.endswith("/facts"):
            body = {"name": "startup", "value": True, "evidence": "register"}
        elif path.endswith("/contracts"):
            body = {"contract": "K-1"}
        path = path.replace("{organisation}", "acme")
    elif "{run_id}" in path:
        path = path.replace("{run_id}", "run_none")
    return method, path, body


def speaks(world: World, caller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed from here on is asked of the world, by that caller."""

    def asked(self: Client, method: str, path: str, body: object) -> Any:
        answer = world.as_(caller, method, path, body)
        return self._decode(answer.status, answer.body)

    monkeypatch.setattr(Client, "_request", asked)
    monkeypatch.setenv("WESTWARD_SERVER", "http://127.0.0.1:1")
    monkeypatch.setenv("WESTWARD_TOKEN", "t")
