"""Lists and names inside the text of one term."""

from __future__ import annotations

import re


def parts(text: str) -> list[str]:
    """What stands between the commas. ValueError: nothing does, somewhere."""
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise ValueError(f"{text!r} has an empty part")
    return found


def known_form(text: str, what: str, pattern: re.Pattern[str], form: str) -> str:
    """The name, if it has the form that ``pattern`` tests and ``form`` describes; else ValueError."""
    name = text.strip()
    if pattern.fullmatch(name) is None:
        raise ValueError(f"{text!r} is not the name of {what}: {form}")
    return name
