"""The agent's side of the HTTP protocol: one typed call per endpoint, retried until answered."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar, cast

import aiohttp
from pydantic import TypeAdapter
from pydantic_core import CoreConfig, SchemaValidator

from westward.agent.engines.processes import boot_ms
from westward.model.offer import (
    Enrol,
    Enrolled,
    OfferAnswer,
    OfferMessage,
    Rotate,
    Rotated,
)
from westward.model.wire import (
    Ack,
    Hello,
    LogChunk,
    Poll,
    PollAnswer,
    Readings,
    RunEnded,
    RunStarted,
    Welcome,
)

BACKOFF_FIRST_MS = 100
BACKOFF_MOST_MS = 3_000
REQUEST_TIMEOUT_MS = 20_000
SEVERAL_TIMEOUT_MS = 6_000
"""With several servers: one that is stopped must not cost a lease. Repeats do no harm."""
RunMessage = RunStarted | Readings | LogChunk | RunEnded
_PATHS: dict[type[RunMessage], str] = {
    RunStarted: "started",
    Readings: "readings",
    LogChunk: "logs",
    RunEnded: "ended",
}
T = TypeVar("T")
A = TypeVar("A")
log = logging.getLogger("westward.agent")


_PARTS = TypeAdapter(dict[str, object])


@cache
def adapter(kind: Hashable) -> TypeAdapter[Any]:
    """Making one takes a millisecond: longer than the request it is for."""
    return TypeAdapter(cast(Any, kind))


@cache
def reader(kind: Hashable) -> SchemaValidator:
    """For answers. pydantic keeps 16,384 of the texts it has read, to save making them anew; nearly
    all of ours are ids that come once, and would only fill 2 MiB."""
    return SchemaValidator(adapter(kind).core_schema, CoreConfig(cache_strings="keys"))


class Unreachable(Exception):
    """No usable answer: the server is down, restarting, or the network is. Try again."""


class Untrusted(Unreachable):
    """The server's certificate is not signed by an authority that is trusted here."""


class SessionEnded(Exception):
    """HTTP 409. ``code`` is "session-superseded" (a newer agent has the site) or another."""

    def __init__(self, code: str, message: str):
        self.code = code
        super().__init__(message)


class Refused(Exception):
    """The server understood and said no (4xx): repeating the same request will not help."""


class NotAdmitted(Refused):
    """The server does not take this agent as the site's (401, 403). ``code`` says why."""

    def __init__(self, code: str, message: str):
        self.code = code
        super().__init__(message)


ADMISSION_CODES = (
    "credential-missing",
    "credential-unknown",
    "credential-retired",
    "site-revoked",
    "not-your-site",
    "not-your-run",
    "not-joined",
)
"""A 401 or 403 with another code is not of the server: a proxy's, say."""


class Backoff:
    """Full-jitter exponential pauses; ``rng`` is passed in so that tests can fix it."""

    def __init__(self, rng: random.Random, most_ms: int = BACKOFF_MOST_MS):
        self.rng = rng
        self.most_ms = most_ms
        self.failures = 0

    async def pause(self) -> None:
        ceiling = min(self.most_ms, BACKOFF_FIRST_MS * 2**self.failures)
        self.failures = min(self.failures + 1, 20)
        await asyncio.sleep(self.rng.uniform(ceiling / 4, ceiling) / 1000)


