"""A voucher file's YAML, key by key, with the line of every value and every fault gathered.

Composed, not loaded: no Python objects from tags, a key given twice is told, anchors are refused
(they let a small file expand without bound).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import yaml

from westward.model.faults import Fault
from westward.network.schemas import suggest
from westward.network.yaml_text import top_mapping

_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"
_NULL = "tag:yaml.org,2002:null"


@dataclass(slots=True)
class Node:
    """One value of the file. ``path`` is the way to it, such as ``tiers[1].percent``."""

    file: str
    path: str
    row: int
    raw: yaml.Node
    faults: list[Fault] = field(repr=False)

    def fault(self, problem: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, self.row, self.path, problem, remedy))

    @property
    def blank(self) -> bool:
        return isinstance(self.raw, yaml.ScalarNode) and self.raw.tag == _NULL

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.raw, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self.raw, yaml.SequenceNode)

    def text(self) -> str | None:
        """The scalar as written, one line; None (and a fault) for a mapping or list."""
        if not isinstance(self.raw, yaml.ScalarNode):
            self.fault("must be a single value", "Write it as one line of text.")
            return None
        return "" if self.blank else " ".join(str(self.raw.value).split())

    def boolean(self) -> bool:
        if self.raw.tag == _BOOL and str(self.raw.value).lower() in ("true", "false"):
            return str(self.raw.value).lower() == "true"
        self.fault("must be true or false", "Write true or false, without quotes.")
        return False

    def plain(self) -> bool | int | str | None:
        """A fact's value: true or false, a whole number, or text. None for anything else."""
        if not isinstance(self.raw, yaml.ScalarNode) or self.blank:
            self.fault("must be a value", "Write true, false, a whole number or a word.")
            return None
        if self.raw.tag == _BOOL:
            return self.boolean()
        text = str(self.raw.value).strip()
        if self.raw.tag == _INT and text.lstrip("-").isdigit() and len(text) < 16:
            return int(text)
        return text

    def items(self) -> Iterator[Node]:
        """A list's items; a fault and nothing for anything else. A blank is an empty list."""
        if isinstance(self.raw, yaml.SequenceNode):
            for at, item in enumerate(self.raw.value):
                row = item.start_mark.line + 1
                yield Node(self.file, f"{self.path}[{at}]", row, item, self.faults)
        elif not self.blank:
            self.fault("must be a list", "Write [a, b], or one item a line behind a hyphen.")

    def words(self, known: Sequence[str] = ()) -> tuple[str, ...]:
        """A list of texts, each once and (where ``known`` says) each known."""
        found: list[str] = []
        for item in self.items():
            word = item.text()
            if not word:
                if word == "":
                    item.fault("is empty", "Remove it.")
            elif word in found:
                item.fault(f"{word!r} stands twice", "Keep one.")
            elif known and word not in known:
                item.fault(f"{word!r} is not known here", suggest(word, known, "words"))
            else:
                found.append(word)
        return tuple(found)

    def entries(self, known: Sequence[str] = ()) -> dict[str, Node]:
        """A mapping's values by key; unknown keys and keys given twice are faults."""
        if not isinstance(self.raw, yaml.MappingNode):
            self.fault("must hold lines of key: value", "Indent each key by two.")
            return {}
        found: dict[str, Node] = {}
        for key_node, value in self.raw.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            path = f"{self.path}.{key}" if self.path else key
            node = Node(self.file, path, key_node.start_mark.line + 1, value, self.faults)
            if key in found:
                node.fault(f"given twice (first in line {found[key].row})", "Keep one.")
            elif known and key not in known:
                node.fault("unknown key", suggest(key, known, "keys"))
            else:
                found[key] = node
        return found


def read_tree(file: str, text: str, faults: list[Fault]) -> Node | None:
    """The file's top mapping; None (and a fault) if there is none."""
    node = top_mapping(
        file,
        text,
        faults,
        begin="Begin with name: and the rule's name.",
        levels="A rule has four levels.",
    )
    return None if node is None else Node(file, "", 1, node, faults)
