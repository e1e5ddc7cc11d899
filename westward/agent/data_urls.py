"""Folders by URL, through fsspec: file: and s3:. Called in threads: each call may take long.

Keys and endpoints are the site's own, from its agent's environment (for S3: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, or a profile); the catalogue holds none.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SCHEMES = ("file", "s3")


class Unreadable(Exception):
    """The folder cannot be read or written from here now; the text says why."""


class Absent(Unreadable):
    """It can be reached, and the file is not in it."""


class Folder:
    """A folder below ``url``. Raises Unreadable if this site cannot open such a URL at all."""

    def __init__(self, url: str):
        scheme = urlsplit(url).scheme
        if scheme not in SCHEMES or "::" in url:
            raise Unreadable(f"{url}: only {' and '.join(SCHEMES)} URLs are read")
        try:
            import fsspec

            made = fsspec.core.url_to_fs(url, **_options(scheme))
        except ImportError as error:
            raise Unreadable(
                f"{url}: this site has no library for {scheme}: pip install 'westward[{scheme}]'"
            ) from error
        except Exception as error:
            raise Unreadable(f"{url}: {_text(error)}") from error
        self._fs: Any = made[0]
        self._base = str(made[1]).rstrip("/")
        self.url = url.rstrip("/")
        self.local = scheme == "file"

    def read(self, path: str, offset: int, most: int) -> bytes:
        """Up to ``most`` bytes from ``offset``. Raises Unreadable, Absent."""
        try:
            if self.local:  # fsspec would stat and seek from the end; a plain read is enough
                with open(self._at(path), "rb") as file:
                    file.seek(offset)
                    return file.read(most)
            return bytes(self._fs.cat_file(self._at(path), start=offset, end=offset + most))
        except FileNotFoundError as error:
            raise Absent(f"{self.url}/{path} is not there") from error
        except Exception as error:
            raise Unreadable(f"{self.url}/{path}: {_text(error)}") from error

    def size(self, path: str) -> int | None:
        """None: it is not there. Raises Unreadable."""
        try:
            self._fs.invalidate_cache()
            return int(self._fs.info(self._at(path))["size"])
        except FileNotFoundError:
            return None
        except Exception as error:
            raise Unreadable(f"{self.url}/{path}: {_text(error)}") from error

    def write(self, path: str, source: Path) -> None:
        """The file appears whole or not at all. Raises Unreadable."""
        at = self._at(path)
        try:
            if not self.local:
                self._fs.put_file(str(source), at)
                return
            os.makedirs(os.path.dirname(at), exist_ok=True)
            coming = f"{at}.{uuid.uuid4().hex[:8]}.coming"
            self._fs.put_file(str(source), coming)
            os.replace(coming, at)
        except Exception as error:
            raise Unreadable(f"{self.url}/{path}: {_text(error)}") from error

    def walk(self) -> list[tuple[str, int]]:
        """(path, bytes) of every file below. Raises Unreadable."""
        try:
            self._fs.invalidate_cache()
            found = self._fs.find(self._base, detail=True)
        except Exception as error:
            raise Unreadable(f"{self.url}: {_text(error)}") from error
        cut = len(self._base) + 1
        return sorted((str(path)[cut:], int(info["size"])) for path, info in found.items())

    def _at(self, path: str) -> str:
        return f"{self._base}/{path}"


def _options(scheme: str) -> dict[str, Any]:
    """Checksums in headers only where S3 demands them: older and smaller servers lack them."""
    if scheme != "s3":
        return {}
    when = "when_required"
    config = {"request_checksum_calculation": when, "response_checksum_validation": when}
    return {"config_kwargs": config}


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
