"""The readers of formats beyond SWF: small files written here, options, ways in, fast against slow."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from westward.cli.main import run
from westward.formats.traces import (
    NoJobList,
    TraceOptions,
    describe_file,
    read_figures,
    read_workload,
)
from westward.formats.traces import source as trace_source
from westward.formats.traces.build import gangs
from westward.formats.traces.source import Source, Table, read_csv
from westward.formats.traces.swf import FIELDS, columns_of_bytes, columns_of_text
from westward.model.faults import InputFaults

PHILLY = (
    "timestamp,duration,num_gpus,gpu_time,cluster\n"
    "2017-10-09 07:01:55,66.0,12,792.0,b\n"
    "2017-10-09 06:00:00,1.5,1,1.5,a\n"
    "2017-10-10 06:00:00,0,1,0,a\n"
)
SIA = "name,time,application,num_replicas,batch_size\na-0,1.5,bert,2,8\nb-1,5,bert,4,8\n"
AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:17:03.9799600,1000,10\n"
    "2023-11-16 18:17:04,0,0\n"
)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_philly(tmp_path: Path) -> None:
    workload = read_workload(write(tmp_path, "p.csv", PHILLY))
    assert workload.submit_ms.tolist() == [6 * 3_600_000, 7 * 3_600_000 + 115_000]
    assert workload.duration_ms.tolist() == [1_500, 66_000]
    assert workload.nodes.tolist() == [1, 12]
    assert workload.home.tolist() == [0, 1]
    assert workload.source_row.tolist() == [3, 2]
    assert [(d.rows, d.first_row) for d in workload.dropped] == [(1, 4)]
    assert "time 0 is now 2017-10-09 00:00 of the file's own clock" in workload.notes[0]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, [(1, 1), (3, 1), (8, 1), (12, 1), (7, 1)]),
        (4, [(1, 1), (1, 3), (2, 4), (3, 4), (7, 1)]),
        (8, [(1, 1), (1, 3), (1, 8), (2, 6), (1, 7)]),
    ],
)
def test_gangs_fill_nodes_evenly(most: int, expected: list[tuple[int, int]]) -> None:
    gpus = np.array([1.0, 3.0, 8.0, 12.0, 7.0])
    nodes, milli = gangs(gpus, TraceOptions(devices_per_node=most))
    assert list(zip(nodes.tolist(), (milli // 1_000).tolist(), strict=True)) == expected


def test_a_figure_for_a_gang_size_goes_before_the_name_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "s.csv", SIA)
    both = TraceOptions(run_s={"bert": 60.0, "bert@4": 20.0})
    assert read_workload(path, options=both).duration_ms.tolist() == [60_000, 20_000]
    with pytest.raises(NoJobList, match="none is stated for 'bert'"):
        read_workload(path, options=TraceOptions(run_s={"bert@4": 20.0}))


def test_azure_llm(tmp_path: Path) -> None:
    options = TraceOptions(tokens_per_s_in=500, tokens_per_s_out=20, request_devices_milli=250)
    workload = read_workload(write(tmp_path, "a.csv", AZURE), options=options)
    assert workload.duration_ms.tolist() == [2_500]
    assert workload.submit_ms.tolist() == [(18 * 3_600 + 17 * 60 + 3) * 1_000 + 980]
    assert workload.devices_milli.tolist() == [250]
    assert workload.dropped[0].reason == "no tokens"


@pytest.mark.parametrize(
    "wrong",
    [
        {"devices_per_node": 0},
        {"tokens_per_s_in": -1.0},
        {"tokens_per_s_out": float("inf")},
        {"request_devices_milli": 0},
        {"steps_per_s": {"a": 0.0}},
        {"run_s": {"a": float("nan")}},
    ],
)
def test_stated_figures_must_be_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0 and finite"):
        TraceOptions(**wrong)  # type: ignore[arg-type]


def test_a_node_has_its_limits() -> None:
    for wrong in ({"devices_per_node": 1_025}, {"request_devices_milli": 2**31}):
        with pytest.raises(ValueError, match="at most 1024 devices"):
            TraceOptions(**wrong)  # type: ignore[arg-type]


def test_figures_that_make_runs_too_long_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "s.csv", SIA)
    with pytest.raises(InputFaults, match=r"a run of 1e\+12 s; at most 1e\+11 can be"):
        read_workload(path, options=TraceOptions(run_s={"bert": 1e12}))
    slow = TraceOptions(tokens_per_s_in=1e-9, tokens_per_s_out=1, request_devices_milli=1)
    with pytest.raises(InputFaults, match="Check the unit of tokens_per_s_in"):
        read_workload(write(tmp_path, "a.csv", AZURE), options=slow)


def test_dates_before_1980_are_dates_too(tmp_path: Path) -> None:
    for year in ("1969", "1975", "2017"):
        path = write(tmp_path, "p.csv", PHILLY.replace("2017", year))
        assert read_workload(path).submit_ms.tolist() == [21_600_000, 25_315_000]


def test_figure_files(tmp_path: Path) -> None:
    good = write(tmp_path, "f.csv", 'name,value\nbert,60\n\n"LM (batch size 5), x@4",1.5\n')
    assert read_figures(good) == {"bert": 60.0, "LM (batch size 5), x@4": 1.5}
    bad = write(tmp_path, "g.csv", "name,value\nbert,0\nbert,2\n,5\nx,fast\ny\n")
    with pytest.raises(InputFaults) as told:
        read_figures(bad)
    assert [(fault.row, fault.field) for fault in told.value.faults] == [
        (2, "value"),
        (3, "name"),
        (4, "name"),
        (5, "value"),
        (6, ""),
    ]
    with pytest.raises(InputFaults, match="the header is not name,value"):
        read_figures(write(tmp_path, "h.csv", "bert,60\n"))
    with pytest.raises(InputFaults, match="cannot be read: No such file"):
        read_figures(tmp_path / "none.csv")


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_tar_and_gzip_in_members(tmp_path: Path) -> None:
    archive = packed({"._p.csv": b"\x05Mac", "p.csv": PHILLY.encode()})
    half = len(archive) // 2
    for name, data in (
        ("p.tar", archive),
        ("p.tar.gz", gzip.compress(archive)),
        # Members one after the other, and zeros after them: both are allowed by the format.
        ("q.tar.gz", gzip.compress(archive[:half]) + gzip.compress(archive[half:]) + bytes(512)),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        assert len(read_workload(path)) == 2
    path.write_bytes(gzip.compress(b"a,b\n") + b"more")
    with pytest.raises(InputFaults, match="the gzip file is damaged"):
        read_workload(path)
    path = tmp_path / "short.tar"
    path.write_bytes(archive[:700])
    with pytest.raises(InputFaults, match="the tar archive"):
        read_workload(path)


def test_a_description_tells_what_was_dropped(tmp_path: Path) -> None:
    found = describe_file(write(tmp_path, "p.csv", PHILLY))
    text = "\n".join(found.lines)
    assert (found.jobs, found.rows_read, found.refused) == (2, 3, ())
    assert "dropped       1 rows: no run time; first 4" in text
    assert "gang size     devices      jobs   of jobs  of device-hours" in text
    assert (
        "                 9-16         1    50.0%    99.8% ##############################" in text
    )
    assert "by hour       000000990000000000000000" in text


def test_describe_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "s.csv", SIA)
    assert run(["workload", "describe", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["rows_read"], told["jobs"]) == ("sia", 2, None)
    assert "none is stated for 'bert'" in told["refused"][0]
    figures = write(tmp_path, "f.csv", "name,value\nbert,60\n")
    more = ["--run-s", str(figures), "--devices-per-node", "8"]
    assert run(["workload", "describe", str(path), "--json", *more]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["jobs"], told["refused"], told["dropped"]) == (2, [], [])
    assert any("run time as stated by the caller" in note for note in told["notes"])
    assert run(["workload", "describe", str(path)]) == 0
    assert "rows read     2" in capsys.readouterr().out


def test_describe_command_tells_all_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = write(tmp_path, "f.csv", "name,value\nbert,no\n")
    also = write(tmp_path, "g.csv", "name;value\n")
    arguments = ["workload", "describe", str(tmp_path / "none"), "--run-s", str(wrong)]
    assert run([*arguments, "--steps-per-s", str(also)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(wrong), str(also)]
    path = write(tmp_path, "s.csv", SIA.replace("1.5", "-1").replace(",4,", ",x,"))
    assert run(["workload", "describe", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 3  # two cells, and the run time that nobody stated


def test_formats_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["workload", "formats", "--json"]) == 0
    told = {entry["name"]: entry["needs"] for entry in json.loads(capsys.readouterr().out)}
    assert told["swf"] == []
    assert told["gavel"] == ["steps_per_s"]
    assert run(["workload", "formats"]) == 0
    assert "azure-llm      tokens-per-s-in, tokens-per-s-out" in capsys.readouterr().out


def source_of(text: str) -> Source:
    return Source("x", "x", "", text.encode())


# Rows of an SWF log, mostly right, and what logs and editors do to them.
_NUMBER = st.one_of(
    st.integers(-1, 10**6).map(str),
    st.sampled_from(
        [
            "-1",
            "0",
            "2.5",
            "10.250",
            "-0",
            "1e3",
            "+5",
            "5.",
            ".5",
            "x",
            "",
            "nan",
            "--1",
            "1-",
            "∞",
        ]
    ),
    st.integers(0, 10**17).map(str),
    st.decimals(0, 10**6, places=3).map(str),
)
_ROW = st.lists(st.integers(-1, 99).map(str), min_size=18, max_size=20)
_GAP = st.sampled_from([" ", "  ", "\t", " \t "])
_END = st.sampled_from(
    ["\n", " \n", "\r\n", "\n\n", "\n \n", "\n; note\n", "\n  ; 1 2\n", "\r", "\x0b\n"]
)


@st.composite
def swf_text(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(["", "; Version: 2\n", "\n;\n", " "]))
    for _ in range(draw(st.integers(1, 4))):
        row = draw(_ROW)
        if draw(st.integers(0, 3)) == 0:
            row[draw(st.integers(0, 17))] = draw(_NUMBER)
        if draw(st.integers(0, 9)) == 0:
            row = row[: draw(st.integers(0, 18))]
        text += draw(_GAP).join(row) + draw(_END if draw(st.integers(0, 2)) == 0 else st.just("\n"))
    return text.rstrip("\n") if draw(st.booleans()) else text


@settings(max_examples=400, deadline=None)
@given(text=swf_text())
@example(text="1 " * 17 + "1")
@example(text=" ".join(["0.1", *["1"] * 17]) + "\n")
@example(text=" ".join(["1", "123456789012.345", *["1"] * 16]))
@example(text="; only\n; comments")
def test_swf_from_bytes_equals_swf_from_text(text: str) -> None:
    """The compiled reader gives exactly what the text reader gives, or leaves it to it."""
    fast = columns_of_bytes(source_of(text))
    if fast is None:
        return
    columns, lines = columns_of_text(source_of(text))
    assert list(fast[0]) == list(columns)
    for name, values in columns.items():
        assert fast[0][name].tolist() == values.tolist(), name
    assert fast[1].tolist() == lines.tolist()


def test_swf_from_bytes_reads_plain_logs() -> None:
    row = " ".join(str(at) for at in range(len(FIELDS)))
    text = f"; a\n\n  {row}\r\n{row.replace('3 ', '3.25 ')} 19 {{x}}\n; b\n{row}"
    fast = columns_of_bytes(source_of(text))
    assert fast is not None
    assert fast[0]["run_time"].tolist() == [3.0, 3.25, 3.0]
    assert fast[1].tolist() == [3, 4, 6]
    for wrong in ("x", "2.5", "-2", "1e3"):
        cells = row.split()
        cells[4] = wrong  # processors: a whole number, at least -1
        assert columns_of_bytes(source_of(" ".join(cells))) is None


_PLAIN = st.sampled_from(["1", "", " 2 ", "x", "3.5", "é", "nan"])
_CELLS = st.one_of(_PLAIN, st.sampled_from(['"4"', '"5,6"', ' "7"']))
_ROWS = st.one_of(
    st.lists(_PLAIN, min_size=3, max_size=3),
    st.lists(_PLAIN, min_size=3, max_size=3),
    st.lists(_PLAIN, min_size=2, max_size=4),
    st.lists(_CELLS, min_size=3, max_size=3),
)
_ENDS = st.sampled_from(["\n"] * 12 + ["\r\n", "\n\n", "\n \n"])


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.tuples(_ROWS, _ENDS), max_size=4),
    last=st.booleans(),
)
@example(rows=[(["1"] * 2, "\n"), (["1"] * 3 + [""], "\n")], last=False)
@example(
    rows=[(["1"] * 3, "\n"), (["1"] * 3, "\n"), (["1"] * 2, "\n"), (["1"] * 3 + [""], "\n")],
    last=True,
)
def test_csv_read_plainly_equals_csv_read_by_line(
    rows: list[tuple[list[str], str]], last: bool
) -> None:
    text = "a,b,c\n" + "".join(",".join(cells) + end for cells, end in rows)
    text = text if last else text.rstrip("\n")

    def read() -> Table | None:
        try:
            table = read_csv(source_of(text), ("a", "b", "c"))
            table.log.raise_if_any()
        except InputFaults:
            return None
        return table

    fast = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace_source, "_read_plain_csv", lambda source, names: None)
        slow = read()
    assert (fast is None) == (slow is None)
    if fast is not None and slow is not None:
        assert fast.lines.tolist() == slow.lines.tolist()
        for name in ("a", "b", "c"):
            assert fast.cells[name].to_list() == slow.cells[name].to_list()
