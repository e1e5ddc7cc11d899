"""``NAME=VALUE`` options."""

from __future__ import annotations

from collections.abc import Iterable

from westward.cli.fail import Failure


def read_pairs(
    option: str, given: Iterable[str], form: str, *, alone: str | None = None
) -> dict[str, str]:
    """``A=B`` → A: B; a text without a sign is the value of ``alone``, if that is given. Raises
    Failure with every text that is not of the ``form``."""
    found: dict[str, str] = {}
    strange = []
    for text in given:
        name, equals, value = text.partition("=")
        if text and not equals and alone is not None:
            found[alone] = text
        elif name and equals:
            found[name] = value
        else:
            strange.append(text)
    if strange:
        raise Failure(*(f"{option} {text!r} is not {form}." for text in strange))
    return found
