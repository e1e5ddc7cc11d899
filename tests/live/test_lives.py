"""Suspended, moved, preempted, in order and in arrays: with real processes at real sites."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness import OVER, SITES, Live, until
from steps import Steps

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    network = Live(tmp_path_factory.mktemp("lives"))
    try:
        network.start_all()
        yield network
    finally:
        network.close()


@pytest.fixture
def steps(live: Live) -> Steps:
    return Steps(live.folder)


def ask(live: Live, job_id: str, what: str, **body: str) -> dict[str, Any]:
    status, answer = live.call("POST", f"/v1/jobs/{job_id}/{what}", body)
    assert status == 200, answer
    return dict(answer)


def in_state(live: Live, job_id: str, *states: str) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        job = live.job(job_id)
        assert job["state"] in states or job["state"] not in OVER, job
        return job if job["state"] in states else None

    found = until(there, f"{job_id} is {' or '.join(states)}")
    assert found is not None
    return found


def kinds(live: Live, job_id: str) -> list[str]:
    return [line["kind"] for line in live.get(f"/v1/jobs/{job_id}/why")["story"]]


def under_way(live: Live, steps: Steps, job_id: str, at_least: int) -> None:
    until(lambda: steps.at(job_id) >= at_least, f"{job_id} has done {at_least} steps")
    in_state(live, job_id, "running")


def batch(live: Live, base: str, text: str) -> dict[str, Any]:
    status, answer = live.call("POST", "/v1/batches", {"job_id": base, "task": text})
    assert status == 201, answer
    return dict(answer)


def log_of(live: Live, job_id: str, run_id: str) -> str:
    answer = live.get(f"/v1/jobs/{job_id}/logs?run_id={run_id}")
    return base64.b64decode(answer["data_b64"]).decode()


def test_suspended_and_resumed_at_the_same_site(live: Live, steps: Steps) -> None:
    live.submit("job_pausing", steps.task(120, resources="  infra: ssh/basin\n"))
    under_way(live, steps, "job_pausing", 15)
    assert ask(live, "job_pausing", "suspend")["accepted"]
    job = in_state(live, "job_pausing", "held")
    stood_at = steps.at("job_pausing")
    assert [hold["code"] for hold in job["holds"]] == ["suspended"]
    assert [run["state"] for run in job["runs"]] == ["preempted"]
    assert ask(live, "job_pausing", "suspend")["reason"] == "the job is suspended"
    time.sleep(0.5)
    assert steps.at("job_pausing") == stood_at, "it does nothing while it is suspended"
    assert ask(live, "job_pausing", "resume")["accepted"]
    job = live.finish("job_pausing")
    assert job["state"] == "succeeded", job
    assert (job["attempts"], job["lost_runs"], job["failed_runs"]) == (2, 0, 0)
    steps.check("job_pausing", 120)
    assert job["moves"] == [], "its checkpoint lay there"
    assert [one["site"] for one in job["checkpoints"]] == ["basin"]
    assert kinds(live, "job_pausing") == [
        "submitted", "bound", "leased", "started", "suspend-requested", "checkpoint", "preempted",
        "resume-requested", "bound", "leased", "started", "succeeded",
    ]  # fmt: skip
    assert "saved at" in log_of(live, "job_pausing", job["runs"][0]["run_id"])
    # Each run is metered and billed by itself.
    until(lambda: len(live.job("job_pausing")["bills"]) == 2, "both runs have their bill")


def test_moved_to_another_site_from_its_checkpoint(live: Live, steps: Steps) -> None:
    """What it saved travels through the server; the outside witness counts every step once."""
    ballast = 5_000_000  # more than one part
    text = steps.task(120, envs=f"  BALLAST: '{ballast}'\n")
    live.submit("job_moving", text)
    under_way(live, steps, "job_moving", 15)
    (first,) = steps.sites("job_moving")
    to = next(site for site in SITES if site != first)
    assert ask(live, "job_moving", "move", to=to)["accepted"]
    until(lambda: steps.sites("job_moving") == [first, to], "it runs at the other site")
    job = live.finish("job_moving")
    assert job["state"] == "succeeded", job
    steps.check("job_moving", 120)
    (moved,) = job["moves"]
    assert (moved["from_site"], moved["to_site"]) == (first, to)
    assert moved["size_bytes"] > ballast
    until(lambda: len(live.job("job_moving")["bills"]) == 2, "both runs have their bill")
    rounding_micros = 1
    links = {frozenset(("basin", "harbor")): 0.02, frozenset(("basin", "plateau")): 0.02}
    per_gb = links.get(frozenset((first, to)), 0.02)
    bills = {one["run_id"]: one for one in live.job("job_moving")["bills"]}
    paid = bills[moved["run_id"]]["transfer_micros"]
    assert abs(paid - moved["size_bytes"] / 1e9 * per_gb * 1e6) <= rounding_micros
    assert bills[job["runs"][0]["run_id"]]["transfer_micros"] == 0
    until(lambda: not (live.data / "checkpoints" / "job_moving").exists(), "it is dropped")


def test_a_job_without_a_checkpoint_is_not_stopped(live: Live, steps: Steps) -> None:
    live.submit(
        "job_plain",
        "name: plain\nresources:\n  cpus: 1\n  labels:\n    westward.duration: 3s\nrun: sleep 3\n",
    )
    in_state(live, "job_plain", "running")
    told = ask(live, "job_plain", "suspend")
    assert not told["accepted"]
    assert "westward.checkpoint" in told["reason"]
    job = live.finish("job_plain")
    assert (job["state"], job["attempts"]) == ("succeeded", 1)
    assert not ask(live, "job_plain", "suspend")["accepted"]


def test_a_move_to_where_it_cannot_run_is_refused(live: Live, steps: Steps) -> None:
    text = steps.task(60, resources="  infra: ssh/basin\n")
    live.submit("job_rooted", text)
    under_way(live, steps, "job_rooted", 2)
    status, told = live.call("POST", "/v1/jobs/job_rooted/move", {"to": "harbor"})
    assert (status, told["code"]) == (409, "cannot-move"), told
    assert "wrong-site" in told["message"]
    status, told = live.call("POST", "/v1/jobs/job_rooted/move", {"to": "atlantis"})
    assert (status, told["code"]) == (404, "not-found")
    assert live.finish("job_rooted")["state"] == "succeeded"
    steps.check("job_rooted", 60)


def test_the_signal_that_the_job_asks_for(live: Live, steps: Steps) -> None:
    text = steps.task(
        80, envs="  SIGNAL: USR1\n", checkpoint="last.json every 1s signal USR1 grace 20s"
    )
    live.submit("job_usr1", text)
    under_way(live, steps, "job_usr1", 5)
    ask(live, "job_usr1", "suspend")
    in_state(live, "job_usr1", "held")
    ask(live, "job_usr1", "resume")
    assert live.finish("job_usr1")["state"] == "succeeded"
    steps.check("job_usr1", 80)


def test_five_jobs_that_follow_one_another(live: Live, steps: Steps) -> None:
    """a → b, c → d (however c ends) → e; and x, which can never start since c fails."""
    witness = live.folder / "order.txt"

    def one(name: str, after: str, run: str = "true") -> str:
        label = f"    westward.after: {after}\n" if after else ""
        return (
            f"name: {name}\nresources:\n  cpus: 1\n  labels:\n    westward.duration: 1s\n{label}"
            f"run: |\n  echo {name} >> {witness}\n  {run}\n"
        )

    text = "---\n".join(
        [
            one("a", "", "sleep 0.3"),
            one("b", "a"),
            one("c", "a", "exit 3"),
            one("d", "b,afterany:c"),
            one("e", "d"),
            one("x", "afterok:c"),
            one("y", "x"),
        ]
    )
    answer = batch(live, "job_dag", text)
    assert answer["count"] == 7
    assert [job["state"] for job in answer["jobs"]][1:] == ["held"] * 6
    ends = {name: live.finish(f"job_dag.{name}") for name in "abcdexy"}
    assert {name: job["state"] for name, job in ends.items()} == {
        "a": "succeeded", "b": "succeeded", "c": "failed", "d": "succeeded", "e": "succeeded",
        "x": "cancelled", "y": "cancelled",
    }  # fmt: skip
    order = witness.read_text().split()
    assert sorted(order) == list("abcde"), "each once, the others never"
    assert order[0] == "a"
    assert order[3:] == ["d", "e"]
    assert "c (job_dag.c) is failed" in ends["x"]["ending"]
    assert kinds(live, "job_dag.x") == ["submitted", "after-failed"]
    again = live.call("POST", "/v1/batches", {"job_id": "job_dag", "task": text})
    assert again[0] == 200
    assert again[1]["count"] == 7
    assert len(witness.read_text().split()) == 5


def test_a_circle_is_refused_with_nothing_changed(live: Live) -> None:
    def one(name: str, after: str) -> str:
        return f"name: {name}\nresources:\n  labels:\n    westward.after: {after}\nrun: 'true'\n"

    text = "---\n".join([one("p", "r"), one("q", "p"), one("r", "q,nobody")])
    status, told = live.call("POST", "/v1/batches", {"job_id": "job_circle", "task": text})
    assert status == 400
    assert [fault["field"] for fault in told["faults"]] == ["resources.labels.westward.after"]
    assert "none of them could ever start" in told["faults"][0]["problem"]
    assert live.call("GET", "/v1/jobs/job_circle.p")[0] == 404
    text = one("alone", "nobody-of-that-name")
    status, told = live.call("POST", "/v1/jobs", {"job_id": "job_alone", "task": text})
    assert status == 400
    assert told["faults"][0]["row"] == 4, told


def test_an_array_of_twenty(live: Live) -> None:
    witness = live.folder / "array.txt"
    text = (
        "name: many\nresources:\n  cpus: 1\n  labels:\n    westward.duration: 1s\n"
        '    westward.array: "20"\nrun: |\n'
        f'  echo "$WESTWARD_ARRAY_INDEX of $WESTWARD_ARRAY_COUNT" >> {witness}\n'
    )
    after = (
        "---\nname: sum\nresources:\n  cpus: 1\n  labels:\n    westward.duration: 1s\n"
        f"    westward.after: many\nrun: wc -l < {witness} > {witness}.sum\n"
    )
    answer = batch(live, "job_set", text + after)
    assert answer["count"] == 21
    assert [job["name"] for job in answer["jobs"]] == ["many.0", "sum"], "one line for the array"
    assert live.finish("job_set.sum")["state"] == "succeeded"
    array = live.get("/v1/arrays/job_set.many")
    assert array["states"] == {"succeeded": 20}
    assert sorted(witness.read_text().split("\n")) == sorted(
        [f"{index} of 20" for index in range(20)] + [""]
    )
    assert (live.folder / "array.txt.sum").read_text().split() == ["20"]
    page = live.get("/v1/jobs?arrays_once=true&newest_first=true&limit=2")
    assert [job["name"] for job in page["jobs"]] == ["sum", "many.0"]
    assert page["jobs"][1]["array"]["states"] == {"succeeded": 20}


def test_an_array_is_cancelled_together(live: Live, steps: Steps) -> None:
    labels = "    westward.array: seed=1|2|3,lr=a|b\n"
    batch(live, "job_axes", steps.task(2_000, labels=labels))
    until(lambda: any(steps.at(f"job_axes.{index}") > 0 for index in range(6)), "one runs")
    told = ask(live, "job_axes", "cancel")
    assert told["accepted"]
    for index in range(6):
        assert live.finish(f"job_axes.{index}")["state"] == "cancelled"
    assert not ask(live, "job_axes", "cancel")["accepted"]
    request = live.job("job_axes.5")["request"]
    assert ["seed", "3"] in request["work"]["envs"]
    assert ["lr", "b"] in request["work"]["envs"]


def test_tried_again_by_exit_code(live: Live) -> None:
    count = live.folder / "tries.txt"
    text = (
        "name: flaky\nresources:\n  cpus: 1\n  labels:\n    westward.duration: 1s\n"
        "    westward.retry: attempts=3,on=75,backoff=200ms\n"
        f"run: |\n  echo try >> {count}\n  [ $(wc -l < {count}) -ge 3 ] || exit 75\n"
    )
    live.submit("job_flaky", text)
    job = live.finish("job_flaky")
    assert job["state"] == "succeeded", job
    assert (job["attempts"], job["failed_runs"], job["lost_runs"]) == (3, 2, 0)
    assert kinds(live, "job_flaky").count("run-failed") == 2
    live.submit("job_hopeless", text.replace("exit 75", "exit 4").replace("tries", "hopeless"))
    job = live.finish("job_hopeless")
    assert (job["state"], job["attempts"]) == ("failed", 1)
    assert "exit code 4 is not one of those to retry" in job["ending"]


def test_killed_agent_while_it_suspends(live: Live, steps: Steps) -> None:
    """kill -9 between the stop and the report: the next agent process hands the checkpoint over."""
    text = steps.task(
        100, resources="  infra: ssh/plateau\n", envs="  BALLAST: '3000000'\n  EVERY: '25'\n"
    )
    live.submit("job_struck", text)
    under_way(live, steps, "job_struck", 12)
    ask(live, "job_struck", "suspend")
    live.kill_agent("plateau")
    live.start_agent("plateau")
    job = in_state(live, "job_struck", "held")
    ask(live, "job_struck", "resume")
    job = live.finish("job_struck")
    assert job["state"] == "succeeded", job
    # Killed before it could pass the stop on, the run was told by the next agent: still in time.
    steps.check("job_struck", 100)
    assert job["lost_runs"] == 0, job["runs"]
    live.until_open(SITES)
