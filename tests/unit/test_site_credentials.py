"""Credentials through lost answers and crashes, and the gate before the server."""

from __future__ import annotations

import asyncio
import random
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.databases import DATABASES, new_database
from westward.agent import credential as disk
from westward.agent.credential import Credential, digest_of, new_secret
from westward.agent.engines.base import DiscoveredPool
from westward.model.offer import Invitation, SiteOffer
from westward.network.loader import load_network
from westward.server.access import Access
from westward.server.core import Core
from westward.server.guard import Gate, is_local, operator_token
from westward.server.joined import View, load_view
from westward.server.settings import Settings
from westward.store.database import Store, open_store
from westward.store.enrol import (
    Enrolment,
    all_credentials,
    all_marks,
    all_offers,
    enrol,
    first_use,
    invite,
    mark,
    open_invitations,
    revoke,
    rotate,
    save_offer,
)

LAB = Invitation(site="lab", zone="coast")


@pytest.fixture(params=DATABASES)
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    found = open_store(new_database(request.param, tmp_path))
    yield found
    found.close()


def good(store: Store, secret: str) -> bool:
    """As the gate sees it; a first use is noted."""
    for one in all_credentials(store):
        if one.digest == digest_of(secret) and one.ended_ms is None:
            if one.first_used_ms is None:
                first_use(store, one.digest, one.site, 1)
            return True
    return False


def test_enrolling(store: Store) -> None:
    invite(store, LAB, "t" * 64, 1_000, 0)
    assert open_invitations(store, 0) == {"lab": 1_000}
    assert enrol(store, "x" * 64, "c" * 64, 0) == "token-unknown"
    assert enrol(store, "t" * 64, "c" * 64, 1_000) == "token-expired"
    first = enrol(store, "t" * 64, "c" * 64, 999)
    assert first == Enrolment(invitation=LAB, repeated=False)
    again = enrol(store, "t" * 64, "c" * 64, 5_000)
    assert again == Enrolment(invitation=LAB, repeated=True), "the answer was lost"
    assert enrol(store, "t" * 64, "d" * 64, 999) == "token-used"
    invite(store, LAB, "u" * 64, 1_000, 0)
    invite(store, LAB, "v" * 64, 1_000, 0)
    assert enrol(store, "u" * 64, "e" * 64, 0) == "token-void"
    assert enrol(store, "v" * 64, "c" * 64, 0) == "digest-taken"
    assert enrol(store, "v" * 64, "e" * 64, 0) == Enrolment(invitation=LAB, repeated=False)
    ended = {one.digest[0]: one.ended_why for one in all_credentials(store)}
    assert ended == {"c": "replaced", "e": None}
    assert enrol(store, "t" * 64, "c" * 64, 0) == "token-used", "its credential is over"


def test_revoking(store: Store) -> None:
    invite(store, LAB, "t" * 64, 1_000, 0)
    enrol(store, "t" * 64, "c" * 64, 0)
    invite(store, LAB, "u" * 64, 1_000, 0)
    assert revoke(store, "lab", 5)
    assert not revoke(store, "lab", 6)
    assert [one.ended_why for one in all_credentials(store)] == ["revoked"]
    assert enrol(store, "u" * 64, "d" * 64, 7) == "token-void"
    assert [(row.at_ms, row.invitation) for row in all_offers(store)] == [(0, LAB), (5, None)]
    late = SiteOffer(site="lab", engine="local", discovered=(DiscoveredPool(name="a", nodes=1),))
    assert not save_offer(store, late, 8), "a revoked site offers nothing"
    assert not rotate(store, "lab", "e" * 64, 9), "asked before the revocation, written after it"
    assert not good(store, "e" * 64)
    assert [one.ended_why for one in all_credentials(store)] == ["revoked"]


def test_marks(store: Store) -> None:
    mark(store, "lab", "", "draining", 1)
    mark(store, "lab", "p", "cordoned", 1)
    assert all_marks(store) == {"lab": {"": "draining", "p": "cordoned"}}
    mark(store, "lab", "", "open", 2)
    mark(store, "lab", "p", "draining", 2)
    assert all_marks(store) == {"lab": {"p": "draining"}}


class Crash(Exception):
    """The agent dies here."""


@pytest.mark.parametrize("seed", range(40))
def test_no_crash_or_lost_answer_leaves_an_agent_without_a_good_credential(
    store: Store, tmp_path: Path, seed: int
) -> None:
    """The agent's steps (agent.member) with a crash before or after each, and lost answers."""
    dice = random.Random(seed)
    folder = tmp_path / "state"
    folder.mkdir()
    disk.save(folder, Credential(secret=new_secret(), since_ms=0))
    invite(store, LAB, "t" * 64, 1_000, 0)
    first = disk.load(folder)
    assert first is not None
    enrol(store, "t" * 64, digest_of(first.secret), 0)

    def maybe_crash() -> None:
        if dice.random() < 0.15:
            raise Crash

    used: list[str] = [first.secret]
    for now_ms in range(1, 60):
        held = disk.load(folder)
        assert held is not None
        assert good(store, held.secret), "what stands on the disk is good"
        if used[-1] != held.secret:
            assert not good(store, used[-1]), "its first use ended the one before"
            used.append(held.secret)
        try:
            maybe_crash()
            following = held.with_following()
            disk.save(folder, following)
            maybe_crash()
            assert following.following is not None
            assert rotate(store, "lab", digest_of(following.following), now_ms)
            if dice.random() < 0.3:  # the answer is lost: asked again next time
                continue
            maybe_crash()
            disk.save(folder, following.followed(now_ms))
            maybe_crash()
        except Crash:
            continue
    assert len(used) > 5
    assert sum(one.ended_ms is None for one in all_credentials(store)) <= 2
    assert not any(good(store, old) for old in used[:-1])


