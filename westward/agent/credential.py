"""The site's credential on disk: made here, shown to the server, followed by another in time.

The file is written before a secret is first told to the server, so that a crash or a lost answer
at any moment leaves a file that works: the announcement is repeated with the same digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

CREDENTIAL_FILE = "credential.json"


def new_secret() -> str:
    """256 bits from the system."""
    return "wsc_" + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What the server knows of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """``following``: the next secret, told to the server perhaps, but never shown yet."""

    secret: str
    since_ms: int
    """Wall clock of the site: only the age at which another is made depends on it."""
    following: str | None = None

    def due(self, rotate_ms: int, now_ms: int) -> bool:
        """Whether it is time for another; also if the clock has gone back behind ``since_ms``."""
        return self.following is not None or not 0 <= now_ms - self.since_ms < rotate_ms

    def with_following(self) -> Credential:
        return self if self.following is not None else replace(self, following=new_secret())

    def followed(self, now_ms: int) -> Credential:
        assert self.following is not None
        return Credential(secret=self.following, since_ms=now_ms)


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def save(folder: Path, credential: Credential) -> None:
    """Durable, readable by this user alone."""
    write_private(
        folder / CREDENTIAL_FILE,
        json.dumps(
            {
                "secret": credential.secret,
                "since_ms": credential.since_ms,
                "following": credential.following,
            }
        ),
    )


def load(folder: Path) -> Credential | None:
    """None: there is none. Raises ValueError for a file that is not whole."""
    path = folder / CREDENTIAL_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        found = json.loads(text)
        return Credential(
            secret=str(found["secret"]),
            since_ms=int(found["since_ms"]),
            following=None if found["following"] is None else str(found["following"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); join again with a new invitation") from None


def forget(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        (folder / CREDENTIAL_FILE).unlink()


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` in one durable step, mode 0600."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
