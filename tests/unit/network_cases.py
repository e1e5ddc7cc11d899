"""Makes the wrong network folders of ``tests/broken/networks`` from a small right one.

A case is ``case.yaml``: ``about`` (one sentence), ``edits`` (a list, each with one of the verbs
below) and ``expect`` (the exact lines a user sees, one a fault).

- ``replace: FILE`` with ``old`` and ``new``: the text ``old`` occurs once and becomes ``new``
- ``append: FILE`` with ``text``
- ``write: FILE`` with ``text``, or ``hex`` for bytes that are no text
- ``delete: FILE``
- ``grow: FILE`` with ``size_bytes``: filled up with spaces
- ``symlink: FILE`` with ``to``
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BROKEN = Path(__file__).parents[1] / "broken"
SMALL_NETWORK = BROKEN / "_small-network"


@dataclass(frozen=True)
class Case:
    name: str
    about: str
    edits: list[dict[str, Any]]
    expect: list[str]

    def build(self, folder: Path) -> Path:
        """Writes the wrong folder under ``folder`` and returns it."""
        target = folder / "net"
        shutil.copytree(SMALL_NETWORK, target)
        for edit in self.edits:
            apply_edit(target, edit)
        return target


def load_cases() -> list[Case]:
    cases = []
    for path in sorted((BROKEN / "networks").glob("*/case.yaml")):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        cases.append(Case(path.parent.name, data["about"], data["edits"], data["expect"]))
    return cases


def apply_edit(folder: Path, edit: dict[str, Any]) -> None:
    [verb] = set(edit) - {"old", "new", "text", "hex", "size_bytes", "to"}
    path = folder / edit[verb]
    match verb:
        case "replace":
            text = path.read_text(encoding="utf-8")
            assert text.count(edit["old"]) == 1, f"{edit['old']!r} is not there exactly once"
            path.write_text(text.replace(edit["old"], edit["new"]), encoding="utf-8")
        case "append":
            path.write_text(path.read_text(encoding="utf-8") + edit["text"], encoding="utf-8")
        case "write":
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes.fromhex(edit["hex"]) if "hex" in edit else edit["text"].encode())
        case "delete":
            path.unlink()
        case "grow":
            raw = path.read_bytes()
            path.write_bytes(raw + b" " * (edit["size_bytes"] - len(raw)))
        case "symlink":
            path.unlink(missing_ok=True)
            path.symlink_to(edit["to"])
        case _:
            raise AssertionError(f"unknown verb {verb!r}")


def fingerprint(folder: Path) -> str:
    """Hash over every path and byte below ``folder``: equal means nothing was written."""
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        sha.update(str(path.relative_to(folder)).encode())
        if path.is_file() and not path.is_symlink():
            sha.update(path.read_bytes())
    return sha.hexdigest()
