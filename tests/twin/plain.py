"""A plan holds Python's own values only: numpy's would break JSON, comparison by type and pickles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum

from westward.model.plan import Placements


def foreign(value: object, path: str = "") -> Iterator[str]:
    """Where in ``value`` something lies that is not a plain number, text, enum or dataclass."""
    if isinstance(value, Enum) or value is None:
        return
    if is_dataclass(value):
        for field in fields(value):
            yield from foreign(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, tuple | Placements):
        for at, one in enumerate(value):
            yield from foreign(one, f"{path}[{at}]")
    elif type(value) not in (int, float, str, bool):
        yield f"{path}: {type(value).__module__}.{type(value).__name__}"
