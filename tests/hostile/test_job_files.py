"""What a job leaves to be collected: links, races, depth, names, pipes. No file of the agent's own is
ever published or sent, and nothing a job leaves keeps its run from being told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from westward.agent import job_files
from westward.agent.checkpoints import _read, _take_over, scan
from westward.agent.data_urls import Folder
from westward.agent.engines.base import RunStatus
from westward.agent.engines.folders import RunFolders
from westward.agent.engines.local import LocalEngine
from westward.agent.outputs import scan_output, store_file
from westward.model.dataset import file_problems

SECRET = "wsc_the-agents-own"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "credential.json"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


@pytest.fixture
def output(tmp_path: Path, secret: Path) -> Path:
    """A run's output folder, beside the agent's secret."""
    folder = tmp_path / "state" / "run" / "output"
    folder.mkdir(parents=True)
    (folder / "good.txt").write_text("good")
    return folder


def published(output: Path, path: str, into: Path) -> dict[str, bytes]:
    base, files = scan_output(output, path)
    store = Folder(into.as_uri())
    for one in files:
        store_file(store, job_files.real(output), base, one)
    return {
        str(path.relative_to(into)): path.read_bytes()
        for path in sorted(into.rglob("*"))
        if path.is_file()
    }


def make_deep(folder: Path, levels: int) -> None:
    """Deeper than a path may be long: only step by step."""
    done = subprocess.run(
        [
            sys.executable, "-c",
            "import os, sys\nos.chdir(sys.argv[1])\nfor _ in range(int(sys.argv[2])):\n"
            " os.mkdir('d')\n os.chdir('d')\nopen('f', 'w').close()",
            str(folder), str(levels),
        ],
    )  # fmt: skip
    assert done.returncode == 0


LINKS = {
    "to a system file": "/etc/passwd",
    "to the agent's secret": "../../credential.json",
    "to itself": "leak",
    "to the folder above": "..",
    "to the root": "/",
    "to its own memory": "/proc/self/mem",
    "to an open file": "/proc/self/fd/0",
    "to a device": "/dev/zero",
}


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("named", ["itself", "all"])
def test_a_link_out_carries_nothing(output: Path, tmp_path: Path, kind: str, named: str) -> None:
    (output / "leak").symlink_to(LINKS[kind])
    told = published(output, "leak" if named == "itself" else "", tmp_path / "store")
    assert told == ({} if named == "itself" else {"good.txt": b"good"})
    assert {one.path for one in scan(output) if not one.link} == {"good.txt"}


def test_a_chain_of_links_carries_nothing(output: Path, tmp_path: Path) -> None:
    (output / "a").symlink_to("b")
    (output / "b").symlink_to("sub/../c")
    (output / "sub").mkdir()
    (output / "c").symlink_to("../../credential.json")
    (output / "d").symlink_to("/etc")
    assert published(output, "", tmp_path / "store") == {"good.txt": b"good"}
    assert published(output, "d/passwd", tmp_path / "other") == {}
    assert published(output, "../../credential.json", tmp_path / "third") == {}


def test_a_link_within_is_followed(output: Path, tmp_path: Path) -> None:
    (output / "again").symlink_to("good.txt")
    told = published(output, "", tmp_path / "store")
    assert told == {"again": b"good", "good.txt": b"good"}


def test_pipes_sockets_and_devices_carry_nothing(output: Path, tmp_path: Path) -> None:
    """And none is waited for."""
    os.mkfifo(output / "pipe")
    assert published(output, "", tmp_path / "store") == {"good.txt": b"good"}
    assert published(output, "pipe", tmp_path / "other") == {}
    assert [one.path for one in scan(output)] == ["good.txt"]


def test_a_file_exchanged_for_a_link_after_it_was_seen(
    output: Path, secret: Path, tmp_path: Path
) -> None:
    base, files = scan_output(output, "")
    (output / "good.txt").unlink()
    (output / "good.txt").symlink_to(secret)
    with pytest.raises(job_files.Unsafe, match="changed while it was stored"):
        store_file(Folder((tmp_path / "store").as_uri()), job_files.real(output), base, files[0])
    with pytest.raises(job_files.Unsafe, match="changed while it was read"):
        _read(output, "good.txt", 0)
    assert not (tmp_path / "store").exists()


def test_a_folder_exchanged_for_a_link(output: Path, secret: Path, tmp_path: Path) -> None:
    sub = output / "sub"
    sub.mkdir()
    (sub / "credential.json").write_text("mine")
    base, files = scan_output(output, "sub")
    (sub / "credential.json").unlink()
    sub.rmdir()
    sub.symlink_to(secret.parent)
    with pytest.raises(job_files.Unsafe):
        store_file(Folder((tmp_path / "store").as_uri()), job_files.real(output), base, files[0])


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_races_never_leak(output: Path, secret: Path, tmp_path: Path, kind: str) -> None:
    """Something exchanges a file (a folder) for a link and back, as fast as it can, while it is
    collected a few hundred times."""
    over = threading.Event()
    place = output / "x"
    target = secret if kind == "file" else secret.parent
    other = output.parent / "other"

    def exchange() -> None:
        while not over.is_set():
            for make in (
                lambda: other.symlink_to(target),
                lambda: other.write_text("mine") if kind == "file" else fill(other),
            ):
                make()
                if place.is_dir() and not place.is_symlink():
                    shutil.rmtree(place)
                elif kind == "folder" or place.is_dir():
                    place.unlink(missing_ok=True)
                os.replace(other, place)

    def fill(folder: Path) -> None:
        folder.mkdir()
        (folder / "credential.json").write_text("mine")

    thread = threading.Thread(target=exchange)
    thread.start()
    seen = 0
    try:
        for index in range(300):
            into = tmp_path / "stores" / str(index)
            try:
                told = published(output, "", into)
            except OSError:
                continue
            finally:
                for path in into.rglob("*"):
                    if path.is_file():
                        assert SECRET not in path.read_text()
            assert set(told.values()) <= {b"good", b"mine"}
            seen += 1
    finally:
        over.set()
        thread.join()
    assert seen


def test_a_tree_deeper_than_python_recurses(output: Path, tmp_path: Path) -> None:
    make_deep(output, 3_000)
    with pytest.raises(OSError, match="within each other"):
        scan_output(output, "")
    with pytest.raises(OSError, match="within each other"):
        scan(output)
    with pytest.raises(RecursionError):  # what would have come of it
        shutil.rmtree(output)
    job_files.remove(output)
    assert not output.exists()


def test_a_file_that_is_one_hole(output: Path, tmp_path: Path) -> None:
    """It would be digested for hours, in one of the few threads that bring and keep data."""
    os.truncate(_touched(output / "hole"), 2**40)
    with pytest.raises(job_files.Unsafe, match="1099511627776 bytes of which 0 are"):
        scan_output(output, "")
    with pytest.raises(job_files.Unsafe, match="1099511627776 bytes of which 0 are"):
        scan(output)
    os.truncate(output / "hole", 2**20)
    assert set(published(output, "", tmp_path / "store")) == {"good.txt", "hole"}


def _touched(path: Path) -> Path:
    path.touch()
    return path


def test_a_deep_run_is_pruned_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("westward.agent.engines.folders.KEEP_FINISHED", 1)
    runs = RunFolders(tmp_path / "state")
    for name in ("run_a", "run_b", "run_c"):
        make_deep(runs.take(name), 2_000)
        runs.forget(name)
        os.utime(tmp_path / "state" / "finished" / name, (ord(name[-1]), ord(name[-1])))
    runs.prune()
    assert os.listdir(tmp_path / "state" / "finished") == ["run_c"]
    job_files.remove(tmp_path / "state")


def test_a_deep_checkpoint_is_replaced(tmp_path: Path) -> None:
    job = tmp_path / "job_1"
    make_deep(job_files.real(_made(job / "files")), 2_000)
    _made(job / "coming")
    _take_over(job / "coming", job / "files")
    assert os.listdir(job) == ["files"]
    assert os.listdir(job / "files") == []


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", [b"\xff\xfe", b"\xed\xa0\x80"])
def test_names_that_are_no_text(output: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(output) + b"/" + name)).write_text("x")
    with pytest.raises(OSError, match="is not UTF-8"):
        scan_output(output, "")
    with pytest.raises(OSError, match="is not UTF-8"):
        scan(output)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "a\tb"])
def test_names_with_control_characters_are_refused_for_data_sets(output: Path, name: str) -> None:
    (output / name).write_text("x")
    _, files = scan_output(output, "")
    assert [path for path, _ in file_problems(files)] == [name]


def test_a_link_in_a_circle_in_a_checkpoint(output: Path) -> None:
    (output / "a").symlink_to("b")
    (output / "b").symlink_to("a")
    assert "good.txt" in {one.path for one in scan(output)}


@pytest.mark.parametrize(
    "spoiled",
    ["[]", "{}", "not json", '{"outcome": "what", "exit_code": 0, "detail": ""}',
     '{"outcome": "succeeded", "exit_code": "x", "detail": ""}'],
)  # fmt: skip
def test_a_spoiled_end_is_none(tmp_path: Path, spoiled: str) -> None:
    """The run whose supervisor is gone has vanished; it is cleaned, and over."""
    engine = LocalEngine(tmp_path / "state", "a")
    try:
        folder = engine.runs.take("run_a")
        for name in ("exit.json", "started.json", "supervisor.json"):
            (folder / name).write_text(spoiled)
        assert engine.look("run_a").status is RunStatus.VANISHED
        engine.stop("run_a", "cancelled")
        engine.clean("run_a", "gone")
        view = engine.look("run_a")
        assert view.result is not None
        assert (view.status, view.result.outcome) == (RunStatus.ENDED, "lease-expired")
    finally:
        engine.close()


@pytest.mark.parametrize("spoiled", ["[]", "{}", "not json", '{"token": "x"}'])
def test_a_spoiled_order_keeps_no_agent_from_starting(tmp_path: Path, spoiled: str) -> None:
    runs = RunFolders(tmp_path / "state")
    for name, order in (("run_a", '{"token": 7}'), ("run_b", spoiled)):
        (runs.take(name) / "order.json").write_text(order)
    runs.take("run_c")  # nothing was ordered
    assert [(held.run_id, held.token) for held in runs.recover()] == [("run_a", 7)]
    assert sorted(os.listdir(tmp_path / "state" / "runs")) == ["run_a", "run_b"]
