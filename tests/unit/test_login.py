"""Log-in at a real OpenID provider: another process, over HTTPS, that can be told to be a bad one."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.oidc_up.provider import SECRET
from tests.oidc_up.world import LI, USER, World, world
from westward.cli.main import run
from westward.model.faults import InputFaults
from westward.server.errors import ApiError
from westward.server.login import Once, user_of
from westward.server.oidc import KEYS_AGAIN_MS
from westward.server.oidc_settings import OidcSettings, read_oidc
from westward.server.rights import digest_of

__all__ = ["world"]
DAY_S = 86_400


# -- by browser


def test_in_by_browser_and_out_again(world: World) -> None:
    browser, answer = world.logged_in()
    assert (answer.status, answer.location) == (303, "/docs")
    session = next(one for one in browser.said if one.startswith("westward_session="))
    for part in ("HttpOnly", "SameSite=lax", "Max-Age=7200", "Path=/"):
        assert part in session
    assert "westward_login" not in browser.cookies, "its work is done"
    secret = browser.cookies["westward_session"]
    told = browser.ask("GET", "/v1/whoami").json()
    assert (told["user"], told["expires_ms"] is not None) == (USER, True)
    token = world.core.people.tokens[digest_of(secret)]
    assert token.expires_ms - token.created_ms == 2 * 3_600_000
    # What changes anything comes from a page of ours, or it does not count.
    for origin in (None, "https://evil.example", "null"):
        refused = browser.ask("POST", "/v1/tokens", origin, ttl_ms=60_000)
        assert (refused.status, refused.json()["code"]) == (403, "cross-site")
        assert browser.ask("POST", "/v1/logout", origin).json()["ended"] is None
    own = browser.ask("POST", "/v1/tokens", world.url, ttl_ms=60_000)
    assert own.json()["code"] == "auditor-changes-nothing", "judged as li, who is an auditor"
    out = browser.ask("POST", "/v1/logout", world.url).json()
    assert out == {
        "ended": token.token_id, "end_session_url": f"{world.provider.issuer}/logout",
    }  # fmt: skip
    assert "westward_session" not in browser.cookies
    browser.cookies["westward_session"] = secret
    assert browser.ask("GET", "/v1/whoami").json()["code"] == "token-revoked"


def test_over_https_the_cookie_is_this_hosts_alone() -> None:
    from westward.server.rights import session_cookie

    oidc = OidcSettings(issuer="https://i", client_id="c", public_url="https://w")
    assert session_cookie(oidc).startswith("__Host-")


def test_where_it_goes_afterwards_is_a_path_of_this_server(world: World) -> None:
    browser = world.browser()
    world.provider.say(LI)
    answer = browser.back(world.provider.visit(browser.begin(return_to="/redoc")))
    assert answer.location == "/redoc"
    for elsewhere in ("https://evil.example", "//evil.example", "/\\evil.example", "x", "/a\nb"):
        refused = browser.ask("GET", f"/v1/login?{urlencode({'return_to': elsewhere})}")
        assert (refused.status, refused.json()["code"]) == (400, "return-elsewhere")


NOW = int(time.time())
BAD: dict[str, dict[str, Any]] = {
    "signed by a stranger": {"sign": "stranger"},
    "signed with the client's secret": {"sign": "hs256"},
    "not signed": {"sign": "none"},
    "for another client": {"claims": {"aud": ["another"]}},
    "for several, ours by the way": {"claims": {"aud": ["westward", "another"], "azp": "another"}},
    "of another issuer": {"claims": {"iss": "https://evil.example"}},
    "expired": {"claims": {"exp": NOW - 3_600}},
    "made long ago": {"claims": {"iat": NOW - DAY_S, "exp": NOW + DAY_S}},
    "made in the future": {"claims": {"iat": NOW + DAY_S, "exp": NOW + 2 * DAY_S}},
    "with another nonce": {"claims": {"nonce": "of-an-earlier-log-in"}},
    "without a nonce": {"claims": {"nonce": None}},
    "of another access token": {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
    "without a subject": {"claims": {"sub": ""}},
    "with a malformed time": {"claims": {"exp": "soon"}},
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_id_token_lets_nobody_in(world: World, how: str) -> None:
    before = world.tokens()
    browser, answer = world.logged_in(**BAD[how])
    assert (answer.status, answer.json()["code"]) == (403, "login-invalid"), answer.body
    assert "westward_session" not in browser.cookies
    assert world.tokens() == before
    assert world.logged_in()[1].status == 303, "the same but for that one thing is let in"


def test_a_code_a_state_and_a_nonce_are_good_once(world: World) -> None:
    world.provider.say(LI)
    browser = world.browser()
    location = world.provider.visit(browser.begin())
    assert browser.back(location).status == 303
    assert browser.back(location).json()["code"] == "login-unknown", "the state is used up"
    used = parse_qs(urlsplit(location).query)["code"][0]
    fresh = parse_qs(urlsplit(world.provider.visit(browser.begin())).query)["state"][0]
    again = browser.ask("GET", f"/v1/login/callback?{urlencode({'code': used, 'state': fresh})}")
    assert again.json()["code"] == "login-invalid", "the provider takes a code once"
    # A code of another log-in, not used yet: it has another PKCE challenge and nonce.
    first = parse_qs(urlsplit(world.provider.visit(browser.begin())).query)
    second = parse_qs(urlsplit(world.provider.visit(browser.begin())).query)
    mixed = {"code": first["code"][0], "state": second["state"][0]}
    crossed = browser.ask("GET", f"/v1/login/callback?{urlencode(mixed)}")
    assert crossed.json()["code"] == "login-invalid"


def test_only_the_browser_that_began_can_end(world: World) -> None:
    world.provider.say(LI)
    location = world.provider.visit(world.browser().begin())
    other = world.browser()
    other.begin()
    assert other.back(location).json()["code"] == "login-unknown"
    assert world.browser().back(location).json()["code"] == "login-unknown"
    made_up = other.ask("GET", "/v1/login/callback?code=x&state=y")
    assert (made_up.status, made_up.json()["code"]) == (400, "login-unknown")


def test_what_is_left_too_long_is_over(world: World) -> None:
    world.provider.say(LI)
    browser = world.browser()
    location = world.provider.visit(browser.begin())
    world.later(600_001)
    try:
        assert browser.back(location).json()["code"] == "login-unknown"
    finally:
        world.later(-600_001)


def test_another_providers_answer_is_none(world: World) -> None:
    world.provider.say(LI)
    browser = world.browser()
    location = world.provider.visit(browser.begin())
    answer = browser.back(f"{location}&iss=https%3A%2F%2Fevil.example")
    assert answer.json()["code"] == "login-invalid"


def test_who_says_no_at_the_provider_is_told_so(world: World) -> None:
    world.provider.say(None)
    browser = world.browser()
    answer = browser.back(world.provider.visit(browser.begin()))
    assert (answer.status, answer.json()["code"]) == (403, "login-refused")
    assert "access_denied" in answer.json()["message"]


def test_who_is_no_member_stays_out(world: World) -> None:
    before = world.tokens()
    for person, code in (
        ({"email": "stranger@example.org", "sub": "x-1"}, "login-no-member"),
        ({"email_verified": False}, "login-refused"),
        ({"email_verified": "true"}, "login-refused"),
        ({"email": "no name at all"}, "login-refused"),
    ):
        answer = world.logged_in(person=person)[1]
        assert (answer.status, answer.json()["code"]) == (403, code)
    assert world.tokens() == before


def test_a_name_stays_with_the_account_that_had_it_first(world: World) -> None:
    wu = {"email": "wu@example.org", "sub": "wu-1"}
    assert world.logged_in(person=wu)[1].status == 303
    for other in ({**wu, "sub": "wu-2"}, {**wu, "email": USER}):
        refused = world.logged_in(person=other)[1]
        assert (refused.status, refused.json()["code"]) == (403, "login-other-account")
    operator = http.client.HTTPConnection(urlsplit(world.url).netloc)
    operator.request(
        "POST", "/v1/login/forget", json.dumps({"user": "wu@example.org"}),
        {"Authorization": f"Bearer {world.core.operator_token}", "Content-Type": "application/json"},
    )  # fmt: skip
    assert json.load(operator.getresponse())["forgotten"] is True
    assert world.logged_in(person={**wu, "sub": "wu-2"})[1].status == 303


def test_clocks_may_differ_by_what_the_settings_say(world: World) -> None:
    now = int(time.time())
    assert world.logged_in(claims={"exp": now - 30})[1].status == 303
    assert world.logged_in(claims={"exp": now - 90})[1].status == 403
    assert world.logged_in(claims={"iat": now + 30})[1].status == 303
    assert world.logged_in(claims={"iat": now + 90})[1].status == 403


def test_new_keys_are_fetched_and_not_for_every_forgery(world: World) -> None:
    assert world.logged_in()[1].status == 303
    world.later(KEYS_AGAIN_MS)
    try:
        assert world.logged_in(rotate=True)[1].status == 303, "by a key it had not seen"
        asked = world.provider.say(LI)["keys"]
        for _ in range(3):
            assert world.logged_in(sign="stranger")[1].status == 403
        assert world.provider.say(LI)["keys"] == asked
    finally:
        world.later(-KEYS_AGAIN_MS)
        world.core.logins.provider._keys = None  # type: ignore[union-attr]


def test_a_provider_that_is_away_is_named(world: World) -> None:
    provider = world.core.logins.provider  # type: ignore[union-attr]
    known, provider._found = provider._found, None
    settings = provider.settings
    provider.settings = OidcSettings(
        issuer="https://127.0.0.1:9", client_id="c", public_url=world.url
    )
    try:
        answer = world.browser().ask("GET", "/v1/login")
    finally:
        provider.settings, provider._found, provider._failed = settings, known, None
    assert (answer.status, answer.json()["code"]) == (502, "provider-away")


def test_a_provider_whose_certificate_nobody_vouches_for_is_not_asked(world: World) -> None:
    provider = world.core.logins.provider  # type: ignore[union-attr]
    known, provider._found, settings = provider._found, None, provider.settings
    provider.settings = OidcSettings(
        issuer=settings.issuer, client_id="westward", public_url=world.url
    )
    try:
        answer = world.browser().ask("GET", "/v1/login")
    finally:
        provider.settings, provider._found, provider._failed = settings, known, None
    assert (answer.status, answer.json()["code"]) == (502, "provider-away")


# -- by command line


@pytest.fixture
def home(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("WESTWARD_TOKEN", "WESTWARD_TOKEN_FILE", "WESTWARD_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WESTWARD_SERVER", world.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    world.provider.say(LI)
    return tmp_path / ".config" / "westward" / "token"


def test_westward_login_and_logout(
    world: World, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pages: list[bytes] = []

    def browse(address: str) -> bool:
        def go() -> None:
            browser = world.browser()
            parts = urlsplit(address)
            to_provider = browser.ask("GET", f"{parts.path}?{parts.query}").location
            to_command = browser.back(world.provider.visit(to_provider)).location
            there = urlsplit(to_command)
            assert there.hostname == "127.0.0.1"
            connection = http.client.HTTPConnection(there.netloc, timeout=10)
            for path in (f"/?{there.query}x", f"/?{there.query}"):  # a wrong state first
                connection.request("GET", path)
                pages.append(connection.getresponse().read())
            assert "westward_session" not in browser.cookies

        threading.Thread(target=go).start()
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    monkeypatch.setattr("westward.cli.cmd_login.WAIT_S", 20)
    assert run(["login"]) == 0
    told = capsys.readouterr()
    assert f"You are {USER}" in told.out
    assert pages[0] == b"Nobody waits for this."
    assert home.stat().st_mode & 0o777 == 0o600
    token = home.read_text().strip()
    assert token not in told.out + told.err
    assert run(["whoami"]) == 0
    assert capsys.readouterr().out.startswith(USER)
    assert run(["logout"]) == 0
    assert "is over" in capsys.readouterr().out
    assert not home.exists()
    assert digest_of(token) not in world.core.people.principals


def test_by_hand_where_there_is_no_browser(
    world: World, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(*_: object, **__: object) -> str:
        address = re.search(r"(http://\S+/v1/login\S+)", capsys.readouterr().err)
        assert address is not None
        parts = urlsplit(address[1])
        browser = world.browser()
        page = browser.back(
            world.provider.visit(browser.ask("GET", f"{parts.path}?{parts.query}").location)
        )
        assert page.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        code = re.search(rb"<code>([A-Za-z0-9_-]{43})</code>", page.body)
        assert code is not None
        return code[1].decode()

    monkeypatch.setattr("click.prompt", typed)
    assert run(["login", "--no-browser"]) == 0
    assert run(["whoami"]) == 0
    # The code was for that command alone, and once.
    for verifier in ("v" * 43, "w" * 43):
        answer = world.browser().ask(
            "POST", "/v1/login/token", None, code="A" * 43, verifier=verifier
        )
        assert answer.json()["code"] == "login-unknown"


def test_a_stolen_code_is_nothing_without_its_verifier(world: World, home: Path) -> None:
    browser = world.browser()
    url = browser.begin(cli_challenge="c" * 43)
    page = browser.back(world.provider.visit(url)).body
    code = re.search(rb"<code>([A-Za-z0-9_-]{43})</code>", page)
    assert code is not None
    stolen = {"code": code[1].decode(), "verifier": "v" * 43}
    before = world.tokens()
    for _ in range(2):
        answer = browser.ask("POST", "/v1/login/token", None, **stolen)
        assert (answer.status, answer.json()["code"]) == (400, "login-unknown")
    assert world.tokens() == before


def test_a_token_that_no_login_brings_back_is_not_written_over(
    world: World, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    from westward.store.people import mint

    world.provider.say(LI)
    browser, _ = world.logged_in()
    login_made = world.core.people.tokens[digest_of(browser.cookies["westward_session"])]
    kept = replace(
        login_made, token_id="tok_kept", digest=digest_of("wut_kept"), made_by="operator"
    )
    mint(world.core.store, kept)
    asyncio.run(world.core.people_changed())
    home.parent.mkdir(parents=True)
    home.write_text("wut_kept\n")
    home.chmod(0o600)
    assert run(["login", "--no-browser"]) == 2
    assert "tok_kept" in capsys.readouterr().err
    assert home.read_text() == "wut_kept\n"
    assert run(["logout"]) == 0, "and log-out does not end it"
    assert home.exists()
    assert run(["whoami"]) == 0


def test_no_token_over_plain_http(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WESTWARD_SERVER", "http://westward.example:8080")
    assert run(["login"]) == 2
    assert "plain HTTP" in capsys.readouterr().err


# -- nothing gets out


def test_no_secret_in_the_log_or_the_database(world: World, tmp_path: Path) -> None:
    """After all of the above, in this process: log-ins of every kind, good and bad."""
    world.provider.say(LI)
    browser = world.browser()
    url = browser.begin()
    asked = parse_qs(urlsplit(url).query)
    location = world.provider.visit(url)
    came = parse_qs(urlsplit(location).query)
    assert browser.back(location).status == 303
    browser.ask("GET", "/v1/login/callback?code=PLANTED-code&state=PLANTED-state")
    world.logged_in(sign="stranger")
    secrets = [
        SECRET, browser.cookies["westward_session"], came["code"][0], came["state"][0],
        asked["nonce"][0], "PLANTED-code", "PLANTED-state",
    ]  # fmt: skip
    logged = "\n".join(world.logged)
    assert "a log-in was refused: login-invalid" in logged, "the log is read"
    assert "log-in by browser, token tok_" in logged
    assert not [one for one in secrets if one in logged]
    assert "eyJ" not in logged, "no ID token"
    for file in world.core.settings.data.glob("westward.db*"):
        stored = file.read_bytes()
        assert not [one for one in secrets if one.encode() in stored]
    assert SECRET not in repr(world.core.settings)


# -- pieces


def test_things_are_taken_once_in_time_and_not_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("westward.server.login.KEPT_MOST", 3)
    kept: Once[int] = Once(100)
    names = [kept.put(one, one) for one in range(5)]
    assert [kept.take(one, 10) for one in names] == [None, None, 2, 3, 4]
    assert [kept.take(one, 10) for one in names] == [None] * 5
    late = kept.put(7, 1_000)
    assert kept.take(late, 1_100) is None


def test_who_may_enter_by_domain(world: World) -> None:
    settings = OidcSettings(
        issuer="https://i", client_id="c", public_url="https://w", user_claim="name",
        enter="domain", domains=("example.org",),
    )  # fmt: skip
    good = {"name": "zhao", "email": "z@EXAMPLE.org", "email_verified": True}
    assert user_of(good, settings, world.core.people) == "zhao"
    for bad in (
        {"email_verified": False}, {"email": "z@evil.example"}, {"email": "z@sub.example.org"},
        {"email": "z@example.org@evil.example"}, {"name": "operator"}, {"name": "local"},
        {"name": ["zhao"]}, {"email": None},
    ):  # fmt: skip
        with pytest.raises(ApiError) as refused:
            user_of({**good, **bad}, settings, world.core.people)
        assert refused.value.code == "login-refused", bad


def test_every_fault_of_the_settings_at_once(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o644)
    file = tmp_path / "oidc.yaml"
    file.write_text(
        "issuer: http://login.example.org\nclient_id: ''\npublic_url: nowhere\nenter: all\n"
        "client_secret_file: secret\nclient_secret: inline\nclock_skew: 1h\nsession: 1s\n"
        "token_scopes: [read, fly]\nask_scopes: [email]\nca_file: none.pem\ndomains: [a]\n"
    )
    with pytest.raises(InputFaults) as told:
        read_oidc(file)
    assert sorted(one.field for one in told.value.faults) == [
        "ask_scopes", "ca_file", "client_id", "client_secret", "client_secret_file", "clock_skew",
        "domains", "enter", "issuer", "public_url", "session", "token_scopes",
    ]  # fmt: skip
    for text in ("[", "- a list\n"):
        file.write_text(text)
        with pytest.raises(InputFaults):
            read_oidc(file)
