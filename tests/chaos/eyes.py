"""What can be seen from outside while it happens: a thread that asks, and questions to wait for.

Each question answers false until whoever was hit has made its first progress since the question was
put: a site's agent has a new session, or has been heard of again; a job has begun a new run, or is
over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos.stand import Stand, Unanswered
from tests.chaos.targets import newest_order
from tests.chaos.work import Witness

EVERY_S = 0.1
ASK_S = 2.0
"""An answer that takes longer is none."""
NEWEST = 60
"""Runs looked at: more than can be on their way at once."""
OVER = ("succeeded", "failed", "cancelled", "refused")


class Eyes:
    def __init__(self, stand: Stand, witness: Witness):
        self.stand = stand
        self.witness = witness
        self.sites: dict[str, dict[str, Any]] = {}
        """The newest answer, and when its question was put."""
        self.asked = 0.0
        self.over = 0
        """Jobs that have come to their end, by the server."""
        self.jobs_to_ask: set[str] = set()
        self.jobs_over: set[str] = set()
        self._asked_at: dict[str, float] = {}
        self.unanswered = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._for_ever, name="eyes", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    def _for_ever(self) -> None:
        while not self._ending.wait(EVERY_S):
            for ask in (self._ask_sites, self._ask_counts, self._ask_jobs):
                try:
                    ask()
                except Unanswered:
                    self.unanswered += 1
                    if ask == self._ask_sites:  # the next would wait for an answer as long
                        break

    def _ask_sites(self) -> None:
        asked = time.monotonic()
        self.sites = self.stand.site_views(ASK_S)
        self.asked = asked

    def _ask_counts(self) -> None:
        counts = self.stand.get("/healthz", ASK_S)["jobs"]
        self.over = sum(counts.get(state, 0) for state in OVER)

    def _ask_jobs(self) -> None:
        """Some of them in turn: sites are to be asked again soon."""
        waiting = list(self.jobs_to_ask)  # in one step: others add to it meanwhile
        for job_id in sorted(waiting, key=lambda one: self._asked_at.get(one, 0.0))[:3]:
            self._asked_at[job_id] = time.monotonic()
            if self.stand.get(f"/v1/jobs/{job_id}", ASK_S)["state"] in OVER:
                self.jobs_to_ask.discard(job_id)
                self.jobs_over.add(job_id)

    # -- questions

    def new_session(self, site: str) -> Callable[[], bool]:
        """The site's agent has introduced itself anew."""
        before = self.sites.get(site, {}).get("agent_session")
        return lambda: self.sites.get(site, {}).get("agent_session") != before

    def heard_again(self, site: str) -> Callable[[], bool]:
        """A poll of the site's agent has come through since whoever asks began to."""
        first: list[Any] = []

        def heard() -> bool:
            seen = self.sites.get(site, {}).get("last_seen_ms")
            if not first:  # asked for the first time once it is whole again
                first.append((seen, time.monotonic()))
            return self.asked > first[0][1] and seen != first[0][0]

        return heard

    def answers_again(self) -> Callable[[], bool]:
        """A user's question, put after this moment, was answered."""
        began = time.monotonic()
        return lambda: self.asked > began

    def a_run_begins(self, state: Path | None = None) -> Callable[[], bool]:
        """A run under a higher token than any that has begun, or come to a site, so far has begun.
        ``state``: an agent's folder, if only runs there count."""
        token = max(self.witness.newest_token, *map(newest_order, self._states()))

        def begins() -> bool:
            if self.witness.newest_token <= token:
                return False
            return state is None or any(
                run.token > token
                for run in self.witness.newest(NEWEST)
                if any((state / name / run.run_id).exists() for name in ("runs", "finished"))
            )

        return begins

    def _states(self) -> list[Path]:
        return [self.stand.state(site) for site in self.stand.agents]

    def sites_heard_again(self) -> Callable[[], bool]:
        """Some agent has polled the server since."""
        questions = [self.heard_again(site) for site in self.stand.agents]

        def heard() -> bool:
            answers = [question() for question in questions]  # each is to be put from the first on
            return any(answers)

        return heard

    def job_goes_on(self, job_id: str, run_id: str) -> Callable[[], bool]:
        """Another run of the job has begun, or the job is over."""
        token = self.witness.executions[run_id].token if run_id in self.witness.executions else 0

        def goes_on() -> bool:
            if any(
                run.token > token and run.run_id != run_id
                for run in self.witness.by_job.get(job_id, ())
            ):
                self.jobs_to_ask.discard(job_id)
                return True
            if job_id in self.jobs_over:
                return True
            self.jobs_to_ask.add(job_id)
            return False

        return goes_on
