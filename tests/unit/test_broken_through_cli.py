"""The whole corpus of wrong input, as a user meets it: exit code 2, the faults, nothing else.

The readers' own tests hold each fault's text; these hold the way out, through the command: that
it prints exactly those lines on stderr, nothing on stdout, and writes nothing anywhere near.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from network_cases import Case, fingerprint, load_cases
from test_broken_inputs import BROKEN, JOBS, NOW_MS, TRACES

# ``plan`` turns the compiler off for its process unless the kernels are there already; the other
# tests of this process are to keep it.
import westward.placement.kernels  # noqa: F401
from westward.cli.main import run
from westward.formats.traces import FORMATS
from westward.jit import compiled
from westward.model.units import format_instant

LAPTOP = Path(__file__).resolve().parents[2] / "networks" / "laptop"
CASES = load_cases()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, and no word of a running server or of the developer's own."""
    for name in [name for name in os.environ if name.startswith("WESTWARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Runs the command, which must refuse and leave ``folder`` as it is; its lines on stderr."""
    before, names = fingerprint(folder), sorted(folder.rglob("*"))
    code = run(arguments)
    told = capsys.readouterr()
    assert compiled()
    assert code == 2, told.err
    assert told.out == ""
    assert "Traceback" not in told.err
    assert sorted(folder.rglob("*")) == names
    assert fingerprint(folder) == before
    assert told.err.endswith("\n")
    return told.err.splitlines()


def expected(path: Path) -> list[str]:
    return path.with_name(path.name + ".expect").read_text(encoding="utf-8").splitlines()


def without_folder(lines: list[str], path: Path) -> list[str]:
    """Lines about the file at ``path``, which they all name, with its folder cut off."""
    assert all(line.startswith(str(path)) for line in lines), lines
    return [line.replace(f"{path.parent}{os.sep}", "") for line in lines]


def test_the_whole_corpus_is_walked() -> None:
    given = {path.name for folder in ("jobs", "traces") for path in (BROKEN / folder).iterdir()}
    expects = {name for name in given if name.endswith(".expect")}
    assert {path.name + ".expect" for path in [*JOBS, *TRACES]} == expects
    assert {case.name for case in CASES} == {path.name for path in (BROKEN / "networks").iterdir()}


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_plan_refuses_a_wrong_job(
    path: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = format_instant(NOW_MS)
    lines = refused(["plan", str(path), "--network", str(LAPTOP), "--at", at], here, capsys)
    assert without_folder(lines, path) == expected(path)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_simulate_refuses_a_wrong_trace(
    path: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = next(name for name in FORMATS if f".{name}" in path.name)
    arguments = ["simulate", str(LAPTOP), "--workload", str(path), "--format", kind]
    lines = refused([*arguments, "--out", str(here / "out")], here, capsys)
    assert without_folder(lines, path) == expected(path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_network_check_refuses_a_wrong_folder(
    case: Case, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case.build(here)
    assert refused(["network", "check", str(folder)], here, capsys) == case.expect


def test_wrong_files_together_are_told_together(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two wrong jobs and a right one: every fault of both, and no plan for the third."""
    right = here / "right.yaml"
    right.write_text("run: echo hello\n", encoding="utf-8")
    wrong = [Path(shutil.copy(JOBS[0], here)), Path(shutil.copy(JOBS[-1], here))]
    files = [str(wrong[0]), str(right), str(wrong[1])]
    arguments = ["plan", *files, "--network", str(LAPTOP), "--at", format_instant(NOW_MS)]
    lines = refused(arguments, here, capsys)
    both = [(one, [line for line in lines if line.startswith(str(one))]) for one in wrong]
    assert sum(len(its) for _, its in both) == len(lines)
    for one, its in both:
        assert without_folder(its, one) == expected(BROKEN / "jobs" / one.name)


LONG = "x" * 300
"""Longer than a file system lets a name be: to ask for it is an error of its own."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["network", "check", LONG],
        ["plan", LONG, "--network", str(LAPTOP)],
        ["plan", "job.yaml", "--network", LONG],
        ["simulate", LONG, "--generate", "5", "--out", "out"],
        ["simulate", str(LAPTOP), "--workload", LONG, "--format", "swf", "--out", "out"],
        ["study", "check", LONG],
        ["study", "list", LONG],
        ["voucher", "check", LONG],
        ["workload", "describe", LONG],
    ],
    ids=" ".join,
)
def test_a_name_too_long_to_be_there_is_not_there(
    arguments: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "job.yaml").write_text("run: echo hello\n", encoding="utf-8")
    assert any(LONG in line for line in refused(arguments, here, capsys))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", str(LAPTOP), "--generate", "5", "--load"],
        ["simulate", str(LAPTOP), "--generate", "5", "--checkpoint-gb"],
        ["simulate", str(LAPTOP), "--generate", "5", "--wait-value"],
        ["simulate", str(LAPTOP), "--generate", "5", "--forecast-error"],
        ["data", "add", "images", ".", "--site", "harbor", "--price-per-gb"],
    ],
    ids=lambda one: one[-1],
)
def test_what_is_no_finite_number_is_refused(
    arguments: list[str], text: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = refused([*arguments, text], here, capsys)
    assert any(arguments[-1] in line for line in lines), lines
