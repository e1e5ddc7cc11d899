"""Names, labels and messages that would forge log lines, move a terminal's cursor, break Prometheus'
text or be taken for a formula by a spreadsheet."""

from __future__ import annotations

import csv
import io
import logging
import re

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.hostile.nasty import TEXTS
from westward.agent.__main__ import JsonLines
from westward.cli.client import _harmless
from westward.control.story import printable
from westward.logs import OneLine, harmless
from westward.settlement.cells import csv_text

EVIL = (
    "\x1b]0;owned\x07", "\x1b[2J\x1b[H", "a\nERROR westward.server forged", "a\r\nb", "\x9b31m", "\b\b\b",
    "\u202egnp.exe", "a\u2028b", "\x00", "\ud800", "\x7f", *TEXTS,
)  # fmt: skip
MOVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("westward.x", logging.INFO, "x.py", 1, message, arguments, None)


@pytest.mark.parametrize("text", EVIL)
def test_a_log_line_is_one_line(text: str) -> None:
    line = OneLine("%(levelname)s %(message)s").format(record("job %s ended", text))
    assert "\n" not in line
    assert MOVES.search(line) is None
    line.encode()
    line = JsonLines().format(record("job %s ended", text))
    assert "\n" not in line
    assert MOVES.search(line) is None
    line.encode()


def test_a_traceback_keeps_its_lines_and_nothing_else() -> None:
    try:
        raise ValueError("\x1b[31m\nTraceback forged")
    except ValueError as error:
        one = record("broken")
        one.exc_info = (type(error), error, error.__traceback__)
    told = OneLine("%(message)s").format(one)
    assert told.startswith("broken\nTraceback (most recent call last)")
    assert MOVES.search(told) is None


@pytest.mark.parametrize("text", EVIL)
def test_what_the_cli_shows_moves_no_cursor(text: str) -> None:
    answer = {"name": text, "list": [text, {text: text}], "number": 1, "none": None}
    shown = _harmless(answer)
    assert MOVES.search(repr_of(shown)) is None
    assert (shown["number"], shown["none"]) == (1, None)
    assert MOVES.search(printable(text)) is None


def repr_of(value: object) -> str:
    if isinstance(value, dict):
        return "".join(repr_of(key) + repr_of(one) for key, one in value.items())
    if isinstance(value, list):
        return "".join(map(repr_of, value))
    return str(value)


def test_plain_texts_stay_as_they_are() -> None:
    for text in ("train", "名前 – ünï", "two\nlines\tand a tab", "😀"):
        assert harmless(text) == text


@pytest.mark.parametrize("text", [one for one in EVIL if max(one, default="") < "\ud800"])
def test_prometheus_labels_cannot_break_out(text: str) -> None:
    registry = CollectorRegistry()
    Gauge("westward_test", "x", ["site"], registry=registry).labels(text).set(1)
    told = generate_latest(registry).decode()
    (family,) = text_string_to_metric_families(told)
    assert {one.labels["site"] for one in family.samples} == {text}
    assert sum(line.startswith("westward_test") for line in told.split("\n")) == 1


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"]
)
def test_no_cell_is_a_formula(text: str) -> None:
    told = csv_text(("name", "number"), [{"name": text, "number": -5}])
    (_, row) = csv.reader(io.StringIO(told))
    assert row == [f"'{text}", "-5"]
