"""A streamed rehearsal: the same runs as in memory, whatever the blocks, however often stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from westward.cli.fail import Failure
from westward.formats.generate import GeneratorOptions, generate, generate_blocks
from westward.model.network import Network
from westward.model.plan import Discipline, Policy
from westward.model.workload import Workload
from westward.network.loader import load_network
from westward.simulate.engine import simulate
from westward.simulate.parts import Parts
from westward.simulate.stream import AnotherRun, Both, rehearse_stream, totals_for
from westward.simulate.totals import Totals

ROOT = Path(__file__).resolve().parents[2]
JOBS = 6_000
LOAD = 1.1
DEVICES = 600


@pytest.fixture(scope="module")
def network() -> Network:
    from westward.simulate.scale import scale_network

    return scale_network(load_network(ROOT / "networks" / "east-west"), DEVICES)


def options(network: Network) -> GeneratorOptions:
    return GeneratorOptions(homes=len(network.sites), max_gang_devices=64, deadline_share=0.2)


def blocks(network: Network, size: int, seed: int = 5) -> Iterator[Workload]:
    return generate_blocks(
        JOBS, seed, capacity_devices=DEVICES, load=LOAD, options=options(network), block_jobs=size
    )


def run(network: Network, policy: Policy, size: int, feed: int) -> Totals:
    totals = totals_for(network, policy)
    done = rehearse_stream(
        network, blocks(network, size), policy, seed=3, sink=totals, feed_jobs=feed
    )
    assert done.done
    assert done.jobs == JOBS
    return totals


@pytest.mark.parametrize("discipline", ["easy", "conservative"])
def test_stream_gives_what_simulate_gives(
    network: Network, tmp_path: Path, discipline: Discipline
) -> None:
    policy = Policy(discipline=discipline, defer_limit_ms=24 * 3_600_000)
    work = generate(JOBS, 5, capacity_devices=DEVICES, load=LOAD, options=options(network))
    whole = simulate(network, work, policy, seed=3)
    totals, parts = totals_for(network, policy), Parts(tmp_path, rows=1_000)
    rehearse_stream(
        network, blocks(network, 700), policy, seed=3, sink=Both(totals, parts), feed_jobs=333
    )
    parts.close()
    table = pl.read_parquet(tmp_path / "part-*.parquet").sort("row")
    assert np.array_equal(table["row"].to_numpy(), np.arange(JOBS))
    kept = table.filter(pl.col("why") < 32)
    rows = kept["row"].to_numpy()
    assert np.array_equal(np.flatnonzero(whole.placed), rows)
    for name, column in (
        ("pool", whole.pool), ("start_ms", whole.start_ms), ("end_ms", whole.end_ms),
        ("need_milli", whole.need_milli), ("predicted_ms", whole.predicted_start_ms),
        ("device_micros", whole.device_micros), ("power_micros", whole.power_micros),
        ("transfer_micros", whole.transfer_micros), ("energy_kwh", whole.energy_kwh),
    ):  # fmt: skip
        assert np.array_equal(kept[name].to_numpy(), column[rows]), name
    found = totals.summary()
    placed = whole.placed
    waits = (whole.start_ms - whole.submit_ms)[placed]
    assert found["finished"] == placed.sum()
    assert found["refused"] == (~placed).sum()
    assert (waits > 0).sum() > 500  # the case has queues
    assert found["mean_wait_ms"] == pytest.approx(waits.mean())
    for share in (0.5, 0.95):
        exact = np.quantile(waits, share, method="inverted_cdf")
        assert totals.quantile_ms(share) == pytest.approx(exact, rel=0.012)
    assert found["device_micros"] == pytest.approx(whole.device_micros.sum())
    assert found["wait_micros"] == pytest.approx(whole.wait_micros.sum())
    assert found["transfer_micros"] == pytest.approx(whole.transfer_micros.sum())
    due = work.deadline_ms + whole.workload_zero_ms
    dated = placed & (work.deadline_ms >= 0)
    assert found["with_deadline"] == dated.sum()
    assert found["late"] == (whole.end_ms > due)[dated].sum()
    hours = np.bincount(
        whole.pool[placed],
        ((whole.end_ms - whole.start_ms) * whole.need_milli)[placed] / 3.6e9,
        minlength=len(network.pools),
    )
    assert found["device_hours"] == pytest.approx(hours, rel=1e-4, abs=1e-3)


def test_blocks_of_any_size_give_the_same_runs(network: Network) -> None:
    policy = Policy()
    sums = {run(network, policy, *sizes).summary()["checksum"] for sizes in
            ((JOBS, JOBS), (997, 100), (64, 7))}  # fmt: skip
    assert len(sums) == 1
    other = totals_for(network, policy)
    rehearse_stream(network, blocks(network, JOBS, seed=6), policy, seed=3, sink=other)
    assert other.summary()["checksum"] not in sums


@pytest.mark.parametrize("discipline", ["easy", "conservative"])
def test_a_stopped_rehearsal_goes_on_as_if_nothing_had_been(
    network: Network, tmp_path: Path, discipline: Discipline
) -> None:
    policy = Policy(discipline=discipline, defer_limit_ms=24 * 3_600_000)
    checkpoint = tmp_path / "checkpoint.npz"
    straight = Both(totals_for(network, policy), Parts(make(tmp_path / "straight"), rows=900))
    rehearse_stream(network, blocks(network, 500), policy, seed=3, sink=straight)
    straight.save()
    told: list[int] = []
    rounds = 0
    while True:
        rounds += 1
        totals = totals_for(network, policy)
        parts = Parts(make(tmp_path / "stopped"), rows=900)
        since = len(told)
        done = rehearse_stream(
            network, blocks(network, 450), policy, seed=3, sink=Both(totals, parts),
            progress=told.append, stop=lambda begin=since: len(told) - begin >= 9,
            checkpoint=checkpoint, feed_jobs=211,
        )  # fmt: skip
        if done.done:
            break
        assert checkpoint.exists()
        if rounds == 2:  # a crash after the checkpoint: its parts come again
            (tmp_path / "stopped" / f"part-{parts.parts:05d}.parquet").write_bytes(b"half")
    assert rounds > 2
    assert done.jobs == JOBS
    assert done.resumed_at > 0
    assert not checkpoint.exists()
    first = straight._sinks[0]
    assert isinstance(first, Totals)
    for name, column in first.tally._asdict().items():
        if name == "money":  # added up in another order of blocks, never of runs
            assert np.allclose(totals.tally.money, column, rtol=1e-12)
        else:
            assert np.array_equal(getattr(totals.tally, name), column), name
    ours = pl.read_parquet(tmp_path / "stopped" / "part-*.parquet")
    assert ours.equals(pl.read_parquet(tmp_path / "straight" / "part-*.parquet"))


def test_a_checkpoint_is_refused_under_other_arguments(network: Network, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.npz"
    policy = Policy()
    stopped = rehearse_stream(
        network, blocks(network, 500), policy, seed=3, sink=totals_for(network, policy),
        stop=lambda: True, checkpoint=checkpoint,
    )  # fmt: skip
    assert not stopped.done
    assert stopped.jobs == 500
    for seed, jobs_seed, rule in (
        (4, 5, "westward"),
        (3, 6, "westward"),
        (3, 5, "cheapest-static"),
    ):
        with pytest.raises(AnotherRun):
            rehearse_stream(
                network, blocks(network, 500, jobs_seed), Policy(rule=rule), seed=seed,  # type: ignore[arg-type]
                sink=totals_for(network, policy), checkpoint=checkpoint,
            )  # fmt: skip


def make(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def westward(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "westward.cli.main", "simulate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_command_streams_and_refuses_what_it_cannot(tmp_path: Path) -> None:
    out = tmp_path / "out"
    usual = ("networks/laptop", "--generate", "300", "--stream", "--out", str(out))
    done = westward(*usual)
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    runs = pl.read_parquet(out / "runs" / "part-*.parquet")
    assert summary["finished"] + summary["refused"] == 300 == len(runs)
    assert not (out / "checkpoint.npz").exists()
    again = westward(*usual)
    assert again.returncode == 2
    assert "finished rehearsal" in again.stderr
    wrong = westward("networks/laptop", "--workload", "x", "--format", "swf", "--stream",
                     "--policy", "cheapest-static", "--policy", "westward", "--out", str(out))  # fmt: skip
    assert wrong.returncode == 2
    assert "--stream goes with --generate" in wrong.stderr
    assert "one --policy" in wrong.stderr


def test_the_command_prices_no_capacity_unless_told_and_says_what_it_cannot_keep(
    tmp_path: Path,
) -> None:
    usual = ("networks/laptop", "--generate", "100", "--stream", "--out")
    silent = westward(*usual, str(tmp_path / "silent"))
    assert silent.returncode == 0, silent.stderr
    assert "no checkpoints" not in silent.stderr
    told = westward(*usual, str(tmp_path / "told"), "--price-period", "300d", "--fair-share")
    assert told.returncode == 0, told.stderr
    assert "posted prices of capacity, fair shares cannot be resumed" in told.stderr
    assert pl.read_parquet(tmp_path / "told" / "runs" / "part-*.parquet")["row"].n_unique() == 100
    (tmp_path / "silent" / "summary.json").unlink()
    (tmp_path / "silent" / "checkpoint.npz").write_bytes(b"")
    other = westward(*usual, str(tmp_path / "silent"), "--fair-share")
    assert other.returncode == 2
    assert "cannot be resumed" in other.stderr


def test_ctrl_c_leaves_a_folder_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from westward.cli import stream_run
    from westward.simulate import stream

    network = load_network(ROOT / "networks" / "laptop")
    monkeypatch.setattr(stream.rehearse_stream, "__kwdefaults__",
                        {**stream.rehearse_stream.__kwdefaults__, "feed_jobs": 100})  # fmt: skip
    told: list[int] = []

    class Line(stream_run._Line):
        def __call__(self, done: int) -> None:
            told.append(done)
            if done == 400:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(stream_run, "_Line", Line)
    ask = {"jobs": 900, "load": 0.8, "seed": 2, "as_json": False}
    straight = tmp_path / "straight"
    told.clear()
    first = stream_run.run_stream(network, Policy(), out=tmp_path / "out", **ask)
    assert first == 130
    assert "same command again" in capsys.readouterr().err
    assert told[-1] == 400
    with pytest.raises(Failure, match="something else"):
        stream_run.run_stream(network, Policy(), out=tmp_path / "out", **{**ask, "seed": 3})
    assert stream_run.run_stream(network, Policy(), out=tmp_path / "out", **ask) == 0  # type: ignore[arg-type]
    assert told[told.index(400) + 1] == 500
    monkeypatch.setattr(Line, "__call__", lambda self, done: None)
    assert stream_run.run_stream(network, Policy(), out=straight, **ask) == 0  # type: ignore[arg-type]
    ours, theirs = (
        json.loads((f / "summary.json").read_text()) for f in (tmp_path / "out", straight)
    )
    assert ours["checksum"] == theirs["checksum"]
    assert ours["finished"] == theirs["finished"]
