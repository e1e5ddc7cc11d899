"""``westward programme close-year|claw-back|list``: by command, HTTP and store, on a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.people_world import World, billed_run, peopled, speaks
from westward.cli.main import run
from westward.ledger.road import clearing_id, network_accounts, pot_id, site_accounts
from westward.ledger.transfers import Accepted, Transfer, TransferKind
from westward.ledger.vouchers import Split, Usage
from westward.ledger.vouchers.split import Part
from westward.model.voucher import VoucherClaim
from westward.server.purse import pot_account
from westward.store.ledger import open_accounts, post
from westward.store.ledger_audit import audit_ledger
from westward.store.money import RunMoney, count_usage, save_claim, save_run

UNIT = "CNY"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = peopled(tmp_path, monkeypatch)
    speaks(made, "funder", monkeypatch)
    yield made
    report = audit_ledger(made.core.store)
    assert not report.faults, [str(one) for one in report.faults]
    made.core.close()


def paid(world: World, *, at_once: int = 0, entitled: int = 0, year: int = 2025) -> None:
    """A settled run of ``vision`` that ``city`` paid ``at_once`` of, and counts ``entitled`` for."""
    store = world.core.store
    save_claim(store, VoucherClaim(id="acme:city", rule="city", entity="acme"), 0, "test")
    (rule,) = world.core.purse.rules
    usage = Usage(
        entity={("city", "acme", year): at_once + entitled}, pot={("city", year): at_once}
    )
    parts = [Part(payer="city-purse", rule="city", year=year, micros=at_once)] if at_once else []
    split = Split(
        price_micros=at_once, parts=(*parts, Part(payer="acme", rule="", year=None, micros=0)),
        rewards=(), verdicts=(), own_by_spend={}, usage=usage,
    )  # fmt: skip
    run_id = billed_run(world)
    count_usage(store, split, 1)
    save_run(
        store,
        RunMoney(
            run_id=run_id, job_id="j", project="vision", site="harbor", settled=True, holds=0,
            postings=1, reach_ms=0, counted=split, posted=None,
        ),
    )  # fmt: skip
    open_accounts(
        store,
        [*network_accounts(UNIT), *site_accounts("harbor", UNIT), pot_account(rule, year, UNIT)],
        0,
    )
    moves = [("external:CNY", pot_id("city", year, UNIT), 5_000)]
    if at_once:
        clearing = clearing_id("harbor", UNIT)
        moves += [
            (pot_id("city", year, UNIT), clearing, at_once),
            (clearing, "site:harbor:CNY", at_once),
        ]
    for at, (debit, credit, micros) in enumerate(moves):
        (done,) = post(
            store,
            [Transfer(transfer_id=f"{run_id}:{at}", kind=TransferKind.POSTED, debit=debit,
                      credit=credit, amount=micros)],
            1,
        )  # fmt: skip
        assert isinstance(done, Accepted)


def test_a_year_is_due_shown_closed_and_closed_once(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (rule,) = world.core.purse.rules
    world.core.purse.rules = (replace(rule, sharing="pro-rata"),)
    paid(world, entitled=8_000)
    assert run(["programme", "list"]) == 0
    assert "Due: share out city 2025" in capsys.readouterr().out
    assert run(["programme", "close-year", "city", "2025", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "Nothing was posted" in told
    assert "project:vision:CNY" in told
    assert run(["programme", "list"]) == 0
    assert "Due" in capsys.readouterr().out, "a dry run closes nothing"
    assert run(["programme", "close-year", "city", "2025"]) == 0
    assert "Shared out: 0.005" in capsys.readouterr().out
    assert run(["programme", "list"]) == 0
    assert "Due" not in capsys.readouterr().out
    assert run(["programme", "close-year", "city", "2025"]) == 0
    assert "Shared out before: 0.005. Nothing was changed." in capsys.readouterr().out
    assert run(["programme", "close-year", "city", "2150"]) == 2
    assert "not over yet" in capsys.readouterr().err


def test_money_is_taken_back_with_reason_and_evidence(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    paid(world, at_once=3_000)
    asked = ["programme", "claw-back", "city", "acme", "--reason", "untrue", "--id", "cb-1"]
    assert run(asked) == 2, "no evidence"
    asked += ["--evidence", "letter=L-1"]
    assert run([*asked, "--dry-run"]) == 0
    assert "To be taken back: 0.003. Nothing was posted." in capsys.readouterr().out
    assert run([*asked, "--amount", "0.001"]) == 0
    assert "Taken back: 0.001; 0.002 stay with acme." in capsys.readouterr().out
    assert run(asked) == 0
    assert "Taken back before: 0.001" in capsys.readouterr().out
    assert run([*asked[:-3], "cb-2", "--evidence", "x=y", "--amount", "9"]) == 2
    assert "cannot be taken back" in capsys.readouterr().err
    assert run(["programme", "claims", "city"]) == 0
    assert "revoked" in capsys.readouterr().out
