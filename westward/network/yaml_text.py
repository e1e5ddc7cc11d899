"""The YAML of a network folder: a top mapping, without aliases, of few levels."""

from __future__ import annotations

import yaml

from westward.model.faults import Fault

DEEPEST = 40
"""Levels that are read: far more than any file here has. PyYAML's time grows with the square of the
brackets that are open, so a text that opens more is not read to its end."""


def top_mapping(
    file: str, text: str, faults: list[Fault], *, begin: str, levels: str
) -> yaml.MappingNode | None:
    """The text's top mapping; None (and a fault) if there is none. ``begin`` and ``levels``: what to
    do where it is no mapping, or nested too deeply."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            row = None if event.start_mark is None else event.start_mark.line + 1
            if isinstance(event, yaml.AliasEvent):
                faults.append(Fault(file, row, "", "an alias (*name)", "Write the text out."))
                return None
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEEPEST:
                faults.append(Fault(file, row, "", "nested too deeply", levels))
                return None
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        row = None if mark is None else mark.line + 1
        remedy = "Check indentation, colons and quotes in this line and above."
        faults.append(Fault(file, row, "", f"not valid YAML ({error.problem})", remedy))
        return None
    except yaml.YAMLError as error:
        problem = f"not valid YAML ({' '.join(str(error).split())})"
        faults.append(Fault(file, None, "", problem, "Save the file as plain UTF-8 text."))
        return None
    if not isinstance(node, yaml.MappingNode):
        faults.append(Fault(file, None, "", "does not hold lines of key: value", begin))
        return None
    return node
