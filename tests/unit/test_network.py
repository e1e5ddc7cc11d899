"""Loading a network folder: what a right folder becomes, and what a wrong one is told."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from network_cases import SMALL_NETWORK, Case, apply_edit, fingerprint, load_cases
from shared_data import shared_facts

from westward.model.faults import InputFaults
from westward.model.network import Network
from westward.network.check import CheckReport, check_network
from westward.network.check_text import WIDTH, render_check
from westward.network.loader import load_network
from westward.network.physics import great_circle_km
from westward.network.schema_text import render_schema
from westward.network.schemas import TABLES, table_schema

ROOT = Path(__file__).parents[2]
NETWORKS = ROOT / "networks"
GOLDEN = ROOT / "tests" / "golden"
CASES = load_cases()
HOUR_MS = 3_600_000


def small(tmp_path: Path, *edits: dict[str, object]) -> Path:
    folder = tmp_path / "net"
    shutil.copytree(SMALL_NETWORK, folder)
    for edit in edits:
        apply_edit(folder, edit)
    return folder


def report_on(folder: Path, as_of: str | None = None) -> CheckReport:
    return check_network(load_network(folder, as_of=as_of), folder, as_of=as_of)


# ---- wrong folders


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_folder_is_told_every_fault_and_nothing_is_written(
    case: Case, tmp_path: Path
) -> None:
    folder = case.build(tmp_path)
    before = fingerprint(tmp_path)
    with pytest.raises(InputFaults) as caught:
        load_network(folder)
    assert [str(fault) for fault in caught.value.faults] == case.expect
    assert fingerprint(tmp_path) == before


def test_the_corpus_is_large_enough_and_its_base_is_right() -> None:
    assert len(CASES) >= 40
    assert load_network(SMALL_NETWORK).name == "small"


def test_missing_folder_and_wrong_date_are_faults(tmp_path: Path) -> None:
    with pytest.raises(InputFaults, match="does not exist"):
        load_network(tmp_path / "nowhere")
    with pytest.raises(InputFaults, match="is a file"):
        load_network(SMALL_NETWORK / "sites.csv")
    with pytest.raises(InputFaults, match="not a date"):
        load_network(SMALL_NETWORK, as_of="last week")


# ---- what is built


def test_blanks_stay_blank_and_money_is_integer_millionths() -> None:
    network = load_network(SMALL_NETWORK)
    cpu, card = network.pools
    assert (cpu.name, cpu.accelerator, cpu.price_micros_per_device_hour) == ("east-cpu", None, None)
    assert (card.price_micros_per_device_hour, card.power_w_per_device) == (5_000_000, 400.0)
    assert card.managed
    assert (card.engine, card.status) == ("local", "open")
    link = network.link("west", "east")
    assert link is not None
    assert link.price_micros_per_gb == 100_000
    assert network.accelerators[0].power_w_max is None
    assert network.zone("coast").carbon_contract_g_per_kwh is None


def test_a_tariff_is_its_base_times_its_shape() -> None:
    network = load_network(SMALL_NETWORK)
    inland, coast = network.zone("inland").tariff_per_kwh, network.zone("coast").tariff_per_kwh
    assert inland is not None
    assert coast is not None
    assert inland.values == (0.6, 0.2, 0.4)
    assert coast.values == (0.8, 0.8, 0.8)
    assert inland.step_ms == HOUR_MS
    assert inland.at(4 * HOUR_MS) == 0.2
    assert inland.at(-HOUR_MS) == 0.4


def test_a_shape_without_base_leaves_the_tariff_unknown(tmp_path: Path) -> None:
    edit = {"replace": "zones.csv", "old": "inland,0.4", "new": "inland,"}
    network = load_network(small(tmp_path, edit))
    assert network.zone("inland").tariff_per_kwh is None


def test_the_fact_in_force_is_the_latest_not_after_the_date() -> None:
    def factor(as_of: str | None) -> float | None:
        series = load_network(SMALL_NETWORK, as_of=as_of).zone("inland").carbon_location_g_per_kwh
        return None if series is None else series.values[0]

    # as_of must not be before 2024, where the pools' required facts begin
    assert factor(None) == 480
    with pytest.raises(InputFaults, match="has no nodes yet at 2023-06"):
        load_network(SMALL_NETWORK, as_of="2023-06")


def test_a_fact_before_its_first_date_is_unknown(tmp_path: Path) -> None:
    text = (
        "coast,carbon_contract_g_per_kwh,100,g/kWh,2024-03,S1,A,\n"
        "coast,carbon_contract_g_per_kwh,90,g/kWh,2025-07-15,S1,A,\n"
    )
    folder = small(tmp_path, {"append": "zones.facts.csv", "text": text})

    def contract(as_of: str) -> float | None:
        series = load_network(folder, as_of=as_of).zone("coast").carbon_contract_g_per_kwh
        return None if series is None else series.values[0]

    assert contract("2024-02-29") is None
    assert contract("2024-03-01") == 100
    assert contract("2025-07-14") == 100
    assert contract("2025-07-15") == 90
    assert contract("2026") == 90


def test_a_star_speaks_for_all_that_say_nothing_of_their_own(tmp_path: Path) -> None:
    text = (
        "*,carbon_contract_g_per_kwh,100,g/kWh,2024,S1,A,\n"
        "coast,carbon_contract_g_per_kwh,50,g/kWh,2024,S1,A,\n"
    )
    network = load_network(small(tmp_path, {"append": "zones.facts.csv", "text": text}))
    coast = network.zone("coast").carbon_contract_g_per_kwh
    inland = network.zone("inland").carbon_contract_g_per_kwh
    assert coast is not None
    assert inland is not None
    assert (coast.values[0], inland.values[0]) == (50, 100)
    named = [f.name for f in network.facts if f.attribute == "carbon_contract_g_per_kwh"]
    assert named == ["coast", "inland"]


def test_every_fact_of_every_date_is_kept_with_its_source() -> None:
    network = load_network(SMALL_NETWORK)
    dated = [
        (f.value, f.unit, f.valid_from, f.source, f.assumption)
        for f in network.facts
        if (f.component, f.name, f.attribute) == ("zones", "inland", "carbon_location_g_per_kwh")
    ]
    assert dated == [("500", "g/kWh", "2022", "S1", False), ("480", "g/kWh", "2023", "S1", False)]
    assumed = {f.note for f in network.facts if f.assumption}
    assert assumed == {"half of the coast", "for tests"}
    assert all(fact.unit and fact.valid_from and fact.source for fact in network.facts)


def test_extra_tag_columns_become_tags(tmp_path: Path) -> None:
    edits = [
        {"replace": "sites.csv", "old": "name,label,", "new": "name,label,tag.cloud,"},
        {"replace": "sites.csv", "old": "east,East,", "new": "east,East,public,"},
        {"replace": "sites.csv", "old": "west,West,", "new": "west,West,,"},
    ]
    east, west = load_network(small(tmp_path, *edits)).sites
    assert east.tags == (("cloud", "public"), ("side", "east"))
    assert west.tags == (("side", "west"),)


def test_windows_files_load_alike(tmp_path: Path) -> None:
    folder = small(tmp_path)
    for name in ("sites.csv", "pools.csv", "network.yaml"):
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(b"\xef\xbb\xbf" + raw.replace(b"\n", b"\r\n"))
    network, plain = load_network(folder), load_network(SMALL_NETWORK)
    assert network.pools == plain.pools
    assert network.sites == plain.sites
    assert network.digest != plain.digest


def test_the_digest_covers_data_and_not_remarks(tmp_path: Path) -> None:
    folder = small(tmp_path)
    before = load_network(folder).digest
    (folder / "README.md").write_text("remarks")
    (folder / ".hidden").write_text("an editor's file")
    assert load_network(folder).digest == before
    apply_edit(folder, {"replace": "pools.csv", "old": "262144,5,", "new": "262144,6,"})
    assert load_network(folder).digest != before


def test_rows_may_stand_in_any_order(tmp_path: Path) -> None:
    folder = small(tmp_path)
    for name in ("pools.csv", "sites.csv", "links.csv"):
        header, *rows = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join([header, *reversed(rows)]) + "\n")
    network, plain = load_network(folder), load_network(SMALL_NETWORK)
    assert network.pools == plain.pools
    assert network.sites == plain.sites


def test_great_circle_agrees_with_known_distances() -> None:
    paris, london = (48.8566, 2.3522), (51.5074, -0.1278)
    assert great_circle_km(*paris, *london) == pytest.approx(343.6, abs=1)
    assert great_circle_km(0, 0, 0, 180) == pytest.approx(20015, abs=1)
    assert great_circle_km(10, 20, 10, 20) == 0


def test_a_latency_at_the_very_limit_passes_and_below_it_fails(tmp_path: Path) -> None:
    light_ms = great_circle_km(31.2, 121.5, 37.5, 105.2) / 204.2
    for factor, right in ((1.0001, True), (0.9999, False)):
        folder = small(
            tmp_path / str(right),
            {"replace": "links.csv", "old": "west,12,", "new": f"west,{light_ms * factor:.6f},"},
        )
        if right:
            assert report_on(folder).physics.tightest_link == "east--west"
        else:
            with pytest.raises(InputFaults, match="light in fibre needs"):
                load_network(folder)


# ---- the schema


@pytest.mark.parametrize("table", [*TABLES, "network"])
def test_schema_is_complete(table: str) -> None:
    schema = table_schema(table)
    assert schema.attributes[0].name == "name"
    for attribute in schema.attributes:
        assert attribute.description, attribute.name
        numeric = attribute.scalar in ("float", "int") or attribute.series
        if numeric:
            assert attribute.minimum is not None, attribute.name
            assert attribute.maximum is not None, attribute.name
            assert attribute.unit or table == "targets", attribute.name
        if attribute.default:
            assert attribute.kind == "choice", f"{attribute.name}: no invented default for a fact"


def test_the_how_to_shows_the_schema_as_it_is() -> None:
    page = ROOT / "docs" / "howto" / "network-folder.md"
    mark = "<!-- generated from westward/network/schema by tests/unit/test_network.py -->\n"
    head, _, _ = page.read_text(encoding="utf-8").partition(mark)
    expected = head + mark + "\n" + render_schema()
    if os.environ.get("WESTWARD_UPDATE_GOLDEN") == "1":
        page.write_text(expected, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == expected


# ---- the check


def test_assumed_values_cannot_fulfil_a_target(tmp_path: Path) -> None:
    assert [t.verdict for t in report_on(SMALL_NETWORK).targets] == ["pass"]
    edits = [
        {"replace": "sites.csv", "old": "1.2,S1,2024,A,", "new": "1.2,assumption,2024,,why not"},
    ]
    [target] = report_on(small(tmp_path, *edits)).targets
    assert target.verdict == "unknown"
    assert target.judged[0].basis == "assumption"


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ("t,x,sites,pue,<=,1.25,ratio,all,,S1,2024", "pass"),
        ("t,x,sites,pue,<=,1.22,ratio,all,,S1,2024", "fail"),
        ("t,x,sites,occupancy_pct,>=,65,%,all,,S1,2024", "unknown"),
        ("t,x,links,one_way_ms,<=,12,ms,site-site,,S1,2024", "pass"),
        ("t,x,links,round_trip_ms,<=,12,ms,site-site,,S1,2024", "fail"),
        ("t,x,links,over_theoretical,<=,1.5,ratio,site-site,,S1,2024", "pass"),
        ("t,x,links,over_theoretical,<=,1.4,ratio,site-site,,S1,2024", "fail"),
        ("t,x,links,one_way_ms,<=,5,ms,place-place,,S1,2024", "unknown"),
        ("t,x,network,occupancy_pct,>=,65,%,all,,S1,2024", "unknown"),
    ],
)
def test_targets_are_judged_as_data(row: str, verdict: str, tmp_path: Path) -> None:
    folder = small(tmp_path, {"append": "targets.csv", "text": row + "\n"})
    assert report_on(folder).targets[-1].verdict == verdict


def test_a_target_not_yet_in_force_is_not_judged(tmp_path: Path) -> None:
    row = "t,x,sites,pue,<=,1.1,ratio,all,,S1,2030\n"
    folder = small(tmp_path, {"append": "targets.csv", "text": row})
    assert len(report_on(folder, "2026").targets) == 1
    assert len(report_on(folder, "2030-01-01").targets) == 2


def test_check_refuses_a_folder_that_has_changed(tmp_path: Path) -> None:
    folder = small(tmp_path)
    network = load_network(folder)
    apply_edit(folder, {"replace": "pools.csv", "old": "262144,5,", "new": "262144,6,"})
    with pytest.raises(ValueError, match="has changed"):
        check_network(network, folder)


@pytest.mark.parametrize("name", ["laptop", "east-west"])
def test_check_prints_the_golden_text(name: str) -> None:
    report = report_on(NETWORKS / name)
    text = render_check(report).replace(report.digest[:16], "<digest>")
    assert all(len(line) <= WIDTH for line in text.splitlines())
    golden = GOLDEN / f"network-check-{name}.txt"
    if os.environ.get("WESTWARD_UPDATE_GOLDEN") == "1":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert json.loads(json.dumps(asdict(report)))["network"] == name


# ---- the networks that ship


def sum_at(network: Network, pool_name: str, offset_ms: int) -> float:
    """What one device-hour costs its payer and the site at that moment, without carbon."""
    pool = network.pool(pool_name)
    site = network.site(pool.site)
    tariff = network.zone(site.zone).tariff_per_kwh
    assert pool.price_micros_per_device_hour is not None
    assert pool.power_w_per_device is not None
    assert site.pue is not None
    assert tariff is not None
    power = tariff.at(offset_ms) * pool.power_w_per_device / 1000 * site.pue
    return pool.price_micros_per_device_hour / 1e6 + power


def test_laptop_makes_waiting_worth_while_within_two_minutes() -> None:
    network = load_network(NETWORKS / "laptop")
    assert network.series_origin == "start"
    tariff = network.zone("highland").tariff_per_kwh
    assert tariff is not None
    assert tariff.period_ms == 120_000
    now = {pool.name: sum_at(network, pool.name, 5_000) for pool in network.pools}
    valley = {pool.name: sum_at(network, pool.name, 60_000) for pool in network.pools}
    assert min(now, key=now.__getitem__) == "basin-west"  # an urgent job does not go west
    assert min(valley, key=valley.__getitem__) == "plateau-west"
    assert valley["plateau-west"] < 0.7 * min(now.values())
    gang_of_four = [p for p in network.pools if p.nodes >= 4 and p.devices_per_node >= 1]
    assert gang_of_four
    assert all(pool.engine == "local" and pool.managed for pool in network.pools)
    assert all(fact.assumption for fact in network.facts)
    linked = {place for link in network.links for place in (link.a, link.b)}
    assert linked == {"basin", "harbor", "plateau", "city"}


def test_east_west_is_a_million_devices_at_ten_clusters_of_eight_hubs() -> None:
    network = load_network(NETWORKS / "east-west")
    assert len(network.sites) == 10
    assert len({site.tag("hub") for site in network.sites}) == 8
    assert sum(pool.capacity_milli for pool in network.pools) == 1_000_000_000
    assert {pool.site for pool in network.pools} == {site.name for site in network.sites}
    ends = [site.name for site in network.sites] + [place.name for place in network.places]
    for site in network.sites:
        assert all(network.link(site.name, end) for end in ends if end != site.name)
    for pool in network.pools:  # whatever a planner needs to price is there
        assert sum_at(network, pool.name, 0) > 0
        zone = network.zone(network.site(pool.site).zone)
        assert zone.carbon_location_g_per_kwh is not None
        assert zone.carbon_contract_g_per_kwh is not None


def test_east_west_hourly_carbon_keeps_the_cited_average() -> None:
    network = load_network(NETWORKS / "east-west")
    gansu = network.zone("gansu").carbon_location_g_per_kwh
    assert gansu is not None
    assert sum(gansu.values) / len(gansu.values) == pytest.approx(477.2, abs=1e-6)
    assert min(gansu.values) < 0.75 * 477.2


def test_east_west_agrees_with_the_fact_files() -> None:
    network = load_network(NETWORKS / "east-west")
    with shared_facts("latency_derived.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            link = network.link(row["from"], row["to"])
            if link is not None:
                assert link.one_way_ms == float(row["one_way_ms_at_1.5x"])
    with shared_facts("hubs.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            site = network.site(row["id"])
            assert (site.lat_deg, site.lon_deg) == (float(row["lat"]), float(row["lon"]))
    with shared_facts("grid_factors.csv").open(encoding="utf-8") as file:
        factors = {row["name_en"]: row["kgco2_per_kwh_2022"] for row in csv.DictReader(file)}
    for zone in network.zones:
        series = zone.carbon_location_g_per_kwh
        assert series is not None
        mean = sum(series.values) / len(series.values)
        assert mean == pytest.approx(float(factors[zone.label.removesuffix(" grid")]) * 1000)
