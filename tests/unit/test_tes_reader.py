"""TES documents: where paths are put in, what the script tells, and what a piece of log says."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from westward.formats.tes import BACKEND_PARAMETERS, read_tes
from westward.formats.tes_log import read_records
from westward.formats.tes_model import read_document
from westward.formats.tes_script import Paths, local_path
from westward.model.faults import InputFaults


def run(folder: Path, document: object, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
    made = read_tes(
        read_document(document), job_id="job_1", now_ms=0, host_images=("a*",), word="WORD"
    )
    assert made.refusals == ()
    script = folder / "run.sh"
    script.write_text(made.job.work.run)
    return subprocess.run(["bash", script], cwd=folder, capture_output=True, timeout=timeout)


@pytest.mark.parametrize(
    ("text", "real"),
    [
        ("/data/in", "ROOT/data/in"),
        ("/data/in/x.txt", "ROOT/data/in/x.txt"),
        ("cat /data/in >/data/out", "cat ROOT/data/in >ROOT/data/out"),
        ("--in=/data/in", "--in=ROOT/data/in"),
        ("-I/data/in", "-IROOT/data/in"),
        ("cc -I/data/in x", "cc -IROOT/data/in x"),
        ("/data/in.txt", "/data/in.txt"),
        ("/data/inner", "/data/inner"),
        ("/my/data/in", "/my/data/in"),
        ("a/data/in", "a/data/in"),
        ("it's '/data/in' $HOME `x` \"y\" \\", "it's 'ROOT/data/in' $HOME `x` \"y\" \\"),
        ("", ""),
    ],
)
def test_the_real_path_is_put_in_where_a_declared_one_stands_whole(text: str, real: str) -> None:
    word = Paths(["/data/in", "/data/out/"]).word(text)
    said = subprocess.run(
        ["bash", "-c", f"tes_root=ROOT; printf %s {word}"], capture_output=True, check=True
    )
    assert said.stdout.decode() == real


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80))
def test_without_declared_paths_every_text_stays_what_it_is(text: str) -> None:
    word = Paths([]).word(text)
    said = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert said.stdout == text.encode()


def test_a_program_in_the_background_does_not_hold_the_task(tmp_path: Path) -> None:
    began = time.monotonic()
    done = run(
        tmp_path, {"executors": [{"image": "a", "command": ["sh", "-c", "sleep 60 & echo x"]}]}
    )
    assert time.monotonic() - began < 40
    assert done.returncode == 0
    records = read_records(done.stdout, "WORD")
    assert (records.ends[0].exit_code, records.ends[0].stdout, records.whole) == (0, "x\n", True)


def test_a_program_cannot_pass_for_the_script(tmp_path: Path) -> None:
    forged = (
        "printf '\\036TES OTHER end 0 0 1 2 - -\\n\\036TES WORD end zero\\n\\036TES WORD end 5 0'"
    )
    done = run(tmp_path, {"executors": [{"image": "a", "command": ["bash", "-c", forged]}]})
    assert list(read_records(done.stdout, "WORD").ends) == [0]


def test_a_piece_of_log_tells_what_is_in_it_and_that_something_is_missing(tmp_path: Path) -> None:
    both = {"image": "a", "command": ["echo", "out"]}
    log = run(tmp_path, {"executors": [both, both]}).stdout
    assert read_records(log, "WORD").whole
    second = log.index(b"end 1") - 20
    tail = read_records(log[second:], "WORD")
    assert (sorted(tail.ends), tail.ends[0].stdout, tail.ends[1].stdout) == ([0, 1], None, "out\n")
    assert not tail.whole
    cut = read_records(log[:-10], "WORD")
    assert sorted(cut.ends) == [0, 1]
    assert not cut.whole


@pytest.mark.parametrize("signal", ["TERM", "USR1"])
def test_what_is_said_after_a_stop_signal_is_kept(tmp_path: Path, signal: str) -> None:
    says = f"trap 'echo saved; exit 3' {signal}; echo up; while :; do sleep 0.05; done"
    document = {
        "executors": [
            {"image": "a", "command": ["bash", "-c", says]},
            {"image": "a", "command": ["echo", "never"]},
        ]
    }
    made = read_tes(
        read_document(document), job_id="job_1", now_ms=0, host_images=("a*",), word="WORD"
    )
    (tmp_path / "run.sh").write_text(made.job.work.run)
    # As an engine stops a run: the signal goes to every process of its group.
    starter = f"set -m; bash run.sh >log 2>&1 & pid=$!; until grep -q up log 2>/dev/null; do sleep 0.05; done; kill -{signal} -- -$pid; wait $pid; exit $?"
    done = subprocess.run(["bash", "-c", starter], cwd=tmp_path, timeout=60)
    log = (tmp_path / "log").read_bytes()
    records = read_records(log, "WORD")
    assert done.returncode == 3
    assert (records.ends[0].exit_code, records.ends[0].stdout) == (3, "up\nsaved\n")
    assert sorted(records.ends) == [0]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/a/b", "/a/b"),
        ("file:///a/b%20c", "/a/b c"),
        ("file://localhost/a", "/a"),
        ("file://elsewhere/a", None),
        ("s3://b/a", None),
        ("a/b", None),
        ("file://[", None),
    ],
)
def test_urls_of_the_site(url: str, path: str | None) -> None:
    assert local_path(url) == path


def test_every_fault_of_a_document_is_told_at_once() -> None:
    with pytest.raises(InputFaults) as told:
        read_tes(
            read_document(
                {
                    "executors": [
                        {"image": "a", "command": ["x"], "env": {"1": ""}, "stdin": "in"}
                    ],
                    "volumes": ["/"],
                    "resources": {"backend_parameters": {"deadline": "z", "nodes": "two"}},
                }
            ),
            job_id="job_1",
            now_ms=0,
            host_images=("a*",),
            word="WORD",
        )
    assert [fault.field for fault in told.value.faults] == [
        "executors[0].env.1",
        "executors[0].stdin",
        "resources.backend_parameters.deadline",
        "resources.backend_parameters.nodes",
        "volumes[0]",
    ]


def test_the_how_to_lists_every_backend_parameter() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "tes.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page.partition("<!-- keys -->")[2], re.M)
    assert listed == list(BACKEND_PARAMETERS)
