"""A site whose agent is this process: it holds a few runs for good and times their renewal."""

from __future__ import annotations

import threading
import time

from tests.chaos.stand import Stand, Unanswered

EVERY_S = 0.5


class Probe:
    """Speaks the agents' protocol for ``site``. Runs that it is granted are said to have started,
    and their leases are renewed; nothing runs."""

    def __init__(self, stand: Stand, site: str):
        self.stand = stand
        self.site = site
        self.held: dict[str, int] = {}
        self.took_s: list[float] = []
        """Of each renewal since this was last taken."""
        self.failed = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._for_ever, name="probe", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    def take(self) -> list[float]:
        took, self.took_s = self.took_s, []
        return took

    def _for_ever(self) -> None:
        session = 0
        while not self._ending.wait(EVERY_S):
            try:
                if not session:
                    hello = {"site": self.site, "agent_id": "agt_probe", "pools": []}
                    _, welcome = self.stand.call("POST", "/v1/agent/hello", hello)
                    session = int(welcome["agent_session"])
                runs = [{"run_id": run, "token": token} for run, token in self.held.items()]
                poll = {"site": self.site, "agent_session": session, "runs": runs, "wait_ms": 0}
                begun = time.perf_counter()
                status, answer = self.stand.call("POST", "/v1/agent/poll", poll)
                if self.held:
                    self.took_s.append(time.perf_counter() - begun)
                if status != 200:
                    session = 0
                    continue
                for run_id in answer["unknown"]:
                    self.held.pop(run_id, None)
                for grant in answer["grants"]:
                    if grant["run_id"] not in self.held:
                        self.held[grant["run_id"]] = grant["token"]
                        started = {"token": grant["token"], "ago_ms": 0}
                        path = f"/v1/agent/runs/{grant['run_id']}/started"
                        self.stand.call("POST", path, started)
            except Unanswered:
                self.failed += 1
