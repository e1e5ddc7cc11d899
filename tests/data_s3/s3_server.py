"""A real S3 server (rclone's) on this machine, behind a line that counts and can be slow."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

KEY, SECRET = "westward-test-access-key", "westward-test-secret-key-0123456789"
STEP_BYTES = 64 * 1024


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class S3Server:
    """Buckets are the folders below ``folder``. ``url`` is the counted line to it."""

    folder: Path
    bytes_per_s: float = float("inf")
    port: int = field(default_factory=_free_port)
    host: str = "127.0.0.1"
    """Where the counted line listens."""
    sent: int = 0
    """Bytes that have gone from the server to its clients, headers too."""

    def __post_init__(self) -> None:
        tool = shutil.which("rclone", path=str(Path(sys.executable).parent))
        assert tool is not None, "no rclone beside this Python: run make test-data"
        self.folder.mkdir(exist_ok=True)
        self.server = subprocess.Popen(
            [tool, "serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--vfs-cache-mode", "off",
             "--addr", f"127.0.0.1:{self.port}", "--dir-cache-time", "0s", "--etag-hash", "",
             str(self.folder)],  # with ETags every part read would hash the whole file
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._until_open()
        self.line = socket.create_server((self.host, 0))
        self.url = f"http://{self.host}:{self.line.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _until_open(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < end, "the S3 server does not listen"
                assert self.server.poll() is None, "the S3 server ended"
                time.sleep(0.05)

    def environment(self) -> dict[str, str]:
        """What a site's agent (or a user) needs to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.line.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                client.close()
                continue
            for source, sink, counted in ((client, server, False), (server, client, True)):
                arguments = (source, sink, counted)
                threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(STEP_BYTES):
                sink.sendall(data)
                if counted:
                    self.sent += len(data)
                    time.sleep(len(data) / self.bytes_per_s)
        except OSError:
            pass
        for end in (source, sink):
            end.close()

    def close(self) -> None:
        self.line.close()
        self.server.kill()
        self.server.wait()
