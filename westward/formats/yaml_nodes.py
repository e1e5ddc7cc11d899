"""YAML text → a tree of values that know their line, so that every fault can name its row.

PyYAML's own loader forgets where a value stood and silently keeps the last of two equal keys.
We compose the node graph only (no Python objects are built from tags) and walk it ourselves.

Where PyYAML comes with libyaml, that reads the characters (five times as fast; reading is most of
what a submission costs), and PyYAML puts its events together as it does its own. Whatever libyaml
refuses, and texts with marks that the two are known to read differently, PyYAML reads alone: its
word is the one that SkyPilot goes by, and its are the messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from westward.model.faults import Fault

MAX_JOB_TEXT_CHARS = 1_000_000
"""A job file longer than this is refused; scripts belong in the work folder."""
MAX_YAML_DEPTH = 40
MAX_YAML_VALUES = 20_000
"""Counted after aliases are followed, so that a small text cannot stand for a huge tree."""

Kind = Literal["mapping", "sequence", "text", "integer", "number", "boolean", "null", "other"]

KIND_TEXT: dict[Kind, str] = {
    "mapping": "a mapping",
    "sequence": "a list",
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "empty",
    "other": "a date or another special YAML value",
}
_TAG_KINDS: dict[str, Kind] = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:int": "integer",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:null": "null",
}
_ADVICE = "Correct the YAML; `python -c 'import yaml,sys; yaml.safe_load(sys.stdin)'` reads it too."


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``key: value`` of a mapping; ``line`` is the key's."""

    key: str
    line: int
    value: Value


@dataclass(frozen=True, slots=True)
class Value:
    """One YAML value. ``raw`` is a scalar's text as written, without quotes."""

    kind: Kind
    line: int
    raw: str = ""
    entries: tuple[Entry, ...] = ()
    items: tuple[Value, ...] = ()

    def get(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key == key), None)

    @property
    def kind_text(self) -> str:
        return KIND_TEXT[self.kind]


