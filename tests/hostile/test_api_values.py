"""Every field of every operation given what it should not have: a refusal in words, or an answer.

In this process, so that an exception that a server would turn into a 500 is seen as itself. Bodies
start from the good request that ``people_world`` has for each operation, and get every field that
the OpenAPI document knows.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from tests.databases import DATABASES, new_database
from tests.hostile.nasty import RAW_BODIES, TEXTS, places, put, values
from tests.unit.people_world import World, billed_run, peopled, request
from westward.server.access import TABLE
from westward.server.settings import Settings

AGENTS = {
    "enrol": {"token": "x", "digest": "0" * 64},
    "rotate": {"digest": "0" * 64},
    "hello": {"site": "lab", "agent_id": "agt", "pools": []},
    "poll": {"agent_session": 1, "site": "lab", "runs": [{"run_id": "r", "token": 1}], "wait_ms": 0},
    "started": {"token": 1, "ago_ms": 0},
    "ended": {
        "token": 1, "outcome": "failed", "exit_code": 1, "detail": "x",
        "readings": [
            {"sequence": 0, "wall_ms": 1, "device_milli_ms": 1, "cpu_ms": 1, "max_rss_kib": 1}
        ],
    },
    "readings": {
        "token": 1,
        "readings": [
            {"sequence": 0, "wall_ms": 1, "device_milli_ms": 1, "cpu_ms": 1, "max_rss_kib": 1}
        ],
    },
    "logs": {"token": 1, "rank": 0, "offset": 0, "data_b64": "aGk="},
    "checkpoint": {"token": 1, "files": [{"path": "a", "size_bytes": 1, "sha256": "0" * 64}]},
    "part": {"token": 1, "sha256": "0" * 64, "size_bytes": 1, "offset": 0, "data_b64": "aA=="},
    "kept": {"token": 1},
    "read": {"token": 1, "sha256": "0" * 64, "offset": 0, "most": 1},
    "fetched": {"token": 1, "size_bytes": 1},
    "source": {"token": 1, "dataset": "images", "version": 1, "refused": ["x"]},
    "staged": {
        "token": 1, "dataset": "images", "version": 1, "digest": "0" * 64, "source_site": "harbor",
        "cached": False,
    },
    "moved": {
        "token": 1, "sequence": 0, "dataset": "images", "version": 1, "source_site": "harbor",
        "size_bytes": 1, "wall_ms": 1,
    },
    "published": {
        "token": 1, "dataset": "images", "url": "file:///x",
        "files": [{"path": "a", "size_bytes": 1, "sha256": "0" * 64}],
    },
}  # fmt: skip
"""A good body of each message of an agent, by the last word of its path."""
OFFER_FIELDS = 60
OPERATIONS = [one for one in TABLE if one not in ("GET /docs", "GET /redoc")]


@pytest.fixture(scope="module", params=DATABASES)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Over SQLite, and, where it is asked for (``make test-replicas``), over PostgreSQL, which takes
    less: no NUL in a text, none longer than its column."""
    folder = tmp_path_factory.mktemp("nasty")
    with pytest.MonkeyPatch.context() as patch:
        url = new_database(request.param, folder)
        patch.setattr(Settings, "database_url", property(lambda _: url))
        made = peopled(folder / "data", patch)
        yield made
        made.core.close()


def component(document: Any, schema: Any) -> Any:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def body_fields(document: Any, method: str, path: str) -> dict[str, Any]:
    """Every field that the document knows of the body, absent ones as null."""
    operation = document["paths"].get(path, {}).get(method.lower(), {})
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return {}
    return dict.fromkeys(component(document, content["schema"]).get("properties", {}))


def queries(document: Any, method: str, path: str) -> list[str]:
    operation = document["paths"].get(path, {}).get(method.lower(), {})
    return [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]


Case = tuple[str, str, str, bytes]
"""Method, path as it is written in a request's line, query, body."""


def cases(world: World, operation: str, caller: str) -> Iterator[Case]:
    method, template = operation.split(" ")
    document = world.app.openapi()
    _, path, body = request(world, operation, caller)
    if "/agent/" in path:
        path = path.replace("run_none", billed_run(world))
        body = AGENTS.get(path.rpartition("/")[2], {})
    plain, _, query = path.partition("?")
    if method == "POST":
        whole = {**body_fields(document, method, template), **(body or {})}
        for place in islice(places(whole), OFFER_FIELDS):
            for value in values():
                made = put(whole, place, value)
                yield method, plain, query, json.dumps(made).encode()
        for raw in RAW_BODIES:
            yield method, plain, query, raw
    good = json.dumps(body).encode() if body is not None else b""
    for name in queries(document, method, template):
        for text in TEXTS:
            if not any("\ud800" <= char <= "\udfff" for char in text):
                yield method, plain, urllib.parse.urlencode({name: text}), good
        yield method, plain, f"{name}=%ff%fe", good
        yield method, plain, f"{name}=" + "&".join([f"{name}=1"] * 500), good
    parts = template.split("/")
    for index, part in enumerate(parts):
        if part.startswith("{") and part.endswith("}"):
            for text in TEXTS:
                if "/" in text or not text or any("\ud800" <= char <= "\udfff" for char in text):
                    continue
                own = plain.split("/")
                own[index] = text
                yield method, "/".join(own), query, good


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_breaks_an_operation(
    world: World, operation: str, every: int, tally: dict[str, int]
) -> None:
    caller = "agent" if "/agent/" in operation else "operator-file"
    done = 0
    for method, path, query, raw in islice(cases(world, operation, caller), done, None, every):
        answer = world.as_(caller, method, path, query=query, raw=raw)
        shown = (
            f"{method} {path} ?{query[:200]} {raw[:300]!r} -> {answer.status} {answer.body[:300]!r}"
        )
        assert answer.status < 500, shown
        assert b"Traceback" not in answer.body, shown
        if answer.status >= 400:
            assert set(answer.json()) == {"code", "message", "faults"}, shown
        done += 1
    tally["api values"] = tally.get("api values", 0) + done
