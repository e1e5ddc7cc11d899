"""The asynchronous client. ``sync.py`` is made from this file."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from uuid import uuid4

from westward.sdk._generated import (
    AsyncApi,
    BatchView,
    DecisionView,
    JobDetail,
    JobState,
    JobView,
    ReportView,
    SitesView,
    SubmittedView,
    VerdictArrayView,
    VerdictView,
    WhyView,
)
from westward.sdk.errors import WaitTimeout
from westward.sdk.transport import RETRY_FOR_S, TIMEOUT_S, AsyncTransport

OVER = ("succeeded", "failed", "cancelled", "refused")
"""States that a job does not leave."""
POLL_MS = 10_000
PAGE = 500


class AsyncClient:
    """One Westward server.

    ``url`` defaults to $WESTWARD_SERVER, ``token`` (the user's) to $WESTWARD_TOKEN. A server that does not answer is asked again for
    ``retry_for_s`` seconds, where a repeat is safe; then Unreachable is raised. A refusal is an
    ApiError with a stable code. ``api`` has one method for each route, with the server's own names.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retry_for_s: float = RETRY_FOR_S,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> None:
        self._transport = AsyncTransport(url, timeout_s, retry_for_s, headers or {}, token)
        self.url = self._transport.url
        self.api = AsyncApi(self._transport.call)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    async def submit(
        self,
        task: str,
        *,
        job_id: str | None = None,
        base_dir: str | None = None,
        file: str = "task.yaml",
        home_site: str | None = None,
        account: str | None = None,
    ) -> SubmittedView:
        """Hands in the text of a SkyPilot task. Without a ``job_id`` one is made here, so that a
        lost answer does not make a second job."""
        return await self.api.submit_job(
            task=task,
            job_id=job_id or f"job_{uuid4().hex[:12]}",
            file=file,
            base_dir=base_dir,
            home_site=home_site,
            account=account,
        )

    async def submit_all(
        self,
        tasks: str,
        *,
        job_id: str | None = None,
        base_dir: str | None = None,
        file: str = "task.yaml",
    ) -> BatchView:
        """Hands in every job of the text, all or none: several documents, arrays."""
        return await self.api.submit_batch(
            task=tasks,
            job_id=job_id or f"job_{uuid4().hex[:12]}",
            file=file,
            base_dir=base_dir,
        )

    async def plan(
        self, task: str, *, base_dir: str | None = None, file: str = "task.yaml"
    ) -> DecisionView:
        """What would be decided for this task now; nothing is changed."""
        return await self.api.dry_run(task=task, file=file, base_dir=base_dir)

    async def get(self, job_id: str) -> JobDetail:
        return await self.api.job(job_id)

    async def list(
        self, *, state: JobState | None = None, newest_first: bool = False
    ) -> AsyncIterator[JobView]:
        """Every job, page by page."""
        after: str | None = None
        while True:
            page = await self.api.jobs(
                state=state, limit=PAGE, after=after, newest_first=newest_first
            )
            for job in page["jobs"]:
                yield job
            after = page["next"]
            if after is None:
                return

    async def wait(self, job_id: str, timeout_s: float | None = None) -> JobDetail:
        """The job when it is over. Raises WaitTimeout."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        job = await self.api.job(job_id)
        while job["state"] not in OVER:
            left_ms = POLL_MS if end is None else round((end - time.monotonic()) * 1000)
            if left_ms <= 0:
                raise WaitTimeout(f"{job_id} is {job['state']} after {timeout_s} s")
            job = await self.api.job(
                job_id, wait_ms=min(POLL_MS, left_ms), unless_state=job["state"]
            )
        return job

    async def cancel(self, job_id: str) -> VerdictView | VerdictArrayView:
        """Asks for the end of a job, or of every job of an array."""
        return await self.api.cancel(job_id)

    async def suspend(self, job_id: str) -> VerdictView | VerdictArrayView:
        """Stops a job that saves checkpoints, with time to save; ``resume`` lets it go on."""
        return await self.api.suspend(job_id)

    async def resume(self, job_id: str) -> VerdictView | VerdictArrayView:
        return await self.api.resume(job_id)

    async def explain(self, job_id: str) -> WhyView:
        """The newest decision with every alternative, and the job's story."""
        return await self.api.why(job_id)

    async def sites(self) -> SitesView:
        return await self.api.sites()

    async def report(self) -> ReportView:
        return await self.api.report()

    async def logs(
        self, job_id: str, *, rank: int = 0, run_id: str | None = None, follow: bool = True
    ) -> AsyncIterator[bytes]:
        """What one rank printed, piece by piece, from the newest run on (or ``run_id`` alone).

        With ``follow`` until the job is over, also over the runs that may come; else what there is.
        """
        offset = 0
        run = run_id
        while True:
            piece = await self.api.logs(
                job_id,
                offset=offset,
                rank=rank,
                run_id=run,
                wait_ms=POLL_MS if follow else 0,
            )
            run = piece["run_id"]
            if piece["size"]:
                offset = piece["next_offset"]
                yield base64.b64decode(piece["data_b64"])
                continue
            newest = piece["newest_run_id"]
            if run_id is None and piece["complete"] and newest != run:
                run, offset = newest, 0
            elif not follow or (piece["complete"] and (run_id or piece["state"] in OVER)):
                return
            elif piece["complete"]:  # this run is over, the job goes on: another may come
                await asyncio.sleep(0.5)
