"""Candidates of the kernels, told as values: alternatives with every term, or coded reasons."""

from __future__ import annotations

from collections.abc import Sequence

from westward.model.job import JobSpec
from westward.model.network import Network
from westward.model.plan import Alternative, CostTerms, Estimate
from westward.model.reasons import Code, Reason
from westward.model.units import MICROS, MS_PER_HOUR, format_duration, format_instant
from westward.placement import kernels
from westward.placement.columns import NetworkColumns
from westward.placement.filters import offer_reasons, shape_reasons, static_reasons
from westward.placement.posted import Posted
from westward.placement.profile import NEVER_MS
from westward.placement.rows import Answers, best_of
from westward.placement.state import (
    CARBON_UNKNOWN,
    CONSTRAINT,
    DEADLINE,
    F64,
    NO_LINK,
    NO_OPTION,
    NOT_HOME,
    NOT_OPEN,
    OK,
    OVER_HOURLY,
    PRICE_UNKNOWN,
    Best,
    Jobs,
    Rules,
    State,
)


class Explainer:
    """Turns rows and codes back into names and numbers, for one network and policy."""

    def __init__(
        self,
        network: Network,
        columns: NetworkColumns,
        rules: Rules,
        posted: Posted | None,
        jobs: Jobs,
        cover: F64,
    ) -> None:
        self.network = network
        self.columns = columns
        self.rules = rules
        self.posted = posted
        self.jobs = jobs
        self.cover = cover
        self.sites = {site.name: site for site in network.sites}
        self.kw: list[float] = columns.pools.kw.tolist()

    def estimate_at(
        self,
        job: JobSpec,
        job_row: int,
        pool_row: int,
        *,
        option: int,
        need_milli: int,
        duration_ms: int,
        earliest_ms: int,
        start_ms: int,
        transfer: float,
        cost: Sequence[float],
    ) -> Estimate:
        """One pool and start, and its sum. ``cost``: device, power, grams by the kernels' own
        ``run_cost``. Whole numbers and floats must be Python's own, not numpy's scalars."""
        pool = self.network.pools[pool_row]
        return Estimate(
            pool=pool.name,
            site=pool.site,
            option=option,
            need_milli=need_milli,
            earliest_ms=earliest_ms,
            start_ms=start_ms,
            duration_ms=duration_ms,
            energy_kwh=need_milli / 1000.0 * self.kw[pool_row] * duration_ms / MS_PER_HOUR,
            carbon_g=cost[2],
            terms=self.terms_at(
                job, job_row, pool_row, need_milli, duration_ms, start_ms, transfer, cost
            ),
        )

    def terms_at(
        self,
        job: JobSpec,
        job_row: int,
        pool_row: int,
        need_milli: int,
        duration_ms: int,
        start_ms: int,
        transfer: float,
        cost: Sequence[float],
    ) -> CostTerms:
        """The sum of a run, term by term."""
        device, power, grams = cost
        return CostTerms(
            device=device,
            power=power,
            carbon=grams * self.rules.carbon_price,
            transfer=transfer,
            wait=(start_ms - job.submit_ms) / MS_PER_HOUR * self.wait_value(job, need_milli),
            shadow=self.shadow(pool_row, need_milli, start_ms, duration_ms),
            vouchers=self.vouchers(job_row, pool_row, need_milli, duration_ms),
        )

    def vouchers(self, job_row: int, pool_row: int, need_milli: int, duration_ms: int) -> float:
        """What funders are expected to pay of a run, millionths, not above 0."""
        if len(self.cover) == 1:
            return 0.0
        per_hour: float = self.cover[self.jobs.payer[job_row], pool_row].item()
        return -(need_milli / 1000.0 * (duration_ms / MS_PER_HOUR) * per_hour)

    def shadow(self, pool_row: int, need_milli: int, start_ms: int, duration_ms: int) -> float:
        """The posted price of the capacity a run takes, millionths."""
        if self.posted is None:
            return 0.0
        return need_milli / 1000.0 * self.posted.cost(pool_row, start_ms, start_ms + duration_ms)

    def wait_value(self, job: JobSpec, need_milli: int) -> float:
        """Millionths per hour of waiting (ADR 0002)."""
        if job.wait_value_micros_per_hour is not None:
            return float(job.wait_value_micros_per_hour)
        if job.deadline_ms is not None:
            return 0.0
        return self.rules.wait_value * (need_milli / 1000.0)

    def alternatives(
        self,
        job: JobSpec,
        candidates: Answers,
        now_ms: int,
        rules: Rules,
        jobs: Jobs,
        state: State,
        *,
        job_row: int,
        options: Sequence[int],
    ) -> tuple[Alternative, ...]:
        """One per pool: the accepted ones by the rule's own order, then the refused ones by name.

        ``candidates``: as ``rows.look`` left them; ``options``: per pool, which of the job's
        options it would take.
        """
        accepted: list[tuple[float, int, int, Alternative]] = []
        refused: list[Alternative] = []
        costs = candidates.cost.tolist()
        for row in range(len(self.network.pools)):
            best = best_of(candidates, row)
            pool = self.network.pools[row]
            if best.refusal == OK:
                estimate = self.estimate_at(
                    job,
                    job_row,
                    row,
                    option=options[row],
                    need_milli=best.need_milli,
                    duration_ms=best.duration_ms,
                    earliest_ms=best.earliest_ms,
                    start_ms=best.start_ms,
                    transfer=best.transfer,
                    cost=costs[row],
                )
                value = float(candidates.sums[row, 2])
                accepted.append(
                    (
                        value,
                        best.start_ms,
                        row,
                        Alternative(pool=pool.name, site=pool.site, estimate=estimate, reasons=()),
                    )
                )
            else:
                refused.append(
                    Alternative(
                        pool=pool.name,
                        site=pool.site,
                        estimate=None,
                        reasons=self.reasons(
                            job,
                            row,
                            best,
                            now_ms,
                            rules,
                            jobs,
                            state,
                            job_row=job_row,
                            option=options[row],
                        ),
                    )
                )
        accepted.sort(key=lambda one: one[:3])
        return (*(one[3] for one in accepted), *refused)

    def reasons(
        self,
        job: JobSpec,
        pool_row: int,
        best: Best,
        now_ms: int,
        rules: Rules,
        jobs: Jobs,
        state: State,
        *,
        job_row: int,
        option: int,
    ) -> tuple[Reason, ...]:
        """Every reason of one pool against one job, the kernel's own verdict included."""
        pool = self.network.pools[pool_row]
        site = self.sites[pool.site]
        found: list[Reason] = []
        if best.refusal == NOT_OPEN:
            found.append(
                Reason(code=Code.POOL_NOT_OPEN, resource="pool", asked="open", available="closed")
            )
        found.extend(static_reasons(job, site, self.network))
        found.extend(offer_reasons(job, pool))
        found.extend(shape_reasons(job, pool))
        if best.refusal == NOT_HOME:
            found.append(
                Reason(
                    code=Code.NOT_HOME,
                    resource="site",
                    asked=job.home_site or "no home stated",
                    available=pool.site,
                )
            )
        elif best.refusal == PRICE_UNKNOWN:
            found.append(Reason(code=Code.PRICE_UNKNOWN, resource=pool.name))
        elif best.refusal == CARBON_UNKNOWN:
            found.append(Reason(code=Code.CARBON_UNKNOWN, resource=site.zone))
        elif best.refusal == DEADLINE and job.deadline_ms is not None:
            found.append(self._deadline(job, best))
        elif best.refusal == OVER_HOURLY:
            cap = job.options[option].max_hourly_cost_micros
            found.append(self._over_hourly(job, job_row, cap, best, now_ms, rules, jobs, state))
        if not found:
            raise AssertionError(
                f"kernel code {best.refusal} for job {job.job_id} on pool {pool.name} has no words"
            )
        return tuple(found)

    def _deadline(self, job: JobSpec, best: Best) -> Reason:
        assert job.deadline_ms is not None
        if best.earliest_ms >= NEVER_MS:
            end = "never"
        else:
            late = best.earliest_ms + best.duration_ms - job.deadline_ms
            end = (
                f"{format_instant(best.earliest_ms + best.duration_ms)}, "
                f"{format_duration(late)} late"
            )
        return Reason(
            code=Code.DEADLINE,
            resource="end",
            asked=format_instant(job.deadline_ms),
            available=end,
        )

    def _over_hourly(
        self,
        job: JobSpec,
        job_row: int,
        cap: int | None,
        best: Best,
        now_ms: int,
        rules: Rules,
        jobs: Jobs,
        state: State,
    ) -> Reason:
        """The cheapest hour among the starts the kernel tried, not of the whole series."""
        lowest = kernels.cheapest_hour(
            job_row, best.pool, best.need_milli, best.duration_ms, int(best.earliest_ms), now_ms,
            self.columns.pools._replace(cover=self.cover), self.columns.zones, jobs, rules, state,
        )  # fmt: skip
        return Reason(
            code=Code.OVER_HOURLY_COST,
            resource="cost per hour at the cheapest start in reach",
            asked=f"{(cap or 0) / MICROS:.10g}",
            available=f"{lowest / MICROS:.10g}",
            unit=f"{self.network.currency}/h",
        )


UNUSED_CODES = (CONSTRAINT, NO_LINK, NO_OPTION)
"""Kernel codes whose words come from ``static_reasons``, ``offer_reasons`` and ``shape_reasons``."""
