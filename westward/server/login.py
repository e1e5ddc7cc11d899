"""Log-ins on their way: what was asked of the provider and by whom, and who may come in.

Kept in memory: a log-in takes minutes, and one that a restart cuts short is begun anew. Every state
and every code is good once, for the browser (or the command) that it was made for.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from westward.model.people import NAME_FORM, is_name
from westward.server.errors import ApiError
from westward.server.oidc_settings import OidcSettings
from westward.server.people import RESERVED, People

if TYPE_CHECKING:
    from westward.server.oidc import Provider

PENDING_MS = 600_000
"""Somebody may look for the password for as long."""
CODE_MS = 300_000
"""From the browser's page to the terminal, by hand."""
KEPT_MOST = 10_000
T = TypeVar("T")


class Once(Generic[T]):
    """Things by an unguessable name, each taken at most once, within ``kept_ms``, the oldest given
    up where there are too many."""

    def __init__(self, kept_ms: int) -> None:
        self.kept_ms = kept_ms
        self._by_name: dict[str, tuple[int, T]] = {}

    def put(self, thing: T, now_ms: int) -> str:
        while self._by_name:
            oldest, (put_ms, _) = next(iter(self._by_name.items()))
            if len(self._by_name) < KEPT_MOST and put_ms + self.kept_ms > now_ms:
                break
            del self._by_name[oldest]
        name = secrets.token_urlsafe(32)
        self._by_name[name] = (now_ms, thing)
        return name

    def take(self, name: str, now_ms: int) -> T | None:
        put_ms, thing = self._by_name.pop(name, (0, None))
        return thing if put_ms + self.kept_ms > now_ms else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """A command that waits for a browser. ``port``: where it listens on its own machine; None: the
    code is shown, to be carried over by hand."""

    challenge: str
    port: int | None
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    browser: str
    """Digest of what only the browser that began has."""
    nonce: str
    verifier: str
    return_to: str
    command: CommandLine | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemable:
    """What a command may have a token for."""

    user: str
    challenge: str


class Logins:
    """Of one server; used on its event loop."""

    def __init__(self, settings: OidcSettings) -> None:
        from westward.server.oidc import Provider  # its libraries are an extra

        self.settings = settings
        self.provider: Provider = Provider(settings)
        self._pending: Once[Pending] = Once(PENDING_MS)
        self._codes: Once[Redeemable] = Once(CODE_MS)

    async def begin(
        self, browser: str, return_to: str, command: CommandLine | None, now_ms: int
    ) -> str:
        """The provider's page. Raises ApiError."""
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        pending = Pending(
            browser=_digest(browser), nonce=nonce, verifier=verifier, return_to=return_to,
            command=command,
        )  # fmt: skip
        state = self._pending.put(pending, now_ms)
        return await self.provider.authorization_url(state, nonce, verifier, now_ms)

    def take(self, state: str, browser: str, now_ms: int) -> Pending:
        """What the browser that comes back had begun. Raises ApiError; then it is gone too."""
        pending = self._pending.take(state, now_ms)
        if pending is None:
            text = "this log-in is not known, was done already, or took too long: begin anew"
            raise ApiError(400, "login-unknown", text)
        if not hmac.compare_digest(pending.browser, _digest(browser)):
            text = "this log-in was begun in another browser: begin anew in this one"
            raise ApiError(400, "login-unknown", text)
        return pending

    async def identity(self, pending: Pending, code: str, now_ms: int) -> Mapping[str, Any]:
        """The provider's claims about the person. Raises ApiError."""
        return await self.provider.identity(code, pending.verifier, pending.nonce, now_ms)

    def hand_over(self, user: str, challenge: str, now_ms: int) -> str:
        """A code that the command can have a token of ``user`` for, once."""
        return self._codes.put(Redeemable(user=user, challenge=challenge), now_ms)

    def redeem(self, code: str, verifier: str, now_ms: int) -> str:
        """Whose token it is. Raises ApiError; the code is used up even so."""
        found = self._codes.take(code, now_ms)
        if found is None or not hmac.compare_digest(found.challenge, challenge_of(verifier)):
            text = "this code is not known, was used already, or is for another command"
            raise ApiError(400, "login-unknown", text)
        return found.user


def challenge_of(verifier: str) -> str:
    """RFC 7636, S256."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def user_of(claims: Mapping[str, Any], settings: OidcSettings, people: People) -> str:
    """Whom these claims stand for here. Raises ApiError: nobody, or nobody who may come in."""
    address = claims.get("email")
    confirmed = isinstance(address, str) and claims.get("email_verified") is True
    user = claims.get(settings.user_claim)
    if settings.user_claim == "email":
        if not confirmed:
            raise _refused("the provider has not confirmed the address (email_verified)")
        user = str(address).lower()
    if not isinstance(user, str) or not is_name(user) or user in RESERVED:
        problem = f"the claim {settings.user_claim} is no name for a user here ({NAME_FORM})"
        raise _refused(problem)
    if settings.enter == "domain":
        domain = str(address).lower().rpartition("@")[2] if confirmed else ""
        if domain not in settings.domains:
            raise _refused("no confirmed address in a domain that may enter")
    elif not any(one.user == user for one in people.members):
        text = f"{user} holds no role on this network; ask a project's lead or the operator for one"
        raise ApiError(403, "login-no-member", text)
    return user


def _refused(why: str) -> ApiError:
    return ApiError(403, "login-refused", f"the provider's answer does not let you in: {why}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
