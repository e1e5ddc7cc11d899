"""Recorded workloads and facts that tests read in place; they are never copied into the project."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def shared_trace(name: str) -> Path:
    """``name`` below traces/ of the shared folder, or an error that says where it was sought."""
    return _shared("recorded workload", "traces", name)


def shared_facts(name: str) -> Path:
    """``name`` below facts/ of the shared folder, or an error that says where it was sought."""
    return _shared("fact file", "facts", name)


def _shared(what: str, folder: str, name: str) -> Path:
    root = Path(os.environ.get("WESTWARD_SHARED", PROJECT / ".." / "shared"))
    path = (root / folder / name).resolve()
    if not path.is_file():
        raise FileNotFoundError(
            f"{what} {name} not found at {path}: set WESTWARD_SHARED to the folder "
            f"that holds {folder}/ (default: ../shared beside the project)"
        )
    return path
