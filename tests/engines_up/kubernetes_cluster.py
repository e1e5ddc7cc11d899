"""A Kubernetes control plane on loopback: etcd, API server, scheduler, controller manager, all real;
and nodes by ``kubelet.py``, the one part that is ours."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.engines_up.ports import free_block

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
UP_S = 600
DOWN_S = 5
NODE_LOST_S = 12
"""A node that does not report for this long counts as lost (Kubernetes' own default is 40)."""


def kubernetes_programs() -> Path:
    """The folder with the built programs. RuntimeError says how to build them."""
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    found = Path(os.environ.get("WESTWARD_KUBERNETES", f"{cache}/westward/kubernetes"))
    if not (found / "ready").exists():
        raise RuntimeError(
            f"no Kubernetes in {found}: `make test-k8s` builds it from Debian's source package"
        )
    if shutil.which("etcd") is None:
        raise RuntimeError("no etcd: as root, apt-get install etcd-server")
    return found


class KubernetesCluster:
    """One control plane and ``nodes`` of 16 cores, 64 GiB and 8 GPUs each (pretended)."""

    def __init__(self, nodes: tuple[str, ...] = ("node-a", "node-b")):
        self.folder = Path(tempfile.mkdtemp(prefix="wkube-", dir="/tmp"))
        self.nodes = nodes
        self.base = free_block(6)
        self.token = secrets.token_hex(16)
        self.server = f"https://127.0.0.1:{self.base}"
        self.kubeconfig = self.folder / "kubeconfig"
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    # -- up and down

    def start(self) -> None:
        programs = kubernetes_programs()
        self._make_keys()
        self._write_kubeconfig()
        etcd = f"http://127.0.0.1:{self.base + 1}"
        peer = f"http://127.0.0.1:{self.base + 2}"
        self._run(
            "etcd", "etcd", "--data-dir", "etcd", "--unsafe-no-fsync",
            "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}",
        )  # fmt: skip
        self.start_server()
        common = ("--kubeconfig", str(self.kubeconfig), "--bind-address=127.0.0.1", "--port=0",
                  "--leader-elect=false")  # fmt: skip
        self._run("scheduler", str(programs / "kube-scheduler"), *common,
                  f"--secure-port={self.base + 3}")  # fmt: skip
        self._run(
            "controllers", str(programs / "kube-controller-manager"), *common,
            f"--secure-port={self.base + 4}", "--service-account-private-key-file=accounts.key",
            f"--node-monitor-grace-period={NODE_LOST_S}s", "--node-monitor-period=2s",
            "--use-service-account-credentials=false",
        )  # fmt: skip
        self._start_kubelet()
        self._until(lambda: self._ready_nodes() == len(self.nodes), "all nodes are ready")
        self._until(self._has_account, "the namespace has its service account")

    def start_server(self) -> None:
        self._run(
            "apiserver", str(kubernetes_programs() / "kube-apiserver"),
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
            f"--secure-port={self.base}", f"--etcd-servers=http://127.0.0.1:{self.base + 1}",
            "--tls-cert-file=server.crt", "--tls-private-key-file=server.key",
            "--token-auth-file=tokens.csv", "--authorization-mode=RBAC",
            "--service-account-key-file=accounts.key",
            "--service-account-signing-key-file=accounts.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/24", "--endpoint-reconciler-type=none",
            "--kubelet-preferred-address-types=InternalIP",
        )  # fmt: skip
        self._until(self._answers, "the API server answers")

    def stop(self) -> None:
        for name in reversed(list(self.running)):
            self.end(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self, name: str) -> None:
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        process.terminate()
        try:
            process.wait(DOWN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # -- faults

    def freeze(self, name: str = "apiserver") -> None:
        """``name``: apiserver, controllers, kubelet (all nodes are then lost) …"""
        os.kill(self.running[name].pid, signal.SIGSTOP)

    def thaw(self, name: str = "apiserver") -> None:
        os.kill(self.running[name].pid, signal.SIGCONT)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request as administrator."""
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        trust = ssl.create_default_context(cafile=str(self.folder / "authority.crt"))
        with urllib.request.urlopen(request, timeout=10, context=trust) as response:
            return json.load(response)

    # -- parts

    def _run(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _start_kubelet(self) -> None:
        config = {
            "server": self.server,
            "token": self.token,
            "authority": str(self.folder / "authority.crt"),
            "folder": str(self.folder / "pods"),
            "nodes": self.nodes,
            "port": self.base + 5,
            "certificate": str(self.folder / "server.crt"),
            "key": str(self.folder / "server.key"),
        }
        (self.folder / "kubelet.json").write_text(json.dumps(config))
        path = Path(__file__).with_name("kubelet.py")
        self._run("kubelet", sys.executable, str(path), str(self.folder / "kubelet.json"))

    def _make_keys(self) -> None:
        def openssl(*words: str) -> None:
            subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

        new = ("req", "-newkey", "rsa:2048", "-nodes")
        openssl(*new, "-x509", "-days", "2", "-subj", "/CN=westward tests",
                "-keyout", "authority.key", "-out", "authority.crt")  # fmt: skip
        openssl(*new, "-subj", "/CN=apiserver", "-keyout", "server.key", "-out", "server.csr")
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "authority.crt",
                "-CAkey", "authority.key", "-CAcreateserial", "-extfile", "names",
                "-out", "server.crt")  # fmt: skip
        openssl("genrsa", "-out", "accounts.key", "2048")
        (self.folder / "tokens.csv").write_text(f"{self.token},admin,admin,system:masters\n")

    def _write_kubeconfig(self) -> None:
        cluster = {"server": self.server, "certificate-authority": f"{self.folder}/authority.crt"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
            "current-context": "tests",
        }
        self.kubeconfig.write_text(json.dumps(config))
        self.kubeconfig.chmod(0o600)

    def _answers(self) -> bool:
        try:
            self.ask("GET", "/api/v1/namespaces/default")
        except OSError:
            return False
        return True

    def _has_account(self) -> bool:
        try:
            self.ask("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        except OSError:
            return False
        return True

    def _ready_nodes(self) -> int:
        try:
            nodes = self.ask("GET", "/api/v1/nodes")["items"]
        except OSError:
            return 0
        return sum(
            condition["type"] == "Ready" and condition["status"] == "True"
            for node in nodes
            if not (node["spec"].get("taints") or [])
            for condition in node["status"].get("conditions", [])
        )

    def _until(self, true: Any, what: str) -> None:
        end = time.monotonic() + UP_S
        while not true():
            for name, process in self.running.items():
                tail = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
                assert process.poll() is None, f"{name} ended:\n{tail}"
            assert time.monotonic() < end, f"gave up waiting until {what}; see {self.folder}"
            time.sleep(0.2)
