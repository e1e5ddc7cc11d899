"""Whether any site could ever take a job: asked of every job that is handed in, by a plan of its own
on a network with nothing running.

Jobs alike in all that decides it are asked for once. That a job is possible is kept for a minute, as
long as the network stays what it is; nothing hangs on it, for the planner judges every job again,
and refuses what has become impossible. That a job is impossible is never kept: what its owner reads
is worked out anew.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Lock

from westward.model.job import JobSpec, Work
from westward.model.network import Network
from westward.model.plan import Policy, Refusal
from westward.model.reasons import Code
from westward.model.units import MS_PER_MINUTE
from westward.placement import plan
from westward.server.snapshot import idle
from westward.server.wording import refusal_text

MAY_PASS = (Code.OVER_HOURLY_COST, Code.POOL_NOT_OPEN)
"""Reasons of an idle network that another hour or the site's operator may lift."""
KEPT_MS = MS_PER_MINUTE
KEPT_MOST = 1_000
"""Kinds of jobs."""


def judge(
    network: Network, series_origin_ms: int, policy: Policy, job: JobSpec, now_ms: int
) -> str | None:
    """Why no site could take the job even if all were idle; None if one could, now or later."""
    empty = idle(network, series_origin_ms)
    if not any(map(_for_good, plan(empty, (job,), policy, now_ms, explain=False).refusals)):
        return None
    (refusal,) = plan(empty, (job,), policy, now_ms).refusals  # with what would help
    return refusal_text(refusal)


def _for_good(refusal: Refusal) -> bool:
    return all(
        any(reason.code not in MAY_PASS for reason in other.reasons)
        for other in refusal.alternatives
    )


def alike(job: JobSpec) -> JobSpec:
    """The same for all jobs that could run at the same places: what a job runs, how it is called
    and what it follows do not decide that. The files it brings do."""
    files = Work(workdir=job.work.workdir, file_mounts=job.work.file_mounts)
    return replace(job, job_id="job_alike", name="", work=files, after=(), array=None)


class Possible:
    """What was found possible on one network. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._network: Network | None = None
        self._until_ms: dict[JobSpec, int] = {}

    def known(self, network: Network, job: JobSpec, now_ms: int) -> bool:
        with self._lock:
            if self._network is not network:
                return False
            return now_ms < self._until_ms.get(_timeless(job), 0)

    def keep(self, network: Network, job: JobSpec, now_ms: int) -> None:
        """Nothing of a job with times or data of its own: those decide, too."""
        if job.deadline_ms is not None or job.start_after_ms is not None or job.datasets:
            return
        with self._lock:
            if self._network is not network or len(self._until_ms) >= KEPT_MOST:
                self._until_ms.clear()
            self._network = network
            self._until_ms[_timeless(job)] = now_ms + KEPT_MS


def _timeless(job: JobSpec) -> JobSpec:
    return replace(job, submit_ms=0)
