"""What the server counts, for Prometheus; ``api_metrics`` tells it.

Counters and histograms are of this process (Prometheus knows restarts); gauges are set from the
store when asked. Names follow the conventions: base units, ``_total`` for counters.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.registry import CollectorRegistry

from westward import __version__
from westward.control.records import JobRecord, RunRecord
from westward.ledger.price import Bill
from westward.store.results import Applied, SitePoll

PLAN_BUCKETS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
WAIT_BUCKETS_S = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1_800, 3_600, 14_400, 86_400)
RUN_BUCKETS_S = (1, 10, 60, 300, 1_800, 3_600, 14_400, 43_200, 86_400, 604_800)


class Metrics:
    """One server's. Every method is short and may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        own = self.registry
        self.info = Gauge("westward_build_info", "Always 1", ["version"], registry=own)
        self.info.labels(__version__).set(1)
        self.jobs = Gauge("westward_jobs", "Jobs by state, over ones too", ["state"], registry=own)
        self.pool_open = Gauge(
            "westward_pool_open",
            "1: takes work. 0: cordoned or down",
            ["site", "pool"],
            registry=own,
        )
        self.pool_devices = Gauge(
            "westward_pool_devices", "Devices of the pool", ["site", "pool"], registry=own
        )
        self.pool_leased = Gauge(
            "westward_pool_devices_leased", "Devices under a lease", ["site", "pool"], registry=own
        )
        self.pool_runs = Gauge(
            "westward_pool_runs", "Runs that hold a lease", ["site", "pool"], registry=own
        )
        self.site_silence = Gauge(
            "westward_site_silence_seconds", "Since its agent was heard of", ["site"], registry=own
        )
        self.leads = Gauge(
            "westward_leader", "1: plans, ends leases and settles. 0: another server does",
            registry=own,
        )  # fmt: skip
        self.epoch = Gauge(
            "westward_leader_epoch", "How often the leader has changed; 0: one server", registry=own
        )
        self.clock_off = Gauge(
            "westward_clock_off_seconds", "The database's clock ahead of this server's",
            registry=own,
        )  # fmt: skip
        self.set_aside = Gauge("westward_set_aside", "Jobs and runs left out for now", registry=own)
        self.loop_failures = Gauge(
            "westward_loop_failures_in_a_row", "0: the last round went through", ["loop"],
            registry=own,
        )  # fmt: skip
        self.submissions = Counter(
            "westward_submissions_total", "Jobs handed in: created, repeated or refused",
            ["surface", "answer"], registry=own,
        )  # fmt: skip
        self.plan_seconds = Histogram(
            "westward_plan_duration_seconds", "One pass over all that waits", registry=own,
            buckets=PLAN_BUCKETS_S,
        )  # fmt: skip
        self.placements = Counter(
            "westward_placements_total", "Jobs given a place in a plan", registry=own
        )
        self.plan_refusals = Counter(
            "westward_plan_refusals_total", "Jobs a plan found no place for", registry=own
        )
        self.stale_plans = Counter(
            "westward_stale_plans_total", "Plans that were partly out of date", registry=own
        )
        self.moved = Counter(
            "westward_waiting_jobs_moved_total", "Waiting jobs a plan moved to a better pool",
            registry=own,
        )  # fmt: skip
        self.polls = Counter("westward_polls_total", "Answered polls", ["site"], registry=own)
        self.renewals = Counter(
            "westward_lease_renewals_total", "Leases extended by polls", ["site"], registry=own
        )
        self.grants = Counter(
            "westward_grants_offered_total", "Runs offered to sites", ["site"], registry=own
        )
        self.expired = Counter(
            "westward_leases_expired_total", "Leases that ended without word", registry=own
        )
        self.start_delay = Histogram(
            "westward_job_start_delay_seconds", "From submitting to the first start", ["site"],
            registry=own, buckets=WAIT_BUCKETS_S,
        )  # fmt: skip
        self.run_seconds = Histogram(
            "westward_run_duration_seconds", "From start to end", ["site", "outcome"], registry=own,
            buckets=RUN_BUCKETS_S,
        )  # fmt: skip
        self.readings = Counter(
            "westward_readings_total", "Metered intervals reported", registry=own
        )
        self.billed = Counter(
            "westward_billed_currency_total", "Sum of bills, in the network's currency", ["site"],
            registry=own,
        )  # fmt: skip
        self.energy = Counter(
            "westward_energy_joules_total", "Energy of settled runs: declared power times time",
            ["site"], registry=own,
        )  # fmt: skip
        self.settled = Counter("westward_runs_settled_total", "Bills made", ["site"], registry=own)

    # -- told by the server as it works

    def planned(self, seconds: float, placed: int, refused: int, stale: bool) -> None:
        self.plan_seconds.observe(seconds)
        self.placements.inc(placed)
        self.plan_refusals.inc(refused)
        self.stale_plans.inc(stale)

    def polled(self, site: str, answer: SitePoll) -> None:
        self.polls.labels(site).inc()
        self.renewals.labels(site).inc(len(answer.renewed))
        self.grants.labels(site).inc(len(answer.offers))

    def reported(self, run_id: str, answer: object, readings: int = 0) -> None:
        """A site said that a run started or ended, and that was news."""
        if not isinstance(answer, Applied):
            return
        record: JobRecord = answer.record
        run = record.run(run_id)
        if run is None:
            return
        self.readings.inc(readings)
        if run.live and run.started_ms is not None:
            if not any(one.started_ms is not None for one in record.runs if one is not run):
                waited_s = (run.started_ms - record.job.submit_ms) / 1000
                self.start_delay.labels(run.site).observe(max(0.0, waited_s))
        elif run.started_ms is not None and run.ended_ms is not None:
            lasted_s = (run.ended_ms - run.started_ms) / 1000
            self.run_seconds.labels(run.site, run.outcome or "unknown").observe(lasted_s)

    def billed_run(self, run: RunRecord, bill: Bill) -> None:
        self.settled.labels(run.site).inc()
        self.billed.labels(run.site).inc(max(0, bill.total_micros) / 1_000_000)
        self.energy.labels(run.site).inc(bill.energy_j)