class _Walk:
    """Turns nodes into values, gathering faults; holds the counts that bound the work."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.seen = 0
        self.too_big = False

    def fault(self, line: int, field: str, problem: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, line, field, problem, remedy))

    def value(self, node: yaml.Node, path: str, depth: int) -> Value:
        line = node.start_mark.line + 1
        self.seen += 1
        if depth > MAX_YAML_DEPTH or self.seen > MAX_YAML_VALUES:
            if not self.too_big:
                self.too_big = True
                self.fault(
                    line,
                    path.split(".")[0],
                    f"the file nests deeper than {MAX_YAML_DEPTH} levels or holds more than "
                    f"{MAX_YAML_VALUES} values",
                    "Write the job flat; an alias (*name) must not lie inside what it names.",
                )
            return Value("other", line)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            items = tuple(
                self.value(item, f"{path}[{index}]", depth + 1)
                for index, item in enumerate(node.value)
            )
            return Value("sequence", line, items=items)
        return Value(_TAG_KINDS.get(node.tag, "other"), line, raw=str(node.value))

    def mapping(self, node: yaml.MappingNode, path: str, depth: int) -> Value:
        entries: list[Entry] = []
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.fault(line, path, "a key is not plain text", "Use a word as the key.")
                continue
            key = str(key_node.value)
            field = f"{path}.{key}" if path else key
            if key_node.tag == "tag:yaml.org,2002:merge":
                self.fault(
                    line,
                    field,
                    "the YAML merge key << is not read",
                    "Write the merged keys out; a job file should show all it asks for.",
                )
                continue
            if key in first_line:
                self.fault(
                    line,
                    field,
                    f"the key {key!r} stands twice; it is already on line {first_line[key]}",
                    "Keep one of them.",
                )
                continue
            first_line[key] = line
            entries.append(Entry(key, line, self.value(value_node, field, depth + 1)))
        return Value("mapping", node.start_mark.line + 1, entries=tuple(entries))


def read_tree(text: str, file: str) -> tuple[Value | None, list[Fault]]:
    """The single document in ``text``, with every structural fault found; None if unreadable."""
    nodes = _compose(text, file)
    if isinstance(nodes, Fault):
        return None, [nodes]
    if len(nodes) > 1:
        line = nodes[1].start_mark.line + 1 if nodes[1] is not None else None
        problem = f"the file holds {len(nodes)} YAML documents; one job is read here"
        remedy = "Put each into its own file; `westward submit` takes several in one."
        return None, [Fault(file, line, "", problem, remedy)]
    return _walk(nodes[0], file)


def read_trees(text: str, file: str) -> tuple[list[Value], list[Fault]]:
    """Every document in ``text``, blank ones left out, with all structural faults. Rows count
    from the beginning of the text."""
    nodes = _compose(text, file)
    if isinstance(nodes, Fault):
        return [], [nodes]
    trees: list[Value] = []
    faults: list[Fault] = []
    for node in nodes:
        if node is None or _is_blank(node):
            continue
        tree, found = _walk(node, file)
        faults += found
        if tree is not None:
            trees.append(tree)
    return trees, faults


def _loader_by_libyaml() -> Any:
    """libyaml's events, PyYAML's composer: its own loader for C recurses without a limit. None
    where PyYAML has no libyaml."""
    if not yaml.__with_libyaml__:
        return None
    from yaml._yaml import CParser
    from yaml.composer import Composer
    from yaml.resolver import Resolver

    class Loader(Composer, CParser, Resolver):
        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            Composer.__init__(self)
            Resolver.__init__(self)

    return Loader


_BY_LIBYAML = _loader_by_libyaml()
_READ_APART = re.compile(
    r"[^\n\x20-\x7e\xa1-\ud7ff\ue000-\ufefe]|\?|^%|^(?:---|\.\.\.)(?!\n)", re.MULTILINE
)
"""Tabs, other line ends, question marks (`?` keys), directives, and what follows a document's mark
on its line: read by PyYAML alone."""


def _nodes(text: str) -> list[yaml.Node | None]:
    """Raises as PyYAML does."""
    if _BY_LIBYAML is not None and _READ_APART.search(text) is None:
        try:
            return list(yaml.compose_all(text, Loader=_BY_LIBYAML))
        except (yaml.YAMLError, ValueError):
            pass  # told below
    return list(yaml.compose_all(text, Loader=yaml.SafeLoader))


def _compose(text: str, file: str) -> list[yaml.Node | None] | Fault:
    if len(text) > MAX_JOB_TEXT_CHARS:
        problem = f"the file has {len(text)} characters; at most {MAX_JOB_TEXT_CHARS} are read"
        return Fault(file, None, "", problem, "Move data and scripts to the workdir.")
    try:
        nodes = _nodes(text)
    except RecursionError:
        problem = "the YAML is nested too deeply to read"
        return Fault(file, None, "", problem, "Write the job flat.")
    except yaml.MarkedYAMLError as error:
        return _syntax_fault(error, text, file)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"the character U+{_code_point(error.character):04X} is not allowed in YAML"
        return Fault(file, line, "", problem, "Remove it; save the file as plain UTF-8.")
    if not nodes or nodes[0] is None or _is_blank(nodes[0]):
        problem = "the file holds no job"
        return Fault(file, None, "", problem, "Write at least `run:` with a command.")
    return nodes


def _walk(node: yaml.Node | None, file: str) -> tuple[Value | None, list[Fault]]:
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1 if node is not None else None
        problem = "the file is not a mapping of fields"
        remedy = "Begin with `name:`, `resources:` and `run:`."
        return None, [Fault(file, line, "", problem, remedy)]
    walk = _Walk(file)
    tree = walk.value(node, "", 0)
    return (None if walk.too_big else tree), walk.faults


def _code_point(character: object) -> int:
    """PyYAML hands over an int for text and a str or bytes in other places."""
    return character if isinstance(character, int) else ord(str(character)[:1] or "\0")


def _is_blank(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _syntax_fault(error: yaml.MarkedYAMLError, text: str, file: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    row = mark.line + 1 if mark is not None else None
    lines = text.splitlines()
    if row is not None and row <= len(lines):
        indent = lines[row - 1][: len(lines[row - 1]) - len(lines[row - 1].lstrip())]
        if "\t" in indent:
            return Fault(
                file,
                row,
                "",
                "the line is indented with a tab, which YAML forbids",
                "Indent with spaces.",
            )
    detail = (error.problem or error.context or "it cannot be read").replace("\n", " ")
    return Fault(file, row, "", f"not valid YAML: {detail}", _ADVICE)
