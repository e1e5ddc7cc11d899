"""``westward quote|budget|programme`` and ``org show|fact|contract``, against a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.people_world import with_vouchers
from westward.cli.amounts import read_amount
from westward.cli.cmd_org import read_fact
from westward.cli.fail import Failure
from westward.cli.main import run
from westward.cli.render_quote import render_quote
from westward.ledger.vouchers.reasons import money
from westward.server import app as server_app
from westward.server import core as server_core
from westward.server.settings import Settings

TASK = "name: train\nresources:\n  cpus: 1\n  labels:\n    westward.account: vision\nrun: echo hi\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Tells no users apart: who changes money shows the operator's token."""
    data = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_core, "_warm_up", lambda *_: None)
        settings = Settings(network=with_vouchers(data / "network"), data=data)
        app = server_app.create_app(settings)
    core = app.state.core
    core.pool_statuses = lambda *_: {pool.name: "open" for pool in core.network.pools}
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WESTWARD_DATA", str(data))
        for arguments in (
            ("org", "create", "lab"), ("project", "create", "vision", "--org", "lab"),
        ):  # fmt: skip
            assert run([*arguments, "--server", url]) == 0
    yield url, data
    server.should_exit = True
    thread.join(30)


@pytest.fixture(autouse=True)
def here(served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url, data = served
    for name in ("WESTWARD_TOKEN", "WESTWARD_TOKEN_FILE", "WESTWARD_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("WESTWARD_PROJECT", raising=False)
    monkeypatch.setenv("WESTWARD_SERVER", url)
    monkeypatch.setenv("WESTWARD_DATA", str(data))
    monkeypatch.setenv("HOME", str(tmp_path))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


def good(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code, out, err = said(capsys, *arguments)
    assert code == 0, err
    return out


def test_a_budget_from_first_to_last(capsys: pytest.CaptureFixture[str]) -> None:
    out = good(capsys, "budget", "show", "speech")
    assert "no budget: the project is billed" in out
    code, _, err = said(capsys, "budget", "add", "speech", "5")
    assert (code, err) == (
        2, "project speech has no budget to add to; set one first.\n",
    )  # fmt: skip
    out = good(capsys, "budget", "set", "speech", "--on-empty", "cancel")
    assert "when it is empty running jobs are cancelled" in out
    good(capsys, "budget", "add", "speech", "1,200.000001", "--id", "june")
    out = good(capsys, "budget", "add", "speech", "1200.000001", "--id", "june")
    assert "may still spend  1,200.000001 CNY" in out
    shown = json.loads(good(capsys, "budget", "show", "speech", "--json"))
    assert shown["budget"]["available_micros"] == 1_200_000_001
    out = good(capsys, "budget", "remove", "speech")
    assert "left in an earlier budget 1,200.000001 CNY" in out


def test_a_programme_from_first_to_last(capsys: pytest.CaptureFixture[str]) -> None:
    out = good(
        capsys, "programme", "fund", "city", "--amount", "0.25", "--id", "t", "--year", "2031"
    )
    assert out == "city 2031: paid in 0.25, left 0.25\n"
    assert "40 %" in good(capsys, "programme", "list")
    out = good(capsys, "programme", "admit", "city", "lab")
    assert "next   claim (with statement)" in out
    code, _, err = said(capsys, "programme", "step", "city", "lab", "claim")
    assert (code, err) == (2, "claim needs: statement.\n")
    out = good(capsys, "programme", "step", "city", "lab", "claim", "--evidence", "statement=S-1")
    assert "claim: statement S-1" in out
    out = good(
        capsys, "programme", "step", "city", "lab", "approve", "--approved", "10", "--hours", "3",
        "--until", "2040-01-01T00:00:00Z",
    )  # fmt: skip
    assert "approved 10.00" in out
    claim = json.loads(good(capsys, "programme", "claims", "city", "lab", "--json"))
    assert claim["approved_device_milli_ms"] == 3 * 3_600_000_000
    assert "claim approve" in good(capsys, "programme", "claims", "city")
    assert "next   revoked" in good(capsys, "programme", "revoke", "city", "lab")
    out = good(capsys, "programme", "forecast", "city")
    assert "no forecast: 0 whole days are past, 14 are needed" in out


def test_what_an_organisation_has_shown(capsys: pytest.CaptureFixture[str]) -> None:
    out = good(capsys, "org", "fact", "lab", "startup=yes", "--evidence", "register 7")
    assert "startup = yes  (shown by register 7)" in out
    out = good(
        capsys, "org", "contract", "lab", "K-1", "--value", "1000", "--unrelated",
        "--fact", "paid=yes", "--evidence", "bank",
    )  # fmt: skip
    assert "contract K-1, worth 1,000.00 CNY" in out
    shown = json.loads(good(capsys, "org", "show", "lab", "--json"))
    assert shown["contract"]["related"] is False
    assert shown["contract"]["facts"][0]["evidence"] == "bank"


def test_a_quote_reads_as_a_table_and_who_pays(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(TASK, encoding="utf-8")
    good(capsys, "programme", "admit", "city", "lab")
    out = good(capsys, "quote", str(file))
    assert out.startswith("project vision of organisation lab\nNo budget: the project is billed.")
    assert "POOL" in out
    assert "city: refuses" in out
    assert "[claim-not-approved]" in out or "[claim-missing]" in out
    assert out.endswith(
        "Nothing is held. What is billed is what is used, at the hours it is used in.\n"
    )
    document = json.loads(good(capsys, "quote", str(file), "--json"))
    assert document["held"] is False
    assert render_quote(document, everything=True).count("WHO PAYS") == len(document["pools"])
    assert render_quote(document, everything=False).count("WHO PAYS") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("budget", "add", "p", "1.0000001"), "is no amount"),
        (("budget", "add", "p", "0.000000"), "is nought"),
        (("budget", "add", "p", "1e3"), "is no amount"),
        (("budget", "add", "p", "1,20"), "is no amount"),
        (("programme", "fund", "city", "--amount", "ten"), "--amount 'ten' is no amount"),
        (("programme", "admit", "city", "nobody"), "there is no organisation 'nobody'"),
        (("programme", "fund", "town", "--amount", "1"), "there is no programme 'town'"),
        (("programme", "step", "city", "x", "use", "--hours", "1"), "the step approve only"),
        (("programme", "step", "city", "x", "use", "--evidence", "a"), "is no KIND=REF"),
        (("org", "fact", "x", "startup", "--evidence", "e"), "is no NAME=VALUE"),
        (("org", "fact", "x", "a=b", "--evidence", "e", "--until", "soon"), "--until"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


@given(st.integers(1, 10**18 - 1))
def test_an_amount_is_read_as_it_is_written(micros: int) -> None:
    assert read_amount(money(micros)) == micros
    assert read_amount(f"{Decimal(micros) / 1_000_000:f}") == micros


@given(st.text(max_size=20))
def test_no_text_breaks_the_reader_of_amounts(text: str) -> None:
    with suppress(Failure):
        assert read_amount(text) > 0


@pytest.mark.parametrize(
    ("text", "value"), [("yes", True), ("No", False), ("-3", -3), ("3.5", "3.5"), ("a b", "a b")]
)
def test_a_fact_is_yes_no_a_number_or_a_text(text: str, value: object) -> None:
    assert read_fact(f"name = {text}") == {"name": "name", "value": value}
