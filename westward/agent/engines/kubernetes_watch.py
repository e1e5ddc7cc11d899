"""Follows all runs of a Kubernetes cluster in one thread: two lists a look, whatever the number.

What a run is to end as is decided once, kept in a file, and then carried out until nothing of the
run is left alive; only then has it ended. While it runs, its Jobs' deadline is pushed ahead of the
lease, so that the cluster itself ends them when nobody does that any more.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from westward.agent.engines.base import RunResult, RunStatus, read_result
from westward.agent.engines.kubernetes_link import (
    KubernetesLink,
    Missing,
    Refused,
    Unreachable,
    run_of,
)
from westward.agent.engines.kubernetes_log import PodLog
from westward.agent.engines.kubernetes_pod import (
    BEAT_SHARE,
    DEADLINE_HELD_SINCE,
    Rank,
    base_name,
    rank_of,
    with_beat,
)
from westward.agent.engines.processes import boot_id, boot_ms
from westward.agent.engines.watched import Told, WatchedRuns

log = logging.getLogger("westward.agent")

LOOK_S = 0.5
NODES_EVERY_S = 5
LAST_LOG_S = 10
"""The rest of a run's output is waited for this long after its pods have ended."""
PATCH_SHARE = 10
"""A deadline is pushed ahead in steps of at least this part of a lease."""


@dataclass(kw_only=True)
class Seen:
    """One run in one look at the cluster."""

    run_id: str
    order: dict[str, Any]
    jobs: list[dict[str, Any]]
    ranks: list[Rank]

    @property
    def alive(self) -> list[Rank]:
        return [rank for rank in self.ranks if rank.state in ("waiting", "running")]


