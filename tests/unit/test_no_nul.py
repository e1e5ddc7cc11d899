"""NUL is refused at the door, by whatever way it is written, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.unit.people_world import World, peopled
from westward.server.no_nul import holds_nul


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        made = peopled(tmp_path_factory.mktemp("nul"), patch)
        yield made
        made.core.close()


@pytest.mark.parametrize(
    "document",
    [{"a": "\0"}, {"\0": 1}, ["x", ["x\0y"]], {"a": {"b": [{"c": "\\u0000\0"}]}}],
    ids=repr,
)
def test_it_is_found_wherever_it_stands(document: object) -> None:
    assert holds_nul(json.dumps(document).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b'{"a": "x"}', json.dumps({"a": "\\u0000"}).encode(), b"\\u0000", b'{"a": "\\u0000',
        b"[" * 100_000 + b'"\\u0000"', b'{"a": 0, "b": null}', b"\xff\\u0000",
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_what_is_not_it_or_no_json_is_left_to_others(body: bytes) -> None:
    assert not holds_nul(body)


@pytest.mark.parametrize(
    ("method", "path", "query", "raw"),
    [
        ("GET", "/v1/jobs/a\0b", "", b""),
        ("GET", "/v1/jobs", "account=a%00b", b""),
        ("POST", "/v1/jobs", "", b'{"task": "run: echo", "file": "a\\u0000"}'),
        ("POST", "/v1/agent/runs/\0/started", "", b'{"token": 1, "ago_ms": 0}'),
    ],
)
def test_it_is_refused_in_words(
    world: World, method: str, path: str, query: str, raw: bytes
) -> None:
    answer = world.as_("operator-file", method, path, query=query, raw=raw)
    assert answer.status == 422
    assert answer.json()["code"] == "malformed-request"
    assert "NUL" in answer.json()["message"]


def test_an_escape_of_yaml_is_text_until_yaml_is_read(world: World) -> None:
    """The six characters of an escape within a task are none in JSON; the reader refuses them."""
    task = 'setup: "a\\u0000b"\nrun: echo\n'
    body = {"task": task, "account": "vision"}
    answer = world.as_("operator-file", "POST", "/v1/jobs", raw=json.dumps(body).encode())
    assert answer.status == 400
    assert answer.json()["code"] == "invalid-input"
