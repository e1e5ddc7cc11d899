"""A small rehearsal made by arithmetic, without the engine: what the output side is tested on.

Jobs are given pools by a named rule of thumb and start when the pool's devices come free, first
come first served. Charges are integrated hour by hour in plain Python: slow, and sharing no code
with ``westward.simulate.tables``, which is held to them.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

from westward.model.network import Fact, Network, Pool, Series, Site, Zone
from westward.model.plan import Policy, Rule
from westward.model.reasons import Code
from westward.model.units import MICROS, MS_PER_HOUR
from westward.model.workload import DroppedRows, Workload
from westward.simulate.results import SimulationResult, refusal_number

ORIGIN_MS = 1_767_196_800_000  # 2025-12-31T16:00:00Z: midnight at +08:00
ZERO_MS = ORIGIN_MS + 6 * MS_PER_HOUR + 1_234_567


def small_network() -> Network:
    """Four sites in four zones; one zone states no contract-based factor."""
    places = (
        ("harbour", 22.5, 114.1, 0.95, 620.0, 480.0, 1.28),
        ("plateau", 36.6, 101.7, 0.34, 90.0, 15.0, 1.15),
        ("river", 31.2, 121.3, 0.88, 560.0, None, 1.25),
        ("steppe", 40.9, 111.7, 0.41, 700.0, 310.0, 1.18),
    )
    zones, sites, pools = [], [], []
    for at, (name, lat, lon, tariff, carbon, contract, pue) in enumerate(places):
        zones.append(
            Zone(
                name=f"z-{name}",
                label=f"Zone of {name}",
                tariff_per_kwh=_day(tariff, 0.45, peak=19),
                carbon_location_g_per_kwh=_day(carbon, -0.2, peak=13),
                carbon_contract_g_per_kwh=None if contract is None else _day(contract, 0, peak=0),
            )
        )
        sites.append(
            Site(
                name=name,
                label=name.capitalize(),
                operator="Sample",
                zone=f"z-{name}",
                lat_deg=lat,
                lon_deg=lon,
                pue=pue,
                tags=(("side", "west" if at % 2 else "east"),),
            )
        )
        for kind, devices in (("big", 8), ("cpu", 32)):
            pools.append(
                Pool(
                    name=f"{name}-{kind}",
                    site=name,
                    engine="local",
                    managed=True,
                    accelerator="A100" if kind == "big" else None,
                    nodes=4,
                    devices_per_node=devices,
                    cpus_per_node=64,
                    memory_mib_per_node=1 << 20,
                    price_micros_per_device_hour=MICROS * (9 - at)
                    if kind == "big"
                    else MICROS // 5,
                    power_w_per_device=520.0 if kind == "big" else 9.5,
                )
            )
    facts = (
        _fact("harbour", "pue", "1.28", "standard-2026"),
        _fact("plateau", "pue", "1.15", "assumption", note="<b>no meter</b> was & is read"),
    )
    return Network(
        name="sample",
        label='Sample <network> & "friends"',
        currency="CNY",
        series_origin="2026-01-01T00:00:00+08:00",
        sites=tuple(sites),
        pools=tuple(pools),
        accelerators=(),
        zones=tuple(zones),
        places=(),
        links=(),
        facts=facts,
        sources=(("standard-2026", "A standard, https://standards.example/pue"),),
        digest="d" * 64,
    )


def _day(base: float, swing: float, *, peak: int) -> Series:
    """24 hourly values around ``base``, highest (swing > 0) or lowest at hour ``peak``."""
    wave = (1 + swing * math.cos((hour - peak) * math.tau / 24) for hour in range(24))
    return Series(step_ms=MS_PER_HOUR, values=tuple(round(base * w, 6) for w in wave))


def _fact(name: str, attribute: str, value: str, source: str, note: str = "") -> Fact:
    return Fact(
        component="sites",
        name=name,
        attribute=attribute,
        value=value,
        unit="1",
        valid_from="2026-01-01",
        source=source,
        assumption=source == "assumption",
        note=note,
    )


def small_workload(jobs: int = 400, seed: int = 7) -> Workload:
    """Three days of jobs: part-device to two-node gangs, a third with a deadline."""
    rng = np.random.default_rng(seed)
    submit = np.sort(rng.integers(0, 72 * MS_PER_HOUR, jobs))
    duration = np.minimum(rng.lognormal(14.5, 1.4, jobs).astype(np.int64) + 500, 40 * MS_PER_HOUR)
    devices = rng.choice([0, 250, 500, 1000, 2000, 4000, 8000], jobs)
    deadline = np.where(rng.random(jobs) < 1 / 3, submit + 3 * duration + MS_PER_HOUR, -1)
    return Workload(
        name="sample <trace>",
        format="generated",
        digest="e" * 64,
        rows_read=jobs + 3,
        dropped=(DroppedRows(reason="no <end> time", rows=3, first_row=17),),
        notes=("times are seconds in the source & kept whole",),
        submit_ms=submit.astype(np.int64),
        duration_ms=duration,
        estimate_ms=np.full(jobs, -1, dtype=np.int64),
        nodes=np.where(devices >= 4000, rng.integers(1, 3, jobs), 1).astype(np.int32),
        devices_milli=devices.astype(np.int32),
        cpus_milli=np.where(devices == 0, 4000, 0).astype(np.int32),
        memory_mib=np.zeros(jobs, dtype=np.int32),
        user=rng.integers(-1, 9, jobs).astype(np.int32),
        home=rng.integers(-1, 4, jobs).astype(np.int32),
        deadline_ms=deadline.astype(np.int64),
        input_bytes=rng.choice([0, 10**10], jobs).astype(np.int64),
        source_row=np.arange(2, jobs + 2, dtype=np.int64),
    )


@dataclass
class _Bill:
    device: float = 0.0
    power: float = 0.0
    energy: float = 0.0
    location: float = 0.0
    contract: float = 0.0


def rehearse(network: Network, work: Workload, rule: Rule = "westward") -> SimulationResult:
    """Every job on one pool, first come first served there; each 41st is refused."""
    jobs = len(work)
    policy = Policy(rule=rule)
    submit = ZERO_MS + work.submit_ms
    ints = {
        name: np.full(jobs, -1, dtype=np.int64)
        for name in ("pool", "home", "start", "end", "not_before", "predicted")
    }
    ints["not_before"] = submit.copy()
    ints["home"] = work.home.astype(np.int64)
    need, refusal = np.zeros(jobs, dtype=np.int64), np.zeros(jobs, dtype=np.int16)
    money = {name: np.zeros(jobs) for name in ("device", "power", "carbon", "transfer", "wait")}
    energy, location, contract = (np.zeros(jobs) for _ in range(3))
    running: list[list[tuple[int, int]]] = [[] for _ in network.pools]
    free = [pool.capacity_milli for pool in network.pools]
    clock = [0] * len(network.pools)
    for row in range(jobs):
        if row % 41 == 40:
            refusal[row] = refusal_number(Code.NO_SITE_FITS)
            continue
        at = _choose(rule, network, work, row)
        pool = network.pools[at]
        asked = int(work.nodes[row]) * int(work.devices_milli[row] or work.cpus_milli[row])
        begin = int(submit[row])
        if rule == "lowest-carbon" and work.deadline_ms[row] < 0 and row % 3 == 0:
            begin += 5 * MS_PER_HOUR
            ints["not_before"][row] = begin
        begin = max(begin, clock[at])
        while running[at] and (running[at][0][0] <= begin or free[at] < asked):
            end, held = heapq.heappop(running[at])
            free[at] += held
            begin = max(begin, end)
        clock[at] = begin
        end = begin + int(work.duration_ms[row])
        free[at] -= asked
        heapq.heappush(running[at], (end, asked))
        bill = _charge(network, pool, asked / 1000, begin, end)
        ints["pool"][row], ints["start"][row], ints["end"][row] = at, begin, end
        ints["predicted"][row] = begin - (row % 5) * 60_000
        need[row] = asked
        money["device"][row], money["power"][row] = bill.device, bill.power
        money["carbon"][row] = bill.location * policy.carbon_price_micros_per_tonne / 1e6
        waited_h = (begin - int(submit[row])) / MS_PER_HOUR
        money["wait"][row] = waited_h * asked / 1000 * policy.wait_value_micros_per_device_hour
        energy[row], location[row], contract[row] = bill.energy, bill.location, bill.contract
    return SimulationResult(
        policy=policy,
        network=network,
        workload=work,
        seed=11,
        series_origin_ms=ORIGIN_MS,
        workload_zero_ms=ZERO_MS,
        pool=ints["pool"].astype(np.int32),
        home_site=ints["home"].astype(np.int32),
        submit_ms=submit,
        start_ms=ints["start"],
        end_ms=ints["end"],
        need_milli=need,
        not_before_ms=ints["not_before"],
        predicted_start_ms=ints["predicted"],
        start_low_ms=np.full(len(ints["start"]), -1, dtype=np.int64),
        start_high_ms=np.full(len(ints["start"]), -1, dtype=np.int64),
        refusal=refusal,
        device_micros=money["device"],
        power_micros=money["power"],
        carbon_micros=money["carbon"],
        transfer_micros=money["transfer"],
        wait_micros=money["wait"],
        energy_kwh=energy,
        carbon_location_g=location,
        carbon_contract_g=contract,
        wall_s=0.5,
        cpu_s=0.4,
        events=2 * jobs,
    )


def _choose(rule: Rule, network: Network, work: Workload, row: int) -> int:
    """Pools alternate big, cpu by site; the rule only shifts the site."""
    kind = 0 if work.devices_milli[row] else 1
    home = max(0, int(work.home[row]))
    site = {
        "westward": (1, 3, 1, 3, 0)[row % 5],
        "cheapest-static": 3,
        "earliest-start": row % 4,
        "first-to-admit": (0, 0, 1, 2)[row % 4],
        "home-site": home,
        "lowest-carbon": 1,
    }[rule]
    return 2 * site + kind


def _charge(network: Network, pool: Pool, devices: float, begin: int, end: int) -> _Bill:
    """Slices the run at every full hour since the origin and adds up."""
    site = network.site(pool.site)
    zone = network.zone(site.zone)
    assert site.pue is not None
    assert pool.power_w_per_device is not None
    assert pool.price_micros_per_device_hour is not None
    assert zone.tariff_per_kwh is not None
    assert zone.carbon_location_g_per_kwh is not None
    kilowatts = devices * pool.power_w_per_device / 1000 * site.pue
    bill = _Bill()
    at = begin
    while at < end:
        edge = min(end, at - (at - ORIGIN_MS) % MS_PER_HOUR + MS_PER_HOUR)
        kwh = kilowatts * (edge - at) / MS_PER_HOUR
        bill.energy += kwh
        bill.power += kwh * zone.tariff_per_kwh.at(at - ORIGIN_MS) * MICROS
        bill.location += kwh * zone.carbon_location_g_per_kwh.at(at - ORIGIN_MS)
        if zone.carbon_contract_g_per_kwh is None:
            bill.contract = math.nan
        else:
            bill.contract += kwh * zone.carbon_contract_g_per_kwh.at(at - ORIGIN_MS)
        at = edge
    bill.device = devices * (end - begin) / MS_PER_HOUR * pool.price_micros_per_device_hour
    return bill
