"""An asyncio event loop whose clock stands still while code runs, and leaps when nothing is left to
do. Everything that runs belongs to a simulated process, which may be stopped or killed between any
two steps.

A killed process is not cancelled: no ``except`` and no ``finally`` of it runs any more, as with
``kill -9``. Its callbacks are simply never called again.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any

OWNER: ContextVar[Process | None] = ContextVar("westward_faultsim_process", default=None)
US_PER_S = 1_000_000
STEPS_MOST = 200_000
"""Callbacks at one instant: beyond that something spins."""


class Crash(BaseException):
    """The process that runs is killed here. Nothing in shipped code may catch it."""


class Process:
    """An operating-system process of the simulated world."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self.backlog: list[Handle] = []
        self.steps = 0
        """Callbacks run so far: between any two of them it can be killed."""
        self.die_at_step: int | None = None
        self.on_death: Callable[[], None] = lambda: None
        self.context = Context()
        self.context.run(OWNER.set, self)

    def kill(self) -> None:
        if self.alive:
            self.alive = False
            self.backlog.clear()
            self.on_death()


_Base: Any = asyncio.AbstractEventLoop
"""What of it is not here (sockets, signals, child processes) nobody in a simulated world may use."""


class Handle:
    """What ``asyncio.Handle`` is to its users, with less to it: a world makes thousands."""

    __slots__ = ("_cancelled", "args", "callback", "context", "when_us")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context, when_us: int
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.when_us = when_us
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled

    def when(self) -> float:
        return self.when_us / US_PER_S


class VirtualLoop(_Base):  # type: ignore[misc]
    """Runs on one thread. Executors are places in time, not threads: their work runs in between."""

    def __init__(self) -> None:
        self.now_us = 0
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[int, int, Handle]] = []
        self._count = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._closed = False
        self.executor_us: Callable[[], int] = lambda: 0
        """How long the next piece of work waits for its thread."""
        self.uncaught: Callable[[str, BaseException | None], None] = lambda _text, _error: None

    # -- time and callbacks -------------------------------------------------------------------

    def time(self) -> float:
        return self.now_us / US_PER_S

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, copy_context() if context is None else context, self.now_us)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> Handle:
        return self.at_us(self.now_us + round(delay * US_PER_S), callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.at_us(round(when * US_PER_S), callback, *args, context=context)

    def at_us(
        self,
        when_us: int,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> Handle:
        when_us = max(when_us, self.now_us)
        handle = Handle(callback, args, copy_context() if context is None else context, when_us)
        self._count += 1
        heapq.heappush(self._timers, (when_us, self._count, handle))
        return handle

    # -- running ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """What is made within finds this loop as the running one."""
        had = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(had)

    def run_until(self, end_us: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Everything due before ``end_us``, or until ``stop`` says so (asked between instants)."""
        with self.running():
            while not stop():
                steps = 0
                while self._ready:
                    self._step(self._ready.popleft())
                    steps += 1
                    if steps > STEPS_MOST:
                        self.uncaught(f"{STEPS_MOST} steps, and no time has passed", None)
                        self._ready.clear()
                while self._timers and self._timers[0][2].cancelled():
                    heapq.heappop(self._timers)
                if not self._timers or self._timers[0][0] > end_us:
                    self.now_us = max(self.now_us, end_us)
                    return
                self.now_us = self._timers[0][0]
                while self._timers and self._timers[0][0] <= self.now_us:
                    self._ready.append(heapq.heappop(self._timers)[2])

    def _step(self, handle: Handle) -> None:
        if handle._cancelled:
            return
        context = handle.context
        process = context.get(OWNER)
        if process is not None:
            if not process.alive:
                return
            if process.paused:
                process.backlog.append(handle)
                return
            process.steps += 1
            if process.die_at_step is not None and process.steps >= process.die_at_step:
                process.die_at_step = None
                process.kill()
                return
        try:
            context.run(handle.callback, *handle.args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            context.run(self.call_exception_handler, {"message": "a callback", "exception": error})

    def resume(self, process: Process) -> None:
        """What came while it was stopped is done now, in its order."""
        process.paused = False
        self._ready.extend(process.backlog)
        process.backlog.clear()

    # -- tasks, futures, executors ------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def run_in_executor(
        self, _executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()

        def work() -> None:
            try:
                value, error = func(*args), None
            except Crash:
                return
            except Exception as raised:
                value, error = None, raised
            back_us = self.executor_us()
            if back_us:
                self.at_us(self.now_us + back_us, tell, value, error)
            else:
                tell(value, error)

        def tell(value: Any, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        self.at_us(self.now_us + self.executor_us(), work, context=copy_context())
        return future

    # -- what else asyncio asks ---------------------------------------------------------------

    def is_running(self) -> bool:
        return not self._closed

    def is_closed(self) -> bool:
        return self._closed

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        owner = OWNER.get()
        if self._closed or isinstance(error, Crash) or (owner is not None and not owner.alive):
            return
        self.uncaught(str(context.get("message")), error)

    def close(self) -> None:
        """Ends what was left behind by killed processes, quietly."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()
        with self.running():
            for task in self._tasks:
                if task.done():
                    if not task.cancelled():
                        task.exception()
                    continue
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(BaseException):
                    task.get_coro().close()
        self._ready.clear()
        self._timers.clear()
        self._tasks.clear()
