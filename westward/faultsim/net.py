"""The network between sites, users and the server: it loses, repeats, delays and reorders, and may be
cut one way. What it carries are the bytes of the protocol; at the other end the server's own request
handlers answer, below HTTP.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

from pydantic import TypeAdapter, ValidationError

from westward.agent.link import ServerLink
from westward.faultsim import files
from westward.faultsim.checkers import Broken
from westward.faultsim.loop import Process, VirtualLoop
from westward.model.wire import (
    Ack,
    Hello,
    LogChunk,
    Poll,
    Readings,
    RunEnded,
    RunStarted,
    Welcome,
)
from westward.server import api_agent
from westward.server.core import Core
from westward.server.errors import ApiError, answer_of
from westward.server.guard import Speaker

Answer = tuple[int, bytes]
Serve = Callable[[Core, "Caller"], Awaitable[Answer]]
REPEAT_MOST_MS = 20_000
"""A repeated message comes at most so much later."""
ASKED_WINDOW_US = 10_000_000
ASKED_MOST = 200
"""Of one question by one asker in such a window; a site's agent polls some ten times in it."""
SPEAKER = Speaker(site=None)
_KINDS: dict[str, tuple[TypeAdapter[Any], Any]] = {
    "started": (TypeAdapter(RunStarted), api_agent.started),
    "ended": (TypeAdapter(RunEnded), api_agent.ended),
    "readings": (TypeAdapter(Readings), api_agent.readings),
    "logs": (TypeAdapter(LogChunk), api_agent.logs),
}
_HELLO, _POLL = TypeAdapter(Hello), TypeAdapter(Poll)
_ACK, _WELCOME = TypeAdapter(Ack), TypeAdapter(Welcome)


class Caller:
    """Stands in for the request object: whether its sender still waits, as far as one can know."""

    def __init__(self) -> None:
        self.waits = True
        self.future: asyncio.Future[Answer] | None = None

    async def is_disconnected(self) -> bool:
        return not self.waits


