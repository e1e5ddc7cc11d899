"""Reading recorded workloads: small ones written here, and the real ones in the shared folder."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from shared_data import shared_facts, shared_trace

from westward.formats.traces import TraceOptions, describe, read_workload
from westward.formats.traces import source as trace_source
from westward.model.faults import InputFaults
from westward.model.workload import DroppedRows, Workload

SWF = """\
; Version: 2.2
; Computer: Test
; UnixStartTime: 86400
; MaxProcs: 64
; Note: caf\u00e9

 3   20.5  -1  10.25  4  -1 -1  8  20 -1  1  7 -1 -1 -1 12 -1 -1
 1   20.5  -1  10     -1 -1 -1  2  -1 -1  0 -1 -1 -1 -1  5 -1 -1
 2    0    -1  100    1  -1 -1  1  50 -1  5  3 -1 -1 -1 12 -1 -1 {1,2} queue
 4   30    -1  0      1  -1 -1  1  50 -1  5  3 -1 -1 -1 12 -1 -1
 5   31    -1  -900   1  -1 -1  1  50 -1  5  3 -1 -1 -1 12 -1 -1
 6   32    -1  5      -1 -1 -1 -1  50 -1  5  3 -1 -1 -1 12 -1 -1
"""
OPENB_HEADER = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,"
    "creation_time,deletion_time,scheduled_time\n"
)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def check_shape(workload: Workload) -> None:
    """What every reader promises."""
    columns = [getattr(workload, field.name) for field in fields(workload)]
    arrays = [column for column in columns if isinstance(column, np.ndarray)]
    assert len(arrays) >= 12  # and one more for each that only some sources state
    assert {len(array) for array in arrays} == {len(workload)}
    assert (np.diff(workload.submit_ms) >= 0).all()
    assert (workload.duration_ms >= 1).all()
    assert (workload.nodes >= 1).all()
    assert len(workload) + sum(dropped.rows for dropped in workload.dropped) == workload.rows_read


def test_swf_columns(tmp_path: Path) -> None:
    workload = read_workload(write(tmp_path, "t.swf", SWF), "swf")
    check_shape(workload)
    assert workload.source_row.tolist() == [2, 1, 3]
    assert workload.submit_ms.tolist() == [0, 20_500, 20_500]
    assert workload.duration_ms.tolist() == [100_000, 10_000, 10_250]
    assert workload.estimate_ms.tolist() == [50_000, -1, 20_000]
    assert workload.nodes.tolist() == [1, 2, 4]
    assert workload.devices_milli.tolist() == [1_000] * 3
    assert workload.cpus_milli.tolist() == [0] * 3
    assert workload.user.tolist() == [3, -1, 7]
    assert workload.home.tolist() == [1, 0, 1]
    assert workload.deadline_ms.tolist() == [-1] * 3
    assert workload.dropped == (
        DroppedRows(reason="run time below -1: the record is broken", rows=1, first_row=11),
        DroppedRows(reason="no run time (0 or not recorded)", rows=1, first_row=10),
        DroppedRows(reason="no processors (0 or not recorded)", rows=1, first_row=12),
    )
    notes = "\n".join(workload.notes)
    assert "the log's time 0 was 1970-01-02T00:00:00Z" in notes
    assert "hour of day unknown: the log states no time zone" in notes
    assert "1 jobs ran longer than requested" in notes
    assert "1 failed jobs kept" in notes
    assert "the recorded machine had 64 processors" in notes


def test_swf_options(tmp_path: Path) -> None:
    path = write(tmp_path, "t.swf", SWF)
    asked = read_workload(path, "swf", options=TraceOptions(processors="requested"))
    assert asked.nodes.tolist() == [1, 2, 8]
    as_cpus = read_workload(path, "swf", options=TraceOptions(processors_are_devices=False))
    assert as_cpus.devices_milli.tolist() == [0] * 3
    assert as_cpus.cpus_milli.tolist() == [1_000] * 3


def test_dates_since_1970_become_times_since_the_first_midnight(tmp_path: Path) -> None:
    rest = "-1 10 1 -1 -1 1 20 -1 1 1 1 -1 -1 -1 -1 -1"
    log = f"1 1356996147 {rest}\n2 1357002151 {rest}\n"
    workload = read_workload(write(tmp_path, "t.swf", log), "swf")
    assert workload.submit_ms.tolist() == [84_147_000, 90_151_000]
    assert any("time 0 is now 2012-12-31 00:00 UTC" in note for note in workload.notes)


JOB_AT = "1 {at} -1 10 1 -1 -1 1 20 -1 1 1 1 -1 -1 -1 -1 -1\n"
HOUR_MS = 3_600_000


def clocked(tmp_path: Path, header: str, at: float = 60) -> tuple[int, str]:
    """The submit time of a log's one job, handed in ``at`` seconds after time 0, and the notes."""
    log = "".join(f"; {line}\n" for line in header.splitlines()) + JOB_AT.format(at=at)
    workload = read_workload(write(tmp_path, "t.swf", log), "swf")
    check_shape(workload)
    return int(workload.submit_ms[0]), "\n".join(workload.notes)


