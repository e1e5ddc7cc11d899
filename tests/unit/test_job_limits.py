"""What the server takes of a job can be kept and run: texts with characters that nothing can hold
and paths that nobody can make are refused with the job, not met by the database or a site."""

from __future__ import annotations

from pathlib import Path

import pytest

from westward.formats.task_set import read_tasks
from westward.model.faults import InputFaults
from westward.model.job import JobSpec
from westward.server.job_limits import PART_MOST_BYTES, PATH_MOST_BYTES, check_job
from westward.store.codec import from_json, to_json

PLACES = {
    "run": 'run: "echo {}"',
    "setup": 'setup: "echo {}"',
    "workdir": 'workdir: "/srv/{}"',
    "envs.A": 'envs: {{A: "{}"}}',
    "resources.labels": 'resources: {{labels: {{mine: "{}"}}}}',
    "resources.labels.westward.outputs": 'resources: {{labels: {{westward.outputs: "{}=x"}}}}',
    "resources.labels.westward.checkpoint": (
        'resources: {{labels: {{westward.checkpoint: "a/{} every 1s"}}}}'
    ),
    "resources.labels.westward.inputs": (
        'resources: {{labels: {{westward.inputs: "dataset:x=a/{}"}}}}'
    ),
    "resources.labels.westward.residency": (
        'resources: {{labels: {{westward.residency: "country={}"}}}}'
    ),
}
MADE = [
    "resources.labels.westward.outputs",
    "resources.labels.westward.checkpoint",
    "resources.labels.westward.inputs",
]


def read(text: str) -> JobSpec:
    whole = text if text.startswith("run:") else f"run: echo\n{text}"
    [one] = read_tasks(whole + "\n", file="job.yaml", job_id="job_1", now_ms=1, base_dir=Path("/"))
    return check_job(one.job, "job.yaml")


def refused(text: str) -> tuple[str, str]:
    with pytest.raises(InputFaults) as caught:
        read(text)
    [fault] = caught.value.faults
    return fault.field, fault.problem


@pytest.mark.parametrize("character", ["\\0", "\\ud800", "\\udfff"])
@pytest.mark.parametrize("place", PLACES)
def test_characters_that_nothing_can_hold(place: str, character: str) -> None:
    field, problem = refused(PLACES[place].format(f"b{character}b"))
    assert field == place
    assert "NUL" in problem or "no file or process can take" in problem


@pytest.mark.parametrize("place", PLACES)
def test_others_are_kept_as_they_are(place: str) -> None:
    job = read(PLACES[place].format("b\\u00e9\\U0001f600b"))
    assert from_json(JobSpec, to_json(job)) == job


@pytest.mark.parametrize("place", MADE)
def test_paths_that_no_site_can_make(place: str) -> None:
    assert refused(PLACES[place].format("b" * (PART_MOST_BYTES + 1))) == (
        place, f"a name in the path has more than {PART_MOST_BYTES} bytes",
    )  # fmt: skip
    assert refused(PLACES[place].format("\u00e9" * (PART_MOST_BYTES // 2 + 1)))[0] == place
    assert refused(PLACES[place].format("b/" * (PATH_MOST_BYTES // 2) + "b")) == (
        place, f"the path has more than {PATH_MOST_BYTES} bytes",
    )  # fmt: skip
    read(PLACES[place].format("b" * PART_MOST_BYTES))


def test_targets_of_mounts_and_their_sources() -> None:
    long = "b" * (PART_MOST_BYTES + 1)
    field, problem = refused(f"file_mounts: {{{long}: /srv/a}}")
    assert field == f"file_mounts.{long!r}"
    assert "more than" in problem
    assert refused('file_mounts: {"a\\0": /srv/a}')[0] == "file_mounts.'a\\x00'"
    assert refused('file_mounts: {a: "/srv/\\ud800"}')[0] == "file_mounts.'a'"


def test_all_of_them_are_told_at_once() -> None:
    text = 'envs: {A: "\\ud800"}\nsetup: "\\ud800"\nworkdir: "/\\ud800"'
    with pytest.raises(InputFaults) as caught:
        read(text)
    assert {one.field for one in caught.value.faults} == {"envs.A", "setup", "workdir"}