class Net:
    """``windows``: until when (us) each kind of trouble lasts, by (kind, end of the line)."""

    def __init__(
        self,
        loop: VirtualLoop,
        dice: random.Random,
        delay_ms: int,
        injected: Callable[[str], None],
        trouble: Callable[[Core, Exception], None],
        note: Callable[..., None],
        fail: Callable[[Broken], None],
    ) -> None:
        self.loop = loop
        self.dice = dice
        self.delay_ms = delay_ms
        self.injected = injected
        self.trouble = trouble
        self.note = note
        self.fail = fail
        self._lately: dict[tuple[str, str], tuple[int, int]] = {}
        """By who asks what: a window of virtual time, and how often in it."""
        self.core: Core | None = None
        self.process: Process | None = None
        self.windows: dict[tuple[str, str], int] = {}
        self.share: dict[str, float] = {}
        """Of messages, by kind, while its window is open."""
        self._waiting: list[Caller] = []
        self._outside = Context()

    # -- the sender's side --------------------------------------------------------------------

    async def call(self, end: str, what: str, serve: Serve, timeout_ms: int) -> Answer:
        """One request of ``end``. Raises TimeoutError, OSError."""
        caller = Caller()
        future: asyncio.Future[Answer] = self.loop.create_future()
        caller.future = future
        self._waiting.append(caller)
        self._send(end, what, serve, caller)
        if self._trouble(end, "duplicates"):
            later_us = self.dice.randrange(REPEAT_MOST_MS * 1000)
            self.loop.at_us(
                self.loop.now_us + later_us, self._arrive, end, what, serve, Caller(),
                context=self._outside,
            )  # fmt: skip
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await future
        finally:
            caller.waits = False
            self._waiting.remove(caller)

    def _send(self, end: str, what: str, serve: Serve, caller: Caller) -> None:
        if self._cut(end, "up") or self._trouble(end, "loss"):
            return
        self.loop.at_us(
            self.loop.now_us + self._delay_us(end), self._arrive, end, what, serve, caller,
            context=self._outside,
        )  # fmt: skip

    # -- the server's side --------------------------------------------------------------------

    def _arrive(self, end: str, what: str, serve: Serve, caller: Caller) -> None:
        process, core = self.process, self.core
        if process is None or core is None or not process.alive:
            self.reset(end, caller)
            return
        self.note("arrives", end, what)
        self._count(end, what)
        context = process.context.copy()
        self.loop.create_task(self._serve(end, what, serve, core, caller), context=context)

    def _count(self, end: str, what: str) -> None:
        """Somebody who waits for something must not spin until it comes."""
        window = self.loop.now_us // ASKED_WINDOW_US
        before, times = self._lately.get((end, what), (window, 0))
        times = times + 1 if before == window else 1
        self._lately[end, what] = (window, times)
        if times == ASKED_MOST:
            self.fail(Broken("asks-too-often", f"{what} of {end}: {times} times in 10 s"))

    async def _serve(self, end: str, what: str, serve: Serve, core: Core, caller: Caller) -> None:
        try:
            answer = await serve(core, caller)
        except ApiError as error:
            answer = (error.status, bytes(answer_of(error).body))
        except ValidationError as error:
            told = {"code": "malformed-request", "message": str(error)}
            answer = (422, json.dumps(told).encode())
        except Exception as error:
            self.trouble(core, error)
            answer = (500, b'{"code": "internal", "message": ""}')
        self.note("answers", end, what, answer[0])
        if self._cut(end, "down") or self._trouble(end, "loss"):
            return
        self.loop.at_us(
            self.loop.now_us + self._delay_us(end), self._come_back, caller, answer,
            context=self._outside,
        )  # fmt: skip

    def _come_back(self, caller: Caller, answer: Answer) -> None:
        if caller.waits and caller.future is not None and not caller.future.done():
            caller.future.set_result(answer)

    def reset(self, end: str, caller: Caller) -> None:
        """Nobody listens there."""
        if caller.future is not None and not caller.future.done() and not self._cut(end, "down"):
            caller.future.set_exception(ConnectionRefusedError("connection refused"))

    def drop_all(self) -> None:
        """The server's machine tells everybody whom it held that it has gone."""
        for caller in list(self._waiting):
            if caller.future is not None and not caller.future.done() and self.dice.random() < 0.5:
                caller.future.set_exception(ConnectionResetError("connection reset"))

    # -- its moods ----------------------------------------------------------------------------

    def heal(self) -> None:
        self.windows.clear()

    def _cut(self, end: str, way: str) -> bool:
        for kind in (f"cut-{way}", "cut-both"):
            if self.windows.get((kind, end), 0) > self.loop.now_us:
                self.injected(kind)
                return True
        return False

    def _trouble(self, end: str, kind: str) -> bool:
        if self.windows.get((kind, end), 0) <= self.loop.now_us:
            return False
        if self.dice.random() >= self.share.get(kind, 0.3):
            return False
        self.injected(kind)
        return True

    def _delay_us(self, end: str) -> int:
        most_us = self.delay_ms * 1000
        if self._trouble(end, "delays"):
            most_us = 8_000_000
        return self.dice.randrange(most_us) if most_us else 0


class SimLink(ServerLink):
    """The shipped link; only its transport is the simulated network."""

    def __init__(self, net: Net, site: str, rng: random.Random, clock: Callable[[], int]) -> None:
        self._net = net
        self._site = site
        self.heard: Callable[[str, bytes, bytes], None] = lambda _path, _said, _answer: None
        super().__init__("http://server", rng, clock=clock)

    def _open(self, ca: str | None) -> None:
        """There is no socket."""

    async def close(self) -> None:
        """Nothing to close."""

    async def _send(self, _url: str, path: str, body: bytes, timeout_ms: int) -> tuple[int, bytes]:
        what = path.rpartition("/")[2]
        status, answer = await self._net.call(
            self._site, what, lambda core, caller: serve(core, caller, path, body), timeout_ms
        )
        self.heard(path, body, answer)
        return status, answer


async def serve(core: Core, caller: Caller, path: str, body: bytes) -> Answer:
    """An agent's request, as the server's routes answer it. Raises ApiError, ValidationError."""
    what = path.rpartition("/")[2]
    if what == "poll":
        asked = _POLL.validate_json(body)
        answer = await api_agent.hold_poll(asked, core, caller, SPEAKER)  # type: ignore[arg-type]
        return answer.status_code, bytes(answer.body)
    if what == "hello":
        welcome = await api_agent.say_hello(_HELLO.validate_json(body), core, SPEAKER)
        return 200, _WELCOME.dump_json(welcome)
    about_files = await files.serve(core, path, body)
    if about_files is not None:
        return about_files
    adapter, handler = _KINDS[what]
    run_id = path.split("/")[4]
    ack: Ack = await handler(run_id, adapter.validate_json(body), core)
    return 200, _ACK.dump_json(ack)
