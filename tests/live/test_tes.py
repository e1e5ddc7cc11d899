"""GA4GH TES 1.1 for real: py-tes, and the requirements of the public compliance suite, against a
server and three agents as processes. Plain HTTP where a client library would hide the answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tes
from harness import Live, until

BASE = "/ga4gh/tes/v1"
HELLO = {
    "name": "CompTest",
    "description": "CompTest",
    "executors": [{"image": "alpine", "command": ["echo", "hello"]}],
}
STATES = {
    "UNKNOWN", "QUEUED", "INITIALIZING", "RUNNING", "PAUSED", "COMPLETE", "EXECUTOR_ERROR",
    "SYSTEM_ERROR", "CANCELED", "PREEMPTED", "CANCELING",
}  # fmt: skip
OVER = {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    network = Live(tmp_path_factory.mktemp("tes"), server_options=("--tes-host-image", "alpine*"))
    try:
        network.start_all()
        yield network
    finally:
        network.close()


@pytest.fixture
def client(live: Live) -> tes.HTTPClient:
    return tes.HTTPClient(live.url, timeout=30)


def create(live: Live, task: dict[str, Any]) -> str:
    status, answer = live.call("POST", f"{BASE}/tasks", task)
    assert status == 200, answer
    assert list(answer) == ["id"]
    return str(answer["id"])


def get(live: Live, task_id: str, view: str = "MINIMAL") -> dict[str, Any]:
    return dict(live.get(f"{BASE}/tasks/{task_id}?view={view}"))


def finish(live: Live, task_id: str, view: str = "FULL") -> dict[str, Any]:
    until(lambda: get(live, task_id)["state"] in OVER, "the task is over")
    return get(live, task_id, view)


def told(live: Live, task_id: str) -> dict[str, Any]:
    """The finished task, once its log is whole here: the last chunk may follow the end."""
    finish(live, task_id)

    def whole() -> dict[str, Any]:
        task = get(live, task_id, "FULL")
        return task if task["logs"][-1]["logs"] else {}

    return until(whole, "its log is here")


# -- with py-tes


def test_py_tes_submits_waits_reads_logs_and_lists(client: tes.HTTPClient) -> None:
    task = tes.Task(
        name="py-tes-hello",
        executors=[tes.Executor(image="alpine:3.19", command=["sh", "-c", "echo hi; echo no >&2"])],
        resources=tes.Resources(cpu_cores=1, ram_gb=0.5, preemptible=True),
        tags={"who": "py-tes"},
    )
    task_id = client.create_task(task)
    assert client.wait(task_id, timeout=120).state == "COMPLETE"
    end = time.monotonic() + 60
    while not client.get_task(task_id, "FULL").logs[0].logs:
        assert time.monotonic() < end
        time.sleep(0.05)
    full = client.get_task(task_id, "FULL")
    (log,) = full.logs
    assert (log.logs[0].exit_code, log.logs[0].stdout, log.logs[0].stderr) == (0, "hi\n", "no\n")
    assert log.start_time <= log.end_time
    assert full.creation_time is not None
    assert full.tags == {"who": "py-tes"}
    assert full.resources.cpu_cores == 1
    basic = client.get_task(task_id, "BASIC")
    assert basic.logs[0].logs[0].exit_code == 0
    assert basic.logs[0].logs[0].stdout is None
    assert basic.logs[0].system_logs is None
    assert task_id in [one.id for one in client.list_tasks(view="MINIMAL").tasks]


def test_py_tes_cancels_a_running_task(client: tes.HTTPClient) -> None:
    task = tes.Task(executors=[tes.Executor(image="host", command=["sleep", "1000"])])
    task_id = client.create_task(task)
    until(lambda: client.get_task(task_id, "MINIMAL").state == "RUNNING", "it runs")
    client.cancel_task(task_id)
    assert client.wait(task_id, timeout=120).state in ("CANCELING", "CANCELED")
    until(lambda: client.get_task(task_id, "MINIMAL").state == "CANCELED", "it is over")
    client.cancel_task(task_id)  # over already: no error
    assert client.get_task(task_id, "MINIMAL").state == "CANCELED"


def test_py_tes_reads_the_service_info(client: tes.HTTPClient) -> None:
    info = client.get_service_info()
    assert info.type == {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"}
    assert {"accelerators", "nodes", "residency", "deadline"} <= set(
        info.tes_resources_backend_parameters
    )
    assert info.id
    assert info.version
    assert info.organization["name"]
    assert info.organization["url"]
    assert "alpine*" in info.description


# -- what the compliance suite asks for


@pytest.mark.parametrize("view", ["MINIMAL", "BASIC", "FULL"])
def test_the_views_hold_what_the_specification_says(live: Live, view: str) -> None:
    task = {**HELLO, "inputs": [{"path": "/data/in", "content": "x", "type": "FILE"}]}
    task_id = create(live, task)
    shown = told(live, task_id) if view == "FULL" else finish(live, task_id, view)
    assert shown["id"] == task_id
    assert shown["state"] == "COMPLETE"
    listed = live.get(f"{BASE}/tasks?view={view}&page_size=1")["tasks"][0]
    if view == "MINIMAL":
        assert set(shown) == set(listed) == {"id", "state"}
        return
    for one in (shown, listed):
        assert {"name", "description", "executors", "logs", "creation_time", "inputs"} <= set(one)
        assert one["executors"] == [{"image": "alpine", "command": ["echo", "hello"]}]
        assert ("content" in one["inputs"][0]) == (view == "FULL")
        for log in one["logs"]:
            assert {"logs", "outputs"} <= set(log)
            assert ("system_logs" in log) == (view == "FULL")
            for executor in log["logs"]:
                assert isinstance(executor["exit_code"], int)
                assert ("stdout" in executor) == (view == "FULL")


def test_the_default_view_is_minimal(live: Live) -> None:
    task_id = create(live, HELLO)
    assert set(live.get(f"{BASE}/tasks/{task_id}")) == {"id", "state"}
    assert all(set(one) == {"id", "state"} for one in live.get(f"{BASE}/tasks")["tasks"])


def test_a_failing_executor_ends_the_task_unless_its_error_is_ignored(live: Live) -> None:
    hello = {"image": "alpine", "command": ["echo", "hello"]}
    for ignore, state, codes in ((False, "EXECUTOR_ERROR", [127]), (True, "COMPLETE", [127, 0])):
        failing = {"image": "alpine", "command": ["ERROR"], "ignore_error": ignore}
        task = told(live, create(live, {"executors": [failing, hello]}))
        assert task["state"] == state
        assert [log["exit_code"] for log in task["logs"][0]["logs"]] == codes


def test_pages_follow_each_other_without_gap_or_repeat(live: Live) -> None:
    ids = [create(live, {**HELLO, "name": "paged"}) for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        path = f"{BASE}/tasks?page_size=2&name_prefix=paged"
        page = live.get(path + (f"&page_token={token}" if token else ""))
        assert len(page["tasks"]) <= 2
        seen += [one["id"] for one in page["tasks"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert seen == ids[::-1]
    assert live.call("GET", f"{BASE}/tasks?page_token=nonsense")[0] == 400
    for size in (0, 2048):
        assert live.call("GET", f"{BASE}/tasks?page_size={size}")[0] == 422


def test_tasks_are_found_by_the_beginning_of_their_names(live: Live) -> None:
    create(live, {**HELLO, "name": "e70dda48-ComplianceTest"})
    create(live, {**HELLO, "name": "b51f4c41-ComplianceTest"})
    for prefix in ("e70dda48", "b51f4c41-ComplianceTest"):
        found = live.get(f"{BASE}/tasks?view=BASIC&name_prefix={prefix}")["tasks"]
        assert [one["name"].startswith(prefix) for one in found] == [True]
    assert live.get(f"{BASE}/tasks?name_prefix=ComplianceTest")["tasks"] == []


def test_tasks_are_found_by_state(live: Live) -> None:
    finish(live, create(live, HELLO))
    found = live.get(f"{BASE}/tasks?state=COMPLETE")["tasks"]
    assert found
    assert {one["state"] for one in found} == {"COMPLETE"}
    for state in STATES:
        for one in live.get(f"{BASE}/tasks?state={state}")["tasks"]:
            assert one["state"] == state
    assert live.call("GET", f"{BASE}/tasks?state=DONE")[0] == 422


def test_tasks_are_found_by_tags(live: Live) -> None:
    create(live, {**HELLO, "tags": {"foo": "bar", "baz": "bat", "lorem": "ipsum"}})
    create(live, {**HELLO, "tags": {"foo": "", "only": "x"}})

    def found(query: str) -> list[dict[str, str]]:
        return [one["tags"] for one in live.get(f"{BASE}/tasks?view=BASIC&{query}")["tasks"]]

    first = {"foo": "bar", "baz": "bat", "lorem": "ipsum"}
    second = {"foo": "", "only": "x"}
    assert found("tag_key=foo&tag_key=lorem&tag_value=bar&tag_value=ipsum") == [first]
    assert found("tag_key=foo&tag_key=baz&tag_value=bar") == [first]
    assert found("tag_key=foo") == [second, first]
    assert found("tag_key=foo&tag_value=bat") == []
    assert found("tag_key=foo&tag_value=bar&tag_key=only") == []


def test_backend_parameters(live: Live) -> None:
    given = {"VmSize": "Standard_D64_v3", "Priority": "7"}
    loose = {**HELLO, "resources": {"backend_parameters": given}}
    task = finish(live, create(live, loose))
    assert task["resources"]["backend_parameters"] == {"priority": "7"}
    (warning,) = [line for line in task["logs"][0]["system_logs"] if "VmSize" in line]
    assert "not supported" in warning
    assert task["state"] == "COMPLETE"
    strict = {"backend_parameters": {"INVALID": "PARAMETER"}, "backend_parameters_strict": True}
    status, answer = live.call("POST", f"{BASE}/tasks", {**HELLO, "resources": strict})
    assert status == 400
    assert [one["field"] for one in answer["faults"]] == ["resources.backend_parameters.INVALID"]


@pytest.mark.parametrize(
    ("part", "told_of"),
    [
        ({"inputs": [{"url": "s3://store/file-1", "path": "/data/file1"}]}, "s3://store/file-1"),
        ({"inputs": [{"url": "s3://b/f", "path": "/d", "streamable": True}]}, "inputs[0].url"),
        ({"outputs": [{"url": "s3://store/out", "path": "/data/out"}]}, "outputs[0].url"),
        ({"executors": [{"image": "ubuntu:24.04", "command": ["true"]}]}, "ubuntu:24.04"),
        ({"resources": {"disk_gb": 40.0}}, "disk_gb"),
        ({"resources": {"zones": ["us-west-1"]}}, "site"),
        ({"resources": {"backend_parameters": {"accelerators": "nonesuch:8"}}}, "nonesuch"),
    ],
)
def test_what_the_network_cannot_do_is_taken_told_by_name_and_never_run(
    live: Live, part: dict[str, Any], told_of: str
) -> None:
    task = get(live, create(live, {**HELLO, **part}), "FULL")
    assert task["state"] == "SYSTEM_ERROR"
    (log,) = task["logs"]
    assert log["logs"] == []
    assert told_of in " ".join(log["system_logs"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "executors"),
        ({"executors": []}, "executors"),
        ({"executors": [{"image": "alpine"}]}, "executors[0].command"),
        ({**HELLO, "executor": []}, "executor"),
        ({**HELLO, "inputs": [{"path": "data", "content": "x"}]}, "inputs[0].path"),
        ({**HELLO, "volumes": ["/data/../etc"]}, "volumes[0]"),
        ({**HELLO, "inputs": [{"path": "/data"}]}, "inputs[0]"),
        ({**HELLO, "outputs": [{"path": "/d/*", "url": "/tmp/x"}]}, "outputs[0].path_prefix"),
        (
            {**HELLO, "resources": {"backend_parameters": {"deadline": "soon"}}},
            "resources.backend_parameters.deadline",
        ),
        ([], ""),
    ],
)
def test_a_document_that_is_not_tes_is_refused_with_its_field(
    live: Live, body: object, field: str
) -> None:
    status, answer = live.call("POST", f"{BASE}/tasks", body)
    assert status == 400
    assert field in [one["field"] for one in answer["faults"]]
    assert all(one["problem"] and one["remedy"] for one in answer["faults"])


def test_unknown_tasks_are_not_found(live: Live) -> None:
    live.submit("job_native", "run: echo not a TES task\n")
    for task_id in ("job_tes-none", "job_native"):
        assert live.call("GET", f"{BASE}/tasks/{task_id}")[0] == 404
        assert live.call("POST", f"{BASE}/tasks/{task_id}:cancel")[0] == 404


# -- inputs, outputs, paths, order


def test_inputs_volumes_streams_and_outputs_reach_where_they_should(
    live: Live, tmp_path: Path
) -> None:
    source, target = tmp_path / "in" / "numbers.txt", tmp_path / "out"
    source.parent.mkdir()
    source.write_text("3\n1\n2\n")
    task = {
        "name": "sorted numbers",
        "inputs": [
            {"url": f"file://{source}", "path": "/data/numbers.txt"},
            {"content": "it's $HOME \"quoted\"\n", "path": "/data/note"},
        ],
        "volumes": ["/vol"],
        "executors": [
            {"image": "alpine", "command": ["sort", "/data/numbers.txt"], "stdout": "/vol/sorted"},
            {"image": "alpine", "command": ["sh", "-c", "head -n1 > /vol/first.txt; pwd >&2"],
             "stdin": "/vol/sorted", "workdir": "/vol/w", "stderr": "/vol/where.txt"},
            {"image": "alpine", "command": ["sh", "-c", 'cp "$NOTE" /vol/note.txt'],
             "env": {"NOTE": "/data/note"}},
        ],
        "outputs": [
            {"path": "/vol/*.txt", "path_prefix": "/vol", "url": f"file://{target}"},
            {"path": "/vol/sorted", "url": str(target / "all")},
        ],
    }  # fmt: skip
    shown = told(live, create(live, task))
    assert shown["state"] == "COMPLETE", shown["logs"]
    assert (target / "first.txt").read_text() == "1\n"
    assert (target / "note.txt").read_text() == 'it\'s $HOME "quoted"\n'
    assert (target / "all").read_text() == "1\n2\n3\n"
    assert (target / "where.txt").read_text().endswith("/tes/0/vol/w\n")
    assert {(one["path"], one["size_bytes"]) for one in shown["logs"][0]["outputs"]} >= {
        ("/vol/first.txt", "2"), ("/vol/note.txt", "20"), ("/vol/sorted", "6"),
    }  # fmt: skip
    assert shown["logs"][0]["logs"][0]["stdout"] == "1\n2\n3\n"
    times = [(log["start_time"], log["end_time"]) for log in shown["logs"][0]["logs"]]
    assert times == sorted(times)


def test_an_output_that_was_not_written_is_a_system_error(live: Live, tmp_path: Path) -> None:
    task = {**HELLO, "outputs": [{"path": "/data/none", "url": str(tmp_path / "x")}]}
    shown = told(live, create(live, task))
    assert shown["state"] == "SYSTEM_ERROR"
    assert any("/data/none" in line for line in shown["logs"][0]["system_logs"])
    assert shown["logs"][0]["logs"][0]["exit_code"] == 0


def test_an_input_that_is_not_there_is_a_system_error(live: Live) -> None:
    task = {**HELLO, "inputs": [{"path": "/data/in", "url": "file:///nowhere/at/all"}]}
    shown = finish(live, create(live, task))
    assert shown["state"] == "SYSTEM_ERROR"
    assert any("/nowhere/at/all" in line for line in shown["logs"][-1]["system_logs"])


def test_a_gang_and_a_task_that_is_stopped_tell_what_is_known(live: Live) -> None:
    gang = {
        "executors": [{"image": "host", "command": ["sh", "-c", "echo rank $SKYPILOT_NODE_RANK"]}],
        "resources": {"backend_parameters": {"nodes": "2"}},
    }
    shown = told(live, create(live, gang))
    assert (shown["state"], shown["logs"][0]["logs"][0]["stdout"]) == ("COMPLETE", "rank 0\n")
    first = {"image": "host", "command": ["echo", "done"]}
    second = {"image": "host", "command": ["sleep", "1000"]}
    task_id = create(live, {"executors": [first, second]})
    until(lambda: (get(live, task_id, "BASIC").get("logs") or [{}])[0].get("logs"), "first is over")
    live.call("POST", f"{BASE}/tasks/{task_id}:cancel")
    shown = finish(live, task_id)
    assert shown["state"] == "CANCELED"
    assert shown["logs"][0]["logs"][0]["exit_code"] == 0


def test_a_long_log_still_gives_every_exit_code(live: Live) -> None:
    noisy = {"image": "host", "command": ["sh", "-c", "yes 0123456789 | head -c 3000000"]}
    shown = told(live, create(live, {"executors": [noisy, noisy]}))
    assert [log["exit_code"] for log in shown["logs"][0]["logs"]] == [0, 0]
    assert len(shown["logs"][0]["logs"][1]["stdout"]) == 8192