@pytest.mark.parametrize(
    ("header", "time_0_ms", "note"),
    [
        # 1998-04-25T01:11:04Z: the day before in California, on daylight saving time.
        (
            "UnixStartTime: 893466664\nTimeZoneString: US/Pacific",
            18 * HOUR_MS + 664_000,
            "time 0 = 18:11 local (US/Pacific); hours of day are kept, dates and weekdays are not",
        ),
        # A name goes before seconds, which are wrong in some headers (LLNL Atlas).
        (
            "UnixStartTime: 1163199901\nTimeZone: 3600\nTimeZoneString: US/Pacific",
            15 * HOUR_MS + 301_000,
            "time 0 = 15:05 local (US/Pacific)",
        ),
        # Seconds are east of UTC: 01:11:04Z + 8 h, - 8 h, + 5:30.
        ("UnixStartTime: 893466664\nTimeZone: 28800", 9 * HOUR_MS + 664_000, "09:11 local"),
        (
            "UnixStartTime: 893466664\nTimeZone: -28800",
            17 * HOUR_MS + 664_000,
            "time 0 = 17:11 local (UTC-08:00)",
        ),
        (
            "UnixStartTime: 893466664\nTimeZone: 19800",
            6 * HOUR_MS + 2_464_000,
            "time 0 = 06:41 local (UTC+05:30)",
        ),
        ("UnixStartTime: 86400\nTimeZoneString: UTC", 0, "time 0 = 00:00 local (UTC)"),
    ],
)
def test_the_hour_of_day_of_a_log_is_kept(
    tmp_path: Path, header: str, time_0_ms: int, note: str
) -> None:
    submit_ms, notes = clocked(tmp_path, header)
    assert submit_ms == time_0_ms + 60_000
    assert note in notes
    assert "hour of day unknown" not in notes


@pytest.mark.parametrize(
    "header",
    [
        "MaxProcs: 4",
        "TimeZoneString: Asia/Shanghai",
        "UnixStartTime: 0\nTimeZoneString: Asia/Shanghai",
        "UnixStartTime: -5\nTimeZone: 3600",
        "UnixStartTime: ²\nTimeZone: 3600",
        f"UnixStartTime: {10**14}\nTimeZone: 3600",
        f"UnixStartTime: {10**40}\nTimeZone: 3600",
        "UnixStartTime: yesterday\nTimeZone: 3600",
    ],
)
def test_without_a_start_time_the_hour_of_day_is_unknown(tmp_path: Path, header: str) -> None:
    submit_ms, notes = clocked(tmp_path, header)
    assert submit_ms == 60_000
    assert "hour of day unknown: the log states no start time" in notes


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "America", "../../etc/passwd", "/etc/passwd", "x" * 5_000, "时区"]
)
def test_an_unknown_time_zone_is_noted_and_the_seconds_taken(tmp_path: Path, name: str) -> None:
    start = f"UnixStartTime: 893466664\nTimeZoneString: {name}"
    submit_ms, notes = clocked(tmp_path, start)
    assert submit_ms == 60_000
    assert "hour of day unknown: the log states no time zone" in notes
    assert f"TimeZoneString {name[:40]!r} is no known time zone" in notes
    submit_ms, notes = clocked(tmp_path, f"{start}\nTimeZone: 0")
    assert submit_ms == HOUR_MS + 664_000 + 60_000
    assert "time 0 = 01:11 local (UTC+00:00)" in notes
    assert "is no known time zone" in notes


@pytest.mark.parametrize("seconds", ["PST", "8e3", "999999", str(10**30)])
def test_a_time_zone_that_is_no_number_of_seconds_is_noted(tmp_path: Path, seconds: str) -> None:
    submit_ms, notes = clocked(tmp_path, f"UnixStartTime: 893466664\nTimeZone: {seconds}")
    assert submit_ms == 60_000
    assert f"TimeZone {seconds!r} is no number of seconds" in notes


def test_dates_since_1970_keep_their_local_hour(tmp_path: Path) -> None:
    # 2012-12-31T23:22:27Z is 00:22:27 of the new year in Prague.
    header = "UnixStartTime: 893466664\nTimeZoneString: Europe/Prague"
    submit_ms, notes = clocked(tmp_path, header, at=1356996147)
    assert submit_ms == 22 * 60_000 + 27_000
    assert "time 0 is now 2013-01-01 00:00 local (Europe/Prague)" in notes
    far, notes = clocked(tmp_path, header, at=9.9e10)
    assert 0 <= far < 24 * HOUR_MS


