"""What is done with the fifty jobs, in order, and what is known of them afterwards."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

from tests.live.harness import OVER, until
from tests.live.joining import Json
from tests.live.steps import Steps
from tests.wide.grid import Wide
from tests.wide.jobs import READERS, Book
from tests.wide.reconcile import Row, rows_of
from tests.wide.sites import SLURM_SITES
from tests.wide.wan import HUB, round_trip_ms

JOBS = 50
DATA_BYTES = 250_000_000
"""Of each of the four data sets: 1 GB in all."""
COUNT = 400
"""Steps of a job that is to be stopped and to go on: 12 s and more."""
UNDER_WAY = 15
PATIENCE_S = 400
SACCT_PATIENCE_S = 60
"""slurmdbd hears of a job's end some seconds later."""


@dataclass
class Story:
    wide: Wide
    steps: Steps
    book: Book
    jobs: dict[str, Json]
    rows: tuple[Row, ...]
    round_trips_ms: dict[str, float]
    digests: dict[str, str]
    """SHA-256 of each data set's one file."""
    took_s: float
    store_sent: int
    """Bytes that left the S3 store for the jobs, counted at the store's own line."""


def play(wide: Wide) -> Story:
    """All fifty jobs, to their end. Called at the hub."""
    steps, book = Steps(wide.folder), Book(wide.folder)
    trips = {name: _round_trip(wide, name) for name in wide.sites}
    digests = _add_data(wide)
    begun = time.monotonic()
    assert wide.store is not None
    sent = wide.store.sent
    _submit_counting(wide, steps)
    for job_id, text in book.readers().items():
        _submit(wide, job_id, text)
    _disturb(wide, steps)
    # Only now: jobs of the partition "main" would put that of "spot" out again and again.
    wide.until_state("job_patient-spot", *OVER)
    for job_id, text in book.rest().items():
        wide.post("/v1/batches", {"job_id": job_id, "task": text})
    wide.until_state("job_cancelled", "running")
    wide.post("/v1/jobs/job_cancelled/cancel", {})
    jobs = _finished(wide)
    sent = wide.store.sent - sent
    rows = _reconciled(wide, jobs)
    return Story(wide, steps, book, jobs, rows, trips, digests, time.monotonic() - begun, sent)


def _round_trip(wide: Wide, site: str) -> float:
    with wide.sites[site].network.entered():
        return round_trip_ms(HUB, int(wide.port))


def _add_data(wide: Wide) -> dict[str, str]:
    """Four data sets in the S3 store at home, added as a user does."""
    assert wide.store is not None
    digests = {}
    for number, name in enumerate(READERS):
        folder = wide.store.folder / "lake" / name
        folder.mkdir(parents=True)
        block = hashlib.sha256(f"wide {number}".encode()).digest() * 31_250
        count, rest = divmod(DATA_BYTES, len(block))
        assert rest == 0
        with open(folder / "whole.bin", "wb") as file:
            for _ in range(count):
                file.write(block)
        wide.cli(
            "data", "add", f"corpus-{name}", f"s3://lake/{name}", "--site", "home", "--owner",
            "lab", "--residency", "country=XX",
            **wide.store.environment(),  # type: ignore[arg-type]
        )  # fmt: skip
        with open(folder / "whole.bin", "rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


# -- the five that count steps: two are preempted, two moved, one puts another out


def _submit_counting(wide: Wide, steps: Steps) -> None:
    text = steps.task
    whole_home = text(COUNT, name="patient-home", resources="  infra: ssh/home\n")
    _submit(wide, "job_patient-home", whole_home.replace("cpus: 1", "cpus: 4"))
    _submit(
        wide,
        "job_patient-spot",
        text(
            COUNT,
            name="patient-spot",
            resources="  infra: slurm/alpha\n  accelerators: {H100: 4}\n",
            labels="    westward.purpose: spare\n",
        ),
    )
    either = "  any_of: [{infra: slurm/alpha}, {infra: slurm/beta}]\n  accelerators: {H100: 1}\n"
    _submit(wide, "job_mover-to-beta", text(COUNT, name="mover-to-beta", resources=either))
    either = "  any_of: [{infra: slurm/alpha}, {infra: ssh/home}]\n"
    _submit(wide, "job_mover-to-home", text(COUNT, name="mover-to-home", resources=either))


def _disturb(wide: Wide, steps: Steps) -> None:
    """Once each is under way: one is put out by Westward for a job of higher priority, one by its
    site for work of its own; two are moved."""
    _under_way(wide, steps, "job_patient-spot")
    run = wide.job("job_patient-spot")["runs"][0]["run_id"]
    alpha = wide.sites["alpha"]
    alpha.work_of_its_own(alpha.node_of(run), "sleep 3")
    for job_id, to in (("job_mover-to-beta", "beta"), ("job_mover-to-home", "home")):
        _under_way(wide, steps, job_id)
        assert steps.sites(job_id) == ["alpha"], "the cheaper one"
        if to == "home":  # its cores are taken: it waits there for the patient one
            assert wide.job("job_patient-home")["state"] not in OVER
        wide.post(f"/v1/jobs/{job_id}/move", {"to": to})
    _under_way(wide, steps, "job_patient-home")
    _submit(
        wide,
        "job_urgent-home",
        "name: urgent-home\nresources:\n  cpus: 4\n  infra: ssh/home\n  priority: 10\n"
        "  labels:\n    westward.duration: 1s\nrun: sleep 0.5\n",
    )


def _submit(wide: Wide, job_id: str, text: str) -> None:
    wide.post("/v1/jobs", {"job_id": job_id, "task": text})


def _under_way(wide: Wide, steps: Steps, job_id: str) -> None:
    until(lambda: steps.at(job_id) >= UNDER_WAY, f"{job_id} is under way")
    wide.until_state(job_id, "running")


# -- the end


def _finished(wide: Wide) -> dict[str, Json]:
    """Every job once it is over and each of its runs has its bill, by id."""
    end = time.monotonic() + PATIENCE_S
    while True:
        rows = wide.get("/v1/jobs?limit=1000")["jobs"]
        open_jobs = [f"{row['job_id']} {row['state']}" for row in rows if row["state"] not in OVER]
        if not open_jobs:
            break
        assert time.monotonic() < end, f"not over: {open_jobs}"
        time.sleep(0.5)

    def settled(job_id: str) -> Any:
        job = wide.job(job_id)
        return job if len(job["bills"]) == len(job["runs"]) else None

    return {
        row["job_id"]: until(lambda row=row: settled(row["job_id"]), "it has its bills")  # type: ignore[misc]
        for row in rows
    }


def _reconciled(wide: Wide, jobs: dict[str, Json]) -> tuple[Row, ...]:
    runs = [(run["site"], run["run_id"]) for job in jobs.values() for run in job["runs"]]
    metered_ms = {run: sum(one.wall_ms for one in wide.readings(run)) for _, run in runs}
    accounts: dict[str, dict[str, dict[str, str]]] = {}
    for site in SLURM_SITES:
        begun = {run for where, run in runs if where == site and metered_ms[run]}
        end = time.monotonic() + SACCT_PATIENCE_S
        while True:
            accounts[site] = wide.sites[site].sacct()
            there = {
                run
                for run, row in accounts[site].items()
                if row["State"] not in ("RUNNING", "PENDING")
            }
            if begun <= there or time.monotonic() > end:
                break
            time.sleep(1)
    return rows_of(list(jobs.values()), metered_ms, accounts)
