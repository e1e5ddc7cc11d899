"""Recorded workloads that tests read in place; they are never copied into the project."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def shared_trace(name: str) -> Path:
    """``name`` below traces/ of the shared folder, or an error that says where it was sought."""
    root = Path(os.environ.get("WESTWARD_SHARED", PROJECT / ".." / "shared"))
    path = (root / "traces" / name).resolve()
    if not path.is_file():
        raise FileNotFoundError(
            f"recorded workload {name} not found at {path}: set WESTWARD_SHARED to the folder "
            "that holds traces/ (default: ../shared beside the project)"
        )
    return path
