"""What an agent counts, for Prometheus: ``--metrics-port``. Loopback unless told otherwise.

The agent itself keeps plain numbers; the library is imported only if somebody asks for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


@dataclass(slots=True, eq=False)
class Counts:
    """Of one agent process, since it started."""

    polls: int = 0
    polls_failed: int = 0
    leases_renewed: int = 0
    runs_started: int = 0
    starts_failed: int = 0
    runs_stopped: int = 0
    runs_given_up: int = 0
    """By a fault of the agent itself; their leases end."""
    polled_s: float = field(default_factory=time.monotonic)
    """Of the last answered poll, on the monotonic clock."""


@dataclass(frozen=True, slots=True, eq=False)
class AgentCollector:
    """Reads the counts when Prometheus asks."""

    site: str
    counts: Counts
    held: Callable[[], int]

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        counters = {
            "westward_agent_polls": ("Polls that were answered", self.counts.polls),
            "westward_agent_polls_failed": ("Polls without an answer", self.counts.polls_failed),
            "westward_agent_lease_renewals": ("Leases renewed", self.counts.leases_renewed),
            "westward_agent_runs_started": ("Runs handed to the engine", self.counts.runs_started),
            "westward_agent_starts_failed": (
                "Runs that the engine could not start",
                self.counts.starts_failed,
            ),
            "westward_agent_runs_stopped": ("Runs stopped on request", self.counts.runs_stopped),
            "westward_agent_runs_given_up": (
                "Runs the agent could not follow",
                self.counts.runs_given_up,
            ),
        }
        for name, (text, value) in counters.items():
            family = CounterMetricFamily(name, text, labels=["site"])
            family.add_metric([self.site], value)
            yield family
        held = GaugeMetricFamily("westward_agent_runs_held", "Runs now", labels=["site"])
        held.add_metric([self.site], self.held())
        yield held
        silence = GaugeMetricFamily(
            "westward_agent_poll_age_seconds", "Since the last answered poll", labels=["site"]
        )
        silence.add_metric([self.site], time.monotonic() - self.counts.polled_s)
        yield silence


def serve(collector: AgentCollector, host: str, port: int) -> int:
    """Answers Prometheus from a thread of its own; returns the port (0 asks for any free one).
    OSError: the port is taken."""
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(collector)
    server, _thread = start_http_server(port, addr=host, registry=registry)
    return int(server.server_address[1])
