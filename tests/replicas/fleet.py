"""Several real servers on one real PostgreSQL, with agents that know them all."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engines_up.postgres import Postgres
from tests.live.harness import PATIENCE_S, SITES, Live, until
from westward.model.wire import Reading
from westward.store import Store, open_store
from westward.store.ledger_audit import audit_ledger
from westward.store.metering import load_readings

_NUMBERS = itertools.count(1)


@dataclass
class Fleet(Live):
    """``servers`` by number; each has a data folder of its own and keeps its port. ``postgres`` is
    shared by tests, the database is not."""

    postgres: Postgres | None = None
    servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    urls: dict[int, str] = field(default_factory=dict)
    database: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.postgres is not None
        self.database = self.database or self.postgres.create(f"fleet_{next(_NUMBERS)}")

    def start_replica(self, number: int) -> None:
        """On the port it had before."""
        data = self.folder / f"data-{number}"
        announced = data / "server.json"
        announced.unlink(missing_ok=True)
        port = self.urls.get(number, ":0").rpartition(":")[2]
        log = f"server-{number}"
        server = self._spawn(
            "server",
            "--network", str(self.network), "--data", str(data), "--port", port,
            "--store", self.database, "--name", f"s{number}",
            "--checkpoints", str(self.folder / "checkpoints"),
            "--operator-token", str(self.folder / "operator.token"),
            "--lease", self.lease, "--margin", "300ms", *self.server_options, log=log,
        )  # fmt: skip
        self.servers[number] = server

        def listens() -> bool:
            text = (self.folder / f"{log}.log").read_text()
            assert server.poll() is None, f"server {number} ended: {text[-2000:]}"
            return announced.exists()

        until(listens, f"server {number} listens")
        self.urls[number] = json.loads(announced.read_text())["url"]

    def start_fleet(self, count: int, sites: tuple[str, ...] = SITES) -> None:
        for number in range(count):
            self.start_replica(number)
        self.the_leader()
        self.url = ",".join(self.urls.values())
        for site in sites:
            self.start_agent(site)
        self.until_open(sites)

    def replica(self, number: int, timeout_s: float = 5.0) -> dict[str, Any] | None:
        """What the server says of itself; None: it does not answer."""
        try:
            with urllib.request.urlopen(self.urls[number] + "/healthz", timeout=timeout_s) as told:
                return dict(json.load(told)["replica"])
        except (OSError, ValueError):
            return None

    def leader(self, among: tuple[int, ...] = ()) -> int | None:
        """The number of the server that says it leads; asks quickly."""
        for number in among or tuple(self.servers):
            told = self.replica(number, 1.0)
            if told is not None and told["role"] == "leader":
                return number
        return None

    def the_leader(self, among: tuple[int, ...] = ()) -> int:
        """Waits for one."""
        end = time.monotonic() + PATIENCE_S
        while (found := self.leader(among)) is None:
            assert time.monotonic() < end, "nobody leads"
            time.sleep(0.02)
        return found

    def kill(self, number: int) -> None:
        server = self.servers.pop(number)
        server.kill()
        server.wait()

    def others(self, number: int) -> tuple[int, ...]:
        return tuple(one for one in self.servers if one != number)

    def close(self) -> None:
        for server in self.servers.values():
            server.send_signal(signal.SIGCONT)
        super().close()
        for number in list(self.servers):
            self.kill(number)

    # -- talking to it

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """At any server; the next one where one breaks off. Bodies of tests carry ids of theirs."""
        data = None if body is None else json.dumps(body).encode()
        end = time.monotonic() + PATIENCE_S
        for number in itertools.cycle(self.urls):
            request = urllib.request.Request(
                self.urls[number] + path,
                data,
                {"content-type": "application/json"},
                method=method,
            )
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    return error.code, json.load(error)
            except (OSError, ValueError):
                pass
            assert time.monotonic() < end, f"no server answers {path}"
            time.sleep(0.05)
        raise AssertionError

    def open(self) -> Store:
        return open_store(self.database, migrate=False, check=False)

    def readings(self, run_id: str) -> tuple[Reading, ...]:
        store = self.open()
        try:
            return load_readings(store, run_id)
        finally:
            store.close()

    def check_ledger(self) -> None:
        """By the auditor that shares no code with what writes."""
        store = self.open()
        try:
            report = audit_ledger(store)
            assert not report.faults, [str(one) for one in report.faults]
        finally:
            store.close()

    def log(self, number: int) -> str:
        return (self.folder / f"server-{number}.log").read_text()


def folder_of(path: Path, name: str) -> Path:
    made = path / name
    made.mkdir()
    return made
