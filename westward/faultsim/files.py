"""Files of simulated work: checkpoints that it saves and finds again, and data sets that it reads.

The agent's and the server's shipped code carries them, on real folders that live as long as the
world. The work writes two files and a link at once, all with one stamp, so that a mixture shows. A
run must find what a run of its job once saved, as a whole, and nothing older than what the server
took last; and the very bytes of its data.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pydantic import TypeAdapter

from westward.agent import data as agent_data
from westward.faultsim.checkers import Broken
from westward.faultsim.scenario import Scenario, Whim
from westward.faultsim.site import Piece, SimEngine, SiteMachine
from westward.model.dataset import DataFile, Replica, manifest_digest
from westward.model.job import DataInput
from westward.model.wire import (
    Ack,
    CheckpointAnswer,
    CheckpointAsk,
    CheckpointFetched,
    CheckpointPart,
    DataAsk,
    DataMoved,
    DataSource,
    DataStaged,
    KeptCheckpoint,
    PartAnswer,
    PartAsk,
    PartData,
    SavedCheckpoint,
)
from westward.server import api_agent_data, api_checkpoints
from westward.server.core import Core
from westward.store.catalogue import add_dataset
from westward.store.database import Store

SETS = ("corpus", "maps")
COPIES = ("good", "good", "wrong", "short", "gone")
"""What a copy of a data set may be."""
TARGET = "/data"
_HANDLERS: dict[str, tuple[TypeAdapter[Any], TypeAdapter[Any], Any]] = {
    path: (TypeAdapter(asked), TypeAdapter(answer), handler)
    for path, asked, answer, handler in (
        ("checkpoint", SavedCheckpoint, CheckpointAnswer, api_checkpoints.save),
        ("checkpoint/part", CheckpointPart, PartAnswer, api_checkpoints.take_part),
        ("checkpoint/kept", CheckpointAsk, KeptCheckpoint, api_checkpoints.kept),
        ("checkpoint/read", PartAsk, PartData, api_checkpoints.give_part),
        ("checkpoint/fetched", CheckpointFetched, Ack, api_checkpoints.fetched),
        ("data/source", DataAsk, DataSource, api_agent_data.source),
        ("data/moved", DataMoved, Ack, api_agent_data.moved),
        ("data/staged", DataStaged, Ack, api_agent_data.staged),
    )
}


def with_files(one: Scenario) -> Scenario:
    """A part of all worlds, by dice of its own. Nothing is paid for lines there."""
    dice = random.Random(f"westward-faultsim-{one.seed}-files")
    if dice.random() >= 0.03:
        return one
    jobs = tuple(
        replace(
            job,
            saves=dice.random() < 0.8,
            attempts=max(job.attempts, dice.choice((1, 3))),
            work_ms=max(job.work_ms, 10_000),
            reads=dice.choice(("", *SETS)),
            data_at="",
        )
        for job in one.jobs
    )
    whims = []
    for _ in range(dice.randint(2, 6)):
        job = dice.choice(jobs)
        at_ms = job.at_ms + dice.randrange(2_000, 12_000)
        kind, to = dice.choice(("suspend", "move", "move")), dice.choice(one.sites).name
        whims.append(Whim(at_ms=at_ms, kind=kind, job_id=job.job_id, to=to))
        if kind == "suspend":
            later_ms = at_ms + dice.choice((500, 3_000, 6_000))
            whims.append(Whim(at_ms=later_ms, kind="resume", job_id=job.job_id))
    found = (*one.whims, *(whim for whim in whims if whim.at_ms < one.heal_ms))
    return replace(
        one, files=dice.randrange(1_000_000), jobs=jobs, whims=found, line_micros=None
    )  # fmt: skip


# -- data sets --------------------------------------------------------------------------------


@lru_cache
def contents(name: str) -> dict[str, bytes]:
    """By path."""
    dice = random.Random(f"westward-faultsim-data-{name}")
    return {"first.bin": dice.randbytes(300), "deep/second.bin": dice.randbytes(20_000)}


@lru_cache
def manifest(name: str) -> tuple[DataFile, ...]:
    return tuple(
        DataFile(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for path, data in sorted(contents(name).items())
    )


def data_input(name: str) -> DataInput:
    """As it is fixed at submit."""
    files = manifest(name)
    return DataInput(
        dataset=name, version=1, target=TARGET, digest=manifest_digest(files),
        size_bytes=sum(one.size_bytes for one in files),
    )  # fmt: skip


# -- the agent's and the server's sides -------------------------------------------------------


class FileEngine(SimEngine):
    """An engine whose work sees the agent's files (``KeepsCheckpoints``, ``SharesFiles``)."""

    def __init__(self, site: SiteMachine, root: Path) -> None:
        super().__init__(site)
        self.root = root

    def checkpoint_root(self) -> Path:
        return self._folder("checkpoints")

    def data_root(self) -> Path:
        return self._folder("data")

    def output_folder(self, run_id: str) -> Path:
        return self._folder(f"outputs/{run_id}")

    def _folder(self, name: str) -> Path:
        found = self.root / name
        found.mkdir(parents=True, exist_ok=True)
        return found


