"""Ray's Jobs API over HTTP: one method a request, errors as three kinds. Nothing of Ray is imported.

Source: Ray 2.x, "Ray Jobs REST API" (https://docs.ray.io/en/latest/cluster/running-applications/
job-submission/rest.html); the log as it grows comes over a WebSocket that Ray's own client uses.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

ANSWER_S = 10
"""Ray's head passes most requests on to a node; a busy one takes seconds."""


class Unreachable(Exception):
    """No answer, or one that says nothing of the run: ask again."""


class Missing(Exception):
    """Ray answers, and does not know the job."""


class Refused(Exception):
    """Ray will not take the request, now or later."""


@dataclass
class RayLink:
    """``address`` is the dashboard's, ``http://HOST:PORT``; ``token`` is sent where Ray wants one."""

    address: str
    token: str | None = None
    _session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            timeout = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=5)
            self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def submit(self, body: Mapping[str, Any]) -> None:
        """Safe to repeat: a job of this submission_id that is there already is this one."""
        try:
            await self._ask("POST", "/api/jobs/", body)
        except Refused as error:
            if "already exists" not in str(error):
                raise

    async def info(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._ask("GET", f"/api/jobs/{run_id}")
        return found

    async def stop(self, run_id: str) -> None:
        await self._ask("POST", f"/api/jobs/{run_id}/stop")

    async def delete(self, run_id: str) -> None:
        """Only a job that has ended can be deleted."""
        await self._ask("DELETE", f"/api/jobs/{run_id}")

    async def nodes(self) -> list[dict[str, Any]]:
        """As Ray's state API lists them: ``state``, ``resources_total``, ``labels``."""
        answer = await self._ask("GET", "/api/v0/nodes?detail=1")
        found: list[dict[str, Any]] = answer["data"]["result"]["result"]
        return found

    async def log(self, run_id: str) -> AsyncIterator[bytes]:
        """What the job has printed from its beginning, and goes on printing, until it ends."""
        url = f"{self.address}/api/jobs/{run_id}/logs/tail"
        try:
            async with self._open().ws_connect(url, heartbeat=30, max_msg_size=0) as socket:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield str(message.data).encode()
                if socket.close_code not in (1000, None):
                    raise Unreachable(f"the log of {run_id} broke off ({socket.close_code})")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(_words(error)) from error

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            async with self._open().request(method, self.address + path, json=body) as response:
                text = await response.text()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{self.address}: {_words(error)}") from error
        if status == 200:
            try:
                return json.loads(text)
            except ValueError:
                raise Unreachable(f"{self.address}{path}: not an answer of Ray's") from None
        words = text.strip().rpartition("\n")[2][:500]
        # The head passes requests on to a node and tells the node's answer as an error of its own.
        if status == 500 and "status code 400" in text:
            raise Refused(_passed_on(text))
        if status == 404:
            raise Missing(words)
        if status in (401, 403):
            raise Unreachable(f"{self.address}: {words} (engine option token_file)")
        if status == 400:
            raise Refused(words)
        raise Unreachable(f"{self.address}{path}: HTTP {status}: {words}")


def _passed_on(text: str) -> str:
    """The last line that says anything; Ray puts a traceback before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" .")]
    return lines[-1][:500] if lines else text[:500]


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
