"""Jobs that ran more than once: their runs in the tables, made by hand and counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sample_rehearsal import rehearse, small_network, small_workload

from tests.checker.rehearsal import read_rehearsals
from westward.model.units import MS_PER_HOUR
from westward.simulate import tables
from westward.simulate.metrics import bounded_slowdown, device_hours, run_ms, site_utilisation
from westward.simulate.outputs import write_outputs
from westward.simulate.results import SEGMENT_ENDS, Provenance, Segments, SimulationResult
from westward.simulate.runs import Runs, runs_of

Piece = tuple[int, int, int, int, int]
"""(row, pool, start_ms, end_ms, need_milli)"""


def interrupted(made: SimulationResult, pieces: list[Piece]) -> SimulationResult:
    """``made`` with those runs instead; energy and device cost of their jobs at the pools' rates."""
    row, pool, start, end, need = (
        np.array(column, dtype=np.int64) for column in zip(*pieces, strict=True)
    )
    last = np.append(row[1:] != row[:-1], True)
    hours = need / 1000 * (end - start) / MS_PER_HOUR
    segments = Segments(
        row=row,
        pool=pool,
        start_ms=start,
        end_ms=end,
        need_milli=need,
        why=np.where(last, SEGMENT_ENDS.index("finished"), SEGMENT_ENDS.index("preempted")),
        lost_ms=np.zeros_like(row),
        device_micros=hours * [price(made, p) for p in pool.tolist()],
        power_micros=np.zeros(len(row)),
        carbon_g=np.zeros(len(row)),
        energy_kwh=hours * [kw(made, p) for p in pool.tolist()],
    )
    columns = {name: getattr(made, name).copy() for name in made.columns()}
    for r in set(row.tolist()):
        columns["energy_kwh"][r] = columns["device_micros"][r] = 0.0
        mine = [piece for piece in pieces if piece[0] == r]
        for _, p, begin, until, held in mine:
            hours = held / 1000 * (until - begin) / MS_PER_HOUR
            columns["energy_kwh"][r] += hours * kw(made, p)
            columns["device_micros"][r] += hours * price(made, p)
        _, columns["pool"][r], _, columns["end_ms"][r], columns["need_milli"][r] = mine[-1]
        columns["start_ms"][r] = mine[0][2]
    return replace(made, segments=segments, **columns)


def kw(result: SimulationResult, p: int) -> float:
    pool = result.network.pools[p]
    watts, pue = pool.power_w_per_device, result.network.site(pool.site).pue
    assert watts is not None
    assert pue is not None
    return watts / 1000 * pue


def price(result: SimulationResult, p: int) -> float:
    micros = result.network.pools[p].price_micros_per_device_hour
    assert micros is not None
    return float(micros)


def rows_of(runs: Runs) -> list[Piece]:
    columns = (runs.row, runs.pool, runs.start_ms, runs.end_ms, runs.need_milli)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.fixture(scope="module")
def result() -> SimulationResult:
    """Two of 400 jobs were cut short: one came back elsewhere, with another need."""
    made = rehearse(small_network(), small_workload())
    length = made.end_ms - made.start_ms
    far, near = np.flatnonzero(made.placed & (length > 5 * MS_PER_HOUR))[:2].tolist()
    p, q = int(made.pool[far]), int(made.pool[near])
    other = (p + 2) % len(made.network.pools)
    s, t = int(made.start_ms[far]), int(made.start_ms[near])
    h = MS_PER_HOUR
    need = int(made.need_milli[near])
    return interrupted(
        made,
        sorted(
            [
                (far, p, s, s + h + 17, 3000),
                (far, other, s + 4 * h, s + 6 * h, 1500),
                (far, other, s + 6 * h, s + 7 * h + 1, 1500),
                (near, q, t, t + 10, need),
                (near, q, t + 5 * h, t + 9 * h + 3, need),
            ]
        ),
    )


def test_runs_stand_for_every_placed_job_once(result: SimulationResult) -> None:
    runs = runs_of(result)
    assert len(runs.row) == result.placed.sum() + 3
    assert (np.lexsort((runs.start_ms, runs.row)) == np.arange(len(runs.row))).all()
    assert runs.row[runs.first].tolist() == np.flatnonzero(result.placed).tolist()
    untouched = replace(result, segments=None)
    assert (runs_of(untouched).row == np.flatnonzero(result.placed)).all()


