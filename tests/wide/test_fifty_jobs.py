"""Fifty mixed jobs over four real sites, three of them behind lines with a delay."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from pathlib import Path

from tests.wide.jobs import BEGIN, END, ENDS, READERS, Told
from tests.wide.reconcile import page, table
from tests.wide.sites import DELAYS_MS, SLURM_SITES
from tests.wide.story import COUNT, DATA_BYTES, JOBS, Story

LINE_MICROS_PER_GB = 20_000
METER_BEHIND_MOST_MS = 5_000
"""Slurm counts from before the supervisor starts until after it has ended; how long that takes is
the machine's business."""
METER_AHEAD_MOST_MS = 1_000
"""Slurm's elapsed time is the difference of two whole seconds."""
REPEATED_MOST = 40
"""Steps that a job does again when its site kills it: of the last second before (it saves every
tenth step), and what it did after its signal."""


def counting(story: Story) -> list[str]:
    return [job for job in story.jobs if job.startswith(("job_patient", "job_mover"))]


def test_the_lines_have_their_delay(story: Story) -> None:
    for site, delay_ms in DELAYS_MS.items():
        assert story.round_trips_ms[site] >= 2 * delay_ms
    assert story.round_trips_ms["home"] < 2 * min(DELAYS_MS.values())


def test_every_site_joined_over_its_line(story: Story) -> None:
    for site in story.wide.sites:
        shown = story.wide.show(site)
        assert (shown["joined"], shown["status"]) == (True, "open")


def test_fifty_jobs_end_as_they_must(story: Story) -> None:
    assert len(story.jobs) == JOBS
    for job_id, job in story.jobs.items():
        state, code = ENDS.get(job_id, ("succeeded", 0))
        assert (job["state"], job["exit_code"]) == (state, code), job
        assert job["lost_runs"] == (1 if job_id == "job_patient-spot" else 0), job
        assert job["failed_runs"] == (1 if job_id in ("job_fails", "job_retried") else 0), job


def test_every_site_had_work(story: Story) -> None:
    assert {row.site for row in story.rows} == set(story.wide.sites)


def test_the_witness_saw_each_run_once_and_every_rank_of_gangs(story: Story) -> None:
    by_job: dict[str, list[Told]] = defaultdict(list)
    for one in story.book.told():
        by_job[one.job_id].append(one)
    witnessed = set(story.jobs) - set(counting(story)) - {"job_urgent-home"}
    assert set(by_job) == witnessed
    for job_id, told in by_job.items():
        runs = story.jobs[job_id]["runs"]
        begun = [(one.run_id, one.rank) for one in told if one.word == BEGIN]
        ranks = range(story.jobs[job_id]["nodes"])
        assert sorted(begun) == sorted((run["run_id"], r) for run in runs for r in ranks), job_id
        by_run = {run["run_id"]: run for run in runs}
        assert all(by_run[one.run_id]["token"] == one.token for one in told)
        assert all(by_run[one.run_id]["site"] == one.site for one in told)
        ended = [one.rank for one in told if one.word == END]
        assert sorted(ended) == ([] if job_id in ENDS else list(ranks)), job_id


def test_dependencies_were_kept(story: Story) -> None:
    order = [(one.word, one.job_id) for one in story.book.told()]
    trains = [f"job_dag.train.{number}" for number in range(3)]
    for train in trains:
        assert order.index((END, "job_dag.prepare")) < order.index((BEGIN, train))
        assert order.index((END, train)) < order.index((BEGIN, "job_dag.collect"))


def test_two_were_preempted_and_lost_no_work(story: Story) -> None:
    home, spot = story.jobs["job_patient-home"], story.jobs["job_patient-spot"]
    assert [run["outcome"] for run in home["runs"]] == ["preempted", "succeeded"]
    story.steps.check("job_patient-home", COUNT)
    assert [run["outcome"] for run in spot["runs"]] == ["lease-expired", "succeeded"]
    assert "preempted at the site" in spot["runs"][0]["detail"]
    story.steps.check("job_patient-spot", COUNT, repeated_most=REPEATED_MOST)
    resumed = [step for word, step, *_ in story.steps.tell("job_patient-spot") if word == "from"]
    assert resumed[1] > 0, "it went on from what it had saved at its site"


def test_two_were_moved_from_their_checkpoints(story: Story) -> None:
    for job_id, to in (("job_mover-to-beta", "beta"), ("job_mover-to-home", "home")):
        job = story.jobs[job_id]
        assert [run["outcome"] for run in job["runs"]] == ["preempted", "succeeded"]
        assert story.steps.sites(job_id) == ["alpha", to]
        story.steps.check(job_id, COUNT)
        (moved,) = job["moves"]
        assert (moved["from_site"], moved["to_site"]) == ("alpha", to)


def test_a_gigabyte_was_staged_over_the_lines_checked_and_paid(story: Story) -> None:
    """The job says the digest; the store's own line says what left it; the bill has the line's
    price."""
    for name, where in READERS.items():
        job = story.jobs[f"job_reads-{name}"]
        assert story.digests[name] in story.wide.cli("logs", job["job_id"])
        (use,) = job["data"]["uses"]
        site = where.partition("/")[2]
        assert (use["from_site"], use["to_site"], use["cached"]) == ("home", site, False)
        (bill,) = job["bills"]
        assert sum(one["size_bytes"] for one in job["data"]["moved"]) == DATA_BYTES
        paid = 0 if site == "home" else DATA_BYTES * LINE_MICROS_PER_GB // 10**9
        assert bill["transfer_micros"] == paid
    assert story.store_sent >= len(READERS) * DATA_BYTES == 10**9


def test_cards_were_given_out_by_the_engines(story: Story) -> None:
    for job_id, count in (("job_cards-alpha", 4), ("job_cards-beta-1", 2), ("job_cards-ray", 2)):
        shown = story.wide.cli("logs", job_id)
        cards = next(row for row in shown.splitlines() if row.startswith("cards "))
        assert len(set(cards.removeprefix("cards ").split(","))) == count, shown


def test_the_meter_agrees_with_sacct_job_by_job(story: Story) -> None:
    text = table(story.rows)
    print(f"\n{text}")
    report = os.environ.get("WESTWARD_WIDE_REPORT")
    if report:
        story_text = page(story.rows, story.round_trips_ms, story.store_sent, story.took_s)
        Path(report).write_text(story_text)
    of_slurm = [row for row in story.rows if row.site in SLURM_SITES]
    assert len(of_slurm) >= JOBS // 2
    for row in of_slurm:
        assert row.slurm_s is not None or row.metered_ms == 0, f"sacct does not know {row}"
        if row.difference_ms is not None:
            assert -METER_BEHIND_MOST_MS <= row.difference_ms <= METER_AHEAD_MOST_MS, row


def test_runs_of_one_job_never_overlap(story: Story) -> None:
    for job in story.jobs.values():
        for earlier, later in itertools.pairwise(job["runs"]):
            assert earlier["ended_ms"] <= later["granted_ms"], job
            assert earlier["token"] < later["token"], job
