"""The least of a node: registers with a real API server and runs the pods bound to it as processes.

    python kubelet.py CONFIG.json       (several nodes in one process)

What it does as a kubelet does: variables and $(NAME) in arguments, emptyDir volumes (in a mount
namespace of the pod's own), exit codes, the termination message, TERM to the first process and
KILL to all after the grace, activeDeadlineSeconds, readiness by exec, logs over HTTPS with follow and times, restart
policy Never. What it does not: images (the machine's own programs run), process and network
namespaces, cgroups (a memory limit is a limit of each process's data). Standard library only.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOOK_S = 0.2
BEAT_S = 3.0
OFFER = {"cpu": "16", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": "8"}
MARK = "WESTWARD_TEST_POD"
ENTER = """
set -e
[ "$1" = 0 ] || ulimit -d "$1"
shift
mount -t tmpfs none /mnt
while [ "$1" != -- ]; do mkdir -p "$1"; mount --bind "$2" "$1"; shift 2; done
shift
exec "$@"
"""


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def expand(text: str, env: dict[str, str]) -> str:
    """$(NAME) becomes the variable's value, $$ a single $; anything else stays."""

    def one(found: re.Match[str]) -> str:
        if found.group() == "$$":
            return "$"
        return env.get(found.group(1), found.group())

    return re.sub(r"\$\$|\$\(([^)]*)\)", one, text)


def size_kib(text: str) -> int:
    for suffix, kib in (("Ki", 1), ("Mi", 1 << 10), ("Gi", 1 << 20)):
        if text.endswith(suffix):
            return int(text.removesuffix(suffix)) * kib
    return int(text) >> 10


class Container:
    """The processes of one pod, its output with the time of each line, and how it ended."""

    def __init__(self, pod: dict[str, Any], folder: Path):
        self.uid = pod["metadata"]["uid"]
        self.spec = pod["spec"]["containers"][0]
        self.folder = folder / self.uid
        self.lines: list[tuple[str, bytes]] = []
        self.changed = threading.Condition()
        self.whole = False
        self.begun = now()
        self.begun_at = time.monotonic()
        self.ended: str | None = None
        self.killed_at: float | None = None
        self.reason = ""
        self.ready = True
        self.probe_at = time.monotonic()
        self.process = self._start(pod)
        threading.Thread(target=self._pump, daemon=True).start()

    def _start(self, pod: dict[str, Any]) -> subprocess.Popen[bytes]:
        env: dict[str, str] = {}
        for variable in self.spec.get("env") or []:
            env[variable["name"]] = expand(variable.get("value", ""), env)
        mounts = []
        for mount in self.spec.get("volumeMounts") or []:
            (self.folder / mount["name"]).mkdir(parents=True, exist_ok=True)
            mounts += [mount["mountPath"], str(self.folder / mount["name"])]
        limits = (self.spec.get("resources") or {}).get("limits") or {}
        words = [*(self.spec.get("command") or []), *(self.spec.get("args") or [])]
        return subprocess.Popen(
            [
                "unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c", ENTER, "enter",
                str(size_kib(limits.get("memory", "0"))), *mounts, "--",
                *(expand(word, env) for word in words),
            ],
            env={"PATH": os.environ["PATH"], **env, MARK: self.uid},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def _pump(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            stamp = f"{time.time_ns() % 10**9:09}".rstrip("0") or "0"
            with self.changed:
                self.lines.append((f"{now()[:-1]}.{stamp}Z", line))
                self.changed.notify_all()
        with self.changed:
            self.whole = True
            self.changed.notify_all()

    def all_pids(self) -> list[int]:
        mark = f"{MARK}={self.uid}".encode()
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found.append(int(entry))
        return found

    def end(self, grace_s: float, reason: str) -> None:
        """TERM to the first process, now; KILL to all when the grace is over."""
        if self.killed_at is None:
            self.reason = reason
            self.killed_at = time.monotonic() + grace_s
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGTERM)
        self.killed_at = min(self.killed_at, time.monotonic() + grace_s)
        if time.monotonic() >= self.killed_at:
            self.kill()

    def kill(self) -> None:
        for pid in self.all_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def probe(self) -> None:
        """Ready is what the container's own readinessProbe (exec) says, if it has one."""
        probe = self.spec.get("readinessProbe")
        if probe is None or self.ended is not None or time.monotonic() < self.probe_at:
            return
        self.probe_at = time.monotonic() + probe["periodSeconds"]
        inside = ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", "--"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            ran = subprocess.run(
                inside + probe["exec"]["command"], check=False, capture_output=True, timeout=5
            )
            self.ready = ran.returncode == 0

    def is_over(self) -> bool:
        """Once the first process is gone, no other may stay."""
        if self.ended is None and self.process.poll() is not None:
            self.kill()
            if self.all_pids():
                return False
            self.ended = now()
        return self.ended is not None

    def state(self) -> dict[str, Any]:
        code = self.process.returncode
        code = 128 - code if code < 0 else code
        message = ""
        path = Path(self.spec.get("terminationMessagePath", "/dev/termination-log"))
        for mount in self.spec.get("volumeMounts") or []:
            if path.is_relative_to(mount["mountPath"]):
                inside = self.folder / mount["name"] / path.relative_to(mount["mountPath"])
                with contextlib.suppress(OSError):
                    message = inside.read_text()[:4096]
        return {
            "exitCode": code, "reason": "Error" if code else "Completed", "message": message,
            "startedAt": self.begun, "finishedAt": self.ended,
        }  # fmt: skip


