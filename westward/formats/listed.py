"""Lists and names inside the text of one term."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names of jobs, sites, places, accounts, purposes and data sets."""
NAME_FORM = (
    "letters, digits, dot, dash and underscore, at most 63, beginning with a letter or digit"
)


def parts(text: str) -> list[str]:
    """What stands between the commas. ValueError: nothing does, somewhere."""
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise ValueError(f"{text!r} has an empty part")
    return found


def known_form(text: str, what: str) -> str:
    """The name of ``what``, without the blanks around it. ValueError: it has not the form."""
    name = text.strip()
    if NAME.fullmatch(name) is None:
        raise ValueError(f"{text!r} is not the name of {what}: {NAME_FORM}")
    return name
