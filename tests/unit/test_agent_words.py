"""What an agent says of an end is taken by the server, whatever a job had in its file names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from westward.agent.words import TOLD_MOST_CHARS, told
from westward.model.wire import RunEnded
from westward.server.limits import TEXT_MOST_CHARS, check_message


def test_short_words_stay_as_they_are() -> None:
    assert (
        told("rank 0 ended with 1: \u00e9\U0001f600\n") == "rank 0 ended with 1: \u00e9\U0001f600\n"
    )


def test_long_ones_keep_both_ends() -> None:
    said = told("workdir " + "a" * 10_000 + ": no such folder at this site")
    assert said.startswith("workdir aaa")
    assert said.endswith(": no such folder at this site")
    assert len(said) <= TOLD_MOST_CHARS < TEXT_MOST_CHARS


@given(st.text(st.characters(exclude_categories=()), max_size=3_000))
def test_every_text_is_taken(text: str) -> None:
    said = told(text)
    check_message(RunEnded(token=1, outcome="failed", exit_code=None, detail=said, readings=()))
    assert "\0" not in said
    said.encode()