class ServerLink:
    """HTTP to one server, or to one of several that share a store. Use inside a running loop; close
    with ``close``.

    ``url``: one, or several with commas between. One that does not answer is left for the next, at
    once where nothing listens, and all are asked before that is told.

    ``secret``: the site's credential. ``ca``: a PEM file of authorities to trust in place of the
    system's. ``proxy``: its URL; None = HTTPS_PROXY and NO_PROXY of the environment count, but
    only for an agent that has joined: one on the server's own machine goes straight to it.
    """

    def __init__(
        self,
        url: str,
        rng: random.Random,
        *,
        secret: str | None = None,
        ca: str | None = None,
        proxy: str | None = None,
        clock: Callable[[], int] = boot_ms,
    ):
        self.urls = [one.strip().rstrip("/") for one in url.split(",")]
        self._at = rng.randrange(len(self.urls))  # agents spread over the servers
        self.rng = rng
        self.secret = secret
        self.proxy = proxy
        self.clock = clock
        self._open(ca)

    def _open(self, ca: str | None) -> None:
        secure = any(one.startswith("https:") for one in self.urls)
        context = ssl.create_default_context(cafile=ca) if secure else True
        self.http = aiohttp.ClientSession(
            trust_env=self.secret is not None, connector=aiohttp.TCPConnector(ssl=context)
        )

    @property
    def url(self) -> str:
        """The server that is asked now."""
        return self.urls[self._at]

    def _next(self, tried: str) -> None:
        """Not if another request has moved on already."""
        if len(self.urls) > 1 and self.url == tried:
            self._at = (self._at + 1) % len(self.urls)
            log.info("%s does not answer; going on with %s", tried, self.url)

    async def close(self) -> None:
        await self.http.close()

    async def hello(self, hello: Hello) -> Welcome:
        """Introduce the agent; repeats until the server answers. Raises Refused."""
        return await self._until_answered(
            lambda: self._post("/v1/agent/hello", Hello, hello, Welcome, REQUEST_TIMEOUT_MS)
        )

    async def poll(self, poll: Poll, timeout_ms: int) -> PollAnswer:
        """One poll, not repeated. Raises Unreachable, SessionEnded, Refused."""
        return await self._post("/v1/agent/poll", Poll, poll, PollAnswer, timeout_ms)

    async def report(self, run_id: str, message: RunMessage) -> Ack:
        """Report on a run; repeats until the server answers. Raises Refused."""
        path = f"/v1/agent/runs/{run_id}/{_PATHS[type(message)]}"
        kind = type(message)
        first_ms = self.clock()

        def aged() -> RunMessage:
            """What is told in "ago" grows older with every repetition."""
            if isinstance(message, RunStarted):
                return replace(message, ago_ms=message.ago_ms + self.clock() - first_ms)
            return message

        return await self._until_answered(
            lambda: self._post(path, kind, aged(), Ack, REQUEST_TIMEOUT_MS)
        )

    async def rotate(self, message: Rotate) -> Rotated:
        """Announces the next credential; not repeated. Raises Unreachable, NotAdmitted."""
        return await self._post("/v1/agent/rotate", Rotate, message, Rotated, REQUEST_TIMEOUT_MS)

    async def offer(self, message: OfferMessage) -> OfferAnswer:
        """Says what the site offers; not repeated. Raises Unreachable, SessionEnded, Refused."""
        path = "/v1/agent/offer"
        return await self._post(path, OfferMessage, message, OfferAnswer, REQUEST_TIMEOUT_MS)

    async def enrol(self, message: Enrol) -> Enrolled:
        """Uses an invitation up; not repeated here. Raises Unreachable, Refused."""
        return await self._post("/v1/agent/enrol", Enrol, message, Enrolled, REQUEST_TIMEOUT_MS)

    async def ask(self, run_id: str, what: str, kind: type[A], message: A, answer: type[T]) -> T:
        """Any other request about a run; repeats until the server answers. Raises Refused."""
        path = f"/v1/agent/runs/{run_id}/{what}"
        return await self._until_answered(
            lambda: self._post(path, kind, message, answer, REQUEST_TIMEOUT_MS)
        )

    async def _until_answered(self, call: Callable[[], Awaitable[T]]) -> T:
        backoff = Backoff(self.rng)
        while True:
            try:
                return await call()
            except Unreachable as error:
                log.info("no answer, trying again: %s", error)
                await backoff.pause()

    async def _post(
        self, path: str, kind: type[A], message: A, answer: type[T], timeout_ms: int
    ) -> T:
        said = adapter(cast(Hashable, kind)).dump_json(message)
        if len(self.urls) > 1:
            timeout_ms = min(timeout_ms, SEVERAL_TIMEOUT_MS)
        for left in reversed(range(len(self.urls))):
            tried = self.url
            try:
                status, body = await self._send(tried, path, said, timeout_ms)
            except aiohttp.ClientSSLError as error:
                raise Untrusted(f"{path}: {error}") from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self._next(tried)
                if left and isinstance(error, aiohttp.ClientConnectorError):
                    continue  # nothing was sent
                raise Unreachable(f"{path}: {error or type(error).__name__}") from error
            break
        if status >= 500:
            self._next(tried)
        if 400 <= status < 500:
            raise _refusal(path, status, body)
        if status != 200:
            raise Unreachable(f"{path}: status {status}")
        try:
            return cast(T, reader(cast(Hashable, answer)).validate_json(body))
        except ValueError as error:
            raise Unreachable(f"{path}: answer not understood: {error}") from error

    async def _send(self, url: str, path: str, body: bytes, timeout_ms: int) -> tuple[int, bytes]:
        """Status and body of the answer. Raises aiohttp.ClientError, TimeoutError, OSError."""
        headers = {"content-type": "application/json"}
        if self.secret is not None:
            headers["authorization"] = f"Bearer {self.secret}"
        async with self.http.post(
            url + path,
            data=body,
            headers=headers,
            proxy=self.proxy,
            timeout=aiohttp.ClientTimeout(total=timeout_ms / 1000),
        ) as response:
            return response.status, await response.read()


def _refusal(path: str, status: int, body: bytes) -> Exception:
    """What a 4xx means. One without the server's code is of something between here and the server
    (a proxy's page): a run must not be given up for it."""
    code, text = _error_parts(body)
    if not code:
        return Unreachable(f"{path}: status {status}, not the server's own answer: {text}")
    if status == 409:
        return SessionEnded(code, text)
    if status in (401, 403) and code in ADMISSION_CODES:
        return NotAdmitted(code, text)
    if status in (408, 429):
        return Unreachable(f"{path}: status {status}")
    return Refused(f"{path}: {status} {body[:500].decode(errors='replace')}")


def _error_parts(body: bytes) -> tuple[str, str]:
    try:
        parts = _PARTS.validate_json(body)
    except ValueError:
        return "", body[:200].decode(errors="replace")
    return str(parts.get("code", "")), str(parts.get("message", ""))