async def serve(core: Core, path: str, body: bytes) -> tuple[int, bytes] | None:
    """As the server's routes answer it; None: it is about no files. Raises ApiError,
    ValidationError."""
    parts = path.split("/", 5)
    if len(parts) < 6 or parts[5] not in _HANDLERS:
        return None
    asked, answer, handler = _HANDLERS[parts[5]]
    told = await handler(parts[4], asked.validate_json(body), core)
    return 200, answer.dump_json(told)


# -- the world's side -------------------------------------------------------------------------


@dataclass(slots=True)
class _Saved:
    job_id: str
    number: int


class Files:
    """Of one world. ``number``: all that is drawn comes from it."""

    def __init__(self, scenario: Scenario, number: int) -> None:
        self.scenario = scenario
        self.dice = random.Random(f"westward-faultsim-files-{number}")
        self.large = self.dice.random() < 0.25
        """Whether what is saved takes more than one message."""
        self.root = Path(tempfile.mkdtemp(prefix="westward-faultsim-"))
        self._saved: dict[str, _Saved] = {}
        """By digest of the first file."""
        self._taken: dict[str, tuple[int, int]] = {}
        """Job → token and number of what the server took last."""

    @contextmanager
    def kept(self, boot_ms: Callable[[], int]) -> Iterator[None]:
        """While the world is played. ``boot_ms``: what fetching is timed by."""
        try:
            with patch.object(agent_data, "boot_ms", boot_ms):
                yield
        finally:
            for base, _, _ in os.walk(self.root):
                os.chmod(base, stat.S_IRWXU)
            shutil.rmtree(self.root, ignore_errors=True)

    @property
    def at_server(self) -> Path:
        return self.root / "server"

    def engine(self, site: SiteMachine) -> FileEngine:
        return FileEngine(site, self.root / site.name)

    def catalogue(self, store: Store, now_ms: int) -> None:
        """Before the world begins: data sets with a copy at some sites, sound or not."""
        for name in SETS:
            for at, site in enumerate(self.scenario.sites):
                how = "good" if at == 0 and self.dice.random() < 0.5 else self.dice.choice(COPIES)
                if at and self.dice.random() < 0.3:
                    continue
                folder = self.root / "copies" / site.name / name
                self._lay(folder, name, how)
                add_dataset(
                    store, name=name, owner="", files=manifest(name), licence="", residency=(),
                    price_micros_per_gb=None, now_ms=now_ms,
                    replica=Replica(site=site.name, url=folder.as_uri(), added_ms=now_ms),
                )  # fmt: skip

    def _lay(self, folder: Path, name: str, how: str) -> None:
        if how == "gone":
            return
        for path, data in contents(name).items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            spoiled = how != "good" and path.startswith("deep")
            changed = data[: len(data) // 2] if how == "short" else bytes(reversed(data))
            target.write_bytes(changed if spoiled else data)

    # -- what the work does -------------------------------------------------------------------

    def began(self, piece: Piece) -> None:
        """It looks at what it was given. Raises Broken."""
        self._reads(piece)
        order = piece.grant.checkpoint
        if order is None:
            return
        envs = dict(piece.grant.work.envs)
        folder = Path(envs["WESTWARD_CHECKPOINT"])
        found = self._found(piece, folder)
        if envs["WESTWARD_RESUME"] != ("0" if found is None else "1"):
            raise Broken(
                "resume-untrue", f"{piece.grant.run_id}: {envs['WESTWARD_RESUME']}, {found}"
            )
        _, least = self._taken.get(piece.grant.job_id, (0, 0))
        if (found or 0) < least:
            raise Broken(
                "checkpoint-older",
                f"{piece.grant.run_id} at {piece.site} finds {found}, the server took {least}",
            )
        self._save(piece, folder, (found or 0) + 1)

    def ended(self, piece: Piece) -> None:
        """It saves once more where it was asked to stop."""
        if piece.grant.checkpoint is None or piece.stopping is None or piece.vanished:
            return
        folder = Path(dict(piece.grant.work.envs)["WESTWARD_CHECKPOINT"])
        found = self._found(piece, folder) if folder.is_dir() else None
        self._save(piece, folder, (found or 0) + 1)

    def heard(self, path: str, said: bytes, answer: bytes) -> None:
        """What the server has taken is durable."""
        if not path.endswith("/checkpoint"):
            return
        told = json.loads(answer)
        if told.get("accepted") is not True or told.get("missing"):
            return
        asked = json.loads(said)
        digests = {one["path"]: one.get("sha256") for one in asked["files"]}
        saved = self._saved[digests["saved/one"]]
        token = asked["token"]
        if token >= self._taken.get(saved.job_id, (0, 0))[0]:
            self._taken[saved.job_id] = (token, saved.number)

    def _reads(self, piece: Piece) -> None:
        mounts = {one.target: one.source for one in piece.grant.work.file_mounts}
        for one in piece.grant.inputs:
            folder = Path(mounts.get(one.target, "/nowhere"))
            for path, data in contents(one.dataset).items():
                there = folder / path
                if not there.is_file() or there.read_bytes() != data:
                    raise Broken("data-wrong", f"{piece.grant.run_id} finds other bytes at {path}")

    def _found(self, piece: Piece, folder: Path) -> int | None:
        """The number of what lies there."""
        names = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
        if not names:
            return None
        if names != ["last", "one", "two"]:
            raise Broken("checkpoint-torn", f"{piece.grant.run_id} finds {names}")
        one, two = (folder / "one").read_bytes(), (folder / "two").read_bytes()
        saved = self._saved.get(hashlib.sha256(one).hexdigest())
        whole = two == _second(one, self.large) and os.readlink(folder / "last") == "one"
        if saved is None or not whole or saved.job_id != piece.grant.job_id:
            raise Broken("checkpoint-torn", f"{piece.grant.run_id} finds {one!r}, {len(two)} bytes")
        return saved.number

    def _save(self, piece: Piece, folder: Path, number: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        stamp = f"{piece.grant.job_id} {piece.grant.run_id} {number}".encode()
        self._saved[hashlib.sha256(stamp).hexdigest()] = _Saved(piece.grant.job_id, number)
        (folder / "one").write_bytes(stamp)
        (folder / "two").write_bytes(_second(stamp, self.large))
        if not (folder / "last").is_symlink():
            (folder / "last").symlink_to("one")


def _second(stamp: bytes, large: bool) -> bytes:
    return stamp * (1_100_000 // len(stamp) if large else 3)
