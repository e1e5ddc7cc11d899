"""What servers that take turns at writing do together: polls a second, each one a durable write.

    python benchmarks/replicas.py [SECONDS]

One server on SQLite, one on PostgreSQL, three on one PostgreSQL; the same number of askers (plain
HTTP connections that are kept open), polls without runs and without waiting. Prints one JSON line
each. Servers, askers and database share this machine's processors.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.engines_up.postgres import Postgres  # noqa: E402
from tests.live.harness import SITES, Live  # noqa: E402
from tests.replicas.fleet import Fleet  # noqa: E402

ASKERS = 12
PROCESSES = 2


def ask(url: str, site: str, session: int, seconds: float) -> list[float]:
    """Milliseconds of each poll."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    body = json.dumps({"site": site, "agent_session": session, "runs": [], "wait_ms": 0})
    took = []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        connection.request("POST", "/v1/agent/poll", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == 200, told
        took.append((time.monotonic() - began) * 1000)
    return took


def askers(urls: list[str], sessions: dict[str, int], seconds: float) -> None:
    """One process of askers: prints what each poll took."""
    with ThreadPoolExecutor(ASKERS // PROCESSES) as threads:
        asked = [
            threads.submit(
                ask, urls[at % len(urls)], SITES[at % 3], sessions[SITES[at % 3]], seconds
            )
            for at in range(ASKERS // PROCESSES)
        ]
        print(json.dumps([one for each in asked for one in each.result()]))


def measure(name: str, live: Live, urls: list[str], seconds: float) -> None:
    sessions = {}
    for site in SITES:
        hello = {"site": site, "agent_id": f"agt_{site}", "pools": []}
        status, told = live.call("POST", "/v1/agent/hello", hello)
        assert status == 200, told
        sessions[site] = told["agent_session"]
    command = [sys.executable, __file__, "--ask", json.dumps([urls, sessions, seconds])]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
    took = sorted(one for each in running for one in json.loads(each.communicate()[0]))
    row = {
        "servers": name, "askers": ASKERS, "polls_a_second": round(len(took) / seconds),
        "ms_p50": round(took[len(took) // 2], 1), "ms_p99": round(took[len(took) * 99 // 100], 1),
    }  # fmt: skip
    print(json.dumps(row), flush=True)


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        live = Live(Path(name), lease="60s")
        try:
            live.start_server()
            measure("1 on SQLite", live, [live.url], seconds)
        finally:
            live.close()
    postgres = Postgres.start()
    try:
        for count in (1, 3):
            with tempfile.TemporaryDirectory() as name:
                fleet = Fleet(Path(name), lease="60s", postgres=postgres)
                try:
                    fleet.start_fleet(count, ())
                    measure(f"{count} on PostgreSQL", fleet, list(fleet.urls.values()), seconds)
                finally:
                    fleet.close()
    finally:
        postgres.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        askers(*json.loads(sys.argv[2]))
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 8.0)
