"""An OpenID provider as a process of its own, over HTTPS: ``python -m tests.oidc_up.provider DIR``.

Authlib's provider side (authorization codes with PKCE, client authentication, ID tokens) on uvicorn;
of Westward it imports nothing. ``DIR/provider.json`` says where it is. ``POST /control`` says who is
logged in at it, and in what way it is to be a bad one: then it signs what a good one never would.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from joserfc.jwk import KeySet, OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "westward", "s3cret-of-the-client"
Json = dict[str, Any]


@dataclass
class Said:
    """``person``: claims of who is logged in here; None: whoever it is says no."""

    person: Json | None = None
    claims: Json = field(default_factory=dict)
    """In place of those that would be told."""
    sign: str = "own"
    """Or ``stranger`` (a key of nobody's, under the own key's name), ``none``, ``hs256`` (the
    client's secret)."""


@dataclass
class Code:
    code: str
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str
    code_challenge_method: str
    person: Json

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Client(ClientMixin):
    def __init__(self, redirect_uri: str) -> None:
        self.redirect_uri = redirect_uri

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Asked(OAuth2Request):
    def __init__(self, method: str, uri: str, values: Json, headers: Any) -> None:
        super().__init__(method, uri, headers=headers)
        self.payload = BasicOAuth2Payload(values)
        self.values = values

    @property
    def args(self) -> Json:
        return self.values

    @property
    def form(self) -> Json:
        return self.values


class Provider:
    def __init__(self, issuer: str, redirect_uri: str) -> None:
        self.issuer = issuer
        self.said = Said()
        self.keys = [RSAKey.generate_key(2048, auto_kid=True)]
        self.codes: dict[str, Code] = {}
        self.asked: dict[str, int] = defaultdict(int)
        self.server = Server(self, Client(redirect_uri))

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.configuration),
                Route("/keys", self.key_set),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/control", self.control, methods=["POST"]),
            ]
        )

    async def configuration(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "end_session_endpoint": f"{self.issuer}/logout",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def key_set(self, _request: Request) -> Response:
        self.asked["keys"] += 1
        return JSONResponse(KeySet(self.keys[-1:]).as_dict(private=False))

    async def authorize(self, request: Request) -> Response:
        asked = Asked("GET", str(request.url), dict(request.query_params), request.headers)
        try:
            grant = self.server.get_consent_grant(asked, end_user=self.said.person)
        except OAuth2Error as error:
            return JSONResponse(dict(error.get_body()), status_code=400)
        answer: Response = self.server.create_authorization_response(
            asked, grant_user=self.said.person, grant=grant
        )
        return answer

    async def token(self, request: Request) -> Response:
        body = {name: found[0] for name, found in parse_qs((await request.body()).decode()).items()}
        asked = Asked("POST", str(request.url), body, request.headers)
        answer: Response = self.server.create_token_response(asked)
        return answer

    async def control(self, request: Request) -> Response:
        said = await request.json()
        if said.pop("rotate", False):
            self.keys.append(RSAKey.generate_key(2048, auto_kid=True))
        self.said = Said(**said)
        return JSONResponse({"asked": dict(self.asked)})


class Server(AuthorizationServer):
    def __init__(self, provider: Provider, client: Client) -> None:
        super().__init__(scopes_supported=["openid", "email", "profile"])
        self.client = client
        self.register_token_generator(
            "default", BearerTokenGenerator(lambda **_: secrets.token_urlsafe(32))
        )

        class Grant(AuthorizationCodeGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

            def save_authorization_code(self, code: str, request: Asked) -> None:
                said = request.payload.data
                provider.codes[code] = Code(
                    code=code, redirect_uri=said["redirect_uri"], scope=said["scope"],
                    nonce=said.get("nonce"), code_challenge=said["code_challenge"],
                    code_challenge_method=said["code_challenge_method"], person=request.user,
                )  # fmt: skip

            def query_authorization_code(self, code: str, client: Client) -> Code | None:
                return provider.codes.get(code)

            def delete_authorization_code(self, authorization_code: Code) -> None:
                del provider.codes[authorization_code.code]

            def authenticate_user(self, authorization_code: Code) -> Json:
                return authorization_code.person

        class Tokens(OpenIDCode):
            def exists_nonce(self, nonce: str, request: Asked) -> bool:
                return False

            def get_client_claims(self, client: Client) -> Json:
                return {"iss": provider.issuer, "aud": [CLIENT]}

            def get_client_algorithm(self, client: Client) -> str:
                return {"none": "none", "hs256": "HS256"}.get(provider.said.sign, "RS256")

            def get_encode_header(self, client: Client) -> Json:
                return {"alg": self.get_client_algorithm(client), "kid": provider.keys[-1].kid}

            def resolve_client_private_key(self, client: Client) -> Any:
                if provider.said.sign == "stranger":
                    return RSAKey.generate_key(2048)
                if provider.said.sign == "hs256":
                    return OctKey.import_key(SECRET)
                return provider.keys[-1]

            def generate_user_info(self, user: Json, scope: str) -> Json:
                return {**user, **provider.said.claims}

        self.register_grant(Grant, [CodeChallenge(required=True), Tokens(require_nonce=True)])

    def query_client(self, client_id: str) -> Client | None:
        return self.client if client_id == CLIENT else None

    def save_token(self, token: Json, request: Asked) -> None:
        pass

    def create_oauth2_request(self, request: Asked) -> Asked:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        told = dict(headers)
        if "Location" in told:
            return RedirectResponse(told["Location"], status_code=status)
        return Response(
            json.dumps(body), status_code=status, headers=told, media_type="application/json"
        )

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        pass


def main(folder: Path, redirect_uri: str) -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    provider = Provider(f"https://127.0.0.1:{port}", redirect_uri)
    config = uvicorn.Config(
        provider.app(), log_level="warning", ssl_certfile=folder / "cert.pem",
        ssl_keyfile=folder / "key.pem",
    )  # fmt: skip
    listening.listen(64)
    told = folder / "provider.tmp"
    told.write_text(json.dumps({"issuer": provider.issuer}), encoding="utf-8")
    told.replace(folder / "provider.json")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
