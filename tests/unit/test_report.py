"""The report as a reader gets it, and the folder it stands in."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sample_rehearsal import rehearse, small_network, small_workload

from westward.model.faults import InputFaults
from westward.model.plan import RULES
from westward.model.units import format_instant
from westward.simulate import outputs, plots
from westward.simulate.outputs import write_outputs
from westward.simulate.results import Provenance, SimulationResult

REPORT_BYTES_MAX = 3_000_000
HERE = Provenance.here(commit="c0ffee <1>", command="westward simulate x --policy <all>")
_VOID = {"meta", "img", "br", "link", "input", "hr"}


class _Page(HTMLParser):
    """Collects the text and every reference, and checks that the tags nest."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "srcset", "action", "data", "poster"} and value:
                self.references.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)


@pytest.fixture(scope="module")
def results() -> list[SimulationResult]:
    network, work = small_network(), small_workload()
    return [rehearse(network, work, rule) for rule in RULES]


@pytest.fixture(scope="module")
def folder(results: list[SimulationResult], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rehearsal") / "out"
    write_outputs(results, out, provenance=HERE)
    return out


@pytest.fixture(scope="module")
def page(folder: Path) -> _Page:
    parsed = _Page()
    parsed.feed((folder / "report.html").read_text(encoding="utf-8"))
    parsed.close()
    assert not parsed.open
    return parsed


def test_it_stands_alone(page: _Page, folder: Path) -> None:
    assert page.references
    for reference in page.references:
        kind, data = reference.split(",", 1)
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "url(" not in html
    assert "@import" not in html
    assert page.tags.isdisjoint({"script", "link", "iframe", "object"})
    assert len(html.encode()) < REPORT_BYTES_MAX


def test_it_names_policies_inputs_and_that_it_is_a_simulation(
    page: _Page, results: list[SimulationResult]
) -> None:
    text = " ".join(page.text)
    first = results[0]
    wanted = [result.label for result in results]
    wanted += [first.network.digest, first.workload.digest, "c0ffee <1>", "This is a simulation."]
    wanted += [f"{name} {version}" for name, version in HERE.versions]
    wanted += ["no <end> time", "times are seconds in the source & kept whole"]
    wanted += ["<b>no meter</b> was & is read", "Assumptions of the network (1)"]
    for words in wanted:
        assert words in text, words


def test_it_tells_every_win_of_a_rival_over_all_jobs(page: _Page, folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    text = " ".join(page.text)
    best: dict[str, str] = {}
    for win in summary["comparison"]["rival_wins"]:
        if win["where"] == "all jobs":
            best.setdefault(win["metric"], win["words"])
    assert best
    for words in best.values():
        assert words in text


def test_it_says_what_the_sums_cover_and_who_is_set_apart(
    results: list[SimulationResult], tmp_path: Path
) -> None:
    last = results[-1]
    out = np.arange(len(last)) % 3 == 0
    picky = replace(
        last,
        pool=np.where(out, -1, last.pool).astype(np.int32),
        start_ms=np.where(out, -1, last.start_ms),
        end_ms=np.where(out, -1, last.end_ms),
    )
    scaled = replace(results[0].network, digest="d" * 64 + "+devices=96")
    made = [replace(result, network=scaled) for result in (results[0], results[1], picky)]
    write_outputs(made, tmp_path / "out", provenance=HERE)
    parsed = _Page()
    parsed.feed((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    text = " ".join("".join(parsed.text).split())
    both = int((made[0].placed & made[1].placed).sum())
    pair = int((made[0].placed & picky.placed).sum())
    refused = len(picky) - int(picky.placed.sum())
    labels = [result.label for result in made]
    for words in (
        f"over the {both} of {len(picky)} jobs that {labels[0]}, {labels[1]} all placed",
        f"100.0% of the cost of all that {labels[0]} placed",
        f"{labels[2]} is set apart: it refused {refused} jobs",
        f"Over the {pair} jobs that {labels[2]} placed too, {labels[0]} comes to",
        f"{labels[2]} †",
        "Homes are drawn uniformly",
        f"workload time 0 = {format_instant(made[0].workload_zero_ms)}",
        "d" * 64 + "+devices=96",
    ):
        assert words in text, words


def test_zones_of_one_tariff_share_a_line() -> None:
    day, flat = np.arange(24.0), np.full(24, 3.0)
    groups = plots._equal_curves([("a", day), ("b", flat), ("c", day + 1e-13)])
    assert [names for names, _ in groups] == [["b"], ["a", "c"]]


def test_every_figure_on_disk_is_in_the_report(folder: Path, page: _Page) -> None:
    inside = {base64.b64decode(reference.split(",", 1)[1]) for reference in page.references}
    assert {path.read_bytes() for path in folder.glob("*.png")} == inside


def test_one_policy_alone_has_short_names_and_no_rivals(
    results: list[SimulationResult], tmp_path: Path
) -> None:
    out = tmp_path / "alone"
    names = {path.name for path in write_outputs(results[2:3], out, provenance=HERE)}
    assert {"jobs.parquet", "hours.parquet"} <= names
    assert "Where a rival wins" not in (out / "report.html").read_text(encoding="utf-8")


def test_no_jobs_at_all_still_gives_a_report(tmp_path: Path) -> None:
    empty = rehearse(small_network(), small_workload(0))
    names = {path.name for path in write_outputs([empty], tmp_path / "none", provenance=HERE)}
    assert "report.html" in names


def test_a_folder_of_others_is_refused_and_left_alone(
    results: list[SimulationResult], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputFaults, match=r"thesis\.txt"):
        write_outputs(results, tmp_path, provenance=HERE)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputFaults, match="is not a folder"):
        write_outputs(results, tmp_path / "thesis.txt", provenance=HERE)


def test_our_own_folder_is_replaced_unless_someone_added_to_it(
    results: list[SimulationResult], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_outputs(results[:2], out, provenance=HERE)
    write_outputs(results[:1], out, provenance=HERE)
    assert not (out / "jobs-westward.parquet").exists()
    (out / "notes.md").write_text("mine", encoding="utf-8")
    with pytest.raises(InputFaults, match=r"notes\.md"):
        write_outputs(results[:1], out, provenance=HERE)
    assert (out / "notes.md").read_text(encoding="utf-8") == "mine"


def test_an_interrupted_run_leaves_what_was_there(
    results: list[SimulationResult], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_outputs(results[:1], out, provenance=HERE)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def stop(name: str) -> None:
        if name == outputs.REPORT:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_outputs(results[:2], out, provenance=HERE, progress=stop)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
