"""A data set as the catalogue knows it: what its bytes are, where they lie, on which terms.

A data set is a folder of files. What it is, is its manifest: every file's path, size and SHA-256,
by path. The digest of a data set is the SHA-256 of that text, so equal bytes under equal paths
have equal digests wherever they lie. A version never changes; new bytes are a new version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from westward.model.job import TagRule
from westward.model.network import Site

FILES_MOST = 10_000
"""Of one data set; more belong into archives."""
PATH_MOST_CHARS = 1_000
HEX_CHARS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One file; ``path`` counts from the data set's folder and has no ``..``."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A copy at ``site``. ``url`` is the folder, for fsspec (file:, s3:). ``suspect`` says why a
    site found it not to be what the manifest says; it is then offered last."""

    site: str
    url: str
    added_ms: int
    suspect: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedInput:
    """What an output was made from."""

    dataset: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Which run made it, from which texts (SHA-256 of the bash texts) and data."""

    job_id: str
    run_id: str
    site: str
    run_sha256: str
    setup_sha256: str
    inputs: tuple[UsedInput, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One version. Blank stays blank: ``licence`` "" and ``price_micros_per_gb`` None mean that the
    owner did not say; a price of 0 means that reading is free."""

    name: str
    version: int
    owner: str
    size_bytes: int
    digest: str
    files: tuple[DataFile, ...]
    licence: str
    residency: tuple[TagRule, ...]
    price_micros_per_gb: int | None
    created_ms: int
    replicas: tuple[Replica, ...] = ()
    provenance: Provenance | None = None

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


def manifest_text(files: Sequence[DataFile]) -> str:
    """One line a file, by path: ``SHA256  SIZE  PATH``."""
    ordered = sorted(files, key=lambda one: one.path)
    return "".join(f"{one.sha256}  {one.size_bytes}  {one.path}\n" for one in ordered)


def manifest_digest(files: Sequence[DataFile]) -> str:
    return hashlib.sha256(manifest_text(files).encode()).hexdigest()


def file_problems(files: Sequence[DataFile]) -> list[tuple[str, str]]:
    """What keeps these files from being a data set: (path, problem)."""
    found: list[tuple[str, str]] = []
    if not files:
        found.append(("", "a data set has at least one file"))
    if len(files) > FILES_MOST:
        found.append(("", f"{len(files)} files; at most {FILES_MOST} are taken: pack them"))
    seen: set[str] = set()
    for one in sorted(files[: FILES_MOST + 1], key=lambda one: one.path):
        problem = path_problem(one.path)
        if problem is None and one.path in seen:
            problem = "the path stands twice"
        if problem is None and any(up in seen for up in _above(one.path)):
            problem = "a file and a folder have the same path"
        seen.add(one.path)
        if problem is not None:
            found.append((one.path, problem))
        if one.size_bytes < 0:
            found.append((one.path, "a size cannot be negative"))
        if len(one.sha256) != HEX_CHARS or set(one.sha256) - set("0123456789abcdef"):
            found.append((one.path, f"{one.sha256!r} is not a SHA-256 in lower-case hex"))
    return found


def path_problem(path: str) -> str | None:
    """Why ``path`` cannot be a file's within a data set; None if it can."""
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "a path is relative, without . and .. and double slashes"
    if len(path) > PATH_MOST_CHARS or any(ord(char) < 32 for char in path):
        return f"a path has at most {PATH_MOST_CHARS} characters, none of them a control character"
    if not path.isascii() and any("\ud800" <= char <= "\udfff" for char in path):
        return "a path is text (UTF-8)"
    return None


def _above(path: str) -> list[str]:
    """The folders that ``path`` lies in."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def broken_terms(rules: Sequence[TagRule], site: Site) -> tuple[TagRule, ...]:
    """The residency rules that ``site`` does not meet."""
    return tuple(rule for rule in rules if tag_of(site, rule.key) not in rule.values)


def tag_of(site: Site, key: str) -> str | None:
    """The site's tag; its name goes by the key ``site``."""
    return site.name if key == "site" else site.tag(key)


def joint_terms(sets: Sequence[Sequence[TagRule]]) -> tuple[TagRule, ...]:
    """Rules that hold only where all of ``sets`` hold: what is made from data keeps its terms.

    Of a key that stands in several, the values in common; none in common leaves none allowed.
    """
    joined: dict[str, tuple[str, ...]] = {}
    for rules in sets:
        for rule in rules:
            known = joined.get(rule.key)
            values = tuple(dict.fromkeys(rule.values))
            joined[rule.key] = (
                values if known is None else tuple(one for one in known if one in values)
            )
    return tuple(TagRule(key=key, values=values) for key, values in joined.items())
