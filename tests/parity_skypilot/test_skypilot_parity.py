"""Every file of the corpus, read by Westward and by SkyPilot (its recorded answers)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from compare import ask_westward, differs
from differences import DIFFERENCES, HERE, markdown

from westward.formats.job_fields import (
    OPTION_FIELDS,
    RESOURCE_FIELDS,
    RESOURCE_REFUSED,
    TASK_FIELDS,
    TASK_REFUSED,
)
from westward.formats.yaml_nodes import Value, read_tree

FILES = sorted((HERE / "corpus").glob("*.yaml"), key=lambda path: path.stem)
RECORDED = json.loads((HERE / "recorded.json").read_text(encoding="utf-8"))
NAMED = {case: one.name for one in DIFFERENCES for case in one.cases}


def test_the_recording_is_of_this_corpus() -> None:
    assert sorted(RECORDED["answers"]) == [path.stem for path in FILES]
    assert len(FILES) >= 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_read_the_file_alike_or_the_difference_has_a_name(path: Path) -> None:
    difference = differs(RECORDED["answers"][path.stem], ask_westward(path))
    if difference is None:
        assert path.stem not in NAMED, f"no difference any more: {NAMED[path.stem]}"
    else:
        assert path.stem in NAMED, difference


def test_the_corpus_has_every_field() -> None:
    task: set[str] = set()
    resources: set[str] = set()
    inside: set[str] = set()
    for path in FILES:
        tree, _ = read_tree(path.read_text(encoding="utf-8"), path.name)
        if tree is None:
            continue
        task |= {entry.key for entry in tree.entries}
        own = tree.get("resources")
        for entry in own.value.entries if own is not None else ():
            resources.add(entry.key)
            for item in entry.value.items:
                inside |= _keys(item)
    assert task >= {*TASK_FIELDS, *TASK_REFUSED}
    assert resources >= {*RESOURCE_FIELDS, *RESOURCE_REFUSED}
    assert inside >= set(OPTION_FIELDS) - {"max_hourly_cost"}


def _keys(value: Value) -> set[str]:
    return {entry.key for entry in value.entries}


def test_the_page_lists_the_differences() -> None:
    page = HERE.parents[1] / "docs" / "skypilot-parity.md"
    assert page.read_text(encoding="utf-8") == markdown()
