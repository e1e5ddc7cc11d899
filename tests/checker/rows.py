"""Rules of each job by itself: identity, place, times, deadline, charges."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from tests.checker.case import HOUR_MS, Case, close
from tests.checker.network import Pool, Series
from tests.checker.outages import windows
from tests.checker.rehearsal import FINISHED, Row, Segment

KEEPS_AT_HOME = "home-site"
PUTS_OFF = ("westward", "lowest-carbon")
"""Rules that may hold a job back for a better hour."""
NO_FIT = "no-site-fits"
NOISE = Fraction(4, 10**15)
"""What a difference of floating prefix sums may miss, relative to a whole period's sum."""


def join_source(case: Case) -> None:
    """``identity``: every job of the source once, in order, as it was asked for."""
    rows = case.rehearsal.rows
    case.jobs = [None] * len(rows)
    if case.source is None:
        return
    there = Counter(row["job"] for row in rows)
    wanted = Counter(job.row for job in case.source)
    for number, count in sorted((wanted - there).items()):
        case.say("identity", f"job {number} of the source is missing ({count} times)")
    for number, count in sorted((there - wanted).items()):
        case.say("identity", f"job {number} stands {count} times more often than in the source")
    if [row["job"] for row in rows] == [job.row for job in case.source]:
        case.jobs = list(case.source)
    else:
        if there == wanted:
            case.say("identity", "the rows are not in the order of submission and source row")
        known = {job.row: job for job in case.source}
        case.jobs = [known.get(row["job"]) for row in rows]
    for at, (row, job) in enumerate(zip(rows, case.jobs, strict=True)):
        if job is None:
            continue
        deadline = None if job.deadline_ms < 0 else case.zero_ms + job.deadline_ms
        for field, stated, true in (
            ("submit_ms", row["submit_ms"], case.zero_ms + job.submit_ms),
            ("nodes", row["nodes"], job.nodes),
            ("devices", row["devices"], job.nodes * job.devices_milli / 1000),
            ("deadline_ms", row["deadline_ms"], deadline),
        ):
            if stated != true:
                case.say("identity", f"{field} is {stated}, the source says {true}", at)


def check_homes(case: Case) -> None:
    """``home``: a site of the network, the same for all jobs of one partition or one user."""
    rows = case.rehearsal.rows
    key = "home_partition" if any(r["home_partition"] is not None for r in rows) else "user"
    homes: dict[int, Counter[str]] = {}
    for row in rows:
        if row[key] is not None:
            homes.setdefault(row[key], Counter())[row["home"]] += 1
    usual = {owner: count.most_common(1)[0][0] for owner, count in homes.items()}
    for at, row in enumerate(rows):
        if row["home"] not in case.network.sites:
            case.say("home", f"{row['home']!r} is no site of the network", at)
        elif row[key] is not None and row["home"] != usual[row[key]]:
            case.say("home", f"{key} {row[key]} sits at {usual[row[key]]}, not {row['home']}", at)


def check_rows(case: Case) -> None:
    """Every rule that one job's own rows can break."""
    pieces: dict[int, list[Segment]] = {}
    for segment in case.rehearsal.segments:
        pieces.setdefault(segment.row, []).append(segment)
    for at, row in enumerate(case.rehearsal.rows):
        if row["start_ms"] is None:
            _refused(case, at, row)
        else:
            if row["refusal"] is not None:
                case.say("refusal", f"it ran and is said to be refused: {row['refusal']}", at)
            _ran(case, at, row, pieces.get(at, []))


def _refused(case: Case, at: int, row: Row) -> None:
    if not row["refusal"]:
        case.say("refusal", "it never ran and no reason is given", at)
    for name in ("end_ms", "pool", "site", "need_milli", "total_micros", "energy_kwh"):
        if row[name] is not None:
            case.say("refusal", f"it never ran, yet {name} is {row[name]}", at)
    job, rule = case.jobs[at], case.rehearsal.policy["rule"]
    if job is None:
        return
    takers = [pool for pool in case.network.pools.values() if _could_take(case, at, pool, rule)]
    # Only a deadline may turn away a job that a pool could hold, and pay for.
    if takers and (job.deadline_ms < 0 or row["refusal"] == NO_FIT):
        case.say("refusal", f"refused ({row['refusal']}), but {takers[0].name} could hold it", at)


def _could_take(case: Case, at: int, pool: Pool, rule: str) -> bool:
    home = case.rehearsal.rows[at]["home"]
    job = case.jobs[at]
    if (rule == KEEPS_AT_HOME or (job is not None and job.pinned)) and pool.site != home:
        return False
    known = pool.price_micros is not None and pool.kw is not None
    method = case.rehearsal.policy["carbon_method"]
    return (
        pool.status == "open"
        and known
        and case.network.tariff[pool.zone] is not None
        and case.network.carbon[method][pool.zone] is not None
        and case.need(at, pool) is not None
        and case.transfer(at, pool.site) is not None
    )


