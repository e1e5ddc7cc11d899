"""The SDK is what the document says, starts light, and repeats only what is safe."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import westward

ROOT = Path(__file__).resolve().parents[2]


def test_generating_again_changes_nothing() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import generate_sdk

        for path, text in generate_sdk.files().items():
            assert path.read_text(encoding="utf-8") == text, f"run scripts/generate_sdk.py: {path}"
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def test_importing_westward_imports_nothing_heavy() -> None:
    code = (
        "import sys, westward; westward.Client('http://127.0.0.1:1');"
        "print([m for m in ('aiohttp','numpy','numba','fastapi','pydantic','yaml','polars')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_names_that_are_not_there_are_told() -> None:
    with pytest.raises(AttributeError, match="Cleint"):
        _ = westward.Cleint  # type: ignore[attr-defined]
    for name in westward.__all__:
        assert getattr(westward, name)


@pytest.mark.parametrize("url", ["localhost:80", "ftp://x", "http://"])
def test_a_url_is_checked(url: str) -> None:
    with pytest.raises(ValueError, match="no URL"):
        westward.Client(url)


class Flaky:
    """Answers with the statuses given, one after the other, and notes what was asked."""

    def __init__(self, statuses: list[int]) -> None:
        self.asked: list[tuple[str, Any]] = []
        flaky = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                flaky.asked.append((self.path, json.loads(self.rfile.read(size) or b"null")))
                status = statuses.pop(0) if statuses else 200
                if status == 0:  # gone before an answer
                    self.close_connection = True
                    return
                body = json.dumps({"code": "some-code", "message": "text", "faults": []}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def flaky() -> Iterator[Any]:
    made: list[Flaky] = []

    def make(*statuses: int) -> Flaky:
        made.append(Flaky(list(statuses)))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def test_submitting_is_repeated_under_one_id(flaky: Any) -> None:
    server = flaky(0, 503, 0)
    westward.Client(server.url).submit("run: echo")
    assert len(server.asked) == 4
    assert len({body["job_id"] for _, body in server.asked}) == 1
    assert all(set(body) == {"task", "job_id", "file"} for _, body in server.asked)


def test_what_is_not_safe_to_repeat_is_sent_once(flaky: Any) -> None:
    server = flaky(0)
    with pytest.raises(westward.Unreachable):
        westward.Client(server.url).api.submit_job(task="run: echo")
    assert len(server.asked) == 1


def test_a_refusal_is_not_repeated_and_has_its_code(flaky: Any) -> None:
    server = flaky(409)
    with pytest.raises(westward.ApiError) as told:
        westward.Client(server.url).get("job_a/b c")
    assert (told.value.status, told.value.code) == (409, "some-code")
    assert server.asked == [("/v1/jobs/job_a%2Fb%20c?wait_ms=0", None)]


def test_patience_has_an_end(flaky: Any) -> None:
    server = flaky(*[503] * 100)
    with pytest.raises(westward.Unreachable):
        westward.Client(server.url, retry_for_s=0.5).get("job_1")
    assert 2 <= len(server.asked) < 100
