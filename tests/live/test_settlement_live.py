"""Settlement over HTTP and through the commands: real runs, one month, every sum the same."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars
import pytest
from harness import Live, until

from westward.cli.main import run
from westward.settlement.focus import COLUMNS

HOSTILE = "=1+1 <b>lab</b>"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    network = Live(tmp_path_factory.mktemp("live"))
    try:
        network.start_all()
        for number, account in enumerate(("lab", "lab", None)):
            labels = "  labels:\n    westward.duration: 2s\n"
            if account:
                labels += f"    westward.account: {account}\n"
            task = f"name: job-{number}\nresources:\n  cpus: 1\n{labels}run: sleep 0.5\n"
            network.submit(f"job_paid-{number}", task)
        for number in range(3):
            network.finish(f"job_paid-{number}")

        def billed() -> bool:
            return all(row["settled"] for row in network.get("/v1/report")["jobs"])

        until(billed, "every run has its bill")
        yield network
    finally:
        network.close()


def month() -> str:
    return datetime.now(UTC).strftime("%Y-%m")


def westward(live: Live, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run([*words, "--server", live.url])
    said = capsys.readouterr()
    return code, said.out + said.err


def charges(live: Live) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = live.get(f"/v1/charges?month={month()}&limit=1{after}")
        found += page["charges"]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def test_every_sum_is_the_bills(
    live: Live, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    total = sum(row["price_micros"] for row in live.get("/v1/report")["jobs"])
    assert total > 0
    assert sum(one["micros"] for one in charges(live)) == total
    code, said = westward(live, capsys, "statement", "month", "--month", month(), "--json")
    assert code == 0
    found = json.loads(said)
    assert found["bills_micros"] == found["charges_micros"] == total
    assert set(found["by_project"]) == {"lab", "local"}
    papers = 0
    for project in found["by_project"]:
        page = tmp_path / f"{project}.html"
        code, said = westward(
            live, capsys, "invoice", project, "--month", month(), "--html", str(page), "--json"
        )
        assert code == 0, said
        papers += json.loads(said)["micros"]
        assert "Preliminary invoice" in page.read_text(encoding="utf-8")
    assert papers == total
    earned = sum(
        live.get(f"/v1/statements/{earner}?month={month()}")["earned_micros"]
        for earner in found["by_earner"]
    )
    assert earned == total


def test_exports_hold_every_millionth(
    live: Live, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    total = sum(one["micros"] for one in charges(live))
    table, frame, plain = tmp_path / "f.csv", tmp_path / "f.parquet", tmp_path / "c.csv"
    for out in (table, frame):
        words = ("export", "focus", "--month", month(), "--out", str(out))
        assert westward(live, capsys, *words)[0] == 0
    assert westward(live, capsys, "export", "csv", "--month", month(), "--out", str(plain))[0] == 0
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert sum(int(row["x_BilledMicros"]) for row in rows) == total
    read = polars.read_parquet(frame)
    assert read["x_BilledMicros"].sum() == total
    assert [round(cost * 1_000_000) for cost in read["BilledCost"]] == read[
        "x_BilledMicros"
    ].to_list()
    rows = list(csv.DictReader(plain.read_text(encoding="utf-8").splitlines()))
    assert sum(int(row["micros"]) for row in rows) == total
    code, said = westward(
        live, capsys, "export", "focus", "--month", month(), "--out", str(tmp_path / "f.txt")
    )
    assert (code, "ends with .csv or .parquet" in said) == (2, True)


def test_meter_and_bill_agree_and_an_engine_that_does_not_is_told(
    live: Live, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    runs = [one for one in charges(live) if one["part"] == "device"]
    for site in {one["site"] for one in runs}:
        words = ("reconcile", "--site", site, "--month", month())
        code, said = westward(live, capsys, *words)
        assert code == 0, said
        own = [one["run_id"] for one in runs if one["site"] == site]
        account = tmp_path / f"{site}.txt"
        lines = ["JobID|JobName|State|Submit|Start|End|ElapsedRaw|AllocTRES"]
        metered = {
            run_id: sum(reading.wall_ms for reading in live.readings(run_id)) for run_id in own
        }
        for number, (run_id, wall_ms) in enumerate(metered.items()):
            lines.append(f"{number}|{run_id}|COMPLETED||||{-(-wall_ms // 1000)}|")
        account.write_text("\n".join(lines) + "\n")
        code, said = westward(live, capsys, *words, "--sacct", str(account), "--json")
        assert code == 0, said
        assert json.loads(said)["engine_compared"] == len(own)
        account.write_text("\n".join([*lines[:-1], lines[-1][:-2] + "99|"]) + "\n")
        code, said = westward(live, capsys, *words, "--sacct", str(account))
        assert code == 1
        assert "unexplained" in said
    code, said = westward(live, capsys, "reconcile", "--site", "nowhere", "--month", month())
    assert (code, "westward sites" in said) == (2, True)


def test_a_dispute_from_its_opening_to_the_payout(
    live: Live, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    charge = next(
        one for one in charges(live) if one["part"] == "device" and one["project"] == "lab"
    )
    site, run_id, due = charge["site"], charge["run_id"], charge["micros"]
    asked = ("dispute", "open", run_id, "--part", "device", "--reason", HOSTILE, "--id", "dsp_a")
    for _ in range(2):  # a repeat changes nothing
        code, said = westward(live, capsys, *asked, "--by", "lab")
        assert (code, said.split(": ")[0]) == (0, "dsp_a"), said
    words = ("statement", "site", site, "--month", month(), "--json")
    before = json.loads(westward(live, capsys, *words)[1])
    assert before["disputed_micros"] == due
    account = f"site:{site}"
    code, said = westward(live, capsys, "statement", "pay", account, "1000000", "--by", "op")
    assert (code, "more than" in said) == (2, True)
    assert westward(live, capsys, "dispute", "answer", "dsp_a", "--text", "true")[0] == 0
    half = -(due // 2)
    text = f"-0.{-half:06d}"
    ending = ("dispute", "close", "dsp_a", "--outcome", "upheld", "--correction", text)
    code, said = westward(live, capsys, *ending, "--by", "op")
    assert code == 0, said
    after = json.loads(westward(live, capsys, *words)[1])
    assert (after["disputed_micros"], after["corrected_micros"]) == (0, half)
    amount = f"0.{after['payable_micros']:06d}"
    code, said = westward(live, capsys, "statement", "pay", account, amount, "--id", "pay_a")
    assert code == 0, said
    assert json.loads(westward(live, capsys, *words)[1])["payable_micros"] == 0
    found = json.loads(
        westward(live, capsys, "statement", "month", "--month", month(), "--json")[1]
    )
    assert found["corrections_micros"] == half
    code, said = westward(live, capsys, "dispute", "list")
    assert HOSTILE in said
    plain = tmp_path / "c.csv"
    assert westward(live, capsys, "export", "csv", "--month", month(), "--out", str(plain))[0] == 0
    assert "correction,device" in plain.read_text(encoding="utf-8")


def test_what_makes_no_sense_is_refused_with_a_code(live: Live) -> None:
    dispute = {"dispute_id": "dsp_z", "run_id": "run_z", "reason": "x", "by": "me"}
    for method, path, body, status, code in (
        ("GET", "/v1/charges?month=2026-13", None, 400, "invalid-input"),
        ("GET", "/v1/charges?month=2026-11&utc_offset=CET", None, 400, "invalid-input"),
        ("GET", f"/v1/charges?month={month()}&after=1", None, 400, "bad-cursor"),
        ("GET", f"/v1/sites/nowhere/statement?month={month()}", None, 404, "not-found"),
        ("POST", "/v1/disputes", dispute, 404, "not-found"),
        ("POST", "/v1/disputes", {**dispute, "part": "tax"}, 422, "malformed-request"),
        ("POST", "/v1/disputes/dsp_z/answer", {"answer": "x", "by": "me"}, 404, "not-found"),
        ("POST", "/v1/disputes/dsp_z/close", {"outcome": "lost", "by": "me"}, 422, "malformed-request"),
        ("POST", "/v1/payouts", {"payout_id": "p", "earner": "site:x", "micros": 1, "by": "me"}, 409, "not-payable"),
        ("POST", "/v1/payouts", {"payout_id": "p", "earner": "site:x", "micros": -1, "by": "me"}, 422, "malformed-request"),
    ):  # fmt: skip
        answer = live.call(method, path, body)
        assert (answer[0], answer[1]["code"]) == (status, code), (path, answer)
