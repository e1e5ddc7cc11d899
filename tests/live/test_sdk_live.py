"""The SDK against a real network, blocking and asynchronous; every answer is what it says."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Live, until

import westward
from westward.server.openapi import user_document


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    network = Live(tmp_path_factory.mktemp("sdk"))
    try:
        network.start_all()
        yield network
    finally:
        network.close()


@pytest.fixture
def client(live: Live) -> Iterator[westward.Client]:
    with westward.Client(live.url) as made:
        yield made


def test_a_job_from_submit_to_its_bill(client: westward.Client) -> None:
    task = "name: sdk\nresources: {cpus: 1}\nrun: |\n  echo one; sleep 1; echo two\n"
    job = client.submit(task)
    assert job["created"]
    assert b"".join(client.logs(job["job_id"])) == b"one\ntwo\n"
    over = client.wait(job["job_id"], timeout_s=60)
    assert (over["state"], over["exit_code"], over["attempts"]) == ("succeeded", 0, 1)
    assert client.explain(job["job_id"])["story"][-1]["kind"] == "succeeded"
    assert job["job_id"] in [one["job_id"] for one in client.list(state="succeeded")]
    assert b"".join(client.logs(job["job_id"], follow=False)) == b"one\ntwo\n"
    until(lambda: client.get(job["job_id"])["bills"], "the bill is there")
    assert client.plan("run: echo")["placement"] is not None


def test_cancelling_and_waiting_no_longer_than_asked(client: westward.Client) -> None:
    job_id = client.submit("run: sleep 1000")["job_id"]
    with pytest.raises(westward.WaitTimeout, match=job_id):
        client.wait(job_id, timeout_s=1)
    assert client.cancel(job_id)["accepted"]
    assert client.wait(job_id, timeout_s=60)["state"] == "cancelled"
    assert not client.cancel(job_id)["accepted"]


def test_refusals_have_codes_and_faults(client: westward.Client) -> None:
    with pytest.raises(westward.ApiError) as told:
        client.submit("nmae: x\nrun: echo", file="my.yaml")
    assert (told.value.status, told.value.code) == (400, "invalid-input")
    assert told.value.faults[0]["field"] == "nmae"
    assert "my.yaml:1 [nmae]" in str(told.value)
    with pytest.raises(westward.ApiError) as told:
        client.get("job_none")
    assert told.value.code == "not-found"
    client.submit("run: echo a", job_id="job_sdk-twice")
    assert not client.submit("run: echo a", job_id="job_sdk-twice")["created"]
    with pytest.raises(westward.ApiError) as told:
        client.submit("run: echo b", job_id="job_sdk-twice")
    assert told.value.code == "job-id-taken"


def test_many_jobs_at_once_asynchronously(live: Live) -> None:
    async def work() -> list[tuple[str, bytes]]:
        async with westward.AsyncClient(live.url) as client:

            async def one(number: int) -> tuple[str, bytes]:
                job = await client.submit(f"resources: {{cpus: 0.1}}\nrun: echo {number}")
                over = await client.wait(job["job_id"], timeout_s=120)
                text = b"".join([piece async for piece in client.logs(job["job_id"])])
                return over["state"], text

            found = await asyncio.gather(*(one(number) for number in range(8)))
            listed = [job["job_id"] async for job in client.list(newest_first=True)]
            assert len(listed) == len(set(listed)) >= 8
            with pytest.raises(westward.ApiError) as told:
                await client.get("job_none")
            assert told.value.code == "not-found"
            return found

    assert asyncio.run(work()) == [("succeeded", f"{n}\n".encode()) for n in range(8)]


def test_a_client_outlives_a_restart_of_the_server(live: Live, client: westward.Client) -> None:
    job_id = client.submit("run: sleep 3; echo done")["job_id"]
    until(lambda: client.get(job_id)["state"] == "running", "it runs")
    live.kill_server()
    starter = threading.Thread(target=lambda: (time.sleep(1), live.start_server()))
    starter.start()
    second = client.submit("run: echo second")  # the server is away: asked again until it is back
    starter.join()
    assert client.wait(second["job_id"], timeout_s=120)["state"] == "succeeded"
    assert client.wait(job_id, timeout_s=120)["state"] == "succeeded"


def test_every_answer_is_what_the_document_says(live: Live, client: westward.Client) -> None:
    """No field that is not described, none missing, every type as described."""
    done = client.submit("run: echo typed")["job_id"]
    client.wait(done, timeout_s=60)
    huge = client.submit("resources: {accelerators: nonesuch:8}\nrun: echo")["job_id"]
    until(lambda: client.get(done)["bills"], "the bill is there")
    document = user_document()
    asked = {
        "/v1/jobs": ["/v1/jobs"],
        "/v1/jobs/{job_id}": [f"/v1/jobs/{done}", f"/v1/jobs/{huge}"],
        "/v1/jobs/{job_id}/why": [f"/v1/jobs/{done}/why", f"/v1/jobs/{huge}/why"],
        "/v1/jobs/{job_id}/logs": [f"/v1/jobs/{done}/logs"],
        "/v1/sites": ["/v1/sites"],
        "/v1/report": ["/v1/report"],
        "/healthz": ["/healthz"],
    }
    for route, paths in asked.items():
        schema = document["paths"][route]["get"]["responses"]["200"]
        for path in paths:
            _hold(document, schema["content"]["application/json"]["schema"], live.get(path), path)
    for route, body in (("/v1/plan", {"task": "run: echo"}), ("/v1/jobs", {"task": "run: echo"})):
        answers = document["paths"][route]["post"]["responses"]
        status, answer = live.call("POST", route, body)
        assert 200 <= status < 300
        _hold(
            document, answers[str(status)]["content"]["application/json"]["schema"], answer, route
        )


_KINDS = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def _hold(document: Any, schema: Any, value: Any, where: str) -> None:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        faults = []
        for one in schema["anyOf"]:
            try:
                return _hold(document, one, value, where)
            except AssertionError as error:
                faults.append(str(error))
        raise AssertionError(f"{where}: {faults}")
    if "enum" in schema:
        assert value in schema["enum"], (where, value)
    elif schema.get("type") == "array":
        assert isinstance(value, list), where
        for index, item in enumerate(value):
            _hold(document, schema["items"], item, f"{where}[{index}]")
    elif schema.get("type") == "object" and "properties" in schema:
        assert isinstance(value, dict), where
        assert set(value) <= set(schema["properties"]), (
            where,
            set(value) - set(schema["properties"]),
        )
        assert set(value) >= set(schema.get("required", ())), where
        for name, item in value.items():
            _hold(document, schema["properties"][name], item, f"{where}.{name}")
    elif schema.get("type") == "object":
        assert isinstance(value, dict), where
    else:
        assert isinstance(value, _KINDS[schema["type"]]), (where, value)
    return None
