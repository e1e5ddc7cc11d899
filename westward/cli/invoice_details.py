"""The file of ``westward invoice --details``: addresses, number, how to pay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from westward.model.faults import Fault, InputFaults

if TYPE_CHECKING:
    from westward.settlement.page import Details

_LINES = {"issuer": 6, "recipient": 5, "payment": 6, "notes": 6}
"""Lines that there is room for."""
_TEXTS = ("number", "due")
_LONGEST = 120


def read_details(path: Path) -> Details:
    """Raises InputFaults with everything that is wrong."""
    import yaml

    from westward.settlement.page import Details

    file = str(path)
    try:
        found: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise InputFaults([Fault(file, None, "", problem, "Name another file.")]) from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        problem = f"is no YAML ({' '.join(str(error).split())})"
        raise InputFaults([Fault(file, None, "", problem, "Write issuer: [line, line].")]) from None
    if not isinstance(found, dict):
        fault = Fault(file, None, "", "is no mapping", "Write issuer: [line, line].")
        raise InputFaults([fault])
    faults: list[Fault] = []
    given: dict[str, Any] = {}
    for key, value in found.items():
        if key in _LINES:
            given[key] = _lines(file, key, value, faults)
        elif key in _TEXTS:
            given[key] = "".join(_lines(file, key, [value], faults))
        else:
            remedy = f"There are: {', '.join((*_LINES, *_TEXTS))}."
            faults.append(Fault(file, None, str(key), "is no field of an invoice", remedy))
    if faults:
        raise InputFaults(faults)
    return Details(**given)


def _lines(file: str, key: str, value: object, faults: list[Fault]) -> tuple[str, ...]:
    lines = value if isinstance(value, list) else [value]
    texts = tuple(str(line) for line in lines)
    if any(isinstance(line, list | dict) for line in lines):
        faults.append(Fault(file, None, key, "is no list of lines", "Write texts in a list."))
    if len(texts) > _LINES.get(key, 1):
        problem = f"has {len(texts)} lines"
        faults.append(Fault(file, None, key, problem, f"There is room for {_LINES.get(key, 1)}."))
    if any(len(text) > _LONGEST for text in texts):
        remedy = f"A line has at most {_LONGEST} characters."
        faults.append(Fault(file, None, key, "is too long", remedy))
    return texts
