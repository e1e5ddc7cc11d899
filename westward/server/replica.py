"""A server that shares its PostgreSQL with others: it hears their bells, and may lead."""

from __future__ import annotations

import os
import secrets
import socket

from sqlalchemy import make_url

from westward.server.clock import SharedClock
from westward.server.core import Core
from westward.server.leading import Leading
from westward.server.loops import Loops
from westward.server.relay import Relay
from westward.store.leadership import load_office


class Replica:
    """From ``start`` to ``stop``, in place of its loops, which run while it leads."""

    def __init__(self, core: Core, loops: Loops, url: str, name: str) -> None:
        self.core = core
        self.name = name
        self.relay = Relay(core, url, name)
        self.leading = Leading(core, loops, url, name)

    def start(self) -> None:
        self.relay.start()
        self.leading.start()

    async def stop(self) -> None:
        await self.leading.stop()
        await self.relay.stop()

    def view(self) -> dict[str, object]:
        """For /healthz. Reads the store."""
        office, clock = load_office(self.core.store), self.core.clock
        return {
            "name": self.name,
            "role": "standby" if self.leading.epoch is None else "leader",
            "leader": office.holder,
            "epoch": office.epoch,
            "since_ms": office.since_ms,
            "hears_others": self.relay.whole,
            "clock_off_ms": round(clock.off_ms) if isinstance(clock, SharedClock) else 0,
        }


def open_replica(core: Core, loops: Loops) -> Replica:
    """Of a server whose settings name a PostgreSQL. Its name is its own at every start: two
    processes of one name would not hear each other."""
    assert core.settings.store is not None
    url = make_url(core.settings.store).set(drivername="postgresql")
    given = core.settings.name or f"{socket.gethostname()}:{os.getpid()}"
    name = f"{given}/{secrets.token_hex(3)}"
    return Replica(core, loops, url.render_as_string(hide_password=False), name)
