"""Exports before the FinOps Foundation's own validator (focus-validator 1.0.0, rules of FOCUS 1.0).

Two of its rules do not say what the specification says, and are corrected in a copy of its rule
set: ``ResourceID`` for ``ResourceId`` (column id in FOCUS 1.0), and ``ChargeType``, a column of 0.5,
for ``ChargeCategory``. It ends with 0 whatever it finds, so its sentence is read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from westward.cli.cmd_export import parquet_bytes
from westward.ledger.price import Bill
from westward.settlement.cells import Cell, csv_text
from westward.settlement.charges import BilledRun, OwnedRead, Share, charges_of
from westward.settlement.disputes import Dispute, with_corrections
from westward.settlement.focus import COLUMNS, SiteFacts, focus_row
from westward.settlement.periods import parse_period

VENV = Path(os.environ["WESTWARD_TEST_FOCUS"])
PERIOD = parse_period("2026-11", "+08:00")
MISSPELT = {"ResourceID_*.yaml": ("ResourceID", "ResourceId")}
OUTDATED = {"SkuPriceId_Nullable.yaml": ("ChargeType IN", "ChargeCategory IN")}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (package,) = VENV.glob("lib/python*/site-packages/focus_validator")
    folder = tmp_path_factory.mktemp("rules") / "sets"
    shutil.copytree(package / "rules" / "version_sets", folder)
    for pattern, (wrong, right) in {**MISSPELT, **OUTDATED}.items():
        files = list((folder / "1.0").glob(pattern))
        assert files
        for file in files:
            text = file.read_text()
            assert wrong in text
            file.write_text(text.replace(wrong, right))
    return folder


def validate(file: Path, rules: Path) -> str:
    (package,) = VENV.glob("lib/python*/site-packages/focus_validator")
    done = subprocess.run(
        [
            str(VENV / "bin" / "focus-validator"), "--data-file", str(file),
            "--rule-set-path", str(rules), "--validate-version", "1.0",
        ],
        cwd=package.parent,  # it finds its list of currencies from there
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def rows(runs: int = 40) -> list[dict[str, Cell]]:
    facts = {"basin": SiteFacts(label="Basin", operator="=1+1", region="z", region_label="Zone")}
    found: list[dict[str, Cell]] = []
    for number in range(runs):
        device, power, moved, data = 12_345_678 + number, number * 7, 99 * (number % 3), 5_000
        bill = Bill(
            device_milli_ms=98_765_432, energy_j=4_321 * number, carbon_location_ug=None,
            carbon_contract_ug=None, device_micros=device, power_micros=power,
            transfer_micros=moved, rounding_micros=number % 5 - 2, data_micros=data,
            total_micros=device + power + moved + data + number % 5 - 2, carbon_shown_micros=None,
        )  # fmt: skip
        pot = bill.total_micros // 3
        run = BilledRun(
            job_id=f"job_{number}", job_name="=cmd|' /C calc'!A0" if number == 3 else "train",
            run_id=f"run_{number}", attempt=1, site="basin" if number % 2 else "gone", pool="west",
            project="@lab", began_ms=PERIOD.start_ms - 5_000, ended_ms=PERIOD.start_ms + 9_000,
            billed_ms=PERIOD.start_ms + 10_000 - 3_600_000 * (number % 4 == 0), bill=bill,
            reads=(OwnedRead(owner="museum", size_bytes=10**9, micros_per_gb=5_000),),
            moved_bytes=10**6 * (number % 3),
            shares=(
                Share(payer="city-pot", micros=pot, reason="rule-1"),
                Share(payer="@lab", micros=bill.total_micros - pot),
            ),
        )  # fmt: skip
        dispute = Dispute(
            dispute_id=f"dsp_{number}", run_id=run.run_id, job_id=run.job_id, site=run.site,
            part=None, reason="", opened_by="lab", opened_ms=run.billed_ms,
            outcome="upheld", correction_micros=-1_000, closed_ms=PERIOD.start_ms + 20_000,
        )  # fmt: skip
        charges = with_corrections(charges_of(run), [dispute] if number % 8 == 0 else [])
        found += [
            focus_row(one, PERIOD, "CNY", "East-West", facts)
            for one in charges
            if PERIOD.holds(one.posted_ms)
        ]
    return found


def test_csv_and_parquet_are_focus(tmp_path: Path, rules: Path) -> None:
    made = rows()
    assert {row["ChargeCategory"] for row in made} == {"Usage", "Adjustment"}
    assert {row["ChargeClass"] for row in made} == {None, "Correction"}
    csv_file, parquet_file = tmp_path / "focus.csv", tmp_path / "focus.parquet"
    csv_file.write_bytes(csv_text(COLUMNS, made).encode())
    parquet_file.write_bytes(parquet_bytes(made))
    for file in (csv_file, parquet_file):
        said = validate(file, rules)
        assert "Validation succeeded." in said, said[-3_000:]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("BillingCurrency", "XYZ"),
        ("ChargeClass", "Refund"),
        ("ServiceCategory", "Rounding"),
        ("SkuPriceId", None),
        ("Tags", "no json"),
    ],
)
def test_the_validator_notices_what_is_wrong(
    tmp_path: Path, rules: Path, column: str, cell: Cell
) -> None:
    made = [{**row, column: cell} for row in rows(4)]
    file = tmp_path / "wrong.csv"
    file.write_bytes(csv_text(COLUMNS, made).encode())
    said = validate(file, rules)
    assert "Validation failed!" in said, said[-3_000:]
    assert column in said
