"""The agent's door: where runs at the nodes of an engine ask how long they may go on.

The agent itself opens no port to the world; this one is for the site's own network, and only for
engines whose nodes cannot be reached otherwise. A question names the run and its key, which only
the run and the agent know; the answer is the lease left, counted from when the question came in,
so that the asker, counting from before it asked, is never late. Only the first asker of a run is
answered: should the engine start it a second time, the second is sent away and does nothing.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web

from westward.agent.engines.base import LeaseTimes, RunResult, read_result
from westward.agent.engines.processes import boot_ms
from westward.agent.engines.watched import WatchedRuns
from westward.model.wire import Reading

HOLD_MOST_MS = 30_000
BODY_MOST_BYTES = 16 << 20


@dataclass
class Door:
    """Answers on the loop it is opened on; ``runs`` are the agent's files."""

    runs: WatchedRuns
    news: dict[str, asyncio.Event] = field(default_factory=dict)
    promised: dict[str, int] = field(default_factory=dict)
    """By run: the ``boot_ms`` at which what was last promised to its process ends."""
    ends: dict[str, RunResult] = field(default_factory=dict)
    """How runs ended by their own word."""
    _runner: web.AppRunner | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen; port 0 takes a free one. Returns the port. OSError when it is taken."""
        app = web.Application(client_max_size=BODY_MOST_BYTES)
        app.router.add_post("/v1/runs/{run_id}", self._asked)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        # A new agent takes the port over while the connections of the one before still linger.
        site = web.TCPSite(self._runner, host, port, reuse_address=True, reuse_port=True)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def tell(self, run_id: str) -> None:
        """The run was extended or stopped: whoever is being held is answered."""
        event = self.news.get(run_id)
        if event is not None:
            event.set()

    def silent(self, run_id: str) -> bool:
        """Whether every promise to the run's process is over: nothing of it lives then. After a
        restart of the agent a whole lease counts as promised."""
        if run_id not in self.promised:
            order = self.runs.order(run_id) or {}
            self.promised[run_id] = boot_ms() + int(order.get("ttl_ms", 0))
        return boot_ms() > self.promised[run_id]

    def forget(self, run_id: str) -> None:
        for known in (self.news, self.promised, self.ends):
            cast(dict[str, Any], known).pop(run_id, None)

    async def _asked(self, request: web.Request) -> web.Response:
        arrived_at = boot_ms()
        run_id = request.match_info["run_id"]
        try:
            question = await request.json()
            key, instance = str(question["key"]), str(question["instance"])
        except (ValueError, KeyError, TypeError):
            raise web.HTTPBadRequest(text="not a question of ours") from None
        order = self.runs.order(run_id)
        if order is None:
            raise web.HTTPGone(text="the run is not held here")
        if not hmac.compare_digest(key.encode(), str(order["key"]).encode()):
            raise web.HTTPForbidden(text="wrong key")
        if not self._is_first(run_id, instance, str(question.get("node", ""))):
            raise web.HTTPGone(text="another process has begun this run")
        self._note(run_id, question)
        if self.runs.has_ended(run_id) and question.get("end") is None:
            raise web.HTTPGone(text="the run is over")
        hold_ms = min(int(question.get("hold_ms", 0)), HOLD_MOST_MS)
        if hold_ms > 0 and self.runs.stopping(run_id) is None:
            await self._hold(run_id, hold_ms)
        lease = self._promise(run_id, int(order["ttl_ms"]))
        answer = {
            "term_ms": None if lease is None else lease.term_at - arrived_at,
            "kill_ms": None if lease is None else lease.kill_at - arrived_at,
            "stop": self.runs.stopping(run_id),
        }
        return web.Response(text=json.dumps(answer), content_type="application/json")

    def _promise(self, run_id: str, ttl_ms: int) -> LeaseTimes | None:
        """The lease as it is told: never longer than one lease from now, so that what was promised
        is soon over. None: this machine was restarted, and no lease is known since."""
        lease = self.runs.lease(run_id)
        if lease.kill_at == 0:
            return None
        over = boot_ms() + ttl_ms
        told = LeaseTimes(term_at=min(lease.term_at, over), kill_at=min(lease.kill_at, over))
        self.promised[run_id] = max(self.promised.get(run_id, 0), told.kill_at)
        return told

    def _is_first(self, run_id: str, instance: str, node: str) -> bool:
        known = self.runs.marked(run_id, "instance")
        if known is None:
            self.runs.mark(run_id, "instance", {"instance": instance, "node": node})
            return True
        return bool(known["instance"] == instance)

    def _note(self, run_id: str, question: dict[str, Any]) -> None:
        if question.get("started"):
            self.runs.note_started(run_id)
        note_readings(self.runs, run_id, question.get("readings") or [])
        end = question.get("end")
        if end is not None:
            self.ends[run_id] = read_result(end)

    async def _hold(self, run_id: str, hold_ms: int) -> None:
        event = self.news.setdefault(run_id, asyncio.Event())
        event.clear()
        try:
            await asyncio.wait_for(event.wait(), hold_ms / 1000)
        except TimeoutError:
            return


def note_readings(runs: WatchedRuns, run_id: str, readings: list[dict[str, Any]]) -> None:
    for reading in readings:
        if not runs.add_reading(run_id, Reading(**reading)):
            return
