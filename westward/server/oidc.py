"""One OpenID provider as its client sees it: where it is, its keys, codes for ID tokens.

The protocol's pieces are Authlib's (PKCE, client authentication, the claims of an ID token) and
joserfc's (signatures); HTTP goes through aiohttp, as elsewhere here. See docs/decisions/0038.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import Any

import aiohttp
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import KeySet

from westward.server.errors import ApiError
from westward.server.oidc_settings import OidcSettings

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""Signatures by a key that only the provider has: never ``none``, never one by a shared secret."""
DISCOVERY_KEPT_MS = 3_600_000
AWAY_KEPT_MS = 5_000
"""Strangers who ask for the log-in page do not make us ask a provider that is away more often."""
KEYS_KEPT_MS = 3_600_000
KEYS_AGAIN_MS = 10_000
"""A token by a key that is not known has the keys read again, at most this often."""
TIMEOUT_S = 10.0
ANSWER_MOST_BYTES = 1 << 20
AGE_MOST_MS = 600_000
"""An ID token is made for the log-in that asks for it: one older than this is none."""
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Discovered:
    authorization: str
    token: str
    keys: str
    end_session: str | None
    auth_method: str
    tells_issuer: bool
    """It names itself in what it sends back with a browser (RFC 9207)."""


class Provider:
    """Of one server; used on its event loop. What is not right raises ApiError with a stable code,
    and nothing of a token or a secret in its text."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._found: tuple[int, _Discovered] | None = None
        self._failed: tuple[int, ApiError] | None = None
        self._keys: tuple[int, KeySet] | None = None
        self._lock = asyncio.Lock()

    async def authorization_url(self, state: str, nonce: str, verifier: str, now_ms: int) -> str:
        """Where a browser is sent to log in."""
        found = await self._discover(now_ms)
        url: str = prepare_grant_uri(
            found.authorization,
            self.settings.client_id,
            "code",
            redirect_uri=self.settings.redirect_uri,
            scope=" ".join(self.settings.ask_scopes),
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return url

    async def check_issuer(self, told: str | None, now_ms: int) -> None:
        """``told``: the ``iss`` that came back with the browser: another provider's answer is none
        of ours."""
        found = await self._discover(now_ms)
        if (told is None and found.tells_issuer) or told not in (None, self.settings.issuer):
            raise _invalid("it comes from another provider")

    async def end_session_url(self, now_ms: int) -> str | None:
        """Where one may log out at the provider too; None: it does not say, or does not answer."""
        try:
            return (await self._discover(now_ms)).end_session
        except ApiError:
            return None

    async def identity(self, code: str, verifier: str, nonce: str, now_ms: int) -> Json:
        """The claims of the ID token that ``code`` is good for, every one of them checked."""
        found = await self._discover(now_ms)
        auth = ClientAuth(
            self.settings.client_id, self.settings.client_secret or "", found.auth_method
        )
        body = prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=self.settings.redirect_uri,
            code_verifier=verifier,
        )
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        url, headers, body = auth.prepare("POST", found.token, headers, body)
        status, answer = await self._ask("POST", url, headers, body)
        if status != 200 or not isinstance(answer.get("id_token"), str):
            raise _invalid("the provider gave no ID token for it")
        access = answer.get("access_token")
        return await self._checked(
            answer["id_token"], nonce, access if isinstance(access, str) else None, now_ms
        )

    async def _checked(self, token: str, nonce: str, access: str | None, now_ms: int) -> Json:
        for again in (False, True):
            keys = await self._key_set(now_ms, again=again)
            try:
                decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
                break
            except (JoseError, ValueError):
                # The provider may have changed its keys since; a forged token does not get further.
                if again or not self._may_look_again(now_ms):
                    raise _invalid("the ID token is not signed by the provider") from None
        own = CodeIDToken(
            decoded.claims,
            decoded.header,
            {
                "iss": {"essential": True, "value": self.settings.issuer},
                "aud": {"essential": True, "value": self.settings.client_id},
                "sub": {"essential": True},
                "exp": {"essential": True},
                "iat": {"essential": True},
                "nonce": {"essential": True, "value": nonce},
            },
            {"client_id": self.settings.client_id, "nonce": nonce, "access_token": access},
        )
        skew_s = self.settings.clock_skew_ms // 1000
        try:
            own.validate(now=now_ms // 1000, leeway=skew_s)
        except ExpiredTokenError:
            raise _invalid("the ID token has expired") from None
        except (InvalidClaimError, MissingClaimError) as error:
            claim = str(getattr(error, "claim", "") or "?")
            raise _invalid(f"the ID token's {claim} is missing or not as asked for") from None
        except (JoseError, ValueError, TypeError):
            raise _invalid("the ID token's claims are malformed") from None
        issued = own["iat"]
        if (
            not isinstance(issued, int | float)
            or issued * 1000 < now_ms - AGE_MOST_MS - skew_s * 1000
        ):
            raise _invalid("the ID token is too old")
        if not isinstance(own["sub"], str) or not 0 < len(own["sub"]) <= 255:
            raise _invalid("the ID token's sub is no subject")
        return dict(own)

    # -- what the provider says of itself -----------------------------------------------------

    async def _discover(self, now_ms: int) -> _Discovered:
        async with self._lock:
            if self._found is not None and now_ms - self._found[0] < DISCOVERY_KEPT_MS:
                return self._found[1]
            if self._failed is not None and now_ms - self._failed[0] < AWAY_KEPT_MS:
                raise self._failed[1]
            try:
                found = await self._discovered()
            except ApiError as error:
                self._failed = (now_ms, error)
                raise
            self._found = (now_ms, found)
            return found

    async def _discovered(self) -> _Discovered:
        url = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
        status, told = await self._ask("GET", url)
        if status != 200:
            raise _away(f"HTTP {status} at its configuration")
        if told.get("issuer") != self.settings.issuer:
            raise _away("it calls itself by another issuer than the settings do")
        urls: dict[str, str] = {}
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            urls[name] = str(told.get(name))
            if not _good_url(urls[name], self.settings.issuer):
                raise _away(f"its {name} is no URL to be used")
        end = told.get("end_session_endpoint")
        return _Discovered(
            authorization=urls["authorization_endpoint"],
            token=urls["token_endpoint"],
            keys=urls["jwks_uri"],
            end_session=end if _good_url(end, self.settings.issuer) else None,
            auth_method=self._auth_method(told),
            tells_issuer=told.get("authorization_response_iss_parameter_supported") is True,
        )

    def _auth_method(self, told: Json) -> str:
        if self.settings.client_secret is None:
            return "none"
        offered = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return "client_secret_basic" if "client_secret_basic" in offered else "client_secret_post"

    def _may_look_again(self, now_ms: int) -> bool:
        return self._keys is None or now_ms - self._keys[0] >= KEYS_AGAIN_MS

    async def _key_set(self, now_ms: int, *, again: bool) -> KeySet:
        url = (await self._discover(now_ms)).keys
        async with self._lock:
            if self._keys is not None:
                age_ms = now_ms - self._keys[0]
                if age_ms < (KEYS_AGAIN_MS if again else KEYS_KEPT_MS):
                    return self._keys[1]
            status, told = await self._ask("GET", url)
            try:
                if status != 200:
                    raise ValueError(status)
                keys = KeySet.import_key_set(told)  # type: ignore[arg-type]
            except (JoseError, ValueError, KeyError, TypeError):
                raise _away("its keys cannot be read") from None
            self._keys = (now_ms, keys)
            return keys

    async def _ask(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: str = ""
    ) -> tuple[int, Json]:
        """Follows no redirect: what the provider is asked, it answers itself. Raises ApiError."""
        context: ssl.SSLContext | bool = True
        if self.settings.ca_file is not None:
            context = ssl.create_default_context(cafile=str(self.settings.ca_file))
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(
                    method, url, headers=headers, data=body or None, ssl=context,
                    allow_redirects=False,
                ) as answer,
            ):  # fmt: skip
                status, data = answer.status, b""
                async for chunk in answer.content.iter_any():
                    data += chunk
                    if len(data) > ANSWER_MOST_BYTES:
                        raise _away("its answer is too long")
            found = json.loads(data)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(type(error).__name__) from None
        except ValueError:
            raise _away("its answer is no JSON") from None
        if not isinstance(found, dict):
            raise _away("its answer is no JSON object")
        return status, found


def _good_url(url: object, issuer: str) -> bool:
    """Of a provider over HTTPS everything is."""
    if not isinstance(url, str):
        return False
    return url.startswith("https://") or (
        issuer.startswith("http://") and url.startswith("http://")
    )


def _invalid(why: str) -> ApiError:
    return ApiError(403, "login-invalid", f"this log-in is not valid: {why}")


def _away(why: str) -> ApiError:
    return ApiError(502, "provider-away", f"the log-in provider did not answer as one: {why}")
