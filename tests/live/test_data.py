"""Data sets through real servers and agents: brought, checked, metered, paid for, published.

What was read is also counted by a witness that is no part of Westward: the kernel's own count of
bytes that the agent's process has read.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Live, until

pytestmark = pytest.mark.long

MB = 10**6
LINK_MICROS_PER_GB = 20_000
"""networks/laptop: 0.02 a GB on every line."""


@pytest.fixture
def live(tmp_path: Any) -> Iterator[Live]:
    network = Live(tmp_path, agent_options=("--option", "cache=400MB"))
    try:
        network.start_all()
        yield network
    finally:
        network.close()


def make_folder(folder: Path, sizes: dict[str, int], seed: int = 1) -> Path:
    for number, (name, size) in enumerate(sizes.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        block = hashlib.sha256(f"{seed} {number}".encode()).digest() * 1024
        path.write_bytes((block * (size // len(block) + 1))[:size])
    return folder


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "path": str(path.relative_to(folder)),
            "size_bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def add(live: Live, name: str, folder: Path, site: str, **more: Any) -> dict[str, Any]:
    body = {
        "name": name, "site": site, "url": folder.as_uri(), "files": manifest(folder), **more,
    }  # fmt: skip
    status, answer = live.call("POST", "/v1/datasets", body)
    assert status == 201, answer
    return dict(answer)


def add_copy(live: Live, name: str, folder: Path, site: str) -> None:
    body = {"site": site, "url": folder.as_uri()}
    status, answer = live.call("POST", f"/v1/datasets/{name}/replicas", body)
    assert status == 200, answer


def task(run: str, inputs: str = "", outputs: str = "", site: str = "harbor") -> str:
    labels = "    westward.duration: 1s\n"
    labels += f'    westward.inputs: "{inputs}"\n' if inputs else ""
    labels += f'    westward.outputs: "{outputs}"\n' if outputs else ""
    lines = "".join(f"  {line}\n" for line in run.strip().splitlines())
    return (
        f"name: reader\nresources:\n  cpus: 1\n  infra: ssh/{site}\n  labels:\n{labels}"
        f"run: |\n{lines}"
    )


def log_of(live: Live, job_id: str) -> str:
    import base64

    return base64.b64decode(live.get(f"/v1/jobs/{job_id}/logs")["data_b64"]).decode()


def settled(live: Live, job_id: str) -> dict[str, Any]:
    def bills() -> dict[str, Any] | None:
        job = live.job(job_id)
        return job if len(job["bills"]) == len(job["runs"]) else None

    job = until(bills, "every run has its bill")
    assert job is not None
    return job


def read_by(agent: Any) -> int:
    """Bytes that the process has read so far, by the kernel's count."""
    for line in Path(f"/proc/{agent.pid}/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise AssertionError("the kernel does not count")


def test_a_data_set_is_brought_proven_paid_and_used_again(live: Live) -> None:
    sizes = {"a.bin": 30 * MB, "deep/b.bin": 11 * MB, "empty": 0}
    source = make_folder(live.folder / "lake", sizes)
    added = add(
        live, "corpus", source, "basin",
        owner="lab", residency="country=XX", price_micros_per_gb=3_000_000,
    )  # fmt: skip
    assert added["size_bytes"] == 41 * MB
    run = "cd data/corpus && sha256sum a.bin deep/b.bin empty && touch a.bin 2>&1; ls -l"
    live.submit("job_first", task(run, "dataset:corpus=data/corpus"))
    first = live.finish("job_first")
    assert first["state"] == "succeeded", first
    assert manifest(source)[0]["sha256"] in log_of(live, "job_first")
    first = settled(live, "job_first")
    (use,) = first["data"]["uses"]
    assert (use["from_site"], use["to_site"], use["cached"]) == ("basin", "harbor", False)
    assert use["digest"] == added["digest"]
    assert use["terms"] == [{"key": "country", "values": ["XX"]}]
    assert use["tags"] == {"country": "XX"}
    assert use["checked_ms"] <= use["staged_ms"] <= first["started_ms"]
    (moved,) = first["data"]["moved"]
    assert moved["size_bytes"] == 41 * MB
    (bill,) = first["bills"]
    assert bill["transfer_micros"] == round(41 * MB / 1e9 * LINK_MICROS_PER_GB)
    assert bill["data_micros"] == round(41 * MB / 1e9 * 3_000_000)
    told = [line["text"] for line in live.get("/v1/jobs/job_first/why")["story"]]
    assert any("corpus@1 came" in text and "(country XX) hold there" in text for text in told)

    live.submit("job_again", task("wc -c data/corpus/a.bin", "dataset:corpus@1=data/corpus"))
    assert live.finish("job_again")["state"] == "succeeded"
    again = settled(live, "job_again")
    (use,) = again["data"]["uses"]
    assert (use["cached"], use["from_site"]) == (True, "basin")
    assert again["data"]["moved"] == []
    assert again["bills"][0]["transfer_micros"] == 0
    assert again["bills"][0]["data_micros"] == bill["data_micros"], "it was read once more"


def test_staging_goes_on_after_the_agent_was_killed(live: Live) -> None:
    """The same run: no attempt is lost, and nothing that had come is read again."""
    size = 240 * MB
    source = make_folder(live.folder / "lake", {"whole.bin": size})
    digest = add(live, "large", source, "basin")["digest"]
    agent = live.agents["harbor"]
    idle = read_by(agent)
    live.submit("job_large", task("wc -c data/whole.bin", "dataset:large=data"))
    coming = live.state("harbor") / "data" / "cache" / f"{digest}.part" / "coming"

    def some() -> int:
        return sum(one.stat().st_size for one in coming.iterdir()) if coming.exists() else 0

    end = time.monotonic() + 60
    while some() < 16 * MB:
        assert time.monotonic() < end, "nothing comes"
        time.sleep(0.001)
    os.kill(agent.pid, signal.SIGSTOP)
    until(lambda: Path(f"/proc/{agent.pid}/stat").read_text().split()[2] == "T", "it stands")
    had, first_read = some(), read_by(agent) - idle
    assert 16 * MB <= had < size, "it was caught in the middle"
    live.kill_agent("harbor")
    live.start_agent("harbor")
    job = live.finish("job_large")
    assert job["state"] == "succeeded", job
    assert (len(job["runs"]), job["lost_runs"]) == (1, 0)
    second_read = read_by(live.agents["harbor"])
    fetched_twice = 8 * 2**20 + MB  # a part that was read and not yet written
    once_and_digest = 2 * size
    assert first_read + second_read <= once_and_digest + fetched_twice + idle + 40 * MB
    assert first_read + second_read >= once_and_digest
    moved = live.job("job_large")["data"]["moved"]
    assert size - 64 * MB <= sum(one["size_bytes"] for one in moved) <= size + fetched_twice


def test_a_wrong_copy_is_refused_and_another_used(live: Live) -> None:
    good = make_folder(live.folder / "good", {"a": MB, "b": 2 * MB})
    bad = make_folder(live.folder / "bad", {"a": MB, "b": 2 * MB})
    (bad / "b").write_bytes(b"x" + (bad / "b").read_bytes()[1:])
    add(live, "twins", good, "plateau")
    add_copy(live, "twins", bad, "basin")
    live.submit("job_twins", task("cat data/b | sha256sum", "dataset:twins=data"))
    job = live.finish("job_twins")
    assert job["state"] == "succeeded", job
    assert manifest(good)[1]["sha256"] in log_of(live, "job_twins")
    copies = {one["site"]: one["suspect"] for one in live.get("/v1/datasets/twins")["replicas"]}
    assert copies["plateau"] is None
    assert "b has another SHA-256" in copies["basin"]
    (use,) = job["data"]["uses"]
    assert use["from_site"] == "plateau"
    assert sum(one["size_bytes"] for one in job["data"]["moved"]) == 5 * MB, "a came once"


def test_no_job_starts_on_wrong_data(live: Live) -> None:
    source = make_folder(live.folder / "lake", {"a": MB})
    add(live, "spoilt", source, "basin")
    (source / "a").write_bytes(b"y" * MB)
    ran = live.folder / "ran"
    live.submit("job_spoilt", task(f"touch {ran}", "dataset:spoilt=data"))
    job = live.finish("job_spoilt")
    assert job["state"] == "failed", job
    assert not ran.exists()
    assert "spoilt@1" in job["ending"]
    assert "its copy at basin is not what the catalogue says" in job["ending"]
    assert job["runs"][0]["started_ms"] is None


def test_residency_is_refused_at_submit_by_the_data_sets_name(live: Live) -> None:
    source = make_folder(live.folder / "lake", {"a": 1000})
    add(live, "patients", source, "basin", residency="province=Basin")
    live.submit("job_abroad", task("true", "dataset:patients=data"))
    job = live.job("job_abroad")
    assert job["state"] == "refused"
    assert "province of data set patients@1" in job["ending"], job["ending"]
    status, answer = live.call(
        "POST", "/v1/datasets/patients/replicas", {"site": "harbor", "url": source.as_uri()}
    )
    assert status == 400
    assert "the data may lie only where province is Basin" in answer["faults"][0]["problem"]


def test_names_that_are_not_there_are_told_at_once(live: Live) -> None:
    source = make_folder(live.folder / "lake", {"a": 1000})
    add(live, "theirs", source, "basin", owner="somebody")
    text = task("true", "dataset:nowhere=d,dataset:theirs@7=e", "r=theirs")
    status, answer = live.call("POST", "/v1/jobs", {"job_id": "job_x", "task": text})
    assert status == 400
    problems = sorted(one["problem"] for one in answer["faults"])
    assert problems == [
        "the data set 'theirs' belongs to somebody",
        "there is no data set 'nowhere'",
        "there is no data set 'theirs@7'",
    ]


def test_outputs_become_data_sets_with_their_provenance(live: Live) -> None:
    source = make_folder(live.folder / "lake", {"a": 10_000})
    first = add(live, "raw", source, "basin", residency="country=XX")
    run = (
        'mkdir -p "$WESTWARD_OUTPUT/model" && cp data/a "$WESTWARD_OUTPUT/model/weights" '
        '&& echo fine > "$WESTWARD_OUTPUT/note"'
    )
    live.submit("job_train", task(run, "dataset:raw=data", "model=weights,note=notes"))
    job = live.finish("job_train")
    assert job["state"] == "succeeded", job
    made = live.get("/v1/datasets/weights")
    assert [one["path"] for one in made["files"]] == ["weights"]
    assert made["files"][0]["sha256"] == manifest(source)[0]["sha256"]
    assert made["residency"] == [{"key": "country", "values": ["XX"]}], "it keeps the terms"
    assert made["price_micros_per_gb"] is None
    assert made["provenance"]["job_id"] == "job_train"
    assert made["provenance"]["run_id"] == job["runs"][0]["run_id"]
    assert made["provenance"]["run_sha256"] == hashlib.sha256((run + "\n").encode()).hexdigest()
    assert made["provenance"]["inputs"] == [
        {"dataset": "raw", "version": 1, "digest": first["digest"]}
    ]
    assert {one["name"] for one in job["data"]["published"]} == {"weights", "notes"}
    live.submit("job_use", task("cat d/weights | sha256sum", "dataset:weights=d", site="plateau"))
    assert live.finish("job_use")["state"] == "succeeded"
    assert manifest(source)[0]["sha256"] in log_of(live, "job_use")
    (use,) = live.job("job_use")["data"]["uses"]
    assert (use["from_site"], use["to_site"]) == ("harbor", "plateau")

    live.submit("job_none", task("true", outputs="missing=weights"))
    job = live.finish("job_none")
    assert (job["state"], job["exit_code"]) == ("failed", 0)
    assert "its output missing for the data set weights" in job["ending"]


def test_the_cache_lets_go_of_what_was_used_longest_ago(live: Live) -> None:
    for number, name in enumerate(("one", "two", "three")):
        source = make_folder(live.folder / name, {"a": 150 * MB}, seed=number)
        add(live, name, source, "basin")
    cached = []
    for step, name in enumerate(("one", "two", "one", "three", "one", "two")):
        live.submit(f"job_{step}", task("wc -c data/a", f"dataset:{name}=data"))
        job = live.finish(f"job_{step}")
        assert job["state"] == "succeeded", job
        cached.append(job["data"]["uses"][0]["cached"])
    assert cached == [False, False, True, False, True, False], "two went for three"
