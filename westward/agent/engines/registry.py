"""Engines by name. Modules are loaded when asked for: a site needs only its own engine's libraries."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from westward.agent.engines.base import Engine

MODULES = {
    "local": "westward.agent.engines.local",
    "slurm": "westward.agent.engines.slurm",
    "ray": "westward.agent.engines.ray_jobs",
    "kubernetes": "westward.agent.engines.kubernetes_jobs",
}


def open_engine(name: str, state: Path, site: str, options: Mapping[str, str]) -> Engine:
    """The engine ``name`` with its files in ``state``. ValueError: no such engine, wrong options."""
    module = MODULES.get(name)
    if module is None:
        raise ValueError(f"no engine {name!r}: known are {', '.join(MODULES)}")
    return cast(Engine, importlib.import_module(module).from_options(state, site, options))
