"""Every wrong job file and trace of the corpus: exactly the expected faults, nothing written.

``WESTWARD_UPDATE_EXPECTED=1 pytest tests/unit/test_broken_inputs.py`` rewrites the ``.expect``
files; read the difference before keeping it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from westward.formats.task_set import read_tasks_file
from westward.formats.traces import FORMATS, read_workload
from westward.model.faults import InputFaults

BROKEN = Path(__file__).resolve().parent.parent / "broken"
JOBS = sorted((BROKEN / "jobs").glob("*.yaml"))
TRACES = sorted(
    path for path in (BROKEN / "traces").iterdir() if path.suffix in (".swf", ".csv", ".gz")
)
NOW_MS = 1_795_000_000_000
UPDATE = os.environ.get("WESTWARD_UPDATE_EXPECTED") == "1"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def compare(path: Path, told: InputFaults) -> None:
    """The faults in words, with the corpus folder cut off so that they are the same anywhere."""
    text = "\n".join(str(fault) for fault in told.faults) + "\n"
    text = text.replace(str(path.parent) + os.sep, "")
    expected = path.with_name(path.name + ".expect")
    if UPDATE:
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


def test_the_corpus_is_large_enough_and_complete() -> None:
    assert len(JOBS) >= 20
    assert len(TRACES) >= 12
    wanted = {path.name + ".expect" for path in [*JOBS, *TRACES]}
    found = {path.name for folder in ("jobs", "traces") for path in (BROKEN / folder).iterdir()}
    assert {name for name in found if name.endswith(".expect")} == wanted


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_wrong_job_file(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = contents(path.parent)
    with pytest.raises(InputFaults) as told:
        read_tasks_file(path, job_id="job_1", now_ms=NOW_MS)
    if not UPDATE:
        assert contents(path.parent) == before
    assert list(tmp_path.iterdir()) == []
    compare(path, told.value)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_wrong_trace(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = contents(path.parent)
    format = next(name for name in FORMATS if f".{name}" in path.name)
    with pytest.raises(InputFaults) as told:
        read_workload(path, format)
    if not UPDATE:
        assert contents(path.parent) == before
    assert list(tmp_path.iterdir()) == []
    compare(path, told.value)
