"""What the tests of joining need: a server with options, sites as processes, a CA, a proxy."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.live.harness import flat_network, until

COMMAND = (sys.executable, "-m", "westward.cli.main")
Json = dict[str, Any]


@dataclass
class Grid:
    """One server and sites that join it. Everything lies below ``folder``."""

    folder: Path
    options: tuple[str, ...] = ()
    lease: str = "6s"
    port: str = "0"
    server: subprocess.Popen[bytes] | None = None
    url: str = ""
    agents: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = flat_network(self.folder / "network")
        self.data = self.folder / "data"

    # -- the server

    def start_server(self) -> None:
        announced = self.data / "server.json"
        announced.unlink(missing_ok=True)
        self.server = self._spawn(
            "server", "-m", "westward.server", "--network", str(self.network),
            "--data", str(self.data), "--port", self.port, "--lease", self.lease,
            "--margin", "300ms", *self.options,
        )  # fmt: skip

        def listens() -> bool:
            assert self.server is not None
            assert self.server.poll() is None, self.log("server")
            return announced.exists()

        until(listens, "the server listens")
        self.url = json.loads(announced.read_text())["url"]
        self.port = self.url.rpartition(":")[2]

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    # -- sites

    def state(self, site: str) -> Path:
        return self.folder / f"site-{site}"

    def invite(self, site: str, *options: str) -> str:
        answer = json.loads(self.cli("site", "invite", site, *options, "--json"))
        return str(answer["token"])

    def join(self, site: str, token: str, *options: str, url: str = "", code: int = 0) -> str:
        return self.cli(
            "site", "join", url or self.url, "--token", token, "--no-start",
            "--state", str(self.state(site)), "--option", "grace_ms=500",
            "--option", "reading_ms=500", *options, code=code,
        )  # fmt: skip

    def join_lab(self, site: str = "lab", *options: str) -> None:
        """A site that the folder does not have, with everything stated, and its agent."""
        terms = ("--price", "0.01", "--power-w", "50", "--pue", "1.2")
        self.join(site, self.invite(site, "--zone", "coast", *options), *terms)
        self.run_site(site)

    def run_site(self, site: str, **environment: str) -> None:
        """As the operator does: ``westward site run``. Waits until a pool of it is open."""
        self.start_site(site, **environment)
        until(lambda: self.site_status(site) == "open", f"{site} is open")

    def start_site(self, site: str, **environment: str) -> None:
        command = ("-m", "westward.cli.main", "site", "run", "--state", str(self.state(site)))
        self.agents[site] = self._spawn(site, *command, **environment)

    def run_folder_agent(self, site: str) -> None:
        """As ``westward up`` does: no credential, from this machine."""
        self.agents[site] = self._spawn(
            site, "-m", "westward.agent", "--server", self.url, "--site", site,
            "--state", str(self.state(site)), "--option", "grace_ms=500",
        )  # fmt: skip
        until(lambda: self.site_status(site) == "open", f"{site} is open")

    def edit(self, site: str, *changes: tuple[str, str]) -> None:
        """Replace texts in the site's own file; each must be there once."""
        file = self.state(site) / "site.yaml"
        text = file.read_text()
        for old, new in changes:
            assert text.count(old) == 1, (old, text)
            text = text.replace(old, new)
        file.write_text(text)

    def apply(self, site: str, code: int = 0) -> str:
        return self.cli("site", "apply", "--state", str(self.state(site)), code=code)

    def show(self, site: str) -> Json:
        return dict(json.loads(self.cli("site", "show", site, "--json")))

    def site_status(self, site: str) -> str:
        return str(self.show(site)["status"])

    def secret(self, site: str) -> str:
        text = (self.state(site) / "credential.json").read_text()
        return str(json.loads(text)["secret"])

    # -- talking to the server

    def cli(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """A command's output (stdout, and stderr after it)."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("WESTWARD_")}
        done = subprocess.run(
            [*COMMAND, *arguments],
            env={**clean, "WESTWARD_DATA": str(self.data), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def call(
        self, method: str, path: str, body: object = None, secret: str | None = None
    ) -> tuple[int, Json]:
        headers = {"content-type": "application/json"}
        if secret is not None:
            headers["authorization"] = f"Bearer {secret}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def get(self, path: str) -> Json:
        status, answer = self.call("GET", path)
        assert status == 200, answer
        return answer

    def submit(self, task: str) -> str:
        status, answer = self.call("POST", "/v1/jobs", {"task": task})
        assert status == 201, answer
        return str(answer["job_id"])

    def job(self, job_id: str) -> Json:
        return self.get(f"/v1/jobs/{job_id}")

    def until_state(self, job_id: str, *states: str) -> Json:
        return until(
            lambda: job if (job := self.job(job_id))["state"] in states else None,
            f"{job_id} is {states}",
        )

    # -- processes

    def _spawn(self, log: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("WESTWARD_")}
        with open(self.folder / f"{log}.log", "ab") as out:
            return subprocess.Popen(
                [sys.executable, *command], stdout=out, stderr=out, env={**clean, **environment}
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def kill_agent(self, site: str) -> None:
        agent = self.agents.pop(site)
        agent.kill()
        agent.wait()

    def close(self) -> None:
        """Agents end; the supervisors of what still runs end it with its lease."""
        for agent in self.agents.values():
            agent.kill()
            agent.wait()
        if self.server is not None and self.server.poll() is None:
            self.kill_server()


def make_authority(folder: Path, name: str, *addresses: str) -> tuple[Path, Path, Path]:
    """A CA and a certificate for ``name``, 127.0.0.1 and ``addresses``: CA, certificate, key."""
    tool = shutil.which("openssl")
    assert tool, "these tests make certificates with openssl. As root: apt-get install openssl"
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    cert, key, request = folder / "cert.pem", folder / "key.pem", folder / "request.pem"
    extra = folder / "extra.cnf"
    names = [f"DNS:{name}", *(f"IP:{one}" for one in ("127.0.0.1", *addresses))]
    extra.write_text(f"subjectAltName={','.join(names)}\n")
    elliptic = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        [
            "req",
            "-x509",
            *elliptic,
            "-keyout",
            ca_key,
            "-out",
            ca,
            "-subj",
            "/CN=test CA",
            "-days",
            "2",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ],
        ["req", *elliptic, "-keyout", key, "-out", request, "-subj", f"/CN={name}"],
        [
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            ca,
            "-CAkey",
            ca_key,
            "-CAcreateserial",
            "-out",
            cert,
            "-days",
            "2",
            "-extfile",
            extra,
        ],
    ):
        subprocess.run([tool, *map(str, command)], check=True, capture_output=True)
    return ca, cert, key


class ConnectProxy:
    """An HTTP proxy that tunnels (CONNECT) to the names it knows, and counts."""

    def __init__(self, known: dict[str, tuple[str, int]]) -> None:
        self.known = known
        self.tunnels: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Every tunnel breaks."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                part = client.recv(4096)
                if not part:
                    return
                head += part
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            where = self.known.get(target) if method == "CONNECT" else None
            if where is None:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
                return
            self.tunnels.append(target)
            with socket.create_connection(where) as server:
                self._open |= {client, server}
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()
                self._open -= {client, server}


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
