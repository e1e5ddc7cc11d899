"""What a run came to, from Slurm's word for its job and the supervisor's own note. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BY_THE_SITE = {
    "PREEMPTED": "preempted at the site by other work",
    "NODE_FAIL": "a node failed",
    "BOOT_FAIL": "a node could not be started",
    "REVOKED": "taken over by another cluster",
    "CANCELLED": "cancelled at the site",
    "DEADLINE": "it could not end before its deadline",
}
"""Ends that are not the job's doing: it may be tried again."""


def verdict(
    state: str, reason: str, ended: Mapping[str, Any] | None, stop: str | None
) -> tuple[str, int | None, str]:
    """(outcome, exit code, detail) of a job that Slurm calls ``state`` (squeue's long form).

    ``ended``: the supervisor's exit.json; None when it left none. ``stop``: the outcome asked for
    by a stop. Success is said by the supervisor alone, and never against Slurm's word.
    """
    told = f"Slurm: {state}" + (f", {reason}" if reason not in ("", "None") else "")
    code = None if ended is None else ended["exit_code"]
    if state in BY_THE_SITE:
        if stop is not None:
            return stop, code, "stopped on request"
        return "lease-expired", None, f"{BY_THE_SITE[state]} ({told})"
    if state == "TIMEOUT":
        return stop or "time-limit", code, f"ran longer than the site allows ({told})"
    if state == "OUT_OF_MEMORY":
        return stop or "failed", code, f"took more memory than was asked for ({told})"
    if ended is None:
        detail = f"its supervisor noted no end ({told}): do the nodes see the shared folder?"
        return stop or "lease-expired", None, detail
    if ended["outcome"] == "succeeded":  # never asked for; were it so, Slurm must agree
        succeeded = state == "COMPLETED"
        return ("succeeded" if succeeded else "lease-expired"), code, str(ended["detail"] or told)
    return str(ended["outcome"]), code, str(ended["detail"])
