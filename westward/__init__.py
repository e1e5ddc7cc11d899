"""Westward: one network of many independent compute sites.

See docs/architecture.md for the road every job takes. ``Client`` and ``AsyncClient`` are the SDK;
they are imported when first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing's; every run's supervisor waits for this module (13 ms of typing)
if TYPE_CHECKING:
    from westward.sdk.aio import AsyncClient
    from westward.sdk.errors import ApiError, Unreachable, WaitTimeout
    from westward.sdk.sync import Client

__version__ = "0.1.0"
__all__ = ["ApiError", "AsyncClient", "Client", "Unreachable", "WaitTimeout", "__version__"]

_LAZY = {
    "ApiError": "westward.sdk.errors",
    "AsyncClient": "westward.sdk.aio",
    "Client": "westward.sdk.sync",
    "Unreachable": "westward.sdk.errors",
    "WaitTimeout": "westward.sdk.errors",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'westward' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