def _ran(case: Case, at: int, row: Row, pieces: list[Segment]) -> None:
    pools = []
    for piece in pieces:
        pool = case.pool(piece.pool)
        if pool is None:
            case.say("place", f"{piece.pool!r} is no pool of the network", at)
            return
        pools.append(pool)
        _place(case, at, pool)
    if not pieces or row["pool"] != pieces[-1].pool:
        case.say("place", f"the table says {row['pool']}, its last run was elsewhere", at)
        return
    if row["site"] != pools[-1].site:
        case.say("place", f"{row['pool']} does not stand at {row['site']}", at)
    need = case.need(at, pools[-1])
    if need is not None and need != row["need_milli"]:
        case.say("need", f"it held {row['need_milli']} milli-devices; it needs {need}", at)
    _times(case, at, row, pieces, pools)
    _deadline(case, at, row)
    _charges(case, at, row, pieces, pools)


def _place(case: Case, at: int, pool: Pool) -> None:
    job, home = case.jobs[at], case.rehearsal.rows[at]["home"]
    if pool.status != "open":
        case.say("place", f"{pool.name} takes no work: {pool.status}", at)
    if case.need(at, pool) is None:
        case.say("shape", f"{pool.name} cannot hold it", at)
    pinned = job is not None and job.pinned
    if (pinned or case.rehearsal.policy["rule"] == KEEPS_AT_HOME) and pool.site != home:
        case.say("residency", f"it must run at {home}, it ran at {pool.site}", at)


def _times(case: Case, at: int, row: Row, pieces: list[Segment], pools: Sequence[Pool]) -> None:
    start, end = row["start_ms"], row["end_ms"]
    for name, stated, true in (
        ("start_ms", start, pieces[0].start_ms),
        ("end_ms", end, pieces[-1].end_ms),
        ("wait_ms", row["wait_ms"], start - row["submit_ms"]),
        ("run_ms", row["run_ms"], sum(piece.end_ms - piece.start_ms for piece in pieces)),
    ):
        if stated != true:
            case.say("times", f"{name} is {stated}, its other columns say {true}", at)
    if start < row["submit_ms"]:
        case.say("start", "it started before it was submitted", at)
    moved = case.transfer(at, pools[0].site)
    rule = case.rehearsal.policy["rule"]
    if moved is None:
        case.say("transfer-time", f"no link brings its input to {pools[0].site}", at)
    elif not _replica(case, at, pools[0].site):
        if start < row["submit_ms"] + moved[1] - 1:
            late = float(moved[1])
            case.say("transfer-time", f"its input takes {late:.0f} ms and was not there", at)
        held = row["put_off_ms"] or 0
        if rule not in PUTS_OFF and abs(held - moved[1]) > 1:
            case.say("put-off", f"{rule} holds nothing back, it was held back {held} ms", at)
    if start < case.entered_ms(row):
        case.say("put-off", f"it was to start at {case.entered_ms(row)} at the earliest", at)
    if len(pieces) == 1 and pieces[0].why == FINISHED:
        job = case.jobs[at]
        if job is not None:
            # Whole milliseconds: the true time may be cut by less than one.
            true = max(Fraction(1), job.duration_ms / pools[0].speed)
            if not -1 < (end - start) - true < 1:
                case.say("run-time", f"it ran {end - start} ms; it takes {float(true):.3f} ms", at)
    else:
        _work(case, at, pieces, pools)


def _replica(case: Case, at: int, site: str) -> bool:
    """An earlier job of the same data set ran at that site: its bytes may be there already."""
    job = case.jobs[at]
    if job is None or job.dataset < 0:
        return False
    rows = case.rehearsal.rows
    start = rows[at]["start_ms"]
    return any(
        other is not None
        and other.dataset == job.dataset
        and rows[index]["site"] == site
        and rows[index]["start_ms"] <= start
        for index, other in enumerate(case.jobs)
        if index != at and rows[index]["start_ms"] is not None
    )


def _work(case: Case, at: int, pieces: list[Segment], pools: Sequence[Pool]) -> None:
    """Segments follow each other and together do the whole work, less what checkpoints lost."""
    for piece in pieces:
        if piece.end_ms <= piece.start_ms:
            case.say("segments", f"a run from {piece.start_ms} to {piece.end_ms}", at)
    for before, after in itertools.pairwise(pieces):
        if after.start_ms < before.end_ms:
            case.say("segments", f"two runs at once, at {after.start_ms}", at)
    if [piece.why == FINISHED for piece in pieces] != [False] * (len(pieces) - 1) + [True]:
        case.say("segments", f"runs that ended by {[piece.why for piece in pieces]}", at)
    job = case.jobs[at]
    if job is None:
        return
    done = [
        (piece.end_ms - piece.start_ms) * pool.speed
        for piece, pool in zip(pieces, pools, strict=True)
    ]
    most = [
        work if job.checkpoint_ms == 0 else min(work, Fraction(job.checkpoint_ms))
        for work in done[:-1]
    ]
    slack = len(pieces) * max(pool.speed for pool in pools)
    spare = sum(done) - job.duration_ms
    if spare < -slack:
        case.say("run-time", f"its runs do {float(-spare):.0f} ms of work too little", at)
    if spare > sum(most) + slack:
        case.say("run-time", f"its runs do {float(spare):.0f} ms of work too much", at)


