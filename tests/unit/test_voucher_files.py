"""The shipped rule files against the facts they come from; and the reader's faults, all at once."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.shared_data import PROJECT, shared_facts
from westward.cli.main import cli, run
from westward.ledger.vouchers.calendar import day_of
from westward.model.faults import InputFaults
from westward.model.voucher import PPM, Rule
from westward.network.loader import load_network
from westward.network.voucher_files import check_voucher_file, load_vouchers, read_voucher_folder

EAST_WEST = PROJECT / "networks/east-west"
INDIA = PROJECT / "examples/vouchers/india"

ROWS = {
    ("Shanghai city", "compute voucher"): "shanghai-compute",
    ("Shanghai city+district", "compute voucher (joint)"): "shanghai-compute-joint",
    ("Shanghai", "own facility support"): "shanghai-own-facility",
    ("Shanghai", "model voucher"): "shanghai-model",
    ("Shanghai", "corpus voucher"): "shanghai-corpus",
    ("Shanghai", "compute voucher (press)"): "shanghai-compute-press",
    ("Shanghai", "compute (2026 scheme)"): "shanghai-compute-2026",
    ("Beijing", "AI compute voucher"): "beijing-ai-compute",
    ("Beijing E-Town", "compute subsidy (demand)"): "beijing-etown-compute",
    ("Beijing E-Town", "supply reward"): "beijing-etown-supply",
    ("Beijing Haidian", "compute subsidy"): "beijing-haidian-compute",
    ("Shenzhen", "training voucher"): "shenzhen-training",
    ("Shenzhen", "corpus voucher"): "shenzhen-corpus",
    ("Shenzhen", "model voucher"): "shenzhen-model",
    ("Chengdu", "compute voucher", "2023"): "chengdu-compute-2023",
    ("Chengdu", "compute voucher", "2025-08"): "chengdu-compute-2025",
    ("Chengdu", "model API use"): "chengdu-model-calls",
    ("Guizhou", "compute voucher"): "guizhou-compute",
    ("Inner Mongolia", "demand reward"): "inner-mongolia-demand",
    ("Inner Mongolia", "supplier reward"): "inner-mongolia-supplier",
    ("Hohhot", "compute voucher"): "hohhot-compute",
    ("Hangzhou", "compute voucher"): "hangzhou-compute",
    ("Yangzhou", "compute voucher"): "yangzhou-compute",
    ("Langfang", "compute voucher"): "langfang-compute",
    ("Western electricity", "power price cut"): "western-power-price",
    ("India (national)", "compute subsidy"): "india-compute",
}
SPENDS = {
    "compute rent": "compute", "compute": "compute", "API calls": "model-calls",
    "model API": "model-calls", "filed models": "model-calls", "data sets": "data", "data": "data",
    "facility": "facility", "servers": "servers", "electricity": "electricity",
    "training compute": "compute", "GPU hours": "compute",
    "compute only (not storage network security)": "compute",
}  # fmt: skip


def shipped() -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for folder in (EAST_WEST, INDIA):
        loaded = load_vouchers(folder)
        assert loaded is not None
        found |= {rule.name: rule for rule in loaded.rules}
    return found


def facts() -> list[tuple[str, dict[str, str]]]:
    with shared_facts("vouchers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    named = []
    for row in rows:
        key = (row["place"], row["instrument"])
        named.append((ROWS.get(key) or ROWS[(*key, row["from"])], row))
    return named


def test_every_row_of_the_facts_is_shipped_once() -> None:
    names = [name for name, _ in facts()]
    assert len(names) == 26
    assert sorted(names) == sorted(shipped())


def test_each_row_is_held_to_its_file_and_blanks_stay_blank() -> None:
    rules = shipped()
    for name, row in facts():
        rule = rules[name]
        told = f"{name}: {row}"
        share = None if not row["share_pct"] else int(row["share_pct"]) * PPM // 100
        if name == "hangzhou-compute":  # "30; 20 otherwise": the row's share is the tier's
            assert (rule.tiers[0].share_ppm.value, rule.share_ppm.value) == (share, 200_000)
        else:
            assert rule.share_ppm.value == share, told
        stated = {int(n) * 10**6 for n in re.findall(r"\d+", row["cap_cny_per_entity_year"])}
        figures = (rule.cap_entity_year_micros, rule.cap_claim_micros)
        held = {n for f in figures for n in (f.value, *f.also) if n is not None}
        assert held == stated, told
        pot = None if not row["annual_pot_cny"] else int(row["annual_pot_cny"]) * 10**6
        assert rule.pot_year_micros.value == pot, told
        since = {"-": "", "2024-25": "2024"}.get(row["from"], row["from"])
        first = rule.valid_from_ms.value
        held_day = "" if first is None else day_of(first, rule.utc_offset_minutes).isoformat()
        assert held_day == since + (
            "-01-01" if len(since) == 4 else "-01" if len(since) == 7 else ""
        )
        sources = {part.strip() for part in rule.source.split(";")}
        wanted = {"I1", "I2", "I3", "I4"} if row["source"] == "I1-I4" else {
            part.strip() for part in row["source"].split(";")
        }  # fmt: skip
        assert sources == wanted, told
        assert rule.grade == row["grade"], told
        assert rule.instrument == row["instrument"], told
        # The joint row's note lacks the words; the facts' summary says "up to 100 %".
        up_to = "up to" in row["share_note"] or name == "shanghai-compute-joint"
        assert up_to == rule.up_to, told
        assert (row["unrelated_party"] == "yes") == rule.unrelated_party, told
        if row["spend"] in SPENDS:
            assert rule.spend == (SPENDS[row["spend"]],), told
        assert (rule.standing == "press") == ("press" in row["instrument"]), told
        if "domestic" in row["domestic_tier"] or row["domestic_tier"].startswith("yes"):
            conditions = [c for t in rule.tiers for clause in t.when for c in clause]
            conditions += [c for clause in rule.counts for c in clause]
            assert "domestic-chips" in {c.fact for c in conditions}, told


def test_rules_that_say_more_than_columns() -> None:
    rules = shipped()
    assert rules["shenzhen-training"].tiers[0].share_ppm.value == 600_000
    assert rules["inner-mongolia-demand"].min_spend_year_micros.value == 10**12
    assert rules["india-compute"].tiers[0].share_ppm.value == PPM
    assert rules["india-compute"].auto_device_milli_ms.value == 5_000 * 3_600_000 * 1_000
    assert rules["beijing-ai-compute"].contract.claims_max.value == 1
    assert rules["beijing-ai-compute"].contract.max_months.value == 12
    assert rules["shanghai-compute-joint"].entity_months.value == 12
    assert rules["yangzhou-compute"].excludes == "any"
    for rule in rules.values():
        figures = [rule.share_ppm, rule.cap_entity_year_micros, rule.pot_year_micros]
        figures += [tier.share_ppm for tier in rule.tiers]
        for figure in figures:
            assert figure.value is None or (figure.source and figure.grade), rule.name


BROKEN = """\
name: broken
label: A rule
place: Nowhere
level: town
instrument: voucher
funder: nobody
source: V99
grade: D
utc_offset: 8
valid_from: 2025-13-01
valid_until: 2024
base: price
spend: [compute, coffee]
share: 120
cap_per_entity_year: lots
pot_per_year: {value: 5, colour: red}
shares: 30
label: Another
tiers:
  - {label: x, share: 0.00001}
