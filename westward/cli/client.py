"""Requests to a Westward server, over the standard library: it starts in a tenth of the time of
an asynchronous client, and a command sends one request at a time.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

from westward.cli.fail import Failure
from westward.cli.server_option import find_server, find_token
from westward.logs import harmless
from westward.model.faults import Fault, InputFaults

Json = dict[str, Any]

TIMEOUT_S = 30.0
"""Of one request; the server holds a long poll for 20 s at most."""
RECONNECT_S = 60.0
"""How long a command that follows a job waits for a server that has gone away."""
RECONNECT_EVERY_S = 0.5
LONG_POLL_MS = 10_000
_REMEDIES = {
    "job-id-taken": " Choose another id, or leave --id out.",
    "not-the-owner": " Choose another name, or give its --owner.",
    "token-expired": " 'westward login' fetches another, where the server has log-in.",
    "token-missing": " Set it, or write the token to ~/.config/westward/token (mode 600). Where the "
    "server has log-in, 'westward login' does.",
    "token-unknown": " Look at WESTWARD_TOKEN; 'westward whoami' tells whom it stands for.",
    "project-missing": " Name it with --project or WESTWARD_PROJECT.",
    "scope-missing": " 'westward whoami' tells what yours may be used for.",
    "role-missing": " 'westward whoami' lists your roles.",
}
"""By the server's code."""
_LISTS = {
    "job": "jobs", "array": "jobs", "site": "sites", "pool": "sites", "data set": "data list",
    "programme": "programme list", "organisation": "org list", "project": "project list",
}  # fmt: skip
"""Which command lists what there is none of."""


class Unreachable(Failure):
    """Nothing answered. ``Failure`` for whoever does not try again. ``unsent``: nor heard it."""

    unsent = False


class Refused(Failure):
    """The server said no. ``reason``: its stable code."""

    def __init__(self, line: str, reason: str) -> None:
        super().__init__(line)
        self.reason = reason


