"""The decision: ``plan(snapshot, jobs, policy, now)``. Pure; see docs/decisions/0002."""

from westward.placement.planner import plan

__all__ = ["plan"]