eligible:
  - {fact: rank, at_least: high}
  - {fact: rank}
  - any: []
procedure:
  - {step: settle}
  - {step: claim}
contract: {required: perhaps}
excludes: some
order: first
"""


def test_all_faults_of_a_rule_are_told_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    shutil.copytree(INDIA, folder)
    (folder / "broken.yaml").write_text(BROKEN)
    (folder / "circle.yaml").write_text(
        BROKEN.replace("name: broken", "name: ring").replace(
            "label: Another\n", "includes: [ring]\n"
        )
    )
    (folder / "notes.txt").write_text("x")
    with pytest.raises(InputFaults) as caught:
        read_voucher_folder(folder)
    told = {(fault.file, fault.row, fault.field) for fault in caught.value.faults}
    for row, field in (
        (4, "level"), (7, "source"), (8, "grade"), (9, "utc_offset"), (10, "valid_from"),
        (13, "spend[1]"), (14, "share"), (15, "cap_per_entity_year"), (16, "pot_per_year.colour"),
        (17, "shares"), (18, "label"), (20, "tiers[0]"), (20, "tiers[0].share"),
        (22, "eligible[0].at_least"), (23, "eligible[1]"), (24, "eligible[2]"),
        (27, "procedure[1]"), (25, "procedure"), (28, "contract.required"), (29, "excludes"),
        (30, "order"),
    ):  # fmt: skip
        assert ("broken.yaml", row, field) in told, (row, field)
    assert ("circle.yaml", 1, "name") in told
    assert ("ring.yaml", None, "includes") in told
    assert ("notes.txt", None, "") in told
    assert all(fault.problem and fault.remedy for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: [", "not valid YAML"),
        ("- a\n", "does not hold lines"),
        ("a: &x 1\nb: *x\n", "an alias"),
        ("", "does not hold lines"),
        ("name: x\n", "the key label is missing"),
    ],
)
def test_files_that_are_no_rules(tmp_path: Path, text: str, problem: str) -> None:
    shutil.copy(INDIA / "sources.yaml", tmp_path)
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputFaults, match=problem):
        check_voucher_file(tmp_path / "x.yaml")


def test_a_folder_without_sources_and_one_of_another_currency(tmp_path: Path) -> None:
    with pytest.raises(InputFaults, match=r"sources\.yaml: the file is missing"):
        read_voucher_folder(tmp_path)
    network = tmp_path / "network"
    shutil.copytree(EAST_WEST, network)
    load_network(network)
    sources = network / "vouchers/sources.yaml"
    sources.write_text(sources.read_text().replace("CNY", "EUR"))
    with pytest.raises(InputFaults, match="the vouchers are in EUR, the network in CNY"):
        load_vouchers(network)
    assert load_vouchers(PROJECT / "networks/laptop") is None


def test_network_check_tells_the_faults_of_the_vouchers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    network = tmp_path / "network"
    shutil.copytree(EAST_WEST, network)
    rule = network / "vouchers/hohhot-compute.yaml"
    rule.write_text(rule.read_text().replace("grade: A-", "grade: Z"))
    assert run(["network", "check", str(network)]) == 2
    assert "hohhot-compute.yaml:8 [grade]: 'Z' is not a grade" in capsys.readouterr().err


def test_commands_list_show_and_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["voucher", "list", "--network", str(EAST_WEST)])
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert len(lines) == 27
    assert "600,000,000" in lines["shanghai-compute"]
    assert "the share is not published" in lines["hohhot-compute"]
    assert "%" not in lines["hohhot-compute"]
    assert "press only" in lines["shanghai-compute-press"]
    shown = CliRunner().invoke(
        cli, ["voucher", "show", "beijing-ai-compute", "--network", str(EAST_WEST)]
    )
    assert "up to 20 %  [V4, A-]" in shown.output
    told = CliRunner().invoke(cli, ["voucher", "list", "--network", str(EAST_WEST), "--json"])
    document = json.loads(told.output)
    assert document["currency"] == "CNY"
    blank = next(one for one in document["rules"] if one["name"] == "hohhot-compute")
    assert blank["share_ppm"]["value"] is None
    one = CliRunner().invoke(
        cli, ["voucher", "show", "india-compute", "--network", str(INDIA), "--json"]
    )
    assert json.loads(one.output)["currency"] == "INR"
    assert run(["voucher", "show", "shanghai-computer", "--network", str(EAST_WEST)]) == 2
    assert "Did you mean 'shanghai-compute'?" in capsys.readouterr().err
    assert run(["voucher", "check", str(EAST_WEST)]) == 0
    assert capsys.readouterr().out == "25 rules, no faults.\n"
    shutil.copy(INDIA / "sources.yaml", tmp_path)
    (tmp_path / "broken.yaml").write_text(BROKEN)
    assert run(["voucher", "check", str(tmp_path / "broken.yaml")]) == 2
    assert len(capsys.readouterr().err.splitlines()) >= 20
