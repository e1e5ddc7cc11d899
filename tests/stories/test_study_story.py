"""A planner asks what if, through the command: check, run, stop half-way, go on, read the report."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "west-or-east.yaml"
OUTPUTS = ("table.parquet", "table.csv", "report.html", "study.json")
SHIPPED = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "westward.cli.main", "study", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("WESTWARD_")}


def westward(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick run in one process."""
    out = tmp_path_factory.mktemp("study") / "one"
    ran = westward("run", STUDY, "--quick", "--jobs", 1, "--out", out)
    assert ran.returncode == 0, ran.stderr
    assert "(0 kept from before)" in ran.stdout
    assert "Simulation only" in ran.stdout
    return out


def test_two_processes_give_the_same_bytes_as_one(done: Path, tmp_path: Path) -> None:
    ran = westward("run", STUDY, "--quick", "--jobs", 2, "--out", tmp_path / "two")
    assert ran.returncode == 0, ran.stderr
    for name in OUTPUTS:
        assert (tmp_path / "two" / name).read_bytes() == (done / name).read_bytes(), name
    drawn = sorted(path.name for path in (done / "plots").iterdir())
    assert [name for name in drawn if name.endswith(".png")]
    for name in drawn:
        assert (tmp_path / "two" / "plots" / name).read_bytes() == (
            done / "plots" / name
        ).read_bytes(), name


def test_an_unchanged_study_is_not_run_again(done: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (done / "cells").iterdir()}
    again = westward("run", STUDY, "--quick", "--jobs", 2, "--out", done)
    assert again.returncode == 0, again.stderr
    assert f"({len(before)} kept from before)" in again.stdout
    assert {path.name: path.stat().st_mtime_ns for path in (done / "cells").iterdir()} == before


def test_the_report_says_what_it_is_and_needs_nothing_else(done: Path) -> None:
    page = (done / "report.html").read_text(encoding="utf-8")
    assert "This is a simulation." in page
    assert "A quick run:" in page
    assert "What is assumed" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "<script" not in page
    summary = json.loads((done / "study.json").read_text(encoding="utf-8"))
    assert summary["simulated"] is True
    for sentence in summary["answer"]:
        assert "{" not in sentence
        assert "no figure" not in sentence
        assert sentence.replace("'", "&#39;") in page
    table = pl.read_parquet(done / "table.parquet")
    text = pl.read_csv(done / "table.csv", schema=table.schema)
    assert table.equals(text.with_columns(pl.col("breakdown").fill_null("")))


def test_ctrl_c_keeps_what_is_finished_and_the_next_run_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    file = ROOT / "studies" / "faster-link.yaml"
    process = subprocess.Popen(
        command("run", file, "--quick", "--jobs", 2, "--out", out),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    cells = out / "cells"
    until = time.monotonic() + 120
    while not list(cells.glob("*.json")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, (stdout, stderr)
    assert "goes on from there" in stderr
    assert "Traceback" not in stderr
    kept = len(list(cells.glob("*.json")))
    assert kept >= 1
    assert not (out / "report.html").exists()
    assert not list(cells.glob(".cell-*"))
    ran = westward("run", file, "--quick", "--jobs", 2, "--out", out)
    assert ran.returncode == 0, ran.stderr
    assert f"({kept} kept from before)" in ran.stdout


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    ran = westward("run", STUDY, "--quick", "--out", tmp_path)
    assert ran.returncode == 2
    assert "holds files that no study wrote (thesis.txt)" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_check_lists_and_faults(tmp_path: Path) -> None:
    listed = westward("list")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == [
        f"studies/{name}.yaml" for name in SHIPPED
    ]
    checked = json.loads(westward("check", STUDY, "--json").stdout)
    assert checked["rehearsals"] == 80
    assert checked["skipped"] == ["recorded: the variable WESTWARD_TRACES is not set"]
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: Bad Name\nwrkloads: {}\n")
    ran = westward("check", bad)
    assert ran.returncode == 2
    assert f"{bad}:2 [wrkloads]: unknown key. Did you mean workloads?" in ran.stderr
    assert len(ran.stderr.splitlines()) >= 5


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "west-or-east"])
def test_every_shipped_study_answers_its_question(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    ran = westward("run", ROOT / "studies" / f"{name}.yaml", "--quick", "--out", out)
    assert ran.returncode == 0, ran.stderr
    summary = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert summary["answer"]
    for sentence in summary["answer"]:
        assert "no figure" not in sentence
        assert "cannot be compared" not in sentence


def test_ray_that_is_not_there_is_told_plainly(tmp_path: Path) -> None:
    try:
        import ray  # type: ignore[import-not-found,unused-ignore] # noqa: F401
    except ImportError:
        ran = westward("run", STUDY, "--quick", "--ray", "local", "--out", tmp_path / "out")
        assert ran.returncode == 2
        assert "pip install 'westward[ray]'" in ran.stderr
        assert not (tmp_path / "out").exists()
    else:
        ran = westward("run", STUDY, "--quick", "--ray", "127.0.0.1:1", "--out", tmp_path / "out")
        assert ran.returncode == 2
        assert "no Ray cluster answers" in ran.stderr
