"""Reads the files of a network folder into memory, safely, and nothing else.

What may go wrong with files as files ends here: missing, unknown, too large, not text, or a
symbolic link that leads out of the folder.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from westward.model.faults import Fault, InputFaults
from westward.network.schemas import FACT_TABLES, REQUIRED_TABLES, TABLES, suggest

FILE_BYTES_MAX = 8 * 2**20
"""A table of 100,000 rows fits; larger networks need Parquet (decision 0004)."""
FOLDER_FILES_MAX = 256
MANIFEST = "network.yaml"
_KNOWN_TOP = (
    MANIFEST,
    *(f"{table}.csv" for table in TABLES),
    *(f"{table}.facts.csv" for table in FACT_TABLES),
)


@dataclass(frozen=True, slots=True)
class FolderText:
    """The folder's files as text, by relative name, and their digest."""

    files: dict[str, str]
    digest: str


def read_files(folder: Path, faults: list[Fault]) -> FolderText:
    """All files the format knows. Adds to ``faults``; raises InputFaults if there is no folder.

    Markdown files and hidden files may lie beside the data and are not read.
    """
    if not os.path.isdir(folder):  # also of a name too long to ask for
        remedy = "Give the folder that holds network.yaml."
        what = "is a file, not a folder" if os.path.exists(folder) else "does not exist"
        raise InputFaults([Fault(str(folder), None, "", f"the network folder {what}", remedy)])
    names = _list(folder, faults)
    texts: dict[str, str] = {}
    sha = hashlib.sha256()
    for name in names:
        raw = _bytes(folder, name, faults)
        if raw is None:
            continue
        sha.update(f"{name}\0{len(raw)}\0".encode())
        sha.update(raw)
        text = _text(name, raw, faults)
        if text is not None:
            texts[name] = text
    for needed in (MANIFEST, *(f"{table}.csv" for table in REQUIRED_TABLES)):
        if needed not in names:
            remedy = "Add it; a table without rows still needs its header line."
            if needed == MANIFEST:
                remedy = "Add it with name, label, schema_version, currency and series_origin."
            faults.append(Fault(needed, None, "", "the file is missing", remedy))
    return FolderText(texts, sha.hexdigest())


def _list(folder: Path, faults: list[Fault]) -> list[str]:
    found: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower().endswith(".md"):
            continue
        if (path.name == "vouchers" and path.is_dir()) or path.name == "entities.yaml":
            continue  # voucher_files, entity_files: money does not change what the network is
        if path.name == "series" and path.is_dir():
            found += [
                f"series/{inner.name}"
                for inner in sorted(path.iterdir())
                if not inner.name.startswith(".")
            ]
        elif path.name in _KNOWN_TOP:
            found.append(path.name)
        else:
            remedy = suggest(path.name, (*_KNOWN_TOP, "series"), "files") + " Else move it away."
            faults.append(Fault(path.name, None, "", "not a file of a network folder", remedy))
    if len(found) > FOLDER_FILES_MAX:
        problem = f"{len(found)} files; the limit FOLDER_FILES_MAX is {FOLDER_FILES_MAX}"
        raise InputFaults([Fault("series", None, "", problem, "Split the network.")])
    return sorted(found)


def _bytes(folder: Path, name: str, faults: list[Fault]) -> bytes | None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        problem = "a symbolic link that leads out of the network folder"
        faults.append(Fault(name, None, "", problem, "Copy the file into the folder."))
        return None
    if not path.is_file():
        faults.append(Fault(name, None, "", "not a regular file", "Replace it by a file."))
        return None
    size = path.stat().st_size
    if size > FILE_BYTES_MAX:
        problem = f"{size} bytes; the limit FILE_BYTES_MAX is {FILE_BYTES_MAX}"
        faults.append(Fault(name, None, "", problem, "Split the network."))
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        faults.append(Fault(name, None, "", problem, "Check the file's permissions."))
        return None


def _text(name: str, raw: bytes, faults: list[Fault]) -> str | None:
    if b"\0" in raw:
        row = raw[: raw.index(b"\0")].count(b"\n") + 1
        problem = "a NUL byte: this is not a text file"
        faults.append(Fault(name, row, "", problem, "Save it as UTF-8 text."))
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw[: error.start].count(b"\n") + 1
        problem = f"byte 0x{raw[error.start]:02x} is not valid UTF-8"
        faults.append(Fault(name, row, "", problem, "Save the file as UTF-8."))
        return None
