"""Starts the provider, talks to it as a browser does, and stops it."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).parents[2]
WITHIN_S = 30


def certificate(folder: Path) -> None:
    """``cert.pem`` of 127.0.0.1, signed by itself, and ``key.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass
class RunningProvider:
    process: subprocess.Popen[bytes]
    issuer: str
    folder: Path

    def say(self, person: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        """Who is logged in there, and how it is to be bad; what it was asked for so far."""
        request = urllib.request.Request(
            f"{self.issuer}/control", json.dumps({"person": person, **more}).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with self._opener().open(request, timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)["asked"]
            return told

    def visit(self, url: str) -> str:
        """Where a browser that goes there is sent."""
        try:
            with self._opener().open(url, timeout=10) as answer:
                status, location = answer.status, ""
        except urllib.error.HTTPError as answer:
            status, location = answer.code, str(answer.headers["Location"])
        assert status in (302, 303), f"no redirect but {status}"
        return location

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def _opener(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Stay())


def start_provider(folder: Path, redirect_uri: str) -> RunningProvider:
    folder.mkdir(parents=True, exist_ok=True)
    certificate(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.oidc_up.provider", str(folder), redirect_uri], cwd=ROOT
    )
    end = time.monotonic() + WITHIN_S
    while not (folder / "provider.json").exists():
        assert process.poll() is None, "the provider did not start"
        assert time.monotonic() < end, "the provider is slow to start"
        time.sleep(0.05)
    issuer = json.loads((folder / "provider.json").read_text())["issuer"]
    return RunningProvider(process, issuer, folder)
