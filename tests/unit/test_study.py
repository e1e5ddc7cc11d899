"""Studies in parts: the file and its faults, what overrides do, measures, words, answers, cells."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from westward.formats.generate import generate
from westward.model.faults import InputFaults
from westward.model.network import Network
from westward.network.loader import load_network
from westward.study import words
from westward.study.answer import fill, parse_hole
from westward.study.cells import Cell, CellResult, cell_digest, cells_of, run_cell
from westward.study.changes import apply_override, links_between, with_ratio
from westward.study.measures import MEASURES, Row
from westward.study.model import Generated, Study
from westward.study.reader import read_study
from westward.study.runner import CellStore, in_this_process, run_study
from westward.study.table import Figures, Spread, Where, tidy_table
from westward.study.workloads import build_workload, faster, first_jobs

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "studies").glob("*.yaml"))
SMALL = """\
schema_version: 1
name: small
title: A small study
question: Is it cheaper?
expected: It is.
network: {network}
devices: 400
seeds: [1, 2]
assumptions:
  - text: Everything.
    source: assumption
workloads:
  some:
    generate: {{jobs: 120, load: 0.5, max_gang_devices: 16, duration_max: 6h}}
policies:
  westward: {{}}
  home:
    rule: home-site
overrides:
  cheap:
    label: power at half the price
    changes:
      - tariff: {{factor: 0.5}}
metrics: [cost, power_cost, wait_mean, placed_share, "share_at side=west"]
breakdowns:
  length: {{by: run_time}}