def test_hours_hold_every_run_where_it_was(result: SimulationResult) -> None:
    """Device time, energy and device cost of each pool and hour, run by run, hour by hour."""
    runs = runs_of(result)
    held: dict[tuple[str, int], int] = {}
    energy: dict[str, float] = {}
    money: dict[str, float] = {}
    for _, p, start, end, need in rows_of(runs):
        name = result.network.pools[p].name
        hours = need / 1000 * (end - start) / MS_PER_HOUR
        energy[name] = energy.get(name, 0.0) + hours * kw(result, p)
        money[name] = money.get(name, 0.0) + hours * price(result, p)
        at = start
        while at < end:
            hour = at // MS_PER_HOUR * MS_PER_HOUR
            until = min(end, hour + MS_PER_HOUR)
            held[name, hour] = held.get((name, hour), 0) + need * (until - at)
            at = until
    table = tables.hours_table(result)
    for row in table.iter_rows(named=True):
        assert row["device_milli_ms"] == held.get((row["pool"], row["hour_ms"]), 0)
    sums = table.group_by("pool").agg(pl.selectors.numeric().sum())
    for row in sums.iter_rows(named=True):
        assert row["power_kwh"] == pytest.approx(energy.get(row["pool"], 0.0), rel=1e-9)
        assert row["device_micros"] == pytest.approx(money.get(row["pool"], 0.0), rel=1e-9)
    assert table["starts"].sum() == table["ends"].sum() == len(runs.row)
    assert table["arrivals"].sum() == result.placed.sum()
    gaps = int((runs.start_ms - runs.waited_from_ms(result.submit_ms)).sum())
    waited = (table["waiting_jobs_mean"] * table["step_ms"]).sum()
    assert waited == pytest.approx(gaps, rel=1e-9)
    first_waits = int((result.start_ms - result.submit_ms)[result.placed].sum())
    assert gaps - first_waits == 3 * MS_PER_HOUR - 17 + 5 * MS_PER_HOUR - 10


def test_figures_of_a_job_count_its_runs_only(result: SimulationResult) -> None:
    assert result.segments is not None
    far = int(result.segments.row[0])
    assert run_ms(result)[far] == 4 * MS_PER_HOUR + 18
    held = 3.0 * (1 + 17 / MS_PER_HOUR) + 1.5 * (3 + 1 / MS_PER_HOUR)
    assert device_hours(result)[far] == pytest.approx(held, rel=1e-12)
    stayed = result.end_ms[far] - result.submit_ms[far]
    assert bounded_slowdown(result)[far] == stayed / (4 * MS_PER_HOUR + 18)
    row = tables.jobs_table(result).row(far, named=True)
    assert row["run_ms"] == 4 * MS_PER_HOUR + 18
    assert row["end_ms"] - row["start_ms"] == 7 * MS_PER_HOUR + 1
    use = site_utilisation(result, until_ms=int(result.end_ms.max()))
    by_site = tables.hours_table(result).group_by("site").agg(pl.col("device_hours").sum())
    table = dict(by_site.iter_rows())
    for part in use:
        assert part["device_hours"] == pytest.approx(table[part["site"]], rel=1e-9)


def test_the_folder_tells_every_run_and_the_checker_reads_it(
    result: SimulationResult, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    plain = rehearse(small_network(), small_workload(), "home-site")
    write_outputs([result, plain], out, provenance=Provenance(commit=None, command="", versions=()))
    assert [path.name for path in out.glob("segments*")] == ["segments-westward.parquet"]
    told, other = read_rehearsals(out)
    assert (told.own_segments, other.own_segments) == (True, False)
    runs = runs_of(result)
    names = [pool.name for pool in result.network.pools]
    assert [(s.row, s.pool, s.start_ms, s.end_ms) for s in told.segments] == [
        (r, names[p], s, e) for r, p, s, e, _ in rows_of(runs)
    ]
    assert [s.why for s in told.segments if s.index or s.why != "finished"].count("preempted") == 3
    # A folder with such a file is a rehearsal's, and may be replaced by one without.
    write_outputs([plain], out, provenance=Provenance(commit=None, command="", versions=()))
    assert not list(out.glob("segments*"))
