"""What is asked of the ledger by nobody in the server, and what funders' offices do at a world's end:
these worlds keep their rules, and each of their checks speaks up when there is cause."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

import westward.ledger.audit
import westward.server.year_end
from westward.faultsim import audits, blind, bookkeeper
from westward.faultsim.checkers import Broken
from westward.faultsim.disk import Disk
from westward.faultsim.scenario import Scenario, draw
from westward.faultsim.world import World
from westward.ledger import transfers
from westward.store.database import Store

NOW_MS = 1_800_000_000_000
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def disk() -> Disk:
    return Disk()


def kept(disk: Disk) -> Store:
    disk.reset()
    store = disk.open()
    with store.together():
        bookkeeper.keep_books(store, "book:here", NOW_MS)
    return store


def rows(disk: Disk) -> list[Rows]:
    return [audits._rows(disk.raw, f"SELECT * FROM {name}") for name in audits.TABLES]


def offices(most: int) -> list[Scenario]:
    drawn = (draw(seed) for seed in range(most))
    return [one for one in drawn if one.office is not None]


def test_what_is_asked_twice_of_the_books_changes_nothing(disk: Disk) -> None:
    store = kept(disk)
    before = rows(disk)
    with store.together():
        bookkeeper.keep_books(store, "book:here", NOW_MS)
    assert rows(disk) == before


def test_a_ledger_that_takes_what_is_wrong_is_found(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "CATEGORY_MOST_CHARS", 50)
    with pytest.raises(Broken, match="ledger-answers"):
        kept(disk)


def test_every_kind_of_fault_that_the_auditor_names_is_put_into_rows_and_found(disk: Disk) -> None:
    kept(disk)
    source = Path(westward.ledger.audit.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r'_fault\("([a-z-]+)"', source)) == set(blind.PUTS)
    tables = rows(disk)
    for code in blind.PUTS:
        for number in range(5):
            dice = random.Random(number)
            assert blind.found(code, tables[0], tables[1], tables[2], dice), f"no place for {code}"
    blind.told_exactly(tables[0])


def test_an_auditor_that_lets_a_kind_pass_is_found(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(disk)
    tables = rows(disk)
    monkeypatch.setattr(westward.ledger.audit.Auditor, "_both_sides", lambda _self: None)
    with pytest.raises(Broken, match="audit-blind"):
        blind.found("not-balanced", tables[0], tables[1], tables[2], random.Random(1))


def test_offices_close_their_years_and_take_back_what_was_paid(disk: Disk) -> None:
    found = offices(220)
    assert len(found) >= 5
    assert [(one.seed, text) for one in found if (text := World(one, disk).play().text)] == []


def test_an_office_that_takes_back_too_little_is_found(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = westward.server.year_end.spread
    monkeypatch.setattr(westward.server.year_end, "spread", lambda *all: shipped(*all)[1:])
    rules = {World(one, disk).play().rule for one in offices(220)}
    assert "claw-back" in rules
