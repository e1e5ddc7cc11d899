"""The Slurm engine's parts that need no Slurm: verdicts, leases over foreign clocks, parsing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from westward.agent.engines import slurm_lease
from westward.agent.engines.registry import open_engine
from westward.agent.engines.slurm_accounting import (
    Accounting,
    float_seconds,
    note_wait,
    reconcile,
    score,
)
from westward.agent.engines.slurm_commands import QueuedJob, gpus
from westward.agent.engines.slurm_verdict import BY_THE_SITE, verdict
from westward.model.wire import Reading

ENDS = ("COMPLETED", "FAILED", "TIMEOUT", "OUT_OF_MEMORY", *BY_THE_SITE)


def noted(outcome: str, code: int | None = None) -> dict[str, object]:
    return {"outcome": outcome, "exit_code": code, "detail": "as noted"}


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("outcome", [None, "failed", "lease-expired", "cancelled", "succeeded"])
@pytest.mark.parametrize("stop", [None, "cancelled", "preempted"])
def test_success_needs_both_words(state: str, outcome: str | None, stop: str | None) -> None:
    ended = None if outcome is None else noted(outcome)
    said, _, detail = verdict(state, "None", ended, stop)
    assert detail
    assert (said == "succeeded") == (outcome == "succeeded" and state == "COMPLETED")


@pytest.mark.parametrize("state", BY_THE_SITE)
def test_what_the_site_does_is_never_the_jobs_failure(state: str) -> None:
    for ended in (None, noted("failed", -15), noted("lease-expired")):
        assert verdict(state, "None", ended, None)[0] == "lease-expired"
        assert verdict(state, "None", ended, "preempted")[0] == "preempted"


def test_a_jobs_own_failure_is_its_own() -> None:
    assert verdict("FAILED", "NonZeroExitCode", noted("failed", 3), None) == (
        "failed", 3, "as noted",
    )  # fmt: skip
    assert verdict("TIMEOUT", "TimeLimit", None, None)[0] == "time-limit"
    assert "OUT_OF_MEMORY" in verdict("OUT_OF_MEMORY", "None", None, None)[2]


TTL_MS = 12_000


@given(
    skew_ms=st.integers(-(10**9), 10**9),
    steps=st.lists(
        st.tuples(
            st.integers(1, 4_000),  # time passes
            st.booleans(),  # the agent renews before it writes
            st.booleans(),  # the agent writes
            st.integers(0, 5_000),  # so old is what the agent sees of the node's questions
            st.integers(0, 5_000),  # so old is what the node sees of the lease file
        ),
        max_size=60,
    ),
)
def test_a_node_never_reads_a_later_deadline_than_there_is(
    skew_ms: int, steps: list[tuple[int, bool, bool, int, int]]
) -> None:
    """Any skew between the clocks, any delay of the files, in either direction."""
    now = 10**6
    with tempfile.TemporaryDirectory() as top, pytest.MonkeyPatch.context() as patch:
        (Path(top) / "beats").mkdir()
        folder = Path(top) / "runs" / "run_1"
        folder.mkdir(parents=True)
        patch.setattr(slurm_lease, "boot_ms", lambda: now + skew_ms)
        watch = slurm_lease.LeaseWatch(str(folder), "batch")
        kill_at = now + TTL_MS
        questions = [(now, -1)]  # (written at, number)
        leases: list[tuple[int, dict[str, object], int]] = []  # (at, file, true end when written)
        answered, latest = False, 0
        for passed, renews, writes, question_age, lease_age in steps:
            now += passed
            if renews:
                kill_at = now + TTL_MS
            if writes:
                seen = [number for at, number in questions if at <= now - question_age]
                lease: dict[str, object] = {
                    "boot_id": "another machine's",
                    "always_ask": False,
                    "term_at": 0,
                    "kill_at": 0,
                    "term_in_ms": kill_at - 1_000 - now,
                    "kill_in_ms": kill_at - now,
                    "seen": {"batch": max(seen, default=-1)},
                }
                leases.append((now, lease, kill_at))
            shown = [entry for entry in leases if entry[0] <= now - lease_age]
            if not shown:
                continue
            _, lease, true_end = shown[-1]
            latest = max(latest, true_end)
            watch._take(lease)
            questions.append((now, watch.number))
            if watch.term_at is not None:
                answered = True
                assert watch.kill_at - skew_ms <= latest
                assert watch.term_at == watch.kill_at - 1_000
        assert answered or watch.times() is None


def test_on_the_agents_own_machine_the_times_stand_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "run_1"
    folder.mkdir(parents=True)
    watch = slurm_lease.LeaseWatch(str(folder), "batch")
    assert watch.times() is None
    lease = {"boot_id": watch.boot_id, "always_ask": False, "term_at": 5, "kill_at": 9}
    (folder / "lease.json").write_text(json.dumps(lease))
    assert watch.times() == (5, 9)
    (folder / "lease.json").write_text("{")
    assert watch.times() == (5, 9), "what is known stands, and passes"


def test_gpus_are_read_from_gres() -> None:
    assert gpus("gpu:h100:4(S:0-1)") == ("h100", 4)
    assert gpus("craynetwork:4,gpu:8") == (None, 8)
    assert gpus("(null)") == (None, 0)


def test_waiting_running_and_over_are_told_apart() -> None:
    def job(state: str) -> QueuedJob:
        return QueuedJob(job_id=1, name="x", state=state, reason="", start_s=None, submit_s=None)

    assert not any(job(state).over for state in ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED"))
    assert all(job(state).over for state in ENDS)


def test_times_of_slurm_are_read() -> None:
    assert float_seconds("00:00:03") == 3
    assert float_seconds("2-01:00:00.5") == 2 * 86_400 + 3_600.5
    assert float_seconds("01:02.250") == 62.25


def test_forecasts_are_scored(tmp_path: Path) -> None:
    path = tmp_path / "waits.jsonl"
    assert score(path).near_share is None
    for foretold_ms, actual_ms in ((0, 0), (10_000, 15_000), (60_000, 1_000), (None, 5_000)):
        note_wait(path, "run", foretold_ms, actual_ms)
    found = score(path)
    assert (found.runs, found.foretold) == (4, 3)
    assert found.near_share == pytest.approx(2 / 3)
    assert found.median_error_ms == 0
    assert found.mean_absolute_error_ms == round((0 + 5_000 + 59_000) / 3)


def test_a_meter_is_held_against_slurms_account() -> None:
    account = Accounting(
        job_id=1, source="sacct", state="COMPLETED", exit_code="0:0", submit_s=0, start_s=0,
        end_s=3, elapsed_s=3, alloc_tres="cpu=1", max_rss_kib=None, cpu_ms=None, nodes="n1",
    )  # fmt: skip
    readings = [
        Reading(sequence=n, wall_ms=1_200, device_milli_ms=0, cpu_ms=0, max_rss_kib=0)
        for n in range(2)
    ]
    assert reconcile("run", readings, account).difference_ms == -600


def test_wrong_options_are_named_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown engine option speed"):
        open_engine("slurm", tmp_path, "site-a", {"speed": "3"})
    with pytest.raises(ValueError) as told:  # noqa: PT011 - several texts are looked for
        open_engine(
            "slurm",
            tmp_path,
            "site-a",
            {
                "grace_ms": "soon",
                "clock": "sun",
                "shared": "/nonexistent",
                "conf": "/none",
                "partition": "a=,b",
            },
        )
    for part in (
        "grace_ms: 'soon'",
        "clock: 'sun'",
        "shared: /nonexistent",
        "conf: /none",
        "partition: 'a='",
    ):
        assert part in str(told.value)
