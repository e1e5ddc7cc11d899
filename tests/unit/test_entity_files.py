"""``entities.yaml``: what is read, and every fault of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from westward.model.faults import InputFaults
from westward.model.scenario import VoucherPlay
from westward.model.voucher import NamedFact
from westward.network.entity_files import load_play
from westward.network.loader import load_network
from westward.network.voucher_files import load_vouchers

SHIPPED = Path("networks/east-west")

GOOD = """\
entities:
  - {name: a, weight: 3, contract_value: 1000, facts: {start-up: true}, programmes: [shenzhen-training]}
  - {name: b, weight: 1, contract_value: 0}
lines: {purpose: training}
pools:
  - {accelerators: [Ascend-910B], facts: {domestic-chips: true}}
"""


def read(folder: Path, text: str) -> VoucherPlay:
    (folder / "entities.yaml").write_text(text)
    vouchers = load_vouchers(SHIPPED)
    assert vouchers is not None
    return load_play(folder, load_network(SHIPPED), vouchers)


def test_organisations_programmes_and_what_pools_show(tmp_path: Path) -> None:
    play = read(tmp_path, GOOD)
    assert [one.name for one in play.entities] == ["a", "b"]
    assert play.entities[0].facts == (
        NamedFact(name="start-up", value=True, evidence="assumption"),
    )
    assert play.weights == (3.0, 1.0)
    assert play.programmes == (("shenzhen-training",), ())
    assert play.contract_micros == (1_000_000_000, 0)
    shown = dict(play.pool_facts)
    network = load_network(SHIPPED)
    assert set(shown) == {pool.name for pool in network.pools}
    for pool in network.pools:
        names = {fact.name for fact in shown[pool.name]}
        assert ("domestic-chips" in names) == (pool.accelerator == "Ascend-910B")
        assert "purpose" in names


def test_the_shipped_organisations_are_read_with_the_shipped_rules() -> None:
    vouchers = load_vouchers(SHIPPED)
    assert vouchers is not None
    play = load_play(SHIPPED, load_network(SHIPPED), vouchers)
    assert len(play.entities) == 10
    assert sum(play.weights) == 100


def test_every_fault_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
entities:
  - {name: A firm, weight: 3, contract_value: 1000}
  - {name: b, weight: none, contract_value: -1, programmes: [shenzhen-trainin]}
  - {name: b, contract_value: 1}
  - {weight: 1, contract_value: 1, size: 3}
pools:
  - {accelerators: [Ascend-911], facts: {domestic-chips: true}}
"""
    with pytest.raises(InputFaults) as refusal:
        read(tmp_path, text)
    told = [(fault.row, fault.field) for fault in refusal.value.faults]
    assert (2, "entities[0].name") in told
    assert (3, "entities[1].weight") in told
    assert (3, "entities[1].contract_value") in told
    assert any(row == 3 and where.startswith("entities[1].programmes") for row, where in told)
    assert any(row == 4 and "b" in str(fault) for fault, (row, _) in
               zip(refusal.value.faults, told, strict=True))  # fmt: skip
    assert any(row == 5 and where.endswith("size") for row, where in told)
    assert any(row == 7 for row, where in told)
    assert len(told) >= 8


def test_no_file_and_no_organisations(tmp_path: Path) -> None:
    vouchers = load_vouchers(SHIPPED)
    assert vouchers is not None
    with pytest.raises(InputFaults, match="missing"):
        load_play(tmp_path, load_network(SHIPPED), vouchers)
    with pytest.raises(InputFaults, match="no organisation"):
        read(tmp_path, "lines: {}\n")
