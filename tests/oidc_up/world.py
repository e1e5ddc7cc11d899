"""A server that people log in at, the provider it sends them to, and browsers that keep cookies."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import uvicorn

from tests.oidc_up.provider import SECRET
from tests.oidc_up.running import RunningProvider, start_provider
from tests.unit.people_world import LAPTOP
from westward.model.people import Grant, Member, Place, Role
from westward.server import app as server_app
from westward.server import core as server_core
from westward.server.core import Core
from westward.server.oidc_settings import read_oidc
from westward.server.settings import Settings
from westward.store.people import add_member

LI = {"sub": "li-1", "email": "Li@Example.org", "email_verified": True}
USER = "li@example.org"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers["Location"]


@dataclass
class Browser:
    """Keeps cookies as browsers do; says where from when asked to."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """Every Set-Cookie."""

    def ask(self, method: str, path: str, origin: str | None = None, **body: Any) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        headers = {"Content-Type": "application/json"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        if origin is not None:
            headers["Origin"] = origin
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        for line in answer.headers.get_all("Set-Cookie") or ():
            self.said.append(line)
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        found = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return found

    def begin(self, **query: object) -> str:
        """The provider's address that it is sent to."""
        answer = self.ask("GET", f"/v1/login?{urlencode(query)}")
        assert answer.status == 303, answer.body
        return answer.location

    def back(self, location: str) -> Answer:
        parts = urlsplit(location)
        return self.ask("GET", f"{parts.path}?{parts.query}")


@dataclass
class World:
    url: str
    core: Core
    provider: RunningProvider
    logged: list[str]

    def browser(self) -> Browser:
        return Browser(self.url)

    def logged_in(self, **more: Any) -> tuple[Browser, Answer]:
        """A fresh browser of li's that has been there and back, and the last answer."""
        self.provider.say({**LI, **more.pop("person", {})}, **more)
        browser = self.browser()
        return browser, browser.back(self.provider.visit(browser.begin()))

    def tokens(self) -> int:
        return len(self.core.people.by_id)

    def later(self, ms: int) -> None:
        self.core.clock._offset_ms += ms


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("login")
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    provider = start_provider(folder / "provider", f"{url}/v1/login/callback")
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "oidc.yaml").write_text(
        f"issuer: {provider.issuer}\nclient_id: westward\nclient_secret_file: secret\n"
        f"public_url: {url}/\nca_file: provider/cert.pem\nsession: 2h\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_core, "_warm_up", lambda *_: None)
        settings = Settings(
            network=LAPTOP, data=folder / "data", users=True, oidc=read_oidc(folder / "oidc.yaml")
        )
        app = server_app.create_app(settings)
    core: Core = app.state.core
    held = Grant(Role.AUDITOR, Place("network", "network"))
    for user in (USER, "wu@example.org"):
        add_member(core.store, Member(user=user, grant=held, added_ms=0, added_by="operator"))
    asyncio.run(core.people_changed())
    kept = Kept()
    logging.getLogger().addHandler(kept)
    logging.getLogger().setLevel(logging.DEBUG)
    server = uvicorn.Server(uvicorn.Config(app, log_level="debug", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield World(url, core, provider, kept.lines)
    logging.getLogger().removeHandler(kept)
    server.should_exit = True
    thread.join(30)
    provider.stop()


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {record.exc_text or ''}")
