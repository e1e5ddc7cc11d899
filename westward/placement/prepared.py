"""What planning needs of a network, worked out once for each network and kept.

A server plans every few seconds on a network that changes once a month. The columns of a network of
40 sites take 10 ms and more to build, a plan of one job a tenth of that. What is kept here are
results of pure functions of frozen values, found again by identity: a ``Network`` that was replaced
by an equal one is prepared anew, nothing is ever out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from westward.model.job import JobSpec
from westward.model.network import Network, Site
from westward.model.plan import CarbonMethod, ShadowPrices
from westward.placement.columns import NetworkColumns, cost_table, network_columns, table_step_ms
from westward.placement.filters import offer_reasons, static_reasons, wants
from westward.placement.posted import Posted
from westward.placement.state import Costs, Rules

KEPT = 4
"""Networks kept, each with a carbon method: the last used ones."""
TERMS_KEPT = 4_096
"""Sets of fixed terms whose verdicts are kept for each network."""

Terms = tuple[object, ...]


class Prepared:
    """One network, by one carbon method. Nothing it hands out may be written to."""

    def __init__(self, network: Network, method: CarbonMethod) -> None:
        self.network = network
        self.method = method
        self.columns: NetworkColumns = network_columns(network, method)
        self.pool_rows = {name: row for row, name in enumerate(self.columns.pool_names)}
        self.sites: dict[str, Site] = {site.name: site for site in network.sites}
        self.everywhere = (True,) * len(network.pools)
        self._by_account = any(pool.accounts for pool in network.pools)
        self._by_purpose = any(pool.purposes for pool in network.pools)
        self._by_engine = any(pool.lacks for pool in network.pools)
        self._limited = self._by_account or self._by_purpose or self._by_engine
        self._allowed: dict[Terms, tuple[bool, ...]] = {}
        self._costs: tuple[object, Costs, Posted | None] | None = None

    def allowed(self, job: JobSpec) -> tuple[bool, ...]:
        """By pool: whether residency, latency, a way for the data, and the accounts and purposes
        the pool takes, and what its engine can do allow it, at any time."""
        if not (job.residency or job.latency or job.inputs or self._limited):
            return self.everywhere
        moved = tuple(
            (one.site, one.size_bytes > 0, one.dataset != "", one.replicas) for one in job.inputs
        )
        account = job.account if self._by_account else None
        purpose = job.purpose if self._by_purpose else None
        asked = tuple(wants(job)) if self._by_engine else ()
        terms: Terms = (job.residency, job.latency, moved, account, purpose, asked)
        found = self._allowed.get(terms)
        if found is None:
            by_site = {
                name: not static_reasons(job, site, self.network)
                for name, site in self.sites.items()
            }
            found = tuple(
                by_site[pool.site] and not offer_reasons(job, pool) for pool in self.network.pools
            )
            if len(self._allowed) >= TERMS_KEPT:
                self._allowed = {}
            self._allowed[terms] = found
        return found

    def all_allowed(self, jobs: Sequence[JobSpec]) -> list[tuple[bool, ...]]:
        """``allowed`` of each."""
        everywhere, limited = self.everywhere, self._limited
        return [
            self.allowed(job)
            if limited or job.residency or job.latency or job.inputs
            else everywhere
            for job in jobs
        ]

    def costs(
        self, rules: Rules, now_ms: int, shadow: ShadowPrices | None
    ) -> tuple[Costs, Posted | None]:
        """The fused table from the step of ``now_ms`` on, with what is posted in it. The last one
        made is kept."""
        step = table_step_ms(self.columns, rules)
        key = (rules, (now_ms - rules.origin_ms) // step, shadow)
        kept = self._costs
        if kept is not None and kept[0] == key:
            return kept[1], kept[2]
        posted = None if shadow is None else Posted(shadow, self.columns, rules, now_ms)
        if posted is None:
            made = cost_table(self.columns, rules, now_ms)
        else:
            made = cost_table(
                self.columns, rules, now_ms, shadow=posted.rates,
                shadow_from_ms=posted.from_ms, shadow_step_ms=posted.step_ms,
            )  # fmt: skip
        self._costs = (key, made, posted)
        return made, posted


def _keeper() -> Callable[[Network, CarbonMethod], Prepared]:
    kept: list[Prepared] = []

    def prepared(network: Network, method: CarbonMethod) -> Prepared:
        """The network, ready to plan on. Threads may call it: lists are only ever replaced."""
        nonlocal kept
        for one in kept:
            if one.network is network and one.method == method:
                return one
        made = Prepared(network, method)
        kept = [made, *kept][:KEPT]
        return made

    return prepared


prepared = _keeper()