def _deadline(case: Case, at: int, row: Row) -> None:
    due = row["deadline_ms"]
    met = None if due is None else row["end_ms"] <= due
    if row["met_deadline"] != met:
        case.say("deadline", f"met_deadline is {row['met_deadline']}; it is {met}", at)


def _charges(case: Case, at: int, row: Row, pieces: list[Segment], pools: Sequence[Pool]) -> None:
    """Each term from first principles, in exact arithmetic, over the true run times."""
    policy = case.rehearsal.policy
    device = energy = power = noise = Fraction(0)
    grams: dict[str, Fraction | None] = {"location": Fraction(0), "contract": Fraction(0)}
    grams_noise = Fraction(0)
    for piece, pool in zip(pieces, pools, strict=True):
        need = case.need(at, pool) or row["need_milli"]
        devices, ms = Fraction(need, 1000), piece.end_ms - piece.start_ms
        tariff = case.network.tariff[pool.zone]
        if pool.price_micros is None or pool.kw is None or tariff is None:
            case.say("price", f"{pool.name} states no price, power or tariff", at)
            return
        device += devices * pool.price_micros * ms / HOUR_MS
        energy += devices * pool.kw * ms / HOUR_MS
        kw = devices * pool.kw / HOUR_MS
        power += kw * _integral(case, tariff, piece) * 10**6
        noise += NOISE * kw * tariff.period() * 10**6
        for method, so_far in grams.items():
            series = case.network.carbon[method][pool.zone]
            grams[method] = None
            if series is not None and so_far is not None:
                grams[method] = so_far + kw * _integral(case, series, piece)
                grams_noise += NOISE * kw * series.period()
    moved = case.transfer(at, pools[0].site)
    transfer = Fraction(0) if moved is None else moved[0]
    if _replica(case, at, pools[0].site) and row["transfer_micros"] == 0:
        transfer = Fraction(0)
    value = Fraction(0)
    if row["deadline_ms"] is None:
        value = Fraction(policy["wait_value_micros_per_device_hour"] * row["need_milli"], 1000)
    wait = Fraction(waited_ms(case, at, row, pieces), HOUR_MS) * value
    _equal(case, at, "device-price", row["device_micros"], device)
    _equal(case, at, "energy", row["energy_kwh"], energy)
    _equal(case, at, "power-price", row["power_micros"], power, noise)
    # One that waited at a site that closed is placed again, and its input brought there, too.
    if case.jobs[at] is not None and len(pieces) == 1 and not windows(case):
        _equal(case, at, "transfer-price", row["transfer_micros"], transfer)
    elif row["transfer_micros"] < transfer * (1 - Fraction(1, 10**9)):
        # What it took along when it was moved is not told: only that the first way was paid.
        case.say("transfer-price", f"{row['transfer_micros']} do not pay its input's way", at)
    _equal(case, at, "wait-cost", row["wait_micros"], wait)
    for method, exact in grams.items():
        stated = row[f"carbon_{method}_g"]
        if exact is None:
            if stated is not None:
                case.say("carbon", f"{method}: {stated} g where no factor is known", at)
        else:
            _equal(case, at, "carbon", stated, exact, grams_noise)
    charged = grams[policy["carbon_method"]]
    if charged is not None:
        price = Fraction(policy["carbon_price_micros_per_tonne"], 10**6)
        carbon = charged * price
        _equal(case, at, "carbon-price", row["carbon_micros"], carbon, grams_noise * price)
    terms = ("device", "power", "carbon", "transfer", "wait")
    total = math.fsum(row[f"{term}_micros"] for term in terms)
    _equal(case, at, "total", row["total_micros"], Fraction(total))


def waited_ms(case: Case, at: int, row: Row, pieces: list[Segment]) -> int:
    """All time from submission to end but that of work kept: what a stop lost was waited too."""
    job = case.jobs[at]
    kept = pieces[-1].end_ms - pieces[-1].start_ms
    for piece in pieces[:-1]:
        ran = piece.end_ms - piece.start_ms
        every = 0 if job is None else job.checkpoint_ms
        kept += ran // every * every if every else 0
    waited: int = row["end_ms"] - row["submit_ms"] - kept
    return waited


def _integral(case: Case, series: Series, piece: Segment) -> Fraction:
    return series.integral(piece.start_ms - case.origin_ms, piece.end_ms - case.origin_ms)


def _equal(
    case: Case,
    at: int,
    rule: str,
    stated: float | None,
    exact: Fraction,
    slack: Fraction = Fraction(0),
) -> None:
    if not close(stated, exact, slack):
        case.say(rule, f"the table says {stated}, it is {float(exact):.12g}", at)
