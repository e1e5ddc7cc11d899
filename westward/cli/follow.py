"""Following one job to its end: a line for each change."""

from __future__ import annotations

from typing import Any

from westward.cli.client import LONG_POLL_MS, Client, job_path
from westward.model.units import format_duration, format_instant

TERMINAL = ("succeeded", "failed", "cancelled", "refused")


def line_of(answer: dict[str, Any]) -> str:
    """A job, or an array with how many of its jobs are in which state."""
    if "array_id" not in answer:
        return job_line(answer)
    head = f"{answer['array_id']} {answer['name']}"
    return f"{head}: {answer['count']} jobs, {states_text(answer['states'])}"


def states_text(states: dict[str, int]) -> str:
    """Most first."""
    ordered = sorted(states.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count} {state}" for state, count in ordered)


def held_text(job: dict[str, Any]) -> str:
    """What a held job waits for."""
    parts = []
    for hold in job["holds"]:
        text = hold["text"]
        if hold["until_ms"] is not None:
            text += f" until {format_instant(hold['until_ms'])}"
        parts.append(text)
    return "; ".join(parts)


def job_line(job: dict[str, Any]) -> str:
    """One job in one line: id, name, state, place, and the time that matters now."""
    text = f"{job['job_id']} {job['name']}: {job['state']}"
    site = job["site"]
    if job["state"] == "bound":
        text += f" to {site}, to start at {format_instant(job['expected_start_ms'])}"
    elif job["state"] in ("leased", "running", "suspending", "cancelling") and site:
        text += f" at {site}"
    elif job["state"] == "held":
        text += f" ({held_text(job)})"
    if job["aim"] is not None:
        text += f", to go on at {job['aim']['pool'] or job['aim']['site']}"
    if job["state"] in TERMINAL:
        if site and job["started_ms"] is not None:
            text += f" at {site}"
        began, ended = job["started_ms"], job["finished_ms"]
        if began is not None and ended is not None:
            text += f" after {format_duration(ended - began)}"
        if job["exit_code"]:
            text += f", exit code {job['exit_code']}"
        if job["ending"] and job["state"] != "succeeded":
            text += f" ({job['ending']})"
    return text


def follow(client: Client, job_id: str, *, quiet: bool) -> dict[str, Any]:
    """Wait until the job is over; print each change unless ``quiet``. Returns the job."""
    path = job_path(job_id)
    job = client.get_patiently(path)
    said = ""
    while True:
        line = job_line(job)
        if not quiet and line != said:
            print(line, flush=True)
            said = line
        if job["state"] in TERMINAL:
            return job
        job = client.get_patiently(path, wait_ms=LONG_POLL_MS, unless_state=job["state"])
