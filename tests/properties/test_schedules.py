"""Every schedule of real rehearsals holds before an independent checker (tests/checker).

The rehearsals are made as a user makes them, by ``westward simulate --out``; the checker reads
the files they leave and the sources they came from, and shares no code with the package.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.checker.__main__ import main as checker
from tests.checker.check import Checked, check_folder
from westward.cli.main import run
from westward.formats.generate import GeneratorOptions, generate
from westward.network.loader import load_network
from westward.simulate.scale import devices_of, scale_network

ROOT = Path(__file__).parents[2]
EAST_WEST = ROOT / "networks" / "east-west"
TRACES = Path(os.environ.get("WESTWARD_SHARED", ROOT.parent / "shared")) / "traces"


def rehearse(out: Path, *arguments: object, network: Path = EAST_WEST) -> None:
    """Jobs keep the pool they were bound to, unless told otherwise: else no queue can be replayed."""
    bound = [] if "--review" in arguments else ["--review", "0s", "--price-period", "0s"]
    told = ["simulate", str(network), "--out", str(out), *bound, *map(str, arguments)]
    assert run(told) == 0


def assert_sound(found: list[Checked], *, jobs: int, passed: int) -> None:
    """No rule is broken, and at least ``passed`` jobs passed others, so that rules could have been."""
    for checked in found:
        told = [
            f"{v.rule}: {v.text}\n{'' if v.row is None else checked.case.story(v.row)}"
            for v in checked.violations[:5]
        ]
        assert not checked.violations, f"{checked.label}\n" + "\n".join(told)
        assert checked.jobs == jobs
    reach = [checked.case.reach for checked in found]
    assert sum(r["easy-order"] + r["conservative-order"] for r in reach) >= passed, reach


def head_of_swf(name: str, jobs: int, folder: Path) -> Path:
    """The header and the first jobs of a recorded log."""
    kept = []
    with gzip.open(TRACES / "swf" / name, "rt") as file:
        for line in file:
            jobs -= not line.startswith(";")
            if jobs < 0:
                break
            kept.append(line)
    path = folder / "head.swf"
    path.write_text("".join(kept))
    return path


def one_machine(folder: Path, nodes: int) -> Path:
    """The laptop network with one pool: so many nodes of one device, as the log's machine had.

    Its tariff turns round every two minutes, so that runs span many periods.
    """
    network = folder / "machine"
    shutil.copytree(ROOT / "networks" / "laptop", network)
    header, *rows = (network / "pools.csv").read_text().splitlines()
    row = next(row for row in rows if row.startswith("plateau-west,")).split(",")
    row[header.split(",").index("nodes")] = str(nodes)
    (network / "pools.csv").write_text(header + "\n" + ",".join(row) + "\n")
    return network


def workload_table(jobs: int, devices: int, load: float, folder: Path) -> Path:
    """What ``simulate --generate`` draws, as a table for the checker."""
    network = scale_network(load_network(EAST_WEST), devices)
    workload = generate(
        jobs,
        0,
        capacity_devices=devices_of(network),
        load=load,
        options=GeneratorOptions(homes=len(network.sites)),
    )
    columns = {field.name: getattr(workload, field.name) for field in fields(workload)}
    path = folder / "workload.parquet"
    arrays = {name: value for name, value in columns.items() if isinstance(value, np.ndarray)}
    pl.DataFrame(arrays).write_parquet(path)
    return path


def test_a_recorded_log_under_easy(tmp_path: Path) -> None:
    log = head_of_swf("KTH-SP2.easy.swf.gz", 3_000, tmp_path)
    machine = one_machine(tmp_path, 100)
    out = tmp_path / "out"
    rehearse(
        out, "--workload", log, "--format", "swf", "--policy", "westward",
        "--policy", "earliest-start", network=machine,
    )  # fmt: skip
    assert_sound(check_folder(out, machine, log), jobs=3_000, passed=1_000)


def test_a_recorded_log_under_conservative(tmp_path: Path) -> None:
    log = head_of_swf("KTH-SP2.easy.swf.gz", 1_000, tmp_path)
    machine = one_machine(tmp_path, 100)
    out = tmp_path / "out"
    rehearse(
        out, "--workload", log, "--format", "swf", "--policy", "earliest-start",
        "--discipline", "conservative", network=machine,
    )  # fmt: skip
    assert_sound(check_folder(out, machine, log), jobs=1_000, passed=100)


def test_more_put_off_than_hold_reservations(tmp_path: Path) -> None:
    table = workload_table(9_000, 400, 3.0, tmp_path)
    out = tmp_path / "out"
    rehearse(
        out, "--generate", 9_000, "--load", 3.0, "--devices", 400, "--discipline", "conservative"
    )
    found = check_folder(out, EAST_WEST, table)
    assert_sound(found, jobs=9_000, passed=5_000)
    assert found[0].case.reach["put-off-beyond-the-depth"] > 0


def test_shared_devices_of_a_recorded_cluster(tmp_path: Path) -> None:
    pods = tmp_path / "openb.csv"
    with (TRACES / "openb" / "openb_pod_list_default.csv").open() as file:
        pods.write_text("".join(line for line, _ in zip(file, range(1_501), strict=False)))
    out = tmp_path / "out"
    rehearse(
        out, "--workload", pods, "--format", "openb", "--devices", 150,
        "--policy", "home-site", "--policy", "lowest-carbon",
    )  # fmt: skip
    assert_sound(check_folder(out, EAST_WEST, pods), jobs=1_500, passed=20)


def test_generated_jobs_with_deadlines_and_inputs(tmp_path: Path) -> None:
    table = workload_table(5_000, 400, 1.1, tmp_path)
    out = tmp_path / "out"
    rehearse(
        out, "--generate", 5_000, "--load", 1.1, "--devices", 400,
        "--policy", "earliest-start", "--policy", "westward",
    )  # fmt: skip
    found = check_folder(out, EAST_WEST, table)
    assert_sound(found, jobs=5_000, passed=300)
    rows = found[-1].case.rehearsal.rows
    assert sum(row["deadline_ms"] is not None for row in rows) > 1_000
    assert sum(row["moved_bytes"] > 0 for row in rows) > 100
    assert {row["refusal"] for row in rows if row["refusal"]} >= {"no-site-fits"}


def test_jobs_started_on_nodes_fit_them(tmp_path: Path) -> None:
    table = workload_table(3_000, 400, 1.1, tmp_path)
    out = tmp_path / "out"
    rehearse(
        out, "--generate", 3_000, "--load", 1.1, "--devices", 400, "--packing", "best-fit",
        "--policy", "earliest-start", "--policy", "westward",
    )  # fmt: skip
    found = check_folder(out, EAST_WEST, table)
    assert_sound(found, jobs=3_000, passed=0)
    for checked in found:
        placed = len(checked.case.rehearsal.placed())
        assert checked.case.reach["node-capacity"] == placed > 2_000


def test_exact_estimates_keep_every_first_reservation(tmp_path: Path) -> None:
    """Nothing deviates from what was said, so conservative must keep every promise it made."""
    drawn = random.Random(4)
    submit, lines = 0, []
    for number in range(1, 501):
        submit += drawn.randrange(0, 120)
        length = drawn.choice((60, 300, 1_800, 7_200, 20_000))
        size = drawn.choice((1, 1, 2, 4, 8, 16))
        lines.append(
            f"{number} {submit} -1 {length} {size} -1 -1 {size} {length} -1 1 1 1 1 1 1 -1 -1"
        )
    log = tmp_path / "exact.swf"
    log.write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    rehearse(
        out, "--workload", log, "--format", "swf", "--devices", 150, "--policy", "earliest-start",
        "--discipline", "conservative",
    )  # fmt: skip
    found = check_folder(out, EAST_WEST, log)
    assert_sound(found, jobs=500, passed=50)
    assert found[0].notes == []


def test_the_command_tells_broken_rules_with_their_story(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = workload_table(200, 150, 0.9, tmp_path)
    out = tmp_path / "out"
    rehearse(out, "--generate", 200, "--load", 0.9, "--devices", 150)
    capsys.readouterr()
    told = [str(out), str(EAST_WEST), str(table)]
    assert checker(told) == 0
    assert "200 jobs: no rule broken" in capsys.readouterr().out
    jobs = pl.read_parquet(out / "jobs.parquet")
    late = jobs.with_columns(
        pl.when(pl.col("job") == 7)
        .then(pl.col("end_ms") + 60_000)
        .otherwise("end_ms")
        .alias("end_ms")
    )
    late.write_parquet(out / "jobs.parquet")
    assert checker(told) == 1
    said = capsys.readouterr().out
    assert "run-time: it ran" in said
    assert "row 6 (job 7): submitted" in said


def test_jobs_that_looked_again_keep_every_other_rule(tmp_path: Path) -> None:
    out = tmp_path / "out"
    rehearse(
        out, "--generate", 600, "--load", 1.1, "--devices", 300,
        "--review", "1m", "--price-period", "2h",
    )  # fmt: skip
    table = workload_table(600, 300, 1.1, tmp_path)
    found = check_folder(out, EAST_WEST, table)
    assert_sound(found, jobs=600, passed=0)
    assert any("could change their pool" in note for note in found[0].notes)
