"""Reading an engine's options: texts by name, as an operator wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def known(options: Mapping[str, str], names: Iterable[str]) -> None:
    """ValueError names every option that is not one of ``names``."""
    names = tuple(names)
    strange = sorted(set(options) - set(names))
    if strange:
        raise ValueError(
            f"unknown engine option {', '.join(strange)}: this engine takes {', '.join(names)}"
        )


def whole_numbers(options: Mapping[str, str], names: Iterable[str]) -> dict[str, int]:
    """The options as integers of at least 0; ValueError names every fault."""
    known(options, names)
    faults = [
        f"engine option {name}: {text!r} is not a whole number"
        for name, text in options.items()
        if not text.isdecimal()
    ]
    if faults:
        raise ValueError("; ".join(faults))
    return {name: int(text) for name, text in options.items()}
