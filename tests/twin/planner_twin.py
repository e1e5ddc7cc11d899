"""The decision once more, naive: a plain-Python twin that shares no code with the planner.

Written from docs/decisions/0002 over the objects of ``westward.model``: no numpy, no columns, no
prefix sums, no linked queues. Slow and obvious on purpose. It must not import
``westward.placement`` (a test holds it to that).
"""

from __future__ import annotations

import math
from collections import Counter

from tests.twin.twin_books import HOUR, Answer, Book, Candidate, Waiting, integral_hours, rank
from tests.twin.twin_filters import dominant_need, first_option, refusal_codes
from westward.model.job import JobSpec
from westward.model.network import Network, Pool, Series
from westward.model.plan import Claim, Policy, Snapshot
from westward.model.reasons import Code

TIE = 1e-9
"""Sums closer than this (relative) are equal: then the earlier start, then the pool's name."""
NEVER = None

__all__ = ["Answer", "Candidate", "Twin", "dominant_need", "rank", "twin_plan"]


class Twin:
    """One planning pass. ``answers``, ``candidates`` and ``refused`` hold its outcome."""

    def __init__(self, snapshot: Snapshot, jobs: list[JobSpec], policy: Policy, now: int) -> None:
        self.network: Network = snapshot.network
        self.origin = snapshot.series_origin_ms
        self.shadow = snapshot.shadow
        self.covers = snapshot.covers
        self.policy = policy
        self.now = now
        self.met: Counter[str] = Counter()
        """Branches taken, by name: a test counts them, so that none goes untried."""
        self.books: dict[str, Book] = {}
        for pool in sorted(snapshot.network.pools, key=lambda one: one.name):
            self.books[pool.name] = Book(pool, pool.status == "open", [])
        self.put_off: list[tuple[str, Waiting]] = []
        self.old: set[str] = set()
        for state in snapshot.pools:
            book = self.books[state.pool]
            book.open = book.open and state.status == "open"
            book.site_wait_ms = state.site_wait_ms
            book.running = [(self.expected_end(claim), claim.need_milli) for claim in state.running]
            for entry in state.queue:
                self.old.add(entry.job.job_id)
                waiting = Waiting(
                    entry.job,
                    entry.option,
                    entry.need_milli,
                    book.there(entry.need_milli) + entry.duration_ms,
                    entry.not_before_ms,
                )
                self.join(state.pool, waiting)
        self.new = sorted(jobs, key=rank)
        self.candidates: dict[str, list[Candidate]] = {}
        self.chosen: dict[str, Candidate] = {}
        self.refused: dict[str, dict[str, set[Code]]] = {}
        self.started: list[tuple[str, Waiting]] = []

    def expected_end(self, claim: Claim) -> int:
        """Past its end: as long again as it was expected to take, until that lies ahead."""
        if claim.started_ms is None or claim.expected_end_ms > self.now:
            return claim.expected_end_ms
        self.met["overdue with a known start"] += 1
        times = 1
        length = max(1, claim.expected_end_ms - claim.started_ms)
        while claim.started_ms + times * length <= self.now:
            times *= 2
        return claim.started_ms + times * length

    # -- queue and capacity -------------------------------------------------------------------

    def join(self, pool: str, waiting: Waiting) -> bool:
        """Into the queue; False: under EASY a job put off (or awaiting data) stays out of it."""
        if self.policy.discipline == "easy" and waiting.not_before > self.now:
            self.put_off.append((pool, waiting))
            return False
        queue = self.books[pool].queue
        queue.append(waiting)
        queue.sort(key=lambda one: rank(one.job))
        return True

    def release(self, book: Book, ahead: list[Waiting], need: int) -> int:
        """When the devices waiting ahead plus ``need`` will have been released."""
        missing = sum(one.need for one in ahead) + need - book.free
        if missing <= 0:
            return self.now
        for end, _ in sorted(book.running):
            if sum(n for e, n in book.running if e <= end) >= missing:
                self.met["overrun released" if end < self.now else "released at an end"] += 1
                return max(end, self.now)
        self.met["released as a fluid"] += 1
        # More than a pool-full waits: a fluid of work, its running part in whole seconds.
        busy_s = sum(n * (end // 1000 - self.now // 1000) for end, n in book.running)
        work = max(0, busy_s) * 1000 + sum(one.need * one.held for one in ahead)
        return self.now + math.ceil(work / book.pool.capacity_milli)

    def reservations(self, book: Book) -> list[tuple[Waiting, int | None, int]]:
        """Conservative: each waiting job with its reserved start (None: beyond the depth) and end.

        Those who are due and those who are put off are counted apart."""
        made: list[tuple[Waiting, int | None, int]] = []
        counted = {True: 0, False: 0}
        for one in book.queue:
            due = one.not_before <= self.now
            counted[due] += 1
            if counted[due] > self.policy.backfill_depth:
                name = "beyond the depth" if due else "put off beyond the depth"
                self.met[f"conservative: {name}"] += 1
                made.append((one, None, 0))
                continue
            earliest = max(self.now, one.not_before)
            start = self.first_fit(book, made, one.need, one.held, earliest)
            made.append((one, start, 0 if start is None else start + one.held))
        return made

    def first_fit(
        self,
        book: Book,
        made: list[tuple[Waiting, int | None, int]],
        need: int,
        duration: int,
        earliest: int,
    ) -> int | None:
        """First time from ``earliest`` with ``need`` free for ``duration``, beside ``made``."""
        changes: list[tuple[int, int]] = []
        for end, size in book.running:
            # Past its expected end: it may end any moment, but not before the next one.
            changes.append((max(end, self.now + 1), size))
        for one, start, end in made:
            if start is not None:
                changes += [(start, -one.need), (end, one.need)]

        def free_at(at: int) -> int:
            return book.free + sum(delta for when, delta in changes if when <= at)

        times = sorted({when for when, _ in changes})
        for start in [earliest, *(t for t in times if t > earliest)]:
            inside = [start, *(t for t in times if start < t < start + duration)]
            if all(free_at(t) >= need for t in inside):
                return start
        return NEVER

    def capacity_start(
        self, book: Book, job: JobSpec, need: int, duration: int, ready: int
    ) -> int | None:
        """When it can begin from ``ready`` on; it is handed over so much earlier as it waits there."""
        ahead, there = self.due_ahead(book, job), book.there(need)
        self.met["waits in the site's own queue"] += there > 0
        if self.policy.discipline == "easy":
            return max(ready, self.release(book, ahead, need) + there)
        before = [r for r in self.reservations(book) if rank(r[0].job) < rank(job)]
        if len(before) < len(book.queue):
            self.met["conservative: goes ahead of the queue"] += 1
        held = there + duration
        start = self.first_fit(book, before, need, held, ready - there)
        if start is not None:
            if any(other is not None and other >= start + held for _, other, _ in before):
                self.met["conservative: fits in before another's reservation"] += 1
            if len(ahead) >= self.policy.backfill_depth:
                self.met["conservative: more wait than have reservations"] += 1
                start = max(start, self.release(book, ahead, need))
            start += there
        return start

    def due_ahead(self, book: Book, job: JobSpec) -> list[Waiting]:
        """Who waits for devices before the job; not those who wait for a later hour."""
        before = [one for one in book.queue if rank(one.job) < rank(job)]
        return [one for one in before if one.not_before <= self.now]

    # -- the sum ------------------------------------------------------------------------------

    def terms(
        self, job: JobSpec, pool: Pool, need: int, start: int, duration: int, transfer: float
    ) -> tuple[tuple[float, float, float, float, float, float], float]:
        """device, power, carbon, transfer, wait, capacity in millionths; and grams."""
        site = self.network.site(pool.site)
        zone = self.network.zone(site.zone)
        carbon = self.carbon_of(pool)
        devices = need / 1000
        since, until = start - self.origin, start - self.origin + duration
        assert pool.power_w_per_device is not None
        assert site.pue is not None
        assert zone.tariff_per_kwh is not None
        assert carbon is not None
        assert pool.price_micros_per_device_hour is not None
        kw = devices * pool.power_w_per_device / 1000 * site.pue
        grams = kw * integral_hours(carbon, since, until)
        value = job.wait_value_micros_per_hour
        per_hour: float
        if value is not None:
            per_hour = value
        elif job.deadline_ms is not None:
            per_hour = 0.0
        else:
            per_hour = self.policy.wait_value_micros_per_device_hour * devices
        return (
            devices * pool.price_micros_per_device_hour * duration / HOUR,
            kw * integral_hours(zone.tariff_per_kwh, since, until) * 1e6,
            grams * self.policy.carbon_price_micros_per_tonne / 1e6,
            transfer,
            (start - job.submit_ms) / HOUR * per_hour,
            devices * self.posted(pool, start, start + duration),
            -devices * duration / HOUR * self.covered(job, pool),
        ), grams

    def covered(self, job: JobSpec, pool: Pool) -> int:
        """What vouchers pay of the job's device-hour; a rival rule knows of none."""
        if self.policy.rule != "westward":
            return 0
        paid = sum(
            one.micros_per_device_hour
            for one in self.covers
            if (one.account, one.pool) == (job.account, pool.name)
        )
        self.met["a voucher"] += paid > 0
        return paid

    def posted(self, pool: Pool, start: int, end: int) -> float:
        """The price of one device's capacity over a run, hour by posted hour."""
        shadow = self.shadow
        if shadow is None:
            return 0.0
        names = [one.name for one in self.network.pools]
        total = 0.0
        for k, price in enumerate(shadow.per_pool[names.index(pool.name)]):
            since = shadow.from_ms + k * shadow.step_ms
            inside = min(end, since + shadow.step_ms) - max(start, since)
            if inside > 0:
                total += price * inside / HOUR
                self.met["a price of capacity"] += price > 0
        return total

    def carbon_of(self, pool: Pool) -> Series | None:
        zone = self.network.zone(self.network.site(pool.site).zone)
        contract = zone.carbon_contract_g_per_kwh
        if self.policy.carbon_method == "contract" and contract is not None:
            return contract
        return zone.carbon_location_g_per_kwh

    def hourly(self, job: JobSpec, pool: Pool, need: int, at: int) -> float:
        """Devices and power of the gang per hour, at the price of the hour it would start."""
        site = self.network.site(pool.site)
        tariff = self.network.zone(site.zone).tariff_per_kwh
        assert tariff is not None
        assert pool.power_w_per_device is not None
        assert site.pue is not None
        assert pool.price_micros_per_device_hour is not None
        kw = need / 1000 * pool.power_w_per_device / 1000 * site.pue
        price = pool.price_micros_per_device_hour - self.covered(job, pool)
        return need / 1000 * price + kw * tariff.at(at - self.origin) * 1e6

    def transfer(self, job: JobSpec, pool: Pool) -> tuple[float, int]:
        """Price of moving the inputs there, millionths, and the time it takes, one after another."""
        price, ms = 0.0, 0
        for data in job.inputs:
            if data.site == pool.site or data.size_bytes == 0:
                continue
            link = self.network.link(data.site, pool.site)
            assert link is not None
            assert link.price_micros_per_gb is not None
            assert link.bandwidth_gbps
            price += link.price_micros_per_gb * data.size_bytes / 1e9
            ms += math.ceil(8.0 / link.bandwidth_gbps * 1000.0 * (data.size_bytes / 1e9))
        return price, ms

    def step_ms(self) -> int:
        """Starts are tried at the boundaries of the finest tariff (an unknown one counts an hour)."""
        series = [zone.tariff_per_kwh for zone in self.network.zones]
        return min(HOUR if one is None else one.step_ms for one in series)

    def evaluate(self, job: JobSpec, pool: Pool) -> Candidate:
        """The best start of the job at the pool, under the policy's rule."""
        book = self.books[pool.name]
        codes = refusal_codes(job, pool, self.network, book.open)
        if self.policy.rule == "home-site" and job.home_site != pool.site:
            codes.add(Code.NOT_HOME)
        if codes:
            return Candidate(pool.name, min(codes))
        option = first_option(job, pool)
        need = dominant_need(job.options[option], pool) * job.nodes
        site = self.network.site(pool.site)
        known = (
            pool.price_micros_per_device_hour,
            pool.power_w_per_device,
            site.pue,
            self.network.zone(site.zone).tariff_per_kwh,
        )
        if any(one is None for one in known):
            return Candidate(pool.name, Code.PRICE_UNKNOWN)
        if self.carbon_of(pool) is None:
            return Candidate(pool.name, Code.CARBON_UNKNOWN)
        price, move_ms = self.transfer(job, pool)
        asked = self.policy.assumed_duration_ms if job.duration_ms is None else job.duration_ms
        speed = 1.0
        if pool.accelerator is not None:
            kinds = {kind.name: kind.relative_speed for kind in self.network.accelerators}
            speed = kinds[pool.accelerator]
        duration = max(1, int(asked / speed))
        ready = max(self.now + move_ms, job.start_after_ms or 0)
        if ready > self.now:
            self.met["data on the way" if ready == self.now + move_ms else "start after"] += 1
        if option > 0:
            self.met["second option"] += 1
        if need != job.options[option].devices_milli * job.nodes and pool.accelerator is not None:
            self.met["cpus or memory dominate"] += 1
        if job.nodes > 1:
            self.met["gang"] += 1
        there = book.there(need)
        earliest = self.capacity_start(book, job, need, duration, ready + there)
        if earliest is None:
            return Candidate(pool.name, Code.DEADLINE)
        last = earliest + self.policy.defer_limit_ms
        if job.deadline_ms is not None:
            slack = job.deadline_ms - duration - earliest
            if self.policy.discipline == "easy" and slack > 0:
                slack -= slack * self.policy.deadline_reserve_percent // 100
            last = min(last, earliest + slack)
        if earliest > last:
            self.met["deadline refuses"] += 1
            return Candidate(pool.name, Code.DEADLINE)
        if earliest < last < earliest + self.policy.defer_limit_ms:
            self.met["deadline ends the search"] += 1
        best: Candidate | None = None
        over: list[float] = []
        cap = job.options[option].max_hourly_cost_micros
        for start in self.starts(book, job, need, duration, earliest, last):
            if cap is not None and (hourly := self.hourly(job, pool, need, start)) > cap:
                over.append(hourly)
                continue
            terms, grams = self.terms(job, pool, need, start, duration, price)
            this = Candidate(
                pool.name, None, option, need, duration, ready, earliest, start, terms, grams
            )
            if best is None or self.ranked(this) < self.ranked(best) * (1 - TIE):
                best = this
            if self.policy.rule not in ("westward", "lowest-carbon"):
                break
        if over:
            self.met["hourly cap refuses" if best is None else "hourly cap puts off"] += 1
        elif best is not None and best.start > earliest:
            self.met["a better hour"] += 1
        return best or Candidate(pool.name, Code.OVER_HOURLY_COST, hourly=min(over))

    def ranked(self, one: Candidate) -> float:
        """What is minimised over starts."""
        return one.grams if self.policy.rule == "lowest-carbon" else math.fsum(one.terms)

    def starts(
        self, book: Book, job: JobSpec, need: int, duration: int, earliest: int, last: int
    ) -> list[int]:
        """The earliest, then each later step boundary; conservative: where it fits from there."""
        found = [earliest]
        step = self.step_ms()
        at = earliest
        while True:
            boundary = ((at - self.origin) // step + 1) * step + self.origin
            start: int | None = boundary
            if self.policy.discipline == "conservative":
                start = self.capacity_start(book, job, need, duration, boundary)
            if start is None or start > last:
                return found
            found.append(start)
            at = max(boundary, start)

    def objective(self, one: Candidate) -> float:
        rule = self.policy.rule
        book = self.books[one.pool]
        if rule in ("earliest-start", "home-site"):
            return one.start - self.now
        if rule == "cheapest-static":
            return one.terms[0]
        if rule == "first-to-admit":
            if one.start <= self.now:
                return -1.0
            return sum(w.need for w in book.queue) / book.pool.capacity_milli
        return self.ranked(one)

    # -- the pass -----------------------------------------------------------------------------

    def decide(self) -> None:
        """Those bound before start first; then each new job is bound and its pool dispatched."""
        for name in self.books:
            self.dispatch(name)
        for job in self.new:
            seen = [self.evaluate(job, book.pool) for book in self.books.values()]
            self.candidates[job.job_id] = seen
            best: Candidate | None = None
            lowest = 0.0
            for one in seen:
                if one.code is not None:
                    continue
                value = self.objective(one)
                slack = TIE * abs(lowest)
                if (
                    best is None
                    or value < lowest - slack
                    or (value <= lowest + slack and one.start < best.start)
                ):
                    best, lowest = one, value
            if best is None:
                self.refused[job.job_id] = self.codes_by_pool(job, seen)
                continue
            self.chosen[job.job_id] = best
            there = self.books[best.pool].there(best.need)
            not_before = best.ready if best.start == best.earliest else best.start - there
            waiting = Waiting(job, best.option, best.need, there + best.duration, not_before)
            if self.join(best.pool, waiting):
                self.dispatch(best.pool)

    def codes_by_pool(self, job: JobSpec, seen: list[Candidate]) -> dict[str, set[Code]]:
        found = {}
        for one in seen:
            book = self.books[one.pool]
            codes = refusal_codes(job, book.pool, self.network, book.open)
            assert one.code is not None
            found[one.pool] = codes | {one.code}
        return found

    def dispatch(self, name: str) -> None:
        book = self.books[name]
        if not book.open:
            return
        if self.policy.discipline == "conservative":
            going = True
            while going:
                passed = going = False
                for one, start, _ in self.reservations(book):
                    if start is not None and start <= self.now and one.need <= book.free:
                        self.met["conservative: starts past another" if passed else "starts"] += 1
                        self.start(name, one)
                        going = True
                    else:
                        passed = True
            return
        while book.queue and book.queue[0].need <= book.free:
            self.met["starts"] += 1
            self.start(name, book.queue[0])
        if book.queue:
            self.backfill(name, book, book.queue[0])

    def backfill(self, name: str, book: Book, head: Waiting) -> None:
        """EASY: those behind the blocked head that do not hold it up, by the expected ends."""
        shadow: float = math.inf
        beside = -1
        for end, _ in sorted(book.running):
            then = book.free + sum(n for e, n in book.running if e <= end)
            if then >= head.need:
                shadow, beside = end, then - head.need
                break
        extra, left_behind = beside, 0
        for one in book.queue[1:]:
            if left_behind >= self.policy.backfill_depth:
                self.met["easy: the depth ends the look"] += 1
                return
            left_behind += 1
            if one.need > book.free:
                continue
            if self.now + one.held <= shadow:
                exact = self.now + one.held == shadow
                self.met["easy: ends as the head begins" if exact else "easy: ends before"] += 1
            elif one.need <= extra:
                self.met["easy: fits beside the head"] += 1
                extra -= one.need
            else:
                spent = one.need <= beside
                self.met["easy: no room left beside" if spent else "easy: would delay"] += 1
                continue
            left_behind -= 1
            self.start(name, one)

    def start(self, name: str, one: Waiting) -> None:
        book = self.books[name]
        book.queue.remove(one)
        book.running.append((self.now + one.held, one.need))
        self.started.append((name, one))

    def answer(self, name: str, one: Waiting, starts_now: bool) -> Answer:
        book = self.books[name]
        best = self.chosen.get(one.job.job_id)
        there = book.there(one.need)
        duration = one.held - there
        if starts_now:
            start = self.now + there
        elif best is not None:
            start = best.start
        else:
            start = self.expected_start(book, one)
        transfer = self.transfer(one.job, book.pool)[0]
        terms, grams = self.terms(one.job, book.pool, one.need, start, duration, transfer)
        pue = self.network.site(book.pool.site).pue
        assert book.pool.power_w_per_device is not None
        assert pue is not None
        kw = one.need / 1000 * book.pool.power_w_per_device / 1000 * pue
        return Answer(
            pool=name,
            option=one.option,
            need=one.need,
            duration=duration,
            not_before=one.not_before,
            starts_now=starts_now,
            start=start,
            earliest=start if best is None else min(start, best.earliest),
            terms=terms,
            grams=grams,
            kwh=kw * duration / HOUR,
        )

    def expected_start(self, book: Book, one: Waiting) -> int:
        there = book.there(one.need)
        if self.policy.discipline == "conservative":
            for other, start, _ in self.reservations(book):
                if other.job.job_id == one.job.job_id and start is not None:
                    return start + there
        free = self.release(book, self.due_ahead(book, one.job), one.need)
        return max(free, one.not_before) + there

    def answers(self) -> dict[str, Answer]:
        waiting = [(name, one) for name, book in self.books.items() for one in book.queue]
        found = {one.job.job_id: self.answer(name, one, True) for name, one in self.started}
        for name, one in [*waiting, *self.put_off]:
            found[one.job.job_id] = self.answer(name, one, False)
        return found


def twin_plan(snapshot: Snapshot, jobs: list[JobSpec], policy: Policy, now: int) -> Twin:
    """Dispatch what was bound before; then choose, bind and dispatch for each new job in order."""
    twin = Twin(snapshot, jobs, policy, now)
    twin.decide()
    return twin