def test_a_real_log_keeps_its_hours_and_its_distances() -> None:
    workload = read_workload(shared_trace("swf/SDSC-SP2-1998-4.2-cln.swf.gz"), "swf")
    assert any(note.startswith("time 0 = 18:11 local (US/Pacific)") for note in workload.notes)
    # Its first job: 566129 s after time 0, which was 18:11:04.
    assert int(workload.source_row[0]) == 11
    assert int(workload.submit_ms[0]) == (566_129 + 18 * 3_600 + 11 * 60 + 4) * 1_000
    hours = np.bincount(workload.submit_ms // HOUR_MS % 24, minlength=24)
    assert hours[9:17].sum() > 3 * hours[0:6].sum()  # people work by day
    unclocked = read_workload(shared_trace("swf/SDSC-SP2.easy.swf.gz"), "swf")
    assert any(
        note.startswith("hour of day unknown: the log states no start time")
        for note in unclocked.notes
    )


def test_the_partition_column_of_a_simulated_schedule_is_no_home(tmp_path: Path) -> None:
    text = SWF.replace("Computer: Test", "Computer: Pyss Simulator (x)")
    assert read_workload(write(tmp_path, "t.swf", text), "swf").home.tolist() == [-1] * 3


def test_a_gzip_file_is_read_as_it_is(tmp_path: Path) -> None:
    plain = write(tmp_path, "t.swf", SWF)
    packed = tmp_path / "t.swf.gz"
    packed.write_bytes(gzip.compress(SWF.encode(), mtime=0))
    a, b = read_workload(plain, "swf"), read_workload(packed, "swf")
    assert a.name == b.name == "t"
    assert a.digest == hashlib.sha256(SWF.encode()).hexdigest()
    assert b.digest == hashlib.sha256(packed.read_bytes()).hexdigest()
    assert a.submit_ms.tolist() == b.submit_ms.tolist()


def test_openb_columns(tmp_path: Path) -> None:
    rows = (
        "pod-0,12000,16384,2,1000,A|B,LS,Running,50,100,60\n"
        "pod-1,6000,0,1,460,,LS,Pending,5,35,\n"
        "pod-2,1000,1024,0,0,,BE,Failed,70,75,70\n"
        "pod-3,1000,1024,0,0,,BE,Failed,70,70,70\n"
    )
    workload = read_workload(write(tmp_path, "t.csv", OPENB_HEADER + rows), "openb")
    check_shape(workload)
    assert workload.submit_ms.tolist() == [5_000, 50_000, 70_000]
    assert workload.duration_ms.tolist() == [30_000, 40_000, 5_000]
    assert workload.devices_milli.tolist() == [460, 2_000, 0]
    assert workload.cpus_milli.tolist() == [6_000, 12_000, 1_000]
    assert workload.memory_mib.tolist() == [0, 16_384, 1_024]
    assert workload.estimate_ms.tolist() == [-1] * 3
    assert workload.source_row.tolist() == [3, 2, 4]
    assert workload.dropped[0].rows == 1
    notes = "\n".join(workload.notes)
    assert "1 tasks were never scheduled" in notes
    assert "hour of day unknown" in notes
    assert "1 tasks name the GPU models they can run on" in notes
    assert workload.kind_names == ("A", "B")
    assert workload.kind_mask is not None
    assert workload.kind_mask.tolist() == [0, 3, 0]
    assert workload.priority is not None
    assert workload.priority.tolist() == [2, 2, 0]
    assert "censored: 1 tasks end at the recording's last second" in notes


def test_gaia_units(tmp_path: Path) -> None:
    hours = write(tmp_path, "h.csv", "arrival_time,length,cpus\n1.5,0.25,4\n0,1,1\n2,0,1\n3,1,0\n")
    workload = read_workload(hours, "gaia")
    check_shape(workload)
    assert workload.submit_ms.tolist() == [0, 5_400_000]
    assert workload.duration_ms.tolist() == [3_600_000, 900_000]
    assert workload.nodes.tolist() == [1, 4]
    assert "hour of day unknown" in "\n".join(workload.notes)
    assert {dropped.reason for dropped in workload.dropped} == {"no run time", "no cpus"}
    seconds = write(tmp_path, "s.csv", "arrival_time,length,cpus\n0,60.0,1\n90000,30,2\n")
    assert read_workload(seconds, "gaia").duration_ms.tolist() == [60_000, 30_000]
    told = read_workload(seconds, "gaia", options=TraceOptions(time_unit="hours"))
    assert told.duration_ms.tolist() == [216_000_000, 108_000_000]
    assert told.notes[0] == "times read as hours (as told)"
    unclear = write(tmp_path, "u.csv", "arrival_time,length,cpus\n0.5,60,1\n90000,30,2\n")
    with pytest.raises(InputFaults, match="fractions up to 90000 may be hours or seconds"):
        read_workload(unclear, "gaia")


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    head, *jobs = [line for line in SWF.splitlines() if line.strip() and line[0] != ";"]
    forward = read_workload(write(tmp_path, "a.swf", "\n".join([head, *jobs])), "swf")
    backward = read_workload(write(tmp_path, "b.swf", "\n".join([*jobs[::-1], head])), "swf")
    assert forward.source_row.tolist() == backward.source_row.tolist()
    assert forward.nodes.tolist() == backward.nodes.tolist()


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfarrival_time,length,cpus\r\n0.5,1,1\r\n\r\n")
    assert read_workload(path, "gaia").submit_ms.tolist() == [1_800_000]


def test_quoted_cells(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", 'arrival_time,length,cpus\n"0.5","1",1\n')
    assert read_workload(path, "gaia").duration_ms.tolist() == [3_600_000]


def test_unknown_format_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputFaults, match=r"unknown trace format 'swff'\. Did you mean swf\?"):
        read_workload(tmp_path / "x", "swff")
    with pytest.raises(InputFaults, match="cannot be read: No such file"):
        read_workload(tmp_path / "x", "swf")
    with pytest.raises(InputFaults, match="cannot be read: Is a directory"):
        read_workload(tmp_path, "swf")


def test_the_size_limit_holds_for_what_a_gzip_unpacks_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_source, "MAX_TRACE_BYTES", 1_000)
    path = tmp_path / "bomb.swf.gz"
    path.write_bytes(gzip.compress(b"; " + b"x" * 100_000))
    with pytest.raises(InputFaults, match="larger than 1000 bytes"):
        read_workload(path, "swf")


