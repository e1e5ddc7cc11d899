"""The auditor names every fault that somebody might plant in a ledger's rows; and its command."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from westward.cli.main import run
from westward.ledger.accounts import Account, AccountKind
from westward.ledger.audit import audit
from westward.ledger.transfers import Transfer, TransferKind
from westward.store import open_store
from westward.store.ledger import open_accounts, post
from westward.store.ledger_audit import audit_ledger

K = TransferKind
Rows = dict[str, list[dict[str, Any]]]


def written(folder: Path) -> Path:
    """A small sound ledger: a pot, a pending transfer posted in two parts, one voided, a linked
    pair, a correction."""
    path = folder / "westward.db"
    store = open_store(f"sqlite:///{path}")
    open_accounts(
        store,
        [
            Account(account_id="out", kind=AccountKind.EXTERNAL, unit="CNY", overdraft=True),
            Account(account_id="pot", kind=AccountKind.POT, unit="CNY", label="City pot"),
            Account(account_id="site", kind=AccountKind.SITE, unit="CNY"),
            Account(account_id="hours", kind=AccountKind.POT, unit="device-ms"),
        ],
        1,
    )

    def pay(transfer_id: str, kind: K = K.POSTED, amount: int = 0, **more: Any) -> Transfer:
        sides = {} if more.get("pending_id") else {"debit": "pot", "credit": "site"}
        return Transfer(transfer_id=transfer_id, kind=kind, amount=amount, **(sides | more))

    asked = [
        pay("fund", amount=1000, debit="out", credit="pot", category="funding"),
        pay("p", K.PENDING, 500, expires_ms=100, run_id="r1", job_id="j1"),
        pay("p1", K.POST, 200, pending_id="p"),
        pay("p2", K.POST, 300, pending_id="p"),
        pay("q", K.PENDING, 100, expires_ms=200),
        pay("q1", K.VOID, pending_id="q"),
        pay("g1", amount=10, group_id="g"),
        pay("g2", amount=20, group_id="g"),
        pay("c", amount=7, debit="site", credit="pot", corrects="g2", reason="meter read twice"),
        pay("open", K.PENDING, 40, expires_ms=300),
    ]
    assert all(hasattr(one, "repeated") for one in post(store, asked, 50))
    assert audit_ledger(store).faults == ()
    store.close()
    return path


def rows_of(path: Path) -> Rows:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    tables = {
        "accounts": "SELECT * FROM ledger_accounts",
        "transfers": "SELECT * FROM ledger_transfers ORDER BY seq",
        "holds": "SELECT * FROM ledger_holds",
    }
    return {name: [dict(row) for row in connection.execute(sql)] for name, sql in tables.items()}


def the(rows: Rows, table: str, name: str) -> dict[str, Any]:
    key = "account_id" if table == "accounts" else "transfer_id"
    return next(row for row in rows[table] if row[key] == name)


def change(table: str, name: str, **values: Any) -> Callable[[Rows], object]:
    return lambda rows: the(rows, table, name).update(values)


def drop(table: str, name: str) -> Callable[[Rows], object]:
    return lambda rows: rows[table].remove(the(rows, table, name))


def again(name: str) -> Callable[[Rows], object]:
    return lambda rows: rows["transfers"].append(the(rows, "transfers", name) | {"seq": 99})


@pytest.mark.parametrize(
    ("plant", "codes"),
    [
        (change("accounts", "pot", debits_posted=531), {"balance-differs", "not-balanced"}),
        (change("accounts", "site", credits_pending=39), {"balance-differs", "not-balanced"}),
        (change("transfers", "g1", amount=11), {"balance-differs"}),
        (change("transfers", "g1", amount=0), {"amount"}),
        (change("transfers", "g1", amount=10.0), {"amount"}),
        (change("transfers", "fund", amount=499), {"overspent", "balance-differs"}),
        (change("transfers", "g1", kind="gift"), {"kind-unknown"}),
        (change("transfers", "g1", credit="nobody"), {"account-missing"}),
        (change("transfers", "g1", credit="hours"), {"unit-differs"}),
        (change("transfers", "g1", credit="pot"), {"one-account"}),
        (change("transfers", "g1", pending_id="p"), {"pending-named"}),
        (change("transfers", "p1", amount=501), {"more-than-held"}),
        (change("transfers", "p1", pending_id="x"), {"pending-missing"}),
        (change("transfers", "p1", debit="site", credit="pot"), {"pending-between-others"}),
        (change("transfers", "p2", at_ms=100), {"posted-after-expiry"}),
        (change("transfers", "q1", kind="expire"), {"expired-early", "hold-state-differs"}),
        (change("transfers", "q1", amount=99), {"not-all-given-back"}),
        (change("transfers", "q1", pending_id="p"), {"pending-closed-before"}),
        (change("transfers", "p1", seq=1), {"order-of-rows"}),
        (change("transfers", "p", expires_ms=50), {"expired-at-birth", "hold-expiry-differs"}),
        (change("transfers", "c", corrects="q"), {"correction-of-nothing"}),
        (change("transfers", "c", corrects="fund"), {"correction-between-others"}),
        (change("transfers", "c", reason=" "), {"correction-without-reason"}),
        (change("transfers", "g2", group_size=3), {"group-differs"}),
        (drop("transfers", "g2"), {"group-not-whole", "balance-differs"}),
        (drop("transfers", "q1"), {"hold-differs", "hold-state-differs"}),
        (drop("transfers", "open"), {"hold-of-nothing", "balance-differs"}),
        (again("g1"), {"transfer-twice"}),
        (change("holds", "open", remaining=39), {"hold-differs"}),
        (change("holds", "open", state="posted"), {"hold-state-differs"}),
        (drop("holds", "open"), {"hold-missing"}),
        (lambda rows: rows["accounts"].append(rows["accounts"][0]), {"account-twice"}),
    ],
)
def test_each_planted_fault_is_named(
    plant: Callable[[Rows], object], codes: set[str], tmp_path: Path
) -> None:
    rows = rows_of(written(tmp_path))
    assert audit(rows["accounts"], rows["transfers"], rows["holds"]).faults == ()
    plant(rows)
    faults = audit(rows["accounts"], rows["transfers"], rows["holds"]).faults
    assert codes <= {fault.code for fault in faults}


def test_a_sound_ledger_passes_and_a_changed_one_fails_by_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path)
    assert run(["ledger", "audit", "--store", str(path)]) == 0
    assert "It balances" in capsys.readouterr().out
    connection = sqlite3.connect(path)
    connection.execute("UPDATE ledger_accounts SET credits_posted = 531 WHERE account_id = 'site'")
    connection.commit()
    connection.close()
    assert run(["ledger", "audit", "--store", str(path)]) == 1
    out = capsys.readouterr().out
    assert "FAULT site: credits_posted is 531, its rows make 530 (balance-differs)" in out
    assert run(["ledger", "audit", "--store", str(path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["balanced"]
    assert {fault["code"] for fault in told["faults"]} == {"balance-differs", "not-balanced"}


def test_balances_accounts_and_statements_by_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(tmp_path))
    assert run(["ledger", "balances", "--store", path, "--kind", "pot", "--json"]) == 0
    pot = json.loads(capsys.readouterr().out)["accounts"][1]
    assert (pot["account"], pot["debits_posted"], pot["available"]) == ("pot", 530, 437)
    assert run(["ledger", "balances", "--store", path]) == 0
    assert "0.000437" in capsys.readouterr().out
    assert run(["ledger", "accounts", "--store", path]) == 0
    assert "City pot" in capsys.readouterr().out
    assert run(["ledger", "statement", "site", "--store", path]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "opening: has 0.00 CNY, of it held 0.00"
    assert out.splitlines()[-1] == "closing: has 0.000523 CNY, of it held 0.00"
    assert run(["ledger", "statement", "site", "--store", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["closing"]["credits_posted"] == 530


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["statement", "nobody"], "there is no account 'nobody'"),
        (["balances", "--kind", "purse"], "there is no kind 'purse'"),
        (["statement", "pot", "--from", "6h"], "is not a time"),
        (["audit", "--store", "/nowhere/at-all.db"], "there is no such file"),
        (["audit", "--store", "mysql://h/d"], "is not supported"),
    ],
)
def test_what_cannot_be_answered_is_one_line_and_exit_code_2(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(tmp_path))
    command = words if "--store" in words else [*words, "--store", path]
    assert run(["ledger", *command]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
