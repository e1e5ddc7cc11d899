"""What the Kubernetes engine writes and reads, and its pods' script in a real bash. No cluster."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from westward.agent.engines.base import LeaseTimes, RunStatus
from westward.agent.engines.kubernetes_jobs import from_options, pools_of, quantity_milli
from westward.agent.engines.kubernetes_link import KubernetesLink
from westward.agent.engines.kubernetes_log import _comparable
from westward.agent.engines.kubernetes_pod import (
    HOLDER,
    Offer,
    check,
    escaped,
    job,
    lease_grace_s,
    rank_of,
)
from westward.agent.engines.kubernetes_watch import KubernetesWatch, deadline_s
from westward.agent.engines.watched import WatchedRuns
from westward.model.job import Work
from westward.model.wire import Grant, Reading

OFFER = Offer(namespace="lab", image="debian:12", site="site-a")


def grant(**changes: Any) -> Grant:
    values: dict[str, Any] = {
        "run_id": "run_0A", "job_id": "job_1", "attempt": 1, "token": 7, "ttl_ms": 15_000,
        "pool": "p", "nodes": 1, "devices_per_node_milli": 2000, "accelerator": "H100",
        "cpus_per_node_milli": 1500, "memory_per_node_mib": 300, "time_limit_ms": None,
        "gpus_per_node": 2, "work": Work(run="echo $$ $(NAME) $HOME", envs=(("X", "$(Y)"),)),
    }  # fmt: skip
    return Grant(**(values | changes))


def test_a_job_asks_for_what_was_granted_and_bears_the_runs_name() -> None:
    offer = Offer(
        namespace="lab", image="debian:12", site="site-a",
        selectors=(("p", (("gpu", "h100"),)), ("q", (("gpu", "a100"),))),
    )  # fmt: skip
    made = job(grant(), offer, 0, grace_ms=5_000, deadline_s=9)
    assert made["metadata"]["name"] == "run-0a-0"
    assert made["metadata"]["labels"]["westward.io/run"] == "run_0A"
    assert made["spec"]["backoffLimit"] == 0
    assert made["spec"]["activeDeadlineSeconds"] == 9
    pod = made["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["nodeSelector"] == {"gpu": "h100"}
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "1500m", "memory": "300Mi", "nvidia.com/gpu": "2"},
        "limits": {"memory": "300Mi", "nvidia.com/gpu": "2"},
    }


def expanded(text: str, env: dict[str, str]) -> str:
    """As Kubernetes reads arguments and variables (third_party/forked/golang/expansion)."""

    def one(found: re.Match[str]) -> str:
        return "$" if found.group() == "$$" else env.get(found.group(1), found.group())

    return re.sub(r"\$\$|\$\(([^)]*)\)", one, text)


@given(st.text(alphabet="$()AB {", max_size=12))
def test_texts_come_through_kubernetes_own_expansion_unchanged(text: str) -> None:
    assert expanded(escaped(text), {"A": "changed", "B": "changed"}) == text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"devices_per_node_milli": 500, "gpus_per_node": 1}, "counts whole devices"),
        ({"run_id": "9" * 70}, "cannot be a name"),
        ({"work": Work(run="x" * 130_000)}, "more than 120000 bytes"),
        ({"work": Work(setup="$" * 70_000)}, "job's setup has more"),
    ],
)
def test_what_kubernetes_cannot_do_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(grant(**changes), OFFER)


@given(
    ran_ms=st.integers(0, 10**8),
    seen_late_ms=st.integers(0, 10**4),
    ttl_ms=st.integers(8_000, 600_000),
    share=st.floats(0.5, 0.9),
    grace_ms=st.integers(0, 10**6),
)
def test_deadline_and_grace_end_before_the_lease(
    ran_ms: int, seen_late_ms: int, ttl_ms: int, share: float, grace_ms: int
) -> None:
    """The agent saw the Job taken up ``seen_late_ms`` after it was; the controller counts from then."""
    left_ms = round(ttl_ms * share)
    grace_s = lease_grace_s(ttl_ms, grace_ms)
    elapsed_ms = max(0, ran_ms - seen_late_ms)
    deadline_ms = 1000 * deadline_s(elapsed_ms, left_ms, ttl_ms, grace_s)
    killed_ms = deadline_ms + 1000 * grace_s - ran_ms  # from now
    assert killed_ms <= max(left_ms - 1000, 1000 * (1 + grace_s) - ran_ms)


def hold(folder: Path, run: str, setup: str = "", stop_signal: str = "TERM") -> Any:
    env = {
        "PATH": os.environ["PATH"],
        "WESTWARD_FOLDER": str(folder),
        "WESTWARD_STOP_SIGNAL": stop_signal,
    }
    return subprocess.Popen(
        ["bash", "-c", HOLDER, "westward", setup, run], env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def said(folder: Path) -> dict[str, Any]:
    word: dict[str, Any] = json.loads((folder / "end").read_text())
    return word


@pytest.mark.parametrize(
    ("run", "code", "output"),
    [
        ("echo out; echo err >&2", 0, "out\nerr\n"),
        ("exit 3", 3, ""),
        ("kill -9 $$", 137, ""),
        ("nonsuch_ 2>/dev/null", 127, ""),
        ('cd "$WESTWARD_OUTPUT" && basename "$PWD"; basename "$HOME"', 0, "output\nhome\n"),
        ("read x; echo got nothing", 0, "got nothing\n"),
    ],
)
def test_the_pods_script_passes_output_and_exit_code_on(
    tmp_path: Path, run: str, code: int, output: str
) -> None:
    process = hold(tmp_path, run)
    assert process.communicate(timeout=60)[0] == output
    assert process.returncode == code
    assert said(tmp_path)["phase"] == "run"


def test_the_pods_script_tells_how_long_the_work_took(tmp_path: Path) -> None:
    process = hold(tmp_path, "sleep 0.7")
    begun = time.monotonic()
    process.communicate(timeout=60)
    assert 700 <= said(tmp_path)["ran_ms"] <= (time.monotonic() - begun) * 1000 + 500


def test_a_failed_setup_keeps_the_run_from_beginning(tmp_path: Path) -> None:
    process = hold(tmp_path, "echo never", setup="echo trying; exit 4")
    assert process.communicate(timeout=60)[0] == "trying\n"
    assert process.returncode == 4
    assert said(tmp_path)["phase"] == "setup"


def test_a_stop_reaches_the_job_as_its_own_signal(tmp_path: Path) -> None:
    save = "trap 'sleep 0.3; echo saved; exit 0' USR1; echo up; while :; do sleep 0.05; done"
    process = hold(tmp_path, save, stop_signal="USR1")
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert "saved" in process.communicate(timeout=60)[0]
    assert process.returncode == 0


def pod(**status: Any) -> dict[str, Any]:
    labels = {"westward.io/rank": "1"}
    return {"metadata": {"name": "x", "uid": "u", "labels": labels}, "status": status}


def container(**state: Any) -> list[dict[str, Any]]:
    return [{"state": state}]


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        ({"phase": "Pending"}, "waiting", "Pending"),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
             "reason": "Unschedulable", "message": "0/2 nodes: Insufficient nvidia.com/gpu."}]},
            "waiting", "Unschedulable: 0/2 nodes: Insufficient nvidia.com/gpu.",
        ),
        (
            {"phase": "Pending", "containerStatuses": container(waiting={"reason": "ErrImagePull"})},
            "waiting", "ErrImagePull",
        ),
        ({"phase": "Running", "containerStatuses": container(running={})}, "running", "running"),
        (
            {"phase": "Failed", "containerStatuses": container(
                terminated={"exitCode": 137, "reason": "OOMKilled"})},
            "ended", "ran out of memory",
        ),
        ({"phase": "Failed", "reason": "Evicted", "message": "disk"}, "lost", "Evicted: disk"),
        ({"phase": "Succeeded"}, "lost", "Succeeded"),
    ],
)  # fmt: skip
def test_what_a_pod_tells(status: dict[str, Any], state: str, words: str) -> None:
    """Without an exit code nothing is known to have succeeded."""
    rank = rank_of(pod(**status))
    assert (rank.rank, rank.state, rank.words) == (1, state, words)


@pytest.mark.parametrize(
    ("text", "milli"),
    [
        ("0", 0),
        ("16", 16_000),
        ("500m", 500),
        ("1.5", 1_500),
        ("64Gi", 64 << 30 << 0),
        ("2k", 2_000_000),
    ],
)
def test_quantities(text: str, milli: int) -> None:
    assert quantity_milli(text) == (milli * 1000 if text.endswith("Gi") else milli)


def node(name: str, *, ready: str = "True", gpus: str = "8", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "gpu": "h"}},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "allocatable": {"cpu": "15500m", "memory": "1Gi", "nvidia.com/gpu": gpus},
        },
    }


def test_alike_nodes_are_one_pool_and_unusable_ones_none() -> None:
    nodes = [
        node("a"), node("b"), node("c", gpus="0"), node("d", ready="Unknown"),
        node("e", unschedulable=True),
    ]  # fmt: skip
    first, second = pools_of(nodes, "nvidia.com/gpu")
    assert (first.nodes, first.devices_per_node, first.cpus_milli_per_node) == (2, 8, 15_500)
    assert (second.nodes, second.devices_per_node, second.memory_mib_per_node) == (1, 0, 1024)
    assert first.labels == (("gpu", "h"),)
    assert first.name != second.name


def test_times_of_lines_compare_whatever_zeros_are_left_out() -> None:
    stamps = ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.05Z", "2026-11-22T10:00:00.5Z"]
    assert sorted(map(_comparable, stamps)) == list(map(_comparable, stamps))


def test_every_fault_of_the_options_is_named(tmp_path: Path) -> None:
    options = {
        "namespace": "No_Name",
        "grace_ms": "soon",
        "selectors": "p:x",
        "in_cluster": "maybe",
    }
    with pytest.raises(ValueError, match="image: none") as refusal:
        from_options(tmp_path, "site-a", options)
    for name in ("namespace", "grace_ms", "selectors", "in_cluster"):
        assert f"engine option {name}: " in str(refusal.value)


def test_every_reading_is_noted_once_whoever_wrote_the_ones_before(tmp_path: Path) -> None:
    def reading(sequence: int) -> Reading:
        return Reading(sequence=sequence, wall_ms=5, device_milli_ms=5, cpu_ms=0, max_rss_kib=0)

    runs = WatchedRuns(tmp_path)
    runs.take(grant(), LeaseTimes(term_at=1, kill_at=2), {})
    assert runs.add_reading("run_0A", reading(0))
    assert not runs.add_reading("run_0A", reading(2)), "one before is missing"
    assert runs.add_reading("run_0A", reading(1))
    assert runs.add_reading("run_0A", reading(0)), "noted before"
    later = WatchedRuns(tmp_path)
    assert later.add_reading("run_0A", reading(2))
    assert later.readings("run_0A", -1) == tuple(map(reading, range(3)))
    assert runs.readings("run_0A", 0) == tuple(map(reading, (1, 2))), "another wrote meanwhile"
    for each in (runs, later):
        each.close()


def test_the_thread_outlives_a_look_that_breaks(tmp_path: Path) -> None:
    """An answer that is none of Kubernetes' leaves the run unknown, and is looked at again."""
    runs = WatchedRuns(tmp_path)
    runs.take(grant(), LeaseTimes(term_at=2**60, kill_at=2**60), {"jobs": [], "service": None})

    class Strange(KubernetesLink):
        looks = 0

        def __init__(self) -> None:
            """Without a client: nothing is asked of a server."""

        def jobs(self) -> list[dict[str, Any]]:
            self.looks += 1
            raise KeyError("metadata")

    link = Strange()
    watch = KubernetesWatch(runs, link, 200)
    thread = threading.Thread(target=watch.loop)
    thread.start()
    for least in (1, 2):
        end = time.monotonic() + 30
        while link.looks < least and time.monotonic() < end:
            watch.news.set()
            time.sleep(0.01)
    watch.close()
    thread.join(30)
    assert link.looks >= 2
    view = runs.look("run_0A")
    assert view.status is RunStatus.UNKNOWN
    assert "cannot be followed" in view.engine_state
    runs.close()
