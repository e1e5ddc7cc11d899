"""OpenTelemetry traces: one a job, made from what the store says once the job is over and settled.

Nothing is held open while a job lives, so a trace is right across restarts of every process. Ids
come from the job's id: a trace sent twice is the same trace. Off unless
``OTEL_EXPORTER_OTLP_ENDPOINT`` (or its ``_TRACES_`` form) is set; needs the extra ``telemetry``.

    job ── plan (submitted → bound) ── queue (→ leased) ── lease (→ started) ── run (→ ended)
        └─ settle (→ billed), and the same again for each further attempt
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from westward.control.records import JobRecord, JobState
from westward.control.story import StoryLine
from westward.model.faults import Fault, InputFaults
from westward.store.counts import finished_after, life_of
from westward.store.meta import get_meta, set_meta

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from westward.store.database import Store

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
CURSOR = "traces_through_ms"
UNSETTLED_MOST_MS = 3_600_000
"""A job whose run has no bill for so long is told without its settle span."""
CATCH_UP_MOST = 10_000
"""Jobs looked at after a restart."""
NS_PER_MS = 1_000_000
log = logging.getLogger("westward.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One span of a job's life, in the terms of the store. Times are ms UTC."""

    name: str
    start_ms: int
    end_ms: int
    attributes: tuple[tuple[str, str | int], ...] = ()
    failed: str = ""
    """Why, if it failed."""


def steps_of(
    record: JobRecord, settled: dict[str, int | None], story: Iterable[StoryLine]
) -> tuple[Step, ...]:
    """The job itself first, then its parts in order; gaps between attempts belong to no part."""
    job = record.job
    bound_ms = sorted(line.at_ms for line in story if line.kind == "bound")
    parts: list[Step] = []
    begin_ms = job.submit_ms
    for run in record.runs:
        own = (
            ("westward.run_id", run.run_id),
            ("westward.attempt", run.attempt),
            ("westward.site", run.site),
            ("westward.pool", run.pool),
        )
        placed_ms = max([at for at in bound_ms if begin_ms <= at <= run.granted_ms] or [begin_ms])
        parts.append(Step(name="plan", start_ms=begin_ms, end_ms=placed_ms, attributes=own))
        parts.append(Step(name="queue", start_ms=placed_ms, end_ms=run.granted_ms, attributes=own))
        ended_ms = run.ended_ms if run.ended_ms is not None else run.granted_ms
        started_ms = run.started_ms if run.started_ms is not None else ended_ms
        parts.append(Step(name="lease", start_ms=run.granted_ms, end_ms=started_ms, attributes=own))
        if run.started_ms is not None:
            outcome = run.outcome or "unknown"
            told: list[tuple[str, str | int]] = [("westward.outcome", outcome)]
            if run.exit_code is not None:
                told.append(("process.exit.code", run.exit_code))
            parts.append(
                Step(
                    name="run",
                    start_ms=started_ms,
                    end_ms=ended_ms,
                    attributes=(*own, *told),
                    failed="" if outcome in ("succeeded", "cancelled", "preempted") else outcome,
                )
            )
        billed_ms = settled.get(run.run_id)
        if billed_ms is not None:
            parts.append(
                Step(
                    name="settle",
                    start_ms=ended_ms,
                    end_ms=max(ended_ms, billed_ms),
                    attributes=own,
                )
            )
        begin_ms = ended_ms
    over_ms = record.finished_ms if record.finished_ms is not None else begin_ms
    if not record.runs:
        parts.append(Step(name="plan", start_ms=job.submit_ms, end_ms=over_ms))
    whole = Step(
        name="job",
        start_ms=job.submit_ms,
        end_ms=max([over_ms, *(part.end_ms for part in parts)]),
        attributes=(
            ("westward.job_id", record.job_id),
            ("westward.job_name", job.name),
            ("westward.state", record.state.value),
            ("westward.nodes", job.nodes),
            ("westward.attempts", len(record.runs)),
        ),
        failed=record.ending if record.state in (JobState.FAILED, JobState.REFUSED) else "",
    )
    return (whole, *parts)


