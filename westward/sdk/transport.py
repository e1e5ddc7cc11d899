"""Requests of the SDK: JSON over HTTP, with repeats where a repeat is safe.

Reading is safe to repeat, and so are cancelling and submitting under an id of the caller's: the
server answers the second time with what the first one did. A request that is not safe is sent once.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from westward.sdk.errors import ApiError, Unreachable

if TYPE_CHECKING:
    import aiohttp

Json = dict[str, Any]
TIMEOUT_S = 60.0
"""Of one request; the server holds a long poll for 20 s at most."""
RETRY_FOR_S = 60.0
PAUSE_FIRST_S = 0.1
PAUSE_MOST_S = 3.0
AGAIN = (408, 429, 502, 503, 504)
"""Statuses that another try may lift."""


class _Base:
    def __init__(
        self,
        url: str | None,
        timeout_s: float,
        retry_for_s: float,
        headers: Mapping[str, str],
        token: str | None = None,
    ) -> None:
        given = url or os.environ.get("WESTWARD_SERVER")
        if not given:
            raise ValueError("give the server's URL, or set WESTWARD_SERVER")
        self.urls = [one.strip().rstrip("/") for one in given.split(",")]
        """Servers that share one store: whichever answers will do."""
        for one in self.urls:
            parts = urlsplit(one)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"{one!r} is no URL; write for example http://127.0.0.1:8080")
        self.url = self.urls[0]
        self.timeout_s = timeout_s
        self.retry_for_s = retry_for_s
        self.headers = dict(headers)
        shown = token or os.environ.get("WESTWARD_TOKEN", "").strip()
        if shown and not any(name.lower() == "authorization" for name in self.headers):
            self.headers["Authorization"] = f"Bearer {shown}"

    def pauses(self, method: str, path: str, body: Json | None) -> Iterator[float]:
        """Seconds before each further try; none for what must not be repeated."""
        safe = method == "GET" or path.endswith("/cancel") or bool((body or {}).get("job_id"))
        end = time.monotonic() + self.retry_for_s
        ceiling = PAUSE_FIRST_S
        while safe and time.monotonic() < end:
            yield random.uniform(ceiling / 4, ceiling)
            ceiling = min(PAUSE_MOST_S, ceiling * 2)

    def move_on(self, tried: str) -> None:
        """To the next server; not if another thread has done so already."""
        if self.url == tried:
            self.url = self.urls[(self.urls.index(tried) + 1) % len(self.urls)]

    def decode(self, status: int, data: bytes) -> Any:
        """The answer; ApiError for a refusal, Unreachable for what another try may lift."""
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unreachable(f"{self.url} answers (HTTP {status}), but not as a Westward server")
        if status < 400:
            return answer
        message = str(answer.get("message") or answer.get("detail") or f"HTTP {status}")
        if status in AGAIN:
            raise Unreachable(f"{self.url}: {message}")
        code = str(answer.get("code") or "refused")
        raise ApiError(status, code, message, tuple(answer.get("faults") or ()))


def _target(path: str, query: Json) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value is not None
    }
    return f"{path}?{urlencode(given)}" if given else path


def _plain(body: Json) -> bytes:
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


class Transport(_Base):
    """Blocking, over the standard library; one connection a request, so any thread may call."""

    def call(self, method: str, path: str, query: Json, body: Json | None) -> Any:
        pauses = self.pauses(method, path, body)
        while True:
            tried = self.url
            try:
                return self._once(method, _target(path, query), body)
            except Unreachable:
                self.move_on(tried)
                pause_s = next(pauses, None)
                if pause_s is None:
                    raise
            time.sleep(pause_s)

    def _once(self, method: str, target: str, body: Json | None) -> Any:
        parts = urlsplit(self.url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname or "", parts.port, timeout=self.timeout_s)
        headers = dict(self.headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            data = None if body is None else _plain(body)
            connection.request(method, parts.path + target, body=data, headers=headers)
            answer = connection.getresponse()
            status, data = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            what = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unreachable(f"no Westward server answers at {self.url} ({what})") from error
        finally:
            connection.close()
        return self.decode(status, data)

    def close(self) -> None:
        """Nothing is kept open."""


class AsyncTransport(_Base):
    """Asynchronous, over aiohttp; one session, made by the first request."""

    _session: aiohttp.ClientSession | None = None

    async def call(self, method: str, path: str, query: Json, body: Json | None) -> Any:
        pauses = self.pauses(method, path, body)
        while True:
            tried = self.url
            try:
                return await self._once(method, _target(path, query), body)
            except Unreachable:
                self.move_on(tried)
                pause_s = next(pauses, None)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)

    async def _once(self, method: str, target: str, body: Json | None) -> Any:
        import aiohttp

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self.timeout_s)
            self._session = aiohttp.ClientSession(timeout=timeout, headers=self.headers)
        headers = {} if body is None else {"Content-Type": "application/json"}
        data = None if body is None else _plain(body)
        try:
            async with self._session.request(
                method, self.url + target, data=data, headers=headers
            ) as answer:
                return self.decode(answer.status, await answer.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise Unreachable(f"no Westward server answers at {self.url} ({what})") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