@pytest.mark.parametrize(
    ("name", "format", "rows", "jobs", "homes"),
    [
        ("swf/KTH-SP2.easy.swf.gz", "swf", 28_481, 28_481, 0),
        ("swf/SDSC-SP2.easy.swf.gz", "swf", 54_006, 54_006, 0),
        ("swf/LCG-2005.swf.gz", "swf", 188_041, 187_520, 170),
        ("swf/wagap-2013.swf.gz", "swf", 17_900, 17_898, 1),
        ("swf/lublin_256.swf", "swf", 10_000, 10_000, 0),
        ("openb/openb_pod_list_default.csv", "openb", 8_152, 8_151, 0),
        ("openb/openb_pod_list_gpuspec33.csv", "openb", 8_152, 8_151, 0),
        ("gaia/pai_1k.csv", "gaia", 1_000, 1_000, 0),
        ("gaia/mustang-trace-2015-100k.csv.gz", "gaia", 100_000, 100_000, 0),
    ],
)
def test_real_traces(name: str, format: str, rows: int, jobs: int, homes: int) -> None:
    workload = read_workload(shared_trace(name), format)
    check_shape(workload)
    assert (workload.rows_read, len(workload)) == (rows, jobs)
    assert int(workload.home.max()) + 1 == homes
    text = "\n".join(describe(workload))
    assert f"jobs          {jobs}" in text
    assert all(note in text for note in workload.notes)


def test_real_work_is_what_an_independent_sum_says() -> None:
    path = shared_trace("swf/KTH-SP2.easy.swf.gz")
    seconds = 0
    with gzip.open(path, "rt", encoding="utf-8") as log:
        for line in log:
            if not line.startswith(";"):
                cells = line.split()
                seconds += int(cells[3]) * int(cells[4])
    workload = read_workload(path, "swf")
    assert int((workload.duration_ms * workload.nodes).sum()) == seconds * 1_000


def test_real_gaia_samples_fill_a_year_and_a_week() -> None:
    year = read_workload(shared_trace("gaia/azure-100k.csv.gz"), "gaia")
    week = read_workload(shared_trace("gaia/pai_1k.csv"), "gaia")
    day_ms = 86_400_000
    assert 360 < year.submit_ms[-1] / day_ms < 366
    assert 6 < week.submit_ms[-1] / day_ms < 8


def test_a_resampled_pod_list_without_times_is_refused() -> None:
    with pytest.raises(InputFaults, match="tasks by size only: no creation, schedule or deletion"):
        read_workload(shared_trace("openb/openb_pod_list_multigpu40.csv"), "openb")


def test_a_missing_shared_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WESTWARD_SHARED", "/nowhere")
    with pytest.raises(FileNotFoundError, match="set WESTWARD_SHARED"):
        shared_trace("swf/KTH-SP2.easy.swf.gz")
    with pytest.raises(FileNotFoundError, match="set WESTWARD_SHARED"):
        shared_facts("hubs.csv")