class Kubelet:
    def __init__(self, config: dict[str, Any]):
        self.config = config
        self.trust = ssl.create_default_context(cafile=config["authority"])
        self.pods: dict[str, Container] = {}
        self.by_name: dict[tuple[str, str], Container] = {}
        self.reported: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            self.config["server"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.config['token']}", "Content-Type": kind},
        )
        with urllib.request.urlopen(request, timeout=10, context=self.trust) as response:
            return json.load(response)

    # -- nodes

    def register(self) -> None:
        for name in self.config["nodes"]:
            labels = {"kubernetes.io/hostname": name, "nvidia.com/gpu.product": "H100"}
            body = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": labels},
            }
            try:
                self.ask("POST", "/api/v1/nodes", body)
            except urllib.error.HTTPError as error:
                if error.code != 409:
                    raise

    def beat(self) -> None:
        for name in self.config["nodes"]:
            ready = {
                "type": "Ready", "status": "True", "reason": "Running", "message": "",
                "lastHeartbeatTime": now(), "lastTransitionTime": now(),
            }  # fmt: skip
            status = {
                "capacity": OFFER,
                "allocatable": OFFER,
                "conditions": [ready],
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": self.config["port"]}},
            }
            self.ask("PATCH", f"/api/v1/nodes/{name}/status", {"status": status})

    # -- pods

    def look(self) -> None:
        pods = self.ask("GET", "/api/v1/pods")["items"]
        mine = [pod for pod in pods if pod["spec"].get("nodeName") in self.config["nodes"]]
        for pod in mine:
            self.step(pod)
        there = {pod["metadata"]["uid"] for pod in mine}
        for uid in set(self.pods) - there:  # deleted by force
            self.pods[uid].kill()
            if self.pods[uid].is_over():
                self.pods.pop(uid)

    def step(self, pod: dict[str, Any]) -> None:
        meta, phase = pod["metadata"], pod["status"].get("phase")
        container = self.pods.get(meta["uid"])
        going = meta.get("deletionTimestamp") is not None
        if container is None:
            if going:
                self.delete(pod)
            elif phase == "Pending":
                container = Container(pod, Path(self.config["folder"]))
                self.pods[meta["uid"]] = container
                self.by_name[meta["namespace"], meta["name"]] = container
                self.report(pod, container)
            return
        deadline_s = pod["spec"].get("activeDeadlineSeconds")
        if going:
            container.end(float(meta.get("deletionGracePeriodSeconds", 30)), "")
        elif deadline_s is not None and time.monotonic() > container.begun_at + deadline_s:
            grace_s = pod["spec"].get("terminationGracePeriodSeconds", 30)
            container.end(float(grace_s), "DeadlineExceeded")
        container.is_over()
        container.probe()
        self.report(pod, container)
        if going and container.ended is not None:
            self.delete(pod)

    def report(self, pod: dict[str, Any], container: Container) -> None:
        uid = pod["metadata"]["uid"]
        over = container.ended is not None
        news = f"{over} {container.ready}"
        if self.reported.get(uid) == news:
            return
        ready = container.ready and not over
        state = (
            {"terminated": container.state()}
            if over
            else {"running": {"startedAt": container.begun}}
        )
        phase = "Running"
        if over:
            phase = "Failed" if state["terminated"]["exitCode"] or container.reason else "Succeeded"
        status = {
            "phase": phase,
            "startTime": container.begun,
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [
                {
                    "name": container.spec["name"], "image": container.spec["image"],
                    "imageID": "", "ready": ready, "restartCount": 0, "state": state,
                }
            ],
        }  # fmt: skip
        if container.reason:
            status["reason"] = container.reason
        self.ask("PATCH", self.path(pod) + "/status", {"status": status})
        self.reported[uid] = news

    def delete(self, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        self.ask("DELETE", self.path(pod), body)
        self.pods.pop(uid, None)
        self.reported.pop(uid, None)

    def path(self, pod: dict[str, Any]) -> str:
        meta = pod["metadata"]
        return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"


def log_server(kubelet: Kubelet) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_words: Any) -> None:
            pass

        def do_GET(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            _, what, namespace, pod, *_ = [*url.path.split("/"), "", "", ""]
            container = kubelet.by_name.get((namespace, pod))
            if what != "containerLogs" or container is None:
                self.send_error(404)
                return
            query = dict(urllib.parse.parse_qsl(url.query))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            with contextlib.suppress(OSError):
                self.lines(container, query)

        def lines(self, container: Container, query: dict[str, str]) -> None:
            since = ""
            if "sinceSeconds" in query:
                at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(
                    seconds=int(query["sinceSeconds"])
                )
                since = at.strftime("%Y-%m-%dT%H:%M:%S")
            sent = 0
            while True:
                with container.changed:
                    if sent == len(container.lines):
                        if container.whole or query.get("follow") != "true":
                            return
                        container.changed.wait(1)
                    fresh = container.lines[sent:]
                sent += len(fresh)
                for stamp, line in fresh:
                    if stamp >= since:
                        before = f"{stamp} " if query.get("timestamps") == "true" else ""
                        self.wfile.write(before.encode() + line)
                self.wfile.flush()

    server = ThreadingHTTPServer(("127.0.0.1", kubelet.config["port"]), Handler)
    server.daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(kubelet.config["certificate"], kubelet.config["key"])
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    return server


def main() -> None:
    kubelet = Kubelet(json.loads(Path(sys.argv[1]).read_text()))
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    threading.Thread(target=log_server(kubelet).serve_forever, daemon=True).start()
    beat_at, registered = 0.0, False
    try:
        while True:
            try:
                if not registered:
                    kubelet.register()
                    registered = True
                if time.monotonic() >= beat_at:
                    kubelet.beat()
                    beat_at = time.monotonic() + BEAT_S
                kubelet.look()
            except OSError as error:  # the server is away, or changed its mind: the next look tells
                print(now(), error, file=sys.stderr, flush=True)
            time.sleep(LOOK_S)
    finally:
        for container in kubelet.pods.values():
            container.kill()


if __name__ == "__main__":
    main()
