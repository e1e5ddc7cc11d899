"""Jobs as GA4GH TES tasks: states, task logs, and the three views."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from westward.control.records import JobRecord, JobState, RunRecord
from westward.formats.tes import DOCUMENT_LABEL, NOTES_LABEL, WORD_LABEL
from westward.formats.tes_log import ExecutorEnd, TaskRecords, read_records
from westward.formats.tes_model import State, View
from westward.formats.tes_script import SYSTEM_EXIT_CODE
from westward.store.database import Store
from westward.store.logs import log_ranks, read_log

SHORT_TAIL_BYTES = 64 * 1024
"""Read of a run's log at first: the summary and, mostly, everything else."""
LONG_TAIL_BYTES = 2 * 2**20
"""Read when something told is missing from the short tail; what lies further back is left out."""

Json = dict[str, Any]
_STATES: dict[str, State] = {
    "pending": "QUEUED",
    "bound": "QUEUED",
    "leased": "INITIALIZING",
    "running": "RUNNING",
    "suspending": "RUNNING",
    "cancelling": "CANCELING",
    "succeeded": "COMPLETE",
    "cancelled": "CANCELED",
    "refused": "SYSTEM_ERROR",
}
"""Of every state but ``failed`` and ``held``, by its word; one that is not here is UNKNOWN."""


@dataclass(frozen=True, slots=True)
class TesLabels:
    """What a job keeps of the document it came as."""

    document: Json
    notes: tuple[str, ...]
    word: str


def tes_labels(record: JobRecord) -> TesLabels | None:
    """None: the job did not come as a TES task."""
    labels = dict(record.job.labels)
    if DOCUMENT_LABEL not in labels:
        return None
    return TesLabels(
        document=json.loads(labels[DOCUMENT_LABEL]),
        notes=tuple(json.loads(labels.get(NOTES_LABEL, "[]"))),
        word=labels.get(WORD_LABEL, ""),
    )


def tes_state(record: JobRecord) -> State:
    """A failed job is EXECUTOR_ERROR if an executor's own exit code says so; a run that ended
    without one, was lost too often, or could not place its files is SYSTEM_ERROR."""
    if record.state is JobState.HELD:
        return "PAUSED" if record.hold("suspended") is not None else "QUEUED"
    if record.state is not JobState.FAILED:
        return _STATES.get(record.state.value, "UNKNOWN")
    run = record.runs[-1] if record.runs else None
    own = run is not None and run.outcome == "failed" and run.exit_code is not None
    if own and run is not None and run.exit_code != SYSTEM_EXIT_CODE:
        return "EXECUTOR_ERROR"
    return "SYSTEM_ERROR"


def states_for(wanted: State) -> tuple[JobState, ...]:
    """The job states that may show as ``wanted``; a filter before the exact one."""
    found = [state for state in JobState if _STATES.get(state.value) == wanted]
    if wanted in ("QUEUED", "PAUSED"):
        found.append(JobState.HELD)
    if wanted in ("EXECUTOR_ERROR", "SYSTEM_ERROR"):
        found.append(JobState.FAILED)
    if wanted == "UNKNOWN":
        known = (JobState.FAILED, JobState.HELD)
        found += [s for s in JobState if s.value not in _STATES and s not in known]
    return tuple(found)


def task_view(store: Store, record: JobRecord, labels: TesLabels, view: View) -> Json:
    """The task in one of the specification's views. Reads the run's log unless MINIMAL."""
    head: Json = {"id": record.job_id, "state": tes_state(record)}
    if view == "MINIMAL":
        return head
    task = {**labels.document, **head, "creation_time": _instant(record.job.submit_ms)}
    if view == "BASIC":
        task["inputs"] = [_without(one, "content") for one in task.get("inputs", [])]
    if not task.get("inputs"):
        task.pop("inputs", None)
    task["logs"] = [_task_log(store, labels, run, view) for run in record.runs]
    if view == "FULL":
        told = [*labels.notes, *([record.ending] if record.ending else [])]
        if not task["logs"] and told:
            task["logs"] = [{"logs": [], "outputs": []}]
        if task["logs"]:
            task["logs"][-1].setdefault("system_logs", []).extend(told)
    return task


def _task_log(store: Store, labels: TesLabels, run: RunRecord, view: View) -> Json:
    records = _records(store, run, labels.word)
    shown: Json = {
        "logs": [_executor_log(end, view) for _, end in sorted(records.ends.items())],
        "outputs": [
            {"url": one.url, "path": one.path, "size_bytes": str(one.size_bytes)}
            for one in records.outputs
        ],
        "metadata": {
            "run_id": run.run_id,
            "site": run.site,
            "pool": run.pool,
            "attempt": str(run.attempt),
            "state": run.state.value,
        },
    }
    if run.started_ms is not None:
        shown["start_time"] = _instant(run.started_ms)
    if run.ended_ms is not None:
        shown["end_time"] = _instant(run.ended_ms)
    if view == "FULL":
        shown["system_logs"] = [*records.problems, *([run.detail] if run.detail else [])]
    return shown


def _executor_log(end: ExecutorEnd, view: View) -> Json:
    shown: Json = {
        "start_time": _instant(end.start_ms),
        "end_time": _instant(end.end_ms),
        "exit_code": end.exit_code,
    }
    if view == "FULL" and end.stdout is not None and end.stderr is not None:
        shown.update(stdout=end.stdout, stderr=end.stderr)
    return shown


def _records(store: Store, run: RunRecord, word: str) -> TaskRecords:
    """From the end of the first rank's log; further back only if something is missing."""
    size = dict(log_ranks(store, run.run_id)).get(0, 0)
    records = TaskRecords()
    for tail in (SHORT_TAIL_BYTES, LONG_TAIL_BYTES):
        begin = max(0, size - tail)
        records = read_records(read_log(store, run.run_id, 0, begin, tail), word)
        if records.whole or begin == 0:
            break
    return records


def _without(part: Json, key: str) -> Json:
    return {name: value for name, value in part.items() if name != key}


def _instant(at_ms: int) -> str:
    """RFC 3339, with milliseconds."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