class Traces:
    """Which jobs are still to be told, and the telling. ``export`` may block: a thread's work."""

    def __init__(self, network: str, now_ms: int):
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
        except ImportError:
            problem = f"{_endpoint()} is set, and the OpenTelemetry packages are not installed"
            remedy = "pip install 'westward[telemetry]', or unset it."
            raise InputFaults([Fault("environment", None, "", problem, remedy)]) from None
        self.resource = Resource.create({"service.name": "westward", "westward.network": network})
        self.exporter = OTLPSpanExporter()
        self.waiting: set[str] = set()
        self._lock = threading.Lock()
        self.saved_ms = now_ms

    def note(self, job_ids: Iterable[str]) -> None:
        """Something happened to these jobs: look whether they are over."""
        with self._lock:
            self.waiting.update(job_ids)

    def catch_up(self, store: Store) -> bool:
        """After a start: what came to its end since the last trace that is known to be sent.
        False: no trace was ever made on this store; they begin now."""
        cursor = get_meta(store, CURSOR)
        if cursor is not None:
            self.note(finished_after(store, int(cursor), CATCH_UP_MOST))
        return cursor is not None

    def tell(self, store: Store, now_ms: int) -> int | None:
        """Sends what is over; returns the time up to which everything is told, None if the
        receiver did not take it (then it is tried again)."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans: list[ReadableSpan] = []
        with self._lock:  # what is noted from now on stays for the next time
            job_ids, self.waiting = sorted(self.waiting), set()
        again: list[str] = []
        oldest_ms = now_ms
        for job_id in job_ids:
            life = life_of(store, job_id)
            if life is None or not life[0].terminal:
                continue  # noted again when it changes
            record, settled, story = life
            over_ms = record.finished_ms or now_ms
            unsettled = any(settled.get(run.run_id) is None for run in record.runs)
            if unsettled and now_ms - over_ms < UNSETTLED_MOST_MS:
                oldest_ms = min(oldest_ms, over_ms - 1)
                again.append(job_id)
                continue
            spans += self.spans(record, settled, story)
        if spans and self.exporter.export(spans) is not SpanExportResult.SUCCESS:
            self.note(job_ids)
            return None
        self.note(again)
        return oldest_ms

    def save(self, store: Store, through_ms: int) -> None:
        set_meta(store, CURSOR, str(through_ms))
        self.saved_ms = through_ms

    def spans(
        self, record: JobRecord, settled: dict[str, int | None], story: tuple[StoryLine, ...]
    ) -> list[ReadableSpan]:
        """The job's trace; the story's lines are events of its root."""
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        trace_id = _id(record.job_id, "trace", 16)
        flags = TraceFlags(TraceFlags.SAMPLED)
        contexts: list[SpanContext] = []
        made: list[ReadableSpan] = []
        for number, step in enumerate(steps_of(record, settled, story)):
            context = SpanContext(
                trace_id, _id(record.job_id, f"{number}", 8), is_remote=False, trace_flags=flags
            )
            events = [
                Event(line.kind, {"text": line.text}, timestamp=line.at_ms * NS_PER_MS)
                for line in (story if number == 0 else ())
            ]
            contexts.append(context)
            made.append(
                ReadableSpan(
                    name=step.name,
                    context=context,
                    parent=contexts[0] if number else None,
                    resource=self.resource,
                    attributes=dict(step.attributes),
                    events=events,
                    kind=SpanKind.INTERNAL,
                    status=Status(StatusCode.ERROR, step.failed)
                    if step.failed
                    else Status(StatusCode.OK if number == 0 else StatusCode.UNSET),
                    start_time=step.start_ms * NS_PER_MS,
                    end_time=max(step.start_ms, step.end_ms) * NS_PER_MS,
                )
            )
        return made


def open_traces(
    network: str, now_ms: int, environment: Callable[[str], str | None] = os.environ.get
) -> Traces | None:
    """None: nobody asked for traces. Raises InputFaults if they cannot be made."""
    return Traces(network, now_ms) if any(environment(name) for name in ENDPOINTS) else None


def _endpoint() -> str:
    return next((name for name in ENDPOINTS if os.environ.get(name)), ENDPOINTS[0])


def _id(job_id: str, part: str, size: int) -> int:
    """Not zero, the same for the same job and part."""
    digest = hashlib.sha256(f"{job_id}\0{part}".encode()).digest()
    return int.from_bytes(digest[:size]) or 1
