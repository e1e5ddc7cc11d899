"""What is to be done because of an event, in the imperative.

Each can be carried out twice without harm, and each can be read again from what the store keeps:
an instruction lost in a crash is found again (StartRun, StopRun and ForgetRun by the agent's next
poll, SettleRun in the store's list of unsettled runs, PlanAgain by the planner's next round).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAgain:
    """Capacity or the queue changed: wake the planner. ``job_id`` is the job that changed."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRun:
    """Offer this run to the site's agent at its next poll."""

    site: str
    job_id: str
    run_id: str
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRun:
    """Tell the site to end this run and to report."""

    site: str
    job_id: str
    run_id: str
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetRun:
    """The site has no right to this run any more: kill and drop it without a report."""

    site: str
    job_id: str
    run_id: str
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleRun:
    """The run is over: price what was metered and write its bill."""

    job_id: str
    run_id: str
    token: int


Instruction = PlanAgain | StartRun | StopRun | ForgetRun | SettleRun