@dataclass
class KubernetesWatch:
    """``cycle`` is one look; ``loop`` repeats it until ``close``."""

    runs: WatchedRuns
    link: KubernetesLink
    reading_ms: int
    logs: dict[str, PodLog] = field(default_factory=dict)
    """By pod."""
    news: threading.Event = field(default_factory=threading.Event)
    closing: bool = False
    tidy: bool = True
    _finishing: dict[str, int] = field(default_factory=dict)
    """By run that is over: until when its last output is waited for."""
    _version: tuple[int, int] | None = None
    _nodes_at: int = 0
    _gone_nodes: frozenset[str] = frozenset()

    def close(self) -> None:
        self.closing = True
        self.news.set()

    def stop_logs(self) -> None:
        """Once the loop has ended: what it follows is not appended to any more."""
        for each in list(self.logs.values()):
            each.stop()

    def loop(self) -> None:
        while not self.closing:
            try:
                self.cycle()
            except Exception as error:  # without this thread no run of the cluster is followed
                log.critical("following the cluster's runs", exc_info=error)
                for run_id in list(self.runs.told):
                    self._tell(run_id, RunStatus.UNKNOWN, f"cannot be followed: {error!r}")
            self.news.wait(LOOK_S)
            self.news.clear()

    def cycle(self) -> None:
        held = [run_id for run_id in self.runs.held() if not self.runs.has_ended(run_id)]
        if not held and not self.tidy:
            return
        try:
            jobs, pods = self.link.jobs(), self.link.pods()
            self._look_at_nodes()
        except (Unreachable, Refused, Missing) as error:
            for run_id in held:
                self._tell(run_id, RunStatus.UNKNOWN, f"the cluster does not answer: {error}")
            return
        for run_id in held:
            order = self.runs.order(run_id)
            if order is None:
                continue
            try:
                seen = Seen(
                    run_id=run_id,
                    order=order,
                    jobs=[job for job in jobs if run_of(job) == run_id],
                    ranks=[rank_of(pod) for pod in pods if run_of(pod) == run_id],
                )
                self._step(seen)
            except (Unreachable, Missing) as error:
                self._tell(run_id, RunStatus.UNKNOWN, f"the cluster does not answer: {error}")
            except Refused as error:
                self._tell(run_id, RunStatus.UNKNOWN, f"the cluster refused: {error}")
            except Exception as error:  # a broken invariant of one run must not stop the others
                log.critical("run %s cannot be followed", run_id, exc_info=error)
                self._tell(run_id, RunStatus.UNKNOWN, f"cannot be followed: {error!r}")
        if self.tidy:
            self._tidy(jobs)

    def _tell(self, run_id: str, status: RunStatus, words: str) -> None:
        told = Told(status=status, engine_state=words)
        if self.runs.told.get(run_id) != told:
            self.runs.told[run_id] = told
            self.runs.wake()

    def _look_at_nodes(self) -> None:
        now = boot_ms()
        if now < self._nodes_at:
            return
        self._nodes_at = now + NODES_EVERY_S * 1000
        try:
            nodes = self.link.nodes()
        except Refused:  # the agent's account may not see nodes: pods alone tell
            return
        self._gone_nodes = frozenset(
            node["metadata"]["name"] for node in nodes if not is_ready(node)
        )

    def _tidy(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """What the server has acknowledged needs no record in the cluster any more."""
        left = False
        for job in jobs:
            run_id = run_of(job)
            if run_id is None or not (self.runs.root / "finished" / run_id).exists():
                continue
            try:
                self.link.delete_job(job["metadata"]["name"], pods_too=True)
                self.link.delete_service(base_name(run_id))
            except (Unreachable, Refused):
                left = True
        self.tidy = left

    # -- one run

    def _step(self, seen: Seen) -> None:
        if self.runs.marked(seen.run_id, "submitted") is None and not self._submit(seen):
            return
        self._note_taken(seen)
        self._follow_logs(seen)
        if any(rank.state in ("running", "ended") for rank in seen.ranks):
            self.runs.note_started(seen.run_id)
        ago_ms = self.runs.started_ago_ms(seen.run_id)
        if seen.alive and ago_ms is not None:
            self.runs.meter(seen.run_id, ago_ms, self.reading_ms)
        decided = self._decided(seen)
        if decided is None:
            self._tell_status(seen)
            self._renew(seen)
        elif self._carry_out(seen, decided):
            self._finish(seen, decided)

    def _submit(self, seen: Seen) -> bool:
        """Until the cluster has all Jobs; false when it ended without."""
        run_id = seen.run_id
        outcome = self.runs.stopping(run_id)
        over = self.runs.lease(run_id).term_at <= boot_ms()
        if outcome is not None or over or self.runs.marked(run_id, "decided") is not None:
            detail = "the cluster did not take the run in time"
            decided = self._decide(
                seen, RunResult(outcome=outcome or "lease-expired", exit_code=None, detail=detail)
            )
            if self._carry_out(seen, decided):
                self.runs.note_ended(run_id, decided)
            return False
        try:
            if seen.order["service"] is not None:
                self.link.create_service(seen.order["service"])
            beat_s = self._beat_s(seen)
            for job in seen.order["jobs"]:
                self.link.create_job(with_beat(job, beat_s) if beat_s else job)
        except Refused as error:
            detail = f"Kubernetes refused the run: {error}"
            self._decide(seen, RunResult(outcome="lease-expired", exit_code=None, detail=detail))
            return False
        self.runs.mark(run_id, "submitted", {"at": boot_ms()})
        self._tell(run_id, RunStatus.STARTING, "submitted")
        self.news.set()
        return False

    def _beat_s(self, seen: Seen) -> int:
        """How often the pods must remind an older cluster of their deadline; 0 = not at all."""
        if self._version is None:
            self._version = self.link.version()
        if self._version >= DEADLINE_HELD_SINCE:
            return 0
        return max(1, int(seen.order["ttl_ms"]) // 1000 // BEAT_SHARE)

    def _note_taken(self, seen: Seen) -> None:
        """When all Jobs were first seen to have been taken up: their deadlines count from before."""
        if self.runs.marked(seen.run_id, "taken") is not None:
            return
        taken = [job for job in seen.jobs if (job.get("status") or {}).get("startTime")]
        if len(taken) == len(seen.order["jobs"]):
            self.runs.mark(seen.run_id, "taken", {"at": boot_ms(), "boot": boot_id()})

    def _renew(self, seen: Seen) -> None:
        taken = self.runs.marked(seen.run_id, "taken")
        if taken is None:
            return
        ttl_ms = int(seen.order["ttl_ms"])
        elapsed_ms = boot_ms() - int(taken["at"]) if taken["boot"] == boot_id() else 0
        wanted = deadline_s(
            elapsed_ms, self.runs.lease(seen.run_id).kill_at - boot_ms(), ttl_ms,
            int(seen.order["lease_grace_s"]) + self._beat_s(seen),
        )  # fmt: skip
        step = max(1, ttl_ms // 1000 // PATCH_SHARE)
        for job in seen.jobs:
            if wanted >= int(job["spec"].get("activeDeadlineSeconds") or 0) + step:
                self.link.set_deadline(job["metadata"]["name"], wanted)

    def _follow_logs(self, seen: Seen) -> None:
        for rank in seen.ranks:
            if rank.state in ("running", "ended") and rank.pod not in self.logs:
                self.logs[rank.pod] = PodLog(self.runs, self.link, seen.run_id, rank.rank, rank.pod)

    def _tell_status(self, seen: Seen) -> None:
        lost = sorted(
            {rank.node for rank in seen.alive if rank.node in self._gone_nodes if rank.node}
        )
        if lost:
            self._tell(seen.run_id, RunStatus.UNKNOWN, f"node {', '.join(lost)} does not answer")
        elif not seen.jobs and not seen.ranks:
            words = "its Jobs and pods are gone from the cluster"
            self._tell(seen.run_id, RunStatus.VANISHED, words)
        else:
            words = "; ".join(sorted({rank.words for rank in seen.alive})) or "no pod yet"
            started = self.runs.started_ago_ms(seen.run_id) is not None
            status = RunStatus.RUNNING if started else RunStatus.STARTING
            self._tell(seen.run_id, status, words)

    # -- its end

    def _decided(self, seen: Seen) -> RunResult | None:
        kept = self.runs.marked(seen.run_id, "decided")
        if kept is not None:
            return read_result(kept)
        result = self._judge(seen)
        return None if result is None else self._decide(seen, result)

    def _decide(self, seen: Seen, result: RunResult) -> RunResult:
        self.runs.mark(
            seen.run_id,
            "decided",
            {"outcome": result.outcome, "exit_code": result.exit_code, "detail": result.detail},
        )
        return result

    def _judge(self, seen: Seen) -> RunResult | None:
        """Why the run is to end now, if it is. What it did itself comes before what we want."""
        ended = [rank for rank in seen.ranks if rank.state == "ended"]
        stopping = self.runs.stopping(seen.run_id)
        if stopping is None:
            for rank in ended:
                if rank.exit_code:
                    return _failed(rank, bool(seen.alive))
        if len({rank.rank for rank in ended if rank.exit_code == 0}) == len(seen.order["jobs"]):
            return RunResult(outcome="succeeded", exit_code=0, detail="")
        if stopping is not None:
            return RunResult(outcome=stopping, exit_code=None, detail="stopped on request")
        expired = self._expired(seen)
        if expired:
            return RunResult(outcome="lease-expired", exit_code=None, detail=expired)
        limit_ms = seen.order["time_limit_ms"]
        ago_ms = self.runs.started_ago_ms(seen.run_id)
        if limit_ms is not None and ago_ms is not None and ago_ms >= limit_ms:
            detail = f"ran longer than {limit_ms} ms"
            return RunResult(outcome="time-limit", exit_code=None, detail=detail)
        return None

    def _expired(self, seen: Seen) -> str:
        """Why the run can or may not go on, though the job itself did not end."""
        if self.runs.lease(seen.run_id).term_at <= boot_ms():
            return "the lease was not renewed in time"
        for job in seen.jobs:
            for condition in (job.get("status") or {}).get("conditions") or ():
                if condition["type"] == "Failed" and condition.get("reason") == "DeadlineExceeded":
                    return "the lease was not renewed in time: the cluster ended it"
        for rank in seen.ranks:
            if rank.state == "lost":
                return f"rank {rank.rank} was ended by the cluster: {rank.words}"
        if self._is_replaced(seen):
            return "the cluster removed a pod of the run and began another"
        return ""

    def _is_replaced(self, seen: Seen) -> bool:
        """Whether a rank has a second pod. The first one of each is kept in a file."""
        first = self.runs.marked(seen.run_id, "pods") or {}
        known = dict(first)
        for rank in seen.ranks:
            known.setdefault(str(rank.rank), rank.uid)
        if known != first:
            self.runs.mark(seen.run_id, "pods", known)
        return any(known[str(rank.rank)] != rank.uid for rank in seen.ranks)

    def _carry_out(self, seen: Seen, decided: RunResult) -> bool:
        """Leave nothing of the run alive; true once that is so.

        A pod's own time for its end is short, for the lease's sake (``lease_grace_s``); the job's
        own is given by deleting the pod with it. Before its Job is let go of, the pod is given a
        deadline that its node holds, so that it ends even should we die in between.
        """
        if decided.outcome == "succeeded" or (not seen.alive and not _may_begin(seen.jobs)):
            return True
        grace_s = self._grace_s(seen)
        for rank in seen.alive:
            if not rank.going:
                self._limit(seen, rank, grace_s)
        for job in seen.jobs:
            if job["metadata"].get("deletionTimestamp") is None:
                self.link.delete_job(job["metadata"]["name"], pods_too=not seen.alive)
        for rank in seen.alive:
            if not rank.going:
                self.link.delete_pod(rank.pod, grace_s)
        lost = [rank.node for rank in seen.alive if rank.node in self._gone_nodes and rank.node]
        if lost:
            words = f"being stopped; node {', '.join(lost)} does not answer"
            self._tell(seen.run_id, RunStatus.UNKNOWN, words)
        return False

    def _limit(self, seen: Seen, rank: Rank, grace_s: int) -> None:
        if rank.state != "running":
            return
        ran_s = (self.runs.started_ago_ms(seen.run_id) or 0) // 1000
        try:
            self.link.limit_pod(rank.pod, ran_s + grace_s + int(seen.order["ttl_ms"]) // 1000)
        except (Refused, Missing):  # it has one already, or has just ended
            return

    def _grace_s(self, seen: Seen) -> int:
        grace_ms = int(seen.order["grace_ms"])
        left_ms = self.runs.lease(seen.run_id).kill_at - boot_ms()
        return max(1, math.ceil(min(grace_ms, max(left_ms, 0)) / 1000))

    def _finish(self, seen: Seen, decided: RunResult) -> None:
        """The last output and reading, then the end. The output is waited for over several looks:
        other runs' deadlines do not wait with it."""
        mine = [each for each in self.logs.values() if each.run_id == seen.run_id]
        wait_until = self._finishing.setdefault(seen.run_id, boot_ms() + LAST_LOG_S * 1000)
        if any(not each.over.is_set() for each in mine) and boot_ms() < wait_until:
            return
        told = [rank.ran_ms for rank in seen.ranks if rank.ran_ms is not None]
        ago_ms = self.runs.started_ago_ms(seen.run_id)
        if ago_ms is not None:
            self.runs.meter(seen.run_id, max(told) if told else ago_ms, 1)
        self.runs.note_ended(seen.run_id, decided)
        self._finishing.pop(seen.run_id, None)
        for each in mine:
            self.logs.pop(each.pod, None)


def _failed(rank: Rank, others: bool) -> RunResult:
    if rank.phase == "setup":
        detail = f"setup ended with {rank.exit_code}"
    else:
        words = f" ({rank.words})" if rank.words not in ("", "Error", "Completed") else ""
        detail = f"rank {rank.rank} ended with {rank.exit_code}{words}"
        detail += ", the other ranks were stopped" if others else ""
    return RunResult(outcome="failed", exit_code=rank.exit_code, detail=detail)


def _may_begin(jobs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the cluster may still make a pod for one of them."""
    for job in jobs:
        conditions = (job.get("status") or {}).get("conditions") or ()
        over = any(
            condition["type"] in ("Complete", "Failed") and condition["status"] == "True"
            for condition in conditions
        )
        if not over and job["metadata"].get("deletionTimestamp") is None:
            return True
    return False


def is_ready(node: Mapping[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions
    )


def deadline_s(elapsed_ms: int, left_ms: int, ttl_ms: int, grace_s: int) -> int:
    """activeDeadlineSeconds of a Job that was taken up at least ``elapsed_ms`` ago, so that its pods
    are killed before the lease ends: whole seconds, less the pods' own time and one for the
    cluster's. Never more than one lease ahead, never less than a second."""
    return max(1, (elapsed_ms + min(left_ms, ttl_ms)) // 1000 - grace_s - 1)