def test_when_it_is_due() -> None:
    one = Credential(secret="s", since_ms=1_000)
    assert not one.due(500, 1_499)
    assert one.due(500, 1_500)
    assert one.due(500, 900), "the clock went back"
    assert one.with_following().due(500, 1_001), "an announcement is outstanding"


def test_secrets_are_private_and_damage_is_told(tmp_path: Path) -> None:
    disk.save(tmp_path, Credential(secret="s", since_ms=1))
    path = tmp_path / "credential.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert disk.load(tmp_path / "elsewhere") is None
    path.write_text('{"secret": ')
    with pytest.raises(ValueError, match="damaged"):
        disk.load(tmp_path)
    token = operator_token(tmp_path)
    assert token == operator_token(tmp_path)
    assert stat.S_IMODE((tmp_path / "operator.token").stat().st_mode) == 0o600


# -- the gate


def through(path: str, client: tuple[str, int] | None, **settings: bool) -> int:
    """The status of a request: 200 if the gate lets it through."""
    core = SimpleNamespace(
        settings=SimpleNamespace(
            **{
                "open_to_users": False,
                "require_credentials": False,
                "users": False,
                **settings,
            }
        ),
        joined=SimpleNamespace(credentials={}, sites={}),
    )
    told: list[int] = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        told.append(200)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told.append(message["status"])

    async def receive() -> Any:
        raise AssertionError("a stranger's body is not read")

    scope = {"type": "http", "path": path, "client": client, "headers": [], "method": "POST"}
    gate = Gate(app, core, Access((), {}))  # type: ignore[arg-type]
    asyncio.run(gate(scope, receive, send))
    return told[0]


@pytest.mark.parametrize("path", ["/v1/jobs", "/docs", "/healthz", "/v1/joined", "/v1/agentx"])
def test_strangers_reach_agents_paths_only(path: str) -> None:
    assert through(path, ("10.1.2.3", 5)) == 403
    assert through(path, ("::ffff:10.1.2.3", 5)) == 403
    assert through(path, ("10.1.2.3", 5), open_to_users=True) == 200
    for here in (("127.0.0.1", 5), ("127.9.9.9", 5), ("::1", 5), ("::ffff:127.0.0.1", 5), None):
        assert through(path, here) == 200


def test_agents_without_a_credential_come_from_here_only() -> None:
    assert through("/v1/agent/hello", ("10.1.2.3", 5)) == 401
    assert through("/v1/agent/anything/new", ("10.1.2.3", 5)) == 401
    assert through("/v1/agent/hello", ("127.0.0.1", 5)) == 200
    assert through("/v1/agent/hello", ("127.0.0.1", 5), require_credentials=True) == 401
    assert through("/v1/agent/enrol", ("10.1.2.3", 5)) == 200, "the invitation speaks for itself"


def test_what_has_no_address_is_local() -> None:
    assert is_local(SimpleNamespace(client=SimpleNamespace(host="testclient")))  # type: ignore[arg-type]


# -- what the server keeps in memory of it


def test_two_changes_at_once_leave_the_newer_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow reader that began before a revocation must not bring the credential back."""
    store = open_store(f"sqlite:///{tmp_path / 'w.db'}")
    network = load_network(Path(__file__).parents[2] / "networks" / "laptop")
    core = Core(Settings(network=tmp_path, data=tmp_path), network, store)
    invite(store, LAB, "t" * 64, 1_000, 0)
    enrol(store, "t" * 64, "c" * 64, 0)
    began, revoked = threading.Event(), threading.Event()

    def slow_once(*of: Any) -> View:
        view = load_view(*of)
        if not began.is_set():
            began.set()
            revoked.wait(0.5)
        return view

    monkeypatch.setattr("westward.server.core.load_view", slow_once)

    async def both() -> None:
        first = asyncio.create_task(core.sites_changed())
        await asyncio.to_thread(began.wait)
        await core.write(revoke, store, "lab", 5)
        await core.sites_changed()
        revoked.set()
        await first

    try:
        asyncio.run(both())
        assert core.joined.credentials["c" * 64].ended_why == "revoked"
    finally:
        core.close()


def test_an_operators_token_that_was_not_written_whole_is_made_anew(tmp_path: Path) -> None:
    """An empty one would be shown by everybody who shows none."""
    (tmp_path / "operator.token").touch(0o600)
    token = operator_token(tmp_path)
    assert token.startswith("wop_")
    assert token == operator_token(tmp_path)
    assert stat.S_IMODE((tmp_path / "operator.token").stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["operator.token"]
