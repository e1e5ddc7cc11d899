"""What engines cannot do is said in one table, and nowhere claimed otherwise."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conformance.engines.engine_harness import HARNESSES
from westward.agent.engines.cannot import ABILITIES, CANNOT, as_markdown
from westward.agent.engines.registry import MODULES

ROOT = Path(__file__).resolve().parents[3]


def test_every_engine_has_a_harness_and_a_column() -> None:
    assert set(CANNOT) == set(MODULES) == set(HARNESSES)
    for engine, missing in CANNOT.items():
        assert set(missing) <= set(ABILITIES), engine


def test_what_the_suite_asks_for_is_in_the_table() -> None:
    asked = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        asked |= set(re.findall(r'site\.needs\("([a-z-]+)"\)', path.read_text()))
    assert asked <= set(ABILITIES)
    assert asked


def test_the_document_prints_the_table() -> None:
    page = (ROOT / "docs" / "engines.md").read_text()
    assert as_markdown() in page, "run: python -m westward.agent.engines.cannot"
