"""Wake-up calls inside the server. They only say "look again"; the store says what is so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

MESSAGE_MOST_BYTES = 7_500
"""Of what is told to other servers at once: PostgreSQL's notifications take less than 8,000."""
ALL = "*"


class Bell:
    """Remembers how often it rang, so that a ring between looking and waiting is not missed."""

    def __init__(self) -> None:
        self.rings = 0
        self._event = asyncio.Event()
        self.listeners = 0
        self.also: Callable[[], None] | None = None
        """Told of every ``ring``: where there are other servers, theirs ring too."""

    def ring(self) -> None:
        self.ring_here()
        if self.also is not None:
            self.also()

    def ring_here(self) -> None:
        self.rings += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seen: int, timeout_s: float) -> bool:
        """True as soon as it has rung more than ``seen`` times, false after ``timeout_s``."""
        if self.rings != seen:
            return True
        if timeout_s <= 0:
            return False
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class Bells:
    """Bells by name; one exists only while somebody listens."""

    def __init__(self) -> None:
        self._bells: dict[str, Bell] = {}
        self.also: Callable[[str], None] | None = None
        """As ``Bell.also``."""

    def ring(self, name: str) -> None:
        self.ring_here(name)
        if self.also is not None:
            self.also(name)

    def ring_here(self, name: str) -> None:
        bell = self._bells.get(name)
        if bell is not None:
            bell.ring()

    def ring_all(self) -> None:
        """Here alone."""
        for bell in list(self._bells.values()):
            bell.ring()

    @contextmanager
    def listen(self, name: str) -> Iterator[Bell]:
        bell = self._bells.setdefault(name, Bell())
        bell.listeners += 1
        try:
            yield bell
        finally:
            bell.listeners -= 1
            if bell.listeners == 0 and self._bells.get(name) is bell:
                del self._bells[name]


def messages(name: str, out: Mapping[str, set[str]]) -> list[str]:
    """What rang, as texts that fit; one kind with too many names is told as all of it."""
    if not out:
        return []
    whole = {kind: sorted(names) for kind, names in out.items()}
    text = json.dumps({"from": name, **whole}, ensure_ascii=False)
    if len(text.encode()) <= MESSAGE_MOST_BYTES:
        return [text]
    if len(whole) > 1:
        return [one for kind, names in out.items() for one in messages(name, {kind: names})]
    return [json.dumps({"from": name, kind: [ALL]}) for kind in whole]