answer: "Power {{change power_cost override=cheap}}."
"""


def write(tmp_path: Path, text: str = SMALL, **replaced: str) -> Path:
    body = text.format(network=ROOT / "networks" / "east-west")
    for old, new in replaced.items():
        body = body.replace(f"@{old}@", new)
    file = tmp_path / "small.yaml"
    file.write_text(body, encoding="utf-8")
    return file


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(write(tmp_path))


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(ROOT / "networks" / "east-west")


def with_changes(tmp_path: Path, changes: str) -> Study:
    """The small study whose override ``cheap`` has these changes instead."""
    return read_study(write(tmp_path, SMALL.replace("- tariff: {{factor: 0.5}}", changes)))


def faults_of(tmp_path: Path, text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(InputFaults) as caught:
        read_study(write(tmp_path, text))
    return [
        (fault.row, fault.field, f"{fault.problem} {fault.remedy}") for fault in caught.value.faults
    ]


# The file


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_have_no_fault_with_and_without_quick(file: Path) -> None:
    full = read_study(file, environment={})
    quick = read_study(file, quick=True, environment={})
    assert full.workloads
    assert full.assumptions
    assert full.answer
    assert len(quick.seeds) < len(full.seeds)
    for whole, part in zip(full.workloads, quick.workloads, strict=True):
        assert isinstance(whole.source, Generated)
        assert isinstance(part.source, Generated)
        assert part.source.jobs < whole.source.jobs


def test_there_are_five_shipped_studies() -> None:
    assert [path.stem for path in SHIPPED] == [
        "faster-link",
        "hub-lost-for-a-day",
        "three-to-one-tariff",
        "toward-2030",
        "west-or-east",
    ]


def test_all_faults_are_told_at_once_with_line_and_remedy(tmp_path: Path) -> None:
    text = (
        SMALL.replace("question: Is it cheaper?\n", "qestion: Is it cheaper?\n")
        .replace("rule: home-site", "rule: home-sight")
        .replace("- tariff: {{factor: 0.5}}", "- tarif: {{factor: 0.5}}")
        .replace("[cost, ", "[costs, ")
        .replace("source: assumption", "source: N1")
        .replace("by: run_time", "by: runtime")
        .replace("load: 0.5", "load: -1")
    )
    found = faults_of(tmp_path, text)
    by_field = {field: (row, words) for row, field, words in found}
    assert by_field["qestion"] == (4, "unknown key Did you mean question?")
    assert by_field["question"][1].startswith("is missing")
    assert "Did you mean home-site?" in by_field["policies.home.rule"][1]
    assert "Did you mean tariff?" in by_field["overrides.cheap.changes[0].tarif"][1]
    assert "Did you mean cost?" in by_field["metrics"][1]
    assert by_field["assumptions[0].source"][0] == 11
    assert "Did you mean run_time?" in by_field["breakdowns.length.by"][1]
    assert by_field["workloads.some.generate.load"][1].startswith("'-1' is no number from")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("- close: {{sites: qingyan}}", "Did you mean qingyang?"),
        ("- close: {{sites: side=wst}}", "Did you mean side=west?"),
        ("- link: {{from: guian, to: qingyang}}", "changes nothing"),
        ("- link: {{from: guian, to: guian, price_factor: 2}}", "no link joins these ends"),
        ("- add_devices: {{pool: qingyang-h20}}", "is missing"),
        ("- voucher: {{share: 1.5, sites: all}}", "is no number from 0 to 1"),
        ("- outage: {{sites: guian, from: 1h}}", "is missing"),
        ("- tariff: {{}}", "changes nothing"),
        ("- close: {{pools: guian-a800-80gb, site: guian}}", "Did you mean sites?"),
        ("- close: {{sites: guian}}\n        price: {{factor: 2}}", "holds 2 keys"),
    ],
)
def test_faults_of_changes(tmp_path: Path, changes: str, words: str) -> None:
    found = faults_of(tmp_path, SMALL.replace("- tariff: {{factor: 0.5}}", changes))
    assert any(words in said for _, _, said in found), found


@pytest.mark.parametrize(
    "changes",
    [
        "- link: {{price_per_gb: .nan}}",
        "- link: {{bandwidth_gbps: fast}}",
        "- tariff: {{peak_valley_ratio: .nan}}",
    ],
)
def test_what_may_be_left_out_and_is_no_number_is_one_fault(tmp_path: Path, changes: str) -> None:
    [(_, _, said)] = faults_of(tmp_path, SMALL.replace("- tariff: {{factor: 0.5}}", changes))
    assert "is no number from" in said


def test_names_too_long_to_ask_for_are_faults(tmp_path: Path) -> None:
    long = "x" * 300
    [(_, field, said)] = faults_of(tmp_path, re.sub("network: .*", f"network: {long}", SMALL))
    assert field == "network"
    assert "there is no folder" in said
    recorded = re.sub("generate: .*", f"recorded: {long}", SMALL, count=1)
    assert any(long in said for _, _, said in faults_of(tmp_path, recorded))


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("{{chnge power_cost}}", "Did you mean change?"),
        ("{{change wait_p95}}", "is not measured here"),
        ("{{change power_cost override=cheep}}", "Did you mean cheap?"),
        ("{{above cost over=override}}", "needs limit=NUMBER"),
        ("{{least cost}}", "needs over=AXIS"),
        ("{{value cost polcy=home}}", "Did you mean policy?"),
    ],
)
def test_faults_of_answers(tmp_path: Path, sentence: str, words: str) -> None:
    found = faults_of(tmp_path, SMALL.replace("{{change power_cost override=cheap}}", sentence))
    assert [field for _, field, _ in found] == ["answer"]
    assert words in found[0][2]


def test_a_recorded_workload_that_is_absent(tmp_path: Path) -> None:
    recorded = SMALL.replace(
        "policies:",
        "  traced:\n    recorded: ${{NOWHERE_TRACES}}/a.swf\n    format: swf\npolicies:",
    )
    found = faults_of(tmp_path, recorded)
    assert found[0][1] == "workloads.traced.recorded"
    assert "the variable NOWHERE_TRACES is not set" in found[0][2]
    optional = recorded.replace("    format: swf", "    format: swf\n    optional: true")
    kept = read_study(write(tmp_path, optional), environment={})
    assert [workload.name for workload in kept.workloads] == ["some"]
    assert kept.skipped == ("traced: the variable NOWHERE_TRACES is not set",)


def test_a_policy_may_review_and_price(tmp_path: Path) -> None:
    text = SMALL.replace("policies:\n", "policies:\n  both: {{review: 1m, price_period: 6h}}\n", 1)
    policies = {one.name: one.policy for one in read_study(write(tmp_path, text)).policies}
    assert (policies["both"].review_ms, policies["both"].price_period_ms) == (60_000, 21_600_000)
    assert (policies["home"].review_ms, policies["home"].price_period_ms) == (0, 0)


def test_a_policy_may_assume_another_run_time(tmp_path: Path) -> None:
    text = SMALL.replace("policies:\n", "policies:\n  short: {{assume_duration: 40s}}\n", 1)
    policies = {one.name: one.policy for one in read_study(write(tmp_path, text)).policies}
    assert policies["short"].assumed_duration_ms == 40_000
    assert policies["home"].assumed_duration_ms == 3_600_000
    none = faults_of(tmp_path, text.replace("40s", "0"))
    assert [(field, words) for _, field, words in none] == [
        (
            "policies.short.assume_duration",
            "'0' is too short; write for example 30s Correct the value.",
        )
    ]


def test_empty_and_listed_files_are_told_in_the_words_of_studies(tmp_path: Path) -> None:
    for text in ("", "- a\n"):
        found = faults_of(tmp_path, text)
        assert "Begin with name: and question:." in found[0][2]


# Overrides


def test_tariff_factor_addition_and_ratio(tmp_path: Path, network: Network) -> None:
    study = with_changes(
        tmp_path, "- tariff: {{zones: gansu, factor: 2, add_per_kwh: 0.1, peak_valley_ratio: 4}}"
    )
    changed = apply_override(study.network, study.overrides[1], 1).network
    before = network.zone("gansu").tariff_per_kwh
    after = changed.zone("gansu").tariff_per_kwh
    assert before is not None
    assert after is not None
    assert max(after.values) / min(after.values) == pytest.approx(4)
    assert np.mean(after.values) == pytest.approx(2 * np.mean(before.values) + 0.1)
    assert (
        np.argsort(after.values, kind="stable").tolist()
        == np.argsort(before.values, kind="stable").tolist()
    )
    assert changed.zone("hebei") == network.zone("hebei")


def test_a_flat_tariff_has_no_ratio() -> None:
    with pytest.raises(ValueError, match="no peak to raise"):
        with_ratio([0.5] * 24, 3.0)
    assert with_ratio([0.25, 0.75], 1.0) == [0.5, 0.5]


def test_voucher_capacity_close_and_devices(tmp_path: Path) -> None:
    study = with_changes(
        tmp_path,
        "- voucher: {{share: 0.3, sites: qingyang}}\n"
        "      - capacity: {{factor: 2, sites: guian}}\n"
        "      - close: {{pools: accelerator=L40S}}\n"
        "      - add_devices: {{pool: qingyang-h20, devices: 5_000}}",
    )
    base, changed = study.network, apply_override(study.network, study.overrides[1], 1).network
    for pool in base.pools:
        after = changed.pool(pool.name)
        price = pool.price_micros_per_device_hour
        assert price is not None
        share = 0.7 if pool.site == "qingyang" else 1.0
        assert after.price_micros_per_device_hour == round(price * share)
        assert after.status == ("down" if pool.accelerator == "L40S" else "open")
        nodes = pool.nodes * (2 if pool.site == "guian" else 1)
        assert after.nodes == nodes + (625 if pool.name == "qingyang-h20" else 0)
    assert changed.digest != base.digest


def test_links_are_changed_and_cut_both_ways_round(tmp_path: Path) -> None:
    study = with_changes(
        tmp_path,
        "- link: {{from: side=west, to: side=east, bandwidth_factor: 0.1, price_per_gb: 0.2}}\n"
        "      - cut_link: {{from: qingyang, to: all}}",
    )
    base, changed = study.network, apply_override(study.network, study.overrides[1], 1).network
    west = tuple(s.name for s in base.sites if s.tag("side") == "west")
    east = tuple(s.name for s in base.sites if s.tag("side") == "east")
    assert len(links_between(base, west, east)) == len(west) * len(east)
    for link in base.links:
        after = changed.link(link.a, link.b)
        if "qingyang" in (link.a, link.b):
            assert after is None
        elif (link.a in west and link.b in east) or (link.a in east and link.b in west):
            assert after is not None
            assert after.bandwidth_gbps == pytest.approx(10.0)
            assert after.price_micros_per_gb == 200_000
        else:
            assert after == link


def test_a_new_site_has_pools_and_links_no_faster_than_light(tmp_path: Path) -> None:
    study = with_changes(
        tmp_path,
        "- add_site: {{name: hami, zone: gansu, lat_deg: 42.8, lon_deg: 93.5, pue: 1.2, "
        "bandwidth_gbps: 100, price_per_gb: 0.05, tags: {{side: west}}, pools: [{{name: hami-h20, "
        "accelerator: H20, devices: 80, price_per_device_hour: 4, power_w_per_device: 500}}]}}\n"
        "      - add_devices: {{pool: hami-h20, devices: 9}}",
    )
    changed = apply_override(study.network, study.overrides[1], 1).network
    assert changed.site("hami").tag("side") == "west"
    assert changed.pool("hami-h20").nodes == 12
    assert [site.name for site in changed.sites] == sorted(site.name for site in changed.sites)
    link = changed.link("hami", "shanghai")
    assert link is not None
    assert link.one_way_ms is not None
    assert 1.5 * 13 < link.one_way_ms < 1.5 * 16  # some 2,900 km
    assert run_cell(study, Cell(0, 0, 1, 0)).rows


def test_outages_forecasts_and_shared_links_become_a_scenario(tmp_path: Path) -> None:
    study = with_changes(
        tmp_path,
        "- outage: {{sites: side=west, from: 12h, for: 1d, kind: drain}}\n"
        "      - forecast_error: {{tariff_sigma: 0.2}}\n"
        "      - shared_links: {{queue: true}}",
    )
    base = apply_override(study.network, study.overrides[0], 7)
    assert base.scenario is None
    scenario = apply_override(study.network, study.overrides[1], 7).scenario
    assert scenario is not None
    assert [outage.site for outage in scenario.outages] == [
        "guian", "horinger", "qingyang", "zhongwei",
    ]  # fmt: skip
    outage = scenario.outages[0]
    assert (outage.from_ms, outage.until_ms, outage.kind) == (43_200_000, 129_600_000, "drain")
    assert scenario.shared_links
    assert scenario.forecast is not None
    assert (scenario.forecast.tariff_sigma, scenario.forecast.seed) == (0.2, 7)


def test_changes_of_the_base_come_before_every_override(tmp_path: Path) -> None:
    text = SMALL.replace(
        "overrides:\n", "overrides:\n  base:\n    changes:\n      - close: {{sites: side=east}}\n"
    )
    study = read_study(write(tmp_path, text))
    plain = read_study(write(tmp_path))
    assert study.capacity_devices < plain.capacity_devices
    for override in study.overrides:
        changed = apply_override(study.network, override, 1).network
        assert changed.pool("wuhu-ascend-910b").status == "down"


# Workloads


def test_demand_brings_more_work_in_the_same_time() -> None:
    source = Generated(jobs=2_000, load=0.5, options=dataclasses.replace(_options(), homes=3))
    once, twice = (
        build_workload(source, seed=3, capacity_devices=100, homes=3, demand=demand)
        for demand in (1.0, 2.0)
    )
    assert len(twice) == 2 * len(once)
    assert twice.submit_ms[-1] == pytest.approx(once.submit_ms[-1], rel=0.25)


def _options():  # type: ignore[no-untyped-def]
    from westward.formats.generate import GeneratorOptions

    return GeneratorOptions(duration_sigma=0.5, max_gang_devices=4)


def test_a_recorded_workload_is_cut_and_hurried_with_its_slack() -> None:
    whole = generate(200, 1, capacity_devices=50, load=0.5)
    part = first_jobs(whole, 50)
    assert len(part) == len(part.duration_ms) == len(part.home) == 50
    fast = faster(part, 2.0)
    span = part.submit_ms[-1] - part.submit_ms[0]
    assert fast.submit_ms[-1] - fast.submit_ms[0] == pytest.approx(span / 2, abs=1)
    has = part.deadline_ms >= 0
    assert has.any()
    slack = (part.deadline_ms - part.submit_ms)[has]
    assert ((fast.deadline_ms - fast.submit_ms)[has] == slack).all()
    assert (fast.deadline_ms[~has] == -1).all()
    assert len({whole.digest, part.digest, fast.digest}) == 3


# Cells, store, table


def test_cells_are_stored_found_again_and_never_run_twice(study: Study, tmp_path: Path) -> None:
    store = CellStore(tmp_path / "cells")
    told: list[tuple[int, int, int]] = []
    first = run_study(study, store, in_this_process, lambda *at: told.append(at))
    assert told == [(done, 8, 0) for done in range(9)]

    def refuse(_study: Study, cells: object) -> None:
        raise AssertionError(f"{cells} were run again")

    again = run_study(study, store, refuse, lambda *at: told.append(at))  # type: ignore[arg-type]
    assert told[-1] == (8, 8, 8)
    assert tidy_table(study, again).equals(tidy_table(study, first))
    damaged = next(iter(sorted((tmp_path / "cells").glob("*.json"))))
    damaged.write_text(damaged.read_text()[:50])
    third = run_study(study, store, in_this_process)
    assert tidy_table(study, third).equals(tidy_table(study, first))


def test_an_interrupted_study_keeps_what_is_done(study: Study, tmp_path: Path) -> None:
    store = CellStore(tmp_path / "cells")

    def stop_after_three(asked, cells):  # type: ignore[no-untyped-def]
        for number, done in enumerate(in_this_process(asked, cells)):
            if number == 3:
                raise KeyboardInterrupt
            yield done

    with pytest.raises(KeyboardInterrupt):
        run_study(study, store, stop_after_three)
    ran: list[Cell] = []

    def count(asked, cells):  # type: ignore[no-untyped-def]
        ran.extend(cells)
        yield from in_this_process(asked, cells)

    run_study(study, store, count)
    assert len(ran) == 8 - 3


def test_a_cells_digest_follows_its_inputs_and_not_its_names(study: Study) -> None:
    cell = Cell(0, 0, 1, 0)
    digest = cell_digest(study, cell)
    assert len({cell_digest(study, other) for other in cells_of(study)}) == 8
    named = dataclasses.replace(
        study,
        title="another",
        overrides=(study.overrides[0], dataclasses.replace(study.overrides[1], label="other")),
    )
    assert cell_digest(named, cell) == digest
    for changed in (
        {"metrics": ("cost",)},
        {"seeds": (3, 2)},
        {"capacity_devices": 401},
        {"network": dataclasses.replace(study.network, zones=study.network.zones[1:])},
    ):
        assert cell_digest(dataclasses.replace(study, **changed), cell) != digest  # type: ignore[arg-type]


def test_a_cell_survives_being_written_down(study: Study) -> None:
    result = run_cell(study, Cell(0, 1, 1, 1))
    assert CellResult.from_json(result.to_json()) == result
    with pytest.raises(ValueError, match="format"):
        CellResult.from_json(json.dumps({"format": "other"}))


def test_halving_the_tariff_halves_what_home_jobs_pay_for_power(study: Study) -> None:
    """Jobs that stay at home run at the same hours whatever power costs: exactly half is left."""
    results = {cell: run_cell(study, cell) for cell in cells_of(study) if cell.policy == 1}
    figures = Figures(study, tidy_table(study, results))
    where = Where("some", "home", "cheap")
    share = figures.change(where, "power_cost")
    assert share is not None
    assert (share.low, share.high) == (pytest.approx(-0.5), pytest.approx(-0.5))
    difference = figures.difference(where, "wait_mean")
    assert difference is not None
    assert difference.low == difference.high == 0.0


def test_classes_share_the_work_out(study: Study) -> None:
    wanted = dataclasses.replace(study, metrics=("work", "jobs"))
    rows = run_cell(wanted, Cell(0, 0, 0, 0)).rows
    whole = {row.metric: row.value for row in rows if not row.breakdown}
    assert whole["jobs"] == 120
    parts = [row.value for row in rows if row.breakdown and row.metric == "work" and row.value]
    assert whole["work"] is not None
    assert 0 < sum(parts) <= whole["work"] + 1e-6


@pytest.mark.parametrize("key", sorted(MEASURES))
def test_every_measure_gives_a_finite_figure(study: Study, key: str) -> None:
    row = run_cell(
        dataclasses.replace(study, metrics=(key,), breakdowns=()), Cell(0, 0, 0, 0)
    ).rows[0]
    assert row.value is not None
    assert np.isfinite(row.value)
    if row.unit == "share":
        assert 0.0 <= row.value <= 1.0


# Differences and sentences


def made_up(study: Study, values: dict[tuple[str, int], float]) -> Figures:
    """Figures of ``power_cost`` by (override, seed)."""
    rows = {
        Cell(0, 0, override, seed): CellResult(
            digest="",
            rows=(Row(metric="power_cost", breakdown="", job_class="all jobs",
                      value=values[name, number], unit="CNY/device-hour"),),
            jobs=1, cpu_s=0.0, wall_s=0.0,
        )
        for override, name in enumerate(("base", "cheap"))
        for seed, number in enumerate((1, 2))
    }  # fmt: skip
    return Figures(study, tidy_table(study, rows))


def test_differences_are_paired_by_seed(study: Study) -> None:
    figures = made_up(
        study, {("base", 1): 10.0, ("base", 2): 100.0, ("cheap", 1): 9.0, ("cheap", 2): 90.0}
    )
    where = Where("some", "westward", "cheap")
    assert figures.change(where, "power_cost") == Spread(-0.1, -0.1, -0.1, 2)
    assert figures.difference(where, "power_cost") == Spread(-5.5, -10.0, -1.0, 2)
    hole = parse_hole("change power_cost override=cheap", study)
    assert fill(hole, figures) == "falls by 10 %"
    assert fill(parse_hole("least power_cost over=override", study), figures) == (
        "power at half the price"
    )
    above = parse_hole("above power_cost over=override limit=50", study)
    assert fill(above, figures) == "base: the network as it is"


def test_a_change_the_seeds_disagree_on_is_chance(study: Study) -> None:
    figures = made_up(
        study, {("base", 1): 10.0, ("base", 2): 10.0, ("cheap", 1): 9.0, ("cheap", 2): 11.5}
    )
    said = fill(parse_hole("change power_cost override=cheap", study), figures)
    assert said == "changes by no more than chance (-10 % to +15 % over the seeds)"
    said = fill(parse_hole("difference power_cost override=cheap", study), figures)
    assert said.startswith("nothing beyond chance (-1 CNY/device-hour")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1234, "share", "12.3 %"),
        (0.25, "h", "15 min"),
        (72.0, "h", "3 d"),
        (0.001, "h", "3.6 s"),
        (12345.678, "CNY", "12,346 CNY"),
        (0.0, "CNY", "0 CNY"),
        (None, "CNY", "no figure"),
    ],
)
def test_figures_in_words(value: float | None, unit: str, text: str) -> None:
    assert words.figure(value, unit) == text


def test_the_table_is_tidy(study: Study) -> None:
    results = {cell: run_cell(study, cell) for cell in cells_of(study)}
    table = tidy_table(study, results)
    keys = ["workload", "policy", "override", "seed", "metric", "breakdown", "class"]
    assert table.select(keys).is_unique().all()
    assert table["seed"].dtype == pl.Int64
    whole = table.filter(pl.col("breakdown") == "")
    assert len(whole) == 8 * len(study.metrics)
    assert whole["value"].null_count() == 0


def test_an_outage_reaches_the_simulator(tmp_path: Path) -> None:
    """A study of a lost cluster must not report that nothing happened."""
    text = SMALL.replace("metrics: [", "metrics: [interrupted_share, ").replace(
        "- tariff: {{factor: 0.5}}", "- outage: {{sites: all, from: 2h, for: 2h}}"
    )
    study = read_study(write(tmp_path, text))
    shares = [run_cell(study, Cell(0, 0, override, 0)).rows[0] for override in (0, 1)]
    assert [row.metric for row in shares] == ["interrupted_share"] * 2
    assert shares[0].value == 0.0
    assert shares[1].value is not None
    assert shares[1].value > 0.0
