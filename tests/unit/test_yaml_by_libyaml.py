"""libyaml reads a task as PyYAML does, or does not read it at all."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from westward.formats import yaml_nodes

TESTS = Path(__file__).resolve().parents[1]
PIECES = (
    "- ", ": ", '"', "'", "#", " ", "\n", "  ", "|", ">", "|-", ">+", "&a ", "*a", "!t ", "!!str ",
    "? ", "- - ", "[", "]", "{", "}", ",", "%", "@", "`", "---", "\n---\n", "...", "\n...\n", "\t",
    "~", "null", "0x1", "yes", "=", "<<: ", "a: b", "key:", "é", "\u2028", "\ufeff", "::", " #c",
    '"\\x41"', "\\", "!", "&", "*", "!<x>", "%YAML 1.2\n", "\r\n", "\0", "\x85", "\ud800",
)  # fmt: skip


def texts() -> list[str]:
    files = [
        *sorted((TESTS / "parity_skypilot" / "corpus").glob("*.yaml")),
        *sorted((TESTS / "broken" / "jobs").glob("*.yaml")),
    ]
    found = [one.read_text(encoding="utf-8", errors="surrogateescape") for one in files]
    assert len(found) > 100
    return [one for one in found if len(one) < 2_000]


def seen(text: str) -> object:
    """What a reader of the text gets, or what it is told. Blank documents are left out."""
    trees, faults = yaml_nodes.read_trees(text, "task.yaml")
    return trees, [str(one) for one in faults]


def changed(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(0, 4)):
        at, choice = rng.randint(0, len(text)), rng.random()
        if choice < 0.6:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif choice < 0.8:
            text = text[:at] + text[at + rng.randint(1, 4) :]
        else:
            other = rng.randint(0, len(text))
            text = text[:at] + text[min(at, other) : max(at, other)][:40] + text[at:]
    return text


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="this PyYAML has no libyaml")
def test_both_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, known, by_libyaml = random.Random(5), texts(), 0
    cases = [*known, *(changed(rng.choice(known), rng) for _ in range(1_500))]
    quick = [seen(one) for one in cases]
    by_libyaml = sum(yaml_nodes._READ_APART.search(one) is None for one in cases)
    monkeypatch.setattr(yaml_nodes, "_BY_LIBYAML", None)
    for text, found in zip(cases, quick, strict=True):
        assert found == seen(text), text
    assert by_libyaml > len(cases) / 2  # else nothing was compared


@pytest.mark.parametrize("text", ["[" * 200_000, "{a: " * 100_000, "- " * 200_000])
def test_deep_nesting_is_a_fault(text: str) -> None:
    (fault,) = yaml_nodes.read_trees(text, "task.yaml")[1]
    assert "nested too deeply" in fault.problem
