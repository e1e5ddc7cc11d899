"""Clients that are slow, endless, many or no clients at all, against a real server.

Each test ends with a good request that is answered at once by the same server.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.hostile.world import Served, served
from westward.server.limits import BODY_MOST_BYTES, BODY_WITHIN_S
from westward.server.patience import HEAD_MOST_BYTES, HEAD_WITHIN_S, HEADERS_MOST

PATIENCE_S = 90
ANSWERED_WITHIN_S = 20
GROWTH_MOST_KIB = 300_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("streams")) as made:
        yield made


@pytest.fixture(autouse=True)
def as_before(server: Served) -> Iterator[None]:
    before = memory_kib(server)
    yield
    status, body = ask(server, "GET", "/healthz")
    assert status == 200, body
    assert server.alive()
    assert server.tracebacks() == []
    assert memory_kib(server) - before < GROWTH_MOST_KIB


def memory_kib(server: Served) -> int:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no memory line")


def opened(server: Served, within_s: float = PATIENCE_S) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), within_s)


def head(server: Served, method: str, path: str, *lines: str) -> bytes:
    secret = server.secrets["lead"]
    told = [f"{method} {path} HTTP/1.1", "host: x", f"authorization: Bearer {secret}", *lines]
    return ("\r\n".join(told) + "\r\n\r\n").encode()


def ask(server: Served, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    with closing(opened(server, ANSWERED_WITHIN_S)) as line:
        line.sendall(
            head(server, method, path, f"content-length: {len(body)}", "connection: close")
        )
        line.sendall(body)
        return answer(line)


def answer(line: socket.socket) -> tuple[int, bytes]:
    """Status and everything after the head, until the server closes; 0: closed without a word."""
    told = b""
    try:
        while part := line.recv(65_536):
            told += part
    except ConnectionResetError:
        pass
    if not told:
        return 0, b""
    first, _, rest = told.partition(b"\r\n\r\n")
    return int(first.split()[1]), rest


def test_heads_that_never_end_are_closed(server: Served, tally: dict[str, int]) -> None:
    """Slowloris: a hundred connections, each a letter at a time."""
    with ExitStack() as stack:
        lines = [stack.enter_context(closing(opened(server))) for _ in range(100)]
        for line in lines:
            line.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        end = time.monotonic() + HEAD_WITHIN_S + 30
        left = lines
        while left:
            assert time.monotonic() < end, f"{len(left)} connections are still held"
            assert ask(server, "GET", "/healthz")[0] == 200
            still = []
            for line in left:
                try:
                    line.sendall(b"x: y\r\n")
                    line.setblocking(False)
                    assert line.recv(1) == b""
                except BlockingIOError:
                    still.append(line)
                except (ConnectionResetError, BrokenPipeError):
                    pass
                line.setblocking(True)
            left = still
            time.sleep(0.5)
    tally["streams"] = tally.get("streams", 0) + 100


def test_silent_connections_are_closed(server: Served, tally: dict[str, int]) -> None:
    with ExitStack() as stack:
        lines = [stack.enter_context(closing(opened(server))) for _ in range(500)]
        assert ask(server, "GET", "/healthz")[0] == 200
        for line in lines:
            assert line.recv(1) == b""
    tally["streams"] = tally.get("streams", 0) + 500


def test_a_slow_body_is_refused(server: Served, tally: dict[str, int]) -> None:
    with closing(opened(server)) as line:
        line.sendall(head(server, "POST", "/v1/jobs", "content-length: 1000"))
        end = time.monotonic() + BODY_WITHIN_S + 30
        line.settimeout(0.5)
        told = b""
        while not told:
            assert time.monotonic() < end
            line.sendall(b" ")
            try:
                told = line.recv(65_536)
            except TimeoutError:
                continue
        assert told.startswith(b"HTTP/1.1 408 ")
    tally["streams"] = tally.get("streams", 0) + 1


def test_a_stranger_gets_no_body_read(server: Served) -> None:
    with closing(opened(server)) as line:
        line.sendall(b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("kind", ["length", "chunks", "one chunk", "lies"])
def test_bodies_too_large(server: Served, kind: str, tally: dict[str, int]) -> None:
    with closing(opened(server)) as line:
        if kind in ("length", "lies"):
            size = BODY_MOST_BYTES + 1 if kind == "length" else 10**18
            line.sendall(head(server, "POST", "/v1/jobs", f"content-length: {size}"))
        else:
            line.sendall(head(server, "POST", "/v1/jobs", "transfer-encoding: chunked"))
            if kind == "one chunk":
                line.sendall(b"fffffffffff\r\n")
        block = b"x" * 65_536
        blocks = BODY_MOST_BYTES // len(block) * (1 if kind == "length" else 4)
        try:
            for _ in range(blocks):
                line.sendall(b"10000\r\n" + block + b"\r\n" if kind == "chunks" else block)
            if kind == "length":
                line.sendall(b"x")
        except (BrokenPipeError, ConnectionResetError):
            pass  # it answered, and closed
        status, body = answer(line)
        assert status in (413, 0), body
    tally["streams"] = tally.get("streams", 0) + 1


@pytest.mark.parametrize("kind", ["many", "one long", "endless name", "long path"])
def test_heads_too_large(server: Served, kind: str, tally: dict[str, int]) -> None:
    with closing(opened(server)) as line:
        told = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
        if kind == "many":
            told += b"".join(b"x%d: y\r\n" % index for index in range(HEADERS_MOST * 20))
        elif kind == "one long":
            told += b"x: " + b"y" * (HEAD_MOST_BYTES * 4)
        elif kind == "endless name":
            told += b"x" * (HEAD_MOST_BYTES * 4)
        else:
            told = b"GET /" + b"a" * (HEAD_MOST_BYTES * 4)
        try:
            line.sendall(told)
            for _ in range(2_000):
                line.sendall(b"z" * 4_096)
            line.sendall(b"\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert answer(line)[0] in (431, 400, 0)
    tally["streams"] = tally.get("streams", 0) + 1


GARBAGE = (
    b"\0" * 1_000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500), b"\r\n" * 1_000,
    b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nhost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nxxxxxx",
    b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
    b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n", b"GET /healthz HTTP/1.1\r\n x: y\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade, http2-settings\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe\r\n\r\n",
    b"GET /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: " + b"Bearer " * 5_000 + b"\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET //etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /v1/jobs/%2e%2e%2f%00%ff HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /%zz HTTP/1.1\r\nhost: x\r\n\r\n",
)  # fmt: skip


@pytest.mark.parametrize("index", range(len(GARBAGE)))
def test_what_is_no_request(server: Served, index: int, tally: dict[str, int]) -> None:
    with closing(opened(server)) as line:
        line.sendall(GARBAGE[index])
        line.shutdown(socket.SHUT_WR)
        status, body = answer(line)
        assert status < 500, body
        assert b"Traceback" not in body
    tally["streams"] = tally.get("streams", 0) + 1


def test_pipelined_requests_are_each_answered(server: Served) -> None:
    with closing(opened(server)) as line:
        line.sendall(head(server, "GET", "/healthz") * 50)
        told = b""
        while told.count(b"HTTP/1.1 200") < 50:
            part = line.recv(65_536)
            assert part, told[-300:]
            told += part


def test_a_reader_that_never_reads(server: Served, tally: dict[str, int]) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            line = stack.enter_context(closing(opened(server)))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            line.sendall(head(server, "GET", "/openapi.json") * 20)
        assert ask(server, "GET", "/healthz")[0] == 200
    tally["streams"] = tally.get("streams", 0) + 50


def test_many_held_polls(server: Served, tally: dict[str, int]) -> None:
    job = server.known["job_id"]
    _, body = ask(server, "GET", f"/v1/jobs/{job}")
    state = json.loads(body)["state"]
    with ExitStack() as stack:
        for _ in range(300):
            line = stack.enter_context(closing(opened(server)))
            path = f"/v1/jobs/{job}?wait_ms=20000&unless_state={state}"
            line.sendall(head(server, "GET", path))
        assert ask(server, "GET", "/healthz")[0] == 200
    tally["streams"] = tally.get("streams", 0) + 300


def test_a_packed_body_is_not_unpacked(server: Served) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    with closing(opened(server)) as line:
        line.sendall(
            head(
                server, "POST", "/v1/jobs", "content-type: application/json",
                "content-encoding: gzip", f"content-length: {len(bomb)}", "connection: close",
            )
        )  # fmt: skip
        line.sendall(bomb)
        assert answer(line)[0] in (400, 422)
