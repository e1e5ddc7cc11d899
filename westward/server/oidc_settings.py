"""The settings of log-in at an OpenID provider: one YAML file (``--oidc FILE``). See docs/decisions/0038.

The client's secret stands in a file of its own and never in this one, so that this one may be shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import yaml

from westward.model.faults import Fault, InputFaults
from westward.model.people import Scope
from westward.model.units import MS_PER_HOUR, parse_duration_ms

Enter = Literal["members", "domain"]
SESSION_MOST_MS = 7 * 24 * MS_PER_HOUR
"""Of a token that a log-in makes: it stands for somebody whom the provider vouched for once."""
SKEW_MOST_MS = 300_000
_KNOWN = (
    "issuer", "client_id", "client_secret_file", "public_url", "user_claim", "enter", "domains",
    "session", "cli_session", "clock_skew", "ask_scopes", "token_scopes", "ca_file",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """``client_secret`` None: a public client, which shows none (PKCE guards the code either way)."""

    issuer: str
    client_id: str
    public_url: str
    """By which browsers reach this server; the provider sends them back to a path below it."""
    client_secret: str | None = field(default=None, repr=False)
    user_claim: str = "email"
    """Its value is the person's name here."""
    enter: Enter = "members"
    """``members``: those who hold a role somewhere. ``domain``: whose confirmed address is in one of
    ``domains``; without a role they see what everybody signed in may."""
    domains: tuple[str, ...] = ()
    session_ms: int = 8 * MS_PER_HOUR
    """Of a browser."""
    cli_session_ms: int = 12 * MS_PER_HOUR
    clock_skew_ms: int = 60_000
    """By how much the provider's clock may differ from ours."""
    ask_scopes: tuple[str, ...] = ("openid", "email", "profile")
    token_scopes: frozenset[Scope] = frozenset(Scope)
    """What a token made by a log-in may be used for."""
    ca_file: Path | None = None
    """PEM: who signed the provider's certificate, where the system does not know it."""

    @property
    def redirect_uri(self) -> str:
        return f"{self.public_url}/v1/login/callback"

    @property
    def secure(self) -> bool:
        return self.public_url.startswith("https://")


def read_oidc(path: Path) -> OidcSettings:
    """Raises InputFaults with everything that is wrong with the file."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        problem = f"it cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"
        raise InputFaults([_fault(path, "", problem, "Write a YAML file of settings.")]) from None
    if not isinstance(found, dict):
        raise InputFaults(
            [_fault(path, "", "it holds no settings", "Write issuer: URL and so on.")]
        )
    return _Reader(path, found).settings()


class _Reader:
    def __init__(self, path: Path, found: Mapping[object, Any]) -> None:
        self.path = path
        self.found = found
        self.faults: list[Fault] = []

    def settings(self) -> OidcSettings:
        for name in self.found:
            if name not in _KNOWN:
                self.fault(str(name), "there is no such setting", f"Known: {', '.join(_KNOWN)}.")
        enter = self.text("enter", "members")
        if enter not in get_args(Enter):
            self.fault("enter", f"{enter!r} is neither members nor domain", "Write one of them.")
        domains = tuple(one.lower().lstrip("@") for one in self.texts("domains", ()))
        if (enter == "domain") != bool(domains):
            self.fault("domains", "they go with enter: domain", "Give both or neither.")
        ask = self.texts("ask_scopes", ("openid", "email", "profile"))
        if "openid" not in ask:
            self.fault("ask_scopes", "openid is missing", "Without it there is no ID token.")
        made = OidcSettings(
            issuer=self.url("issuer", slash=True),
            client_id=self.text("client_id"),
            client_secret=self.secret(),
            public_url=self.url("public_url"),
            user_claim=self.text("user_claim", "email"),
            enter="domain" if enter == "domain" else "members",
            domains=domains,
            session_ms=self.duration("session", 8 * MS_PER_HOUR, SESSION_MOST_MS),
            cli_session_ms=self.duration("cli_session", 12 * MS_PER_HOUR, SESSION_MOST_MS),
            clock_skew_ms=self.duration("clock_skew", 60_000, SKEW_MOST_MS, least_ms=0),
            ask_scopes=ask,
            token_scopes=self.scopes(),
            ca_file=self.file("ca_file"),
        )
        if self.faults:
            raise InputFaults(self.faults)
        return made

    def fault(self, name: str, problem: str, remedy: str) -> None:
        self.faults.append(_fault(self.path, name, problem, remedy))

    def text(self, name: str, default: str | None = None) -> str:
        value = self.found.get(name, default)
        if not isinstance(value, str) or not value.strip():
            problem = "it is missing" if name not in self.found else "it is no text"
            self.fault(name, problem, f"Write {name}: ...")
            return ""
        return value.strip()

    def texts(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.found.get(name, list(default))
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            self.fault(name, "it is no list of texts", f"Write {name}: [one, two]")
            return default
        return tuple(value)

    def url(self, name: str, *, slash: bool = False) -> str:
        """``slash``: one at the end stays (an issuer is compared letter by letter)."""
        text = self.text(name)
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        good = parts.scheme in ("http", "https") and parts.hostname
        if text and (not good or parts.query or parts.fragment or parts.username):
            self.fault(name, f"{text!r} is no URL", "Write https://HOST without a query.")
        elif text and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            problem = "it is plain HTTP, which others can read and change"
            self.fault(name, problem, "Write https://. (Plain HTTP goes on this machine only.)")
        return text if slash else text.rstrip("/")

    def duration(self, name: str, default: int, most_ms: int, *, least_ms: int = 60_000) -> int:
        if name not in self.found:
            return default
        try:
            value = parse_duration_ms(str(self.found[name]))
        except ValueError as error:
            self.fault(name, str(error), "Write for example 8h.")
            return default
        if not least_ms <= value <= most_ms:
            bounds = f"between {least_ms // 1000} s and {most_ms // 1000} s"
            self.fault(name, f"it is not {bounds}", "Choose one within.")
        return value

    def scopes(self) -> frozenset[Scope]:
        named = self.texts("token_scopes", tuple(Scope))
        unknown = sorted(set(named) - set(Scope))
        if unknown or not named:
            told = ", ".join(unknown) or "none"
            self.fault("token_scopes", f"no scopes: {told}", f"Known: {', '.join(Scope)}.")
        return frozenset(Scope(one) for one in named if one in set(Scope))

    def file(self, name: str) -> Path | None:
        if name not in self.found:
            return None
        path = self.path.parent / self.text(name)
        if not os.path.isfile(path):
            self.fault(name, f"there is no file {path}", "Name one; paths begin at this file.")
        return path

    def secret(self) -> str | None:
        path = self.file("client_secret_file")
        if path is None or not os.path.isfile(path):
            return None
        try:
            if path.stat().st_mode & 0o077:
                self.fault(
                    "client_secret_file", f"others can read {path}", f"Run: chmod 600 {path}"
                )
            secret = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            secret = ""
        if not secret:
            self.fault("client_secret_file", f"{path} holds no secret", "Write it into the file.")
        return secret or None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fault(path: Path, name: str, problem: str, remedy: str) -> Fault:
    return Fault(str(path), None, name, problem, remedy)