class Client:
    """One server, or one of several that share a store (URLs with commas between): the first at
    which anything listens. Every method raises Failure with the server's reason and what to do."""

    def __init__(self, server: str | None, token: str | None = None) -> None:
        self._urls = find_server(server).split(",")
        self._take(self._urls[0])
        self.token = token if token is not None else find_token()
        """The operator's, for requests that are only the operator's; else the user's, if any."""

    def _take(self, url: str) -> None:
        self.url = url
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError:
            raise Failure(f"{self.url!r} has no valid port. Write http://HOST:PORT") from None
        if not parts.hostname:
            raise Failure(f"{self.url!r} names no host. Write http://HOST:PORT")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = port
        self._prefix = parts.path

    def get(self, path: str, **query: object) -> Json:
        given = {name: value for name, value in query.items() if value is not None}
        return self._request("GET", f"{path}?{urlencode(given)}" if given else path, None)

    def get_patiently(self, path: str, **query: object) -> Json:
        """``get`` that outlives a restart of the server of up to ``RECONNECT_S``."""
        end = time.monotonic() + RECONNECT_S
        told = False
        while True:
            try:
                return self.get(path, **query)
            except Unreachable:
                if time.monotonic() > end:
                    raise
                if not told:
                    print(f"{self.url} does not answer; trying again ...", file=sys.stderr)
                    told = True
                time.sleep(RECONNECT_EVERY_S)

    def post(self, path: str, body: Json | None = None) -> Json:
        return self._request("POST", path, body or {})

    def job(self, job: str, *, arrays: bool = False) -> str:
        """The id of a job (or, with ``arrays``, of an array) given by id or by name; ``name.3`` is
        a job of an array. Raises Failure for none or several."""
        if job.startswith("job_"):
            return job
        found = self.get("/v1/jobs", limit=1000, newest_first="true", arrays_once="true")["jobs"]
        stem, _, index = job.rpartition(".")
        ids = []
        for one in found:
            array = one["array"]
            if array is None and one["name"] == job:
                ids.append(one["job_id"])
            elif array is not None and array["name"] == job:
                if not arrays:
                    last = f"{job}.{array['count'] - 1}"
                    raise Failure(f"{job!r} is an array: name one of its jobs, {job}.0 to {last}.")
                ids.append(array["array_id"])
            elif (
                array is not None
                and array["name"] == stem
                and index.isdecimal()
                and int(index) < array["count"]
            ):
                ids.append(f"{array['array_id']}.{int(index)}")
        if not ids:
            raise Failure(f"there is no job {job!r}. 'westward jobs' lists them.")
        if len(ids) > 1:
            raise Failure(
                f"{len(ids)} jobs are named {job!r}, the newest is {ids[0]}. Give the id."
            )
        return str(ids[0])

    def _request(self, method: str, path: str, body: Json | None) -> Json:
        """A server at which nothing listens was told nothing: the next is asked. One that breaks
        off may have done what it was asked, so only a question is put to another."""
        for left in reversed(range(len(self._urls))):
            try:
                return self._once(method, path, body)
            except Unreachable as error:
                at = self._urls.index(self.url) + 1
                self._take(self._urls[at % len(self._urls)])
                if not left or not (method == "GET" or error.unsent):
                    raise
        raise AssertionError("there is always one server")

    def _once(self, method: str, path: str, body: Json | None) -> Json:
        connection = self._connect()
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(
                method,
                self._prefix + path,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
            )
            answer = connection.getresponse()
            status, data = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            what = getattr(error, "strerror", None) or str(error) or type(error).__name__
            told = Unreachable(
                f"no Westward server answers at {self.url} ({what}). Start one with "
                "'westward up', or name another with --server URL."
            )
            told.unsent = isinstance(error, ConnectionRefusedError | socket.gaierror)
            raise told from None
        finally:
            connection.close()
        return self._decode(status, data)

    def _connect(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        ca = os.environ.get("WESTWARD_CA")
        try:
            context = ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise Failure(f"WESTWARD_CA {ca!r} cannot be used: {error}. Name a PEM file.") from None
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=TIMEOUT_S, context=context
        )

    def _decode(self, status: int, data: bytes) -> Json:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise Failure(
                f"{self.url} answers (HTTP {status}), but not as a Westward server. "
                "Look at the URL."
            )
        document = cast(Json, _harmless(document))
        if status < 400:
            return document
        faults = document.get("faults") or []
        if faults:
            raise InputFaults([Fault(**fault) for fault in faults])
        message = str(document.get("message") or document.get("detail") or f"HTTP {status}")
        remedy = _REMEDIES.get(str(document.get("code")), "")
        for kind, command in _LISTS.items():
            if message.startswith(f"there is no {kind} "):
                remedy = f" 'westward {command}' lists them."
        raise Refused(f"{message.rstrip('.')}.{remedy}", str(document.get("code")))


def _harmless(value: Any) -> Any:
    """As JSON, with texts that cannot move a terminal's cursor: they come from jobs' owners, sites
    and whoever else the server heard. (A job's output is bytes, base64: it stays as it is.)"""
    if isinstance(value, str):
        return value if value.isprintable() else harmless(value)
    if isinstance(value, list):
        return [_harmless(one) for one in value]
    if isinstance(value, dict):
        return {harmless(key): _harmless(one) for key, one in value.items()}
    return value


def quoted(name: str) -> str:
    """As one part of a path."""
    return quote(name, safe="")


def job_path(job_id: str, *rest: str) -> str:
    """``/v1/jobs/ID/…``, quoted."""
    return "/".join(["/v1/jobs", quoted(job_id), *rest])


def price_text(micros: float, digits: int) -> str:
    return f"{micros / 1_000_000:.{digits}f}"


def total_of(bills: Sequence[Json], key: str) -> float | None:
    """Sum of one figure over the runs' bills; None if one is unknown."""
    values = [bill[key] for bill in bills]
    return None if any(value is None for value in values) else sum(values)
