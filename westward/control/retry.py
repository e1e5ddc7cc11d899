"""Whether a run that failed by its own doing is tried again: decision and reason, purely.

A site's fault (a lease that ended, a run stopped unasked) is no failure of the job: it is counted
apart (``JobRecord.lost_runs`` against ``attempts_max``), and a preempted run counts as neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from westward.model.job import JobSpec, Retry
from westward.model.units import MS_PER_HOUR, format_duration

BACKOFF_MOST_MS = MS_PER_HOUR
SIGNAL_BASE = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``until_ms`` None: not again. ``reason`` is a clause for the owner; empty where the job
    states no policy."""

    until_ms: int | None
    reason: str


def judge(
    job: JobSpec, failed_runs: int, exit_code: int | None, expected_ms: int | None, now_ms: int
) -> Verdict:
    """After the ``failed_runs``-th failure, this one included.

    ``expected_ms``: how long a run takes there; one that could not end by the deadline is not
    begun. A job with a checkpoint may have done most of it: only its deadline itself counts.
    """
    policy = job.retry
    if policy is None:
        return Verdict(until_ms=None, reason="")
    code = shell_code(exit_code)
    if code is None:
        return Verdict(until_ms=None, reason="not tried again: it left no exit code")
    if code in policy.never_on:
        return Verdict(until_ms=None, reason=f"not tried again: never on exit code {code}")
    if policy.on_exit_codes and code not in policy.on_exit_codes:
        return Verdict(
            until_ms=None, reason=f"not tried again: exit code {code} is not one of those to retry"
        )
    if failed_runs >= policy.attempts:
        return Verdict(until_ms=None, reason=f"failure {failed_runs} of {policy.attempts} allowed")
    pause_ms = backoff_ms(policy, failed_runs)
    begin_ms = now_ms + pause_ms
    needs_ms = expected_ms if expected_ms is not None and job.checkpoint is None else 1
    if job.deadline_ms is not None and begin_ms + needs_ms > job.deadline_ms:
        return Verdict(until_ms=None, reason="not tried again: it could not end by its deadline")
    again = f"failure {failed_runs} of {policy.attempts} allowed, tried again in "
    return Verdict(until_ms=begin_ms, reason=again + format_duration(pause_ms))


def shell_code(exit_code: int | None) -> int | None:
    """As a shell counts: killed by signal n is 128 + n."""
    if exit_code is None:
        return None
    return exit_code if exit_code >= 0 else SIGNAL_BASE - exit_code


def backoff_ms(policy: Retry, failed_runs: int) -> int:
    """The pause after the ``failed_runs``-th failure."""
    return min(BACKOFF_MOST_MS, policy.backoff_ms << min(max(0, failed_runs - 1), 30))
