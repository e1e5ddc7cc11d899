"""Data sets in a real S3 store: staged, interrupted, published, read again elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Live, until
from s3_server import S3Server
from test_data import MB, log_of, make_folder, manifest, task

PART = 8 * 2**20
HEADERS = MB


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    server = S3Server(tmp_path / "s3")
    for bucket in ("lake", "results"):
        (server.folder / bucket).mkdir()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    yield server
    server.close()


@pytest.fixture
def live(tmp_path: Path, store: S3Server) -> Iterator[Live]:
    network = Live(tmp_path, agent_options=("--option", "store=s3://results"))
    try:
        network.start_all()
        yield network
    finally:
        network.close()


def westward(live: Live, *arguments: str) -> Any:
    """The command line, as a user runs it."""
    ran = subprocess.run(
        [sys.executable, "-m", "westward.cli.main", *arguments, "--server", live.url, "--json"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_interrupted_staging_fetches_nothing_twice(live: Live, store: S3Server) -> None:
    folder = make_folder(store.folder / "lake" / "corpus", {"big.bin": 90 * MB, "b/c": 1000})
    added = westward(live, "data", "add", "corpus", "s3://lake/corpus", "--site", "basin")
    assert {one["path"]: one["sha256"] for one in added["files"]} == {
        one["path"]: one["sha256"] for one in manifest(folder)
    }
    digest = added["digest"]
    store.bytes_per_s = 15 * MB
    before = store.sent
    live.submit("job_large", task("sha256sum data/big.bin data/b/c", "dataset:corpus=data"))
    coming = live.state("harbor") / "data" / "cache" / f"{digest}.part" / "coming"

    def some() -> int:
        return sum(one.stat().st_size for one in coming.iterdir()) if coming.exists() else 0

    until(lambda: some() >= 2 * PART, "something has come")
    live.kill_agent("harbor")
    assert some() < 90 * MB, "it was caught in the middle"
    time.sleep(0.5)  # what was on the line
    first = store.sent - before
    store.bytes_per_s = float("inf")
    live.start_agent("harbor")
    job = live.finish("job_large")
    assert job["state"] == "succeeded", job
    assert (len(job["runs"]), job["lost_runs"]) == (1, 0)
    for one in manifest(folder):
        assert one["sha256"] in log_of(live, "job_large")
    whole = store.sent - before
    assert first >= 2 * PART
    assert 90 * MB <= whole <= 90 * MB + PART + HEADERS + 2 * MB, (first, whole)
    moved = sum(one["size_bytes"] for one in job["data"]["moved"])
    assert 90 * MB + 1000 - 2 * PART <= moved <= whole, "what was told is what went over the line"


def test_outputs_are_published_to_the_store_and_read_elsewhere(live: Live, store: S3Server) -> None:
    run = 'mkdir "$WESTWARD_OUTPUT/m" && seq 1 200000 > "$WESTWARD_OUTPUT/m/w" && env | grep -c AWS_ || true'
    live.submit("job_make", task(run, outputs="m=weights"))
    job = live.finish("job_make")
    assert job["state"] == "succeeded", job
    assert log_of(live, "job_make").strip() == "0", "a job does not see the site's keys"
    made = westward(live, "data", "show", "weights")
    (copy,) = made["replicas"]
    assert copy["site"] == "harbor"
    assert copy["url"].startswith("s3://results/weights/")
    stored = store.folder / copy["url"].removeprefix("s3://")
    assert manifest(stored)[0]["sha256"] == made["files"][0]["sha256"]
    live.submit("job_use", task("sha256sum d/w", "dataset:weights=d", site="plateau"))
    assert live.finish("job_use")["state"] == "succeeded"
    assert made["files"][0]["sha256"] in log_of(live, "job_use")


def test_a_store_that_is_away_is_the_sites_trouble_not_the_datas(
    live: Live, store: S3Server
) -> None:
    make_folder(store.folder / "lake" / "gone", {"a": 1000})
    westward(live, "data", "add", "gone", "s3://lake/gone", "--site", "basin")
    store.close()
    live.submit("job_gone", task("true", "dataset:gone=d"))
    job = live.finish("job_gone")
    assert job["state"] == "failed", job
    assert job["lost_runs"] == job["attempts_max"], "tried again as long as it may be"
    assert "cannot be read from here" in job["runs"][-1]["detail"]
    (copy,) = live.get("/v1/datasets/gone")["replicas"]
    assert copy["suspect"] is None
